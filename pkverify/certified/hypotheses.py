"""The theorem's hypotheses, decided by balls: K away from 0 (H3), K_t of one sign (H4), the range of the -L'_i (T1c).

That the flow exists (H2) needs no function: an ``Enclosure`` is the proof. A finding is ``HOLDS`` or ``FAILS`` where
the balls prove it, else ``UNDECIDED``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, BallDomainError, real, working_precision
from pkverify.arithmetic.ball_series import around, solve_linear
from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.certified.along import PathView
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.graph import ProblemGraph
from pkverify.jets import Expansion
from pkverify.rational import decimal_above

HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided"
_INTERVALS = 2000  # looked at for one sign


@dataclass(frozen=True)
class KernelSign:
    """What is proved of the sign of ``K_t`` over the whole path.

    Attributes:
        finding: ``HOLDS``: not negative throughout, or not positive throughout. ``FAILS``: both signs occur.
        sign: Of ``K_t``, where it holds; 0 for a kernel that is identically 0, and where it does not hold.
        positive_at: A time at which it is proved to be positive, or None.
        negative_at: A time at which it is proved to be negative, or None.
    """

    finding: str
    sign: int
    positive_at: Fraction | None
    negative_at: Fraction | None


@dataclass(frozen=True)
class Range:
    """The range of a continuous function over the path, from outside and from inside.

    Attributes:
        lower: It is nowhere below.
        upper: It is nowhere above.
        attained_low: It takes a value that is not above this.
        attained_high: It takes a value that is not below this.
        is_constant: Whether it is one number by its form.
    """

    lower: Fraction
    upper: Fraction
    attained_low: Fraction
    attained_high: Fraction
    is_constant: bool


def kernel_nonzero(enclosure: Enclosure, query: int, output: int, example: int, other: int = 0) -> str:
    """H3 for one query output and one example output: ``HOLDS`` for K != 0, ``FAILS`` for K = 0 by its form.

    Example:
        >>> from pkverify.certified.enclosure import enclose
        >>> from pkverify.problem_file import parse_problem
        >>> line = enclose(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1], [0]], y = [2, 0]}
        ... flow = {initial = [0], horizon = 1}
        ... query = {x = [[3]]}
        ... \'\'\'), digits=10)
        >>> [kernel_nonzero(line, 0, 0, i) for i in range(2)]
        ['holds', 'fails']
    """
    if enclosure.path_kernels[query][example][output][other].sign:
        return HOLDS
    return FAILS if kernel_vanishes(enclosure, query, output, example, other) else UNDECIDED


def kernel_vanishes(enclosure: Enclosure, query: int, output: int, example: int, other: int = 0) -> bool:
    """Whether the tangent kernel is 0 at all parameters, as far as rational arithmetic on the graph can tell."""
    problem = enclosure.problem
    compiled = enclosure.compiled
    rows = [_Gradient(compiled, x, o) for x, o in
            ((enclosure.queries[query], output), (problem.data.inputs[example], other))]  # fmt: skip
    totals: dict[tuple[int | None, int | None], Fraction] = {}
    for j in range(len(compiled.params)):
        left, right = rows[0].factor(j), rows[1].factor(j)
        if left is None or right is None:  # one of the two derivatives is 0
            continue
        if left[0] is None or right[0] is None:
            return False
        bases = left[1], right[1]
        totals[bases] = totals.get(bases, Fraction(0)) + left[0] * right[0]
    return not any(totals.values())


class _Gradient:
    """The gradient of an output at one input, entry by entry as a rational times a node."""

    def __init__(self, compiled: ProblemGraph, inputs: tuple[Fraction, ...], output: int) -> None:
        self._graph, self._nodes = compiled.graph, compiled.jacobian[output]
        leaves = {("input", k): v for k, v in enumerate(inputs)}
        used = [n for node in self._nodes for n in (node, *self._graph.factor(node)) if n is not None]
        params: list[list[int]] = [[] for _ in compiled.params]
        self._expansion = Expansion(self._graph, used, FixedPoint(64), leaves, params)

    def factor(self, entry: int) -> tuple[Fraction | None, int | None] | None:
        """(coefficient or None where it is not rational, node); None for an entry that is identically 0."""
        constant, base = self._graph.factor(self._nodes[entry])
        if any(self._expansion.vanishes(n) for n in (self._nodes[entry], constant, base) if n is not None):
            return None
        return self._expansion.rational(constant), base


def kernel_sign(view: PathView, query: int, output: int, example: int, other: int = 0) -> KernelSign:
    """H4 for one pair: the sign of ``K_t`` along the whole path, not at sample times.

    Each step is enclosed as a whole, and halved where its enclosure contains 0.
    """
    if kernel_vanishes(view.enclosure, query, output, example, other):
        return KernelSign(HOLDS, 0, None, None)
    seen: dict[int, Fraction | None] = {1: None, -1: None}
    budget, undecided = _INTERVALS, False
    for stretch in view.tangent_kernel(query, output, example, other):
        stack = [(Fraction(0), Fraction(1))]
        while stack:
            first, last = stack.pop()
            middle = (first + last) / 2
            found = stretch.over(first, last).sign
            if not found:
                sample = stretch.at(middle).sign
                if sample and seen[sample] is None:
                    seen[sample] = stretch.time(middle)
                budget -= 1
                if budget < 0 or last - first < Fraction(1, 2**60):
                    undecided = True
                    break
                stack += [(first, middle), (middle, last)]
            elif seen[found] is None:
                seen[found] = stretch.time(middle)
            if seen[1] is not None and seen[-1] is not None:
                return KernelSign(FAILS, 0, seen[1], seen[-1])
    sign = 1 if seen[1] is not None else -1
    if undecided or seen[sign] is None:
        return KernelSign(UNDECIDED, 0, seen[1], seen[-1])
    return KernelSign(HOLDS, sign, seen[1], seen[-1])


def loss_derivative_range(view: PathView, example: int, output: int = 0, *, parts: int = 32) -> Range:
    """The range of ``-L'_i`` over the path.

    Args:
        view: The trajectory.
        example: Which example.
        output: With respect to which output.
        parts: Into how many intervals each step is cut.
    """
    compiled = view.system.compiled
    is_constant = not compiled.graph.nodes[compiled.loss_derivatives[output]].varies
    outer: list[Enclosed] = []
    inner: list[Enclosed] = []
    for stretch in view.loss_derivative(example, output):
        for part in range(parts):
            first, last = Fraction(part, parts), Fraction(part + 1, parts)
            outer.append(stretch.over(first, last))
            inner.append(stretch.at(first))
        inner.append(stretch.at(Fraction(1)))
    return Range(
        lower=-max(value.upper for value in outer), upper=-min(value.lower for value in outer),
        attained_low=-max(value.lower for value in inner), attained_high=-min(value.upper for value in inner),
        is_constant=is_constant,
    )  # fmt: skip


def is_average(weight: Enclosed, values: Range) -> str:
    """Whether ``a_i`` lies within the range of ``-L'_i`` (T1c), as far as the balls prove it.

    Where ``-L'_i`` is one number by its form, the contribution is that number times K, and ``a_i`` is it.
    """
    if values.is_constant:
        return HOLDS
    if weight.upper < values.lower or weight.lower > values.upper:
        return FAILS
    inside = values.attained_low <= weight.lower and weight.upper <= values.attained_high
    return HOLDS if inside else UNDECIDED


def kernel_weight(enclosure: Enclosure, query: int, example: int) -> tuple[Enclosed, ...] | str:
    """The weights ``a_i`` of an example at a query (one an output), or the reason why there are none.

    With several outputs they are the vector that solves ``path_kernel a = contribution``.
    """
    kernel, contribution = enclosure.path_kernels[query][example], enclosure.contributions[query][example]
    outputs = range(len(contribution))
    pairs = [(a, b) for a in outputs for b in outputs]
    if all(kernel_vanishes(enclosure, query, a, example, b) for a, b in pairs):
        return "K = 0 exactly: the tangent kernel is identically zero, so any number serves as a_i"
    with working_precision(enclosure.bits):
        matrix = [[_ball(value) for value in row] for row in kernel]
        try:
            return tuple(map(enclosed, solve_linear(matrix, [_ball(value) for value in contribution])))
        except BallDomainError:
            if len(contribution) > 1:
                return "the matrix K is not separated from a singular one"
            [[only]] = kernel
            return f"K is not separated from 0: |K| <= {decimal_above(abs(only.mid) + only.rad, 2)}"


def _ball(number: Enclosed) -> Ball:
    return around(real(number.mid), real(number.rad))
