"""The integral identity (T1) as an identity of power series in time: exact, for polynomial problems, to a given order.

Where model, loss and regulariser are polynomials in the parameters and outputs, with rational numbers, so are the
Taylor coefficients of the flow w(t), and of everything along it. Those of a query's output y must be those of

    y(0) - int_0^t sum_i sum_k L'_ik(s) K(x, x_i; s) ds - int_0^t grad f(x) . grad R ds,

one by one, as fractions. The left side expands the output as it stands; the right side never does: it multiplies the
series of the loss derivatives and of the gradients.

What this says is exact and limited: that both sides of T1 agree up to O(t^(order + 1)). It says nothing of their
difference at the horizon, so that agreement proves nothing about T1 there and the verdict stays ``inconclusive``.
A coefficient that differs, on the other hand, refutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.rationals import IrrationalError, Rationals
from pkverify.errors import InputError, UntreatableError
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.graph import ProblemGraph, compile_problem
from pkverify.jets import Expansion, KinkError
from pkverify.problem import Problem, Vector

# A series of fractions grows in length with its order, and in size faster than that.
MOST_ORDERS = 40

_Coefficients = tuple[Fraction, ...]


@dataclass(frozen=True)
class SeriesSplit:
    """Both sides of T1 for one output at one query, as Taylor coefficients in time from order 0.

    Attributes:
        query: The query.
        output: Its output, from 0.
        left: The output along the flow.
        right: The initial output, plus what the examples and the regulariser add up to.
    """

    query: Vector
    output: int
    left: _Coefficients
    right: _Coefficients

    @property
    def first_difference(self) -> int | None:
        """The lowest order at which the two sides differ, or None."""
        pairs = zip(self.left, self.right, strict=True)
        return next((order for order, (a, b) in enumerate(pairs) if a != b), None)


def verify_series(problem: Problem, order: int = 5) -> Evidence:
    """Compare the Taylor coefficients of both sides of T1 at every query, as fractions.

    Args:
        problem: A problem whose model, loss and regulariser are polynomials.
        order: The highest power of t that is compared.

    Returns:
        ``refuted`` with the first coefficient that differs; otherwise ``inconclusive``: the message says up to which
        power of t the two sides are proved to agree, and nothing is said of what is beyond.

    Raises:
        InputError: For an order that is not between 1 and ``MOST_ORDERS``.
        UntreatableError: If the problem has coefficients that are not rational.
    """
    splits = series_splits(problem, order)
    hypotheses = (
        HypothesisEvidence("H0", Verdict.PROVED, "the Taylor coefficients exist: all functions are analytic at w(0)"),
        HypothesisEvidence("H2", Verdict.INCONCLUSIVE, "the flow exists near time 0; its horizon is not looked at"),
    )
    for split in splits:
        differing = split.first_difference
        if differing is not None:
            return Evidence(
                "T1", Verdict.REFUTED, "series", hypotheses, route="exact",
                residual=str(split.left[differing] - split.right[differing]),
                witness=f"coefficient of t^{differing} at x = ({', '.join(map(str, split.query))}), output "
                f"{split.output}: {split.left[differing]} and {split.right[differing]}",
                message=f"the two sides differ at order {differing}",
            )  # fmt: skip
    return Evidence(
        "T1", Verdict.INCONCLUSIVE, "series", hypotheses, route="exact",
        message=f"both sides agree exactly up to t^{order} ({len(splits) * (order + 1)} coefficients, as fractions); "
        "this says nothing of higher powers, nor of the horizon",
    )  # fmt: skip


def series_splits(problem: Problem, order: int) -> tuple[SeriesSplit, ...]:
    """Both sides of T1 as Taylor coefficients, query by query and output by output.

    Raises:
        InputError: For an order that is not between 1 and ``MOST_ORDERS``.
        UntreatableError: If the problem has coefficients that are not rational.

    Example:
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> from pkverify.problem import Dataset
        >>> one = Fraction(1)
        >>> line, data = LayeredModel("linear", (1, 1), None, False), Dataset(((one,),), ((one,),))
        >>> (split,) = series_splits(Problem(line, Loss("squared"), data, (0 * one,), one), 3)
        >>> print(*split.left)  # 1 - exp(-t)
        0 1 -1/2 1/6
    """
    if not 1 <= order <= MOST_ORDERS:
        raise InputError(f"the order {order} is out of range", f"it is from 1 to {MOST_ORDERS}", "choose one of these")
    try:
        flow = _Flow(problem, compile_problem(problem))
        flow.expand(order)
        return tuple(
            flow.split(number, output, order)
            for number in range(len(problem.query_inputs))
            for output in range(problem.model.output_count)
        )
    except (IrrationalError, KinkError, ZeroDivisionError) as error:
        raise UntreatableError(
            f"no exact power series: {error or type(error).__name__} at the start of the flow",
            "the coefficients are rational for polynomials, and for little else",
            "use the precise or the certified route",
        ) from None


class _Flow:
    """The expansions of a problem along its flow, one for each example and query, and one for the regulariser."""

    def __init__(self, problem: Problem, compiled: ProblemGraph) -> None:
        self.problem = problem
        self.compiled = compiled
        self.params = [[value] for value in problem.initial]
        rows = zip(problem.data.inputs, problem.data.targets, strict=True)
        jacobian = [node for row in compiled.jacobian for node in row]
        learnt = [*compiled.loss_derivatives, *compiled.gradient, *jacobian]
        self.examples = [self._expansion(learnt, inputs, targets) for inputs, targets in rows]
        self.queries = [self._expansion([*compiled.outputs, *jacobian], x, ()) for x in problem.query_inputs]
        self.penalty = self._expansion(compiled.penalty_gradient, (), ())

    def _expansion(self, wanted: Sequence[int], inputs: Vector, targets: Vector) -> Expansion:
        leaves = {("input", k): v for k, v in enumerate(inputs)} | {("target", k): v for k, v in enumerate(targets)}
        return Expansion(self.compiled.graph, wanted, Rationals(), leaves, self.params)

    def expand(self, order: int) -> None:
        """Expand the flow w' = -grad L and all that is wanted along it up to an order."""
        everything = [*self.examples, *self.queries, self.penalty]
        for expansion in everything:
            expansion.start()
        for k in range(order):
            for place, series in enumerate(self.params):
                pull = sum((coefficient(e, self.compiled.gradient[place], k) for e in self.examples), Fraction(0))
                if self.compiled.penalty_gradient:
                    pull += coefficient(self.penalty, self.compiled.penalty_gradient[place], k)
                series.append(-pull / (k + 1))
            for expansion in everything:
                expansion.advance(k + 1)

    def split(self, number: int, output: int, order: int) -> SeriesSplit:
        """Both sides of T1 for one output of a query."""
        query, compiled = self.queries[number], self.compiled
        left = tuple(coefficient(query, compiled.outputs[output], k) for k in range(order + 1))
        gradient = [self._series(query, node, order) for node in compiled.jacobian[output]]
        rate = [Fraction(0)] * order
        for example in self.examples:
            for derivative, row in zip(compiled.loss_derivatives, compiled.jacobian, strict=True):
                there = [self._series(example, node, order) for node in row]
                kernel = _inner(gradient, there, order)
                part = _product(self._series(example, derivative, order), kernel)
                rate = [total - term for total, term in zip(rate, part, strict=True)]
        if compiled.penalty_gradient:
            pulls = [self._series(self.penalty, node, order) for node in compiled.penalty_gradient]
            rate = [total - term for total, term in zip(rate, _inner(gradient, pulls, order), strict=True)]
        right = (left[0], *(term / (k + 1) for k, term in enumerate(rate)))
        return SeriesSplit(self.problem.query_inputs[number], output, left, right)

    def _series(self, expansion: Expansion, node: int, order: int) -> list[Fraction]:
        return [coefficient(expansion, node, k) for k in range(order)]


def coefficient(expansion: Expansion, node: int, order: int) -> Fraction:
    """A Taylor coefficient of a node, constant or not."""
    if node in expansion.constants:
        return expansion.constants[node] if order == 0 else Fraction(0)
    return expansion.series[node][order]


def _product(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    return [sum((left[j] * right[k - j] for j in range(k + 1)), Fraction(0)) for k in range(len(left))]


def _inner(left: Sequence[Sequence[Fraction]], right: Sequence[Sequence[Fraction]], order: int) -> list[Fraction]:
    total = [Fraction(0)] * order
    for a, b in zip(left, right, strict=True):
        total = [old + new for old, new in zip(total, _product(a, b), strict=True)]
    return total
