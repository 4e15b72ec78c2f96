"""A second route to everything that the precise route produces, by other means than its own.

The precise route differentiates a graph in reverse, expands it in Taylor series and integrates these exactly. Here

* derivatives are central differences of the forward formulas, evaluated in balls;
* the path is followed from w(0) to the horizon: it has no gap, and ends where the final parameters are;
* it is put back into the flow equation, with the slope of the loss by central differences;
* every contribution and path kernel is integrated again, by Gauss quadrature along the path;
* outputs are evaluated again in balls, at both ends.

So a wrong derivative, a wrong loss, a dropped example or a wrong pair shows, and not only a wrong sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from pkverify.arithmetic.ball import Ball, BallAlgebra, endpoints, real, working_precision
from pkverify.arithmetic.quadrature import gauss_legendre
from pkverify.precise.flow import Segment
from pkverify.precise.solution import gradient_at, values_at
from pkverify.problem import Vector

if TYPE_CHECKING:
    from pkverify.checks.context import Context

MAX_DIGITS = 40  # beyond this the second route stays at so many digits: it looks for mistakes, not for rounding
_TIMES = (Fraction(1, 7), Fraction(3, 5), Fraction(19, 20))
_DIRECTIONS = 2
_BUDGET = 60_000  # evaluations of one row in a quadrature; beyond it, only the first examples are integrated again


@dataclass(frozen=True)
class Gap:
    """How far the two routes are apart.

    Attributes:
        name: What was compared.
        value: The largest difference, relative to ``max(1, |value|)``.
        tolerance: What it may be, fixed by the digits.
        note: What was left out of the comparison, in words; empty where nothing was.
    """

    name: str
    value: Fraction
    tolerance: Fraction
    note: str = ""

    @property
    def closed(self) -> bool:
        """Whether the difference is within its tolerance."""
        return self.value <= self.tolerance


def cross_check(context: Context) -> tuple[Gap, ...]:
    """All comparisons.

    Raises:
        BallDomainError: If a formula has no enclosure at a point that is looked at.
    """
    digits = min(context.digits, MAX_DIGITS)
    with working_precision(int((2 * digits + 40) * 3.33) + 64):
        return (
            Gap("outputs", _output_gap(context), Fraction(10) ** (2 - digits)),
            Gap("derivatives", _derivative_gap(context, digits), Fraction(10) ** (3 - digits)),
            Gap("path", _path_gap(context), Fraction(10) ** (2 - digits)),
            Gap("flow", _flow_gap(context, digits), Fraction(10) ** (4 - digits)),
            Gap("integrals", _integral_gap(context, digits), Fraction(10) ** (2 - digits), _left_out(context, digits)),
        )


def _output_gap(context: Context) -> Fraction:
    """Initial and final outputs against balls around f at w(0) and w(T)."""
    solution, model, worst = context.solution, context.problem.model, Fraction(0)
    final = [solution.system.numbers.fraction(v) for v in solution.path.final]
    for params, outputs in ((context.problem.initial, solution.initial_outputs), (final, solution.final_outputs)):
        for q in context.asked:
            balls = model.build(BallAlgebra(), [real(v) for v in params], [real(v) for v in solution.queries[q]])
            worst = max([worst, *(_distance(value, ball) for value, ball in zip(outputs[q], balls, strict=True))])
    return worst


def _derivative_gap(context: Context, digits: int) -> Fraction:
    """Jacobians and loss derivatives of the graph against central differences, for every row, at one time."""
    problem, worst = context.problem, Fraction(0)
    system, (state, weights) = context.solution.system, _state(context, context.problem.horizon * _TIMES[1])
    step = Fraction(1, 10 ** (digits // 2 + 3))
    for row in dict.fromkeys([*range(system.example_count), *system.query_rows]):
        inputs = system.row_inputs[row]
        differences = [_difference(context, weights, inputs, j, _near(w, step, digits)) for j, w in enumerate(weights)]
        for c in context.outputs:
            found = gradient_at(system, state, row, system.rows[row].jacobian[c])
            for value, difference in zip(found, differences, strict=True):
                worst = max(worst, _distance(system.numbers.fraction(value), difference[c]))
        if row < system.example_count:
            outputs = [endpoints(b)[0] for b in _outputs(context, weights, inputs)]
            slopes = values_at(system, state, row, system.compiled.loss_derivatives)
            for c, value in enumerate(slopes):
                move = _near(outputs[c], step, digits)
                upper, lower = (_loss(context, _moved(outputs, c, s), problem.data.targets[row]) for s in (move, -move))
                worst = max(worst, _distance(system.numbers.fraction(value), (upper - lower) / real(2 * move)))
    return worst


def _path_gap(context: Context) -> Fraction:
    """Where the path begins, whether its steps join, and where and when it ends: the flow equation shows none of it."""
    path, problem = context.solution.path, context.problem
    exact, worst = path.numbers.fraction, Fraction(0)
    time, reached = Fraction(0), list(problem.initial)

    def compare(found: Sequence[Fraction], expected: Sequence[Fraction]) -> Fraction:
        return max(abs(a - b) / max(Fraction(1), abs(b)) for a, b in zip(found, expected, strict=True))

    for segment in path.segments:
        worst = max(worst, compare([exact(series[0]) for series in segment.params], reached))
        worst = max(worst, abs(segment.start - time) / problem.horizon)
        time, reached = segment.start + segment.length, [exact(v) for v in _params(context, segment, segment.length)]
    return max(worst, abs(time - problem.horizon) / problem.horizon, compare([exact(v) for v in path.final], reached))


def _flow_gap(context: Context, digits: int) -> Fraction:
    """``w' . v`` along the path against minus the slope of the total loss in a direction v."""
    worst, step = Fraction(0), Fraction(1, 10 ** (digits // 2 + 3))
    random = Random(context.seed)  # noqa: S311 - directions to look in, the same in every run
    for part in _TIMES:
        time = context.problem.horizon * part
        _, weights = _state(context, time)
        velocity, length = _velocity(context, time)
        for _ in range(_DIRECTIONS):
            direction = [
                random.choice((-1, 1)) * Fraction(random.randint(1, 8), 8) * _near(w, Fraction(1), digits)
                for w in weights
            ]
            ends = ([w + s * v for w, v in zip(weights, direction, strict=True)] for s in (step, -step))
            upper, lower = (_total_loss(context, end) for end in ends)
            along = sum((a * b for a, b in zip(velocity, direction, strict=True)), Fraction(0))
            low, high = endpoints((upper - lower) / real(2 * step))
            difference = max(abs(along + low), abs(along + high))
            worst = max(worst, difference / max(Fraction(1), abs(along), 1 / length))
    return worst


def _integral_gap(context: Context, digits: int) -> Fraction:
    """Path kernels and contributions of every asked query against Gauss quadrature."""
    solution, numbers = context.solution, context.solution.system.numbers
    system, segments = solution.system, solution.path.segments
    rule = _rule(_points(digits), digits + 10)
    examples = range(_integrated(context, digits))
    outputs, queries = context.outputs, [system.query_rows[q] for q in context.asked]
    kernels: dict[tuple[int, int, int, int], Fraction] = {}
    contributions: dict[tuple[int, int, int], Fraction] = {}
    for segment in segments:
        for node, weight in rule:
            state = _params(context, segment, node * segment.length)
            jacobians = {
                row: [
                    [numbers.fraction(v) for v in gradient_at(system, state, row, factors)]
                    for factors in system.rows[row].jacobian
                ]
                for row in {*queries, *examples}
            }
            slopes = {i: values_at(system, state, i, system.compiled.loss_derivatives) for i in examples}
            part = weight * segment.length
            for q, row in enumerate(queries):
                for i in examples:
                    for c in outputs:
                        for o in outputs:
                            kernel = part * _dot(jacobians[row][c], jacobians[i][o])
                            kernels[q, i, c, o] = _short(kernels.get((q, i, c, o), Fraction(0)) + kernel, numbers.bits)
                            change = contributions.get((q, i, c), Fraction(0)) - numbers.fraction(slopes[i][o]) * kernel
                            contributions[q, i, c] = _short(change, numbers.bits)
    pairs = [(solution.path_kernels[q][i][c][o], value) for (q, i, c, o), value in kernels.items()]
    pairs += [(solution.contributions[q][i][c], value) for (q, i, c), value in contributions.items()]
    return max(abs(a - b) / max(Fraction(1), abs(b)) for a, b in pairs)


def _points(digits: int) -> int:
    return int(0.75 * digits) + 6


def _integrated(context: Context, digits: int) -> int:
    """How many examples the budget lets be integrated again."""
    room = _BUDGET // (len(context.solution.path.segments) * _points(digits)) - len(context.asked)
    return min(context.solution.system.example_count, max(1, room))


def _left_out(context: Context, digits: int) -> str:
    done, count = _integrated(context, digits), context.solution.system.example_count
    return "" if done == count else f"only the first {done} of {count} examples were integrated again"


@cache
def _rule(points: int, digits: int) -> tuple[tuple[Fraction, Fraction], ...]:
    """The quadrature rule: the same for every problem of a run."""
    return tuple(gauss_legendre(points, digits))


def _state(context: Context, time: Fraction) -> tuple[list[int], list[Fraction]]:
    """The parameters at a time, in units of the number type and as rationals."""
    state = context.solution.path.params_at(time)
    return state, [context.solution.system.numbers.fraction(v) for v in state]


def _params(context: Context, segment: Segment, after: Fraction) -> list[int]:
    return context.solution.path.params_at(segment.start + after)


def _velocity(context: Context, time: Fraction) -> tuple[list[Fraction], Fraction]:
    """The slope of the parameters' polynomials at a time, and the scale of their step."""
    path = context.solution.path
    segment = next((s for s in path.segments if time <= s.start + s.length), path.segments[-1])
    tau, exact = (time - segment.start) / segment.scale, path.numbers.fraction
    tau = _short(tau, path.numbers.bits)
    slopes: list[Fraction] = []
    for series in segment.params:
        slope = Fraction(0)
        for k in range(len(series) - 1, 0, -1):
            slope = _short(slope * tau + k * exact(series[k]), path.numbers.bits + 20)
        slopes.append(slope / segment.scale)
    return slopes, segment.scale


def _outputs(context: Context, weights: Sequence[Fraction], inputs: Vector) -> list[Ball]:
    return context.problem.model.build(BallAlgebra(), [real(w) for w in weights], [real(v) for v in inputs])


def _difference(context: Context, weights: Sequence[Fraction], inputs: Vector, j: int, step: Fraction) -> list[Ball]:
    """Central differences of all outputs in one parameter."""
    upper, lower = (_outputs(context, _moved(weights, j, s), inputs) for s in (step, -step))
    return [(a - b) / real(2 * step) for a, b in zip(upper, lower, strict=True)]


def _loss(context: Context, outputs: Sequence[Fraction], targets: Vector) -> Ball:
    algebra = BallAlgebra()
    value = context.problem.loss.build(algebra, [real(v) for v in outputs], [real(v) for v in targets])
    return value * real(context.problem.example_scale)


def _total_loss(context: Context, weights: Sequence[Fraction]) -> Ball:
    """The whole objective by its forward formulas: every example, the reduction, the regulariser."""
    problem, algebra = context.problem, BallAlgebra()
    params = [real(w) for w in weights]
    total = real(0)
    for inputs, targets in zip(problem.data.inputs, problem.data.targets, strict=True):
        outputs = problem.model.build(algebra, params, [real(v) for v in inputs])
        loss = problem.loss.build(algebra, outputs, [real(v) for v in targets])
        total += loss * real(problem.example_scale)
    if problem.regularizer is not None:
        total += problem.regularizer.build(algebra, problem.model.params, params)
    return total


def _near(value: Fraction, step: Fraction, digits: int) -> Fraction:
    """The step, made smaller where the value is small: a logarithm or a root may end at 0."""
    return step * min(Fraction(1), max(abs(value), Fraction(1, 10**digits))) if value else step


def _moved(values: Sequence[Fraction], at: int, step: Fraction) -> list[Fraction]:
    return [v + step if k == at else v for k, v in enumerate(values)]


def _distance(value: Fraction, ball: Ball) -> Fraction:
    """How far a number can be from what a ball encloses, relative to max(1, |value|)."""
    low, high = endpoints(ball)
    return max(abs(value - low), abs(value - high)) / max(Fraction(1), abs(value))


def _dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def _short(value: Fraction, bits: int) -> Fraction:
    """The value rounded to so many bits after the point: sums of exact products would grow without need."""
    return Fraction((value.numerator << bits) // value.denominator, 1 << bits)
