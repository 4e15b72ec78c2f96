"""E2c, E2d, E3, E4, E7: identities of flows, coefficient by coefficient of their power series in time.

The flow of a polynomial problem is a power series with rational coefficients. Both sides of a claim are expanded at the
horizon, and every coefficient that is kept is compared exactly. That no other coefficient differs is what the argument
in general is for: the chain rule (P3), and the variation of constants, which SymPy decides for unknown functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.checks.paper.algebras import Series, SeriesAlgebra, gradients, integral, outputs
from pkverify.checks.paper.beyond_steps import STEPS, StepsData, preconditioned_residual, schedule_residual
from pkverify.checks.paper.finding import Audit, Finding
from pkverify.checks.paper.outcomes import generic, holds, unsettled
from pkverify.checks.paper.training import Setting, Vector, times
from pkverify.exact.paper_beyond import damping_is_undone, natural_kernel_is_invariant

ORDER = 10
_FUBINI = (
    "the order of integration over a triangle may be exchanged (Fubini), and an analytic flow equals its power series"
)
_PLAIN = "an analytic flow equals its power series"


@dataclass(frozen=True)
class FlowData:
    """A problem and the constants of its flow.

    Attributes:
        setting: Model, data, start.
        velocity: The initial velocity, for flows of second order.
        damping: gamma of the heavy ball.
        matrix: A constant preconditioner, symmetric and positive definite.
        degree: How often a factor comes out of the model.
        strength: Of the weight decay.
        speed: Coefficients of the learning rate eta(t).
    """

    setting: Setting
    velocity: Vector
    damping: Fraction
    matrix: tuple[Vector, ...]
    degree: int
    strength: Fraction
    speed: tuple[Fraction, ...]


FLOWS = FlowData(
    setting=Setting(
        output="a*b*x + b**2*x**2/2 - a**2",
        params=("a", "b"),
        inputs=(Fraction(1), Fraction(-2)),
        targets=(Fraction(1), Fraction(1, 2)),
        initial=(Fraction(1, 2), Fraction(-1, 3)),
        query=Fraction(3, 2),
    ),
    velocity=(Fraction(1, 4), Fraction(2)),
    damping=Fraction(5, 2),
    matrix=((Fraction(2), Fraction(1)), (Fraction(1), Fraction(3))),
    degree=2,
    strength=Fraction(1, 3),
    speed=(Fraction(1), Fraction(2)),
)

Pull = Callable[[Sequence[Series], SeriesAlgebra], list[Series]]


def loss_pulls(setting: Setting, path: Sequence[Series], algebra: SeriesAlgebra) -> list[list[Series]]:
    """For each example ``L'_i grad f_t(x_i)`` along a path, as series in time."""
    pulls: list[list[Series]] = []
    for x, target in zip(setting.inputs, setting.targets, strict=True):
        inputs = [algebra.number(x)]
        slope = algebra.add([outputs(setting.model, algebra, path, inputs)[0], algebra.number(-target)])
        pulls.append([algebra.multiply(slope, g) for g in gradients(setting.model, algebra, path, inputs)[0]])
    return pulls


def first_order(setting: Setting, velocity: Pull, order: int = ORDER) -> list[Series]:
    """The path of ``w' = velocity(w, t)``, a coefficient at a time."""
    path: list[Series] = [(w,) for w in setting.initial]
    for k in range(order):
        rates = velocity(path, SeriesAlgebra(k))
        path = [(*w, rate[k] / (k + 1)) for w, rate in zip(path, rates, strict=True)]
    return path


def second_order(
    setting: Setting, velocity: Vector, damping: Fraction, vanishing: int, order: int = ORDER
) -> list[Series]:
    """The path of ``w'' + (damping + vanishing/t) w' = -grad L``; with ``vanishing`` the velocity must be 0."""
    path: list[Series] = [(w, v) for w, v in zip(setting.initial, velocity, strict=True)]
    for k in range(order - 1):
        force = _sum(loss_pulls(setting, [w[: k + 1] for w in path], SeriesAlgebra(k)), SeriesAlgebra(k))
        path = [
            (*w, -(f[k] + damping * (k + 1) * w[k + 1]) / ((k + 2) * (k + 1 + vanishing)))
            for w, f in zip(path, force, strict=True)
        ]
    return path


def audit_heavy_ball(data: FlowData = FLOWS) -> Finding:
    """E2c: two damped parameters, from an initial velocity."""
    if not damping_is_undone("exponential"):
        return _undecided("E2c")
    damping = _exponential(-data.damping, SeriesAlgebra(ORDER))
    path = second_order(data.setting, data.velocity, data.damping, 0)
    misses = heavy_ball_misses(data, path, damping, _exponential(data.damping, SeriesAlgebra(ORDER)))
    return _judged("E2c", misses, _FUBINI)


def heavy_ball_misses(data: FlowData, path: list[Series], damping: Series, undone: Series) -> Series:
    """Left side minus right side of E2c, as a series in the horizon."""
    setting, algebra = data.setting, SeriesAlgebra(ORDER)
    slope = _slope(setting, path, algebra)
    start = [algebra.multiply(damping, algebra.number(v)) for v in data.velocity]
    terms = [_integrated(slope, start, algebra)]
    for pull in loss_pulls(setting, path, algebra):
        memory = [algebra.multiply(damping, integral(algebra.multiply(undone, g))) for g in pull]
        terms.append(_negative(_integrated(slope, memory, algebra), algebra))
    return _missed(setting, path, terms, algebra)


def audit_vanishing_damping(data: FlowData = FLOWS) -> Finding:
    """E2d: damping 3/t from rest; ``t^-3 int_0^t s^3 g ds`` divides the coefficient of ``t^n`` by n + 4."""
    if not damping_is_undone("cubic"):
        return _undecided("E2d")
    path = second_order(data.setting, (Fraction(0), Fraction(0)), Fraction(0), 3)
    return _judged("E2d", vanishing_damping_misses(data, path, 3), _FUBINI)


def vanishing_damping_misses(data: FlowData, path: list[Series], power: int) -> Series:
    """Left side minus right side of E2d with the weight ``(s/t)^power``."""
    setting, algebra = data.setting, SeriesAlgebra(ORDER)
    slope = _slope(setting, path, algebra)
    terms: list[Series] = []
    for pull in loss_pulls(setting, path, algebra):
        memory = [(Fraction(0), *(c / (n + 1 + power) for n, c in enumerate(g[:-1]))) for g in pull]
        terms.append(_negative(_integrated(slope, memory, algebra), algebra))
    return _missed(setting, path, terms, algebra)


def audit_preconditioned(data: FlowData = FLOWS, steps: StepsData = STEPS) -> Finding:
    """E3: a flow with a fixed preconditioner, steps with changing ones, and the natural gradient's invariance."""
    in_steps = preconditioned_residual(steps)
    if in_steps:
        return unsettled("E3", f"in steps the sum misses {in_steps}")
    if not natural_kernel_is_invariant():
        return unsettled("E3", "J (J^T F J)^-1 J^T = F^-1 was not decided")
    misses = preconditioned_misses(data, data.matrix)
    return _judged("E3", misses, _PLAIN, "; in steps with changing P_s residual 0; natural gradient invariant")


def preconditioned_misses(data: FlowData, matrix: tuple[Vector, ...]) -> Series:
    """Left side minus right side of E3, with the kernel taken with ``matrix``."""
    setting, algebra = data.setting, SeriesAlgebra(ORDER)
    path = first_order(setting, lambda w, at: _transformed(data.matrix, _fall(setting, w, at), at))
    slope = _slope(setting, path, algebra)
    terms = [
        _negative(_integrated(slope, _transformed(matrix, pull, algebra), algebra), algebra)
        for pull in loss_pulls(setting, path, algebra)
    ]
    return _missed(setting, path, terms, algebra)


def audit_weight_decay(data: FlowData = FLOWS) -> Finding:
    """E4: a model homogeneous of degree 2 with a penalty on its parameters."""
    setting = data.setting
    doubled = setting.value(tuple(2 * w for w in setting.initial), setting.query)
    if doubled != 2**data.degree * setting.value(setting.initial, setting.query):
        return unsettled("E4", f"the model is not homogeneous of degree {data.degree}")
    if not damping_is_undone("homogeneous"):
        return _undecided("E4")
    misses = weight_decay_misses(data, data.degree * data.strength)
    return _judged("E4", misses, f"Euler's relation w . grad f = k f; {_PLAIN}")


def weight_decay_misses(data: FlowData, rate: Fraction) -> Series:
    """Left side minus right side of E4 with ``exp(-rate (T - t))`` in it."""
    setting, algebra = data.setting, SeriesAlgebra(ORDER)

    def fall(w: Sequence[Series], at: SeriesAlgebra) -> list[Series]:
        decay = [at.multiply(at.number(-data.strength), v) for v in w]
        return [at.add(pair) for pair in zip(_fall(setting, w, at), decay, strict=True)]

    path = first_order(setting, fall)
    slope, damping = _slope(setting, path, algebra), _exponential(-rate, algebra)
    undone = _exponential(rate, algebra)
    start = setting.value(setting.initial, setting.query)
    # The initial output is taken off by ``_missed``; here it stays in part.
    terms = [algebra.add([algebra.multiply(damping, algebra.number(start)), algebra.number(-start)])]
    for pull in loss_pulls(setting, path, algebra):
        kernel = _dot(slope, pull, algebra)
        grown = integral(algebra.multiply(undone, kernel))
        terms.append(_negative(algebra.multiply(damping, grown), algebra))
    return _missed(setting, path, terms, algebra)


def audit_schedule(data: FlowData = FLOWS, steps: StepsData = STEPS) -> Finding:
    """E7: steps of changing length; a flow of changing speed, and the same path at the changed time."""
    in_steps = schedule_residual(steps)
    if in_steps:
        return unsettled("E7", f"in steps the sum misses {in_steps}")
    setting, algebra = data.setting, SeriesAlgebra(ORDER)
    path, speed = scheduled_path(data), _polynomial(data.speed, algebra)
    plain = first_order(setting, lambda w, at: _fall(setting, w, at))
    elapsed = integral(speed)
    if any(_composed(w, elapsed, algebra) != v for w, v in zip(plain, path, strict=True)):
        return unsettled("E7", "the flow of changing speed does not run along the plain one")
    return _judged("E7", schedule_misses(data, path, speed), _PLAIN, "; in steps of changing length residual 0")


def scheduled_path(data: FlowData) -> list[Series]:
    """The path of ``w' = -eta(t) grad L``."""
    setting = data.setting

    def fall(w: Sequence[Series], at: SeriesAlgebra) -> list[Series]:
        return [at.multiply(_polynomial(data.speed, at), f) for f in _fall(setting, w, at)]

    return first_order(setting, fall)


def schedule_misses(data: FlowData, path: list[Series], speed: Series) -> Series:
    """Left side minus right side of E7 with ``speed`` inside the integral."""
    setting, algebra = data.setting, SeriesAlgebra(ORDER)
    slope = _slope(setting, path, algebra)
    terms: list[Series] = []
    for pull in loss_pulls(setting, path, algebra):
        hurried = [algebra.multiply(speed, g) for g in pull]
        terms.append(_negative(_integrated(slope, hurried, algebra), algebra))
    return _missed(setting, path, terms, algebra)


def _judged(claim: str, misses: Series, cited: str, more: str = "") -> Finding:
    if any(misses):
        first = next(k for k, c in enumerate(misses) if c)
        return unsettled(claim, f"coefficient {first} of the residual is not 0")
    message = f"residual 0 over the rationals in all coefficients of T^0 ... T^{len(misses) - 1}{more}. In general"
    return holds(claim, generic(claim, "P3", f"{message}: the chain rule along any path", cited))


def _undecided(claim: str) -> Finding:
    return unsettled(claim, "the variation of constants was not decided for unknown functions")


def _missed(setting: Setting, path: Sequence[Series], terms: Sequence[Series], algebra: SeriesAlgebra) -> Series:
    """The change of the output at the query minus the sum of the terms."""
    final = outputs(setting.model, algebra, path, [algebra.number(setting.query)])[0]
    start = algebra.number(setting.value(setting.initial, setting.query))
    return algebra.add([final, _negative(start, algebra), *(_negative(term, algebra) for term in terms)])


def _slope(setting: Setting, path: Sequence[Series], algebra: SeriesAlgebra) -> Sequence[Series]:
    return gradients(setting.model, algebra, path, [algebra.number(setting.query)])[0]


def _fall(setting: Setting, path: Sequence[Series], algebra: SeriesAlgebra) -> list[Series]:
    """Minus the gradient of the total loss."""
    return [_negative(g, algebra) for g in _sum(loss_pulls(setting, path, algebra), algebra)]


def _sum(pulls: Sequence[Sequence[Series]], algebra: SeriesAlgebra) -> list[Series]:
    return [algebra.add(column) for column in zip(*pulls, strict=True)]


def _dot(left: Sequence[Series], right: Sequence[Series], algebra: SeriesAlgebra) -> Series:
    return algebra.add([algebra.multiply(a, b) for a, b in zip(left, right, strict=True)])


def _integrated(left: Sequence[Series], right: Sequence[Series], algebra: SeriesAlgebra) -> Series:
    return integral(_dot(left, right, algebra))


def _negative(series: Series, algebra: SeriesAlgebra) -> Series:
    return algebra.multiply(algebra.number(Fraction(-1)), series)


def _transformed(matrix: Sequence[Vector], vector: Sequence[Series], algebra: SeriesAlgebra) -> list[Series]:
    columns = [times(matrix, tuple(v[k] for v in vector)) for k in range(algebra.order + 1)]
    return [tuple(column[j] for column in columns) for j in range(len(vector))]


def _exponential(rate: Fraction, algebra: SeriesAlgebra) -> Series:
    """``exp(rate t)``."""
    terms = [Fraction(1)]
    for k in range(algebra.order):
        terms.append(terms[-1] * rate / (k + 1))
    return tuple(terms)


def _polynomial(coefficients: Sequence[Fraction], algebra: SeriesAlgebra) -> Series:
    return (*coefficients, *[Fraction(0)] * (algebra.order + 1))[: algebra.order + 1]


def _composed(outer: Series, inner: Series, algebra: SeriesAlgebra) -> Series:
    """``outer(inner(t))`` for an inner series without constant term."""
    value = algebra.number(Fraction(0))
    for coefficient in reversed(outer):
        value = algebra.add([algebra.multiply(value, inner), algebra.number(coefficient)])
    return value


AUDITS: Mapping[str, Audit] = {
    "E2c": audit_heavy_ball,
    "E2d": audit_vanishing_damping,
    "E3": audit_preconditioned,
    "E4": audit_weight_decay,
    "E7": audit_schedule,
}
