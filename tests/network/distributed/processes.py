"""Several processes for one test: forked from a server that has torch loaded, so that each starts at once."""

from __future__ import annotations

import multiprocessing as mp
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]

from pkverify.errors import InputError

ROOT = Path(__file__).parents[3]
_CONTEXT = mp.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.network.distributed.cases"])

Work = Callable[..., Any]


def start(work: Work, *arguments: object) -> BaseProcess:
    """One process."""
    # The server is told the modules but not, before Python 3.14, where they are.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        ensure_running()
    process = _CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def together(work: Work, folder: Path, *arguments: object, world: int = 2) -> list[Any]:
    """What ``work(rank, *arguments)`` gives on each rank of a gloo group; an InputError comes back as one."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = [start(_ranked, work, rank, world, folder, arguments) for rank in range(world)]
    for process in processes:
        process.join(60)
    alive = [p for p in processes if p.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, "a rank hangs"
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]
    for result in found:
        if isinstance(result, str):
            raise AssertionError(result)
    return found


def _ranked(work: Work, rank: int, world: int, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=timedelta(seconds=20))
    try:
        result: Any = work(rank, *arguments)
    except InputError as error:
        result = InputError(error.what, error.why, error.fix)
    except BaseException:  # noqa: BLE001 - whatever it is, the test must hear of it
        result = traceback.format_exc()
    torch.save(result, folder / f"{rank}.pt")
    dist.destroy_process_group()
