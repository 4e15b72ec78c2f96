"""Formulas over rationals and over power series with rational coefficients, and gradients over any algebra.

What holds here holds without rounding: a residual of 0 is an equality of rationals, for series one of every coefficient
that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from pkverify.errors import UntreatableError
from pkverify.expression import Algebra
from pkverify.models import Model

T = TypeVar("T")
Series = tuple[Fraction, ...]


@dataclass(frozen=True)
class SeriesAlgebra:
    """Power series in one variable with rational coefficients, cut after a power; with ``order`` 0 just rationals.

    Attributes:
        order: The highest power that is kept.

    Example:
        >>> line = SeriesAlgebra(2).variable(Fraction(1), Fraction(1))
        >>> SeriesAlgebra(2).power(line, Fraction(3))  # (1 + u)^3
        (Fraction(1, 1), Fraction(3, 1), Fraction(3, 1))
    """

    order: int

    def number(self, value: Fraction) -> Series:
        return (Fraction(value), *[Fraction(0)] * self.order)

    def variable(self, start: Fraction, slope: Fraction) -> Series:
        """``start + slope u``."""
        return (start, slope, *[Fraction(0)] * (self.order - 1))[: self.order + 1]

    def pi(self) -> Series:
        raise _refused("pi")

    def add(self, terms: Sequence[Series]) -> Series:
        return tuple(sum(column, Fraction(0)) for column in zip(*terms, strict=True))

    def multiply(self, left: Series, right: Series) -> Series:
        return tuple(sum((left[j] * right[k - j] for j in range(k + 1)), Fraction(0)) for k in range(self.order + 1))

    def divide(self, left: Series, right: Series) -> Series:
        quotient: list[Fraction] = []
        for k in range(self.order + 1):
            known = sum((quotient[j] * right[k - j] for j in range(k)), Fraction(0))
            quotient.append((left[k] - known) / right[0])
        return tuple(quotient)

    def power(self, base: Series, exponent: Fraction) -> Series:
        if exponent.denominator != 1:
            raise _refused("a root")
        result = self.number(Fraction(1))
        for _ in range(abs(exponent.numerator)):
            result = self.multiply(result, base)
        return result if exponent >= 0 else self.divide(self.number(Fraction(1)), result)

    def call(self, function: str, argument: Series) -> Series:  # noqa: ARG002 - the protocol's
        raise _refused(function)


def integral(series: Series) -> Series:
    """The integral from 0, as a series of the same length.

    Example:
        >>> integral((Fraction(1), Fraction(4), Fraction(0)))
        (Fraction(0, 1), Fraction(1, 1), Fraction(2, 1))
    """
    return (Fraction(0), *(c / (k + 1) for k, c in enumerate(series[:-1])))


def over_segment(polynomial: Series) -> Fraction:
    """The integral of a polynomial over [0, 1]."""
    return sum((c / (k + 1) for k, c in enumerate(polynomial)), Fraction(0))


@dataclass(frozen=True)
class Dual(Generic[T]):
    """A value with its gradient in the parameters."""

    value: T
    slopes: tuple[T, ...]


@dataclass(frozen=True)
class DualAlgebra(Generic[T]):
    """Forward differentiation: each operation carries the gradient along, over any algebra below it.

    Attributes:
        base: The algebra of values and slopes.
        size: The number of parameters.
    """

    base: Algebra[T]
    size: int

    def number(self, value: Fraction) -> Dual[T]:
        return self.constant(self.base.number(value))

    def pi(self) -> Dual[T]:
        return self.constant(self.base.pi())

    def constant(self, value: T) -> Dual[T]:
        """A value that depends on no parameter."""
        return Dual(value, tuple(self.base.number(Fraction(0)) for _ in range(self.size)))

    def param(self, value: T, index: int) -> Dual[T]:
        """The parameter with this index."""
        return Dual(value, tuple(self.base.number(Fraction(int(j == index))) for j in range(self.size)))

    def add(self, terms: Sequence[Dual[T]]) -> Dual[T]:
        slopes = tuple(self.base.add([term.slopes[j] for term in terms]) for j in range(self.size))
        return Dual(self.base.add([term.value for term in terms]), slopes)

    def multiply(self, left: Dual[T], right: Dual[T]) -> Dual[T]:
        times, plus = self.base.multiply, self.base.add
        slopes = tuple(
            plus([times(a, right.value), times(left.value, b)]) for a, b in zip(left.slopes, right.slopes, strict=True)
        )
        return Dual(times(left.value, right.value), slopes)

    def divide(self, left: Dual[T], right: Dual[T]) -> Dual[T]:
        return self.multiply(left, self.power(right, Fraction(-1)))

    def power(self, base: Dual[T], exponent: Fraction) -> Dual[T]:
        if exponent == 0:
            return self.number(Fraction(1))
        times = self.base.multiply
        value = self.base.power(base.value, exponent)
        factor = times(self.base.number(exponent), self.base.power(base.value, exponent - 1))
        return Dual(value, tuple(times(factor, slope) for slope in base.slopes))

    def call(self, function: str, argument: Dual[T]) -> Dual[T]:
        value = self.base.call(function, argument.value)
        factor = self._derivative(function, argument.value, value)
        return Dual(value, tuple(self.base.multiply(factor, slope) for slope in argument.slopes))

    def _derivative(self, function: str, argument: T, value: T) -> T:
        base, one = self.base, self.base.number(Fraction(1))

        def minus(left: T, right: T) -> T:
            return base.add([left, base.multiply(base.number(Fraction(-1)), right)])

        def square(of: T) -> T:
            return base.multiply(of, of)

        match function:
            case "exp":
                return value
            case "log":
                return base.divide(one, argument)
            case "sqrt":
                return base.divide(base.number(Fraction(1, 2)), value)
            case "sin":
                return base.call("cos", argument)
            case "cos":
                return base.multiply(base.number(Fraction(-1)), base.call("sin", argument))
            case "tan":
                return base.add([one, square(value)])
            case "sinh" | "cosh":
                return base.call("cosh" if function == "sinh" else "sinh", argument)
            case "tanh":
                return minus(one, square(value))
            case "atan":
                return base.divide(one, base.add([one, square(argument)]))
            case "sigmoid":
                return base.multiply(value, minus(one, value))
            case "softplus":
                return base.call("sigmoid", argument)
            case "abs":
                return base.divide(value, argument)
            case "relu":
                return base.divide(value, argument)
            case "erf":
                root = base.call("sqrt", base.pi())
                bell = base.call("exp", base.multiply(base.number(Fraction(-1)), square(argument)))
                return base.divide(base.multiply(base.number(Fraction(2)), bell), root)
            case _:
                raise _refused(function)


def outputs(model: Model, algebra: Algebra[T], params: Sequence[T], inputs: Sequence[T]) -> list[T]:
    """The outputs of a model over an algebra."""
    return model.build(algebra, list(params), list(inputs))


def gradients(model: Model, algebra: Algebra[T], params: Sequence[T], inputs: Sequence[T]) -> list[tuple[T, ...]]:
    """For each output its gradient in the parameters, over an algebra.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> from pkverify.models import ExpressionModel
        >>> square = ExpressionModel(("w",), ("x",), (parse_expression("x*w**2", ["w", "x"]),))
        >>> gradients(square, SeriesAlgebra(0), [(Fraction(3),)], [(Fraction(1, 2),)])  # 2 x w
        [((Fraction(3, 1),),)]
    """
    duals = DualAlgebra(algebra, len(params))
    built = model.build(duals, [duals.param(p, j) for j, p in enumerate(params)], [duals.constant(v) for v in inputs])
    return [each.slopes for each in built]


def _refused(what: str) -> UntreatableError:
    return UntreatableError(f"{what} in exact arithmetic", "its values are no rationals", "use a polynomial model")
