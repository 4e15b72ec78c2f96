"""The bounds that make a step a proof, one function for each; docs/devdocs/certified.md derives them.

Nothing here searches: given a polynomial, a disc, a margin and a tube, each function returns a number that is proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, real, spanning
from pkverify.arithmetic.ball_series import (
    around,
    box_around,
    coefficients,
    horner,
    largest_eigenvalue_bound,
    norm_bound,
    upper_bound,
)
from pkverify.certified.system import HessianSystem

Polynomials = Sequence[Sequence[Ball]]


def disc_reach(polynomials: Polynomials, disc: Fraction) -> list[Ball]:
    """For each polynomial, ``sum_(k>0) |c_k| disc**k``: how far it gets from its constant term on the disc."""
    radius = real(disc)
    return [upper_bound(horner([real(0), *(abs(c) for c in p[1:])], radius)) for p in polynomials]


def disc_box(polynomials: Polynomials, disc: Fraction) -> list[Ball]:
    """Complex boxes that contain p(tau) for all complex tau with ``|tau| <= disc``."""
    return [box_around(p[0], reach) for p, reach in zip(polynomials, disc_reach(polynomials, disc), strict=True)]


def path_neighbourhood(polynomials: Polynomials, margin: Fraction) -> list[Ball]:
    """Complex boxes that contain p(tau) + z for all tau in [0, 1] and all complex z with ``|z_j| <= margin``."""
    return [box_around(ball, real(margin)) for ball in path_boxes(polynomials, Fraction(0), Fraction(1), real(0))]


def cauchy_tail(disc: Fraction, order: int) -> Ball:
    """``sum_(k>order) disc**-k``: what a function bounded by 1 on the disc keeps of its series at ``|tau| <= 1``."""
    ratio = real(1 / disc)
    return upper_bound(ratio ** (order + 1) / (1 - ratio))


def quadrature_tail(disc: Fraction, count: int) -> Ball:
    """How far Gauss's rule with so many nodes may be from an integral over [0, 1].

    For a function that is analytic, and bounded by 1, on ``|tau| <= disc``.
    """
    half_axis = real(2 * disc - 1)  # the larger one, relative to 1/2, of the largest ellipse around [0, 1] in the disc
    decay = (half_axis + (half_axis * half_axis - 1).sqrt()) ** -2
    return upper_bound(2 * (1 + real(Fraction(1, 4 * count**2 - 1))) * decay**count / (1 - decay))


def defect_bound(polynomials: Polynomials, gradient: Sequence[Ball], length: Ball, bounds: Sequence[Ball],
                 tail: Ball) -> Ball:  # fmt: skip
    """A bound of ``|p'(tau) / length - F(p(tau))|`` over tau in [0, 1], where F = -gradient.

    Args:
        polynomials: p.
        gradient: The series of the gradient along p, cut at some order.
        length: The step's length.
        bounds: For each entry of the gradient, its bound on the disc.
        tail: ``cauchy_tail`` at the order of the series.
    """
    sizes: list[Ball] = []
    for p, entry, bound in zip(polynomials, gradient, bounds, strict=True):
        known = coefficients(entry)
        rates = [(k + 1) * c / length for k, c in enumerate(p[1:])]
        total = real(0)
        for k in range(max(len(known), len(rates))):
            off = (rates[k] if k < len(rates) else real(0)) + (known[k] if k < len(known) else real(0))
            total += off.abs_upper()
        sizes.append(total + bound * tail)
    return norm_bound(sizes)


def path_boxes(polynomials: Polynomials, first: Fraction, last: Fraction, tube: Ball) -> list[Ball]:
    """Real balls that contain the tube around p(tau), first <= tau <= last, in mean-value form."""
    middle, span = real((first + last) / 2), spanning(first, last)
    half = real((last - first) / 2)
    boxes: list[Ball] = []
    for p in polynomials:
        slope = horner([(k + 1) * c for k, c in enumerate(p[1:])], span)
        boxes.append(around(horner(p, middle), slope.abs_upper() * half + tube.abs_upper()))
    return boxes


def log_norm_bounds(hessian: HessianSystem, polynomials: Polynomials, tube: Ball, parts: int) -> list[Ball]:
    """For each of so many equal parts of [0, 1], a bound of the largest eigenvalue of -Hess L in the tube.

    Where the examples' part of the Hessian is positive semidefinite by its form, it can only lower the eigenvalues of
    the rest, and is left out; not where the Hessian is constant: then it is known exactly.
    """
    with_data = hessian.is_constant or not hessian.data_is_convex
    result: list[Ball] = []
    for part in range(parts):
        boxes = path_boxes(polynomials, Fraction(part, parts), Fraction(part + 1, parts), tube)
        matrix = hessian.at(boxes, with_data=with_data)
        result.append(largest_eigenvalue_bound([[-entry for entry in row] for row in matrix]))
    return result


def propagated_error(error: Ball, defect: Ball, length: Ball, log_norm: Ball) -> tuple[Ball, Ball]:
    """Bounds of the error over a stretch of the path, and at its end: Dahlquist's inequality e' <= mu e + defect.

    Returns:
        The bound over the stretch, and the bound at its end.
    """
    growth = (log_norm * length).exp()
    rate = log_norm.abs_lower()
    if log_norm > 0:
        mass = length * growth
        return upper_bound((error + defect * length) * growth), upper_bound(error * growth + defect * mass)
    mass = length.min((1 - growth) / rate) if rate > 0 else length
    return upper_bound(error + defect * length), upper_bound(error * growth + defect * mass)


def stays_within(error: Ball, tube: Ball) -> bool:
    """Whether the error is proved to stay below the tube's radius, so that the path never reaches its wall."""
    return bool(error < tube)


def series_part(tail: Ball) -> Ball:
    """What is lost of a product, relative to the bounds of its factors, when both series are cut."""
    return tail * (2 + tail)


def lipschitz_part(error: Ball, margin: Ball) -> Ball:
    """How far an inner product moves over this distance in real space, relative to the bounds of its factors nearby.

    Args:
        error: The distance.
        margin: By how much the complex neighbourhood, on which the factors are bounded, is wider than that.
    """
    return error / margin
