"""Power series of balls, integrals of their products, and bounds of symmetric matrices.

A series is the Taylor polynomial of a function of tau, cut at a fixed length; each coefficient is a ball. FLINT's
limits on precision and length are settings of the whole process; ``series_precision`` sets and restores both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from flint import acb, arb, arb_mat, arb_poly, arb_series, ctx

from pkverify.arithmetic.ball import (
    Ball,
    BallAlgebra,
    BallDomainError,
    divided,
    excludes_zero,
    is_positive,
    sign,
    working_precision,
)


@contextmanager
def series_precision(bits: int, length: int) -> Generator[None]:
    """Compute with so many bits, and series of so many coefficients, inside the block."""
    before = ctx.cap
    ctx.cap = length
    try:
        with working_precision(bits):
            yield
    finally:
        ctx.cap = before


# Making and reading.


def series(coefficients: Sequence[Ball], length: int) -> Ball:
    """The series with these coefficients, and zeros up to the length."""
    return arb_series(list(coefficients[:length]), prec=length)


def coefficients(value: Ball) -> list[Ball]:
    """The coefficients of a series, without the zeros at its end; of a constant, itself."""
    return value.coeffs() if isinstance(value, arb_series) else [value]


def is_finite(value: Ball) -> bool:
    """Whether a ball, or every coefficient of a series, is finite."""
    if isinstance(value, arb_series):
        return all(c.is_finite() for c in value.coeffs())
    return bool(value.is_finite())


def around(centre: Ball, reach: Ball) -> Ball:
    """The real ball with this midpoint that reaches out by a real number of either sign, rounded up."""
    return centre + arb(0, reach.abs_upper())


def box_around(centre: Ball, reach: Ball) -> Ball:
    """A complex box that contains the disc of this radius around a real number."""
    side = arb(0, reach.abs_upper())
    return acb(centre + side, side)


def upper_bound(ball: Ball) -> Ball:
    """A number of about 30 bits, exactly known, that is not less than the modulus of any point of a ball."""
    return arb(0, ball.abs_upper()).rad()


def norm_bound(balls: Sequence[Ball]) -> Ball:
    """A bound, as ``upper_bound`` gives, of the Euclidean length of a vector of balls."""
    total = arb(0)
    for ball in balls:
        size = ball.abs_upper()
        total += size * size
    return upper_bound(total.sqrt())


def magnitude_bits(ball: Ball) -> int:
    """The least whole n with ``|x| < 2**n`` for all x in a ball whose radius is 0; a large negative one for 0.

    Raises:
        BallDomainError: If the ball is not finite.
    """
    if not ball.is_finite():
        raise BallDomainError(f"{ball} is not finite")
    mantissa, exponent = ball.man_exp()
    return int(abs(mantissa)).bit_length() + int(exponent) if mantissa else -(2**30)


# Functions.


def _exp_tanh(value: Ball) -> Ball:
    # The exponential of the side that decays: the other one would swallow the 1.
    if value[0].mid() < 0:
        return -_exp_tanh(-value)
    return 2 * reciprocal(1 + (-2 * value).exp()) - 1


def _sigmoid(value: Ball) -> Ball:
    if value[0].mid() < 0:
        small = value.exp()
        return small * reciprocal(1 + small)
    return reciprocal(1 + (-value).exp())


def _softplus(value: Ball) -> Ball:
    if value[0].mid() > 0:
        return value + (1 + (-value).exp()).log()
    return (1 + value.exp()).log()


def _sinh(value: Ball) -> Ball:
    grown = value.exp()
    return (grown - reciprocal(grown)) / 2


def _cosh(value: Ball) -> Ball:
    grown = value.exp()
    return (grown + reciprocal(grown)) / 2


_SERIES_FUNCTIONS: dict[str, Callable[[Ball], Ball]] = {
    "exp": lambda s: s.exp(),
    "log": lambda s: s.log(),
    "sqrt": lambda s: s.sqrt(),
    "sin": lambda s: s.sin(),
    "cos": lambda s: s.cos(),
    "tan": lambda s: s.tan(),
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _exp_tanh,
    "atan": lambda s: s.atan(),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": lambda s: s.erf(),
}


def reciprocal(value: Ball) -> Ball:
    """One over a ball or a series, refused where it may be 0."""
    if isinstance(value, arb_series):
        if not excludes_zero(value[0]):
            raise BallDomainError(f"division by {value[0]}, which may be 0")
        return 1 / value
    return divided(type(value)(1), value)


def call(function: str, value: Ball, exponent: Fraction | None = None) -> Ball:
    """A function of the grammar, of a real ball, a complex ball or a series; analytic there, or refused.

    Args:
        function: Its name; beside those of the grammar ``power``, ``step`` and ``sign`` (slopes of relu and abs).
        value: The argument.
        exponent: For ``power``.

    Raises:
        BallDomainError: Where the argument touches a pole, a branch cut or a kink, or the result is not finite.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> with series_precision(64, 3):
        ...     [float(c.mid()) for c in coefficients(call("sigmoid", series([real(0), real(1)], 3)))]
        [0.5, 0.25]
    """
    if function in {"relu", "abs", "step", "sign"}:
        return _on_one_side(function, value)
    if function == "power":
        assert exponent is not None
        return _power(value, exponent)
    if not isinstance(value, arb_series):
        return _ALGEBRA.call(function, value)
    if function in {"log", "sqrt"} and not is_positive(value[0]):
        raise BallDomainError(f"{function} of {value[0]}, which may not be positive")
    return _finite(_SERIES_FUNCTIONS[function](value), function, value)


_ALGEBRA = BallAlgebra()


def _power(value: Ball, exponent: Fraction) -> Ball:
    if not isinstance(value, arb_series):
        return _finite(_ALGEBRA.power(value, exponent), "power", value)
    return (call("log", value) * _ALGEBRA.number(exponent)).exp()


def _on_one_side(function: str, value: Ball) -> Ball:
    start = value[0] if isinstance(value, arb_series) else value
    direction = sign(start.real)
    if direction == 0:
        name = {"step": "relu", "sign": "abs"}.get(function, function)
        raise BallDomainError(f"{name} of {start}, which may touch its kink")
    slope = 1 if direction > 0 else -1 if function in {"abs", "sign"} else 0
    return value * slope if function in {"relu", "abs"} else type(start)(slope)


def call_constant(function: str, value: Ball, exponent: Fraction | None = None) -> Ball:
    """The same of a number that no parameter moves: relu and abs are defined on their kinks, too.

    The slopes there, which only multiply derivatives that are 0, may be any number between the one-sided ones.
    """
    real = value.real
    if function in {"relu", "abs", "step", "sign"} and sign(real) == 0 and bool(value.imag == 0):
        if function in {"relu", "abs"}:
            return type(value)(_ALGEBRA.call(function, real))
        return type(value)(arb(0).union(arb(1)) if function == "step" else arb(0, 1))
    return call(function, value, exponent)


def _finite(result: Ball, function: str, argument: Ball) -> Ball:
    if not is_finite(result):
        raise BallDomainError(f"{function} of {argument} has no finite enclosure")
    return result


# Polynomials.


def horner(values: Sequence[Ball], point: Ball) -> Ball:
    """The polynomial with these coefficients at a ball, all of whose points it encloses."""
    total = arb(0)
    for value in reversed(values):
        total = total * point + value
    return total


def polynomial_values(polynomials: Sequence[Sequence[Ball]], points: Sequence[Ball]) -> list[list[Ball]]:
    """For each point, the values there of the polynomials with these coefficients."""
    made = [arb_poly(list(values)) for values in polynomials]
    return [[polynomial(point) for polynomial in made] for point in points]


def product_coefficients(left: Sequence[Ball], right: Sequence[Ball]) -> list[Ball]:
    """All coefficients of the product of two polynomials."""
    if not left or not right:
        return []
    length = len(left) + len(right) - 1
    before, ctx.cap = ctx.cap, length
    try:
        return (series(left, length) * series(right, length)).coeffs()
    finally:
        ctx.cap = before


def integrals_of_products(left: Sequence[Sequence[Ball]], right: Sequence[Sequence[Ball]]) -> list[list[Ball]]:
    """For each pair of vectors of polynomials, the integral over [0, 1] of their inner product.

    The product is not cut: the integral of ``sum_k a_k t^k`` times ``sum_l b_l t^l`` is the bilinear form
    ``sum_kl a_k b_l / (k + l + 1)``, and all pairs together are one product of matrices.

    Args:
        left: Vectors of d entries, each a ball or a series.
        right: The same.

    Returns:
        A row for each left vector, an entry for each right one.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> with series_precision(64, 2):
        ...     t = series([real(0), real(1)], 2)
        ...     [[value]] = integrals_of_products([[t]], [[t]])
        >>> str(value.str(10, radius=False))
        '0.3333333333'
    """
    if not left or not right:
        return [[] for _ in left]
    few, many = (left, right) if len(left) <= len(right) else (right, left)
    short, tall = _padded(few), _padded(many)
    reach, length = len(short[0][0]), len(tall[0][0])
    inverses = [arb(1) / n for n in range(1, reach + length)]
    weights = arb_mat(reach, length, [inverses[j + k] for j in range(reach) for k in range(length)])
    weighted = iter((arb_mat([entry for vector in short for entry in vector]) * weights).tolist())
    few_rows = [[value for _ in vector for value in next(weighted)] for vector in short]
    many_rows = [[value for entry in vector for value in entry] for vector in tall]
    product = arb_mat(few_rows) * arb_mat(many_rows).transpose()
    return (product if few is left else product.transpose()).tolist()


def _padded(vectors: Sequence[Sequence[Ball]]) -> list[list[list[Ball]]]:
    """The coefficients of all entries of all vectors, with zeros up to one length."""
    rows = [[coefficients(value) or [arb(0)] for value in vector] for vector in vectors]
    width = max(len(row) for vector in rows for row in vector)
    return [[row + [arb(0)] * (width - len(row)) for row in vector] for vector in rows]


# Matrices.


Matrix = Any  # an ``arb_mat``, read as ``matrix[i, j]`` and added with ``+``: python-flint ships no types


def zero_matrix(rows: int, columns: int) -> Matrix:
    """A matrix of zeros."""
    return arb_mat(rows, columns)


def inner_products(left: Sequence[Sequence[Ball]], right: Sequence[Sequence[Ball]]) -> Matrix:
    """For each pair of real vectors their inner product: a row for each left one, an entry for each right one.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> float(inner_products([[real(1), real(2)]], [[real(3), real(4)]])[0, 0])
        11.0
    """
    if not left or not right:
        return arb_mat(len(left), len(right))
    return arb_mat([list(v) for v in left]) * arb_mat([list(v) for v in right]).transpose()


def solve_linear(matrix: Sequence[Sequence[Ball]], right: Sequence[Ball]) -> list[Ball]:
    """Enclose the solution of a square linear system, for all matrices and right sides in the balls.

    Raises:
        BallDomainError: If the matrix is not proved to be invertible.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> [half] = solve_linear([[real(2)]], [real(1)])
        >>> bool(half == real(1) / 2)
        True
    """
    try:
        solved = arb_mat([list(row) for row in matrix]).solve(arb_mat([[value] for value in right]))
    except ZeroDivisionError:
        raise BallDomainError("the matrix may be singular") from None
    return [row[0] for row in solved.tolist()]


def largest_eigenvalue_bound(matrix: Sequence[Sequence[Ball]]) -> Ball:
    """A bound of the largest eigenvalue of every real symmetric matrix whose entries lie in these balls.

    With A the matrix of midpoints and D the rest, the largest eigenvalue is at most that of A plus the norm of D. Both
    are verified: floating-point eigenvectors are only a guess (docs/devdocs/certified.md).

    Args:
        matrix: Real balls, symmetric: entry (i, j) and entry (j, i) enclose one number.

    Returns:
        A real ball that is one number, not less than the eigenvalue.

    Raises:
        BallDomainError: If an entry is not finite.

    Example:
        >>> from pkverify.arithmetic.ball import real
        >>> one, two = real(1), real(2)
        >>> 3 <= float(largest_eigenvalue_bound([[two, one], [one, two]])) < 3.0001
        True
    """
    size = len(matrix)
    if not all(entry.is_finite() for row in matrix for entry in row):
        raise BallDomainError("an entry of a Hessian is not finite")
    middle = [[matrix[min(i, j)][max(i, j)].mid() for j in range(size)] for i in range(size)]
    rest = [
        [upper_bound(matrix[i][j] - middle[i][j]).max(upper_bound(matrix[j][i] - middle[i][j])) for j in range(size)]
        for i in range(size)
    ]
    return (midpoint_eigenvalue_bound(middle) + remainder_norm_bound(rest)).upper()


def spectrum_bounds(matrix: Sequence[Sequence[Ball]]) -> tuple[Ball, Ball]:
    """A lower bound of the smallest and an upper bound of the largest eigenvalue, as ``largest_eigenvalue_bound``."""
    return -largest_eigenvalue_bound([[-entry for entry in row] for row in matrix]), largest_eigenvalue_bound(matrix)


def midpoint_eigenvalue_bound(matrix: Sequence[Sequence[Ball]]) -> Ball:
    """The same for one symmetric matrix of exact numbers: Gershgorin's discs after a near-diagonalisation.

    With V any invertible matrix, the eigenvalues are stationary values of ``y' V'AV y / y' V'V y``. Gershgorin bounds
    the numerator by g times ``|y|^2``, and the denominator lies within ``1 -+ s`` of it, where s is the largest row sum
    of ``|V'V - I|``; s < 1 proves that V is invertible.
    """
    size = len(matrix)
    vectors = arb_mat(_guessed_eigenvectors(matrix))
    turned = vectors.transpose()
    near_diagonal = (turned * (arb_mat([list(row) for row in matrix]) * vectors)).tolist()
    near_identity = (turned * vectors).tolist()
    spread = arb(0)
    bound = None
    for i in range(size):
        others = sum((near_diagonal[i][j].abs_upper() for j in range(size) if j != i), arb(0))
        disc = (near_diagonal[i][i] + others).upper()
        bound = disc if bound is None else bound.max(disc)
        row = sum(((near_identity[i][j] - (i == j)).abs_upper() for j in range(size)), arb(0))
        spread = spread.max(row.upper())
    assert bound is not None
    if not bool(spread < 1):
        raise BallDomainError("the guessed eigenvectors are dependent")
    return (bound / (1 - spread) if bound > 0 else bound / (1 + spread)).upper()


def remainder_norm_bound(radii: Sequence[Sequence[Ball]]) -> Ball:
    """The norm of every symmetric matrix with entries up to these in modulus, by Collatz: ``max_i (R x)_i / x_i``.

    It holds for any positive x, and is sharp for the Perron vector, which a few powers of R approach.
    """
    size = len(radii)
    if all(entry == 0 for row in radii for entry in row):
        return arb(0)
    largest = max(float(entry) for row in radii for entry in row) or 1.0
    guess = np.ones(size)
    floats = np.array([[float(entry) / largest for entry in row] for row in radii])
    if not np.isfinite(floats).all():
        floats = np.ones((size, size))
    for _ in range(12):
        guess = floats @ guess + 1e-3
        guess /= guess.max()
    weights = [arb(float(value)) for value in guess]
    rows = [sum((r * x for r, x in zip(row, weights, strict=True)), arb(0)) / weights[i] for i, row in enumerate(radii)]
    bound = rows[0]
    for row in rows[1:]:
        bound = bound.max(row)
    return bound.upper()


def _guessed_eigenvectors(matrix: Sequence[Sequence[Ball]]) -> list[list[Ball]]:
    size = len(matrix)
    values = np.array([[float(entry) for entry in row] for row in matrix])
    if not np.isfinite(values).all():
        return [[arb(int(i == j)) for j in range(size)] for i in range(size)]
    return [[arb(float(entry)) for entry in row] for row in np.linalg.eigh(values)[1]]
