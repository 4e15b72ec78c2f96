"""Exact polynomials and truncated power series over the rationals, on Python's own fractions.

The second route to every identity of the proof: it shares no arithmetic with SymPy.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Series:
    """A power series in one variable, known up to and including ``t^(len(coefficients) - 1)``.

    Operations keep as many coefficients as both operands determine.

    Example:
        >>> t = Series((Fraction(0), Fraction(1), Fraction(0)))
        >>> (Series.constant(1, 3) / (Series.constant(1, 3) + t)).coefficients == (1, -1, 1)
        True
    """

    coefficients: tuple[Fraction, ...]

    @staticmethod
    def constant(value: Fraction | int, length: int) -> Series:
        """A constant, known to so many coefficients."""
        return Series((Fraction(value), *[Fraction(0)] * (length - 1)))

    @staticmethod
    def variable(length: int) -> Series:
        """The variable itself."""
        return Series((Fraction(0), Fraction(1), *[Fraction(0)] * length)[:length])

    def __len__(self) -> int:
        return len(self.coefficients)

    def __add__(self, other: Series) -> Series:
        return Series(tuple(a + b for a, b in zip(self.coefficients, other.coefficients, strict=False)))

    def __mul__(self, other: Series) -> Series:
        size = min(len(self), len(other))
        a, b = self.coefficients, other.coefficients
        return Series(tuple(sum((a[k] * b[n - k] for k in range(n + 1)), Fraction(0)) for n in range(size)))

    def scaled(self, factor: Fraction) -> Series:
        """The series times a number."""
        return Series(tuple(factor * c for c in self.coefficients))

    def __truediv__(self, other: Series) -> Series:
        lead = next((k for k, c in enumerate(other.coefficients) if c), None)
        if lead is None or any(self.coefficients[:lead]):
            raise ZeroDivisionError("a series divided by one that vanishes to a higher order")
        a, b = self.coefficients[lead:], other.coefficients[lead:]
        quotient: list[Fraction] = []
        for n in range(min(len(a), len(b))):
            quotient.append((a[n] - sum((quotient[k] * b[n - k] for k in range(n)), Fraction(0))) / b[0])
        return Series(tuple(quotient))

    def power(self, exponent: int) -> Series:
        """A whole power, negative ones by division."""
        result = Series.constant(1, len(self))
        for _ in range(abs(exponent)):
            result = result * self
        return result if exponent >= 0 else Series.constant(1, len(self)) / result

    def derivative(self) -> Series:
        """The derivative: one coefficient less is known."""
        return Series(tuple(k * c for k, c in enumerate(self.coefficients))[1:])

    def integral(self) -> Series:
        """The antiderivative that vanishes at 0: one coefficient more is known."""
        return Series((Fraction(0), *(c / (k + 1) for k, c in enumerate(self.coefficients))))

    def exponential(self) -> Series:
        """The exponential of a series without constant term, from E' = E s'."""
        if self.coefficients[0]:
            raise ValueError("the exponential of a constant other than 0 is no rational")
        slope, known = self.derivative().coefficients, [Fraction(1)]
        for n in range(1, len(self)):
            known.append(sum((known[k] * slope[n - 1 - k] for k in range(n)), Fraction(0)) / n)
        return Series(tuple(known))

    def logarithm(self) -> Series:
        """The logarithm of a series with constant term 1."""
        if self.coefficients[0] != 1:
            raise ValueError("the logarithm of a constant other than 1 is no rational")
        return (self.derivative() / self).integral() if len(self) > 1 else Series.constant(0, 1)

    def composed(self, inner: Series) -> Series:
        """The series at a series without constant term."""
        if inner.coefficients[0]:
            raise ValueError("a power series can only be composed with one that vanishes at 0")
        size = min(len(self), len(inner))
        result = Series.constant(0, size)
        for coefficient in reversed(self.coefficients):  # Horner
            result = result * inner + Series.constant(coefficient, size)
        return result


@dataclass(frozen=True)
class Polynomial:
    """A polynomial in several variables: exponents of each monomial, and its coefficient.

    Example:
        >>> p = Polynomial(2, {(1, 1): Fraction(3)})
        >>> p.partial(0).terms, p.text(["u", "v"])
        ({(0, 1): Fraction(3, 1)}, '3*u*v')
    """

    variables: int
    terms: Mapping[tuple[int, ...], Fraction]

    @staticmethod
    def constant(value: Fraction | int, variables: int) -> Polynomial:
        """A constant polynomial."""
        return Polynomial(variables, {(0,) * variables: Fraction(value)})

    def __add__(self, other: Polynomial) -> Polynomial:
        terms = dict(self.terms)
        for monomial, coefficient in other.terms.items():
            terms[monomial] = terms.get(monomial, Fraction(0)) + coefficient
        return Polynomial(self.variables, terms)

    def __mul__(self, other: Polynomial) -> Polynomial:
        terms: dict[tuple[int, ...], Fraction] = {}
        for (a, p), (b, q) in product(self.terms.items(), other.terms.items()):
            monomial = tuple(i + j for i, j in zip(a, b, strict=True))
            terms[monomial] = terms.get(monomial, Fraction(0)) + p * q
        return Polynomial(self.variables, terms)

    def partial(self, place: int) -> Polynomial:
        """The partial derivative in one variable."""
        return Polynomial(
            self.variables,
            {(*m[:place], m[place] - 1, *m[place + 1 :]): m[place] * c for m, c in self.terms.items() if m[place]},
        )

    def at(self, values: Sequence[T], constant: Callable[[Fraction], T]) -> T:
        """The value at numbers of any kind (series, polynomials), given how a fraction becomes one of them."""
        total: Any = constant(Fraction(0))
        for monomial, coefficient in self.terms.items():
            term: Any = constant(coefficient)
            for value, exponent in zip(values, monomial, strict=True):
                for _ in range(exponent):
                    term = term * value
            total = total + term
        return total

    def text(self, names: Sequence[str]) -> str:
        """The polynomial as one would write it."""
        parts = list(_monomials(self, names))
        return " + ".join(parts).replace("+ -", "- ") or "0"


def random_polynomial(source: random.Random, variables: int, degree: int) -> Polynomial:
    """A polynomial with every monomial up to a degree present, with small whole coefficients that are not zero.

    A coefficient that is zero could make a wrong identity true by accident; small ones keep witnesses readable.
    """
    monomials = [m for m in product(range(degree + 1), repeat=variables) if sum(m) <= degree]
    return Polynomial(variables, {m: Fraction(source.choice((-3, -2, -1, 1, 2, 3))) for m in monomials})


def _monomials(polynomial: Polynomial, names: Sequence[str]) -> Iterator[str]:
    for monomial, coefficient in polynomial.terms.items():
        powers = [name if e == 1 else f"{name}^{e}" for name, e in zip(names, monomial, strict=True) if e]
        if coefficient == 1 and powers:
            yield "*".join(powers)
        elif coefficient == -1 and powers:
            yield "-" + "*".join(powers)
        elif coefficient:
            yield "*".join([str(coefficient), *powers])
