"""Random problems with closed forms, and what their numbers should be."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

EXTRA = 60  # digits beyond those under test: the closed forms cancel, too


@dataclass(frozen=True)
class Expected:
    """What a closed form says at one query: C outputs, m examples."""

    initial: list[Any]
    final: list[Any]
    contributions: list[list[Any]]  # [m][C]
    kernels: list[list[list[Any]]]  # [m][C][C]
    weights: list[list[Any]]  # [m][C]
    regularizer: list[Any]


@dataclass(frozen=True)
class Case:
    family: str
    problem: Problem
    at: Callable[[Any], Expected]  # a query's first input -> what holds there, at the working precision of mpmath


def scalar(initial: Any, final: Any, kernels: Sequence[Any], weights: Sequence[Any], regularizer: Any = 0) -> Expected:
    contributions = [[a * k] for a, k in zip(weights, kernels, strict=True)]
    return Expected([initial], [final], contributions, [[[k]] for k in kernels], [[a] for a in weights], [regularizer])


def single(initial: Any, final: Any, kernel: Any) -> Expected:
    """One example: its contribution is the whole change."""
    return scalar(initial, final, [kernel], [(final - initial) / kernel])


def real(value: Fraction | int) -> Any:
    return mpf(value.numerator) / value.denominator


def reals(values: Sequence[Fraction]) -> list[Any]:
    return [real(v) for v in values]


def rational(rng: random.Random, low: float, high: float) -> Fraction:
    """Not 0, of either sign where the range has both."""
    denominator = rng.randint(2, 40)
    while True:
        value = Fraction(rng.randint(int(low * denominator), int(high * denominator)), denominator)
        if value and low <= value <= high:
            return value


def formula(output: str, params: Sequence[str] = ("w",)) -> ExpressionModel:
    return ExpressionModel(tuple(params), ("x",), (parse_expression(output, [*params, "x"]),))


def rows(values: Sequence[Fraction]) -> tuple[tuple[Fraction, ...], ...]:
    return tuple((v,) for v in values)


def queries(rng: random.Random, inputs: Sequence[Fraction]) -> tuple[tuple[Fraction, ...], ...]:
    """One anywhere, one that is a training input."""
    return rows([rational(rng, -3, 3), rng.choice(inputs)])


def examples(rng: random.Random, most: int = 4) -> tuple[list[Fraction], list[Fraction]]:
    count = rng.randint(1, most)
    return [rational(rng, -2, 2) for _ in range(count)], [rational(rng, -3, 3) for _ in range(count)]


def sums(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[Any, Any]:
    return sum(x * x for x in xs), sum(x * y for x, y in zip(xs, ys, strict=True))


def linear(rng: random.Random) -> Case:
    """Family 1: y = w x."""
    xs, ys = examples(rng)
    start, end = rational(rng, -2, 2), rational(rng, 0.1, 4)
    model = LayeredModel("linear", (1, 1), None, False)
    problem = Problem(model, Loss("squared"), Dataset(rows(xs), rows(ys)), (start,), end, queries(rng, xs))

    def at(x: Any) -> Expected:
        inputs, targets, w, t = reals(xs), reals(ys), real(start), real(end)
        s, c = sums(inputs, targets)
        p, decay = c / s, mp.exp(-s * t)
        mean = p + (w - p) * (1 - decay) / (s * t)
        weights = [y - xi * mean for xi, y in zip(inputs, targets, strict=True)]
        return scalar(w * x, (p + (w - p) * decay) * x, [t * x * xi for xi in inputs], weights)

    return Case("1", problem, at)


def ridge(rng: random.Random) -> Case:
    """Family 1r: y = w x with strength w^2 / 2."""
    case, strength = linear(rng), rational(rng, 0.05, 3)
    xs, ys = ([row[0] for row in part] for part in (case.problem.data.inputs, case.problem.data.targets))
    penalty = rng.choice(
        [Regularizer(strength=strength), Regularizer(parse_expression(f"({strength})*w_1_1**2/2", ["w_1_1"]))]
    )

    def at(x: Any) -> Expected:
        inputs, targets, w, t = reals(xs), reals(ys), real(case.problem.initial[0]), real(case.problem.horizon)
        (s, c), lam = sums(inputs, targets), real(strength)
        p, decay = c / (s + lam), mp.exp(-(s + lam) * t)
        mean = p + (w - p) * (1 - decay) / ((s + lam) * t)
        weights = [y - xi * mean for xi, y in zip(inputs, targets, strict=True)]
        kernels = [t * x * xi for xi in inputs]
        return scalar(w * x, (p + (w - p) * decay) * x, kernels, weights, -lam * x * t * mean)

    return Case("1r", replace(case.problem, regularizer=penalty), at)


def logistic(rng: random.Random) -> Case:
    """Family 2: one example, logit w x."""
    x1, start, end, target = rational(rng, -3, 3), rational(rng, -2, 2), rational(rng, 0.1, 6), rng.randrange(2)
    data = Dataset(((x1,),), ((Fraction(target),),))
    problem = Problem(formula("w*x"), Loss("logistic"), data, (start,), end, queries(rng, [x1]))

    def at(x: Any) -> Expected:
        first, w, t, sign = real(x1), real(start), real(end), 2 * target - 1
        z = sign * w * first
        a = first**2 * t + z + mp.exp(z)
        final = sign * (a - mp.lambertw(mp.exp(a)).real) / first
        return single(w * x, final * x, t * x * first)

    return Case("2", problem, at)


def product(rng: random.Random) -> Case:
    """Family 3: y = u v x."""
    xs, ys = examples(rng, 3)
    u0, v0, end = rational(rng, 0.2, 2), rational(rng, -2, 2), rational(rng, 0.1, 2)
    data = Dataset(rows(xs), rows(ys))
    problem = Problem(formula("u*v*x", ["u", "v"]), Loss("squared"), data, (u0, v0), end, queries(rng, xs))
    if u0 + v0 == 0 or sum(x * (y - u0 * v0 * x) for x, y in zip(xs, ys, strict=True)) == 0:
        return product(rng)

    def at(x: Any) -> Expected:
        inputs, targets, u, v, t = reals(xs), reals(ys), real(u0), real(v0), real(end)
        s, c = sums(inputs, targets)
        p, d = c / s, u * u - v * v
        q = mp.sqrt(d * d + 4 * p * p)
        upper, lower = 2 * p + q, 2 * p - q
        r0 = (u + v) ** 2
        share = (r0 - upper) / (r0 - lower) * mp.exp(-s * q * t)
        r = (upper - lower * share) / (1 - share)
        return regression(inputs, targets, x, u * v, (r - d * d / r) / 4)

    return Case("3", problem, at)


def regression(inputs: list[Any], targets: list[Any], x: Any, before: Any, after: Any) -> Expected:
    """y = P(w) x for any P: kernels and weights from the slope before and after."""
    s, c = sums(inputs, targets)
    p = c / s
    logarithm = mp.log((p - before) / (p - after))
    weights = [y - xi * (p - (after - before) / logarithm) for xi, y in zip(inputs, targets, strict=True)]
    return scalar(before * x, after * x, [x * xi / s * logarithm for xi in inputs], weights)


def deep(layers: int) -> Callable[[random.Random], Case]:
    """Family 4: a balanced deep linear net of width 1."""

    def draw(rng: random.Random) -> Case:
        xs, ys = examples(rng, 3)
        start, end = rational(rng, 0.4, 0.9), rational(rng, 0.1, 2)
        optimum = sum(x * y for x, y in zip(xs, ys, strict=True)) / sum(x * x for x in xs)
        if optimum <= start**layers:
            return draw(rng)
        model = LayeredModel("deep-linear", (1,) * (layers + 1), None, False)
        problem = Problem(model, Loss("squared"), Dataset(rows(xs), rows(ys)), (start,) * layers, end, queries(rng, xs))

        def at(x: Any) -> Expected:
            inputs, targets, t = reals(xs), reals(ys), real(end)
            s, c = sums(inputs, targets)
            p, before = c / s, real(start) ** layers
            if layers == 2:
                after = p / (1 + (p / before - 1) * mp.exp(-2 * s * p * t))
            else:  # atanh(z) - 1/z grows by 2 S t p^(3/2), where z^2 = W / p; with z = tanh(r) Newton's steps are safe
                r = mp.atanh(mp.sqrt(before / p))
                goal = r - mp.coth(r) + 2 * s * t * p ** mpf("1.5")
                for _ in range(400):
                    step = (goal - r + mp.coth(r)) / (1 + mp.csch(r) ** 2)
                    r += step
                    if abs(step) < mp.eps * 10:
                        break
                after = p * mp.tanh(r) ** 2
            return regression(inputs, targets, x, before, after)

        return Case(f"4 (N = {layers})", problem, at)

    return draw


def exponential(rng: random.Random) -> Case:
    """Family 5: y = exp(w x), one example, queries on its side of 0."""
    x1, target, end = rational(rng, -2, 2), rational(rng, 1.1, 4), rational(rng, 0.1, 2)
    start = -abs(rational(rng, 0.1, 1)) * (1 if x1 > 0 else -1)
    asked = rows([x1 * rational(rng, 0.3, 3), x1])
    problem = Problem(formula("exp(w*x)"), Loss("squared"), Dataset(((x1,),), ((target,),)), (start,), end, asked)

    def at(x: Any) -> Expected:
        first, w, t, y = real(x1), real(start), real(end), real(target)
        y0, ratio = mp.exp(w * first), x / first
        a = mp.log(y0 / (y - y0)) - y / y0 + first**2 * y**2 * t
        y1 = y / (1 + mp.lambertw(mp.exp(-1 - a)).real)

        def beta(z: Any) -> Any:
            return z**ratio / ratio * mp.hyp2f1(ratio, 1, ratio + 1, z)

        kernel = ratio * y ** (ratio - 1) * (beta(y1 / y) - beta(y0 / y))
        return single(y0**ratio, y1**ratio, kernel)

    return Case("5", problem, at)


def squared_product(rng: random.Random) -> Case:
    """Family 5q: y = (w x)^2, one example."""
    x1, start, target, end = rational(rng, -2, 2), rational(rng, 0.2, 2), rational(rng, -1, 4), rational(rng, 0.1, 2)
    if target == (start * x1) ** 2:
        return squared_product(rng)
    data = Dataset(((x1,),), ((target,),))
    problem = Problem(formula("(w*x)**2"), Loss("squared"), data, (start,), end, queries(rng, [x1]))

    def at(x: Any) -> Expected:
        first, y, t = real(x1), real(target), real(end)
        y0 = (real(start) * first) ** 2
        y1 = y / (1 + (y / y0 - 1) * mp.exp(-4 * first**2 * y * t))
        share = (x / first) ** 2
        return single(share * y0, share * y1, share * mp.log((y - y0) / (y - y1)))

    return Case("5q", problem, at)


def softmax(rng: random.Random) -> Case:
    """Family 6: two classes, one example, logits (w_1 x, w_2 x)."""
    x1, end, starts, observed = (
        rational(rng, -3, 3),
        rational(rng, 0.1, 4),
        [rational(rng, -2, 2) for _ in "12"],
        rng.randrange(2),
    )
    model = LayeredModel("linear", (1, 2), None, False)
    data = Dataset(((x1,),), ((Fraction(1 - observed), Fraction(observed)),))
    problem = Problem(model, Loss("softmax-cross-entropy"), data, tuple(starts), end, queries(rng, [x1]))

    def at(x: Any) -> Expected:
        first, t, w = real(x1), real(end), reals(starts)
        before = (w[observed] - w[1 - observed]) * first
        a = 2 * first**2 * t + before + mp.exp(before)
        change = (a - mp.lambertw(mp.exp(a)).real - before) / (2 * first)
        moved = [change if c == observed else -change for c in range(2)]
        kernel = [[t * x * first if c == o else mpf(0) for o in range(2)] for c in range(2)]
        contributions = [delta * x for delta in moved]
        final = [(a + delta) * x for a, delta in zip(w, moved, strict=True)]
        weights = [delta / (t * first) for delta in moved]
        return Expected([a * x for a in w], final, [contributions], [kernel], [weights], [mpf(0)] * 2)

    return Case("6", problem, at)


def gaussian(rng: random.Random) -> Case:
    """Family 8: the logarithm of a normal density as output: every weight is 1."""
    xs, _ = examples(rng)
    start, end = rational(rng, -2, 2), rational(rng, 0.1, 3)
    data = Dataset(rows(xs), ((),) * len(xs))
    problem = Problem(formula("-(x - w)**2/2"), Loss("nll-log-probability"), data, (start,), end, queries(rng, xs))

    def at(x: Any) -> Expected:
        inputs, m, t = reals(xs), len(xs), real(end)
        mean = sum(inputs) / m
        d = real(start) - mean
        decay = mp.exp(-m * t)
        a = x - mean
        kernels = [
            a * b * t - d * (a + b) * (1 - decay) / m + d * d * (1 - decay**2) / (2 * m)
            for b in (xi - mean for xi in inputs)
        ]
        return scalar(-((x - mean - d) ** 2) / 2, -((x - mean - d * decay) ** 2) / 2, kernels, [mpf(1)] * m)

    return Case("8", problem, at)


def double_well(rng: random.Random) -> Case:
    """A start next to an unstable rest point: local errors grow like exp(t)."""
    start, end = rng.choice([-1, 1]) * Fraction(1, 10 ** rng.randint(1, 9)), rational(rng, 1, 24)
    loss = Loss("expression", parse_expression("(y**2 - 1)**2/4", ["y"]))
    problem = Problem(formula("w"), loss, Dataset(rows([Fraction(1)]), ((),)), (start,), end)

    def at(_: Any) -> Expected:
        w, growth = real(start), mp.exp(real(end))
        return single(w, w * growth / mp.sqrt(1 + w * w * (growth * growth - 1)), real(end))

    return Case("double well", problem, at)


def before_blow_up(rng: random.Random) -> Case:
    """y = w^3/3 under a linear loss: w = w0 / (1 - w0 t), followed to just before its end."""
    start, near = rational(rng, 0.3, 3), Fraction(1, 10 ** rng.randint(1, 3))
    problem = Problem(
        formula("w**3/3"),
        Loss("nll-log-probability"),
        Dataset(rows([Fraction(1)]), ((),)),
        (start,),
        (1 - near) / start,
    )

    def at(_: Any) -> Expected:
        w = real(start)
        after = w / real(near)
        return single(w**3 / 3, after**3 / 3, (after**3 - w**3) / 3)

    return Case("blow-up", problem, at)


FAMILIES: dict[str, Callable[[random.Random], Case]] = {
    "1": linear, "1r": ridge, "2": logistic, "3": product, "4 (N = 2)": deep(2), "4 (N = 4)": deep(4), "5": exponential,
    "5q": squared_product, "6": softmax, "8": gaussian, "double well": double_well, "blow-up": before_blow_up,
}  # fmt: skip


def draw_case(family: str, seed: object) -> Case:
    return FAMILIES[family](random.Random(f"{family} {seed}"))  # noqa: S311 - reproducible problems, not secrets
