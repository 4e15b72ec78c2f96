"""The atoms of expressions, and their field of fractions: the machinery behind :mod:`pkverify.exact.identity`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.polys.domains import QQ
from sympy.polys.fields import FracField
from sympy.polys.matrices import DomainMatrix

from pkverify.errors import InputError

# SymPy comes without types: Expr is what it calls an expression, Quotient an element of one of its fraction fields.
Expr = Any
Quotient = Any

# exp(x) and exp(x/10^9) share the unit exp(x/10^9): beyond this, polynomials in it are too large to compare.
_LARGEST_POWER = 5000


class OutOfReachError(ArithmeticError):
    """The normal form would be too large to be written down: what was asked stays undecided."""


_HYPERBOLIC = (sp.sinh, sp.cosh, sp.tanh, sp.coth)


def divided(numerator: Expr, divisor: Expr) -> Expr:
    """The quotient, unevaluated, so that a product with the divisor does not make the division vanish.

    SymPy writes n/k*k as n at once, for integrals too; the condition on k is lost before anybody could ask for it.

    Example:
        >>> n, k = sp.symbols("n k")
        >>> n / k * k, times(divided(n, k), k) == n
        (n, False)
    """
    return sp.Mul(numerator, sp.Pow(divisor, -1, evaluate=False), evaluate=False)


def times(*factors: Expr) -> Expr:
    """The product, unevaluated: see :func:`divided`."""
    return sp.Mul(*factors, evaluate=False)


class Atoms:
    """The atoms of some expressions, as generators of a field of fractions over the rationals.

    Attributes:
        divisors: What :meth:`quotient` divided by so far, in order.
        meanings: The atom that each generator stands for.
    """

    def __init__(self, expressions: Iterable[Expr]) -> None:
        self.divisors: dict[Expr, None] = {}
        self._canonical: dict[Expr, Expr] = {}
        self._leaves: dict[Expr, None] = {}
        self._roots: dict[Expr, int] = {}
        self._exponents: dict[Expr, None] = {}
        self._rewritten: dict[Expr, Expr] = {}
        for expression in expressions:
            self._collect(sp.sympify(expression))
        self._exponentials = _span(list(self._exponents))
        # Radicals come first and later ones may stand inside earlier ones: reduction goes from the outside inwards.
        roots = sorted(self._roots, key=lambda base: (-_nesting(base), sp.default_sort_key(base)))
        self._roots = {base: self._roots[base] for base in roots}
        leaves = sorted(self._leaves, key=sp.default_sort_key)
        powers = [sp.Pow(base, sp.Rational(1, q)) for base, q in self._roots.items()]
        self.meanings = [*powers, *(sp.exp(unit) for unit in self._exponentials.units), *leaves]
        names = [f"g{k}" for k in range(len(self.meanings))]
        self._field = FracField(names, QQ) if names else FracField(["g0"], QQ)
        generators = self._field.gens
        self._root = dict(zip(self._roots, generators, strict=False))
        self._unit = generators[len(powers) : len(powers) + len(self._exponentials.units)]
        self._leaf = dict(zip(leaves, generators[len(powers) + len(self._exponentials.units) :], strict=False))

    @property
    def obligations(self) -> tuple[Expr, ...]:
        """What must not be zero: the divisors so far, numbers left out."""
        return tuple(self.divisors)

    def quotient(self, expression: Expr) -> Quotient:
        """The expression as an element of the field; its divisors are noted as obligations."""
        node = sp.sympify(expression)
        if node in self._rewritten:
            return self.quotient(self._rewritten[node])
        if node.is_Rational:
            return self._field(QQ(int(node.p), int(node.q)))
        if node.is_Add:
            return sum((self.quotient(term) for term in node.args), self._field.zero)
        if node.is_Mul:
            product = self._field.one
            for factor in node.args:
                product = product * self.quotient(factor)
            return product
        if _is_exponential(node):
            return self._exponential(_exponent(node))
        if node.is_Pow:
            return self._power(node.base, node.exp)
        return self._leaf[self._canonical[node]]

    def vanishes(self, polynomial: Any) -> bool:
        """Whether a polynomial in the generators is zero modulo the laws of the radicals."""
        return not self.reduced(polynomial)

    def expand(self, polynomial: Any) -> Expr:
        """A polynomial in the generators, as an expression in the atoms."""
        meanings = self.meanings or [sp.Integer(0)]
        return self.reduced(polynomial).as_expr(*meanings)

    def _power(self, base: Expr, exponent: Expr) -> Quotient:
        power = _as_rational(exponent)
        if power.q == 1:
            value = self.quotient(base)
        else:
            root = self._roots[self._canonical[base]]
            value, power = self._root[self._canonical[base]], power * root
        if power < 0:
            self._oblige(base, self.quotient(base))
        return value ** int(power)

    def _exponential(self, exponent: Expr) -> Quotient:
        product = self._field.one
        for unit, count in zip(self._unit, self._exponentials.counts[self._canonical[exponent]], strict=True):
            if abs(count) > _LARGEST_POWER:
                raise OutOfReachError(f"{exponent} is {count} times a common unit of the exponents")
            product = product * unit**count
        return product

    def _oblige(self, divisor: Expr, value: Quotient) -> None:
        if self.vanishes(value.numer):
            raise ZeroDivisionError(f"division by zero: {divisor}")
        # SymPy's assumptions are asked about the evaluated form: unevaluated numbers can make them contradictory.
        if not value.numer.is_ground and self.expand(value.numer).is_zero is not False:
            self.divisors[divisor] = None

    def reduced(self, polynomial: Any) -> Any:
        """The polynomial (times a non-zero divisor) with every radical below its own degree."""
        ring = polynomial.ring
        for place, (base, degree) in enumerate(self._roots.items()):
            if polynomial.degree(ring.gens[place]) < degree:
                continue
            value = self.quotient(base)
            highest = polynomial.degree(ring.gens[place]) // degree
            total = ring.zero
            for monomial, coefficient in polynomial.terms():
                times_over, rest = divmod(monomial[place], degree)
                lowered = (*monomial[:place], rest, *monomial[place + 1 :])
                total += ring({lowered: coefficient}) * value.numer**times_over * value.denom ** (highest - times_over)
            polynomial = total
        return polynomial

    # Finding the atoms.

    def _collect(self, node: Expr) -> None:
        if node.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
            raise ZeroDivisionError(f"an infinity or an undefined value: {node}")
        if node.is_Float:
            raise InputError(
                f"the floating-point number {node}",
                "identities are decided over the rationals",
                "write it as a fraction",
            )
        if node.is_Rational:
            return
        if node.is_Add or node.is_Mul:
            for part in node.args:
                self._collect(part)
        elif (other := _rewritten(node)) is not None:
            self._rewritten[node] = other
            self._collect(other)
        elif _is_exponential(node):
            self._collect_exponential(node)
        elif node.is_Pow:
            self._collect_power(node)
        else:
            self._collect_leaf(node)

    def _collect_power(self, node: Expr) -> None:
        base, exponent = node.base, _as_rational(node.exp)
        self._collect(base)
        if exponent.q > 1:
            known = self._canonical[base] = self._canonical.get(base) or self._canonicalized(base)
            self._collect(known)
            self._roots[known] = lcm(self._roots.get(known, 1), int(exponent.q))

    def _collect_exponential(self, node: Expr) -> None:
        exponent = self._canonicalized(_exponent(node))
        # exp(c log u) = u^c, and exp(W(a)) = a / W(a) by the definition of W.
        factors, rest = list[Expr](), list[Expr]()
        for term in sp.Add.make_args(exponent):
            count, body = term.as_coeff_Mul(rational=True)
            if isinstance(body, sp.log):
                factors.append(sp.Pow(body.args[0], count))
            elif isinstance(body, sp.LambertW) and len(body.args) == 1 and count.is_Integer:
                factors.append(sp.Pow(divided(body.args[0], body), count))
            else:
                rest.append(term)
        if factors:
            self._rewritten[node] = sp.Mul(
                sp.exp(sp.Add(*rest), evaluate=False) if rest else sp.Integer(1), *factors, evaluate=False
            )
            self._collect(self._rewritten[node])
            return
        self._canonical[_exponent(node)] = exponent
        self._exponents[exponent] = None

    def _collect_leaf(self, node: Expr) -> None:
        leaf = node
        if isinstance(node, sp.Function | AppliedUndef) and not isinstance(node, sp.Piecewise):
            leaf = node.func(*(self._canonicalized(argument) for argument in node.args))
        if leaf != node and not (isinstance(leaf, sp.Function | AppliedUndef) and leaf.func == node.func):
            # The function took another form on its canonical argument, tanh(x - x) = 0 say.
            self._rewritten[node] = leaf
            self._collect(leaf)
            return
        self._canonical[node] = leaf
        self._leaves[leaf] = None

    def _canonicalized(self, argument: Expr) -> Expr:
        """An argument in a form that equal arguments share; its divisors become obligations."""
        if argument.is_Symbol or argument.is_Rational or not isinstance(argument, sp.Expr):
            return argument
        inner = Atoms([argument])
        value = inner.quotient(argument)
        self.divisors |= inner.divisors
        numerator, denominator = inner.reduced(value.numer), value.denom
        leading = denominator.LC
        meanings = inner.meanings or [sp.Integer(0)]
        return sp.expand((numerator * (1 / leading)).as_expr(*meanings)) / (denominator * (1 / leading)).as_expr(
            *meanings
        )


@dataclass(frozen=True)
class _Span:
    """Exponents as whole-number combinations of independent units."""

    units: tuple[Expr, ...]
    counts: dict[Expr, tuple[int, ...]]


def _span(exponents: Sequence[Expr]) -> _Span:
    """Write exponents over a basis of their span over the rationals, scaled so that only whole multiples occur."""
    exponents = [exponent for exponent in exponents if exponent != 0]
    if not exponents:
        return _Span((), {sp.Integer(0): ()})
    atoms = Atoms(exponents)
    values = [atoms.quotient(exponent) for exponent in exponents]
    common = values[0].denom
    for value in values[1:]:
        common = common.lcm(value.denom)
    rows = [atoms.reduced(value.numer * common.exquo(value.denom)) for value in values]
    monomials = sorted({monomial for row in rows for monomial in row.monoms()})
    columns = DomainMatrix([[row.get(m, QQ.zero) for row in rows] for m in monomials], (len(monomials), len(rows)), QQ)
    reduced, pivots = columns.to_dense().rref()
    shares = [[QQ.to_sympy(entry) for entry in row] for row in reduced.to_list()[: len(pivots)]]
    scales = [lcm(*(int(share.q) for share in row)) for row in shares]
    units = tuple(exponents[pivot] / scale for pivot, scale in zip(pivots, scales, strict=True))
    counts = {
        exponent: tuple(int(row[k] * scale) for row, scale in zip(shares, scales, strict=True))
        for k, exponent in enumerate(exponents)
    }
    return _Span(units, counts | {sp.Integer(0): (0,) * len(units)})


# Larger prime factors are not looked for: what is left over stays one atom, which can only hide an identity.
_LARGEST_PRIME = 2**15


def _is_exponential(node: Expr) -> bool:
    return isinstance(node, sp.exp) or node is sp.E


def _exponent(node: Expr) -> Expr:
    return sp.Integer(1) if node is sp.E else node.args[0]


def _rewritten(node: Expr) -> Expr | None:
    """The node in terms of exponentials, radicals and products, where an unconditional law says so."""
    if isinstance(node, _HYPERBOLIC):
        return node.rewrite(sp.exp)
    if node is sp.I:
        return sp.Pow(sp.Integer(-1), sp.Rational(1, 2), evaluate=False)
    if isinstance(node, sp.log) and node.args[0].is_Rational and node.args[0].is_positive:
        primes = sp.factorrat(node.args[0], limit=_LARGEST_PRIME)
        if list(primes.values()) != [1]:
            return sp.Add(
                *(sp.Mul(count, sp.log(prime), evaluate=False) for prime, count in primes.items()), evaluate=False
            )
    if node.is_Pow and not _is_exponential(node):
        return _rewritten_power(node.base, node.exp)
    return None


def _rewritten_power(base: Expr, exponent: Expr) -> Expr | None:
    if not exponent.is_Rational:
        return sp.exp(sp.Mul(exponent, sp.log(base)), evaluate=False)
    if exponent.is_Integer or not base.is_Rational or base in {0, 1, -1}:
        return None
    primes = sp.factorrat(abs(base), limit=_LARGEST_PRIME)
    if base > 0 and list(primes.values()) == [1]:
        return None
    sign = [sp.Pow(sp.Integer(-1), exponent, evaluate=False)] if base < 0 else []
    # For positive numbers (p q)^e = p^e q^e, and a negative one has -1 as its only other factor.
    return sp.Mul(
        *sign, *(sp.Pow(prime, count * exponent, evaluate=False) for prime, count in primes.items()), evaluate=False
    )


def _as_rational(exponent: Expr) -> Expr:
    assert exponent.is_Rational
    return exponent


def _nesting(expression: Expr) -> int:
    """How many radicals stand inside each other."""
    inner = max((_nesting(argument) for argument in expression.args), default=0)
    return inner + (1 if expression.is_Pow and not expression.exp.is_Integer else 0)
