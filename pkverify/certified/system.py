"""The rows of a problem that the certified route evaluates: examples, penalty, queries, each on balls of any kind.

For each row the wanted nodes are *columns*: the gradient of the row's loss (or of the penalty), and its Jacobian, one
vector of d entries an output. Their inner products are all that the path integrals are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, real
from pkverify.certified.replay import Replay
from pkverify.graph import Graph, ProblemGraph, compile_problem
from pkverify.problem import Problem, Vector

Leaves = dict[tuple[str, int], Fraction | Ball]
_CONVEX_LOSSES = {"squared", "softmax-cross-entropy", "logistic", "nll-probability", "nll-log-probability"}


@dataclass(frozen=True)
class RowValues:
    """What one row gives at one set of balls.

    Attributes:
        gradient: d values; empty for a query.
        jacobian: C vectors of d values; empty for the penalty.
    """

    gradient: list[Ball]
    jacobian: list[list[Ball]]


class BallSystem:
    """A problem over balls at one working precision; made and used inside ``working_precision``.

    Rows are numbered: m examples, then the penalty where there is one, then the queries that are no training inputs,
    then the boxes of queries.

    Args:
        problem: The problem.
        compiled: Its graph, of which it becomes the owner: the nodes of the Hessian are added.
        queries: Query inputs.
        boxes: Boxes of queries, one real ball an input: what is evaluated there holds for every query in the box.
    """

    def __init__(
        self, problem: Problem, compiled: ProblemGraph, queries: Sequence[Vector], boxes: Sequence[Sequence[Ball]] = ()
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.queries = tuple(queries)
        self.size = len(compiled.params)
        self.outputs = len(compiled.outputs)
        self.examples = len(problem.data)
        self.penalty_row = self.examples if compiled.penalty is not None else None
        self.leaves: list[Leaves] = [
            _leaves(x, y) for x, y in zip(problem.data.inputs, problem.data.targets, strict=True)
        ]
        if compiled.penalty is not None:
            self.leaves.append({})
        place = {x: number for number, x in reversed(list(enumerate(problem.data.inputs)))}
        self.query_rows: list[int] = []
        for query in self.queries:
            if query not in place:
                place[query] = len(self.leaves)
                self.leaves.append(_leaves(query, ()))
            self.query_rows.append(place[query])
        self.box_rows = [*range(len(self.leaves), len(self.leaves) + len(boxes))]
        self.leaves += [{("input", k): ball for k, ball in enumerate(box)} for box in boxes]
        self._real = [self._replay(row, is_complex=False) for row in range(len(self.leaves))]
        self._complex = [self._replay(row, is_complex=True) for row in range(len(self.leaves))]
        self._first = [len(self._gradient_nodes(row)) for row in range(len(self.leaves))]  # of the Jacobian's values
        self._gradients: list[Replay] | None = None
        self._hessian = HessianSystem(problem, compiled, self.leaves)

    def evaluate(self, params: Sequence[Ball], *, is_complex: bool = False) -> list[RowValues]:
        """Gradient and Jacobian of every row, at real or complex balls or at series."""
        replays = self._complex if is_complex else self._real
        return [self._split(row, replay.evaluate(params)) for row, replay in enumerate(replays)]

    def total_gradient(self, rows: Sequence[RowValues]) -> list[Ball]:
        """The gradient of the total loss, penalty included."""
        sources = rows[: self.examples + (self.penalty_row is not None)]
        return [_sum([row.gradient[j] for row in sources]) for j in range(self.size)]

    @property
    def hessian(self) -> HessianSystem:
        """The Hessian of the total loss."""
        return self._hessian

    def gradient_at(self, params: Sequence[Ball]) -> list[Ball]:
        """The gradient of the total loss alone, at real balls or at series."""
        if self._gradients is None:
            rows = range(self.examples + (self.penalty_row is not None))
            self._gradients = [Replay(self.compiled.graph, self._gradient_nodes(r), self.leaves[r]) for r in rows]
        parts = [replay.evaluate(params) for replay in self._gradients]
        return [_sum(list(column)) for column in zip(*parts, strict=True)]

    def outputs_at(self, row: int, params: Sequence[Ball]) -> list[Ball]:
        """The model's outputs for a row."""
        return Replay(self.compiled.graph, self.compiled.outputs, self.leaves[row]).evaluate(params)

    def loss_derivatives_at(self, example: int, params: Sequence[Ball], *, is_complex: bool = False) -> list[Ball]:
        """The derivatives of an example's loss in the outputs."""
        nodes = self.compiled.loss_derivatives
        return Replay(self.compiled.graph, nodes, self.leaves[example], is_complex=is_complex).evaluate(params)

    def _replay(self, row: int, *, is_complex: bool) -> Replay:
        wanted = [*self._gradient_nodes(row), *(node for line in self._jacobian_nodes(row) for node in line)]
        return Replay(self.compiled.graph, wanted, self.leaves[row], is_complex=is_complex)

    def _gradient_nodes(self, row: int) -> Sequence[int]:
        if row < self.examples:
            return self.compiled.gradient
        return self.compiled.penalty_gradient if row == self.penalty_row else ()

    def _jacobian_nodes(self, row: int) -> Sequence[Sequence[int]]:
        return () if row == self.penalty_row else self.compiled.jacobian

    def _split(self, row: int, values: list[Ball]) -> RowValues:
        size, first = self.size, self._first[row]
        return RowValues(values[:first], [values[c : c + size] for c in range(first, len(values), size)])


class HessianSystem:
    """The Hessian of the total loss on real boxes.

    Attributes:
        is_constant: Whether no entry depends on the parameters (quadratic losses of linear models).
        data_is_convex: Whether the examples' part is positive semidefinite everywhere, by its form: outputs affine in
            the parameters, and a loss that is convex in them by its kind.
    """

    def __init__(self, problem: Problem, compiled: ProblemGraph, leaves: Sequence[Leaves]) -> None:
        graph, params = compiled.graph, compiled.params
        self.size = len(params)
        self._data_nodes = _upper_triangle(graph, compiled.gradient, params)
        self._penalty_nodes = _upper_triangle(graph, compiled.penalty_gradient, params)
        nodes = [*self._data_nodes, *self._penalty_nodes]
        self.is_constant = not any(graph.nodes[node].varies for node in nodes)
        self.data_is_convex = has_convex_data(problem, compiled)
        self._graph, self._leaves, self._examples = graph, leaves, len(problem.data)
        self._replays: list[Replay] | None = None
        self._penalty: Replay | None = None

    def at(self, params: Sequence[Ball], *, with_data: bool = True) -> list[list[Ball]]:
        """The Hessian as d rows of real balls; without the examples' part, that of the penalty."""
        if self._replays is None:
            self._replays = [Replay(self._graph, self._data_nodes, row) for row in self._leaves[: self._examples]]
            self._penalty = Replay(self._graph, self._penalty_nodes, {}) if self._penalty_nodes else None
        parts = [replay.evaluate(params) for replay in self._replays] if with_data else []
        if self._penalty is not None:
            parts.append(self._penalty.evaluate(params))
        flat = (
            [_sum(list(column)) for column in zip(*parts, strict=True)] if parts else [real(0)] * len(self._data_nodes)
        )
        rows: list[list[Ball]] = [[] for _ in range(self.size)]
        entries = iter(flat)
        for i in range(self.size):
            rows[i] = [rows[j][i] for j in range(i)] + [next(entries) for _ in range(i, self.size)]
        return rows


def has_convex_data(problem: Problem, compiled: ProblemGraph) -> bool:
    """Whether the examples' loss is convex in the parameters by its form alone.

    The outputs are affine in the parameters where no entry of the Jacobian depends on them; a convex function of an
    affine one is convex. A loss given by a formula is never taken for convex.
    """
    affine = not any(compiled.graph.nodes[node].varies for row in compiled.jacobian for node in row)
    return affine and problem.loss.kind in _CONVEX_LOSSES


def make_system(problem: Problem, queries: Sequence[Vector], boxes: Sequence[Sequence[Ball]] = ()) -> BallSystem:
    """Compile a problem over balls at the working precision; ``BallSystem`` has the arguments.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> system = make_system(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[2]], y = [3]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), [])
        >>> [float(value) for value in system.total_gradient(system.evaluate([real(0)]))]
        [-6.0]
    """
    return BallSystem(problem, compile_problem(problem), queries, boxes)


def _leaves(inputs: Vector, targets: Vector) -> Leaves:
    return {("input", k): v for k, v in enumerate(inputs)} | {("target", k): v for k, v in enumerate(targets)}


def _upper_triangle(graph: Graph, gradient: Sequence[int], params: Sequence[int]) -> list[int]:
    one = graph.number(Fraction(1))
    return [
        node for i, entry in enumerate(gradient) for node in graph.gradient({entry: one}, params[i:])
    ]  # row by row, from the diagonal on


def _sum(values: Sequence[Ball]) -> Ball:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
