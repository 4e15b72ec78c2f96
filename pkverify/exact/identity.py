"""Deciding identities: both sides become one quotient of polynomials over the rationals, compared with zero.

The variables of those polynomials are the *atoms* of the expressions: symbols, applied functions, and whatever is left
opaque (derivatives, integrals, substitutions). Three kinds of atoms obey algebraic laws, and those are built in:

* exponentials: the exponents are written over a basis of their span over the rationals, so that exp(2x) = exp(x)^2 and
  exp(a + b) = exp(a) exp(b); hyperbolic functions are quotients of exponentials;
* radicals: one generator g = base^(1/q) for each base, with g^q = base; the imaginary unit is such a radical;
* logarithms of positive rationals, which split over their prime factors, and exp(W(a)) = a / W(a) for Lambert's W.

The answer decides in one direction. True is a proof, wherever both sides are defined and the divisors returned as
*obligations* are not zero. False says only that the difference is not zero as a rational function of the atoms.
Nothing here simplifies heuristically: SymPy's ``simplify`` and ``equals`` are no proofs, and depend on the hash seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pkverify.exact.atoms import Atoms, OutOfReachError, divided, times

__all__ = ["Comparison", "NormalForm", "compare", "divided", "is_identity", "normal_form", "obligations", "times"]

Expr = Any  # SymPy comes without types


@dataclass(frozen=True)
class NormalForm:
    """An expression as a quotient of two polynomials in its atoms.

    Attributes:
        numerator: Polynomial over the rationals; the number 0 exactly when it is zero modulo the laws of the atoms.
        denominator: Polynomial that is not zero modulo those laws.
        obligations: The divisors that were assumed not to be zero, each once. Left out are non-zero numbers, and what
            is non-zero by the assumptions that its symbols were declared with. What a function needs of its own
            argument (a logarithm, say) is presupposed, not listed.
    """

    numerator: Expr
    denominator: Expr
    obligations: tuple[Expr, ...]


@dataclass(frozen=True)
class Comparison:
    """Whether two expressions are identical, and which divisors must not be zero for that."""

    identical: bool
    obligations: tuple[Expr, ...]


def normal_form(expression: Expr) -> NormalForm:
    """Write an expression as a quotient of polynomials in its atoms.

    Args:
        expression: A SymPy expression without floating-point numbers.

    Returns:
        Numerator, denominator, and the divisors that were assumed non-zero on the way.

    Raises:
        InputError: If the expression contains a floating-point number.
        ZeroDivisionError: If a divisor is identically zero, or there is an infinity or an undefined value.

    Example:
        >>> import sympy as sp
        >>> x, k = sp.symbols("x k")
        >>> form = normal_form(1 + sp.exp(2 * x) / k)
        >>> form.numerator, form.denominator, form.obligations
        (k + exp(2*x), k, (k,))
    """
    field = Atoms([expression])
    value = field.quotient(expression)
    numerator, denominator = field.expand(value.numer), field.expand(value.denom)
    return NormalForm(numerator, denominator, field.obligations)


def compare(left: Expr, right: Expr) -> Comparison:
    """Compare two expressions as rational functions of their atoms.

    Args:
        left: A SymPy expression.
        right: A SymPy expression.

    Returns:
        Whether their difference is zero, and the divisors that both sides together assumed non-zero. Where a divisor is
        identically zero, or the normal form would be too large, the answer is no.

    Raises:
        InputError: If one of them contains a floating-point number.

    Example:
        >>> import sympy as sp
        >>> a, b = sp.symbols("a b")
        >>> compare((a**2 - b**2) / (a - b), a + b)
        Comparison(identical=True, obligations=(a - b,))
    """
    try:
        # Both sides share one set of atoms: nothing is subtracted by SymPy, which would cancel without telling.
        field = Atoms([left, right])
        difference = field.quotient(left) - field.quotient(right)
        return Comparison(field.vanishes(difference.numer), field.obligations)
    except (ZeroDivisionError, OutOfReachError):
        return Comparison(identical=False, obligations=())


def is_identity(left: Expr, right: Expr) -> bool:
    """Whether two expressions are identical as rational functions of their atoms; True is a proof, False is not.

    Args:
        left: A SymPy expression.
        right: A SymPy expression.

    Returns:
        True if their difference is the zero polynomial over a denominator that is not; use :func:`compare` where the
        divisors matter.

    Raises:
        InputError: If one of them contains a floating-point number.

    Example:
        >>> import sympy as sp
        >>> x = sp.Symbol("x")
        >>> is_identity(sp.tanh(x).diff(x), 1 - sp.tanh(x) ** 2), is_identity(sp.sqrt(x**2), x)
        (True, False)
    """
    return compare(left, right).identical


def obligations(*expressions: Expr) -> tuple[Expr, ...]:
    """The divisors in some expressions that must not be zero, each once, numbers left out.

    Raises:
        InputError: If there is a floating-point number.
        ZeroDivisionError: If a divisor is identically zero.

    Example:
        >>> import sympy as sp
        >>> n, k = sp.symbols("n k")
        >>> obligations(divided(n, k) * 2)
        (k,)
    """
    field = Atoms(expressions)
    for expression in expressions:
        field.quotient(expression)
    return field.obligations
