"""How much sooner do two processes decompose a run than one, and what does recording to disk cost?

    python tests/benchmarks/network_distributed.py [--steps 160] [--queries 8] [--processes 2] [--no-split]

All processes have one thread. The cut into tiles is the same for any number of them, and the answers are compared byte
by byte. Recording is compared with the plain loop, a copy in memory, and a folder, without the guard; the median of the
steps. Two processes on two cores are a fair measure only while nothing else runs: so the load stands beside the times,
and the processor time of each process. The one process's time over the largest of them is what idle cores would give.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import shutil
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]

from pkverify.network.distributed.crew import Crew
from pkverify.network.distributed.job import run_job
from pkverify.network.distributed.scale import Cut
from pkverify.network.distributed.target import Target
from pkverify.network.record import record

BATCH = 64


def target() -> Target:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10)).double()
    x = torch.randn(4 * BATCH, 784, dtype=torch.float64) / 28
    return Target(model, nn.CrossEntropyLoss(), x, torch.randint(0, 10, (4 * BATCH,)))


def trained(steps: int, kind: str, folder: Path) -> float:
    """Milliseconds a step, the median, of a run that is recorded in a way."""
    run = target()
    x, y = run.x, run.y
    assert isinstance(y, Tensor)
    optimizer = torch.optim.SGD(run.model.parameters(), lr=0.02, momentum=0.9)
    to = folder / "run" if kind == "folder" else None
    whole = record(run.model, optimizer, loss=run.loss, x=x, y=y, to=to, guard=False)
    spent: list[float] = []
    with nullcontext() if kind == "plain" else whole as path:
        for number in range(steps):
            begin = time.perf_counter()
            some = (torch.arange(BATCH) + number * BATCH) % len(x)
            if path is not None:
                path.batch(some)
            optimizer.zero_grad()
            run.loss(run.model(x[some]), y[some]).backward()
            optimizer.step()
            spent.append(time.perf_counter() - begin)
    return sorted(spent)[len(spent) // 2] * 1e3


def share(rank: int, world: int, folder: Path, out: str) -> None:
    torch.set_num_threads(1)
    crew = Crew(FileStore(str(folder / f"store-{out}"), world), rank, world)
    cut = Cut(query_block=2, point_block=40)
    begin = time.process_time()
    run_job(folder / "run", target(), folder / "queries.safetensors", folder / out, crew=crew, cut=cut)
    (folder / f"{out}-{rank}").write_text(f"{time.process_time() - begin}", encoding="ascii")


def split(world: int, folder: Path) -> tuple[float, float]:
    """Seconds from the start of the processes to the end of the last, and the largest processor time of one."""
    context = mp.get_context("spawn")
    out, begin = f"out-{world}", time.perf_counter()
    processes = [context.Process(target=share, args=(rank, world, folder, out)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes)
    spent = time.perf_counter() - begin
    busy = [float((folder / f"{out}-{rank}").read_text(encoding="ascii")) for rank in range(world)]
    times = ", ".join(f"{seconds:.1f}" for seconds in busy)
    print(f"{world} processes {spent:7.1f} s, processor {times} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return spent, max(busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-split", action="store_true", help="recording only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="network-distributed-"))
    try:
        plain, memory = (trained(40, kind, folder) for kind in ("plain", "memory"))
        disk = trained(arguments.steps, "folder", folder)
        print(f"a step of {BATCH}: plain {plain:.1f} ms, recorded {memory:.1f} ms, to disk {disk:.1f} ms", flush=True)
        if arguments.no_split:
            return
        save_file({"x": torch.randn(arguments.queries, 784).double() / 28}, folder / "queries.safetensors")
        one, one_busy = split(1, folder)
        many, many_busy = split(arguments.processes, folder)
        print(f"speed-up {one / many:.2f}, by processor time {one_busy / many_busy:.2f}")
        files = [folder / f"out-{n}" / "decomposition.safetensors" for n in (1, arguments.processes)]
        print("the same bytes" if files[0].read_bytes() == files[1].read_bytes() else "OTHER BYTES")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
