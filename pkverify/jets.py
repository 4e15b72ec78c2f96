"""Taylor expansions of a graph along a path, by recurrences, over any arithmetic.

An ``Expansion`` is the graph seen by one row of inputs: constant nodes become numbers, varying nodes become lists of
Taylor coefficients that grow by one order at a time. The arithmetic supplies the convolution sum, which is where the
time goes; it is the only thing that differs between number types.

Orders grow in step with the parameters' own series: a function ``v = f(u)`` with derivative node ``p = f'(u)`` obeys
``k v_k = sum_{j=1..k} (j u_j) p_{k-j}``, which uses ``p`` only up to order k - 1, so ``p`` may itself depend on ``v``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from pkverify.arithmetic.rationals import VANISH_AT_ZERO, IrrationalError, Rationals
from pkverify.graph import Graph


class Arithmetic(Protocol):
    """What a number type supplies: conversions, functions, and sums over coefficient lists."""

    zero: Any
    one: Any

    def number(self, value: Fraction) -> Any: ...
    def pi(self) -> Any: ...
    def multiply(self, left: Any, right: Any) -> Any: ...
    def divide_integer(self, value: Any, divisor: int) -> Any: ...
    def reciprocal(self, value: Any) -> Any: ...
    def function(self, name: str, value: Any, exponent: Fraction | None = None) -> Any: ...
    def product(self, left: Sequence[Any], right: Sequence[Any]) -> Callable[[], Any]: ...
    def combination(self, coefficients: Sequence[Any], series: Sequence[Sequence[Any]]) -> Callable[[int], Any]: ...


class KinkError(Exception):
    """The argument of relu or abs is 0 and nothing says on which side the path goes on."""

    def __init__(self, node: int) -> None:
        super().__init__(node)
        self.node = node


class Expansion:
    """The Taylor coefficients of wanted nodes of a graph, for one row of inputs and targets.

    Args:
        graph: The compiled graph.
        wanted: Nodes to expand, with all that they use.
        arithmetic: The number type.
        leaves: Values of the constant leaves: (kind, index) -> exact rational.
        params: One coefficient list a parameter; shared; the caller appends one coefficient ahead of every order.

    Example:
        >>> from pkverify.arithmetic.fixed_point import FixedPoint
        >>> graph, numbers = Graph(), FixedPoint(80)
        >>> w = graph.leaf("param", 0)
        >>> e = graph.call("exp", w)
        >>> time = [numbers.zero]  # w = t, so that e = exp(t)
        >>> expansion = Expansion(graph, [e], numbers, {}, [time])
        >>> expansion.start()
        >>> for order, coefficient in ((1, numbers.one), (2, numbers.zero)):
        ...     time.append(coefficient)
        ...     expansion.advance(order)
        >>> [numbers.to_float(c) for c in expansion.series[e]]
        [1.0, 1.0, 0.5]
    """

    def __init__(
        self,
        graph: Graph,
        wanted: Iterable[int],
        arithmetic: Arithmetic,
        leaves: Mapping[tuple[str, int], Fraction],
        params: Sequence[list[Any]],
    ) -> None:
        self.constants: dict[int, Any] = {}
        self.series: dict[int, list[Any]] = {}
        self.branches: dict[int, int] = {}
        self._graph = graph
        self._arithmetic = arithmetic
        self._leaves = leaves
        self._params = params
        self._rates: dict[int, list[Any]] = {}
        self._tails: dict[int, list[Any]] = {}
        self._starts: list[Callable[[], None]] = []
        self._advances: list[Callable[[int], None]] = []
        self._kinked: dict[int, int] = {}
        self._frozen: set[int] = set()  # varying nodes that depend on no parameter for this row (x = 0, say) ...
        self._vanishing: set[int] = set()  # ... and those of them that are 0
        self._order = self._schedule(wanted)
        for node in self._order:
            self._compile(node)

    @property
    def kinks(self) -> Iterable[int]:
        """The arguments of relu and abs that vary: the expansion holds as long as none of them changes its sign."""
        return self._kinked.keys()

    def kink_name(self, argument: int) -> str:
        """The function that kinks where this argument vanishes."""
        return self._graph.nodes[self._kinked[argument]].operation

    def start(self, branches: Mapping[int, int] | None = None) -> None:
        """Evaluate order 0 from the parameters' first coefficients.

        Args:
            branches: For arguments of relu and abs that vanish here: the sign (1 or -1) they take next.

        Raises:
            KinkError: If such an argument vanishes and ``branches`` does not name it.
            DomainError: If a function is undefined here.
        """
        self.branches = dict(branches or {})
        for values in (*self._rates.values(), *self._tails.values()):
            values.clear()
        for begin in self._starts:
            begin()

    def advance(self, order: int) -> None:
        """Append the coefficient of this order to every series; the parameters must reach it already."""
        for step in self._advances:
            step(order)

    def vanishes(self, node: int) -> bool:
        """Whether a node is 0 for this row at all parameters, as far as rational arithmetic can tell."""
        return self._is_zero(node) if node in self.constants else node in self._vanishing

    def rational(self, node: int) -> Fraction | None:
        """The exact value of a constant node, or None where rational arithmetic does not reach it."""
        try:
            return Expansion(self._graph, [node], Rationals(), self._leaves, []).constants[node]
        except (IrrationalError, ZeroDivisionError):
            return None

    # -- building

    def _schedule(self, wanted: Iterable[int]) -> list[int]:
        """Wanted nodes and what they use, in an order of evaluation that puts a function before its derivative."""
        nodes, order, state = self._graph.nodes, list[int](), dict[int, bool]()
        later: list[int] = []
        stack = [(node, False) for node in reversed(list(wanted))]
        while stack or later:
            if not stack:
                stack.append((later.pop(0), False))
            node, finished = stack.pop()
            if finished:
                order.append(node)
                continue
            if node in state:
                continue
            state[node] = True
            stack.append((node, True))
            stack.extend((used, False) for used in self._graph.uses(node))
            if nodes[node].operation == "function" and nodes[node].varies:
                later.append(self._graph.derivative(node))
        return self._functions_first(order)

    def _functions_first(self, order: Sequence[int]) -> list[int]:
        """Move every function in front of its derivative, should the derivative stand earlier."""
        nodes, placed, result = self._graph.nodes, set[int](), list[int]()
        before: dict[int, list[int]] = {}
        for node in order:
            if nodes[node].operation == "function" and nodes[node].varies:
                slope = self._graph.derivative(node)
                if slope not in self._graph.uses(node) and slope != node:
                    before.setdefault(slope, []).append(node)
        for root in order:
            stack = [(root, False)]
            while stack:
                node, finished = stack.pop()
                if finished:
                    result.append(node)
                elif node not in placed:
                    placed.add(node)
                    stack.append((node, True))
                    stack.extend((u, False) for u in (*self._graph.uses(node), *before.get(node, [])))
        return result

    def _compile(self, number: int) -> None:
        if not self._graph.nodes[number].varies:
            self.constants[number] = self._constant(number)
            return
        node, out = self._graph.nodes[number], list[Any]()
        if node.operation == "leaf":
            assert isinstance(node.value, tuple)
            self.series[number] = self._params[int(node.value[1])]
            return
        self._note_frozen(number)
        self.series[number] = out
        first, rule = self._rule(number)

        def begin() -> None:
            out.clear()
            out.append(first())

        self._starts.append(begin)
        self._advances.append(lambda k: out.append(rule(k)))

    def _constant(self, number: int) -> Any:
        node, numbers = self._graph.nodes[number], self._arithmetic
        values = [self.constants[a] for a in node.arguments]
        match node.operation:
            case "number":
                assert isinstance(node.value, Fraction)
                return numbers.number(node.value)
            case "pi":
                return numbers.pi()
            case "leaf":
                return numbers.number(self._leaves[node.value])  # type: ignore[index]
            case "combination":
                total = self.constants[node.offset] if node.offset is not None else numbers.zero
                for coefficient, value in zip(node.coefficients, values, strict=True):
                    total = total + numbers.multiply(self.constants[coefficient], value)
                return total
            case "product" | "square":
                return numbers.multiply(values[0], values[-1])
            case "reciprocal":
                return numbers.reciprocal(values[0])
            case "function" if values[0] == 0 and self._vanishes_at_zero(number):
                return numbers.zero if self._is_zero(node.arguments[0]) else self._value(number, values[0])
            case "function":
                return self._value(number, values[0])
            case "relu":
                return values[0] if values[0] > 0 else numbers.zero
            case "abs":
                return abs(values[0])
            case "step":
                return numbers.one if values[0] > 0 else numbers.zero
            case _:
                return numbers.zero if values[0] == 0 else numbers.one if values[0] > 0 else -numbers.one

    def _value(self, number: int, argument: Any) -> Any:
        value = self._graph.nodes[number].value
        if isinstance(value, tuple):
            assert isinstance(value[1], Fraction)
            return self._arithmetic.function("power", argument, value[1])
        return self._arithmetic.function(str(value), argument)

    def _rule(self, number: int) -> tuple[Callable[[], Any], Callable[[int], Any]]:
        """How a varying node gets its coefficient of order 0, and of order k."""
        node, numbers = self._graph.nodes[number], self._arithmetic
        match node.operation:
            case "combination":
                arguments = [self.series[a] for a in node.arguments]
                term = numbers.combination([self.constants[c] for c in node.coefficients], arguments)
                offset = self.constants[node.offset] if node.offset is not None else numbers.zero
                return (lambda: term(0) + offset), term
            case "product" | "square":
                left, right = (self.series[a] for a in (node.arguments[0], node.arguments[-1]))
                coefficient = numbers.product(left, right)
                return coefficient, lambda _: coefficient()
            case "reciprocal":
                return self._reciprocal(number)
            case "function":
                return self._function(number)
            case _:
                return self._piecewise(number)

    def _reciprocal(self, number: int) -> tuple[Callable[[], Any], Callable[[int], Any]]:
        """``u r = 1``: ``r_k = -r_0 sum_{j=1..k} u_j r_{k-j}``."""
        numbers, out = self._arithmetic, self.series[number]
        argument = self.series[self._graph.nodes[number].arguments[0]]
        tail = self._tails.setdefault(number, [])
        coefficient = numbers.product(tail, out)

        def rule(k: int) -> Any:
            tail.append(argument[k])
            return -numbers.multiply(out[0], coefficient())

        return (lambda: numbers.reciprocal(argument[0])), rule

    def _function(self, number: int) -> tuple[Callable[[], Any], Callable[[int], Any]]:
        numbers = self._arithmetic
        argument = self.series[self._graph.nodes[number].arguments[0]]
        slope_node = self._graph.derivative(number)
        slopes, constants = self.series, self.constants
        rates, known = self._rates.setdefault(number, []), self._tails.setdefault(number, [])
        divide = numbers.divide_integer
        coefficient: Callable[[], Any] | None = None
        # Of two functions that are each other's slope (sinh and cosh) one comes first, and the other meets a series
        # that is one order ahead.
        ahead = slope_node != number and slope_node in slopes

        def rule(k: int) -> Any:
            nonlocal coefficient
            if slope_node in constants:  # a slope that does not vary: f is linear along the path
                return numbers.multiply(constants[slope_node], argument[k])
            if coefficient is None:  # the slope comes after its function, so its series is not there any earlier
                coefficient = numbers.product(rates, known if ahead else slopes[slope_node])
            rates.append(k * argument[k])
            if ahead:
                known.append(slopes[slope_node][k - 1])
            return divide(coefficient(), k)

        return (lambda: self._value(number, argument[0])), rule

    def _piecewise(self, number: int) -> tuple[Callable[[], Any], Callable[[int], Any]]:
        """relu and abs follow their argument on the side where it lies; step and sign are constant there."""
        node, numbers = self._graph.nodes[number], self._arithmetic
        (argument,) = node.arguments
        series = self.series[argument]
        frozen = argument in self._frozen
        if not frozen:
            self._kinked.setdefault(
                argument, number if node.operation in {"relu", "abs"} else self._parent(node.operation, argument)
            )

        def side() -> int:
            if argument not in self.branches:
                if series[0] == 0 and not frozen and argument not in self._switched_off():
                    raise KinkError(argument)
                self.branches[argument] = 1 if series[0] > 0 else 0 if series[0] == 0 else -1
            return self.branches[argument]

        negative = {"relu": 0, "abs": -1, "step": 0, "sign": -1}[node.operation]

        def factor() -> int:
            return 1 if side() > 0 else negative if side() < 0 else 0

        if node.operation in {"relu", "abs"}:
            return (lambda: factor() * series[0]), lambda k: factor() * series[k]
        return (lambda: factor() * numbers.one), lambda _: numbers.zero

    def _switched_off(self) -> set[int]:
        """The nodes that are 0 as long as every relu stays on its branch: behind a layer that is off for this row."""
        off = set(self._vanishing)
        for number in self._order:
            node = self._graph.nodes[number]
            if not node.varies or node.operation == "leaf":
                continue
            if node.operation == "combination":
                pairs = zip(node.arguments, node.coefficients, strict=True)
                zero = all(argument in off or self._is_zero(coefficient) for argument, coefficient in pairs)
                zero = zero and (node.offset is None or self._is_zero(node.offset))
            elif node.operation == "product":
                zero = any(argument in off for argument in node.arguments)
            else:
                zero = node.arguments[0] in off and self._vanishes_at_zero(number)
                zero = zero or (node.operation in {"relu", "step"} and self.branches.get(node.arguments[0]) == -1)
            if zero:
                off.add(number)
        return off

    def _parent(self, operation: str, argument: int) -> int:
        """The relu (for step) or abs (for sign) on the same argument; only its name is asked for."""
        wanted = "relu" if operation == "step" else "abs"
        for number, node in enumerate(self._graph.nodes):
            if node.operation == wanted and node.arguments == (argument,):
                return number
        raise AssertionError(f"{operation} without its {wanted}")

    def _note_frozen(self, number: int) -> None:
        """Note whether a varying node depends on no parameter for this row: it then meets no kink."""
        node = self._graph.nodes[number]
        frozen, vanishing = self._frozen, self._vanishing
        match node.operation:
            case "combination":
                pairs = zip(node.arguments, node.coefficients, strict=True)
                used = [argument for argument, coefficient in pairs if not self._is_zero(coefficient)]
                is_frozen = all(argument in frozen for argument in used)
                vanishes = all(argument in vanishing for argument in used)
                vanishes = vanishes and (node.offset is None or self._is_zero(node.offset))
            case "product":
                vanishes = any(argument in vanishing for argument in node.arguments)
                is_frozen = vanishes or all(argument in frozen for argument in node.arguments)
            case _:
                is_frozen = node.arguments[0] in frozen
                vanishes = node.arguments[0] in vanishing and self._vanishes_at_zero(number)
        if is_frozen or vanishes:
            frozen.add(number)
        if vanishes:
            vanishing.add(number)

    def _vanishes_at_zero(self, number: int) -> bool:
        """Whether a node with one argument is 0 where the argument is."""
        node = self._graph.nodes[number]
        if isinstance(node.value, tuple):
            return isinstance(node.value[1], Fraction) and node.value[1] > 0
        return node.operation in {"square", "relu", "abs", "sign"} or node.value in VANISH_AT_ZERO

    def _is_zero(self, number: int) -> bool:
        """Whether a constant node is exactly 0: a number type that rounds can only tell that it is small."""
        node = self._graph.nodes[number]
        if node.operation == "leaf":
            assert isinstance(node.value, tuple)
            return self._leaves[node.value] == 0  # type: ignore[index]
        if node.operation == "number" or self.constants[number] != 0:
            return node.value == 0
        return self.rational(number) == 0
