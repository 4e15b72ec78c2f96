"""The gradient flow and its path integrals: Taylor steps with adaptive length, split at kinks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, inf, log2

from pkverify.arithmetic.ball import BallDomainError
from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.errors import FlowError, InputError
from pkverify.jets import KinkError
from pkverify.precise.kinks import evaluate, first_crossing
from pkverify.precise.system import AugmentedSystem, Pair

MAX_STEPS = 20_000
# A step this much shorter than the longest one, after a run of ever shorter ones, is taken for a singularity.
COLLAPSE = Fraction(1, 10**9)
_RUN = 12
_MAX_LOG2 = 4000  # parameters beyond 2**4000 are taken for a blow-up
_SAFETY = Fraction(19, 20)
_GROWTH = Fraction(5, 4)
_FIRST_ORDER = 10
_RESCALE = Fraction(1, 2)
_NOISE_BITS = 10  # coefficients of so few bits are rounding noise, and say nothing of the step
_DEFECT_BITS = -6  # what a step may be off at its end, in bits above tolerance times order; -15 is usual
_MAX_TRIES = 60  # for one step: lengths are tried by factors, so ten are many
_SPARE_BITS = 400  # with so many bits beyond its due, what looks like rounding is none


class RoundingError(Exception):
    """Rounding is as large as the tolerance: values on the path are large, or cancel. More bits mend it."""


@dataclass(frozen=True)
class Segment:
    """One accepted step: the parameters as polynomials in tau = (t - start) / scale, for t from start on."""

    start: Fraction
    length: Fraction
    scale: Fraction
    params: tuple[tuple[int, ...], ...]


@dataclass
class Path:
    """A flow that reached its horizon.

    Attributes:
        numbers: The number type of all values.
        segments: The accepted steps.
        final: Parameters at the horizon.
        integrals: For each pair of bases the integral of their product over the whole path.
        kinks: For each kink met, the time and the function's name.
    """

    numbers: FixedPoint
    segments: list[Segment] = field(default_factory=list["Segment"])
    final: tuple[int, ...] = ()
    integrals: dict[Pair, int] = field(default_factory=dict["Pair", int])
    kinks: list[tuple[float, str]] = field(default_factory=list["tuple[float, str]"])

    def params_at(self, time: Fraction) -> list[int]:
        """The parameters at a time in [0, horizon]."""
        segment = next((s for s in self.segments if time <= s.start + s.length), self.segments[-1])
        tau = self.numbers.number((time - segment.start) / segment.scale)
        return [evaluate(series, tau, self.numbers) for series in segment.params]


def series_order(digits: float) -> int:
    """The order of the Taylor series for local errors of 10**-digits: near the minimum of the work, order**2 / step."""
    return int(1.15 * digits) + 6


def working_bits(digits: float) -> int:
    """Bits of the number type for local errors of 10**-digits: rounding stays some 2**-20 below them."""
    return ceil(digits * log2(10)) + 24


def integrate(
    system: AugmentedSystem, initial: Sequence[Fraction], horizon: Fraction, digits: float, *, in_balls: bool = True
) -> Path:
    """Follow the flow from time 0 to the horizon with local errors of about ``10**-digits``.

    Args:
        system: The augmented system, over a number type of at least ``working_bits(digits)`` bits.
        initial: Initial parameters.
        horizon: End of the flow.
        digits: Sets the tolerance of each step.
        in_balls: Whether to look at outputs and gradients in balls at every step.

    Returns:
        The path, with its integrals.

    Raises:
        InputError: If the model, the loss or a derivative is undefined at the start.
        FlowError: If the flow ends before the horizon, meets a kink that it does not cross, or takes too many steps.
        DomainError: If the start cannot be told apart from a singular point at this precision.
        RoundingError: If steps are held up by rounding at this precision.
    """
    return _Integration(system, initial, horizon, digits, in_balls=in_balls).run()


class _Integration:
    """The state of one integration; ``run`` is called once."""

    def __init__(
        self, system: AugmentedSystem, initial: Sequence[Fraction], horizon: Fraction, digits: float, *, in_balls: bool
    ) -> None:
        self.system = system
        self.in_balls = in_balls
        self.numbers = system.numbers
        self.horizon = horizon
        self.order = series_order(digits)
        self.tolerance = -digits * log2(10)
        self.spare = self.numbers.bits - working_bits(digits)
        self.path = Path(self.numbers)
        self.time = Fraction(0)
        self.state = [self.numbers.number(v) for v in initial]
        self.branches: dict[int, dict[int, int]] = {}
        self.lengths: list[Fraction] = []
        self.bases = system.bases()
        # Of the step that is being tried: how often, the longest length left, how many bits the last one was off.
        self.tries, self.longest, self.defect = 0, _rounded(horizon), inf
        self.slack: float = _DEFECT_BITS

    def run(self) -> Path:
        step = self._first_step()
        self._check_start()
        self._check_objective()
        while self.time < self.horizon:
            self._check_budget()
            self.tries += 1
            self._expand(step)
            if self.tries == 1:
                self._check_values()
            usable = self._usable_part(self.tolerance)
            if usable < _RESCALE or (usable > _GROWTH and not self.lengths and step < self.longest):
                # Powers of a small part would lose their digits; a first step may as well be as long as it can be.
                step = _rounded(min(step * usable, self.longest))
                continue
            part = min(Fraction(1), usable, (self.horizon - self.time) / step)
            part, crossed = self._split_at_kink(part)
            if self._accept(part, step, crossed):
                self.tries, self.longest, self.defect = 0, _rounded(self.horizon), inf
                step = _rounded(step * min(usable * _SAFETY, _GROWTH))
            else:
                step = self.longest = _rounded(part * step / 2)
        self.path.final = tuple(self.state)
        with suppress(KinkError):  # a path may end on a kink
            self.system.expand(self.state, step, 1, self.branches)
            self._check_values()
        return self.path

    def _first_step(self) -> Fraction:
        """A step from the growth of the first coefficients; only its order of magnitude matters."""
        step, order = _rounded(self.horizon), self.order
        self.order = _FIRST_ORDER
        self._expand(step)
        usable = self._usable_part(self.tolerance * _FIRST_ORDER / order)
        self.order = order
        return _rounded(step * min(usable, 1))

    def _expand(self, step: Fraction) -> None:
        try:
            self.system.expand(self.state, step, self.order, self.branches)
        except KinkError as error:
            if self.time == 0:
                self._check_start()
            raise self._on_kink(error.node) from None
        except DomainError as error:
            self._undefined(error)

    def _check_start(self) -> None:
        """Refuse a start on a kink, also where rounding has moved it off, and ask for more bits where they may tell."""
        for number, row in enumerate(self.system.rows):
            for argument in row.expansion.kinks:
                value = next(iter(row.expansion.series[argument]), self.numbers.zero)
                off = row.expansion.branches.get(argument) == 0
                if off or 4 * abs(value).bit_length() > 3 * self.numbers.bits:
                    continue
                if self.system.vanishes_at_start(number, argument):
                    raise self._on_kink(argument)
                if abs(value).bit_length() <= _NOISE_BITS:
                    raise DomainError(self._kink_name(argument), self.numbers.text(value, 5), certain=False)

    def _check_objective(self) -> None:
        """Refuse a start where the loss or the penalty is undefined though its derivative is not: log(y), y < 0."""
        try:
            self.system.evaluate_objective()
        except DomainError as error:
            self._undefined(error)

    def _check_values(self) -> None:
        """Ask for more bits where outputs or gradients have lost theirs, though no step would show it."""
        try:
            lost = self.in_balls and not self.system.is_accurate(self.state, self.tolerance)
        except BallDomainError:
            lost = True  # a value that balls cannot tell from a pole, or from an edge of the domain
        if lost:
            raise RoundingError

    def _on_kink(self, argument: int) -> FlowError:
        name = self._kink_name(argument)
        return FlowError(
            f"the path lies on a kink of {name} at t = {float(self.time):.6g}",
            hypothesis="H0", time=float(self.time), why=f"the argument of {name} is 0 there: the gradient jumps",
            fix="start elsewhere, or use a smooth model",
        )  # fmt: skip

    def _undefined(self, error: DomainError) -> None:
        if self.time > 0:
            raise FlowError(
                f"the flow reaches a point where {error.function} is undefined, at t = {float(self.time):.6g}",
                hypothesis="H2", time=float(self.time), why=f"its argument there is {error.argument}",
                fix="shorten the horizon",
            ) from None  # fmt: skip
        if not error.certain:
            raise error
        raise InputError(
            f"the model or the loss is undefined at the start: {error.function} at {error.argument}",
            "the flow needs the gradient of the loss at w(0), and the prediction there",
            "change [flow] initial or the data",
        ) from None

    def _usable_part(self, tolerance: float) -> Fraction:
        """The part of the scaled step for which the last coefficients stay below 2**tolerance."""
        bits = self.numbers.bits
        usable: list[float] = []
        # A base enters through products with others and a sum over the order, hence the margin.
        for lists, last, margin in (
            (self.system.params, self.order, 0.0),
            (self.bases, self.order - 1, log2(self.order)),
        ):
            for series in lists:
                size = max(0, max(abs(series[0]), abs(series[1])).bit_length() - bits)
                for k in range(last - 3, last + 1):
                    length = abs(series[k]).bit_length()
                    if length > _NOISE_BITS + size:
                        usable.append((tolerance + size - margin - (length - bits)) / k)
        exponent = min(usable, default=8.0)
        return Fraction(int(2.0 ** (exponent % 1 + 20))) * Fraction(2) ** (floor(exponent) - 20)

    def _check_budget(self) -> None:
        recent = self.lengths[-_RUN:]
        shrinking = len(recent) == _RUN and all(b < a for a, b in pairwise(recent))
        if shrinking and recent[-1] < COLLAPSE * max(self.lengths):
            self._check_rounding(recent[-1])
            self._fail_at_singularity()
        if len(self.lengths) >= MAX_STEPS:
            self._check_rounding(recent[-1])
            self._give_up(f"{MAX_STEPS} steps reached", "the problem is stiff: its fastest rate is too large")
        if self.tries >= _MAX_TRIES:
            self._check_rounding(self.longest)
            self._give_up("no step is found at", "the coefficients of the series, or their rounding, are too large")
        if max(abs(v).bit_length() for v in self.state) > self.numbers.bits + _MAX_LOG2:
            self._give_up(f"the weights exceed 2**{_MAX_LOG2} at", "they grow too fast to be followed any further")

    def _check_rounding(self, step: Fraction) -> None:
        """Do not take for a singularity what is rounding: the last coefficients then hardly fall with the step."""
        self._expand(_rounded(step / 1024))
        if self._usable_part(self.tolerance) < 32 and self.spare < _SPARE_BITS:
            raise RoundingError

    def _give_up(self, what: str, why: str) -> None:
        raise FlowError(
            f"{what} t = {float(self.time):.6g} of {float(self.horizon):.6g}",
            hypothesis="", time=float(self.time), why=why, fix="rescale the inputs, or shorten the horizon",
        )  # fmt: skip

    def _fail_at_singularity(self) -> None:
        raise FlowError(
            f"the flow does not reach the horizon: it ends near t = {float(self.time):.10g} (H2 fails)",
            hypothesis="H2", time=float(self.time),
            why="steps shrink to nothing there: the weights, or their velocity, grow without bound",
            fix=f"set [flow] horizon below {float(self.time):.6g}",
        )  # fmt: skip

    def _split_at_kink(self, part: Fraction) -> tuple[Fraction, dict[int, dict[int, int]]]:
        """Shorten the step to its first kink; also, by row, the arguments met there and the side they go on."""
        end = self.numbers.number(part)
        crossings: list[tuple[int, int, int]] = []
        for number, row in enumerate(self.system.rows):
            for argument in row.expansion.kinks:
                side = row.expansion.branches[argument]
                try:
                    at = first_crossing(row.expansion.series[argument], side, end, self.numbers)
                except ArithmeticError:
                    self._refuse_kink(argument, "touches it without crossing")
                else:
                    if at is not None:
                        crossings.append((at, number, argument))
        crossed: dict[int, dict[int, int]] = {}
        if not crossings:
            return part, crossed
        first = min(at for at, _, _ in crossings)
        met = [(number, argument) for at, number, argument in crossings if at - first <= 1 << 16]
        for number, argument in met:
            crossed.setdefault(number, {})[argument] = -self.system.rows[number].expansion.branches[argument]
        return self.numbers.fraction(first), crossed

    def _accept(self, part: Fraction, step: Fraction, crossed: dict[int, dict[int, int]]) -> bool:
        """Take the part of the step, unless the series do not hold up to its end."""
        numbers, tau = self.numbers, self.numbers.number(part)
        weights, power = list[int](), tau
        for k in range(1, 2 * self.order):
            weights.append(power // k)
            power = (power * tau) >> numbers.bits
        integrals = self.system.integrals(weights, step)
        params = tuple(tuple(series) for series in self.system.params)
        state = [evaluate(series, tau, numbers) for series in params]
        if not self._holds_up(state, tau, step, crossed):
            return False
        for pair, value in integrals.items():
            self.path.integrals[pair] = self.path.integrals.get(pair, numbers.zero) + value
        length = part * step
        self.path.segments.append(Segment(self.time, length, step, params))
        self.state, self.branches = state, crossed
        self.time = self.horizon if self.horizon - self.time <= length else self.time + length
        self.lengths.append(length)
        self.path.kinks += [(float(self.time), self._kink_name(a)) for sides in crossed.values() for a in sides]
        if crossed:
            self._check_crossings(step)
        return True

    def _holds_up(self, state: Sequence[int], tau: int, step: Fraction, crossed: dict[int, dict[int, int]]) -> bool:
        """Whether at the end of a step the parameters' series obey the flow, and the bases' series their formulas.

        The last coefficients tell nothing where they happen to vanish, as in t + t**31 / 31.
        """
        bits, lists = self.numbers.bits, [*self.bases, *self.system.params]
        expected = [evaluate(series, tau, self.numbers) for series in self.bases]
        expected += [evaluate(_slopes(series), tau, self.numbers) for series in self.system.params]
        sizes = [
            max(0, max(abs(s[0]), abs(s[1]), abs(e)).bit_length() - bits) for s, e in zip(lists, expected, strict=True)
        ]
        here = {number: {argument: -side for argument, side in sides.items()} for number, sides in crossed.items()}
        try:
            self.system.expand(state, step, 1, here)
        except KinkError:
            return True
        except DomainError:
            return False
        found = [*(series[0] for series in self.bases), *(series[1] for series in self.system.params)]
        misses = (abs(a - b).bit_length() - size for a, b, size in zip(expected, found, sizes, strict=True))
        defect = max(misses) - bits - self.tolerance - log2(self.order)
        previous, self.defect = self.defect, defect
        falling = defect < previous - self.order / 2
        if defect > self.slack and (falling or defect > -self.tolerance / 2):
            return False
        # Terms beyond the order fall with its powers when a step is halved; what is small and hardly falls is rounding.
        if defect > self.slack and self.spare < _SPARE_BITS:
            raise RoundingError
        self.slack = max(self.slack, defect + 2)
        return True

    def _check_crossings(self, step: Fraction) -> None:
        """After a kink every argument must move on: else the flow slides, turns back or is not unique."""
        self.system.expand(self.state, step, 2, self.branches)
        for number, sides in self.branches.items():
            for argument, side in sides.items():
                series = self.system.rows[number].expansion.series[argument]
                if side * series[1] <= self.numbers.one >> (self.numbers.bits // 2):
                    self._refuse_kink(argument, "does not cross it")

    def _refuse_kink(self, argument: int, how: str) -> None:
        name = self._kink_name(argument)
        raise FlowError(
            f"the path meets a kink of {name} and {how}, at t = {float(self.time):.6g}",
            hypothesis="H0", time=float(self.time),
            why="the gradient jumps there, and what the flow does next is not determined",
            fix="use a smooth activation, other data, or a shorter horizon",
        )  # fmt: skip

    def _kink_name(self, argument: int) -> str:
        for row in self.system.rows:
            if argument in row.expansion.kinks:
                return row.expansion.kink_name(argument)
        return "relu"


def _slopes(series: Sequence[int]) -> list[int]:
    """The coefficients of the derivative."""
    return [k * coefficient for k, coefficient in enumerate(series[1:], start=1)]


def _rounded(value: Fraction) -> Fraction:
    """A positive number rounded up to 30 bits and a power of two: exact, and cheap to multiply by."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length() - 30
    return Fraction(ceil(value / Fraction(2) ** exponent)) * Fraction(2) ** exponent
