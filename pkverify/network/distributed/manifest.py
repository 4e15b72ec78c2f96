"""What stands on disk of a decomposition: the job, its tiles, and what one tile hands to the next.

    job.json                     schema, versions, hashes of all inputs, the cut
    tiles/NAME.safetensors       the numbers of a tile
    tiles/NAME.json              written last: of which job, and the hashes of the files; a tile without it is not there
    carry/NAME.safetensors       what the tile hands on; removed when the next tile stands

Every file is written beside its place, synchronised and moved there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.distributed.tiles import Layout, Tile
from pkverify.network.storage import write_whole

SCHEMA = "pkverify.decomposition-job/1"

_PIECE = 2**24  # bytes that are hashed at a time


@dataclass(frozen=True)
class Job:
    """One decomposition, with everything on which its numbers depend.

    Attributes:
        inputs: Name to hash (or value) of every input.
        versions: Of what computes.
        layout: Its cut.
        threads: Threads of each process: sums are taken in another order with another number.
    """

    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    layout: Layout
    threads: int

    @property
    def fingerprint(self) -> str:
        """A hash of all of it, which every tile carries."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The job as JSON."""
        return json.dumps({"schema": SCHEMA} | asdict(self), indent=1, sort_keys=True) + "\n"


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"pkverify": metadata.version("pkverify"), "torch": str(torch.__version__)}


def hash_of_file(file: Path) -> str:
    """The sha256 of a file, read in pieces.

    Args:
        file: The file.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def hash_of_tensors(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The sha256 of tensors with their names, dtypes and shapes.

    Args:
        tensors: Names and tensors.

    Returns:
        Hexadecimal digits.

    Example:
        >>> one, other = torch.zeros(2), torch.zeros(2, 1)
        >>> hash_of_tensors([("x", one)]) == hash_of_tensors([("x", other)])
        False
    """
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        for piece in flat.split(_PIECE):
            digest.update(piece.numpy().tobytes())
    return digest.hexdigest()


def write_job(out: Path, job: Job) -> None:
    """Begin a job in a folder.

    Args:
        out: The folder, made if it is not there.
        job: The job.

    Raises:
        InputError: If the folder holds a job already.
    """
    if (out / "job.json").exists():
        raise InputError(
            f"{out}: holds a job already",
            "its tiles would be mixed with new ones",
            "give --resume to go on with it, or another folder",
        )
    for name in ("tiles", "carry"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_whole(out / "job.json", job.text().encode())


def read_job(out: Path) -> Job:
    """The job in a folder.

    Args:
        out: The folder.

    Returns:
        The job.

    Raises:
        InputError: If there is none, it is damaged, or this is another version of pkverify or torch.

    Example:
        >>> read_job(Path("no-such-folder"))
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: no-such-folder/job.json: is missing
          why  a folder of tiles says there what they belong to
          fix  give the folder of pkverify network decompose -o
    """
    file = out / "job.json"
    if not file.exists():
        raise InputError(
            f"{file}: is missing",
            "a folder of tiles says there what they belong to",
            "give the folder of pkverify network decompose -o",
        )
    try:
        found = json.loads(file.read_bytes())
        schema = found.pop("schema")
        job = Job(found["inputs"], found["versions"], Layout(**found["layout"]), found["threads"])
        whole = schema != SCHEMA or job.text().encode() == file.read_bytes()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: is damaged ({error})", "nothing can be merged by it", "restore it, or begin in a new folder"
        ) from None
    if schema != SCHEMA:
        raise InputError(f"{file}: schema {schema!r}", f"this version reads {SCHEMA!r}")
    if not whole:
        raise InputError(f"{file}: is damaged", "it is not as it was written", "restore it, or begin in a new folder")
    for name, version in versions().items():
        if job.versions.get(name) != version:
            raise InputError(
                f"{file}: was made with {name} {job.versions.get(name)}, and this is {version}",
                "tiles of two versions do not add up to one answer",
                f"use {name} {job.versions.get(name)}, or begin in a new folder",
            )
    return job


def require_inputs(out: Path, job: Job, inputs: Mapping[str, str]) -> None:
    """Refuse to go on with a job whose inputs are others now.

    Args:
        out: Its folder.
        job: The job.
        inputs: The inputs as they are now.

    Raises:
        InputError: Naming the first that differs.
    """
    for name in sorted({*job.inputs, *inputs}):
        if job.inputs.get(name) != inputs.get(name):
            raise InputError(
                f"{out}: the job was begun with another {name}",
                f"{job.inputs.get(name, 'none')} then, {inputs.get(name, 'none')} now",
                "give the inputs of the job, or another folder",
            )


def write_tile(
    out: Path,
    job: str,
    tile: Tile,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    carry: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None,
) -> None:
    """Write a tile: its numbers, what it hands on, and last the line that makes it count.

    Args:
        out: The folder of the job.
        job: The job's fingerprint.
        tile: The tile.
        tensors: Its numbers.
        facts: What is to be known of it besides.
        carry: Tensors and facts for the next tile of its chain; None where there is none.
    """
    record: dict[str, Any] = {"job": job, "tile": tile.name, "facts": dict(facts), "carry": None}
    if carry is not None:
        data = save({name: t.cpu().contiguous() for name, t in carry[0].items()})
        write_whole(out / "carry" / f"{tile.name}.safetensors", data)
        record["carry"] = {"sha256": hashlib.sha256(data).hexdigest(), "facts": dict(carry[1])}
    data = save({name: t.cpu().contiguous() for name, t in tensors.items()})
    write_whole(out / "tiles" / f"{tile.name}.safetensors", data)
    record["sha256"] = hashlib.sha256(data).hexdigest()
    write_whole(out / "tiles" / f"{tile.name}.json", json.dumps(record, sort_keys=True).encode())


def record_of(out: Path, job: str, tile: Tile) -> dict[str, Any] | None:
    """The record of a finished tile, or None.

    Args:
        out: The folder of the job.
        job: The job's fingerprint.
        tile: The tile.

    Returns:
        The record.

    Raises:
        InputError: If it is damaged, or of another job.
    """
    file = out / "tiles" / f"{tile.name}.json"
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_bytes())
        owner, name, _ = record["job"], record["tile"], record["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(file) from None
    if owner != job or name != tile.name:
        raise InputError(
            f"{file}: belongs to another job",
            "its numbers are those of other inputs, another cut or another version",
            "remove it and its .safetensors file, and run again with --resume",
        )
    return record


def checked_tile(out: Path, job: str, tile: Tile) -> tuple[Path, dict[str, Any]]:
    """The file of a finished tile, compared with its hash, and what is known of it.

    Args:
        out: The folder of the job.
        job: The job's fingerprint.
        tile: The tile.

    Returns:
        The file, and its record.

    Raises:
        InputError: If the tile is missing, damaged, or of another job.
    """
    record = record_of(out, job, tile)
    file = out / "tiles" / f"{tile.name}.safetensors"
    if record is None or not file.exists():
        raise InputError(
            f"{out / 'tiles' / tile.name}: is missing",
            "the answer is the sum of all tiles",
            "run again with --resume" if record is None else f"remove {tile.name}.json, and run again with --resume",
        )
    if hash_of_file(file) != record["sha256"]:
        raise _damaged(file)
    return file, record


def read_carry(out: Path, tile: Tile, record: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a tile hands on.

    Args:
        out: The folder of the job.
        tile: The tile that stands.
        record: Its record.

    Returns:
        Tensors of their own memory, and facts.

    Raises:
        InputError: If the file is missing or damaged.
    """
    file = out / "carry" / f"{tile.name}.safetensors"
    if not file.exists():
        raise InputError(
            f"{file}: is missing",
            "the next tile of the chain begins with it",
            f"remove {tile.name}.json, and run again with --resume",
        )
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != record["carry"]["sha256"]:
        raise _damaged(file)
    # Clones lie in memory as fresh results do: products of vectors that are aligned otherwise may round otherwise.
    return {name: t.clone() for name, t in load(data).items()}, record["carry"]["facts"]


def _damaged(file: Path) -> InputError:
    return InputError(
        f"{file}: is damaged",
        "it is not as it was written",
        f"remove {file.name} and {file.stem}.json beside the tiles, and run again with --resume",
    )
