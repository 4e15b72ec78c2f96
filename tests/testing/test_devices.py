"""Where and in what parts a run is decomposed makes no difference: threads, memory, and the GPU where there is one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pkverify.network.decompose import decompose
from pkverify.network.record import record
from pkverify.testing.networks import Network, TrainingRun, losses, make_optimizer, training_runs

TOLERANCE = 1e-10  # of the largest part of a prediction; rounding is a ten-thousandth of that


@dataclass(frozen=True)
class Parts:
    """The parts of each prediction, ``[q, C, m + 2]``: what it began with, the penalty, the examples."""

    values: Tensor

    def miss(self, other: Parts) -> float:
        return float((self.values - other.values).abs().max() / self.values.abs().max().clamp(min=1.0))


def parts(
    run: TrainingRun, device: str = "cpu", *, memory: int | None = None, dtype: torch.dtype = torch.float64
) -> Parts:
    model, criterion = run.network.build().to(device, dtype), losses()[run.loss]
    x, y, queries = (tensor.to(device, dtype if tensor.is_floating_point() else None) for tensor in run.tensors())
    optimizer = make_optimizer(run.optimizer, model, run.rates[0], dict(run.settings))
    with record(model, optimizer, loss=criterion, x=x, y=y) as path:
        for rate, passes in zip(run.rates, run.batches, strict=True):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = rate
            for indices in passes:
                chosen = torch.tensor(indices, device=device)
                path.batch(chosen)
                criterion(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    found = decompose(path, queries, memory=memory)
    q, m = found.contributions.shape[:2]
    columns = [found.initial_output.reshape(q, 1, -1), found.regularizer_term.reshape(q, 1, -1)]
    return Parts(torch.cat([*columns, found.contributions.reshape(q, m, -1)], 1).cpu().double())


def test_memory_makes_no_difference() -> None:
    @settings(max_examples=15, deadline=None)
    @given(training_runs())
    def same(run: TrainingRun) -> None:
        assert parts(run).miss(parts(run, memory=1)) < TOLERANCE

    same()


def test_threads_make_no_difference() -> None:
    threads = torch.get_num_threads()

    @settings(max_examples=10, deadline=None)
    @given(training_runs())
    def same(run: TrainingRun) -> None:
        found: list[Parts] = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(parts(run))
        assert found[0].miss(found[1]) < TOLERANCE

    try:
        same()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_the_gpu_makes_no_difference() -> None:
    @settings(max_examples=50, deadline=None)
    @given(training_runs())
    def same(run: TrainingRun) -> None:
        assert parts(run).miss(parts(run, "cuda")) < TOLERANCE

    same()


def test_single_precision_would_show() -> None:
    network = Network("mlp", 2, 2, 1, "tanh", bias=True, seed=0)
    rows = ((0.25, -1.0), (1.5, 0.75), (-0.5, 2.0))
    run = TrainingRun(
        network, rows, ((1.0,), (-0.25,), (0.5,)), "half-square-sum", "SGD", (("momentum", 0.5),), (0.1, 0.05),
        (((0, 1),), ((2, 1),)), rows[:1],
    )  # fmt: skip

    assert parts(run).miss(parts(run, dtype=torch.float32)) > 10 * TOLERANCE
