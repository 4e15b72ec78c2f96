"""A graph as one row of data sees it, ready to be evaluated on real balls, complex balls or series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from pkverify.arithmetic.ball import Ball, BallAlgebra
from pkverify.arithmetic.ball_series import call, call_constant, reciprocal
from pkverify.graph import Graph, Node

_SUM, _PRODUCT, _SQUARE, _RECIPROCAL, _FUNCTION = range(5)


class Replay:
    """The wanted nodes of a graph for one row of inputs and targets.

    What the row makes constant is evaluated once, at the precision of that moment; terms whose coefficient is exactly 0
    are left out.

    Args:
        graph: The graph.
        wanted: Nodes, in the order in which ``evaluate`` returns them.
        leaves: Values of the constant leaves: (kind, index) -> exact rational, or a real ball.
        is_complex: Whether constants are complex balls; otherwise they are real, and go with series, too.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> graph = Graph()
        >>> node = graph.multiply(graph.leaf("param", 0), graph.leaf("input", 0))
        >>> [value] = Replay(graph, [node], {("input", 0): Fraction(3)}).evaluate([real(2)])
        >>> float(value)
        6.0
    """

    def __init__(
        self,
        graph: Graph,
        wanted: Sequence[int],
        leaves: Mapping[tuple[str, int], Fraction | Ball],
        *,
        is_complex: bool = False,
    ) -> None:
        self._wanted = tuple(wanted)
        self._leaves = leaves
        self._algebra = BallAlgebra(is_complex=is_complex)
        self._constants: dict[int, Ball] = {}
        self._params: dict[int, int] = {}
        self._operations: list[tuple[Any, ...]] = []
        for number in _scheduled(graph, wanted):
            self._compile(number, graph.nodes[number])
        used = {*wanted, *(n for kind, _, details in self._operations if kind == _PRODUCT for n in details)}
        self._used_constants = {number: value for number, value in self._constants.items() if number in used}

    def evaluate(self, params: Sequence[Ball]) -> list[Ball]:
        """The wanted nodes at these parameters.

        Raises:
            BallDomainError: Where a function is undefined or not analytic, or a value is not finite.
        """
        values = self._used_constants.copy()
        for number, index in self._params.items():
            values[number] = params[index]
        for kind, number, details in self._operations:
            if kind == _SUM:
                total, plus, minus, scaled = details
                for argument in plus:
                    total = values[argument] if total is None else total + values[argument]
                for coefficient, argument in scaled:
                    term = coefficient * values[argument]
                    total = term if total is None else total + term
                for argument in minus:
                    total = -values[argument] if total is None else total - values[argument]
                values[number] = total
            elif kind == _PRODUCT:
                values[number] = values[details[0]] * values[details[1]]
            elif kind == _SQUARE:
                values[number] = values[details] * values[details]
            elif kind == _RECIPROCAL:
                values[number] = reciprocal(values[details])
            else:
                function, exponent, argument = details
                values[number] = call(function, values[argument], exponent)
        return [values[number] for number in self._wanted]

    def _compile(self, number: int, node: Node) -> None:
        known = self._constants
        match node.operation:
            case "number":
                assert isinstance(node.value, Fraction)
                known[number] = self._algebra.number(node.value)
            case "pi":
                known[number] = self._algebra.pi()
            case "leaf":
                assert isinstance(node.value, tuple)
                kind, index = str(node.value[0]), int(node.value[1])
                if node.varies:
                    self._params[number] = index
                else:
                    value = self._leaves[kind, index]
                    zero = self._algebra.number(Fraction(0))  # makes a ball complex, where the others are
                    known[number] = self._algebra.number(value) if isinstance(value, Fraction) else zero + value
            case "combination":
                self._compile_sum(number, node)
            case "product":
                self._append(number, _PRODUCT, node.arguments, node.arguments)
            case "square":
                self._append(number, _SQUARE, node.arguments[0], node.arguments)
            case "reciprocal":
                self._append(number, _RECIPROCAL, node.arguments[0], node.arguments)
            case _:
                name = node.operation if node.operation != "function" else str(node.value)
                exponent = None
                if isinstance(node.value, tuple) and node.operation == "function":
                    name, exponent = "power", Fraction(node.value[1])
                self._append(number, _FUNCTION, (name, exponent, node.arguments[0]), node.arguments)

    def _compile_sum(self, number: int, node: Node) -> None:
        known = self._constants
        total = None if node.offset is None else known[node.offset]
        plus: list[int] = []
        minus: list[int] = []
        scaled: list[tuple[Ball, int]] = []
        for argument, c in zip(node.arguments, node.coefficients, strict=True):
            coefficient = known[c]
            if coefficient == 0:
                continue
            if argument in known:
                term = coefficient * known[argument]
                total = term if total is None else total + term
            elif coefficient == 1:
                plus.append(argument)
            elif coefficient == -1:
                minus.append(argument)
            else:
                scaled.append((coefficient, argument))
        if not plus and not minus and not scaled:
            known[number] = self._algebra.number(Fraction(0)) if total is None else total
        else:
            self._operations.append((_SUM, number, (total, tuple(plus), tuple(minus), tuple(scaled))))

    def _append(self, number: int, kind: int, details: Any, arguments: Sequence[int]) -> None:
        """An operation, or at once its value where the row makes all its arguments constant."""
        known = self._constants
        if not all(argument in known for argument in arguments):
            self._operations.append((kind, number, details))
        elif kind == _PRODUCT:
            known[number] = known[arguments[0]] * known[arguments[1]]
        elif kind == _SQUARE:
            known[number] = known[arguments[0]] * known[arguments[0]]
        elif kind == _RECIPROCAL:
            known[number] = reciprocal(known[arguments[0]])
        else:
            known[number] = call_constant(details[0], known[arguments[0]], details[1])


def _scheduled(graph: Graph, wanted: Iterable[int]) -> list[int]:
    """The wanted nodes and all that they use; a node's number is larger than those it uses."""
    seen, stack = set[int](), list(wanted)
    while stack:
        number = stack.pop()
        if number not in seen:
            seen.add(number)
            stack.extend(graph.uses(number))
    return sorted(seen)
