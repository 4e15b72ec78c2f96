"""The numbers of one tile, and a chain of tiles from where it was left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pkverify.network.decompose import ends_of, make_queries
from pkverify.network.distributed.manifest import read_carry, record_of, write_tile
from pkverify.network.distributed.tiles import Tile
from pkverify.network.identity import explained_over
from pkverify.network.layers.batches import Batch, rows
from pkverify.network.path import TrainingPath
from pkverify.network.segment import Queries
from pkverify.network.sweep import Carried, TrainingGradients, sweep
from pkverify.network.training import OutputOf

MOST_NODES = 4096

Carry = tuple[Mapping[str, Tensor], Mapping[str, Any]]


@dataclass(frozen=True)
class Inputs:
    """What is decomposed.

    Attributes:
        path: The recorded run.
        x_query: All queries.
        output: From what the model returns to what is decomposed; as recorded for None.
    """

    path: TrainingPath
    x_query: Batch
    output: OutputOf | None = None


def run_chain(
    inputs: Inputs, out: Path, job: str, chain: Sequence[Tile], *, chained: bool, finished: Callable[[], None]
) -> None:
    """Take the tiles of a chain that do not stand yet.

    Args:
        inputs: What is decomposed.
        out: The folder of the job.
        job: The job's fingerprint.
        chain: The tiles, in order.
        chained: Whether each hands something to the next.
        finished: Called after each tile, also after those that stood before.

    Raises:
        InputError: If a file is damaged, or of another job.
    """
    before: tuple[Tile, dict[str, Any]] | None = None
    for place, tile in enumerate(chain):
        record = record_of(out, job, tile)
        if record is None:
            carry = None if before is None else read_carry(out, *before)
            tensors, facts, after = _split(inputs, tile, carry) if tile.kind == "split" else _proof(inputs, tile, carry)
            more = chained and place + 1 < len(chain)
            write_tile(out, job, tile, tensors, facts, after if more else None)
            record = record_of(out, job, tile)
            assert record is not None
        if before is not None:
            (out / "carry" / f"{before[0].name}.safetensors").unlink(missing_ok=True)
        before = (tile, record) if chained else None
        finished()


def _queries(inputs: Inputs, tile: Tile) -> Queries:
    some = rows(inputs.x_query, slice(tile.queries.start, tile.queries.stop))
    return make_queries(inputs.path, some, inputs.output, MOST_NODES)


def _split(inputs: Inputs, tile: Tile, carry: Carry | None) -> tuple[dict[str, Tensor], dict[str, Any], Carry]:
    path, queries = inputs.path, _queries(inputs, tile)
    initial, final = ends_of(path, queries)
    after = final if tile.points.stop == len(path.points) else _outputs(path, queries, tile.points.stop)
    device = final.device
    carried = Carried()
    if carry is not None:
        tensors, facts = carry
        held = {n.removeprefix("held/"): t.to(device) for n, t in tensors.items() if n.startswith("held/")}
        keep = {n.removeprefix("keep/"): t.to(device) for n, t in tensors.items() if n.startswith("keep/")}
        carried = Carried(held, {**facts["keep"], **keep})
    gradients = TrainingGradients(path, kernels=False, wanted=tile.examples)
    split = sweep(
        path, queries, gradients, after, list(path.moments()), kernels=False, points=tile.points, carried=carried
    )
    contributions = split.contributions.unflatten(0, (queries.count, queries.outputs)).transpose(1, 2)
    found = {
        "contributions": contributions,
        "regularizer_term": split.regularizer_term.reshape(final.shape),
        "initial_momentum_term": split.initial_momentum_term.reshape(final.shape),
        "initial_output": initial,
        "final_output": final,
    }
    facts = {"nodes": list(split.nodes), "unconverged": [[u.step, u.error, u.nodes] for u in split.unconverged]}
    held, keep = carried.state
    handed: dict[str, Tensor] = {f"held/{name}": t for name, t in held.items()}
    handed |= {f"keep/{name}": t for name, t in keep.items() if isinstance(t, Tensor)}
    return found, facts, (handed, {"keep": {n: k for n, k in keep.items() if not isinstance(k, Tensor)}})


def _outputs(path: TrainingPath, queries: Queries, point: int) -> Tensor:
    return queries.values(path.weights(point).to(queries.study.device))


def _proof(inputs: Inputs, tile: Tile, carry: Carry | None) -> tuple[dict[str, Tensor], dict[str, Any], Carry]:
    """The identity alone on some steps: made again from whole gradients, the miss carried to the outputs."""
    path, queries = inputs.path, _queries(inputs, tile)
    device = queries.study.device
    held = path.initial_buffers if carry is None else carry[0]
    buffers = {name: t.to(device, copy=True) for name, t in held.items()}
    explained = explained_over(path, queries, tile.points, buffers, compare=True)
    return {"residual": -explained}, {}, (buffers, {})
