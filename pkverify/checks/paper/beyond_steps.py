"""E1, E2, E3 (steps), E5, E6, E7 (steps), E11, E12: identities of training in steps, exactly over the rationals.

The chain rule on each segment is P3, proved for arbitrary functions; what an audit adds is that the sums of each claim,
as its formula states them, give the change of a prediction on a model with nothing special about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

from pkverify.checks.paper import training
from pkverify.checks.paper.finding import Audit, Finding
from pkverify.checks.paper.outcomes import exact, generic, holds, unsettled
from pkverify.checks.paper.training import Setting, Step, Vector
from pkverify.exact.paper_beyond import midpoint_is_exact_for_quadratics, stationary_points_are_kernel_machines
from pkverify.rational import decimal_text

SEGMENTS = "the chain rule on each segment, and the fundamental theorem"


@dataclass(frozen=True)
class StepsData:
    """A setting and how it is trained.

    Attributes:
        setting: Model and data.
        rates: A learning rate for each step.
        decay: Of the momentum.
        velocity: The initial one.
        copies: For each step, how often each example is in the batch.
        matrices: A preconditioner for each step.
    """

    setting: Setting
    rates: tuple[Fraction, ...]
    decay: Fraction
    velocity: Vector
    copies: tuple[tuple[int, ...], ...]
    matrices: tuple[tuple[Vector, ...], ...]


def _numbers(*texts: str) -> Vector:
    return tuple(Fraction(text) for text in texts)


STEPS = StepsData(
    setting=Setting(
        output="a*b*x + a**2*b*x**2/4 + a/3",
        params=("a", "b"),
        inputs=_numbers("1", "-1/2", "2"),
        targets=_numbers("1", "1/2", "-1/3"),
        initial=_numbers("1/2", "-1/3"),
        query=Fraction(3, 2),
    ),
    rates=_numbers("1/5", "1/10", "1/7"),
    decay=Fraction(2, 3),
    velocity=_numbers("1/4", "-1/5"),
    copies=((0, 2, 0), (1, 0, 1), (0, 1, 1)),
    matrices=(
        (_numbers("2", "1"), _numbers("1", "3")),
        (_numbers("1", "-1/2"), _numbers("-1/2", "1")),
        (_numbers("1/3", "0"), _numbers("0", "2")),
    ),
)


def audit_any_rate(data: StepsData = STEPS) -> Finding:
    """E1, with the exact size of what the gradient at the left end misses."""
    setting, x = data.setting, data.setting.query
    steps = training.gradient_descent(setting, [data.rates[0]] * len(data.rates))
    moved = training.change(setting, steps, x)
    residual = moved - sum(training.explained(setting, steps, x))
    missed = moved - sum(training.explained(setting, steps, x, training.left_end(setting)))
    bends = sum((setting.curvature(start, step, x) for start, step, _ in steps), Fraction(0))
    k12, k21 = (_kernel(setting, steps, setting.inputs[i], setting.inputs[j]) for i, j in ((0, 1), (1, 0)))
    if residual or missed != bends or missed == 0 or k12 == k21:
        return unsettled("E1", f"residual {_short(residual)}, left ends miss {_short(missed)}, not {_short(bends)}")
    return _established(
        "E1",
        f"{len(steps)} steps of {data.rates[0]}: residual 0 over the rationals; left ends miss {_short(missed)}, as "
        f"the "
        f"second derivatives say, exactly; the kernel is not symmetric: K_12/eps = {_short(k12)}, K_21/eps = "
        f"{_short(k21)}",
    )


def audit_momentum(data: StepsData = STEPS) -> Finding:
    """E2: the heavy ball and Nesterov's method, from an initial velocity that is not 0."""
    setting, x = data.setting, data.setting.query
    residuals: list[Fraction] = []
    for look_ahead in (False, True):
        steps = training.momentum(
            setting, data.rates[0], data.decay, data.velocity, len(data.rates), look_ahead=look_ahead
        )
        residuals.append(training.change(setting, steps, x) - sum(training.explained(setting, steps, x)))
    if any(residuals):
        return unsettled("E2", f"residuals {', '.join(map(_short, residuals))}")
    return _established(
        "E2", "heavy ball and Nesterov's method, initial velocity not 0: residuals 0 over the rationals"
    )


def preconditioned_residual(data: StepsData) -> Fraction:
    """E3 in steps: what the sum misses, with preconditioners that change from step to step."""
    steps = training.preconditioned(data.setting, data.rates[0], data.matrices)
    return training.change(data.setting, steps, data.setting.query) - sum(
        training.explained(data.setting, steps, data.setting.query)
    )


def audit_matrix_kernel(data: StepsData = STEPS) -> Finding:
    """E5: the flow is T1k; in steps, every output moves as E1 says, with the pull of all outputs of an example."""
    setting = data.setting
    second = replace(setting, output="b**2*x - a*b + x*a/2")
    pair = (setting, second)
    steps: list[Step] = []
    w = setting.initial
    for rate in data.rates:
        shares = tuple(
            training.scaled(-rate, training.total([each.pull(w, i) for each in pair]))
            for i in range(len(setting.inputs))
        )
        step = training.scaled(-rate, training.total([each.loss_gradient(w) for each in pair]))
        steps.append((w, step, shares))
        w = training.total([w, step])
    x = setting.query
    residuals = [training.change(each, steps, x) - sum(training.explained(each, steps, x)) for each in pair]
    if any(residuals):
        return unsettled("E5", f"residuals {', '.join(map(_short, residuals))}")
    return holds("E5", generic("E5", "T1k", "the flow is T1k; two outputs in steps: residuals 0 over the rationals"))


def audit_batches(data: StepsData = STEPS) -> Finding:
    """E6: batches drawn with replacement, an example twice in one of them."""
    setting, size = data.setting, sum(data.copies[0])
    scale = Fraction(len(setting.inputs), size)
    steps = training.stochastic_descent(setting, data.rates, data.copies, scale)
    residual = training.change(setting, steps, setting.query) - sum(training.explained(setting, steps, setting.query))
    if residual:
        return unsettled("E6", f"residual {_short(residual)}")
    return _established("E6", f"batches {list(data.copies)}, as multiplicities: residual 0 over the rationals")


def schedule_residual(data: StepsData) -> Fraction:
    """E7 in steps: what the sum misses, with a rate for each step."""
    steps = training.gradient_descent(data.setting, data.rates)
    return training.change(data.setting, steps, data.setting.query) - sum(
        training.explained(data.setting, steps, data.setting.query)
    )


@dataclass(frozen=True)
class MidpointData:
    """A model that is quadratic in its two parameters, and linear in them at the training inputs.

    Attributes:
        setting: Model and data; there is nothing to solve but a linear system a step.
        rate: The learning rate.
        count: The number of steps.
        points: Where the kernel matrix is looked at.
    """

    setting: Setting
    rate: Fraction
    count: int
    points: Vector


MIDPOINT = MidpointData(
    setting=Setting(
        output="a + b*x + a*b*x*(1 - x)",
        params=("a", "b"),
        inputs=_numbers("0", "1"),
        targets=_numbers("1", "-1/2"),
        initial=_numbers("1/3", "2/5"),
        query=Fraction(2),
    ),
    rate=Fraction(4, 5),
    count=4,
    points=_numbers("2", "-1", "1/2"),
)


def audit_midpoint(data: MidpointData = MIDPOINT) -> Finding:
    """E11: the sum over midpoints is exact, its kernel a matrix of inner products."""
    setting, x = data.setting, data.setting.query
    steps, middles = midpoint_steps(data)
    explained = sum(
        (training.dot(setting.gradient(m, x), share) for m, (_, _, shares) in zip(middles, steps, strict=True)
         for share in shares), Fraction(0),
    )  # fmt: skip
    residual = training.change(setting, steps, x) - explained
    gram = [
        [
            data.rate
            * sum((training.dot(setting.gradient(m, p), setting.gradient(m, q)) for m in middles), Fraction(0))
            for q in data.points
        ]
        for p in data.points
    ]
    symmetric = all(gram[i][j] == gram[j][i] for i in range(len(gram)) for j in range(i))
    if residual or not symmetric or not _semidefinite(gram) or not midpoint_is_exact_for_quadratics():
        return unsettled("E11", f"residual {_short(residual)}, symmetric {symmetric}, or no semidefinite matrix")
    return _established(
        "E11",
        f"{data.count} implicit steps of {data.rate}: residual 0 over the rationals, kernel matrix symmetric, "
        "all principal minors >= 0; f(w + d) - f(w) = grad f(w + d/2) . d for every quadratic f",
    )


def midpoint_steps(data: MidpointData) -> tuple[list[Step], list[Vector]]:
    """The implicit steps, each by solving its linear system, and their midpoints.

    At the training inputs the model is linear, so the gradient of the loss is ``A w + c``, read off at three points.
    """
    setting = data.setting
    offset = setting.loss_gradient((Fraction(0), Fraction(0)))
    columns = [
        training.total([setting.loss_gradient(unit), training.scaled(-1, offset)])
        for unit in ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    ]
    half = data.rate / 2
    left = [[int(i == j) + half * columns[j][i] for j in range(2)] for i in range(2)]
    determinant = left[0][0] * left[1][1] - left[0][1] * left[1][0]
    steps: list[Step] = []
    middles: list[Vector] = []
    w = setting.initial
    for _ in range(data.count):
        right = training.total([w, training.scaled(-half, offset)])
        middle = (
            (left[1][1] * right[0] - left[0][1] * right[1]) / determinant,
            (left[0][0] * right[1] - left[1][0] * right[0]) / determinant,
        )
        step = training.scaled(2, training.total([middle, training.scaled(-1, w)]))
        shares = tuple(training.scaled(-data.rate, setting.pull(middle, i)) for i in range(len(setting.inputs)))
        steps.append((w, step, shares))
        middles.append(middle)
        w = training.total([w, step])
    return steps, middles


@dataclass(frozen=True)
class StationaryData:
    """A homogeneous model, a penalty, and a point made stationary by its targets.

    Attributes:
        setting: Model and inputs; ``initial`` is the stationary point, and the targets make it one.
        degree: How often a factor comes out of the model.
        strength: Of the penalty.
    """

    setting: Setting
    degree: int
    strength: Fraction


STATIONARY = StationaryData(
    setting=Setting(
        output="a*b*x + b**2*x**2/2 - a**2",
        params=("a", "b"),
        inputs=_numbers("1", "-2"),
        # Solved from w_* = (2/3, -3/5) and strength 1/4: then the gradient of the penalised loss there is 0.
        targets=_numbers("-183733/243900", "543481/487800"),
        initial=_numbers("2/3", "-3/5"),
        query=Fraction(5, 3),
    ),
    degree=2,
    strength=Fraction(1, 4),
)


def audit_stationary(data: StationaryData = STATIONARY) -> Finding:
    """E12: Euler's relation and a vanishing gradient, at a point no gradient flow had to lead to."""
    setting, w, x = data.setting, data.setting.initial, data.setting.query
    slope = training.total([setting.loss_gradient(w), training.scaled(data.strength, w)])
    doubled = setting.value(training.scaled(2, w), x) == 2**data.degree * setting.value(w, x)
    machine = -sum(
        (training.dot(setting.gradient(w, x), setting.pull(w, i)) for i in range(len(setting.inputs))), Fraction(0)
    ) / (data.degree * data.strength)
    general = stationary_points_are_kernel_machines()
    if any(slope) or not doubled or machine != setting.value(w, x) or not general:
        return unsettled("E12", f"gradient {slope}, f = {setting.value(w, x)}, kernel machine {machine}")
    message = (
        f"f = w.grad f / k by Euler, and lambda w = -sum L'_i grad f(x_i) where the gradient is 0; at w = "
        f"{_plain(w)}, with "
        f"targets {_plain(setting.targets)}, lambda = {data.strength}: gradient 0 and f({x}) = {machine} on both sides"
    )
    return holds("E12", exact("E12", message))


def _established(claim: str, message: str) -> Finding:
    return holds(claim, generic(claim, "P3", f"{message}. In general: {SEGMENTS}"))


def _kernel(setting: Setting, steps: list[Step], x: Fraction, other: Fraction) -> Fraction:
    """The sum over steps of averaged gradient at one input times gradient at the start of the step at the other."""
    return sum(
        (training.dot(setting.average_gradient(w, d, x), setting.gradient(w, other)) for w, d, _ in steps), Fraction(0)
    )


def _semidefinite(matrix: list[list[Fraction]]) -> bool:
    """Whether all principal minors are at least 0."""
    size = len(matrix)
    chosen = (rows for count in range(1, size + 1) for rows in combinations(range(size), count))
    return all(_determinant([[matrix[i][j] for j in rows] for i in rows]) >= 0 for rows in chosen)


def _determinant(matrix: list[list[Fraction]]) -> Fraction:
    if len(matrix) == 1:
        return matrix[0][0]
    minors = ([row[:k] + row[k + 1 :] for row in matrix[1:]] for k in range(len(matrix)))
    return sum(((-1) ** k * matrix[0][k] * _determinant(minor) for k, minor in enumerate(minors)), Fraction(0))


def _short(value: Fraction | int) -> str:
    return decimal_text(Fraction(value), 8)


def _plain(vector: Vector) -> str:
    return f"({', '.join(map(str, vector))})"


AUDITS: Mapping[str, Audit] = {
    "E1": audit_any_rate,
    "E2": audit_momentum,
    "E5": audit_matrix_kernel,
    "E6": audit_batches,
    "E11": audit_midpoint,
    "E12": audit_stationary,
}
