"""How a tangent kernel will be computed: blocks that fit a budget of memory, with their bytes and operations."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pkverify.errors import InputError
from pkverify.network.layers.convolution import Convolution
from pkverify.network.layers.factor import BLOCK_WORDS, HELD_WORDS, Dense, Sides, contraction_flops
from pkverify.network.layers.linear import Outer
from pkverify.network.numerics import rounding_floor

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkverify.network.layers.usage import Study

# A plan without a budget begins here: bytes.
_MODEST = 360_000_000

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class Plan:
    """What a tangent kernel will take.

    Args:
        queries: q.
        examples: m.
        query_block: Queries at a time.
        train_block: Training examples at a time.
        together: Whether queries and examples pass through the model in one batch.
        memory: The budget, bytes.
        peak: The estimated peak, bytes, beyond the model and the data.
        result: Bytes of the result.
        flops: Estimated operations of the contractions and of the layers' own products.
        routes: For each parameter the order of contraction: pairs of positions, sums first, dense, or general.
        dtype: The dtype.
    """

    queries: int
    examples: int
    query_block: int
    train_block: int
    together: bool
    memory: int
    peak: int
    result: int
    flops: int
    routes: dict[str, str]
    dtype: torch.dtype

    @property
    def floor(self) -> float:
        """The relative rounding floor of the numbers."""
        return rounding_floor(self.dtype)

    def __str__(self) -> str:
        lines = [
            f"{self.queries} queries x {self.examples} examples, {str(self.dtype).removeprefix('torch.')}",
            f"blocks      {self.query_block} x {self.train_block}{', in one batch' if self.together else ''}",
            f"memory      {self.peak / 1e6:.1f} MB of {self.memory / 1e6:.1f} MB (result {self.result / 1e6:.1f} MB)",
            f"operations  {self.flops:.2e}",
            f"rounding    about {self.floor:.0e} relative, times the conditioning",
        ]
        return "\n".join([*lines, *(f"  {name}: {route}" for name, route in self.routes.items())])


def parse_memory(memory: float | str | None, device: torch.device) -> int:
    """A budget in bytes.

    Args:
        memory: Bytes, or a text like ``"1 GB"`` or ``"512 MiB"``; None for half of what is free on ``device``.
        device: Where the tensors will live.

    Returns:
        Bytes.

    Raises:
        InputError: It is no positive size.

    Example:
        >>> parse_memory("1.5 GB", torch.device("cpu"))
        1500000000
    """
    if memory is None:
        return free_memory(device) // 2
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]i?)?b?\s*", memory.lower())
        try:
            size = float(match[1]) * _UNITS[match[2] or ""] if match else -1.0
        except ValueError:
            size = -1.0
    else:
        size = float(memory)
    if not 0 < size < math.inf:
        raise InputError(f"memory: {memory!r} is no size", "", 'give bytes, or a text like "1 GB"')
    return int(size)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Load:
    """Words that one example of a side needs: while it is captured, and kept afterwards."""

    captured: int
    kept: int


def _load(seen: Study, columns: int) -> _Load:
    word = seen.dtype.itemsize
    data = cotangents = dense = 0
    for uses in seen.sample.values():
        for _, factor in uses:
            if isinstance(factor, Dense):
                dense += math.prod(factor.shape) * columns
            elif isinstance(factor, Outer):
                data += factor.inputs.numel()
                cotangents += factor.cotangents.numel() * columns
            elif isinstance(factor, Convolution):
                data += factor.images.numel()
                cotangents += factor.cotangents.numel() * columns
            else:
                cotangents += (math.prod(factor.shape[1:]) + 1) * columns
    state = dict(seen.model.named_parameters())
    loose = sum(state[name].numel() for name in seen.loose) * columns
    graph = seen.bytes_per_example // word
    kept = data + cotangents + dense + loose
    # The cotangents of several columns are put together a layer at a time, the largest counted as half of all; the
    # general route goes through the model again, all columns at a time.
    passing = graph * (2 * columns + 1) if seen.loose else graph
    return _Load(passing + kept + (cotangents // 2 if columns > 1 else 0), kept)


def make_plan(
    left: Study,
    left_columns: int,
    right: Study,
    right_columns: int,
    counts: tuple[int, int],
    memory: float | str | None,
    *,
    joinable: bool = False,
) -> Plan:
    """The blocks by which a tangent kernel stays within a budget.

    Args:
        left: The model on the queries.
        left_columns: Cotangents a query; 0 for one without an axis of columns.
        right: The model on the training examples.
        right_columns: Cotangents an example; 0 as above.
        counts: (q, m).
        memory: The budget; see ``parse_memory``.
        joinable: Whether queries and examples can stand in one batch.

    Returns:
        The plan.

    Raises:
        InputError: One example a side does not fit.
    """
    budget = parse_memory(memory, right.device)
    (q, m), word = counts, right.dtype.itemsize
    c, d = max(1, left_columns), max(1, right_columns)
    loads = _load(left, c), _load(right, d)
    result = q * m * c * d

    def peak(queries: int, examples: int, *, together: bool = False) -> int:
        sides = Sides(queries, c, examples, d)
        contracting = queries * loads[0].kept + examples * loads[1].kept + _temporary(left, right, sides)
        capturing = max(
            queries * loads[0].captured + (examples * loads[1].kept if examples >= m else 0),
            examples * loads[1].captured + (0 if examples >= m else queries * loads[0].kept),
        )
        if together:
            capturing = queries * loads[0].captured + examples * loads[1].captured
        partial = 0 if (queries, examples) == (q, m) else queries * examples * c * d
        return (result + partial + max(contracting, capturing)) * word

    # Left to itself, a plan begins small, and grows while that saves passes through the model.
    best, bound = _blocks(peak, budget, counts, (c, d)), budget
    if memory is None and best is not None:
        modest = _MODEST
        while modest < budget:
            smaller = _blocks(peak, modest, counts, (c, d))
            if smaller is not None and smaller[0] <= best[0]:
                best, bound = smaller, modest
                break
            modest *= 2
    if best is None:
        raise InputError(
            f"memory: {budget} bytes are not enough",
            f"one example a side takes about {peak(1, 1)} bytes, the result {result * word} of them",
            "raise the budget, or select fewer parameters or outputs",
        )
    _, queries, examples = best
    together = joinable and (queries, examples) == (q, m) and peak(q, m, together=True) <= bound
    routes, flops = _routes(left, right, Sides(q, c, m, d))
    most = peak(queries, examples, together=together)
    return Plan(q, m, queries, examples, together, budget, most, result * word, flops, routes, right.dtype)


def _blocks(
    peak: Callable[[int, int], int], budget: int, counts: tuple[int, int], columns: tuple[int, int]
) -> tuple[float, int, int] | None:
    """The cost in passes through the model, the queries and the examples at a time; None when nothing fits."""
    (q, m), (c, d) = counts, columns
    least = (1 + c) * q + (1 + d) * m
    best: tuple[float, int, int] | None = None
    queries = q
    while True:
        low, high = 0, m
        if peak(queries, m) <= budget:
            low = m
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if peak(queries, middle) <= budget else (low, middle - 1)
        if low:
            again = 1 if low >= m else math.ceil(q / queries)
            cost = (1 + c) * q + (1 + d) * m * again
            if best is None or cost < best[0]:
                best = cost, queries, low
            if cost == least:
                return best
        if queries == 1:
            return best
        queries = (queries + 1) // 2


def _temporary(left: Study, right: Study, sides: Sides) -> int:
    """Words of the largest temporary of a contraction, which is made in blocks."""
    largest = 0
    for name, uses in right.sample.items():
        for (_, a), (view, b) in zip(left.sample.get(name, ()), uses, strict=False):
            size = math.prod(b.shape) if view is None else math.prod(view.shape)
            patches = 0
            if isinstance(a, Outer | Convolution) and isinstance(b, Outer | Convolution):
                pairs, sums = contraction_flops(a.extent, b.extent, sides)
                if isinstance(b, Convolution):
                    patches = _blocked(b.words, max(sides.left, sides.right))
                if pairs <= sums:
                    positions = a.extent.positions * b.extent.positions
                    each = sides.right * positions * (1 + sides.left_columns * sides.right_columns)
                    largest = max(largest, 2 * _blocked(each, sides.left) + 2 * patches)
                    continue
            if isinstance(b, Dense):
                continue
            rows = (sides.left_columns, sides.left), (sides.right_columns, sides.right)
            held, passing = sorted(rows, key=lambda side: side[0] * side[1])
            multiplied = _blocked(held[0] * size, held[1], HELD_WORDS) + _blocked(passing[0] * size, passing[1])
            # The cotangents of a block are laid out anew before they are multiplied.
            largest = max(largest, 2 * multiplied + 2 * patches)
    return largest + 2 * sides.products


def _blocked(each: int, count: int, words: int = BLOCK_WORDS) -> int:
    """Words of a block of at most ``count`` items, of about ``words``, and of at least one item."""
    return min(count * each, max(each, words))


def _routes(left: Study, right: Study, sides: Sides) -> tuple[dict[str, str], int]:
    routes: dict[str, str] = {}
    flops = 0
    rows = sides.left * (1 + sides.left_columns), sides.right * (1 + sides.right_columns)
    state = dict(right.model.named_parameters())
    for name in right.names:
        uses, others = left.sample.get(name, ()), right.sample.get(name, ())
        routes[name] = "general" if name in right.loose else "dense" if uses else "unused"
        for (_, a), (_, b) in zip(uses, others, strict=False):
            if isinstance(a, Outer | Convolution) and isinstance(b, Outer | Convolution):
                pairs, sums = contraction_flops(a.extent, b.extent, sides)
                routes[name] = "pairs of positions" if pairs <= sums else "sums over positions"
                flops += min(pairs, sums)
                flops += 2 * (rows[0] * a.extent.positions + rows[1] * b.extent.positions) * a.extent.weights
            else:
                flops += 2 * sides.products * state[name].numel()
        if name in right.loose:
            flops += 2 * sides.products * state[name].numel()
    return routes, flops
