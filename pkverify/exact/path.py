"""Where a closed-form flow is at the horizon: an enclosure to any number of digits, and a proof that it gets there."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import (
    Ball,
    BallDomainError,
    endpoints,
    excludes_zero,
    is_positive,
    midpoint,
    real,
    real_part,
    sign,
    spanning,
    working_precision,
)
from pkverify.arithmetic.ball_functions import integral
from pkverify.exact.algebra import fraction
from pkverify.exact.ball_evaluation import evaluate
from pkverify.exact.closed_forms.record import ClosedForm

Expr = Any

_MOST_PIECES = 20_000
_MOST_STEPS = 500
_SPAN_BITS = 128
_FEWEST_BITS_TO_HALVE = 128
# A path that ends nearer to its limit than this resolves is not proved, only followed.
_MOST_BITS_OF_THE_WAY = 1 << 12


class Path:
    """The path of a closed form up to a horizon, in balls.

    The end of the path is found from the elapsed time G alone, by a change of sign of G(s) - T between two rationals:
    an explicit inverse is only a first guess. So what is enclosed rests on G' g = 1, G(start) = 0 and G being
    continuous on the way, which :meth:`why_not` checks.

    Args:
        form: The closed form.
        horizon: T.
    """

    def __init__(self, form: ClosedForm, horizon: Fraction) -> None:
        self.form = form
        self.horizon = horizon
        self._ends: dict[int, Ball] = {}

    def end(self, bits: int) -> Ball:
        """The progress variable at the horizon, enclosed with about so many bits; to be called at that precision.

        Raises:
            BallDomainError: If these bits do not suffice.
        """
        if bits not in self._ends:
            self._ends[bits] = real(self.horizon) if self.form.is_explicit_in_time else self._solved(bits)
        return self._ends[bits]

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        """Two rationals between which the path runs, to about twenty digits."""
        with working_precision(_SPAN_BITS):
            ends = (fraction(self.form.start), midpoint(self.end(_SPAN_BITS)))
        return min(ends), max(ends)

    def value(self, expression: Expr, bits: int) -> Ball:
        """A real expression in the progress variable, at the horizon."""
        return real_part(evaluate(expression, {self.form.progress: self.end(bits)}))

    def quadrature(self, integrand: Expr, bits: int) -> Ball:
        """The integral over time of an expression in the progress variable, where it has no closed form."""
        over = integrand / self.form.rate

        def along(s: Ball) -> Ball:
            return evaluate(over, {self.form.progress: s}, analytic=True)

        return integral(along, fraction(self.form.start), self.end(bits))

    # The end.

    def _elapsed(self, s: Fraction) -> Ball:
        return real_part(evaluate(self.form.elapsed, {self.form.progress: s}, analytic=True))

    def _rate(self, s: Fraction) -> Ball:
        return real_part(evaluate(self.form.rate, {self.form.progress: s}))

    def _solved(self, bits: int) -> Ball:
        start = fraction(self.form.start)
        direction = sign(self._rate(start))
        if direction == 0:
            raise BallDomainError("the rate at the start is not separated from 0")
        guess = self._explicit_guess() or self._coarse_guess(bits)
        if guess is None:
            guess = self._improved(*self._bracket(start, direction, bits), direction, bits)
        finest = max(abs(guess), Fraction(1, 2**bits)) / 2 ** (bits - 16)
        width = finest + 2 * abs(self._step(guess))
        for _ in range(bits // 16):
            # Behind the true end less time has passed than T, ahead of it more.
            behind, ahead = guess - direction * width, guess + direction * width
            if self._is_late(ahead) and self._is_early(behind):
                return spanning(min(behind, ahead), max(behind, ahead))
            width *= 2**8
        raise BallDomainError("the end of the path could not be enclosed")

    def _is_late(self, s: Fraction) -> bool:
        return is_positive(self._elapsed(s) - real(self.horizon))

    def _is_early(self, s: Fraction) -> bool:
        return is_positive(real(self.horizon) - self._elapsed(s))

    def _explicit_guess(self) -> Fraction | None:
        if self.form.explicit is None:
            return None
        try:
            return midpoint(real_part(evaluate(self.form.explicit, {self.form.time: self.horizon})))
        except BallDomainError:
            return None

    def _coarse_guess(self, bits: int) -> Fraction | None:
        """The end with half the bits, improved by one step of Newton's method, which nearly doubles them."""
        if bits < _FEWEST_BITS_TO_HALVE:
            return None
        try:
            with working_precision(bits // 2):
                coarse = midpoint(self.end(bits // 2))
            return midpoint(real(coarse - self._step(coarse)))
        except BallDomainError:
            return None

    def _step(self, s: Fraction) -> Fraction:
        """How far Newton's method would go back from here: the derivative of G is 1/g."""
        return midpoint((self._elapsed(s) - real(self.horizon)) * self._rate(s))

    def _bracket(self, start: Fraction, direction: int, bits: int) -> tuple[Fraction, Fraction]:
        """A place where the time is still short of the horizon, and a later one where it is past it."""
        limit = self.form.limit
        if limit is None:
            return self._groped(start, direction, bits)

        def place(k: int) -> Fraction:
            if limit.is_infinite:
                return start + direction * Fraction(2) ** (k - 8)
            gap = midpoint(real_part(evaluate(limit))) - start
            return start + gap * (1 - Fraction(1, 2**k))

        behind, k = 0, 1
        # Past the precision, the limit and the places near it cannot be told apart.
        while k < bits - 32:
            if self._is_late(place(k)):
                break
            behind, k = k, 2 * k
        else:
            raise BallDomainError("the end is too near to the limit of the path for this precision")
        while k - behind > 1:
            middle = (k + behind) // 2
            behind, k = (behind, middle) if self._is_late(place(middle)) else (middle, k)
        return (place(behind) if behind else start), place(k)

    def _groped(self, start: Fraction, direction: int, bits: int) -> tuple[Fraction, Fraction]:
        """The same without knowing the limit: steps that double, and are halved wherever they leave the path."""
        behind, step = start, Fraction(1, 16)
        for _ in range(4 * bits):
            ahead = behind + direction * step
            try:
                if sign(self._rate(ahead)) != direction:
                    raise BallDomainError("beyond the limit of the path")
                if self._is_late(ahead):
                    return behind, ahead
            except BallDomainError:
                step /= 2
                continue
            behind, step = ahead, 2 * step
        raise BallDomainError("the end is too near to the limit of the path for this precision")

    def _improved(self, behind: Fraction, ahead: Fraction, direction: int, bits: int) -> Fraction:
        """Newton's method for G(s) = T, whose derivative is 1/g; halving wherever it leaves the bracket."""
        s = (behind + ahead) / 2
        for _ in range(_MOST_STEPS):
            excess = self._elapsed(s) - real(self.horizon)
            if is_positive(excess):
                ahead = s
            elif is_positive(-excess):
                behind = s
            else:
                return s
            step = midpoint(excess * self._rate(s))
            following = midpoint(real(s - step))
            if not min(behind, ahead) < following < max(behind, ahead):
                following = midpoint(real((behind + ahead) / 2))
            if abs(following - s) <= abs(s) / 2 ** (bits - 8):
                return following
            s = following
        raise BallDomainError(f"no convergence in direction {direction}")

    # The way.

    def why_not(self, others: Iterable[Expr], bits: int = 192) -> str | None:
        """Why the closed form may fail somewhere on the way to the horizon, or None: then it is proved not to.

        The interval is cut into pieces until, on a ball around each, the rate excludes 0, and the rate, the elapsed
        time, the parameters and the other given expressions are analytic and finite: no pole, branch cut or kink.

        Args:
            others: Further expressions in the progress variable that must be analytic on the way.
            bits: The precision to begin with.
        """
        reason: str | None = "the end of the path could not be enclosed"
        while bits <= _MOST_BITS_OF_THE_WAY:
            with working_precision(bits):
                try:
                    reason = self._obstacle(*endpoints(self.end(bits)), [*self.form.params, *others], bits)
                except BallDomainError as error:
                    reason = str(error)
            if reason is None:
                return None
            bits *= 2
        return reason

    def _obstacle(self, low: Fraction, high: Fraction, others: list[Expr], bits: int) -> str | None:
        start = fraction(self.form.start)
        pieces = [(min(start, low), max(start, high))]
        for _ in range(_MOST_PIECES):
            if not pieces:
                return None
            left, right = pieces.pop()
            failed = self._fails_on(spanning(left, right), others)
            if failed is None:
                continue
            middle = (left + right) / 2
            if right - left <= (abs(left) + abs(right)) / 2 ** (bits - 16):
                return f"{failed} near {self.form.progress} = {float(middle):.6g}"
            pieces += [(left, middle), (middle, right)]
        return "too many pieces would be needed to exclude a pole on the way"

    def _fails_on(self, piece: Ball, others: list[Expr]) -> str | None:
        at = {self.form.progress: piece}
        try:
            if not excludes_zero(evaluate(self.form.rate, at, analytic=True)):
                return "the rate may be 0"
            # The integral of 1/rate is analytic wherever 1/rate is, all the way from the start.
            elapsed = () if isinstance(self.form.elapsed, sp.Integral) else (self.form.elapsed,)
            for expression in (*elapsed, *others):
                evaluate(expression, at, analytic=True)
        except BallDomainError as error:
            return str(error)
        return None
