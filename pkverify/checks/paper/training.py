"""Training in steps, recorded so that every parameter change is split over the examples that caused it.

Each optimiser runs its own recursion; the split that the claim states is written beside it, from its formula and not
from the recursion. So the two need not agree, and that they do is what an audit finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.checks.paper.algebras import SeriesAlgebra, gradients, outputs, over_segment
from pkverify.expression import parse_expression
from pkverify.models import ExpressionModel

Vector = tuple[Fraction, ...]
_DEGREE = 12  # of a polynomial model along a segment: more than any here has
RATIONALS = SeriesAlgebra(0)


@dataclass(frozen=True)
class Setting:
    """A polynomial model with training data under the loss ``(y - target)^2 / 2``, summed.

    Attributes:
        output: The formula of the model, in its parameters and in x.
        params: Names of the parameters.
        inputs: Training inputs.
        targets: Their targets.
        initial: Where training starts.
        query: The input whose prediction is followed.
    """

    output: str
    params: tuple[str, ...]
    inputs: Vector
    targets: Vector
    initial: Vector
    query: Fraction

    @property
    def model(self) -> ExpressionModel:
        """The model."""
        return ExpressionModel(self.params, ("x",), (parse_expression(self.output, [*self.params, "x"]),))

    def value(self, params: Vector, x: Fraction) -> Fraction:
        """The output at x."""
        return outputs(self.model, RATIONALS, [(p,) for p in params], [(x,)])[0][0]

    def gradient(self, params: Vector, x: Fraction) -> Vector:
        """The gradient of the output at x in the parameters."""
        return tuple(slope[0] for slope in gradients(self.model, RATIONALS, [(p,) for p in params], [(x,)])[0])

    def pull(self, params: Vector, example: int) -> Vector:
        """``L'_i grad f(x_i)``."""
        slope = self.value(params, self.inputs[example]) - self.targets[example]
        return tuple(slope * g for g in self.gradient(params, self.inputs[example]))

    def loss_gradient(self, params: Vector) -> Vector:
        """The gradient of the total loss."""
        return total([self.pull(params, i) for i in range(len(self.inputs))])

    def average_gradient(self, start: Vector, step: Vector, x: Fraction) -> Vector:
        """The gradient of the output at x, averaged over a segment: an integral of polynomials, exactly."""
        algebra = SeriesAlgebra(_DEGREE)
        path = [algebra.variable(w, d) for w, d in zip(start, step, strict=True)]
        return tuple(over_segment(g) for g in gradients(self.model, algebra, path, [algebra.number(x)])[0])

    def curvature(self, start: Vector, step: Vector, x: Fraction) -> Fraction:
        """``int_0^1 (1-u) step^T Hess f(start + u step) step du``, by the second derivative of f along the segment."""
        algebra = SeriesAlgebra(_DEGREE)
        path = [algebra.variable(w, d) for w, d in zip(start, step, strict=True)]
        along = outputs(self.model, algebra, path, [algebra.number(x)])[0]
        second = [k * (k - 1) * c for k, c in enumerate(along)][2:]
        return sum((c / ((k + 1) * (k + 2)) for k, c in enumerate(second)), Fraction(0))


# (start of the step, the step, for each cause its share of the step)
Step = tuple[Vector, Vector, tuple[Vector, ...]]


def gradient_descent(setting: Setting, rates: Sequence[Fraction]) -> list[Step]:
    """Gradient descent with a rate for each step; the causes are the examples."""
    everybody = [1] * len(setting.inputs)
    return stochastic_descent(setting, rates, [everybody] * len(rates), Fraction(1))


def stochastic_descent(
    setting: Setting, rates: Sequence[Fraction], copies: Sequence[Sequence[int]], scale: Fraction
) -> list[Step]:
    """Descent on batches: ``copies[s][i]`` copies of example i at step s, the sum of their losses times ``scale``."""
    steps: list[Step] = []
    w = setting.initial
    for rate, counts in zip(rates, copies, strict=True):
        batch = [i for i, count in enumerate(counts) for _ in range(count)]
        step = scaled(-rate * scale, total([setting.pull(w, i) for i in batch]))
        shares = tuple(scaled(-rate * scale * count, setting.pull(w, i)) for i, count in enumerate(counts))
        steps.append((w, step, shares))
        w = total([w, step])
    return steps


def momentum(
    setting: Setting, rate: Fraction, decay: Fraction, velocity: Vector, count: int, *, look_ahead: bool = False
) -> list[Step]:
    """The heavy ball, or Nesterov's method; the causes are the examples, then the initial velocity.

    The share of an example in step s is ``-rate sum_{r <= s} decay^(s-r) L'_i(r) grad f_r(x_i)``.
    """
    steps: list[Step] = []
    seen: list[Vector] = []  # where the gradients were taken
    w, v = setting.initial, velocity
    for s in range(count):
        seen.append(total([w, scaled(decay, v)]) if look_ahead else w)
        v = total([scaled(decay, v), scaled(-rate, setting.loss_gradient(seen[s]))])
        shares = [
            scaled(-rate, total([scaled(decay ** (s - r), setting.pull(seen[r], i)) for r in range(s + 1)]))
            for i in range(len(setting.inputs))
        ]
        steps.append((w, v, (*shares, scaled(decay ** (s + 1), velocity))))
        w = total([w, v])
    return steps


def preconditioned(setting: Setting, rate: Fraction, matrices: Sequence[Sequence[Vector]]) -> list[Step]:
    """Steps ``-rate P_s grad L``."""
    steps: list[Step] = []
    w = setting.initial
    for matrix in matrices:
        step = scaled(-rate, times(matrix, setting.loss_gradient(w)))
        shares = tuple(scaled(-rate, times(matrix, setting.pull(w, i))) for i in range(len(setting.inputs)))
        steps.append((w, step, shares))
        w = total([w, step])
    return steps


def change(setting: Setting, steps: Sequence[Step], x: Fraction) -> Fraction:
    """The change of the output at x over the whole training, from its two ends."""
    start, last, move = steps[0][0], steps[-1][0], steps[-1][1]
    return setting.value(total([last, move]), x) - setting.value(start, x)


def explained(setting: Setting, steps: Sequence[Step], x: Fraction, rule: Rule | None = None) -> list[Fraction]:
    """For each cause what it contributes to the change at x: the averaged gradient times its shares."""
    average = setting.average_gradient if rule is None else rule
    sums = [Fraction(0)] * len(steps[0][2])
    for start, step, shares in steps:
        slope = average(start, step, x)
        sums = [known + dot(slope, share) for known, share in zip(sums, shares, strict=True)]
    return sums


Rule = Callable[[Vector, Vector, Fraction], Vector]


def left_end(setting: Setting) -> Rule:
    """The gradient at the left end of a segment, in place of its average."""
    return lambda start, _, x: setting.gradient(start, x)


def dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    """The inner product."""
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def scaled(factor: Fraction | int, vector: Vector) -> Vector:
    """A multiple of a vector."""
    return tuple(factor * v for v in vector)


def total(vectors: Sequence[Vector]) -> Vector:
    """The sum of vectors."""
    return tuple(sum(column, Fraction(0)) for column in zip(*vectors, strict=True))


def times(matrix: Sequence[Vector], vector: Vector) -> Vector:
    """A matrix times a vector."""
    return tuple(dot(row, vector) for row in matrix)
