"""A decomposition from the first tile to the answer: on one process, or shared by those that torchrun started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.decompose import require_steps
from pkverify.network.distributed.crew import Crew
from pkverify.network.distributed.manifest import (
    Job,
    hash_of_file,
    hash_of_tensors,
    read_job,
    require_inputs,
    versions,
    write_job,
)
from pkverify.network.distributed.merge import Merged, merge
from pkverify.network.distributed.scale import Cut, plan
from pkverify.network.distributed.target import Target, load_queries
from pkverify.network.distributed.tiles import chains
from pkverify.network.distributed.worker import Inputs, run_chain
from pkverify.network.layers.batches import Batch, mapped
from pkverify.network.record import read_path


def read_inputs(run: Path, target: Target, queries: Path) -> Inputs:
    """The path in a folder, and queries for it.

    Args:
        run: The folder of ``record(..., to=...)``.
        target: What was trained.
        queries: A safetensors file.

    Returns:
        What is decomposed.

    Raises:
        InputError: If the folder holds no path or an unfinished one, or does not fit the target.
    """
    path = read_path(run, target.model, loss=target.loss, x=target.x, y=target.y, output=target.output)
    require_steps(path)
    path.weights(len(path.points))  # the last weights: an unfinished path is refused before anything is begun
    return Inputs(path, load_queries(queries))


def run_job(  # noqa: PLR0913 - options of one command
    run: Path,
    target: Target,
    queries: Path,
    out: Path,
    *,
    crew: Crew | None = None,
    resume: bool = False,
    memory: int | None = None,
    cut: Cut | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Merged | None:
    """Decompose predictions along a recorded run, tile by tile, with all processes of the crew.

    Each tile depends on the job alone, not on who computes it or when. So the answer has the same bytes on any number
    of processes, and after any number of kills, as long as the cut is the same; it is fixed when the job begins.

    Args:
        run: The folder of the path.
        target: What was trained.
        queries: A safetensors file of inputs.
        out: The folder of the job, which all processes must see.
        crew: The processes; this one alone for None.
        resume: Go on with the job in ``out``: what stands is kept, whatever stopped it.
        memory: Bytes for each process, beyond the interpreter, the model and the data.
        cut: What is fixed of the cut.
        progress: Called with the tiles that stand, on all ranks together, and their number.

    Returns:
        The answer on the rank that finished last, and None on the others.

    Raises:
        InputError: If the inputs are unusable or not those of the job, or a file was damaged.
    """
    crew, threads = Crew() if crew is None else crew, torch.get_num_threads()
    try:
        merged = _shared(run, target, queries, out, crew, _Options(resume, memory, cut, progress))
    except InputError as error:
        crew.leave(error)
        raise
    finally:
        torch.set_num_threads(threads)
    crew.leave()
    return merged


class _Options:
    def __init__(
        self,
        resume: bool,  # noqa: FBT001 - named where it is given
        memory: int | None,
        cut: Cut | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.resume, self.memory, self.cut, self.progress = resume, memory, cut, progress


def _shared(run: Path, target: Target, queries: Path, out: Path, crew: Crew, options: _Options) -> Merged | None:
    inputs = read_inputs(run, target, queries)
    now = _hashes(run, inputs, target)

    def begin() -> None:
        if options.resume and (out / "job.json").exists():
            return
        layout = plan(inputs, ranks=crew.world, memory=options.memory, cut=options.cut, folder=run).layout
        write_job(out, Job(now, versions(), layout, torch.get_num_threads()))

    crew.first(begin)
    job = read_job(out)
    require_inputs(out, job, now)
    torch.set_num_threads(job.threads)
    work = chains(job.layout)
    total = sum(map(len, work))

    def finished() -> None:
        standing = crew.count()
        if options.progress is not None:
            options.progress(standing, total)

    while (number := crew.draw()) < len(work):
        run_chain(inputs, out, job.fingerprint, work[number], chained=job.layout.chained, finished=finished)
    return merge(out) if crew.is_last() else None


def _hashes(run: Path, inputs: Inputs, target: Target) -> dict[str, str]:
    """A hash or a value of every input; ``steps.jsonl`` holds the hashes of all points."""
    training = inputs.path.training
    state = sorted(training.function.state.items())
    found = {
        "path (manifest.json)": hash_of_file(run / "manifest.json"),
        "path (steps.jsonl)": hash_of_file(run / "steps.jsonl"),
        "queries": _hash_of_batch(inputs.x_query),
        "fixed parameters and buffers": hash_of_tensors(state),
        "model": type(target.model).__qualname__,
        "device": next(training.function.model.parameters()).device.type,
    }
    for name, data in (("x", target.x), ("y", target.y)):
        if isinstance(data, Tensor | tuple | list | dict):
            found[name] = _hash_of_batch(cast("Batch", data))
    return found


def _hash_of_batch(batch: Batch) -> str:
    tensors: list[tuple[str, Tensor]] = []
    entries: Any = batch
    if isinstance(entries, dict):
        for name, value in sorted(entries.items()):
            mapped((value,), lambda t, name=name: (tensors.append((str(name), t)), t)[1])
    else:
        mapped(batch, lambda t: (tensors.append((str(len(tensors)), t)), t)[1])
    return hash_of_tensors(tensors)
