"""Gradient descent against gradient flow: a certified bound of their distance, and the descent itself in balls.

With ``d_n = |w_n - w(n eps)|``, where w_n is the descent with learning rate eps,

    d_(n+1) <= g_n d_n + eps^2 A_n / 2,      g_n = max(|1 - eps lo|, |1 - eps hi|),

as long as ``d_n <= rho``: [lo, hi] holds the eigenvalues of Hess L within rho of the path, A_n is a bound of |w''|. It
needs no exponential of the Lipschitz constant, and shrinks where the loss is convex; docs/devdocs/certified.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from pkverify.arithmetic.ball import Ball, BallDomainError, midpoint, real, working_precision
from pkverify.arithmetic.ball_series import norm_bound, spectrum_bounds, upper_bound
from pkverify.certified import bounds
from pkverify.certified.along import PathView
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.certified.system import make_system
from pkverify.errors import InputError, UntreatableError
from pkverify.problem import Problem

MAX_STEPS = 1_000_000
_TRIES = 12
_MOST_GROWTH = 100  # of a bound, as an exponent of e: beyond, it says nothing, and its numbers are astronomical
_PARTS = 64  # of the path, at least
_BITS = 64
_WIDEST = Fraction(1, 2**40)  # a descent in balls wider than this is run again with more bits
_BITS_TRIES = 6


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
            horizon, or None where none is proved: it is what makes the distance tend to 0.
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
class _Tile:
    """Constants over a part of the path, which ends at a time."""

    end: Fraction
    gradient: Ball
    acceleration: Ball
    least: Ball
    largest: Ball


def descent_bound(enclosure: Enclosure, learning_rate: Fraction, steps: int | None = None) -> DescentBound:
    """Bound the distance between gradient descent and gradient flow at the horizon.

    Args:
        enclosure: The certified flow.
        learning_rate: Of the descent.
        steps: Number of its steps; their product must be the horizon.

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
    with working_precision(_BITS):
        view = PathView(enclosure)
        tube = _first_tube(view, learning_rate)
        for _ in range(_TRIES):
            try:
                tiles = _tiles(view, tube)
            except BallDomainError:
                break
            reached = midpoint(_recurrence(tiles, learning_rate, int(count)))
            if reached <= tube:
                return DescentBound(
                    learning_rate, int(count), tube, _most(tile.gradient for tile in tiles),
                    _most(tile.acceleration for tile in tiles), _lipschitz(tiles), reached,
                    _exponential(view, tiles, tube, learning_rate), _rate_constant(view, tiles, tube, learning_rate),
                )  # fmt: skip
            tube = 2 * max(reached, tube)
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
            params, rate = [real(v) for v in problem.initial], real(learning_rate)
            try:
                for _ in range(steps):
                    slopes = system.gradient_at(params)
                    params = [p - rate * slope for p, slope in zip(params, slopes, strict=True)]
                found = tuple(map(enclosed, params))
            except BallDomainError:
                found = ()
            if found and max(value.excess for value in found) <= _WIDEST:
                return found
        bits *= 2
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


def _first_tube(view: PathView, learning_rate: Fraction) -> Fraction:
    acceleration = _most(tile.acceleration for tile in _tiles(view, Fraction(0)))
    return learning_rate * view.enclosure.problem.horizon * acceleration / 2 or Fraction(1)


def _tiles(view: PathView, tube: Fraction) -> list[_Tile]:
    """Constants of the parts of the path, within a distance of it."""
    tiles: list[_Tile] = []
    for step in view.enclosure.steps:
        polynomials, error = step.balls(), real(step.error_sup)
        parts = max(1, ceil(_PARTS * step.length / view.enclosure.problem.horizon), len(step.log_norms))
        for part in range(parts):
            first, last = Fraction(part, parts), Fraction(part + 1, parts)
            on_path = bounds.path_boxes(polynomials, first, last, error)
            nearby = bounds.path_boxes(polynomials, first, last, error + real(tube))
            gradient = view.system.gradient_at(on_path)
            turned = [
                sum((h * g for h, g in zip(row, gradient, strict=True)), real(0))
                for row in view.system.hessian.at(on_path)
            ]  # w'' = Hess L grad L
            least, largest = spectrum_bounds(view.system.hessian.at(nearby))
            end = step.start + last * step.length
            tiles.append(_Tile(end, norm_bound(gradient), norm_bound(turned), least, largest))
    return tiles


def _recurrence(tiles: list[_Tile], learning_rate: Fraction, steps: int) -> Ball:
    """The largest of the bounds d_0, ..., d_N."""
    rate, ends = real(learning_rate), [tile.end for tile in tiles]
    factors = [upper_bound(1 - rate * t.least).max(upper_bound(1 - rate * t.largest)) for t in tiles]
    distance_bound, largest = real(0), real(0)
    for n in range(steps):
        first = min(bisect_right(ends, n * learning_rate), len(tiles) - 1)
        last = min(bisect_right(ends, (n + 1) * learning_rate), len(tiles) - 1)
        acceleration = tiles[first].acceleration
        for tile in tiles[first + 1 : last + 1]:
            acceleration = acceleration.max(tile.acceleration)
        distance_bound = upper_bound(factors[first] * distance_bound + rate * rate * acceleration / 2)
        largest = largest.max(distance_bound)
    return largest


def _exponential(view: PathView, tiles: list[_Tile], tube: Fraction, learning_rate: Fraction) -> Fraction | None:
    """``Lam M T exp(Lam T) eps`` where it, and ``M eps``, stay within the tube in which Lam holds."""
    horizon = view.enclosure.problem.horizon
    for _ in range(_TRIES):
        lipschitz, gradient = real(_lipschitz(tiles)), real(_most(tile.gradient for tile in tiles))
        rate, time = real(learning_rate), real(horizon)
        if _lipschitz(tiles) * horizon > _MOST_GROWTH:
            return None
        found = midpoint(upper_bound(lipschitz * gradient * time * (lipschitz * time).exp() * rate))
        if found <= tube and midpoint(upper_bound(gradient * rate)) <= tube:
            return found
        if found > 10**6:
            return None
        tube = 2 * max(found, tube, midpoint(upper_bound(gradient * rate)))
        try:
            tiles = _tiles(view, tube)
        except BallDomainError:
            return None
    return None


def _rate_constant(view: PathView, tiles: list[_Tile], tube: Fraction, learning_rate: Fraction) -> Fraction | None:
    """``T A exp(T max(0, -lo)) / 2``, where ``eps hi <= 1`` and it, times eps, stays within the tube.

    Then ``g_n <= 1 - eps' lo`` at every smaller learning rate, and the recurrence sums up to the constant times eps'.
    """
    horizon = real(view.enclosure.problem.horizon)
    for _ in range(_TRIES):
        steepest = _most(tile.largest for tile in tiles)
        if steepest * learning_rate > 1:
            return None
        steepest = max(Fraction(0), -min(midpoint(tile.least) for tile in tiles))
        if steepest * view.enclosure.problem.horizon > _MOST_GROWTH:
            return None
        growth = (horizon * real(steepest)).exp()
        constant = midpoint(upper_bound(horizon * real(_most(t.acceleration for t in tiles)) * growth / 2))
        if constant * learning_rate <= tube:
            return constant
        tube = 2 * max(constant * learning_rate, tube)
        try:
            tiles = _tiles(view, tube)
        except BallDomainError:
            return None
    return None


def _lipschitz(tiles: list[_Tile]) -> Fraction:
    return max(max(abs(midpoint(tile.least)), abs(midpoint(tile.largest))) for tile in tiles)


def _most(values: Iterable[Ball]) -> Fraction:
    return max(midpoint(value) for value in values)
