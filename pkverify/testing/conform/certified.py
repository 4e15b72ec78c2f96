"""Scores in balls: the reference for perceptrons, certified, and without torch, autograd or floating-point rounding.

The checkpoints are what they are, numbers in float64, and so rationals: what a quantity comes to at them has one value,
and it lies in the ball. Gradients are those of a perceptron, written out; the mean of a gradient along a step is an
integral, enclosed by Gauss's rule with a bound of its error.

For a function analytic and bounded by M on the ellipse with foci at the ends of the step whose half axes add up to
``rho`` half steps, Chebyshev's expansion gives a polynomial of degree 2n - 1 that is nowhere on the step off by more
than ``2 M rho^-(2n-1) / (rho - 1)``. The rule with n points integrates it exactly and its weights are positive, so the
mean is off by at most twice that. M comes from balls that cover the ellipse; where one of them is not finite, as at a
pole of tanh, a smaller ellipse is tried, and then each half of the step by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import product

import torch
from torch import Tensor, nn

from pkverify.arithmetic.ball import (
    Ball,
    BallAlgebra,
    BallDomainError,
    complex_ball,
    imaginary_unit,
    midpoint,
    radius,
    real,
    sign,
    spanning,
    working_precision,
)
from pkverify.arithmetic.ball_series import upper_bound
from pkverify.arithmetic.quadrature import gauss_legendre
from pkverify.testing.conform.reference import Quantity
from pkverify.testing.conform.task import Task

_BITS = 192
_POINTS = 20
_ELLIPSES = (Fraction(8), Fraction(4))
_BOXES = (1, 4)  # an ellipse is covered by so many times so many boxes
_HALVINGS = 4
_MISSED = Fraction(1, 10**20)  # the bound of an integral's error above which a step is halved
_WIDEST = Fraction(1, 10**15)  # a ball wider than this says less than float64 does

Row = list[Ball]
# For each layer its weights, row by row, and its biases or None.
Layers = list[tuple[list[Row], Row | None]]


@dataclass(frozen=True)
class Certified:
    """Scores with a bound of their error.

    Attributes:
        values: The midpoints, rounded to float64, ``[q, m]``.
        radius: No true score is further from its midpoint; with the rounding of the midpoints.
    """

    values: Tensor
    radius: float


@lru_cache(maxsize=64)
def certified_reference(task: Task, quantity: Quantity, params: tuple[str, ...] = ("*",)) -> Certified | None:
    """The scores in balls; None where there are none: for other networks and losses, and steps past poles.

    Args:
        task: The task.
        quantity: What scores are.
        params: Globs for the parameters that take part.

    Example:
        >>> from pkverify.testing.conform.larger import larger_task
        >>> from pkverify.testing.conform.reference import QUANTITIES
        >>> found = certified_reference(larger_task("cross-entropy"), QUANTITIES["left-endpoint"])
        >>> tuple(found.values.shape), found.radius < 1e-14
        ((5, 12), True)
    """
    if task.rescaled or not all(isinstance(layer, nn.Linear | nn.Tanh) for layer in task.model):
        return None
    try:
        with working_precision(_BITS):
            return _scores(task, quantity, params)
    except (BallDomainError, ZeroDivisionError):
        return None


def _scores(task: Task, quantity: Quantity, params: Sequence[str]) -> Certified | None:
    network = _Network(task, params)
    zero = real(0)
    total = [[zero] * len(task.x) for _ in task.x_query]
    moving: list[list[Row]] = []
    for s, rate in enumerate(task.rates):
        layers = network.layers(s)
        train = [network.gradients(layers, quantity.train, "train", i) for i in range(len(task.x))]
        if quantity.adds_up:
            moving = _moved(task, s, moving, train)
            train = moving
        for z in range(len(task.x_query)):
            if quantity.along == "left":
                query = network.gradients(layers, quantity.query, "query", z)
            else:
                query = network.mean_gradients(quantity.query, s, z)
            for i, other in enumerate(train):
                products = [a * b for one, two in zip(query, other, strict=True) for a, b in zip(one, two, strict=True)]
                step = real(Fraction(rate)) * sum(products, zero)
                total[z][i] += -step if quantity.adds_up else step
    widest = max(radius(ball) for row in total for ball in row)
    if widest > _WIDEST:
        return None
    middles = [[midpoint(ball) for ball in row] for row in total]
    rounded = [[float(middle) for middle in row] for row in middles]
    off = max(
        abs(Fraction(value) - middle)
        for values, exact in zip(rounded, middles, strict=True)
        for value, middle in zip(values, exact, strict=True)
    )
    return Certified(torch.tensor(rounded, dtype=torch.float64), float((widest + off) * Fraction(1001, 1000)))


def _moved(task: Task, step: int, before: list[list[Row]], found: list[list[Row]]) -> list[list[Row]]:
    """What each example has in the direction of a step."""
    chosen = task.batch(step)
    share = real(Fraction(1, len(chosen)) if task.mean else Fraction(1))
    momentum, zero = real(Fraction(task.momentum)), real(0)
    moved: list[list[Row]] = []
    for i, rows in enumerate(found):
        now = [[share * g for g in row] if i in chosen else [zero] * len(row) for row in rows]
        if before:
            now = [
                [momentum * a + b for a, b in zip(old, new, strict=True)]
                for old, new in zip(before[i], now, strict=True)
            ]
        moved.append(now)
    return moved


@dataclass(frozen=True)
class _Network:
    """A task's perceptron in balls; gradients have the numbers of the parameters that take part, and no others."""

    task: Task
    params: Sequence[str]

    def layers(self, point: int) -> Layers:
        """The weights of a checkpoint, exactly."""
        weights = self.task.checkpoints[point]
        names = [name for name in weights if name.endswith(".weight")]
        found: Layers = []
        for name in names:
            bias = weights.get(f"{name.removesuffix('.weight')}.bias")
            rows = [[real(Fraction(v)) for v in row] for row in weights[name].tolist()]
            found.append((rows, None if bias is None else [real(Fraction(v)) for v in bias.tolist()]))
        return found

    def gradients(self, layers: Layers, kind: str, whose: str, k: int, *, is_complex: bool = False) -> list[Row]:
        """The gradients of one example: of its loss, of one output or of each."""
        algebra = BallAlgebra(is_complex)
        xs, ys = (self.task.x, self.task.y) if whose == "train" else (self.task.x_query, self.task.y_query)
        inputs = [[algebra.number(Fraction(v)) for v in xs[k].tolist()]]
        for depth, (weight, bias) in enumerate(layers):
            sums = [_sum([w * v for w, v in zip(row, inputs[-1], strict=True)]) for row in weight]
            if bias is not None:
                sums = [a + b for a, b in zip(sums, bias, strict=True)]
            inputs.append(sums if depth == len(layers) - 1 else [algebra.call("tanh", v) for v in sums])
        outputs = inputs.pop()
        seeds = self._seeds(algebra, kind, outputs, ys[k].tolist())
        return [self._pulled_back(algebra, layers, inputs, seed) for seed in seeds]

    def _seeds(self, algebra: BallAlgebra, kind: str, outputs: Row, target: Sequence[float] | int) -> list[Row]:
        """Derivatives in the outputs."""
        one, zero = algebra.number(Fraction(1)), algebra.number(Fraction(0))
        units = [[one if c == k else zero for c in range(len(outputs))] for k in range(len(outputs))]
        if kind != "loss":
            return units[self.task.output : self.task.output + 1] if kind == "output" else units
        if isinstance(target, int):
            shifted = [algebra.call("exp", v - outputs[target]) for v in outputs]
            total = _sum(shifted)
            return [[algebra.divide(v, total) - unit for v, unit in zip(shifted, units[target], strict=True)]]
        return [[2 * (v - algebra.number(Fraction(t))) for v, t in zip(outputs, target, strict=True)]]

    def _pulled_back(self, algebra: BallAlgebra, layers: Layers, inputs: list[Row], seed: Row) -> Row:
        found: list[Row] = []
        one = algebra.number(Fraction(1))
        names = [name.removesuffix(".weight") for name in self.task.checkpoints[0] if name.endswith(".weight")]
        for name, (weight, bias), values in reversed(list(zip(names, layers, inputs, strict=True))):
            here: Row = []
            if self._takes_part(f"{name}.weight"):
                here += [s * v for s in seed for v in values]
            if bias is not None and self._takes_part(f"{name}.bias"):
                here += seed
            found.append(here)
            back = [_sum([s * row[k] for s, row in zip(seed, weight, strict=True)]) for k in range(len(values))]
            # The values of the layers above the first are tanh of something.
            seed = [b * (one - v * v) for b, v in zip(back, values, strict=True)]
        return [entry for layer in found for entry in layer]

    def _takes_part(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self.params)

    def mean_gradients(self, kind: str, step: int, query: int) -> list[Row]:
        """The means over a step, enclosed.

        Raises:
            BallDomainError: If the parts of the step are too near to poles, as far as boxes can tell.
        """
        return self._mean(self.layers(step), self.layers(step + 1), kind, query, _HALVINGS)

    def _mean(self, start: Layers, end: Layers, kind: str, query: int, halvings: int) -> list[Row]:
        error = self._error(start, end, kind, query)
        if error is None:
            if not halvings:
                raise BallDomainError("the step passes too near to a pole")
            middle = _between(start, end, real(Fraction(1, 2)))
            halves = [self._mean(*ends, kind, query, halvings - 1) for ends in ((start, middle), (middle, end))]
            return [[(a + b) / 2 for a, b in zip(one, two, strict=True)] for one, two in zip(*halves, strict=True)]
        weighted: list[list[Row]] = []
        for node, weight in _rule():
            found = self.gradients(_between(start, end, node), kind, "query", query)
            weighted.append([[weight * g for g in row] for row in found])
        return [
            [_sum(entries) + error for entries in zip(*rows, strict=True)] for rows in zip(*weighted, strict=True)
        ]  # fmt: skip

    def _error(self, start: Layers, end: Layers, kind: str, query: int) -> Ball | None:
        """A ball around 0 that holds what the rule misses, of any entry; None where there is no small one."""
        for rho, count in product(_ELLIPSES, _BOXES):
            try:
                largest = self._largest(start, end, kind, query, rho, count)
            except (BallDomainError, ZeroDivisionError):
                continue
            bound = upper_bound(largest * real(4 / (rho ** (2 * _POINTS - 1) * (rho - 1))))
            top = midpoint(bound) + radius(bound)
            if top <= _MISSED:
                return spanning(-top, top)
        return None

    def _largest(self, start: Layers, end: Layers, kind: str, query: int, rho: Fraction, count: int) -> Ball:
        """A bound of all entries on the ellipse, by boxes that cover the rectangle around it."""
        wide, high = (rho + 1 / rho) / 4, (rho - 1 / rho) / 4  # half axes, for a step of length 1
        largest = real(0)
        for i, k in product(range(count), range(count)):
            across = spanning(*(Fraction(1, 2) - wide + 2 * wide * Fraction(i + e, count) for e in (0, 1)))
            up = spanning(*(-high + 2 * high * Fraction(k + e, count) for e in (0, 1)))
            box = complex_ball(0) + across + imaginary_unit() * up
            rows = self.gradients(_between(start, end, box), kind, "query", query, is_complex=True)
            for entry in (entry for row in rows for entry in row):
                if not entry.is_finite():
                    raise BallDomainError("a gradient has no finite enclosure on the box")
                largest = largest.max(upper_bound(abs(entry)))
        return largest


@lru_cache(maxsize=1)
def _rule() -> tuple[tuple[Ball, Ball], ...]:
    """Gauss's nodes and weights on [0, 1], enclosed: Legendre's polynomial changes its sign in the ball of a node."""
    near = Fraction(1, 10**48)
    rule: list[tuple[Ball, Ball]] = []
    with working_precision(2 * _BITS):
        for guess, _ in gauss_legendre(_POINTS, 55):
            ends = [2 * (guess + side * near) - 1 for side in (-1, 1)]
            if sign(_legendre(real(ends[0]))[0]) * sign(_legendre(real(ends[1]))[0]) >= 0:
                raise BallDomainError("a node of Gauss's rule is not where it was expected")
            x = spanning(*ends)
            value, before = _legendre(x)
            slope = _POINTS * (x * value - before) / (x * x - 1)
            rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope * slope)))
    return tuple(rule)


def _legendre(x: Ball) -> tuple[Ball, Ball]:
    """Legendre's polynomial of the rule's degree, and the one before."""
    before, value = real(1), x
    for n in range(2, _POINTS + 1):
        before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
    return value, before


def _between(start: Layers, end: Layers, at: Ball) -> Layers:
    """The weights at a part of the way."""

    def row(one: Row, two: Row) -> Row:
        return [a + at * (b - a) for a, b in zip(one, two, strict=True)]

    return [
        (
            [row(a, b) for a, b in zip(one, two, strict=True)],
            None if bias is None or other is None else row(bias, other),
        )
        for (one, bias), (two, other) in zip(start, end, strict=True)
    ]


def _sum(terms: Sequence[Ball]) -> Ball:
    return reduce(lambda a, b: a + b, terms)
