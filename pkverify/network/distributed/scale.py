"""What a decomposition will take on so many processes, and the cut that fits: bytes, operations, seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pkverify.errors import InputError
from pkverify.network.decompose import make_queries
from pkverify.network.distributed.tiles import Layout, chains
from pkverify.network.distributed.worker import MOST_NODES, Inputs
from pkverify.network.layers.batches import count, rows
from pkverify.network.plan import parse_memory
from pkverify.network.sweep import is_plain

_NODES = 6  # of a segment, on the way to adapting; the count of the run itself stands in its answer
_NODES_HELD = 16  # of a segment, when only the layers' factors are kept
_DENSE_COPIES = 4  # of [rows, d]: the averages, what is carried back, and two temporaries
_POINT_COPIES = 16  # of [d]: a point as bytes and as tensors, its neighbours, a gradient, directions, factors
_RANGES = 8  # into which a path is cut, unless the processes need more
_DEFAULT_MEMORY = 2 * 2**30


@dataclass(frozen=True)
class Cut:
    """What a user may fix of the cut; the rest is chosen.

    Attributes:
        query_block: Queries in a tile.
        example_block: Examples in a tile.
        point_block: Points of the path in a tile.
    """

    query_block: int | None = None
    example_block: int | None = None
    point_block: int | None = None


@dataclass(frozen=True)
class Scale:
    """What a decomposition will take.

    Attributes:
        layout: The cut.
        ranks: Processes.
        parameters: d.
        outputs: C.
        steps: Steps of the run.
        batch: Examples in a step, on average.
        bytes_per_rank: The estimated peak of a process, beyond the interpreter, the model and the data.
        budget: What it may be.
        disk_read: Bytes read of the path by all processes together.
        disk_written: Bytes of the tiles, of what they hand on, and of the answer.
        flops: Estimated operations of all processes together; None where it was not measured.
        seconds: The estimated time, from the measured speed of one gradient here; None where it was not measured.
    """

    layout: Layout
    ranks: int
    parameters: int
    outputs: int
    steps: int
    batch: float
    bytes_per_rank: int
    budget: int
    disk_read: int
    disk_written: int
    flops: float | None
    seconds: float | None

    def __str__(self) -> str:
        cut = self.layout
        together = len(chains(cut))
        chained = "carried from one to the next" if cut.chained else "independent"
        lines = [
            f"path            {self.steps} steps, {self.parameters:,} parameters, {self.batch:.0f} examples a step",
            f"split           {cut.queries} queries x {cut.examples} examples x {self.outputs} outputs",
            f"blocks          {len(cut.query_blocks('split'))} of queries ({cut.query_block} each), "
            f"{len(cut.example_blocks)} of examples ({cut.example_block} each)",
            f"ranges          {len(cut.ranges)} of {cut.point_block} points, {chained}",
            f"chains          {together} for {self.ranks} processes",
            f"bytes per rank  {_size(self.bytes_per_rank)} of {_size(self.budget)}",
            f"disk            {_size(self.disk_read)} read, {_size(self.disk_written)} written",
            f"communication   none but counters: {len(cut.ranges) * together} tiles counted at torch's store",
        ]
        if self.flops is not None and self.seconds is not None:
            lines.append(f"operations      {self.flops:.2e}")
            lines.append(f"time            about {self.seconds:.3g} s (from one gradient, measured here)")
        return "\n".join(lines)


def plan(
    inputs: Inputs,
    *,
    ranks: int = 1,
    memory: int | None = None,
    cut: Cut | None = None,
    folder: Path | None = None,
    measure: bool = False,
) -> Scale:
    """The cut for so many processes and so much memory, and what it will take.

    Queries are shared out first: their blocks repeat only the gradients of the training side. Blocks of examples
    repeat the gradients of the queries, so they are used where the memory or too few queries ask for them. Ranges of a
    plain descent are independent, and come before blocks of examples.

    Args:
        inputs: What is decomposed.
        ranks: Processes.
        memory: Bytes for each, beyond the interpreter, the model and the data; 2 GiB for None.
        cut: What is fixed of the cut.
        folder: The path's folder, whose bytes are counted.
        measure: Also count the operations and measure the speed of one gradient, for an estimate of the time.

    Returns:
        The plan.

    Raises:
        InputError: If one query does not fit.
    """
    path, fixed = inputs.path, cut or Cut()
    limit = _DEFAULT_MEMORY if memory is None else memory
    one = make_queries(path, rows(inputs.x_query, slice(0, 1)), inputs.output, MOST_NODES)
    q, m, d, c = (
        count(inputs.x_query, "x_query"),
        path.training.examples.count,
        path.training.function.size,
        one.outputs,
    )
    word, plain, points = one.study.dtype.itemsize, is_plain(path), len(path.points)
    examples = [sum(len(path.training.indices(b)) for b in step.batches) for step in path.steps]
    each = one.study.bytes_per_example
    point = _POINT_COPIES * d * word
    point += d * word * path.header.every if path.header.every > 1 else 0  # the weights of the steps made again
    dense = (_NODES_HELD * each if plain else d * word * _DENSE_COPIES) * c + 2 * each

    def peak(queries: int, wide: int) -> int:
        captured = 2 * each * max(examples) * wide / m
        return int(point + queries * (dense + 2 * c * wide * word) + captured)

    wide = fixed.example_block or m
    while fixed.example_block is None and wide > 1 and peak(1, wide) > limit:
        wide = -(-wide // 2)
    shares = min(q, ranks)
    size = -(-q // shares) if -(-q // -(-q // shares)) == shares else q // shares  # no process without a block
    while size > 1 and peak(size, wide) > limit:
        size = -(-size // 2)
    size = fixed.query_block or size
    if peak(size, wide) > limit:
        raise InputError(
            f"max-memory: {_size(limit)} for a tile that takes {_size(peak(size, wide))}",
            f"{size} queries of {c} outputs with {d} parameters are held densely, and a few points of the path",
            "give more memory, record fewer layers, or a smaller block of queries",
        )
    size = size if fixed.query_block else -(-q // -(-q // size))  # blocks as equal as can be
    held = fixed.point_block or max(1, -(-points // _RANGES))
    if plain and fixed.point_block is None and -(-q // size) * -(-points // held) < ranks:
        held = max(1, points * -(-q // size) // ranks)
    if not plain and fixed.example_block is None and -(-q // size) < ranks:
        wide = min(wide, max(1, -(-m // -(-ranks // -(-q // size)))))
    proof = max(1, min(q, int((limit - point) // max(1, 4 * each))))
    layout = Layout(q, m, points, size, wide, held, proof, chained=not plain)
    work = _work(inputs, layout, one.outputs, sum(examples), plain=plain) if measure else None
    tables = q * m * c * word * (1 + len(layout.ranges))
    carries = 0 if plain else q * c * d * word * len(layout.ranges) * len(layout.example_blocks)
    read = 0
    if folder is not None:
        whole = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        split = len(layout.query_blocks("split")) * len(layout.example_blocks)
        read = whole * (split + 2 * len(layout.query_blocks("proof")))
    return Scale(
        layout,
        ranks,
        parameters=d,
        outputs=c,
        steps=path.step_count,
        batch=sum(examples) / len(examples),
        bytes_per_rank=peak(size, wide),
        budget=limit,
        disk_read=read,
        disk_written=tables + carries,
        flops=work,
        seconds=None if work is None else work / _speed(inputs) / ranks,
    )


def budget(text: str | None) -> int | None:
    """Bytes from a text like ``"2 GB"``; None for None.

    Example:
        >>> budget("1 MiB")
        1048576
    """
    return None if text is None else parse_memory(text, torch.device("cpu"))


def _forward(inputs: Inputs) -> float:
    """Operations of a forward pass of one example."""
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 - it loads a compiler, and is for plans only

    training = inputs.path.training
    x, _ = training.examples.take(torch.arange(1))
    params = training.function.unflatten(inputs.path.weights(0).to(next(training.function.model.parameters()).device))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        training.function(params, x)
    return float(counter.get_total_flops()) or 2.0 * training.function.size


def _work(inputs: Inputs, layout: Layout, outputs: int, examples: int, *, plain: bool) -> float:
    """Operations of all processes together; ``examples`` over all steps."""
    forward, steps, q = _forward(inputs), inputs.path.step_count, layout.queries
    across, down = len(layout.query_blocks("split")), len(layout.example_blocks)
    gradients = down * _NODES * q * (1 + 2 * outputs) * steps
    contraction = q * outputs * examples * (0.5 if plain else 1.0)
    # A block of examples alone makes a forward pass of the whole batch, for the derivatives of the loss.
    training = across * examples * (3 + (down if down > 1 else 0))
    proof = len(layout.query_blocks("proof")) * 3 * examples + 3 * q * steps
    return forward * (gradients + contraction + training + proof)


def _speed(inputs: Inputs) -> float:
    """Operations a second of one gradient of a step, measured."""
    path = inputs.path
    device = next(path.training.function.model.parameters()).device
    params = path.training.function.unflatten(path.weights(0).to(device))
    step = path.steps[0]
    examples = sum(len(path.training.indices(b)) for b in step.batches)

    def gradient() -> None:
        found = path.training.gradient(params, step.batches)
        float(next(iter(found.values())).sum())  # wait for the device

    gradient()
    return 3 * examples * _forward(inputs) / max(1e-9, min(_seconds(gradient) for _ in range(3)))


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.3g} {unit}"
