"""The search for steps: polynomials from Taylor recurrences, then discs, tubes and bounds until they close.

Nothing here need be right for an enclosure to be true: a bad polynomial only makes a large defect. What is proved comes
from ``bounds``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf, log2

from pkverify.arithmetic.ball import Ball, BallDomainError, dyadic, midpoint, real
from pkverify.arithmetic.ball_series import (
    is_finite,
    magnitude_bits,
    norm_bound,
    series,
    series_precision,
    upper_bound,
)
from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.certified import bounds
from pkverify.certified.step import Step
from pkverify.certified.system import BallSystem, RowValues
from pkverify.errors import FlowError, UntreatableError
from pkverify.jets import Expansion, KinkError

MAX_STEPS = 20_000
COLLAPSE = Fraction(1, 10**9)  # steps this much shorter than the horizon, after a run that shrank to less than half
_COARSE_COLLAPSE = Fraction(1, 10**5)  # the same where, beside, the error outgrows every tube
_RUN = 16
_NOISE_BITS = 8
_FIRST_ORDER = 10
_MOST_PARTS = 16
_EXCESS = 1.0  # what halving the parts of all steps may still take from the exponent of the error ...
_LEAST_EXCESS = 1 / 32  # ... or of one step, where there are many
_WIDEST_DISC, _NARROWEST_DISC = 64.0, 1.3
_DISC_TRIES = 30
_WIDEN = 1.4
_MOST_GROWTH = 700  # an error that grows by more than exp(700) in a part of a step fits no tube
_MOST_BITS = 4000  # bounds beyond 2**4000 are not worked with
_WIDEST_MARGIN = Fraction(1, 8)
_MOST_USABLE = 2.0**12
_LONGEST_SERIES = 2.5  # relative to the degree of p
_TUBE = 6  # log2 of the tube over the error expected
_TUBE_TRIES = 4
_MARGIN_STEPS = 4  # that a neighbourhood's width serves
_TUBES = 2**14  # neighbourhoods at least this much wider than the error are narrowed further


class TooCoarseError(Exception):
    """The error grew beyond what any tube can hold: more digits may mend it."""


@dataclass(frozen=True)
class StepValues:
    """What was evaluated on the way to a step, for the path integrals.

    Attributes:
        polynomials: p, as exact balls.
        limits: Gradient and Jacobian of every row on the box of the disc.
        near: The same on the complex box around the path.
    """

    polynomials: list[list[Ball]]
    limits: list[RowValues]
    near: list[RowValues]


@dataclass
class _Disc:
    ratio: float
    limits: list[RowValues]
    flow: list[Ball]
    order: float


def working_bits(digits: float) -> int:
    """Bits of the polynomials' coefficients for local errors of ``10**-digits``."""
    return ceil(digits * log2(10)) + 30


def series_order(digits: float) -> int:
    """Degree of p for local errors of ``10**-digits``."""
    return int(1.4 * digits) + 10


def expansion_order(needed: float, degree: int) -> int:
    """Up to which order F(p) is expanded, when the tail on the disc needs so many terms."""
    return max(ceil(needed), degree)


class Follower:
    """Follows one flow once, at one local tolerance; used inside ``working_precision``.

    Args:
        system: The problem over balls.
        digits: Local errors are about ``10**-digits``.
    """

    def __init__(self, system: BallSystem, digits: float) -> None:
        self.system = system
        self.problem = system.problem
        self.digits = digits
        self.bits = working_bits(digits)
        self.order = series_order(digits)
        self.numbers = FixedPoint(self.bits)
        self.params: list[list[int]] = [[] for _ in range(system.size)]
        self.time = Fraction(0)
        self.error = real(0)
        self.lengths: list[Fraction] = []
        self._scale = _power_of_two(self.problem.horizon)
        self._reach = 0.0  # the last disc's radius, in time
        self._margin, self._margin_age = _WIDEST_MARGIN, -1
        self._parts = 1
        self._constant_norm: list[Ball] | None = None
        try:
            self._expansions = self._expand_rows()
        except DomainError:  # of a constant that the units cannot tell from 0
            raise TooCoarseError from None
        self.state = [int(self.numbers.number(v)) for v in self.problem.initial]
        start = [real(v) - dyadic(c, -self.bits) for v, c in zip(self.problem.initial, self.state, strict=True)]
        self.error = norm_bound(start)

    def steps(self) -> Generator[tuple[Step, StepValues]]:
        """The steps up to the horizon, one after the other.

        Raises:
            FlowError: If the flow cannot be followed: the time reached is in it.
            TooCoarseError: If the tolerance is too coarse for this flow.
        """
        horizon = self.problem.horizon
        while self.time < horizon:
            if len(self.lengths) >= MAX_STEPS:
                raise self._stopped("", f"the flow took more than {MAX_STEPS} steps", "ask for a shorter horizon")
            try:
                step, values = self._step()
            except TooCoarseError:
                if self.lengths and self._is_collapsing(self.lengths[-1] / 2, _COARSE_COLLAPSE):
                    raise self._collapsed("no tube holds the error any more") from None
                raise
            self.time, self.lengths = step.end, [*self.lengths[-_RUN:], step.length]
            self.state = [sum(c) for c in step.coefficients]
            self.error = real(step.error_end)
            yield step, values

    def _step(self) -> tuple[Step, StepValues]:
        length, polynomials = self._polynomials()
        longest = max([length, *self.lengths])
        while True:
            balls = [[dyadic(c, -self.bits) for c in p] for p in polynomials]
            disc, reason = self._find_disc(balls, length)
            if disc is not None and disc.order <= _LONGEST_SERIES * self.order:
                nearby = self._find_margin(balls, length)
                if nearby is not None:
                    break
            if length < longest * COLLAPSE:
                raise self._collapsed(reason)
            length /= 2
            polynomials = [[c >> k for k, c in enumerate(p)] for p in polynomials]
        self._reach = disc.ratio * float(length)
        if self._is_collapsing(length):
            raise self._collapsed(reason)
        return self._close(polynomials, balls, length, disc, nearby)

    def _close(self, polynomials: list[list[int]], balls: list[list[Ball]], length: Fraction,
               disc: _Disc, nearby: tuple[Fraction, list[RowValues]]) -> tuple[Step, StepValues]:  # fmt: skip
        """Bound the defect and the error of a step whose disc and neighbourhood were found."""
        order = expansion_order(disc.order, self.order)
        ratio = Fraction(floor(disc.ratio * 64), 64)
        with series_precision(self.bits + 16, order + 1):
            gradient = self.system.gradient_at([series(p, order + 1) for p in balls])
        if not all(map(is_finite, gradient)):
            raise BallDomainError("a series along the path is not finite")
        tail, size = bounds.cauchy_tail(ratio, order), real(length)
        defect = bounds.defect_bound(balls, gradient, size, disc.flow, tail)
        expected = self.error + defect * size
        tube = min(_dyadic_above(expected, _TUBE, self.bits), _power_of_two(nearby[0] / 4))
        for _ in range(_TUBE_TRIES):
            if 4 * tube > nearby[0]:
                break
            norms = self._log_norms(balls, tube, length)
            part = size / len(norms)
            if any(bool(norm * part > _MOST_GROWTH) for norm in norms):
                break
            end, largest = self.error, self.error
            for norm in norms:
                over, end = bounds.propagated_error(end, defect, part, norm)
                largest = largest.max(over)
            if bounds.stays_within(largest, real(tube)):
                step = Step(
                    start=self.time, length=length, bits=self.bits, coefficients=tuple(map(tuple, polynomials)),
                    disc=ratio, margin=nearby[0], order=order, flow_bound=midpoint(norm_bound(disc.flow)),
                    defect=midpoint(defect), tube=tube, log_norms=tuple(map(midpoint, norms)),
                    error_start=midpoint(self.error), error_sup=midpoint(upper_bound(largest)),
                    error_end=midpoint(end),
                )  # fmt: skip
                return step, StepValues(balls, disc.limits, nearby[1])
            tube = _dyadic_above(largest, 2, self.bits)
        raise TooCoarseError

    def _log_norms(self, balls: list[list[Ball]], tube: Fraction, length: Fraction) -> list[Ball]:
        hessian, radius = self.system.hessian, real(tube)
        if hessian.is_constant or hessian.data_is_convex:
            if hessian.is_constant and self._constant_norm is not None:
                return self._constant_norm
            self._constant_norm = bounds.log_norm_bounds(hessian, balls, radius, 1)
            return self._constant_norm
        parts, share = self._parts, float(length / self.problem.horizon)
        allowed = max(_EXCESS * share, _LEAST_EXCESS) / float(length)
        norms = bounds.log_norm_bounds(hessian, balls, radius, parts)
        while parts < _MOST_PARTS:
            finer = bounds.log_norm_bounds(hessian, balls, radius, 2 * parts)
            gain = _mean(norms) - _mean(finer)  # halving the parts halves what their width adds
            norms, parts = finer, 2 * parts
            if gain <= allowed:
                break
        self._parts = max(1, parts // 2 if parts < _MOST_PARTS else parts // 4)
        return norms

    # -- boxes

    def _find_disc(self, balls: list[list[Ball]], length: Fraction) -> tuple[_Disc | None, str]:
        """The disc for which the fewest terms of the series are needed: wider ones decay faster, and are larger."""
        # Coefficients are rounded to units of 2**-bits. On a wider disc than this the rounding of the last one alone is
        # larger than 1, as at the end of a path, where a step is much shorter than the flow would let it be.
        widest = min(_WIDEST_DISC, 2.0 ** (self.bits / max(len(balls[0]) - 1, 1)))
        ratio = min(max(self._reach / float(length), 2.0), widest)
        best: _Disc | None = None
        reason, shrinking = "", False
        for _ in range(_DISC_TRIES):
            try:
                tried = self._try_disc(balls, length, ratio)
            except BallDomainError as error:
                reason = str(error)
                if best is not None:
                    break
                shrinking = True
                ratio /= _WIDEN
                if ratio < _NARROWEST_DISC:
                    break
                continue
            if best is not None and tried.order > 0.97 * best.order:
                if shrinking:
                    break
                shrinking = True  # wider was no better: try the other side of the first one
                ratio = best.ratio / _WIDEN
            else:
                best = tried
                ratio = tried.ratio / _WIDEN if shrinking else tried.ratio * _WIDEN
            if not _NARROWEST_DISC <= ratio <= widest:
                break
        return best, reason

    def _try_disc(self, balls: list[list[Ball]], length: Fraction, ratio: float) -> _Disc:
        disc = Fraction(floor(ratio * 64), 64)
        limits = self.system.evaluate(bounds.disc_box(balls, disc), is_complex=True)
        flow = [upper_bound(entry) for entry in self.system.total_gradient(limits)]
        sizes = [magnitude_bits(_largest(lines)) for lines in (_lines(limits), [flow])]
        size = max(2 * sizes[0], sizes[1], 0) + log2_of(length)
        order = (self.digits * log2(10) + 4 + size - log2(1 - 1 / ratio)) / log2(ratio)
        return _Disc(ratio, limits, flow, order)

    def _find_margin(self, balls: list[list[Ball]], length: Fraction) -> tuple[Fraction, list[RowValues]] | None:
        """A complex neighbourhood of the path on which everything is analytic, and the bounds there.

        Of those tried, the one on which products of rows are proved to move least: bounds grow with the width, but it
        divides them. None is so narrow that the tube might not fit. What was best serves a few more steps.
        """
        narrowest = (self.error + real(Fraction(10) ** -floor(self.digits))) * _TUBES
        self._margin_age = (self._margin_age + 1) % _MARGIN_STEPS
        is_new = self._margin_age == 0
        margin, best, least = min((1 + is_new) * self._margin, _WIDEST_MARGIN), None, inf
        while margin > length * COLLAPSE and (best is None or (is_new and bool(narrowest < real(margin)))):
            try:
                near = self.system.evaluate(bounds.path_neighbourhood(balls, margin), is_complex=True)
                moved = 2 * log2_of(midpoint(_largest(_lines(near)))) - log2_of(margin)
            except BallDomainError:
                near, moved = None, inf
            if best is not None and moved >= least:
                break
            if near is not None:
                best, least, self._margin = (margin, near), moved, margin
            margin /= 2
        return best

    # -- polynomials

    def _polynomials(self) -> tuple[Fraction, list[list[int]]]:
        """A step length, and p in tau over it, from the Taylor recurrences at midpoints."""
        remaining = self.problem.horizon - self.time
        order = _FIRST_ORDER if not self.lengths else self.order
        try:
            usable = self._expand_usefully(order, remaining)
            if order != self.order:
                usable = self._expand_usefully(self.order, remaining)
        except DomainError as error:
            if not error.certain:  # within rounding of the boundary: more digits may tell
                raise TooCoarseError from None
            raise self._undefined(error.function) from None
        except KinkError as error:
            name = next(e.kink_name(error.node) for e in self._expansions if error.node in e.kinks)
            raise self._kinked(f"{name} of 0") from None
        part = min(Fraction(floor(usable * 64), 64), remaining / self._scale)
        power, powers = self.numbers.one, list[int]()
        for _ in range(self.order + 1):
            powers.append(power)
            power = power * part.numerator // part.denominator
        scaled = [[int((c * q) >> self.bits) for c, q in zip(p, powers, strict=True)] for p in self.params]
        return part * self._scale, scaled

    def _expand_usefully(self, order: int, remaining: Fraction) -> float:
        """Expand in a time unit in which the step is a little below 1; returns the usable part of it.

        Powers of a part above 1 would blow up the rounding of the coefficients, powers of a small one lose their bits.
        """
        longest = 2 * _power_of_two(remaining)
        self._scale = min(self._scale, longest)
        while True:
            usable = min(self._expand(order), _MOST_USABLE)
            if usable < 0.5:
                longest = self._scale / 2
                self._scale *= Fraction(2) ** min(floor(log2(usable)), -1)
                if self._scale < self.problem.horizon * Fraction(1, 2**200):
                    raise self._collapsed("the Taylor coefficients grow without bound")
            elif usable >= 2 and self._scale < longest:
                self._scale = min(self._scale * Fraction(2) ** floor(log2(usable)), longest)
            else:
                return min(usable, 1.0)

    def _expand(self, order: int) -> float:
        for p, value in zip(self.params, self.state, strict=True):
            p.clear()
            p.append(self.numbers.zero + value)
        for expansion in self._expansions:
            expansion.start()
        numerator, shift = self._scale.numerator, self._scale.denominator.bit_length() - 1
        for k in range(order):
            for p, (constant, parts) in zip(self.params, self._flow, strict=True):
                rate = (constant if k == 0 else self.numbers.zero) + sum(part[k] for part in parts)
                p.append(-((rate * numerator) >> shift) // (k + 1))
            for expansion in self._expansions:
                expansion.advance(k + 1)
        target = self.bits - self.digits * log2(10) * order / self.order
        usable = inf
        for p in self.params:
            for k in (order - 1, order):
                length = abs(int(p[k])).bit_length()
                if length > _NOISE_BITS:
                    usable = min(usable, 2 ** ((target - length) / k))
        return usable

    def _expand_rows(self) -> list[Expansion]:
        system, compiled = self.system, self.system.compiled
        rows = [
            Expansion(compiled.graph, compiled.gradient, self.numbers, leaves, self.params)
            for leaves in system.leaves[: system.examples]
        ]
        nodes = [list(compiled.gradient)] * len(rows)
        if system.penalty_row is not None:
            rows.append(Expansion(compiled.graph, compiled.penalty_gradient, self.numbers, {}, self.params))
            nodes.append(list(compiled.penalty_gradient))
        self._flow: list[tuple[int, list[Sequence[int]]]] = []
        for j in range(system.size):
            constant, parts = self.numbers.zero, list[Sequence[int]]()
            for expansion, wanted in zip(rows, nodes, strict=True):
                if wanted[j] in expansion.constants:
                    constant += expansion.constants[wanted[j]]
                else:
                    parts.append(expansion.series[wanted[j]])
            self._flow.append((constant, parts))
        return rows

    # -- failures

    def _is_collapsing(self, length: Fraction, collapse: Fraction = COLLAPSE) -> bool:
        run = [*self.lengths[-_RUN:], length]
        if len(run) <= _RUN or length > self.problem.horizon * collapse:
            return False
        return 2 * run[-1] < run[0]

    def _collapsed(self, reason: str) -> FlowError | UntreatableError:
        if "kink" in reason:
            return self._kinked(reason)
        return self._stopped("H2", "steps become shorter and shorter" + (f": {reason}" if reason else ""), "")

    def _kinked(self, reason: str) -> UntreatableError:
        return UntreatableError(
            f"the path comes to a kink near t = {float(self.time):.6g}: {reason}",
            "the certified route needs a model and a loss that are analytic along the path",
            "use the precise route, a shorter horizon, or a smooth model",
        )

    def _undefined(self, name: str) -> FlowError:
        return self._stopped("H2", f"{name} is undefined there", "")

    def _stopped(self, hypothesis: str, why: str, fix: str) -> FlowError:
        return FlowError(
            f"the enclosure of the flow stops at t = {float(self.time):.6g}",
            hypothesis=hypothesis, time=float(self.time), why=why, fix=fix or "shorten the horizon",
        )  # fmt: skip


def log2_of(value: Fraction) -> float:
    """The binary logarithm of a rational of any size; minus infinity of 0 and below."""
    if value <= 0:
        return -inf
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return shift + log2(value / Fraction(2) ** shift)


def _power_of_two(value: Fraction) -> Fraction:
    """The largest power of two that is not above a positive number."""
    power = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length())
    return power if power <= value else power / 2


def _dyadic_above(value: Ball, spare: int, bits: int) -> Fraction:
    """A power of two above a bound, by ``2**spare`` at least; not below the unit of the coefficients."""
    exponent = max(magnitude_bits(upper_bound(value)), -bits)
    if exponent > _MOST_BITS:
        raise TooCoarseError
    return Fraction(2) ** (exponent + spare)


def _mean(values: Sequence[Ball]) -> float:
    return float(sum((midpoint(v) for v in values), Fraction(0))) / len(values)


def _lines(rows: Sequence[RowValues]) -> list[list[Ball]]:
    """All gradients and Jacobian lines."""
    return [line for row in rows for line in (row.gradient, *row.jacobian) if line]


def _largest(lines: Sequence[Sequence[Ball]]) -> Ball:
    """The largest bound of their lengths.

    Raises:
        BallDomainError: If one is not finite, or of a size that no step could make up for.
    """
    sizes = [norm_bound(line) for line in lines]
    if max(map(magnitude_bits, sizes), default=0) > _MOST_BITS:
        raise BallDomainError("a bound is too large to be of use")
    return max(sizes, default=real(0))
