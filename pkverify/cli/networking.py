"""Commands on recorded training runs: network plan, decompose, merge."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pkverify.cli.app import app
from pkverify.cli.output import check_folder, emit, progress
from pkverify.errors import InputError

if TYPE_CHECKING:
    from pkverify.network.distributed.merge import Merged
    from pkverify.network.distributed.scale import Cut

network = App(
    name="network",
    help="Decompose recorded training runs, on one process or, under torchrun, on many:\n"
    "torchrun --nproc-per-node N -m pkverify network decompose RUN ...",
    help_format="plaintext",
    result_action="return_value",
)
app.command(network)

Run = Annotated[Path, Parameter(help="the folder that network.record(..., to=...) wrote")]
Queries = Annotated[
    Path, Parameter(help="inputs, a safetensors file: one tensor, or several by the names of the model's arguments")
]
Model = Annotated[
    str, Parameter(help="package.module:function, which returns (model, loss, x, y) as the run was recorded with")
]
Memory = Annotated[
    str | None, Parameter(help='for each process, beyond model and data, such as "2 GB" (2 GiB when left out)')
]
QueryBlock = Annotated[int | None, Parameter(help="queries in a tile; chosen when left out")]
ExampleBlock = Annotated[int | None, Parameter(help="examples in a tile; chosen when left out")]
PointBlock = Annotated[int | None, Parameter(help="recorded points in a tile; chosen when left out")]


@network.command
def plan(
    run: Run,
    /,
    *,
    queries: Queries,
    model: Model,
    ranks: Annotated[int | None, Parameter(help="processes; as torchrun started, else 1")] = None,
    max_memory: Memory = None,
    query_block: QueryBlock = None,
    example_block: ExampleBlock = None,
    point_block: PointBlock = None,
) -> int:
    """Print what a decomposition will take, and how it would be cut: bytes, disk, operations, time. Nothing is run."""
    from pkverify.network.distributed.job import read_inputs
    from pkverify.network.distributed.scale import budget
    from pkverify.network.distributed.scale import plan as make_plan
    from pkverify.network.distributed.target import load_target

    world = int(os.environ.get("WORLD_SIZE", "1")) if ranks is None else ranks
    if world < 1:
        raise InputError(f"--ranks {world}", "", "give the number of processes")
    inputs = read_inputs(run, load_target(model), queries)
    cut = _cut(query_block, example_block, point_block)
    found = make_plan(inputs, ranks=world, memory=budget(max_memory), cut=cut, folder=run, measure=True)
    if os.environ.get("RANK", "0") == "0":
        emit(f"{found}\n".encode(), None)
    return 0


@network.command
def decompose(  # noqa: PLR0913 - one argument an option
    run: Run,
    /,
    *,
    queries: Queries,
    model: Model,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help="a folder, which all processes see")],
    resume: Annotated[
        bool, Parameter(negative="", help="go on with the job in the folder; what stands is kept")
    ] = False,
    max_memory: Memory = None,
    query_block: QueryBlock = None,
    example_block: ExampleBlock = None,
    point_block: PointBlock = None,
) -> int:
    """Split the predictions at the queries over the training examples, tile by tile, and prove the sum.

    Exit codes: 0 it adds up by both routes, 1 it does not, 2 bad input, or tiles are missing.
    """
    from pkverify.network.distributed.crew import Crew
    from pkverify.network.distributed.job import run_job
    from pkverify.network.distributed.scale import budget
    from pkverify.network.distributed.target import load_target

    check_folder(output)
    crew = Crew.here()
    began = time.monotonic()

    def said(standing: int, total: int) -> None:
        left = (time.monotonic() - began) / standing * (total - standing)
        if crew.rank == 0:
            progress(f"{standing} of {total} tiles on {crew.world} processes, about {left:.0f} s left")

    merged = run_job(
        run,
        load_target(model),
        queries,
        output,
        crew=crew,
        resume=resume or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0,
        memory=budget(max_memory),
        cut=_cut(query_block, example_block, point_block),
        progress=said,
    )
    return 0 if merged is None else _told(merged)


@network.command
def merge(folder: Annotated[Path, Parameter(help="the folder of network decompose -o")], /) -> int:
    """Add up the tiles of a job whose processes ended before they did. Nothing is written unless all tiles are sound.

    Exit codes as of network decompose.
    """
    from pkverify.network.distributed.merge import merge as add_up

    return _told(add_up(folder))


def _told(merged: Merged) -> int:
    lines = [
        f"{merged.file}",
        f"residual of the split  {merged.relative_residual:.1e} of the change of the outputs",
        f"residual of the proof  {merged.proof_residual:.1e}, by the identity alone ({merged.proof})",
        f"verdict                {'adds up' if merged.holds else 'does not add up'} (tolerance {merged.tolerance:.0e})",
    ]
    if merged.unconverged:
        some = ", ".join(map(str, merged.unconverged[:8])) + (", ..." if len(merged.unconverged) > 8 else "")
        lines.append(f"unconverged            steps {some}")
    emit(("\n".join(lines) + "\n").encode(), None)
    return 0 if merged.holds else 1


def _cut(query_block: int | None, example_block: int | None, point_block: int | None) -> Cut:
    from pkverify.network.distributed.scale import Cut

    for name, value in (("query", query_block), ("example", example_block), ("point", point_block)):
        if value is not None and value < 1:
            raise InputError(f"--{name}-block {value}", "", "give a positive number, or leave it out")
    return Cut(query_block, example_block, point_block)
