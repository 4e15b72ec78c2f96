"""Fixed-point numbers: integers that count units of ``2**-bits``, the number type of the precise route.

The inner loop of Taylor recurrences is the convolution sum. On integers it is one pass of exact products and one
rounding at the end, several times faster than the same sum over ``mpf``. The rounding of each operation is below one
unit (plus the error of its operands); the precise route sets the unit far below its truncation tolerance.

Above ``FLINT_BITS`` bits FLINT's integers multiply faster than Python's, and are used instead; products of whole
coefficient lists that are known in advance (``moments``) always go through FLINT's polynomials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from operator import mul
from typing import Any, cast

import flint
from mpmath.ctx_mp import MPContext

from pkverify.arithmetic.relaxed import RelaxedProduct
from pkverify.errors import PkverifyError

FLINT_BITS = 400
_GUARD_BITS = 20


class DomainError(PkverifyError):
    """A function was evaluated where it is undefined, or where it cannot be told apart from such a point.

    Args:
        function: The function, as the grammar names it (``"1/"`` for a quotient).
        argument: The argument's value, as text.
        certain: False where the argument is within rounding of the boundary, so that more digits may decide.
    """

    def __init__(self, function: str, argument: str, *, certain: bool) -> None:
        super().__init__(f"{function} at {argument}")
        self.function = function
        self.argument = argument
        self.certain = certain


class FixedPoint:
    """Arithmetic on integers in units of ``2**-bits``.

    Args:
        bits: Bits after the binary point.

    Example:
        >>> numbers = FixedPoint(100)
        >>> third = numbers.number(Fraction(1, 3))
        >>> numbers.text(numbers.convolve([third, third], [third, third]), 20)  # 1/9 + 1/9
        '0.22222222222222222222'
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.zero = self._integer(0)
        self.one = self._integer(1) << bits
        self._context = MPContext()
        self._context.prec = bits + _GUARD_BITS

    # -- conversions

    def number(self, value: Fraction) -> int:
        """The nearest number below a rational."""
        return self._integer((value.numerator << self.bits) // value.denominator)

    def fraction(self, value: int) -> Fraction:
        """The exact rational that a fixed-point number stands for."""
        return Fraction(int(value), 1 << self.bits)

    def to_float(self, value: int) -> float:
        """The nearest double; raises OverflowError beyond its range."""
        return int(value) / (1 << self.bits)

    def text(self, value: int, digits: int) -> str:
        """The number as a decimal string with so many significant digits."""
        return self._context.nstr(self._real(value), digits, strip_zeros=False, min_fixed=-6, max_fixed=digits)

    def pi(self) -> int:
        return self._fixed(self._context.pi)

    # -- series

    def product(self, left: Sequence[int], right: Sequence[int]) -> Callable[[], int]:
        """A function that returns the next coefficient of the product of two growing series.

        It is called once after each pair of coefficients was appended.
        """
        bits = self.bits
        if bits > FLINT_BITS:
            relaxed = RelaxedProduct(left, right)
            return lambda: relaxed() >> bits
        if left is right:
            return lambda: self.convolve_square(left)
        return lambda: sum(map(mul, left, reversed(right))) >> bits

    def convolve(self, left: Sequence[int], right: Sequence[int]) -> int:
        """``sum_j left[j] right[n-1-j]`` for two lists of one length n."""
        return sum(map(mul, left, reversed(right))) >> self.bits

    def convolve_square(self, series: Sequence[int]) -> int:
        """``sum_j series[j] series[n-1-j]``: the same with half the products."""
        half, odd = divmod(len(series), 2)
        total = 2 * sum(map(mul, series[:half], reversed(series)))
        return (total + series[half] * series[half] if odd else total) >> self.bits

    def multiply(self, left: int, right: int) -> int:
        return (left * right) >> self.bits

    def divide_integer(self, value: int, divisor: int) -> int:
        return value // divisor

    def combination(self, coefficients: Sequence[int], series: Sequence[Sequence[int]]) -> Callable[[int], int]:
        """The function k -> ``sum_i coefficients[i] series[i][k]``, with coefficients 1 and -1 made cheap."""
        pairs = list(zip(coefficients, series, strict=True))
        plus = [s for c, s in pairs if c == self.one]
        minus = [s for c, s in pairs if c == -self.one]
        scaled = [(c, s) for c, s in pairs if abs(c) != self.one and c != 0]
        bits, zero = self.bits, self.zero
        if not minus and not scaled and len(plus) == 1:
            return plus[0].__getitem__
        if not plus and not minus and len(scaled) == 1:
            [(factor, only)] = scaled
            return lambda k: (factor * only[k]) >> bits

        def evaluate(k: int) -> int:
            total = zero
            for c, s in scaled:
                total += c * s[k]
            total >>= bits
            for s in plus:
                total += s[k]
            for s in minus:
                total -= s[k]
            return total

        return evaluate

    def moments(self, series: Sequence[int], weights: Sequence[int]) -> list[int]:
        """``m[i] = sum_j series[j] weights[i+j]`` for a series of length n and 2n - 1 weights.

        With ``weights[k] = h**(k+1)/(k+1)``, ``sum_i other[i] m[i]`` is the integral over [0, h] of the product of two
        polynomials of degree n - 1. It is not cut at this degree: of entire functions, the product's coefficients fall
        much later than those of its factors.
        """
        n = len(series)
        reversed_series = flint.fmpz_poly([int(c) for c in reversed(series)])
        product = (reversed_series * flint.fmpz_poly([int(c) for c in weights])).coeffs()
        product += [flint.fmpz(0)] * (2 * n - 1 - len(product))
        bits = self.bits
        return [self._integer(c >> bits) for c in product[n - 1 : 2 * n - 1]]

    def dot(self, left: Sequence[int], right: Sequence[int]) -> int:
        return sum(map(mul, left, right)) >> self.bits

    # -- functions

    def reciprocal(self, value: int) -> int:
        if abs(value) < 2:  # one unit: nothing is known of it but that it is small
            raise DomainError("1/", self.text(value, 5), certain=False)
        return (self.one << self.bits) // value

    def function(self, name: str, value: int, exponent: Fraction | None = None) -> int:
        """A function of the grammar, rounded; ``power`` takes an exponent that is no integer.

        Raises:
            DomainError: Where it is undefined or not differentiable.
        """
        if name in {"log", "sqrt", "power"} and value < 2:
            raise DomainError(name, self.text(value, 5), certain=value < -1)
        ctx, real = self._context, self._real(value)
        match name:
            case "exp" if real > 100_000:
                raise DomainError("exp", self.text(value, 5), certain=True)
            case "sinh" | "cosh" if abs(real) > 100_000:
                raise DomainError(name, self.text(value, 5), certain=True)
            case "log":
                return self._fixed(ctx.log(real))
            case "power":
                assert exponent is not None
                return self._fixed(ctx.power(real, ctx.mpf(exponent.numerator) / exponent.denominator))
            case "sigmoid":
                return self._fixed(1 / (1 + ctx.exp(-real)) if real > 0 else ctx.exp(real) / (1 + ctx.exp(real)))
            case "softplus":
                return self._fixed((max(0, real)) + ctx.log1p(ctx.exp(-abs(real))))
            case "tan" if abs(self._fixed(ctx.cos(real))) < 2:
                raise DomainError("tan", self.text(value, 5), certain=False)
            case _:
                return self._fixed(getattr(ctx, name)(real))

    def _integer(self, value: int | flint.fmpz) -> int:
        # FLINT's integers do all that is asked of an int here; the types say int for both.
        return cast("int", flint.fmpz(value)) if self.bits > FLINT_BITS else int(value)

    def _real(self, value: int) -> Any:
        return self._context.ldexp(self._context.mpf(int(value)), -self.bits)

    def _fixed(self, real: Any) -> int:
        return self._integer(int(self._context.floor(self._context.ldexp(real, self.bits))))
