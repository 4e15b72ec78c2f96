"""The second route to each step of the proof: a concrete model and loss, followed exactly as power series in time.

The undefined functions of a :class:`~pkverify.exact.generic_model.GenericModel` become polynomials with small whole
coefficients, drawn with a fixed seed; the gradient flow becomes the power series that solves it, with rational
coefficients; and both sides of a step are evaluated by walking their trees. No derivative is taken by SymPy here, and
the gradient of the total loss comes from the composed polynomial, not from the chain rule that the proof uses.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pkverify.exact.generic_model import TIME, GenericModel
from pkverify.exact.power_series import Polynomial, Series, random_polynomial

Expr = Any

LENGTH = 4  # coefficients of the flow: an identity is compared from t^0 up to what is left after its derivatives


@dataclass(frozen=True)
class Instance:
    """A concrete model, loss and flow in the place of the generic ones.

    Attributes:
        model: The generic model that this is an instance of.
        functions: The polynomials in the place of undefined functions of parameters and outputs.
        courses: The power series in the place of undefined functions of time.
        numbers: The numbers in the place of symbols.
        known: Values found so far; the steps of a proof share most of their parts.
    """

    model: GenericModel
    functions: Mapping[str, Polynomial]
    courses: Mapping[str, Series]
    numbers: Mapping[str, Fraction]
    known: dict[Expr, Series] = field(default_factory=dict[Expr, Series], compare=False, repr=False)

    @staticmethod
    def drawn(model: GenericModel, seed: int) -> Instance:
        """Draw coefficients, solve the flow, and compute all that the proof names.

        Args:
            model: What to make concrete.
            seed: Seed of the draw; the same seed gives the same instance.

        Example:
            >>> instance = Instance.drawn(GenericModel(), 0)
            >>> slope = instance.courses["g1"].coefficients
            >>> instance.courses["w1"].derivative().coefficients == tuple(-c for c in slope[:3])
            True
        """
        source = random.Random(f"{model} {seed}")  # noqa: S311 - nothing secret: the draw is repeatable
        functions = _functions(model, source)
        loss = _total_loss(model, functions)
        slopes = [loss.partial(j) for j in range(model.params)]
        start = [Fraction(source.choice((-1, 1, 2))) for _ in range(model.params)]
        path = [Series((value,)) for value in start]
        for _ in range(LENGTH - 1):  # each pass determines one coefficient more
            path = [
                Series((w0, *_at(slope, path).scaled(Fraction(-1)).integral().coefficients[1:]))
                for w0, slope in zip(start, slopes, strict=True)
            ]
        courses = {f"w{j + 1}": w for j, w in enumerate(path)}
        courses |= {f"g{j + 1}": _at(slope, path) for j, slope in enumerate(slopes)}
        courses |= _kernels(model, functions, path)
        numbers = {name: Fraction(k + 2) for k, name in enumerate(("eps", "S", "M", "Lam", "n", "C", "low", "up", "T"))}
        numbers |= {f"v{i + 1}": Fraction(source.choice((-2, -1, 1, 3))) for i in range(model.examples)}
        return Instance(model, functions, courses, numbers)

    def value(self, expression: Expr) -> Series:
        """One side of a step, as a power series in time.

        Raises:
            ZeroDivisionError: If it divides by zero, or by a series that vanishes to a higher order.
            ValueError: If it contains something that has no rational power series.
        """
        self.known.setdefault(TIME, Series.variable(LENGTH))
        return _Evaluation(self, self.known, TIME).value(expression)

    def text(self) -> str:
        """The instance in words, for a witness."""
        parameters = [f"w{j + 1}" for j in range(self.model.params)]
        parts = [f"{name} = {f.text(parameters)}" for name, f in self.functions.items() if name.startswith("f")]
        for name, f in self.functions.items():
            if not name.startswith("f"):
                outputs = ["y"] if f.variables == 1 else [f"y{k + 1}" for k in range(f.variables)]
                parts.append(f"{name}({', '.join(outputs)}) = {f.text(outputs)}")
        parts += [f"{name}(0) = {self.courses[name].coefficients[0]}" for name in parameters]
        return ", ".join(parts)


class _Evaluation:
    """The value of an expression tree as a series in one variable."""

    def __init__(self, instance: Instance, values: dict[Expr, Series], variable: Expr) -> None:
        self._instance = instance
        self._values = values
        self._variable = variable

    def value(self, node: Expr) -> Series:
        if node not in self._values:
            self._values[node] = self._computed(node)
        return self._values[node]

    def _computed(self, node: Expr) -> Series:
        if node.is_Rational:
            return self._constant(Fraction(int(node.p), int(node.q)))
        if node.is_Symbol:
            return self._constant(self._instance.numbers[node.name])
        if node.is_Add:
            return _sum([self.value(part) for part in node.args])
        if node.is_Mul:
            return self._product(node)
        if isinstance(node, sp.exp):
            return self.value(node.args[0]).exponential()
        if isinstance(node, sp.log):
            return self.value(node.args[0]).logarithm()
        if node.is_Pow:
            return self._power(node)
        if isinstance(node, AppliedUndef):
            return self._applied(node)
        if isinstance(node, sp.Derivative):
            return self._derivative(node)
        if isinstance(node, sp.Integral):
            return self._integral(node)
        raise ValueError(f"no rational power series: {node}")

    def _constant(self, value: Fraction) -> Series:
        return Series.constant(value, LENGTH)

    def _product(self, node: Expr) -> Series:
        """A product, dividing last: N/K*K may exist as a power series where 1/K does not."""
        numerator, denominator = self._constant(Fraction(1)), self._constant(Fraction(1))
        waiting = list(node.args)
        while waiting:
            factor = waiting.pop()
            if factor.is_Mul:
                waiting += factor.args
            elif factor.is_Pow and factor.exp.is_Integer and factor.exp < 0:
                denominator = denominator * self.value(factor.base).power(-int(factor.exp))
            else:
                numerator = numerator * self.value(factor)
        return numerator / denominator

    def _power(self, node: Expr) -> Series:
        exponent = self.value(node.exp).coefficients
        if any(exponent[1:]) or exponent[0].denominator != 1:
            raise ValueError(f"no whole exponent: {node}")
        return self.value(node.base).power(int(exponent[0]))

    def _applied(self, node: Expr) -> Series:
        name, arguments = node.func.__name__, [self.value(argument) for argument in node.args]
        if name in self._instance.functions:
            return _at(self._instance.functions[name], arguments)
        if name not in self._instance.courses:
            raise ZeroDivisionError(f"{name} does not exist: it would divide by zero")
        return self._instance.courses[name].composed(arguments[0])

    def _derivative(self, node: Expr) -> Series:
        inner, (variable, order) = node.args
        if order != 1:
            raise ValueError(f"no first derivative: {node}")
        if (
            isinstance(inner, AppliedUndef)
            and inner.func.__name__ in self._instance.functions
            and variable in inner.args
        ):
            partial = self._instance.functions[inner.func.__name__].partial(inner.args.index(variable))
            return _at(partial, [self.value(argument) for argument in inner.args])
        if variable == self._variable:
            return self.value(inner).derivative()
        raise ValueError(f"no derivative in {variable}: {node}")

    def _integral(self, node: Expr) -> Series:
        integrand, (variable, lower, upper) = node.args
        start, end = self.value(lower), self.value(upper)
        if any(start.coefficients[1:]):
            raise ValueError(f"the lower limit varies: {node}")
        # Around the lower limit: variable = start + h, and the antiderivative in h is composed with upper - lower.
        around = Series.variable(LENGTH) + self._constant(start.coefficients[0])
        inner = _Evaluation(self._instance, {variable: around}, variable).value(integrand)
        return inner.integral().composed(end + start.scaled(Fraction(-1)))


def _at(polynomial: Polynomial, values: list[Series]) -> Series:
    length = min(len(value) for value in values)
    return polynomial.at(values, lambda c: Series.constant(c, length))


def _functions(model: GenericModel, source: random.Random) -> dict[str, Polynomial]:
    labels = [f"f{i + 1}" for i in range(model.examples)]
    if not model.query_is_example:
        labels.insert(0, "f")
    functions: dict[str, Polynomial] = {}
    for label in labels:
        for c in range(model.outputs):
            functions[label if model.outputs == 1 else f"{label}_{c + 1}"] = random_polynomial(source, model.params, 2)
    if model.loss == "additive":
        degree = 3 if model.outputs == 1 and model.params < 3 else 2  # larger ones only take longer
        functions |= {f"l{i + 1}": random_polynomial(source, model.outputs, degree) for i in range(model.examples)}
    elif model.loss == "joint":
        functions["Phi"] = random_polynomial(source, model.examples * model.outputs, 2)
    return functions


def _outputs(model: GenericModel, functions: Mapping[str, Polynomial], label: str) -> list[Polynomial]:
    return [functions[label if model.outputs == 1 else f"{label}_{c + 1}"] for c in range(model.outputs)]


def _total_loss(model: GenericModel, functions: Mapping[str, Polynomial]) -> Polynomial:
    """The total loss as one polynomial in the parameters, by composition."""

    def constant(value: Fraction) -> Polynomial:
        return Polynomial.constant(value, model.params)

    examples = [_outputs(model, functions, f"f{i + 1}") for i in range(model.examples)]
    if model.loss == "joint":
        return functions["Phi"].at([output for outputs in examples for output in outputs], constant)
    total = constant(Fraction(0))
    for i, outputs in enumerate(examples):
        total += (
            outputs[0] * constant(Fraction(-1))
            if model.loss == "log-probability"
            else functions[f"l{i + 1}"].at(outputs, constant)
        )
    return total


def _kernels(model: GenericModel, functions: Mapping[str, Polynomial], path: list[Series]) -> dict[str, Series]:
    """Tangent and path kernels, weighted integrals, and for one output the averages, weights and b."""
    query = _outputs(model, functions, "f1" if model.query_is_example else "f")
    examples = [_outputs(model, functions, f"f{i + 1}") for i in range(model.examples)]
    values = [_at(output, path) for outputs in examples for output in outputs]
    named: dict[str, Series] = {}
    for place, (i, e) in enumerate(model.pairs):
        for c in range(model.outputs):
            products = [
                _at(query[c].partial(j), path) * _at(examples[i][e].partial(j), path) for j in range(model.params)
            ]
            named[model.tangent(i, c, e, TIME).func.__name__] = _sum(products)
        if model.loss == "log-probability":
            slope = Series.constant(-1, LENGTH)
        elif model.loss == "joint":
            slope = _at(functions["Phi"].partial(place), values)
        else:
            slope = _at(functions[f"l{i + 1}"].partial(e), values[i * model.outputs : (i + 1) * model.outputs])
        named[f"slope {i} {e}"] = slope
    for i, c in model.pairs:
        row = [named[model.tangent(i, c, e, TIME).func.__name__] for e in range(model.outputs)]
        slopes = [named[f"slope {i} {e}"] for e in range(model.outputs)]
        named[model.weighted(i, c, TIME).func.__name__] = _sum(
            [k * s for k, s in zip(row, slopes, strict=True)]
        ).integral()
        for e in range(model.outputs):
            named[model.path_kernel(i, c, e, TIME).func.__name__] = row[e].integral()
        named[model.offset(c, TIME).func.__name__] = Series.constant(_at(query[c], path).coefficients[0], LENGTH)
    for i in range(model.examples):
        # Where the path kernel is singular there is no average, and a step that needs one is not tried here.
        with suppress(ZeroDivisionError):
            for e, average in enumerate(_averages(model, i, named)):
                named[model.average(i, e, TIME).func.__name__] = average
                named[model.weight(i, e, TIME).func.__name__] = average.scaled(Fraction(-1))
    return named


def _averages(model: GenericModel, i: int, named: Mapping[str, Series]) -> list[Series]:
    """The solution A of K A = N by Cramer's rule, for one and two outputs."""
    places = range(model.outputs)
    matrix = [[named[model.path_kernel(i, c, e, TIME).func.__name__] for e in places] for c in places]
    right = [named[model.weighted(i, c, TIME).func.__name__] for c in places]
    if model.outputs == 1:
        return [right[0] / matrix[0][0]]
    if model.outputs == 2:
        (p, q), (r, s) = matrix
        minus = Fraction(-1)
        whole = p * s + (q * r).scaled(minus)
        return [
            (right[0] * s + (right[1] * q).scaled(minus)) / whole,
            (right[1] * p + (right[0] * r).scaled(minus)) / whole,
        ]
    return []


def _sum(terms: list[Series]) -> Series:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
