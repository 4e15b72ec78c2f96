"""One step of a certified trajectory, as exact numbers: what a reader needs to check it again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, dyadic, real
from pkverify.arithmetic.ball_series import horner


@dataclass(frozen=True)
class Step:
    """A polynomial path ``p(tau)``, tau = (t - start) / length in [0, 1], and what is proved of the flow beside it.

    Attributes:
        start: Time at its beginning.
        length: Its length, positive; the last step ends at the horizon exactly.
        bits: Coefficients are integers in units of ``2**-bits``.
        coefficients: d polynomials, the constant first; ``p(0)`` is the end of the step before.
        disc: Radius (in tau, above 1) of the disc around 0 on which F(p) is analytic and bounded.
        margin: Width, in each coordinate, of the complex neighbourhood of the path on which all is analytic.
        order: Order up to which F(p) was expanded; the rest is bounded on the disc.
        flow_bound: Bound of ``|F|`` (Euclidean) on the box of the disc.
        defect: Bound of ``|p' - F(p)|`` (in time, Euclidean) for tau in [0, 1].
        tube: Radius of the tube around p in which the logarithmic norms hold.
        log_norms: Bounds of the largest eigenvalue of ``-Hess L`` in the tube, one for each of as many equal parts.
        error_start: Bound of ``|w - p|`` at the start.
        error_sup: Bound of it over the step; below ``tube``, which proves that the flow exists and stays in the tube.
        error_end: Bound of it at the end.
    """

    start: Fraction
    length: Fraction
    bits: int
    coefficients: tuple[tuple[int, ...], ...]
    disc: Fraction
    margin: Fraction
    order: int
    flow_bound: Fraction
    defect: Fraction
    tube: Fraction
    log_norms: tuple[Fraction, ...]
    error_start: Fraction
    error_sup: Fraction
    error_end: Fraction

    @property
    def end(self) -> Fraction:
        """Time at its end."""
        return self.start + self.length

    @property
    def final(self) -> tuple[Fraction, ...]:
        """p(1), exactly."""
        return tuple(Fraction(sum(c), 2**self.bits) for c in self.coefficients)

    def balls(self) -> list[list[Ball]]:
        """The polynomials as exact balls."""
        return [[dyadic(c, -self.bits) for c in p] for p in self.coefficients]

    def point(self, tau: Fraction) -> list[Ball]:
        """p at one tau, as balls."""
        at = real(tau)
        return [horner(p, at) for p in self.balls()]
