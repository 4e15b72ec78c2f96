"""The theorem's objects for a model and a loss about which nothing is known: undefined functions of the parameters.

Inputs never appear: the theorem uses x and x_i only as labels, so that ``f`` is the model at the query and ``f1``,
``f2``, ... are the model at the examples, each a function of the parameters ``w1(t)``, ``w2(t)``, ... on the path.
Quantities that the proof *names* (the tangent kernel, its integral, the average, ...) are opaque functions of time; a
step that uses such a definition says so, and :func:`unfold` puts the formula in the place of the name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pkverify.exact.identity import divided

Expr = Any

TIME = sp.Symbol("t")
# The variable of integration over time, and over outputs.
PAST = sp.Symbol("s")
OUTPUT = sp.Symbol("u")

LOSSES = ("additive", "joint", "log-probability")


@dataclass(frozen=True)
class GenericModel:
    """A generic model ``f`` and loss, of given sizes.

    Attributes:
        params: Number of parameters, d.
        examples: Number of training examples, m.
        outputs: Outputs of the model, C; 1 for the scalar theorem.
        loss: ``additive``: sum of unknown l_i(y_i), the target being part of l_i. ``joint``: one unknown function of
            the outputs at all examples. ``log-probability``: the sum of -y_i, for a model whose output is log p.
        query_is_example: Whether the query is the first example.

    Example:
        >>> GenericModel(params=2).query(TIME)
        (f(w1(t), w2(t)),)
    """

    params: int = 1
    examples: int = 1
    outputs: int = 1
    loss: str = "additive"
    query_is_example: bool = False

    def __post_init__(self) -> None:
        if min(self.params, self.examples, self.outputs) < 1 or self.loss not in LOSSES:
            raise ValueError(f"no generic model: {self}")
        if self.loss == "log-probability" and self.outputs != 1:
            raise ValueError("the log-probability of an example is one output")

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Example and output, for every output of every example."""
        return tuple((i, c) for i in range(self.examples) for c in range(self.outputs))

    def path(self, time: Expr) -> tuple[Expr, ...]:
        """The parameters at a time."""
        return tuple(sp.Function(f"w{j + 1}")(time) for j in range(self.params))

    def query(self, time: Expr) -> tuple[Expr, ...]:
        """The outputs at the query, with the parameters of a time."""
        return self.example(0, time) if self.query_is_example else self._outputs("f", time)

    def example(self, i: int, time: Expr) -> tuple[Expr, ...]:
        """The outputs at example ``i`` (from 0), with the parameters of a time."""
        return self._outputs(f"f{i + 1}", time)

    def total_loss(self, time: Expr) -> Expr:
        """The loss of all examples together."""
        if self.loss == "joint":
            return self._joint(time)
        return sp.Add(*(self.example_loss(i, time) for i in range(self.examples)))

    def example_loss(self, i: int, time: Expr) -> Expr:
        """The loss of one example, where the loss is a sum."""
        outputs = self.example(i, time)
        return -outputs[0] if self.loss == "log-probability" else sp.Function(f"l{i + 1}")(*outputs)

    def loss_derivative(self, i: int, c: int, time: Expr) -> Expr:
        """Derivative of the loss in output ``c`` of example ``i``."""
        loss = self._joint(time) if self.loss == "joint" else self.example_loss(i, time)
        output = self.example(i, time)[c]
        return sp.diff(loss, output) if self.loss == "log-probability" else sp.Derivative(loss, output)

    def gradient(self, output: Expr, time: Expr) -> tuple[Expr, ...]:
        """Partial derivatives of an output in the parameters, at a time."""
        return tuple(sp.Derivative(output, w) for w in self.path(time))

    def kernel_formula(self, i: int, c: int, e: int, time: Expr) -> Expr:
        """Definition 1: gradient of query output ``c`` times gradient of output ``e`` of example ``i``."""
        left = self.gradient(self.query(time)[c], time)
        right = self.gradient(self.example(i, time)[e], time)
        return sp.Add(*(a * b for a, b in zip(left, right, strict=True)))

    # What the proof names.

    def loss_gradient(self, j: int, time: Expr) -> Expr:
        """The name of the partial derivative of the total loss in parameter ``j``."""
        return sp.Function(f"g{j + 1}")(time)

    def tangent(self, i: int, c: int, e: int, time: Expr) -> Expr:
        """The name of the tangent kernel between query output ``c`` and output ``e`` of example ``i``."""
        return sp.Function(f"k{self._tag(i, c, e)}")(time)

    def path_kernel(self, i: int, c: int, e: int, time: Expr) -> Expr:
        """The name of the integral of the tangent kernel from 0 to a time."""
        return sp.Function(f"K{self._tag(i, c, e)}")(time)

    def weighted(self, i: int, c: int, time: Expr) -> Expr:
        """The name of the integral of tangent kernel (row ``c``) times loss derivatives of example ``i``."""
        return sp.Function(f"N{self._tag(i, c)}")(time)

    def average(self, i: int, e: int, time: Expr) -> Expr:
        """The name of the averaged loss derivative: the weighted integral divided by the path kernel."""
        return sp.Function(f"A{self._tag(i, e)}")(time)

    def weight(self, i: int, e: int, time: Expr) -> Expr:
        """The name of the weight a_i."""
        return sp.Function(f"a{self._tag(i, e)}")(time)

    def offset(self, c: int, time: Expr) -> Expr:
        """The name of b."""
        return sp.Function(f"b{c + 1}" if self.outputs > 1 else "b")(time)

    def determinant(self, i: int, time: Expr) -> Expr:
        """What the averaging divides by: the path kernel, or the determinant of its matrix."""
        return self._matrix(i, time).det()

    def average_formula(self, i: int, e: int, time: Expr) -> Expr:
        """Component ``e`` of K^{-1} N, with its division left standing."""
        row = self._matrix(i, time).adjugate().row(e)
        numerator = sp.Add(*(row[f] * self.weighted(i, f, time) for f in range(self.outputs)))
        return divided(numerator, self.determinant(i, time))

    def definitions(self, kinds: Collection[str]) -> dict[str, Callable[[Expr], Expr]]:
        """Formulas for the names of some kinds (first letters: g, k, K, N, A, a, b), as functions of the time."""
        table: dict[str, Callable[[Expr], Expr]] = {}

        def define(named: Expr, formula: Callable[[Expr], Expr]) -> None:
            if named.func.__name__[0] in kinds:
                table[named.func.__name__] = formula

        for j in range(self.params):
            define(self.loss_gradient(j, TIME), partial(self._gradient_of_loss, j))
        for c in range(self.outputs):
            define(self.offset(c, TIME), partial(self._initial, c))
        for i, e in self.pairs:
            define(self.average(i, e, TIME), partial(self.average_formula, i, e))
            define(self.weight(i, e, TIME), partial(self._minus_average, i, e))
            define(self.weighted(i, e, TIME), partial(self._weighted_integral, i, e))
            for c in range(self.outputs):
                define(self.tangent(i, c, e, TIME), partial(self.kernel_formula, i, c, e))
                define(self.path_kernel(i, c, e, TIME), partial(self._kernel_integral, i, c, e))
        return table

    def _gradient_of_loss(self, j: int, time: Expr) -> Expr:
        return sp.diff(self.total_loss(time), self.path(time)[j])

    def _initial(self, c: int, time: Expr) -> Expr:
        del time  # b is the same at every horizon
        return self.query(sp.Integer(0))[c]

    def _minus_average(self, i: int, e: int, time: Expr) -> Expr:
        return -self.average(i, e, time)

    def _weighted_integral(self, i: int, c: int, time: Expr) -> Expr:
        terms = (self.loss_derivative(i, e, PAST) * self.tangent(i, c, e, PAST) for e in range(self.outputs))
        return sp.Integral(sp.Add(*terms), (PAST, 0, time))

    def _kernel_integral(self, i: int, c: int, e: int, time: Expr) -> Expr:
        return sp.Integral(self.tangent(i, c, e, PAST), (PAST, 0, time))

    def _matrix(self, i: int, time: Expr) -> Any:
        return sp.Matrix(self.outputs, self.outputs, lambda c, e: self.path_kernel(i, c, e, time))

    def _joint(self, time: Expr) -> Expr:
        return sp.Function("Phi")(*(self.example(i, time)[c] for i, c in self.pairs))

    def _outputs(self, name: str, time: Expr) -> tuple[Expr, ...]:
        names = [name] if self.outputs == 1 else [f"{name}_{c + 1}" for c in range(self.outputs)]
        return tuple(sp.Function(each)(*self.path(time)) for each in names)

    def _tag(self, i: int, *outputs: int) -> str:
        return str(i + 1) if self.outputs == 1 else f"{i + 1}_" + "".join(str(c + 1) for c in outputs)


def unfold(expression: Expr, definitions: Mapping[str, Callable[[Expr], Expr]]) -> Expr:
    """Put formulas in the place of names, without evaluating: a division that stands in a formula stays visible.

    Example:
        >>> model = GenericModel()
        >>> unfold(model.average(0, 0, TIME), model.definitions("A"))
        N1(t)/K1(t)
    """
    if isinstance(expression, AppliedUndef) and expression.func.__name__ in definitions:
        return unfold(definitions[expression.func.__name__](expression.args[0]), definitions)
    return rebuilt(expression, [unfold(part, definitions) for part in expression.args])


def rebuilt(expression: Expr, parts: list[Expr]) -> Expr:
    """The expression with other parts; sums, products and powers are not evaluated, except of rational numbers.

    A product like 0*1 left as it stands contradicts itself in SymPy's assumptions. A power of zero stays, so that a
    division by zero stays visible.
    """
    if tuple(parts) == expression.args:
        return expression
    rational = all(part.is_Rational for part in parts)
    if rational and not (expression.is_Pow and (parts[0].is_zero or not parts[1].is_Integer)):
        return expression.func(*parts)
    if expression.is_Add or expression.is_Mul or expression.is_Pow:
        return expression.func(*parts, evaluate=False)
    return expression.func(*parts)
