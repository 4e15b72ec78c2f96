"""What the network benchmarks share: runs that take turns, medians, peers in an environment of their own, errors."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One way to the same numbers.

    Attributes:
        name: Its name.
        seconds: Median over the rounds.
        processor: Median of the processor time, which says more on a busy machine.
        error: Relative Frobenius distance to the reference; None for what has no result to compare.
    """

    name: str
    seconds: float
    processor: float
    error: float | None


class Peer:
    """A script that runs in another environment: it loads inputs, then runs once for each line it is sent."""

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        self._result = Path(tempfile.mkdtemp()) / "result.npy"
        command = [python, str(HERE / script), *arguments, str(self._result)]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | threads)

    def __call__(self) -> np.ndarray[Any, Any]:
        """One run; the seconds are the peer's own, without the pipe."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the peer {self._process.args} ended with {self._process.wait()}")
        self.seconds, self.processor = map(float, line.split())
        return np.load(self._result)


def serve(run: Callable[[], Any]) -> None:
    """The peer's side: run once for each line, write the result, answer with the seconds."""
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        result = run()
        passed = time.perf_counter() - start, time.process_time() - used
        np.save(sys.argv[-1], np.asarray(result))
        print(*passed, flush=True)


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(ways: Mapping[str, Callable[[], Any]], reference: Any, rounds: int) -> list[Row]:
    """Medians over rounds in which every way runs once, after one round to warm up.

    A way whose name begins with "plain" is timed and not compared.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    errors: dict[str, float | None] = {}
    exact = np.asarray(torch.as_tensor(reference).cpu(), dtype=np.float64)
    order, random = list(ways), np.random.default_rng(0)
    for turn in range(rounds + 1):
        for name in order:
            way = ways[name]
            _synchronize()
            start, used = time.perf_counter(), time.process_time()
            result = way()
            _synchronize()
            passed = time.perf_counter() - start, time.process_time() - used
            if isinstance(way, Peer):
                passed = way.seconds, way.processor
            if turn:
                seconds[name].append(passed)
            elif not name.startswith("plain"):
                found = np.asarray(torch.as_tensor(result).cpu(), dtype=np.float64)
                errors[name] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
        random.shuffle(order)  # no way is always run with the caches that the same other one leaves
    return [
        Row(name, statistics.median(t for t, _ in both), statistics.median(t for _, t in both), errors.get(name))
        for name, both in seconds.items()
    ]


def show(title: str, rows: list[Row], ours: str) -> None:
    """A table, each way beside ours, by the clock and by processor time."""
    (base,) = [row for row in rows if row.name == ours]
    print(f"{title}   ({torch.get_num_threads()} threads, medians of one run in turns)")
    print(f"  {'':42s} {'time':>10} {'':>8} {'processor':>12} {'':>8}")
    for row in rows:
        error = "" if row.error is None else f"error {row.error:.1e}"
        print(
            f"  {row.name:42s} {row.seconds:10.5f} s {row.seconds / base.seconds:7.2f} x {row.processor:10.5f} s "
            f"{row.processor / base.processor:7.2f} x  {error}"
        )


def peak_megabytes() -> float:
    """The peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
