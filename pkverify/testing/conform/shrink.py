"""Making a failing task smaller: greedy, always the same, and done when its time is up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from time import monotonic
from typing import TypeVar

from pkverify.testing.conform.spec import Spec, parameter_count

_ZERO, _ONE = Fraction(0), Fraction(1)

T = TypeVar("T")


def smallest(spec: Spec, fails: Callable[[Spec], bool], seconds: float) -> Spec:
    """The smallest failing task that is reached by taking things away one at a time.

    Args:
        spec: A task that fails.
        fails: Whether a task fails.
        seconds: After so long the smallest one found so far is returned.

    Example:
        >>> rows = ((Fraction(3),), (Fraction(2),))
        >>> spec = Spec("squared", (1, 1), True, (_ONE, _ONE), rows, rows, rows, rows, (_ONE / 8,) * 2)
        >>> print(smallest(spec, lambda s: any(row[0] > 1 for row in s.x), 10).text())
        1 - 1 linear, no biases, squared loss, summed
        weights [0]
        x [[2]], y [[0]]
        query [[0]], its target [[0]]
        learning rates [1/8]
    """
    end = monotonic() + seconds
    while monotonic() < end:
        for candidate in simpler(spec):
            if monotonic() > end:
                return spec
            if fails(candidate):
                spec = candidate
                break
        else:
            return spec
    return spec


def simpler(spec: Spec) -> Iterator[Spec]:
    """Tasks with one thing less: momentum, batches, an example, a query, a step, a layer, a unit, biases, a number."""
    yield from _with_simpler_steps(spec)
    for i in range(len(spec.x) if len(spec.x) > 1 else 0):
        fewer = replace(spec, x=_without(spec.x, i), y=_without(spec.y, i))
        batches = tuple(tuple(k - (k > i) for k in batch if k != i) for batch in spec.batches)
        if all(batches):
            yield replace(fewer, batches=batches)
    for i in range(len(spec.x_query) if len(spec.x_query) > 1 else 0):
        yield replace(spec, x_query=_without(spec.x_query, i), y_query=_without(spec.y_query, i))
    for i in range(len(spec.rates) if len(spec.rates) > 1 else 0):
        yield replace(spec, rates=_without(spec.rates, i), batches=_without(spec.batches, i))
    widths = spec.widths
    for i in range(1, len(widths) - 1 if not spec.convolution else 0):
        yield _resized(spec, _without(widths, i), bias=spec.bias)
    fewest = 1 if spec.kind == "squared" else 2
    for i, width in enumerate(widths):
        if spec.convolution and i == 0:
            continue  # the image stays
        if width > (fewest if i == len(widths) - 1 else 1):
            yield _resized(spec, (*widths[:i], width - 1, *widths[i + 1 :]), bias=spec.bias)
    if spec.bias:
        yield _resized(spec, widths, bias=False)
    yield from _with_simpler_numbers(spec)


def _with_simpler_steps(spec: Spec) -> Iterator[Spec]:
    if spec.momentum:
        yield replace(spec, momentum=_ZERO)
    if spec.mean:
        yield replace(spec, mean=False)
    if spec.batches:
        yield replace(spec, batches=())
    for s, batch in enumerate(spec.batches):
        for i in range(len(batch) if len(batch) > 1 else 0):
            yield replace(spec, batches=(*spec.batches[:s], _without(batch, i), *spec.batches[s + 1 :]))


def _with_simpler_numbers(spec: Spec) -> Iterator[Spec]:
    for name in ("x", "y", "x_query", "y_query"):
        rows: tuple[tuple[Fraction, ...], ...] = getattr(spec, name)
        for r, row in enumerate(rows):
            for changed in _lower(row):
                yield replace(spec, **{name: (*rows[:r], changed, *rows[r + 1 :])})
    for changed in _lower(spec.weights):
        yield replace(spec, weights=changed)


def _lower(row: tuple[Fraction, ...]) -> Iterator[tuple[Fraction, ...]]:
    for k, value in enumerate(row):
        simple = [_ZERO] if value == _ONE else [_ZERO, _ONE] if value else []
        for new in simple:
            yield (*row[:k], new, *row[k + 1 :])


def _resized(spec: Spec, widths: tuple[int, ...], *, bias: bool) -> Spec:
    """Other widths: as many of the weights as there is room for, and rows cut to fit."""
    size = parameter_count(widths, bias=bias, convolution=spec.convolution)
    inputs, outputs = widths[0], widths[-1]

    def targets(rows: tuple[tuple[Fraction, ...], ...]) -> tuple[tuple[Fraction, ...], ...]:
        if spec.kind == "squared":
            return tuple(row[:outputs] for row in rows)
        return tuple((min(row[0], Fraction(outputs - 1)),) for row in rows)

    weights = (*spec.weights, *(_ONE,) * size)[:size]
    return replace(
        spec,
        widths=widths,
        bias=bias,
        weights=weights,
        x=tuple(row[:inputs] for row in spec.x),
        x_query=tuple(row[:inputs] for row in spec.x_query),
        y=targets(spec.y),
        y_query=targets(spec.y_query),
    )


def _without(values: tuple[T, ...], i: int) -> tuple[T, ...]:
    return (*values[:i], *values[i + 1 :])
