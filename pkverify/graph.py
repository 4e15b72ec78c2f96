"""The compiled graph of a problem: model, loss and regulariser with their derivatives, shared by all examples.

A ``Graph`` is an ``Algebra``: formulas are replayed into it, equal nodes are shared, constants are folded exactly, and
derivatives are taken by reverse accumulation, so that a gradient costs a small multiple of the function itself. Nodes
that depend on no parameter (the inputs and what is made of them alone) are *constant*: along a path they are numbers,
everything else is a function of time. Each function node carries its derivative as a node: ``v = f(u)`` obeys
``v' = f'(u) u'``, and this one recurrence serves every function of the grammar (docs/devdocs/precise.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.problem import Problem

FLATTEN_LIMIT = (
    32  # sums longer than this are not merged into the sums that use them: merging again and again is quadratic
)


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        operation: number, pi, leaf, combination (sum of coefficient * argument, plus the offset), product, square,
            reciprocal, function, relu, abs, step (1 where the argument is positive, else 0), sign.
        arguments: Nodes used.
        coefficients: For a combination, one constant node an argument.
        offset: For a combination, a constant node, or None for 0.
        value: The number; the leaf's (kind, index); the function's name; for a power, its exponent.
        varies: Whether the node depends on a parameter.
    """

    operation: str
    arguments: tuple[int, ...] = ()
    coefficients: tuple[int, ...] = ()
    offset: int | None = None
    value: Fraction | tuple[str, int] | tuple[str, Fraction] | str | None = None
    varies: bool = False


class Graph:
    """A growing list of nodes in an order in which each uses only earlier ones; implements ``Algebra[int]``.

    Example:
        >>> graph = Graph()
        >>> w, x = graph.leaf("param", 0), graph.leaf("input", 0)
        >>> y = graph.call("tanh", graph.multiply(w, x))
        >>> [slope] = graph.gradient({y: graph.number(Fraction(1))}, [w])
        >>> graph.nodes[slope].operation  # (1 - tanh(w x)^2) * x
        'combination'
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[Node, int] = {}
        self._derivatives: dict[int, int] = {}

    # -- leaves and constants

    def leaf(self, kind: str, index: int) -> int:
        """A parameter (kinds ``param`` and ``output`` vary) or a constant of the example (``input``, ``target``)."""
        return self._add(Node("leaf", value=(kind, index), varies=kind in {"param", "output"}))

    def number(self, value: Fraction) -> int:
        return self._add(Node("number", value=Fraction(value)))

    def pi(self) -> int:
        return self._add(Node("pi"))

    # -- operations

    def add(self, terms: Sequence[int]) -> int:
        """The sum: nested sums are merged, equal terms collected, exact constants folded."""
        collected: dict[int, list[int]] = {}
        offsets: list[int] = []
        for term in terms:
            node = self.nodes[term]
            if not node.varies:
                offsets.append(term)
            elif node.operation == "combination" and len(node.arguments) <= FLATTEN_LIMIT:
                for argument, coefficient in zip(node.arguments, node.coefficients, strict=True):
                    collected.setdefault(argument, []).append(coefficient)
                offsets += [] if node.offset is None else [node.offset]
            else:
                collected.setdefault(term, []).append(self.number(Fraction(1)))
        pairs = [(argument, self._constant_sum(cs)) for argument, cs in collected.items()]
        return self._combination([(a, c) for a, c in pairs if self._exact(c) != 0], self._constant_sum(offsets))

    def multiply(self, left: int, right: int) -> int:
        if self.nodes[right].varies and not self.nodes[left].varies:
            return self._scale(left, right)
        if self.nodes[left].varies and not self.nodes[right].varies:
            return self._scale(right, left)
        if not self.nodes[left].varies:
            return self._constant_product(left, right)
        if left == right:
            return self._add(Node("square", (left,), varies=True))
        return self._add(Node("product", tuple(sorted((left, right))), varies=True))

    def divide(self, left: int, right: int) -> int:
        return self.multiply(left, self.reciprocal(right))

    def reciprocal(self, argument: int) -> int:
        value = self._exact(argument)
        if value:
            return self.number(1 / value)
        return self._add(Node("reciprocal", (argument,), varies=self.nodes[argument].varies))

    def power(self, base: int, exponent: Fraction) -> int:
        if exponent.denominator != 1:
            if exponent == Fraction(1, 2):
                return self.call("sqrt", base)
            return self._function(base, ("power", exponent))
        count = abs(int(exponent))
        result, square = self.number(Fraction(1)), base
        while count:
            if count & 1:
                result = self.multiply(result, square)
            count >>= 1
            square = self.multiply(square, square) if count else square
        return self.reciprocal(result) if exponent < 0 else result

    def call(self, function: str, argument: int) -> int:
        if function in {"relu", "abs", "step", "sign"}:
            return self._piecewise(function, argument)
        return self._function(argument, function)

    # -- derivatives

    def derivative(self, node: int) -> int:
        """The node of ``f'(u)`` for a function node ``f(u)``."""
        if node not in self._derivatives:
            self._derivatives[node] = self._derive(node)
        return self._derivatives[node]

    def gradient(self, seeds: Mapping[int, int], wrt: Sequence[int]) -> list[int]:
        """Reverse accumulation: for each leaf the sum over the seeded nodes of seed times partial derivative.

        Args:
            seeds: Node -> node of its seed (the adjoint it starts with).
            wrt: Leaves.

        Returns:
            One node for each leaf.
        """
        adjoints: dict[int, list[int]] = {node: [seed] for node, seed in seeds.items()}
        reached = self._reachable(seeds)
        for node in sorted(reached, reverse=True):
            if node not in adjoints or not self.nodes[node].varies or self.nodes[node].operation == "leaf":
                continue
            adjoint = self.add(adjoints[node])
            if self._exact(adjoint) == 0:
                continue
            for argument, slope in self._slopes(node):
                if self.nodes[argument].varies:
                    adjoints.setdefault(argument, []).append(self.multiply(slope, adjoint))
        return [self.add(adjoints.get(leaf, [])) for leaf in wrt]

    def _slopes(self, number: int) -> list[tuple[int, int]]:
        """For each argument of a node, the node of the partial derivative."""
        node = self.nodes[number]
        match node.operation:
            case "combination":
                return list(zip(node.arguments, node.coefficients, strict=True))
            case "product":
                left, right = node.arguments
                return [(left, right), (right, left)]
            case "square":
                return [(node.arguments[0], self._scale(self.number(Fraction(2)), node.arguments[0]))]
            case "reciprocal":
                return [(node.arguments[0], self._scale(self.number(Fraction(-1)), self.multiply(number, number)))]
            case "function":
                return [(node.arguments[0], self.derivative(number))]
            case "relu":
                return [(node.arguments[0], self._piecewise("step", node.arguments[0]))]
            case "abs":
                return [(node.arguments[0], self._piecewise("sign", node.arguments[0]))]
            case _:  # step and sign are piecewise constant
                return []

    def _derive(self, number: int) -> int:
        node = self.nodes[number]
        (argument,) = node.arguments
        one, minus = self.number(Fraction(1)), self.number(Fraction(-1))
        if isinstance(node.value, tuple):  # u**r: r v / u
            exponent = node.value[1]
            assert isinstance(exponent, Fraction)
            return self._scale(self.number(exponent), self.divide(number, argument))
        match node.value:
            case "exp":
                return number
            case "log":
                return self.reciprocal(argument)
            case "sqrt":
                return self._scale(self.number(Fraction(1, 2)), self.reciprocal(number))
            case "sin":
                return self.call("cos", argument)
            case "cos":
                return self.multiply(minus, self.call("sin", argument))
            case "tan":
                return self.add([one, self.multiply(number, number)])
            case "sinh":
                return self.call("cosh", argument)
            case "cosh":
                return self.call("sinh", argument)
            case "tanh":
                return self.add([one, self.multiply(minus, self.multiply(number, number))])
            case "atan":
                return self.reciprocal(self.add([one, self.multiply(argument, argument)]))
            case "sigmoid":
                return self.add([number, self.multiply(minus, self.multiply(number, number))])
            case "softplus":
                return self.call("sigmoid", argument)
            case "erf":
                gaussian = self.call("exp", self.multiply(minus, self.multiply(argument, argument)))
                return self.multiply(self.divide(self.number(Fraction(2)), self.call("sqrt", self.pi())), gaussian)
            case _:
                raise AssertionError(f"no derivative for {node.value}")

    # -- reading a finished graph

    def uses(self, number: int) -> tuple[int, ...]:
        """The nodes that a node needs to be evaluated at one point."""
        node = self.nodes[number]
        return node.arguments + node.coefficients + (() if node.offset is None else (node.offset,))

    def factor(self, number: int) -> tuple[int, int | None]:
        """A node as (constant coefficient, varying base); the base is None where the node itself is constant."""
        node = self.nodes[number]
        if not node.varies:
            return number, None
        if node.operation == "combination" and len(node.arguments) == 1 and node.offset is None:
            return node.coefficients[0], node.arguments[0]
        return self.number(Fraction(1)), number

    def _reachable(self, roots: Mapping[int, int]) -> set[int]:
        seen, stack = set[int](), list(roots)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(self.nodes[node].arguments)
        return seen

    def _exact(self, node: int) -> Fraction | None:
        value = self.nodes[node].value
        return value if self.nodes[node].operation == "number" and isinstance(value, Fraction) else None

    def _add(self, node: Node) -> int:
        if node not in self._known:
            self.nodes.append(node)
            self._known[node] = len(self.nodes) - 1
        return self._known[node]

    def _function(self, argument: int, value: str | tuple[str, Fraction]) -> int:
        return self._add(Node("function", (argument,), value=value, varies=self.nodes[argument].varies))

    def _piecewise(self, operation: str, argument: int) -> int:
        return self._add(Node(operation, (argument,), varies=self.nodes[argument].varies))

    def _scale(self, constant: int, varying: int) -> int:
        """A constant times a varying node, as a combination."""
        value = self._exact(constant)
        if value == 1:
            return varying
        if value == 0:
            return constant
        node = self.nodes[varying]
        if node.operation != "combination" or len(node.arguments) > FLATTEN_LIMIT:
            return self._combination([(varying, constant)], self.number(Fraction(0)))
        scaled = [
            (a, self._constant_product(constant, c)) for a, c in zip(node.arguments, node.coefficients, strict=True)
        ]
        offset = self.number(Fraction(0)) if node.offset is None else self._constant_product(constant, node.offset)
        return self._combination(scaled, offset)

    def _combination(self, pairs: list[tuple[int, int]], offset: int) -> int:
        if not pairs:
            return offset
        nothing = self._exact(offset) == 0
        if len(pairs) == 1 and nothing and self._exact(pairs[0][1]) == 1:
            return pairs[0][0]
        pairs = sorted(pairs)
        arguments, coefficients = tuple(a for a, _ in pairs), tuple(c for _, c in pairs)
        return self._add(Node("combination", arguments, coefficients, None if nothing else offset, varies=True))

    def _constant_product(self, left: int, right: int) -> int:
        a, b = self._exact(left), self._exact(right)
        if a is not None and b is not None:
            return self.number(a * b)
        if a == 0 or b == 0:
            return self.number(Fraction(0))
        if a == 1 or b == 1:
            return right if a == 1 else left
        return self._add(Node("product", tuple(sorted((left, right)))))

    def _constant_sum(self, terms: Sequence[int]) -> int:
        exact = [value for value in map(self._exact, terms) if value is not None]
        rest = [term for term in terms if self._exact(term) is None]
        total = sum(exact, Fraction(0))
        if not rest:
            return self.number(total)
        if len(rest) == 1 and total == 0:
            return rest[0]
        one = self.number(Fraction(1))
        return self._add(Node("combination", tuple(rest), (one,) * len(rest), self.number(total) if total else None))


@dataclass(frozen=True)
class ProblemGraph:
    """The nodes of a problem that the routes evaluate; ``C`` outputs, ``d`` parameters.

    Attributes:
        graph: The graph.
        params: Parameter leaves, d.
        inputs: Input leaves.
        targets: Target leaves.
        outputs: C nodes.
        jacobian: C rows of d nodes: partial derivatives of the outputs.
        loss: The loss of one example, times ``Problem.example_scale``.
        loss_derivatives: C nodes: its partial derivatives in the outputs.
        gradient: d nodes: its gradient in the parameters.
        penalty: The regulariser, or None.
        penalty_gradient: d nodes, or empty without a regulariser.
    """

    graph: Graph
    params: tuple[int, ...]
    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    outputs: tuple[int, ...]
    jacobian: tuple[tuple[int, ...], ...]
    loss: int
    loss_derivatives: tuple[int, ...]
    gradient: tuple[int, ...]
    penalty: int | None
    penalty_gradient: tuple[int, ...]


def compile_problem(problem: Problem) -> ProblemGraph:
    """Compile a problem once; examples and queries differ only in the values of the input and target leaves.

    Example:
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> from pkverify.problem import Dataset
        >>> one = Fraction(1)
        >>> line = LayeredModel("linear", (1, 1), None, True)
        >>> compiled = compile_problem(Problem(line, Loss("squared"), Dataset(((one,),), ((one,),)), (one, one), one))
        >>> compiled.jacobian[0] == (compiled.inputs[0], compiled.graph.number(one))
        True
    """
    graph = Graph()
    params = tuple(graph.leaf("param", k) for k in range(len(problem.model.params)))
    inputs = tuple(graph.leaf("input", k) for k in range(problem.model.input_count))
    count = problem.loss.target_count(problem.model.output_count)
    targets = tuple(graph.leaf("target", k) for k in range(count))
    outputs = tuple(problem.model.build(graph, params, inputs))
    one = graph.number(Fraction(1))
    jacobian = tuple(tuple(graph.gradient({output: one}, params)) for output in outputs)
    loss, slopes = _loss_nodes(problem, graph, outputs, targets)
    seeds: dict[int, int] = {}
    for output, slope in zip(outputs, slopes, strict=True):  # two outputs may be one node
        seeds[output] = graph.add([seeds[output], slope]) if output in seeds else slope
    gradient = tuple(graph.gradient(seeds, params))
    penalty = None
    if problem.regularizer is not None:
        penalty = problem.regularizer.build(graph, problem.model.params, params)
    penalty_gradient = tuple(graph.gradient({penalty: one}, params)) if penalty is not None else ()
    return ProblemGraph(
        graph, params, inputs, targets, outputs, jacobian, loss, slopes, gradient, penalty, penalty_gradient
    )  # fmt: skip


def _loss_nodes(
    problem: Problem, graph: Graph, outputs: Sequence[int], targets: Sequence[int]
) -> tuple[int, tuple[int, ...]]:
    """The loss and its derivatives in the outputs.

    They are derived on a graph of their own, whose leaves stand for the outputs, and then replayed on the outputs: on
    one graph a node of the loss may coincide with an output, and its derivatives would mix.
    """
    own = Graph()
    leaves = [own.leaf("output", k) for k in range(len(outputs))]
    own_targets = [own.leaf("target", k) for k in range(len(targets))]
    if problem.loss.kind == "softmax-cross-entropy":
        value = _softmax_cross_entropy(own, leaves, own_targets)
    else:
        value = problem.loss.build(own, leaves, own_targets)
    loss = own.multiply(own.number(problem.example_scale), value)
    slopes = own.gradient({loss: own.number(Fraction(1))}, leaves)
    values = dict(zip(leaves, outputs, strict=True)) | dict(zip(own_targets, targets, strict=True))
    for number in range(len(own.nodes)):
        if number not in values:
            values[number] = _replay(own, number, graph, values)
    return values[loss], tuple(values[slope] for slope in slopes)


def _softmax_cross_entropy(graph: Graph, outputs: Sequence[int], targets: Sequence[int]) -> int:
    """``log(sum exp(y)) - targets . y`` by softplus alone: ``log(exp(a) + exp(b)) = a + softplus(b - a)``.

    Its derivatives are products of logistic functions. As exp(y)/sum they would lose their digits where a logit is
    large: numbers in units leave few of them to the reciprocal of a large sum.
    """
    minus = graph.number(Fraction(-1))
    total = outputs[0]
    for y in outputs[1:]:
        total = graph.add([total, graph.call("softplus", graph.add([y, graph.multiply(minus, total)]))])
    observed = [graph.multiply(minus, graph.multiply(t, y)) for t, y in zip(targets, outputs, strict=True)]
    return graph.add([total, *observed])


def _replay(source: Graph, number: int, target: Graph, values: Mapping[int, int]) -> int:
    node = source.nodes[number]
    arguments = [values[a] for a in node.arguments]
    match node.operation:
        case "number":
            assert isinstance(node.value, Fraction)
            return target.number(node.value)
        case "pi":
            return target.pi()
        case "combination":
            terms = [target.multiply(values[c], a) for c, a in zip(node.coefficients, arguments, strict=True)]
            return target.add(terms + ([] if node.offset is None else [values[node.offset]]))
        case "product":
            return target.multiply(*arguments)
        case "square":
            return target.multiply(arguments[0], arguments[0])
        case "reciprocal":
            return target.reciprocal(arguments[0])
        case "function" if isinstance(node.value, tuple):
            assert isinstance(node.value[1], Fraction)
            return target.power(arguments[0], node.value[1])
        case "function":
            return target.call(str(node.value), arguments[0])
        case _:
            return target.call(node.operation, arguments[0])
