"""Tiles added up, in one order, to one decomposition; written query by query, so that no memory has to hold it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.attribution import SCHEMA as DECOMPOSITION
from pkverify.network.distributed.manifest import Job, checked_tile, hash_of_file, read_job
from pkverify.network.distributed.tiles import all_tiles, tile
from pkverify.network.storage import write_whole

_ADDS_UP = {torch.float64: 1e-9, torch.float32: 1e-3}
_NAMES = {torch.float64: "F64", torch.float32: "F32"}
_ENDS = ("initial_output", "final_output")
_TERMS = ("regularizer_term", "initial_momentum_term")


@dataclass(frozen=True)
class Merged:
    """The answer of a job.

    Attributes:
        file: The decomposition, as ``NetworkDecomposition.load`` reads it.
        proof: A safetensors file: ``residual`` ``[q, C]`` of the identity, computed apart from the split.
        relative_residual: Of the split: the norm of all residuals relative to that of all changes of the outputs.
        proof_residual: The same, of the identity alone.
        tolerance: What both are held against, for the dtype.
        unconverged: Steps whose quadrature stayed above its tolerance.
    """

    file: Path
    proof: Path
    relative_residual: float
    proof_residual: float
    tolerance: float
    unconverged: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether the parts add up by both routes."""
        return max(self.relative_residual, self.proof_residual) <= self.tolerance


def merge(out: Path) -> Merged:
    """Add up the tiles of a job, after all of them were looked at.

    Args:
        out: Its folder.

    Returns:
        The answer; ``decomposition.safetensors``, ``proof.safetensors`` and ``result.json`` stand in the folder.

    Raises:
        InputError: If a tile is missing, damaged, or of another job; nothing is written then.
    """
    job = read_job(out)
    files: dict[str, tuple[Path, dict[str, Any]]] = {}
    for one in all_tiles(job.layout):
        files[one.name] = checked_tile(out, job.fingerprint, one)
    with ExitStack() as stack:
        opened = {name: stack.enter_context(safe_open(file, framework="pt")) for name, (file, _) in files.items()}
        whole = _Whole(job, opened)
        _require_one_ends(whole)
        facts = [record["facts"] for name, (_, record) in files.items() if name.startswith("split")]
        change = float((whole.ends("final_output") - whole.ends("initial_output")).norm())
        residual = _write_decomposition(out / "decomposition.safetensors", whole, facts, files)
        proof = torch.cat(
            [
                _sum([whole.of(tile(job.layout, "proof", block, 0, r).name, "residual") for r in whole.places])
                for block in range(len(job.layout.query_blocks("proof")))
            ]
        )
    _write_tensors(out / "proof.safetensors", {"residual": proof}, {"schema": "pkverify.proof/1"})
    merged = Merged(
        out / "decomposition.safetensors",
        out / "proof.safetensors",
        *(float(missed.norm()) / (change or 1.0) for missed in (residual, proof)),
        tolerance=_ADDS_UP[residual.dtype],
        unconverged=tuple(sorted({entry[0] for fact in facts for entry in fact["unconverged"]})),
    )
    result = {
        "job": job.fingerprint,
        "decomposition": hash_of_file(merged.file),
        "proof": hash_of_file(merged.proof),
        "relative_residual": merged.relative_residual,
        "proof_residual": merged.proof_residual,
        "holds": merged.holds,
        "unconverged": list(merged.unconverged),
    }
    write_whole(out / "result.json", json.dumps(result, indent=1).encode())
    return merged


class _Whole:
    """All tiles of a job, read a part at a time."""

    def __init__(self, job: Job, opened: dict[str, Any]) -> None:
        self.layout = job.layout
        self._opened = opened
        self.places = range(len(job.layout.ranges))

    def of(self, name: str, key: str, row: int | None = None) -> Tensor:
        """A tensor of a tile, or one row of it."""
        part = self._opened[name].get_slice(key)
        return part[:] if row is None else part[row : row + 1]

    def names(self, block: int, example: int = 0) -> list[str]:
        """The tiles of one block of queries and of examples, from the last range to the first."""
        return [tile(self.layout, "split", block, example, place).name for place in reversed(self.places)]

    def ends(self, key: str) -> Tensor:
        """The outputs of all queries at one end."""
        blocks = range(len(self.layout.query_blocks("split")))
        return torch.cat([self.of(self.names(block)[0], key) for block in blocks])

    def term(self, key: str) -> Tensor:
        """A term that has no examples, of all queries; it is the same for all blocks of examples."""
        blocks = range(len(self.layout.query_blocks("split")))
        return torch.cat([_sum([self.of(name, key) for name in self.names(block)]) for block in blocks])

    def contributions(self) -> Iterator[Tensor]:
        """For each query the contributions of all examples, ``[m, C]``."""
        for block, queries in enumerate(self.layout.query_blocks("split")):
            for row in range(len(queries)):
                parts = [
                    _sum([self.of(name, "contributions", row) for name in self.names(block, example)])
                    for example in range(len(self.layout.example_blocks))
                ]
                yield torch.cat(parts, 1)[0]


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """The sum in the order given."""
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def _require_one_ends(whole: _Whole) -> None:
    """All tiles of a block of queries saw the same outputs at the ends of the path."""
    for block in range(len(whole.layout.query_blocks("split"))):
        names = [n for e in range(len(whole.layout.example_blocks)) for n in whole.names(block, e)]
        for key in _ENDS:
            first = whole.of(names[0], key)
            for name in names[1:]:
                if not torch.equal(first, whole.of(name, key)):
                    raise InputError(
                        f"{name}: another {key} than in {names[0]}",
                        "two processes computed different outputs from the same weights: their machines or builds of "
                        "torch differ, and sums of their tiles would not be one answer",
                        "compute all tiles on machines of one kind; remove those of the other, and use --resume",
                    )


def _write_decomposition(
    file: Path, whole: _Whole, facts: Sequence[dict[str, Any]], files: dict[str, tuple[Path, dict[str, Any]]]
) -> Tensor:
    """Write the decomposition in two passes over the tiles: for the residual, and for the file. The residual."""
    small = {key: whole.ends(key) for key in _ENDS} | {key: whole.term(key) for key in _TERMS}
    explained = small["initial_output"] + small["regularizer_term"] + small["initial_momentum_term"]
    totals = torch.stack([part.sum(0) for part in whole.contributions()])
    small["residual"] = small["final_output"] - (explained + totals)
    unconverged: dict[int, list[Any]] = {}
    for fact in facts:
        for entry in fact["unconverged"]:
            if entry[0] not in unconverged or entry[1] > unconverged[entry[0]][1]:
                unconverged[entry[0]] = entry
    nodes: list[int] = []
    blocks = range(len(whole.layout.query_blocks("split")))
    for place in whole.places:
        each = [files[tile(whole.layout, "split", block, 0, place).name][1]["facts"]["nodes"] for block in blocks]
        nodes.extend(map(max, zip(*each, strict=True)))
    rest = {"schema": DECOMPOSITION, "nodes": nodes, "unconverged": [unconverged[s] for s in sorted(unconverged)]}
    shape = (whole.layout.queries, whole.layout.examples, totals.shape[1])
    _write_tensors(file, small, rest, ("contributions", shape, whole.contributions()))
    return small["residual"]


def _write_tensors(
    file: Path,
    tensors: dict[str, Tensor],
    rest: dict[str, Any],
    streamed: tuple[str, tuple[int, ...], Iterable[Tensor]] = ("", (), ()),
) -> None:
    """A safetensors file, its last tensor (name, shape, pieces) in pieces; the same tensors give the same bytes."""
    dtype = next(iter(tensors.values())).dtype
    shapes = {name: tuple(t.shape) for name, t in sorted(tensors.items())}
    if streamed[0]:
        shapes[streamed[0]] = streamed[1]
    header: dict[str, Any] = {"__metadata__": {"pkverify": json.dumps(rest)}}
    place = 0
    for name, shape in shapes.items():
        end = place + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def pieces() -> Iterator[bytes]:
        yield len(text).to_bytes(8, "little")
        yield text
        for name in sorted(tensors):
            yield tensors[name].contiguous().numpy().tobytes()
        for piece in streamed[2]:
            yield piece.contiguous().numpy().tobytes()

    write_whole(file, pieces())
