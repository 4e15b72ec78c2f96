"""The counterexamples to Theorem 1 as it is printed, and what can be decided about its wording, in closed form.

Every path and every integral is a formula that is put back into its equation, or differentiated back, before anything
is concluded from it; signs of numbers are proved by balls. Data that the formulas do not fit make a fact fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.identity import compare, is_identity
from pkverify.exact.paper_demonstration import Demonstration, is_integral, is_zero, sign_of, solves, text_of

Expr = Any

_T = sp.Symbol("t", positive=True)
_X = sp.Symbol("x", real=True)


@dataclass(frozen=True)
class BentLine:
    """CE-A: the model w + c x w^2, one example at ``example``, half the squared loss; the query is ``query_over_e`` e.

    Attributes:
        curvature: The factor c of the quadratic term.
        example: The training input.
        target: Its target.
        start: The initial weight.
        horizon: The end of the flow.
        query_over_e: The query at which the path kernel vanishes, divided by e.
        beyond: A query at which the weight leaves the range of -L'.
    """

    curvature: Fraction = Fraction(1)
    example: Fraction = Fraction(0)
    target: Fraction = Fraction(1)
    start: Fraction = Fraction(0)
    horizon: Fraction = Fraction(1)
    query_over_e: Fraction = Fraction(-1, 2)
    beyond: Fraction = Fraction(-13, 10)


class _BentPath:
    """The closed forms of ``BentLine``, with the facts that justify them."""

    def __init__(self, data: BentLine) -> None:
        c, x1, target, start = (rational(v) for v in (data.curvature, data.example, data.target, data.start))
        gap = start - target
        self.weight = target + gap * sp.exp(-_T)
        slope = 1 + 2 * c * _X * self.weight
        own_slope = 1 + 2 * c * x1 * self.weight
        self.loss_derivative = self.weight + c * x1 * self.weight**2 - target
        kernel_rate = slope * own_slope
        # For an example at 0 these are the integrals; elsewhere the facts below fail.
        self.kernel = _T + 2 * c * _X * (target * _T + gap * (1 - sp.exp(-_T)))
        self.change = (self.weight - start) + c * _X * (self.weight**2 - start**2)
        self.facts = (
            ("the path solves w' = -L'(w) df/dw", solves(
                [self.weight], [-self.loss_derivative * own_slope], [start], _T)),
            ("K is the integral of the tangent kernel", is_integral(self.kernel, kernel_rate, _T)),
            ("the output moves by -integral L' K_t", is_integral(self.change, -self.loss_derivative * kernel_rate, _T)),
        )  # fmt: skip

    def at(self, formula: Expr, horizon: Fraction, query: Expr) -> Expr:
        return formula.subs({_T: rational(horizon), _X: query}, simultaneous=True)


def vanishing_path_kernel(data: BentLine) -> Demonstration:
    """The path kernel is 0 at the query while the output moves: there is no finite weight (T1a, P9)."""
    path = _BentPath(data)
    query = rational(data.query_over_e) * sp.E
    kernel, change = (path.at(formula, data.horizon, query) for formula in (path.kernel, path.change))
    return Demonstration(
        (*path.facts, ("K(x, x_1) = 0", is_zero(kernel)), ("y_T - y_0 is not 0", sign_of(change) != 0)),
        (("x", text_of(query)), ("K(x, x_1)", text_of(kernel)), ("y_T - y_0", text_of(change))),
    )


def weight_out_of_range(data: BentLine) -> Demonstration:
    """The weight lies outside the range of -L' along the path (T1c, P10)."""
    path = _BentPath(data)
    query, end = rational(data.beyond), rational(data.horizon)
    kernel, change = (path.at(formula, data.horizon, query) for formula in (path.kernel, path.change))
    first, last = (-path.loss_derivative.subs(_T, time) for time in (sp.Integer(0), end))
    # -L' = (y* - w_0) exp(-t) for an example at 0: monotone, so that its range lies between its ends.
    gap = rational(data.target - data.start)
    monotone = is_identity(path.loss_derivative, -gap * sp.exp(-_T))
    nonzero = sign_of(kernel) != 0
    weight = change / kernel if nonzero else sp.nan
    outside = nonzero and (
        sign_of(weight - first) == sign_of(weight - last) != 0
    )  # on one side of both ends of the range
    return Demonstration(
        (
            *path.facts,
            ("-L' runs monotonically between its two ends", monotone),
            ("K(x, x_1) is not 0", nonzero),
            ("a_1 lies outside the range of -L'", outside),
        ),
        (
            ("x", str(data.beyond)),
            ("a_1", text_of(weight) if nonzero else "none"),
            ("-L' from", text_of(first)),
            ("to", text_of(last)),
        ),
    )


def bent_line_weight(data: BentLine, query: Fraction) -> str:
    """The weight of ``BentLine`` at a rational query, to 20 digits."""
    path = _BentPath(data)
    values = [path.at(formula, data.horizon, rational(query)) for formula in (path.change, path.kernel)]
    return text_of(values[0] / values[1])


@dataclass(frozen=True)
class Exponential:
    """CE-E: the model exp(w x), one example at 1, half the squared loss, stopped when the output there is ``end``.

    Attributes:
        target: The target.
        start: The initial weight.
        end: The output at the example when training stops.
    """

    target: Fraction = Fraction(2)
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(3, 2)


def weights_of_exponential(data: Exponential) -> Demonstration:
    """The weights at the queries 1, 2, 3 differ, and no constant a_1 and b serve all three (M2)."""
    u = sp.Symbol("u", positive=True)  # the output at the example, which runs from 1 to the end
    target, end = rational(data.target), rational(data.end)
    start = sp.exp(rational(data.start))
    log = sp.log(target - u)
    # K(x, 1) = integral of x u^(x-1) / (y* - u) du, because du/dt = (y* - u) u^2 and K_t = x u^(x+1).
    antiderivatives = {
        1: -log,
        2: 2 * (-u - target * log),
        3: 3 * (-(u**2) / 2 - target * u - target**2 * log),
    }
    facts = [
        ("training runs upwards from exp(w_0), and stops below the target",
         sign_of(end - start) > 0 and sign_of(target - end) > 0),
    ]  # fmt: skip
    # The path kernel and its rate, with u for exp(w): y = u^x, dy/dw = x u^x.
    flow = (target - u) * u**2
    kernels, changes = [], []
    for x, formula in antiderivatives.items():
        rate = x * u ** (x + 1)
        facts.append((f"K({x}, 1) is integrated", is_identity(sp.diff(formula, u) * flow, rate)))
        kernels.append(formula.subs(u, end) - formula.subs(u, start))
        changes.append(end**x - start**x)
    if not facts[0][1]:
        return Demonstration(tuple(facts))
    weights = [change / kernel for change, kernel in zip(changes, kernels, strict=True)]
    determinant = sp.Matrix(3, 3, lambda i, j: (kernels[i], sp.Integer(1), end ** (i + 1))[j]).det()
    facts += [
        ("a_1(1) is not a_1(2)", sign_of(weights[0] - weights[1]) != 0),
        ("no constants a_1, b serve the queries 1, 2, 3", sign_of(determinant) != 0),
    ]
    values = [(f"a_1({x})", text_of(weight)) for x, weight in enumerate(weights, 1)]
    return Demonstration(tuple(facts), (*values, ("det [K(x, 1), 1, y_T(x)]", text_of(determinant))))


@dataclass(frozen=True)
class TwoOutputs:
    """CE-V: outputs (w_1, w_2 + x w_2^2), one example at 0 with targets (1, 1); the query is ``query_over_e`` e.

    Attributes:
        targets: The targets.
        start: The initial weights.
        horizon: The end of the flow.
        query_over_e: The query, divided by e.
    """

    targets: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    start: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    horizon: Fraction = Fraction(1)
    query_over_e: Fraction = Fraction(-1, 2)


def singular_matrix_kernel(data: TwoOutputs) -> Demonstration:
    """The integrated matrix kernel is singular, and what it should be multiplied to is not in its range (T1k)."""
    at = {_T: rational(data.horizon), _X: rational(data.query_over_e) * sp.E}
    targets, start = ([rational(v) for v in pair] for pair in (data.targets, data.start))
    path = [y + (w - y) * sp.exp(-_T) for y, w in zip(targets, start, strict=True)]
    slopes = [w - y for w, y in zip(path, targets, strict=True)]
    jacobian = [sp.Integer(1), 1 + 2 * _X * path[1]]  # diagonal at the query, the identity at the example
    gap = start[1] - targets[1]
    kernel = [_T, _T + 2 * _X * (targets[1] * _T + gap * (1 - sp.exp(-_T)))]
    moved = [path[0] - start[0], path[1] - start[1] + _X * (path[1] ** 2 - start[1] ** 2)]
    kernel_end, moved_end = ([each.subs(at, simultaneous=True) for each in pair] for pair in (kernel, moved))
    facts = (
        ("the path solves the flow", solves(path, [-s for s in slopes], start, _T)),
        ("the kernels are integrated", all(map(is_integral, kernel, jacobian, (_T, _T)))),
        ("the outputs move by -integral J J^T grad l", all(
            is_integral(each, -s * j, _T) for each, s, j in zip(moved, slopes, jacobian, strict=True))),
        ("the second row of the integrated kernel is 0", is_zero(kernel_end[1])),
        ("the second output moves", sign_of(moved_end[1]) != 0),
    )  # fmt: skip
    values = tuple(
        (name, f"({text_of(a)}, {text_of(b)})")
        for name, (a, b) in (("diagonal of int J J^T dt", kernel_end), ("int J J^T grad l dt", [-m for m in moved_end]))
    )
    return Demonstration(facts, values)


def softmax_is_singular(classes: int = 3) -> Demonstration:
    """Softmax probabilities sum to 1, so that 1^T J = 0 and every integral of J J^T is singular (T1k)."""
    w = sp.symbols(f"w1:{classes + 1}")
    logits = [sp.Function(f"z{c + 1}")(*w) for c in range(classes)]
    total = sp.Add(*map(sp.exp, logits))
    probabilities = [sp.exp(z) / total for z in logits]
    column = [sp.Add(*(sp.diff(p, each) for p in probabilities)) for each in w]
    return Demonstration(((f"1^T J = 0 for softmax over {classes} arbitrary logits", all(map(is_zero, column))),))


@dataclass(frozen=True)
class BlowUp:
    """f = w^3/3 with the loss -y."""

    start: Fraction = Fraction(1)
    horizon: Fraction = Fraction(1)


def blow_up(data: BlowUp) -> Demonstration:
    """The flow of f = w^3/3 with the loss -y has ended by the horizon (T1f)."""
    w = sp.Symbol("w")
    w0, end = rational(data.start), rational(data.horizon)
    flow = sp.diff(w**3 / 3, w)  # w' = -L' df/dw with L' = -1
    path = w0 / (1 - w0 * _T)
    return Demonstration(
        (
            ("w_0/(1 - w_0 t) solves w' = w^2", solves([path], [flow.subs(w, path)], [w0], _T)),
            ("it has a pole at 1/w_0, no later than T", data.start > 0 and is_zero((1 / path).subs(_T, 1 / w0))
             and bool(1 / w0 <= end)),
        ),
        (("w(t)", str(path)), ("blow-up at t", str(1 / w0))),
    )  # fmt: skip


def factors_of_linear_model() -> Demonstration:
    """For y = w x the kernels grow without end, and the weights tend to the residuals of least squares (T1d)."""
    x, y = sp.symbols("x1:3", positive=True), sp.symbols("y1:3", real=True)
    w0, query = sp.symbols("w0 x", real=True)
    total = sp.Add(*(v**2 for v in x))
    best = sp.Add(*(a * b for a, b in zip(x, y, strict=True))) / total
    path = best + (w0 - best) * sp.exp(-total * _T)
    residuals = [b - a * path for a, b in zip(x, y, strict=True)]
    flow = sp.Add(*(r * a for r, a in zip(residuals, x, strict=True)))
    decay = (1 - sp.exp(-total * _T)) / (total * _T)
    weights = [b - a * (best + (w0 - best) * decay) for a, b in zip(x, y, strict=True)]
    kernels = [_T * query * a for a in x]
    ols = [b - a * best for a, b in zip(x, y, strict=True)]
    products = sp.Add(*(a * k for a, k in zip(weights, kernels, strict=True)))
    facts = [
        ("the path solves the flow", solves([path], [flow], [w0], _T)),
        ("K_i = T x x_i", all(is_integral(k, query * a, _T) for k, a in zip(kernels, x, strict=True))),
        ("sum_i a_i K_i = x (w(T) - w_0), which converges", is_identity(products, query * (path - w0))),
    ]
    for i, (a, k, r) in enumerate(zip(weights, kernels, residuals, strict=True)):
        change = sp.diff(a * k, _T)
        facts.append((f"a_{i + 1} K_{i + 1} is the integral of -L' K_t", is_identity(change, r * query * x[i])))
        # |1 - exp(-S T)| <= 1: the distance from the residual is at most x_i |w_0 - p| / (S T).
        facts.append(
            (
                f"a_{i + 1} = r_{i + 1} - x_{i + 1} (w_0 - p)(1 - exp(-S T))/(S T)",
                is_identity(a - ols[i], -x[i] * (w0 - best) * decay),
            )
        )
    values = (("K(x, x_i)", "T x x_i, unbounded"), ("a_i", "to the residual y_i* - p x_i"))
    return Demonstration(tuple(facts), values)


def factors_of_probability(start: Fraction = Fraction(1, 2)) -> Demonstration:
    """One example, output p = sigmoid(w), loss -log p: K tends to (1 - p_0^2)/2 and a to 2/(1 + p_0) (T1d)."""
    p, p0 = sp.symbols("p p0", positive=True)
    kernel = (p**2 - p0**2) / 2
    weight = 2 / (p0 + p)
    # By the single-example law K = integral of dp/(1/p); a K = p - p_0.
    facts = (
        ("K = (p^2 - p_0^2)/2", is_integral(kernel, p, p, p0)),
        ("a K = p - p_0", is_identity(weight * kernel, p - p0)),
        ("the probability starts inside (0, 1), so that it tends to 1", 0 < start < 1),
    )
    at = {p: sp.Integer(1), p0: rational(start)}
    return Demonstration(facts, (("K", str(kernel.subs(at))), ("a_1", str(weight.subs(at)))))


def many_weights() -> Demonstration:
    """At one query several weights give the same output: only the formula singles one out (T1h)."""
    a1, a2, k1, k2, b = sp.symbols("a1 a2 K1 K2 b", real=True)
    same = is_identity(a1 * k1 + a2 * k2 + b, (a1 + k2) * k1 + (a2 - k1) * k2 + b)
    return Demonstration((("(a_1 + K_2, a_2 - K_1) gives what (a_1, a_2) gives", same),))


def lookup_table() -> Demonstration:
    """f_w(x) = w_x: the inputs are names and nothing else (T1j)."""
    names = ("a tree", "a word", "a graph")  # the last is not among the examples
    weights = {name: sp.Symbol(f"w{k}") for k, name in enumerate(names)}
    start, target = sp.symbols("s y", real=True)
    trained = target + (start - target) * sp.exp(-_T)
    kernels = {
        (a, b): sp.Add(*(sp.diff(weights[a], w) * sp.diff(weights[b], w) for w in weights.values()))
        for a in names
        for b in names
    }
    facts = (
        ("K_t is 1 for equal inputs and 0 for others", all(k == (1 if a == b else 0) for (a, b), k in kernels.items())),
        ("the entry of an example follows its own flow", solves([trained], [-(trained - target)], [start], _T)),
        ("y_T - y_0 = a T with a the average of -L'", is_integral(trained - start, -(trained - target), _T)),
    )
    return Demonstration(facts, (("K(x, x')", "T if x = x', else 0"), ("unseen x", "K = 0 and y_T = y_0")))


def any_function_is_a_machine() -> Demonstration:
    """Any F is sum_i a_i(x) K(x, x_i) + b(x) for any K without zeros; and constant weights do for K = F F (M1)."""
    x, x1, x2 = sp.symbols("x x1 x2", real=True)
    target, offset, kernel = (sp.Function(name) for name in ("F", "b", "K"))
    gap = target(x) - offset(x)
    machine = sp.Add(*(gap / (2 * kernel(x, each)) * kernel(x, each) for each in (x1, x2)), evaluate=False)
    free = compare(machine + offset(x), target(x))
    rank_one = compare(target(x) * target(x1) / target(x1), target(x))
    v1, v2 = sp.symbols("v1 v2", real=True)
    square = is_identity(
        sum(a * b * target(p) * target(q) for a, p in ((v1, x1), (v2, x2)) for b, q in ((v1, x1), (v2, x2))),
        (v1 * target(x1) + v2 * target(x2)) ** 2,
    )
    return Demonstration((
        ("a_i(x) = (F(x) - b(x))/(m K(x, x_i)) gives F, whatever F, b and K are", free.identical),
        ("K(x, x') = F(x) F(x') with a_1 = 1/F(x_1), b = 0 gives F", rank_one.identical),
        ("F(x) F(x') is positive semidefinite", square),
    ))  # fmt: skip
