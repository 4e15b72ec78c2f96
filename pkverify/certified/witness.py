"""Counterexamples that are proved: at a query, or somewhere between two, a claim fails, and balls say so.

The path does not depend on the query, so that the steps of one enclosure serve a whole box of queries: the input is a
ball, and what comes out holds for every query in it. docs/devdocs/certified.md has the argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import real, spanning, working_precision
from pkverify.certified import bounds
from pkverify.certified.along import PathView
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.enclosure import Enclosure, enclose, final_box
from pkverify.certified.follow import StepValues
from pkverify.certified.hypotheses import FAILS, Range, is_average, kernel_weight, loss_derivative_range
from pkverify.certified.integrals import PathIntegrals
from pkverify.certified.system import make_system
from pkverify.errors import UntreatableError
from pkverify.problem import Problem, Vector

_PARTS = 32  # of a step, on which two loss derivatives are compared


@dataclass(frozen=True)
class KernelZero:
    """The path kernel of one example at the ends of a segment of queries, and what is true all over the segment.

    Where ``is_proved``, there is a query on the segment at which ``K(x, x_i) = 0`` while the example contributes: no
    weight ``a_i`` exists there.

    Attributes:
        low: One end of the segment.
        high: The other.
        example: Number of the example, from 0.
        kernels: ``K(., x_i)`` at the two ends.
        contribution: What the example contributes, at every query of the segment.
        moved: ``y_T - b``, at every query of the segment.
    """

    low: Vector
    high: Vector
    example: int
    kernels: tuple[Enclosed, Enclosed]
    contribution: Enclosed
    moved: Enclosed

    @property
    def is_proved(self) -> bool:
        """Whether K changes its sign between the ends and the contribution is nowhere 0.

        K is continuous there: the evaluation on the box of queries refuses poles, cuts, and kinks that parameters move;
        relu and abs of the inputs alone are continuous.
        """
        return self.kernels[0].sign * self.kernels[1].sign == -1 and self.contribution.sign != 0


@dataclass(frozen=True)
class WeightOutside:
    """A weight ``a_i`` and the range of ``-L'_i`` over the path.

    Attributes:
        weight: The weight at the query.
        values: The range.
    """

    weight: Enclosed
    values: Range

    @property
    def is_proved(self) -> bool:
        """Whether the weight is outside the range."""
        return is_average(self.weight, self.values) == FAILS


@dataclass(frozen=True)
class LesserWeight:
    """Two examples' weights at a query, and how their loss derivatives compare along the whole path.

    Attributes:
        weights: ``a_i`` and ``a_j``.
        always_steeper: Whether ``|L'_i| > |L'_j|`` is proved at all times.
    """

    weights: tuple[Enclosed, Enclosed]
    always_steeper: bool

    @property
    def is_proved(self) -> bool:
        """Whether ``|L'_i| > |L'_j|`` at all times and ``|a_i| < |a_j|``."""
        first, second = self.weights
        return self.always_steeper and abs(first.mid) + first.rad < abs(second.mid) - second.rad


def kernel_zero(problem: Problem, example: int, low: Vector, high: Vector, digits: int = 30) -> KernelZero:
    """Enclose a path kernel at two queries, and the contribution at all queries between them.

    Args:
        problem: A problem with one output; its own queries are left aside.
        example: Number of the example, from 0.
        low: One query.
        high: Another one, so near that the contribution hardly changes between them.
        digits: Of the enclosures at the ends; the kernels there must be larger than ``10**-digits``.

    Returns:
        The enclosures; ``is_proved`` says whether they prove a zero.

    Raises:
        UntreatableError: For a model with several outputs, or as ``enclose``.
        InputError, FlowError: As ``enclose``.
        BallDomainError: Where the model is not analytic on the box of queries.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> problem = parse_problem(\'\'\'
        ... model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
        ... loss = {kind = "squared"}
        ... data = {x = [[0]], y = [1]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\')
        >>> zero = kernel_zero(problem, 0, (Fraction(-136, 100),), (Fraction(-135, 100),), digits=10)
        >>> zero.is_proved  # K = 1 + 2 x/e
        True
    """
    if problem.model.output_count > 1:
        raise UntreatableError(
            "the zero of a path kernel on a model with several outputs", "it is a matrix there", "take one output of it"
        )
    enclosure = enclose(problem, digits, (low, high))
    with working_precision(enclosure.bits):
        system = make_system(problem, (), [[spanning(min(a, b), max(a, b)) for a, b in zip(low, high, strict=True)]])
        integrals, [row] = PathIntegrals(system), system.box_rows
        for step in enclosure.steps:
            polynomials = step.balls()
            boxes = bounds.disc_box(polynomials, step.disc), bounds.path_neighbourhood(polynomials, step.margin)
            values = StepValues(polynomials, *(system.evaluate(box, is_complex=True) for box in boxes))
            integrals.add(step, values)
        start = [real(v) for v in problem.initial]
        [after], [before] = (system.outputs_at(row, at) for at in (final_box(enclosure.steps[-1]), start))
        contribution, moved = enclosed(-integrals.integral(row, 0, example, None)), enclosed(after - before)
    first, second = (enclosure.path_kernels[q][example][0][0] for q in range(2))
    return KernelZero(low, high, example, (first, second), contribution, moved)


def weight_outside(problem: Problem, example: int, query: Vector, digits: int = 20) -> WeightOutside | None:
    """Enclose the weight of an example at a query, and the range of its ``-L'_i``; None where there is no weight.

    Raises:
        InputError, FlowError, UntreatableError: As ``enclose``.
    """
    enclosure = enclose(problem, digits, (query,))
    weight = kernel_weight(enclosure, 0, example)
    if isinstance(weight, str) or len(weight) != 1:
        return None
    return WeightOutside(weight[0], loss_derivative_range(PathView(enclosure), example))


def lesser_weight(problem: Problem, pair: tuple[int, int], query: Vector, digits: int = 20) -> LesserWeight | None:
    """Enclose two examples' weights at a query, and compare their ``|L'|`` at all times; None without weights.

    Raises:
        InputError, FlowError, UntreatableError: As ``enclose``.
    """
    enclosure = enclose(problem, digits, (query,))
    weights = [kernel_weight(enclosure, 0, example) for example in pair]
    found = [weight[0] for weight in weights if not isinstance(weight, str) and len(weight) == 1]
    if len(found) < len(pair):
        return None
    return LesserWeight((found[0], found[1]), _is_steeper(enclosure, *pair))


def _is_steeper(enclosure: Enclosure, first: int, second: int) -> bool:
    """Whether ``|L'|`` of the first example is above that of the second on every part of every step."""
    view = PathView(enclosure)
    for left, right in zip(view.loss_derivative(first), view.loss_derivative(second), strict=True):
        for part in range(_PARTS):
            ends = Fraction(part, _PARTS), Fraction(part + 1, _PARTS)
            more, less = left.over(*ends), right.over(*ends)
            if abs(more.mid) - more.rad <= abs(less.mid) + less.rad:
                return False
    return True
