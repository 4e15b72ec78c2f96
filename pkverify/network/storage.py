"""Where a path is kept: in memory, or in a folder of safetensors files, written so that a kill loses little."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.path import Header, Step
from pkverify.network.training import Batched, Params

SCHEMA = "pkverify.training-path/1"
_BLOCK = 2**26  # bytes of the largest block of rows
_PAGES = 2**20  # bytes from which on the pages of a block are asked for at once
_FARTHEST = 16  # points from one whole state of the optimiser to the next, at most
_BETWEEN = 2**27  # bytes of statistics that are made again together
_WORDS = 16  # bytes of an entry of the statistics, as a run may have two


class MemoryStore:
    """Points in memory, each a copy of its own: what the optimiser does later does not reach them.

    Rows for the weights are taken out of blocks, as memory that is new costs more than a copy into it.

    Args:
        size: The number of parameters; the optimiser's state is kept at as many points as fit into 128 MiB between two.
    """

    def __init__(self, size: int = 1) -> None:
        self.spacing = max(1, min(_FARTHEST, _BETWEEN // (_WORDS * max(1, size))))
        self._points: dict[int, Mapping[str, Tensor]] = {}
        self._final: Tensor | None = None
        self._rows: list[Tensor] = []
        self._taken = 0

    def room(self, like: Tensor, size: int) -> Tensor | None:
        """A row ``[size]`` for the weights of the next point, of the dtype and on the device of ``like``."""
        if not self._rows:
            # Twice as many rows as there are: little memory is taken that no step will fill.
            fit = max(1, _BLOCK // (like.element_size() * max(1, size)))
            count = min(max(4, self._taken), fit)
            self._rows = list(_new_memory(count, size, like).unbind(0))[::-1]
            self._taken += count
        return self._rows.pop()

    def write_step(self, number: int, step: Step, point: Mapping[str, Tensor] | None) -> None:
        """Keep the tensors of a step, if it has any; the step itself is kept by the path."""
        del number, step
        if point is not None:
            self._points[len(self._points)] = point

    def write_final(self, weights: Tensor) -> None:
        """Keep the last weights."""
        self._final = weights
        self._rows = []

    def point(self, number: int) -> Mapping[str, Tensor]:
        """The tensors of a point."""
        return self._points[number]

    def final(self) -> Tensor | None:
        """The last weights, or None while the run goes on."""
        return self._final


class FolderStore:
    """Points in a folder: ``manifest.json``, one line a step in ``steps.jsonl``, a safetensors file a point.

    A file is written beside its place and then moved there, and a step's line is written after its file. So whatever
    kills the run, the folder holds a path up to some step; a torn last line is dropped.

    Args:
        folder: The folder.
        shapes: The parameters' shapes by name, in the order of the flat vector.
        every: The weights are kept before every so many steps.
    """

    spacing = 1

    def __init__(self, folder: Path, shapes: Mapping[str, torch.Size], every: int) -> None:
        self._folder = folder
        self._shapes = dict(shapes)
        self._every = every
        self._hashes: dict[str, str] = {}

    @staticmethod
    def create(
        folder: Path, header: Header, shapes: Mapping[str, torch.Size], buffers: Params, examples: int
    ) -> FolderStore:
        """A new path in ``folder``.

        Args:
            folder: The folder, made if it is not there.
            header: What is the same for all steps.
            shapes: The parameters' shapes by name.
            buffers: Momentum with which the path begins.
            examples: The number of training examples.

        Returns:
            The store.

        Raises:
            InputError: If the folder holds a path already.
        """
        if (folder / "manifest.json").exists():
            raise InputError(
                f"to: {folder} holds a path already",
                "a second run would overwrite the first",
                "give a new folder, or resume=True to go on from the weights that the model has now",
            )
        (folder / "points").mkdir(parents=True, exist_ok=True)
        store = FolderStore(folder, shapes, header.every)
        initial = None
        if buffers:
            write_whole(
                folder / "initial.safetensors", data := save({n: t.cpu().contiguous() for n, t in buffers.items()})
            )
            initial = {"file": "initial.safetensors", "sha256": hashlib.sha256(data).hexdigest()}
        manifest = {
            "schema": SCHEMA,
            "optimizer": header.optimizer,
            "groups": [list(names) for names in header.groups],
            "every": header.every,
            "clip_norm": header.clip_norm,
            "counts": dict(header.counts),
            "examples": examples,
            "parameters": {name: list(shape) for name, shape in shapes.items()},
            "initial_buffers": initial,
        }
        write_whole(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        write_whole(folder / "steps.jsonl", b"")
        return store

    @staticmethod
    def open(folder: Path) -> tuple[FolderStore, Header, Params, list[Step], Mapping[str, Any]]:
        """A path that was written before.

        Args:
            folder: Its folder.

        Returns:
            The store, the header, the initial momentum, the steps, and the manifest.

        Raises:
            InputError: If there is no path, it is of another schema, or a file is missing or altered.
        """
        file = folder / "manifest.json"
        if not file.exists():
            raise InputError(
                f"{folder}: holds no recorded path", "there is no manifest.json", "give the folder of record(to=...)"
            )
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if manifest.get("schema") != SCHEMA:
            raise InputError(f"{file}: schema {manifest.get('schema')!r}", f"this version reads {SCHEMA!r}")
        header = Header(
            optimizer=manifest["optimizer"],
            groups=tuple(tuple(names) for names in manifest["groups"]),
            every=manifest["every"],
            clip_norm=manifest["clip_norm"],
            counts=manifest["counts"],
        )
        shapes = {name: torch.Size(shape) for name, shape in manifest["parameters"].items()}
        store = FolderStore(folder, shapes, header.every)
        buffers: Params = {}
        if manifest["initial_buffers"]:
            buffers = load(_checked(folder, manifest["initial_buffers"]["file"], manifest["initial_buffers"]["sha256"]))
        steps: list[Step] = []
        for line in _whole_lines(folder / "steps.jsonl"):
            if line["file"]:
                store._hashes[line["file"]] = line["sha256"]
            if "final" not in line:
                steps.append(_step_of(line))
        return store, header, buffers, steps, manifest

    def cut(self, count: int) -> None:
        """Forget all steps from number ``count`` on, and the final point."""
        file = self._folder / "steps.jsonl"
        kept = [line for line in _whole_lines(file) if "final" not in line][:count]
        write_whole(file, b"".join(_line(line) for line in kept))
        self._hashes = {line["file"]: line["sha256"] for line in kept if line["file"]}

    def room(self, like: Tensor, size: int) -> Tensor | None:
        """None: what is written to a file needs no memory of its own."""
        del like, size
        return None

    def write_step(self, number: int, step: Step, point: Mapping[str, Tensor] | None) -> None:
        """Write a step, its tensors first."""
        line: dict[str, Any] = {
            "batches": [
                {"indices": None if b.indices is None else b.indices.tolist(), "weight": b.weight} for b in step.batches
            ],
            "settings": [dict(group) for group in step.settings],
            "absent": sorted(step.absent),
            "norms": step.norms.tolist(),
        }
        self._append(line, f"points/{number // self._every:08d}.safetensors", point)

    def write_final(self, weights: Tensor) -> None:
        """Write the last weights; the path is whole now."""
        self._append({"final": True}, "points/final.safetensors", {"weights": weights})

    def point(self, number: int) -> Mapping[str, Tensor]:
        """The tensors of a point, read and compared with its hash."""
        return self._read(f"points/{number:08d}.safetensors")

    def final(self) -> Tensor | None:
        """The last weights, or None where the run did not end."""
        name = "points/final.safetensors"
        return self._read(name)["weights"] if name in self._hashes else None

    def _append(self, line: dict[str, Any], name: str, point: Mapping[str, Tensor] | None) -> None:
        line["file"] = line["sha256"] = None
        if point is not None:
            data = save(
                {
                    f"{entry}/{parameter}": part.reshape(shape).contiguous()
                    for entry, flat in point.items()
                    for (parameter, shape), part in zip(
                        self._shapes.items(), flat.cpu().split([s.numel() for s in self._shapes.values()]), strict=True
                    )
                }
            )
            line["file"], line["sha256"] = name, hashlib.sha256(data).hexdigest()
            self._hashes[name] = line["sha256"]
            write_whole(self._folder / name, data)
        with (self._folder / "steps.jsonl").open("ab") as file:
            file.write(_line(line))

    def _read(self, name: str) -> dict[str, Tensor]:
        tensors = load(_checked(self._folder, name, self._hashes[name]))
        entries = dict.fromkeys(key.partition("/")[0] for key in tensors)
        return {
            entry: torch.cat([tensors[f"{entry}/{parameter}"].reshape(-1) for parameter in self._shapes])
            for entry in entries
        }


def _new_memory(count: int, size: int, like: Tensor) -> Tensor:
    """Memory ``[count, size]``, not initialised; on a CPU with its pages in place where the system can do that at once.

    One by one, at the first write into each, pages cost more.
    """
    flag, length = getattr(mmap, "MAP_POPULATE", 0), count * size * like.element_size()
    if like.device.type != "cpu" or not flag or length < _PAGES:
        return torch.empty(count, size, dtype=like.dtype, device=like.device)
    pages = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flag)
    return torch.frombuffer(pages, dtype=like.dtype).view(count, size)


def _line(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _whole_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that was torn by a kill is left out."""
    *whole, _ = file.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole]


def _step_of(line: Mapping[str, Any]) -> Step:
    return Step(
        batches=tuple(
            Batched(None if b["indices"] is None else torch.tensor(b["indices"], dtype=torch.long), b["weight"])
            for b in line["batches"]
        ),
        settings=tuple(
            {key: tuple(value) if isinstance(value, list) else value for key, value in group.items()}
            for group in line["settings"]
        ),
        absent=frozenset(line["absent"]),
        norms=torch.tensor(line["norms"], dtype=torch.float64),
    )


def write_whole(file: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file beside its place, and move it there when it is on the disk: it is whole, or as it was before.

    Args:
        file: Its place.
        data: What it is to hold, whole or in pieces.
    """
    beside = file.with_name(f"{file.name}.part")
    with beside.open("wb") as handle:
        handle.writelines([data] if isinstance(data, bytes) else data)
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(file)


def _checked(folder: Path, name: str, expected: str) -> bytes:
    file = folder / name
    if not file.exists():
        raise InputError(f"{file}: is missing", "the path lists it", "restore the folder as it was recorded")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != expected:
        raise InputError(
            f"{file}: is not as it was recorded",
            "its sha256 differs from the one in steps.jsonl",
            "restore the folder as it was recorded, or record the run again",
        )
    return data
