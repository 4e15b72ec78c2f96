"""Random problems whose flows have closed forms, with their true numbers in balls far narrower than what is tested."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from pkverify.arithmetic.ball import working_precision
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

TRUE_BITS = 900


@dataclass(frozen=True)
class Truth:
    """A problem and its true numbers: one query, one output."""

    problem: Problem
    final_params: list[Any]
    final_output: Any
    contributions: list[Any]
    path_kernel: list[Any]
    regularizer_term: Any


def ball(value: Fraction | int) -> Any:
    exact = Fraction(value)
    return arb(fmpq(exact.numerator, exact.denominator))


def made(model: str, loss: str, x: list[Fraction], y: list[Fraction] | None, start: list[Fraction], horizon: Fraction,
         query: Fraction, rest: str = "") -> Problem:  # fmt: skip
    inputs = ", ".join(f'["{v}"]' for v in x)
    targets = "" if y is None else ", y = [" + ", ".join(f'"{v}"' for v in y) + "]"
    initial = ", ".join(f'"{v}"' for v in start)
    return parse_problem(f"""
    model = {{{model}}}
    loss = {{{loss}}}
    data = {{x = [{inputs}]{targets}}}
    flow = {{initial = [{initial}], horizon = "{horizon}"}}
    query = {{x = [["{query}"]]}}
    {rest}
    """)


def rational(rng: random.Random, lowest: Fraction, highest: Fraction) -> Fraction:
    parts = rng.choice([7, 12, 64, 1000])
    return lowest + (highest - lowest) * Fraction(rng.randint(0, parts), parts)


def line(rng: random.Random) -> Truth:
    """f = w x, several examples, perhaps a ridge penalty: one exponential."""
    count = rng.randint(1, 3)
    x = [rational(rng, Fraction(-2), Fraction(2)) or Fraction(1) for _ in range(count)]
    y = [rational(rng, Fraction(-2), Fraction(2)) for _ in range(count)]
    start, horizon = rational(rng, Fraction(-2), Fraction(2)), rational(rng, Fraction(1, 10), Fraction(4))
    query, strength = rational(rng, Fraction(-2), Fraction(2)), rng.choice([Fraction(0), Fraction(1, 3)])
    rest = f'regularizer = {{kind = "l2", strength = "{strength}"}}' if strength else ""
    problem = made('kind = "linear", bias = false', 'kind = "squared"', x, y, [start], horizon, query, rest)
    rate = sum((v * v for v in x), strength)
    limit = ball(sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0)) / rate)
    decay = (-ball(rate) * ball(horizon)).exp()
    mass = limit * ball(horizon) + (ball(start) - limit) * (1 - decay) / ball(rate)  # integral of w
    final, q = limit + (ball(start) - limit) * decay, ball(query)
    terms = [-(mass * ball(a) - ball(b) * ball(horizon)) * ball(a) * q for a, b in zip(x, y, strict=True)]
    kernels = [ball(a * query * horizon) for a in x]
    return Truth(problem, [final], final * q, terms, kernels, -mass * ball(strength) * q)


def growth(rng: random.Random) -> Truth:
    """f = w with loss -y^2/2: an exponential that grows, and every error with it."""
    start, horizon = rational(rng, Fraction(-1), Fraction(1)) or Fraction(1), rational(rng, Fraction(1, 2), Fraction(8))
    problem = made(
        'kind = "linear", bias = false', 'kind = "expression", value = "-y**2/2"', [Fraction(1)], None, [start],
        horizon, Fraction(1),
    )  # fmt: skip
    final = ball(start) * ball(horizon).exp()
    return Truth(problem, [final], final, [final - ball(start)], [ball(horizon)], arb(0))


def quartic(rng: random.Random) -> Truth:
    """f = w with loss -y^4/4: w^-2 falls linearly; not convex, and errors grow more and more."""
    start = rational(rng, Fraction(1, 2), Fraction(1))
    horizon = rng.choice([Fraction(1, 10), Fraction(9, 10), Fraction(999, 1000)]) / (2 * start**2)
    problem = made(
        'kind = "linear", bias = false', 'kind = "expression", value = "-y**4/4"', [Fraction(1)], None, [start],
        horizon, Fraction(1),
    )  # fmt: skip
    final = 1 / (1 / ball(start * start) - 2 * ball(horizon)).sqrt()
    return Truth(problem, [final], final, [final - ball(start)], [ball(horizon)], arb(0))


def blow_up(rng: random.Random) -> Truth:
    """f = exp(w) with loss -y: exp(-w) falls linearly to 0; the horizon comes close to that."""
    start = rational(rng, Fraction(-1), Fraction(1))
    left = (-ball(start)).exp()
    share = rng.choice([Fraction(1, 10), Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)])
    horizon = Fraction(int(left.mid().man_exp()[0])) * Fraction(2) ** int(left.mid().man_exp()[1]) * share
    horizon = horizon.limit_denominator(10**6)
    problem = made(
        'kind = "expression", params = ["w"], inputs = ["x"], output = "exp(w*x)"', 'kind = "nll-log-probability"',
        [Fraction(1)], None, [start], horizon, Fraction(1),
    )  # fmt: skip
    rest = left - ball(horizon)
    gained = 1 / rest - 1 / left
    return Truth(problem, [-rest.log()], 1 / rest, [gained], [gained], arb(0))


def sine(rng: random.Random) -> Truth:
    """f = sin(w) with loss -y: the sine of w is tanh(t + c)."""
    start, horizon = rational(rng, Fraction(-1), Fraction(1)), rational(rng, Fraction(1, 2), Fraction(5))
    problem = made(
        'kind = "expression", params = ["w"], inputs = ["x"], output = "sin(w*x)"', 'kind = "nll-log-probability"',
        [Fraction(1)], None, [start], horizon, Fraction(1),
    )  # fmt: skip
    final = (ball(horizon) + ball(start).sin().atanh()).tanh()
    gained = final - ball(start).sin()
    return Truth(problem, [final.asin()], final, [gained], [gained], arb(0))


def balanced(rng: random.Random) -> Truth:
    """f = u v x with u = v: the product follows a logistic curve."""
    target, start = rational(rng, Fraction(1, 2), Fraction(2)), rational(rng, Fraction(1, 2), Fraction(3, 2))
    horizon, query = rational(rng, Fraction(1, 2), Fraction(3)), rational(rng, Fraction(-2), Fraction(2))
    problem = made(
        'kind = "deep-linear", layers = [1, 1, 1]', 'kind = "squared"', [Fraction(1)], [target], [start, start],
        horizon, query,
    )  # fmt: skip
    product, rate, end = ball(start * start), 2 * ball(target), ball(horizon)
    grown = (rate * end).exp()
    final = product * rate * grown / (rate + 2 * product * (grown - 1))
    mass = (1 + 2 * product * (grown - 1) / rate).log() / 2  # integral of the product
    q = ball(query)
    return Truth(problem, [final.sqrt(), final.sqrt()], final * q, [(final - product) * q], [2 * mass * q], arb(0))


def logit(rng: random.Random) -> Truth:
    """Logistic loss, one example of class 1: z + exp(z) grows linearly."""
    x = rational(rng, Fraction(1, 2), Fraction(2))
    start, horizon = rational(rng, Fraction(-1), Fraction(1)), rational(rng, Fraction(1, 2), Fraction(6))
    query = rational(rng, Fraction(-2), Fraction(2))
    problem = made(
        'kind = "linear", bias = false', 'kind = "logistic"', [x], [Fraction(1)], [start], horizon, query
    )  # fmt: skip
    first = ball(start * x)
    level = first + first.exp() + ball(x * x * horizon)
    final = (level - level.exp().lambertw()) / ball(x)
    q = ball(query)
    return Truth(problem, [final], final * q, [(final - ball(start)) * q], [ball(x * query * horizon)], arb(0))


FAMILIES: dict[str, Callable[[random.Random], Truth]] = {
    "line": line,
    "growth": growth,
    "quartic": quartic,
    "blow-up": blow_up,
    "sine": sine,
    "balanced": balanced,
    "logit": logit,
}


def true_case(family: str, seed: int) -> Truth:
    """The random problem of a family, the same for the same seed."""
    with working_precision(TRUE_BITS):
        return FAMILIES[family](random.Random(f"{family} {seed}"))  # noqa: S311 - random data, no secrets


def misses(truth: Truth, found: Enclosure) -> list[str]:
    """The names of the numbers whose ball does not contain the true one."""
    with working_precision(TRUE_BITS):
        pairs = [
            *(
                (f"params {k}", t, e)
                for k, (t, e) in enumerate(zip(truth.final_params, found.final_params, strict=True))
            ),
            ("final output", truth.final_output, found.final_outputs[0][0]),
            ("regularizer term", truth.regularizer_term, found.regularizer_terms[0][0]),
            ("residual", arb(0), found.residuals[0][0]),
        ]
        pairs += [(f"contribution {i}", t, found.contributions[0][i][0]) for i, t in enumerate(truth.contributions)]
        pairs += [(f"kernel {i}", t, found.path_kernels[0][i][0][0]) for i, t in enumerate(truth.path_kernel)]
        return [name for name, true, enclosed in pairs if not lies_within(true, enclosed)]


def lies_within(true: Any, found: Enclosed) -> bool:
    """Whether the true number is not proved to lie outside: it is known to 250 digits, enclosures may be exact."""
    return not bool(abs(true - ball(found.mid)) > ball(found.rad))
