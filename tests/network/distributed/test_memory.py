"""A path ten times larger than the memory budget, recorded and decomposed within it: peaks measured by the kernel."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn, optim

from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.decompose import decompose
from pkverify.network.distributed.job import run_job
from pkverify.network.distributed.manifest import read_job
from pkverify.network.distributed.target import Target, load_queries
from pkverify.network.record import read_path, record

ROOT = Path(__file__).parents[3]
BUDGET = 20_000_000
STEPS, QUERIES, WIDTH = 104, 2, 350


def made(width: int, steps: int, folder: Path) -> Target:
    """A run of Adam on four examples, written to a folder, with queries beside it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)).double()
    x, y = torch.randn(8, width, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
    loss = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    with record(model, optimizer, loss=loss, x=x, y=y, to=folder / "run", guard=50) as path:
        for number in range(steps):
            some = [number % 8, (number + 3) % 8]
            path.batch(some)
            optimizer.zero_grad()
            loss(model(x[some]), y[some]).backward()
            optimizer.step()
    save_file({"x": torch.randn(QUERIES, width, dtype=torch.float64)}, folder / "queries.safetensors")
    return Target(model, loss, x, y)


def memory(name: str) -> int:
    """VmRSS or VmHWM, the resident bytes now and at most."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


def rested() -> int:
    """The resident bytes; the peak is counted from here."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return memory("VmRSS")


def main(folder: Path) -> None:
    """Record and decompose, in a process of their own; the measurements as JSON on stdout."""
    torch.set_num_threads(1)
    small = folder / "small"
    # Once in small, so that all code is loaded.
    run_job(small / "run", made(8, 3, small), small / "queries.safetensors", small / "out")
    start = rested()
    target = made(WIDTH, STEPS, folder)
    recorded = memory("VmHWM") - start
    start = rested()
    merged = run_job(folder / "run", target, folder / "queries.safetensors", folder / "out", memory=BUDGET)
    split = memory("VmHWM") - start
    assert merged is not None
    size = sum(p.numel() for p in target.model.parameters()) * 8
    found = {
        "recorded": recorded, "split": split, "model": size, "holds": merged.holds, "changed": changed(folder, target),
    }  # fmt: skip
    print(json.dumps(found), flush=True)  # noqa: T201 - it is what the test reads


def changed(folder: Path, target: Target) -> float:
    """How far the contributions are from those of the whole path at once, with all the memory there is."""
    path = read_path(folder / "run", target.model, loss=target.loss, x=target.x, y=target.y)
    whole = decompose(path, load_queries(folder / "queries.safetensors"))
    tiled = NetworkDecomposition.load(folder / "out" / "decomposition.safetensors")
    return float((whole.contributions - tiled.contributions).abs().max() / whole.contributions.abs().max())


def test_a_path_ten_times_larger_than_the_memory(tmp_path: Path) -> None:
    # Freed memory goes back at once, so that the peak is what was held and not what was kept for later.
    heap = {"MALLOC_MMAP_THRESHOLD_": "300000", "MALLOC_TRIM_THRESHOLD_": "300000", "OMP_NUM_THREADS": "1"}
    code = f"from tests.network.distributed import test_memory as t; t.main(t.Path({str(tmp_path)!r}))"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | heap, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    path = sum(file.stat().st_size for file in (tmp_path / "run" / "points").iterdir())

    assert path >= 10 * BUDGET
    assert found["recorded"] <= BUDGET
    assert found["split"] <= BUDGET
    assert found["holds"]
    assert len(read_job(tmp_path / "out").layout.query_blocks("split")) > 1
    assert found["changed"] <= 1e-12
