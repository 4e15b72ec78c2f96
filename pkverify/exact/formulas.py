"""A problem as SymPy formulas in its parameters: outputs, loss derivatives, gradient, tangent kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import sympy as sp

from pkverify.exact.algebra import SymPyAlgebra, rational
from pkverify.problem import Problem, Vector

Expr = Any

_ALGEBRA = SymPyAlgebra()


@dataclass(frozen=True)
class Formulas:
    """The formulas of one problem, all exact and all in the symbols ``params``.

    Attributes:
        problem: The problem.

    Example:
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> from pkverify.problem import Dataset
        >>> one = Fraction(1)
        >>> data = Dataset(((one,),), ((2 * one,),))
        >>> line = Formulas(Problem(LayeredModel("linear", (1, 1), None, False), Loss("squared"), data, (one,), one))
        >>> line.gradient, line.tangent_kernel((3 * one,), 0, 0, 0)
        ((w_1_1 - 2,), 3)
    """

    problem: Problem

    @cached_property
    def params(self) -> tuple[Expr, ...]:
        """The parameters, as real symbols."""
        return tuple(sp.Symbol(name, real=True) for name in self.problem.model.params)

    @cached_property
    def start(self) -> tuple[Expr, ...]:
        """The initial parameters."""
        return tuple(rational(value) for value in self.problem.initial)

    @cached_property
    def inputs(self) -> tuple[Expr, ...]:
        """Real symbols for a generic input."""
        return tuple(sp.Symbol(f"x{k}", real=True) for k in range(self.problem.model.input_count))

    @cached_property
    def generic_outputs(self) -> tuple[Expr, ...]:
        """The outputs in the symbols of parameters and inputs; a parameter and an input of one name stay apart."""
        inputs = [sp.Dummy(symbol.name, real=True) for symbol in self.inputs]
        outputs = self.problem.model.build(_ALGEBRA, self.params, inputs)
        return tuple(output.xreplace(dict(zip(inputs, self.inputs, strict=True))) for output in outputs)

    def outputs(self, point: Vector) -> tuple[Expr, ...]:
        """The outputs at an input."""
        return tuple(self.problem.model.build(_ALGEBRA, self.params, [rational(value) for value in point]))

    @cached_property
    def training_outputs(self) -> tuple[tuple[Expr, ...], ...]:
        """The outputs at each example."""
        return tuple(self.outputs(point) for point in self.problem.data.inputs)

    @cached_property
    def loss_symbols(self) -> tuple[Expr, ...]:
        """Symbols for the outputs of one example, in a loss."""
        return tuple(sp.Dummy(f"y{k}", real=True) for k in range(self.problem.model.output_count))

    def loss_slopes(self, targets: Sequence[Expr]) -> tuple[Expr, ...]:
        """The derivatives of one example's loss by its outputs, in ``loss_symbols``, scaled as in the total loss."""
        loss = self.problem.loss.build(_ALGEBRA, self.loss_symbols, targets)
        scale = rational(self.problem.example_scale)
        return tuple(scale * sp.diff(loss, symbol) for symbol in self.loss_symbols)

    @cached_property
    def loss_derivatives(self) -> tuple[tuple[Expr, ...], ...]:
        """``L'_i`` for each example, one entry an output, in the parameters."""
        rows = []
        for outputs, targets in zip(self.training_outputs, self.problem.data.targets, strict=True):
            values = dict(zip(self.loss_symbols, outputs, strict=True))
            rows.append(tuple(s.xreplace(values) for s in self.loss_slopes([rational(t) for t in targets])))
        return tuple(rows)

    @cached_property
    def regularizer_gradient(self) -> tuple[Expr, ...]:
        """The gradient of the regulariser; zeros without one."""
        regularizer = self.problem.regularizer
        if regularizer is None:
            return tuple(sp.Integer(0) for _ in self.params)
        value = regularizer.build(_ALGEBRA, self.problem.model.params, self.params)
        return tuple(sp.diff(value, symbol) for symbol in self.params)

    @cached_property
    def _training_jacobians(self) -> tuple[tuple[tuple[Expr, ...], ...], ...]:
        return tuple(tuple(self.slopes(output) for output in outputs) for outputs in self.training_outputs)

    @cached_property
    def gradient(self) -> tuple[Expr, ...]:
        """The gradient of the total loss, regulariser included, by the chain rule (steps P4 and P5)."""
        terms: list[list[Expr]] = [[part] for part in self.regularizer_gradient]
        for jacobian, derivatives in zip(self._training_jacobians, self.loss_derivatives, strict=True):
            for slopes, derivative in zip(jacobian, derivatives, strict=True):
                for place, slope in enumerate(slopes):
                    terms[place].append(derivative * slope)
        return tuple(sp.Add(*parts) for parts in terms)

    def slopes(self, output: Expr) -> tuple[Expr, ...]:
        """The gradient of one output."""
        return tuple(sp.diff(output, symbol) for symbol in self.params)

    def tangent_kernel(self, query: Vector, output: int, example: int, other: int) -> Expr:
        """``grad f_output(query) . grad f_other(x_example)`` (definition D7)."""
        left = self.slopes(self.outputs(query)[output])
        right = self._training_jacobians[example][other]
        return sp.Add(*(a * b for a, b in zip(left, right, strict=True)))

    def contribution_rate(self, query: Vector, output: int, example: int) -> Expr:
        """``-L'_i K_t(x, x_i)``, summed over the example's outputs: what it adds to the query's output in time."""
        return -sp.Add(
            *(
                derivative * self.tangent_kernel(query, output, example, other)
                for other, derivative in enumerate(self.loss_derivatives[example])
            )
        )

    def regularizer_rate(self, query: Vector, output: int) -> Expr:
        """``-grad f(x) . grad R``."""
        slopes = self.slopes(self.outputs(query)[output])
        return -sp.Add(*(a * b for a, b in zip(slopes, self.regularizer_gradient, strict=True)))

    def along(self, expression: Expr, path: Sequence[Expr]) -> Expr:
        """An expression in the parameters, along a path that gives each of them."""
        return expression.xreplace(dict(zip(self.params, path, strict=True)))


def initial_values(formulas: Formulas) -> Mapping[Expr, Expr]:
    """The initial parameters as a substitution."""
    return dict(zip(formulas.params, formulas.start, strict=True))


def target_value(problem: Problem, example: int) -> Fraction:
    """The target of an example with one target."""
    return problem.data.targets[example][0]
