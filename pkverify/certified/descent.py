"""Gradient descent against gradient flow: a certified bound of their distance, and the descent itself in balls.

With ``d_n = |w_n - w(n eps)|``, where w_n is the descent with learning rate eps, ::

    d_(n+1) <= g_n d_n + eps^2 A_n / 2,      g_n = max(|1 - eps lo|, |1 - eps hi|),

as long as ``d_n <= rho``: [lo, hi] holds the eigenvalues of Hess L within rho of the path, A_n is a bound of
``|w''|``. It needs no exponential of the Lipschitz constant, and shrinks where the loss is convex;
docs/devdocs/certified.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

from pkverify.arithmetic.ball import Ball, BallDomainError, midpoint, real, working_precision
from pkverify.arithmetic.ball_series import norm_bound, spectrum_bounds, upper_bound
from pkverify.certified import bounds
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.certified.step import Step
from pkverify.certified.system import make_system
from pkverify.errors import InputError, UntreatableError
from pkverify.problem import Problem

MAX_STEPS = 1_000_000
_TRIES = 4
_PARTS = 32  # of the path, at least
_BITS = 64
_LEAST = real(Fraction(1, 2**64))  # a factor of 0 has no logarithm
_LARGEST = 64  # an error that grows by more than exp(64), or to more than 2**64, fits no tube
_TUBES = tuple(Fraction(1, 4**k) for k in range(12))  # tried for a bound of all small learning rates
_CONSTANT_TUBE = Fraction(2**40)  # where the Hessian is constant, its bounds hold in any tube
_WIDEST = Fraction(1, 2**40)  # a descent in balls wider than this is run again with more bits
_BITS_TRIES = 4
_SAMPLES = 4  # parts of the path that are looked at to choose a tube
_LOOKS = 16  # after so many steps the widths are looked at


@dataclass(frozen=True)
class DescentBound:
    """How far gradient descent is from the flow at the horizon, proved before it is run.

    Attributes:
        learning_rate: eps.
        steps: N; ``N eps`` is the horizon.
        tube: rho: the constants hold within this distance of the path.
        gradient: M: bound of ``|grad L|`` on the path.
        acceleration: Bound of ``|w''|`` on the path.
        lipschitz: Lam: Lipschitz constant of grad L in the tube.
        distance: Bound of ``|w_N - w(T)|`` by the recurrence.
        exponential: The bound ``Lam M T exp(Lam T) eps`` of the formal theorem, or None where it exceeds its tube.
        rate_constant: C with ``|w_N - w(T)| <= C eps'`` for every learning rate ``eps' <= eps`` that divides the
            horizon, or None where it is proved of none: it is what makes the distance tend to 0. ``rate_bound``
            finds an eps of which it is.
    """

    learning_rate: Fraction
    steps: int
    tube: Fraction
    gradient: Fraction
    acceleration: Fraction
    lipschitz: Fraction
    distance: Fraction
    exponential: Fraction | None
    rate_constant: Fraction | None


@dataclass(frozen=True)
class RateBound:
    """``|w_N - w(T)| <= constant * eps`` for every learning rate ``eps = T / N <= learning_rate``.

    Attributes:
        constant: The constant.
        learning_rate: The largest learning rate that it is proved for.
        steps: The least N that it is proved for; ``steps * learning_rate`` is the horizon.
        tube: Within this distance of the path the Lipschitz constant holds.
        gradient: Bound of ``|grad L|`` on the path.
        acceleration: Bound of ``|w''|`` on the path.
        lipschitz: Lipschitz constant of grad L in the tube.
    """

    constant: Fraction
    learning_rate: Fraction
    steps: int
    tube: Fraction
    gradient: Fraction
    acceleration: Fraction
    lipschitz: Fraction


@dataclass(frozen=True)
class _Tile:
    """Constants over a part of the path between two times; the eigenvalues in a tube around it."""

    start: Fraction
    end: Fraction
    gradient: Ball
    acceleration: Ball
    least: Ball
    largest: Ball


class DescentConstants:
    """The constants of the parts of a path, each computed once, whatever the learning rates.

    Args:
        enclosure: The certified flow.
    """

    def __init__(self, enclosure: Enclosure) -> None:
        self.enclosure = enclosure
        self._tubes: dict[Fraction, list[_Tile] | None] = {}
        with working_precision(_BITS):
            self._hessian = (system := make_system(enclosure.problem, [])).hessian
            self._parts = [
                (step, Fraction(part, parts), Fraction(part + 1, parts))
                for step in enclosure.steps
                for parts in [max(1, ceil(_PARTS * step.length / enclosure.problem.horizon))]
                for part in range(parts)
            ]
            self._on_path: list[tuple[Ball, Ball]] = []
            for part in self._parts:
                boxes = _boxes(part, real(0))
                gradient = system.gradient_at(boxes)
                turned = [
                    sum((h * g for h, g in zip(row, gradient, strict=True)), real(0)) for row in self._hessian.at(boxes)
                ]  # w'' = Hess L grad L
                self._on_path.append((norm_bound(gradient), norm_bound(turned)))

    @property
    def horizon(self) -> Fraction:
        """The horizon."""
        return self.enclosure.problem.horizon

    def tiles(self, tube: Fraction) -> list[_Tile] | None:
        """The constants in a tube, or None where the loss is not analytic all over it."""
        if self._hessian.is_constant:
            tube = Fraction(0)
        if tube not in self._tubes:
            self._tubes[tube] = self._evaluate(tube, 1)
        return self._tubes[tube]

    @cached_property
    def tubes(self) -> tuple[Fraction, ...]:
        """Tubes to try for a bound of all small learning rates, the most promising first, by a look at a few parts."""
        if self._hessian.is_constant:
            return (_CONSTANT_TUBE,)
        rates: dict[Fraction, Fraction] = {}
        for tube in _TUBES:
            tiles = self._evaluate(tube, max(1, len(self._parts) // _SAMPLES))
            found = None if tiles is None else _rate_bound_within(self, tiles, tube)
            if found is not None:
                rates[tube] = found.learning_rate
                if found.learning_rate < max(rates.values()):
                    break
        return tuple(sorted(rates, key=lambda tube: -rates[tube]))

    def _evaluate(self, tube: Fraction, every: int) -> list[_Tile] | None:
        """The constants of every so many-th part; None where the loss is not analytic."""
        try:
            with working_precision(_BITS):
                return self._tiles(real(tube), every)
        except BallDomainError:
            return None

    def _tiles(self, tube: Ball, every: int) -> list[_Tile]:
        tiles: list[_Tile] = []
        spectrum: tuple[Ball, Ball] | None = None
        for part, (gradient, acceleration) in list(zip(self._parts, self._on_path, strict=True))[::every]:
            step, _, last = part
            if spectrum is None or not self._hessian.is_constant:
                boxes = _boxes(part, tube)
                spectrum = spectrum_bounds(self._hessian.at(boxes))
                if self._hessian.data_is_convex and not self._hessian.is_constant:
                    penalty = spectrum_bounds(self._hessian.at(boxes, with_data=False))[0]
                    spectrum = spectrum[0].max(penalty), spectrum[1]
            start = tiles[-1].end if tiles else Fraction(0)  # parts that were left out count with the next one
            end = step.start + last * step.length
            tiles.append(_Tile(start, end, gradient, acceleration, *spectrum))
        return tiles


def rate_bound(enclosure: Enclosure, constants: DescentConstants | None = None) -> RateBound:
    """A bound of the distance between descent and flow that is linear in the learning rate, for all small ones.

    Such a bound holds for every flow that is enclosed: within any tube on which the loss is analytic the recurrence
    comes to a constant times the learning rate, and where that stays in the tube, it is proved. Of the tubes tried,
    the one that promises the largest learning rate is chosen.

    Args:
        enclosure: The certified flow.
        constants: Those of the enclosure, where they are at hand.

    Raises:
        UntreatableError: If the loss is analytic in no tube that was tried.

    Example:
        >>> from pkverify.certified.enclosure import enclose
        >>> from pkverify.problem_file import parse_problem
        >>> line = enclose(parse_problem('''
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... '''), digits=10)
        >>> bound = rate_bound(line)
        >>> true = abs(2 * (1 - 0.999**1000) - 1.2642411176571153)
        >>> bound.steps < 10, true <= float(bound.constant / 1000) < 3 * true
        (True, True)
    """
    known = constants or DescentConstants(enclosure)
    with working_precision(_BITS):
        for tube in known.tubes:
            tiles = known.tiles(tube)
            found = None if tiles is None else _rate_bound_within(known, tiles, tube)
            if found is not None:
                return found
    raise UntreatableError(
        "no learning rate is small enough for a proof that the descent stays near the flow",
        "the bounds of the Hessian grow too fast around the path", "use a shorter horizon",
    )  # fmt: skip


def descent_bound(
    enclosure: Enclosure,
    learning_rate: Fraction,
    steps: int | None = None,
    constants: DescentConstants | None = None,
) -> DescentBound:
    """Bound the distance between gradient descent and gradient flow at the horizon.

    Args:
        enclosure: The certified flow.
        learning_rate: Of the descent.
        steps: Number of its steps; their product must be the horizon.
        constants: Those of the enclosure, where they are at hand.

    Raises:
        InputError: If the steps do not end at the horizon.
        UntreatableError: If the bound closes in no tube: the learning rate is too large for it.

    Example:
        >>> from pkverify.certified.enclosure import enclose
        >>> from pkverify.problem_file import parse_problem
        >>> line = enclose(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), digits=10)
        >>> bound = descent_bound(line, Fraction(1, 100))
        >>> true = abs(2 * (1 - 0.99**100) - 1.2642411176571153)
        >>> true <= float(bound.distance) < 1.6 * true
        True
    """
    horizon = enclosure.problem.horizon
    count = horizon / learning_rate if steps is None else Fraction(steps)
    if learning_rate <= 0 or count * learning_rate != horizon or count.denominator != 1 or count > MAX_STEPS:
        raise InputError(
            f"{count} steps with learning rate {learning_rate} do not make up the horizon {horizon}",
            f"descent and flow are compared at one time, after at most {MAX_STEPS} whole steps",
            "choose a learning rate of horizon / N",
        )
    known = constants or DescentConstants(enclosure)
    with working_precision(_BITS):
        tube, tiles = Fraction(0), known.tiles(Fraction(0))
        for _ in range(_TRIES):
            reached = None if tiles is None else _recurrence(tiles, learning_rate, int(count))
            if tiles is None or reached is None:
                break
            if reached <= tube or known.tiles(reached) is tiles:
                tube = max(tube, reached)
                return DescentBound(
                    learning_rate, int(count), tube, _most(tile.gradient for tile in tiles),
                    _most(tile.acceleration for tile in tiles), _lipschitz(tiles), reached,
                    _exponential(known, learning_rate), _rate_constant(known, learning_rate),
                )  # fmt: skip
            tube = 2 * reached
            tiles = known.tiles(tube)
    raise UntreatableError(
        f"learning rate {learning_rate}: the descent is not proved to stay near the flow",
        "the bound leaves every tube in which its constants hold", "use a smaller learning rate",
    )  # fmt: skip


def descend(problem: Problem, learning_rate: Fraction, steps: int) -> tuple[Enclosed, ...]:
    """The parameters after so many steps of gradient descent, in balls.

    Raises:
        UntreatableError: If the balls stay wide at every precision.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> [weight] = descend(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), Fraction(1, 2), 2)
        >>> weight.contains(Fraction(3, 2))
        True
    """
    bits = 2 * _BITS
    for _ in range(_BITS_TRIES):
        with working_precision(bits):
            system = make_system(problem, [])
            params, rate, done = [real(v) for v in problem.initial], real(learning_rate), 0
            try:
                for done in range(1, steps + 1):
                    slopes = system.gradient_at(params)
                    params = [p - rate * slope for p, slope in zip(params, slopes, strict=True)]
                    if done % _LOOKS == 0 and _widest(params) > _WIDEST:
                        break
                if _widest(params) <= _WIDEST:
                    return tuple(map(enclosed, params))
            except BallDomainError:
                pass
        # Widths grow by about one factor a step: so many bits are lost by the end as the part done tells.
        bits = ceil(bits * max(2, min(Fraction(5, 4) * steps / done, 64)))
    raise UntreatableError(
        f"gradient descent with learning rate {learning_rate} could not be enclosed",
        "its balls grow too wide, or it leaves the model's domain", "use a smaller learning rate, or fewer steps",
    )  # fmt: skip


def distance(left: tuple[Enclosed, ...], right: tuple[Enclosed, ...]) -> Enclosed:
    """The Euclidean distance of two enclosed vectors."""
    with working_precision(2 * _BITS):
        low, high = real(0), real(0)
        for a, b in zip(left, right, strict=True):
            apart, width = abs(a.mid - b.mid), a.rad + b.rad
            low += real(max(apart - width, Fraction(0))) ** 2 if apart > width else real(0)
            high += real(apart + width) * real(apart + width)
        return enclosed(low.sqrt().union(high.sqrt())) if high > 0 else Enclosed(Fraction(0), Fraction(0))


def _widest(params: Iterable[Ball]) -> Fraction:
    return max(enclosed(value).excess for value in params)


def _boxes(part: tuple[Step, Fraction, Fraction], tube: Ball) -> list[Ball]:
    """Boxes that hold a part of the true path and the tube around it."""
    step, first, last = part
    return bounds.path_boxes(step.balls(), first, last, real(step.error_sup) + tube)


def _recurrence(tiles: list[_Tile], learning_rate: Fraction, steps: int) -> Fraction | None:
    """The largest of the bounds d_0, ..., d_N; None where they grow beyond all tubes.

    Within a tile the map from d_n to d_(n+1) is one and the same, affine and increasing: its iterates are monotone, so
    that the largest is the first or the last, and their sum is geometric.
    """
    rate = real(learning_rate)
    reached, largest, n = real(0), real(0), 0
    for number, tile in enumerate(tiles):
        factor = upper_bound(1 - rate * tile.least).max(upper_bound(1 - rate * tile.largest)).max(_LEAST)
        inside = min(int(tile.end / learning_rate), steps) - n  # steps that begin and end in this tile
        if inside > 0:
            if bool(factor.log() * inside > _LARGEST):
                return None
            grown = factor**inside
            added = (grown - 1) / (factor - 1) if factor > 1 or factor < 1 else real(inside)
            source = upper_bound(rate * rate * tile.acceleration / 2)
            reached = upper_bound(grown * reached + added.min(real(inside) * grown.max(real(1))) * source)
            n += inside
            largest = largest.max(reached)
        if n < steps and n * learning_rate < tile.end:  # a step that begins here, and ends in a later tile
            over = [tile, *(t for t in tiles[number + 1 :] if t.start < (n + 1) * learning_rate)]
            acceleration = real(_most(t.acceleration for t in over))
            reached = upper_bound(factor * reached + rate * rate * acceleration / 2)
            n += 1
            largest = largest.max(reached)
        if not bool(largest < 2**_LARGEST):
            return None
    return midpoint(largest)


def _exponential(known: DescentConstants, learning_rate: Fraction) -> Fraction | None:
    """``Lam M T exp(Lam T) eps`` where it, and ``M eps``, stay within the tube in which Lam holds."""
    rate, time = real(learning_rate), real(known.horizon)
    tube = Fraction(0)
    for _ in range(_TRIES):
        tiles = known.tiles(tube)
        if tiles is None:
            return None
        lipschitz, gradient = real(_lipschitz(tiles)), real(_most(tile.gradient for tile in tiles))
        if not bool(lipschitz * time < _LARGEST):
            return None
        found = midpoint(upper_bound(lipschitz * gradient * time * (lipschitz * time).exp() * rate))
        needed = max(found, midpoint(upper_bound(gradient * rate)))
        if needed <= tube or known.tiles(needed) is tiles:
            return found
        tube = 2 * needed
    return None


def _rate_constant(known: DescentConstants, learning_rate: Fraction) -> Fraction | None:
    """The constant of ``rate_bound`` at this learning rate, if there is a tube in which it holds."""
    for tube in known.tubes:
        tiles = known.tiles(tube)
        found = None if tiles is None else _constants_within(tiles, learning_rate)
        if found is not None and found[1] * learning_rate <= tube:
            return found[0]
    return None


def _rate_bound_within(known: DescentConstants, tiles: list[_Tile], tube: Fraction) -> RateBound | None:
    steepest, horizon = _most(tile.largest for tile in tiles), known.horizon
    steps = max(1, ceil(steepest * horizon * Fraction(65, 64)))
    for _ in range(_TRIES):  # a smaller learning rate has smaller constants
        rate = horizon / steps
        found = _constants_within(tiles, rate)
        if found is not None and found[1] * rate <= tube:
            return RateBound(
                found[0], rate, steps, tube, _most(tile.gradient for tile in tiles),
                _most(tile.acceleration for tile in tiles), _lipschitz(tiles),
            )  # fmt: skip
        steps = 64 * steps if found is None else ceil(found[1] * horizon / tube)
    return None


def _constants_within(tiles: list[_Tile], learning_rate: Fraction) -> tuple[Fraction, Fraction] | None:
    """(C, S) with ``d_N <= C eps'`` and all ``d_n <= S eps'``, for all eps' up to a learning rate, while in the tube.

    With ``eps hi <= 1`` the factors are at most ``exp(eps' m)``, ``m = -lo``. A, the bound of ``|w''|``, and m are step
    functions of time; sums over the steps of the descent exceed integrals by at most eps times what these vary. So,
    with D the sum of the drops of m, and P the largest of 0 and lo,

        2 C = exp(eps (D + P)) Y(T),    Y' = m Y + A,   Y(0) = 0,   and Y jumps by eps ``|jump of A|`` where A does.
    """
    if any(not bool(tile.largest * real(learning_rate) <= 1) for tile in tiles):
        return None
    rate, drops, fastest = real(learning_rate), real(0), real(0)
    end, largest = real(0), real(0)
    before: _Tile | None = None
    for tile in tiles:
        length = real(tile.end - tile.start)
        if before is not None:
            end += rate * (tile.acceleration - before.acceleration).abs_upper()
            drops += (tile.least - before.least).max(real(0))
        exponent = -tile.least * length
        if not bool(exponent < _LARGEST):
            return None
        growth = exponent.exp()
        most = growth.max(real(1))
        largest = largest.max((end + length * tile.acceleration) * most)
        end = upper_bound(end * growth + length * tile.acceleration * most)
        fastest = fastest.max(tile.least)
        before = tile
        if not bool(end < 2**_LARGEST):
            return None
    excess = rate * (drops + fastest)
    if not bool(excess < _LARGEST):
        return None
    return midpoint(upper_bound(end * excess.exp() / 2)), midpoint(upper_bound(largest * excess.exp() / 2))


def _lipschitz(tiles: list[_Tile]) -> Fraction:
    return max(max(abs(midpoint(tile.least)), abs(midpoint(tile.largest))) for tile in tiles)


def _most(values: Iterable[Ball]) -> Fraction:
    return max(midpoint(value) for value in values)
