"""Paths from checkpoints that a run kept by itself: right ones, and those that are the last state many times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from pkverify.errors import InputError
from pkverify.network.checkpoints import path_from_checkpoints
from pkverify.network.decompose import decompose
from pkverify.network.path import TrainingPath
from tests.network.training_cases import OPTIMIZERS, Run, mlp, seeded, train

Checkpoints = list[Mapping[str, Tensor]]


@pytest.fixture(scope="module")
def run() -> Run:
    return train(OPTIMIZERS["momentum"], epochs=1, schedule=0.9)


def from_checkpoints(
    run: Run, change: Callable[[Checkpoints], Checkpoints] = lambda c: c, **options: Any
) -> TrainingPath:
    model = seeded(mlp)
    optimizer = options.pop("optimizer", OPTIMIZERS["momentum"])(model.parameters())
    checkpoints = change([run.named(flat.clone()) for flat in run.weights])
    options = {"learning_rates": run.rates, "loss": run.loss, "x": run.x, "y": run.y} | options
    return path_from_checkpoints(checkpoints, options.pop("batches", run.batches), model, optimizer, **options)


def test_checkpoints_give_the_split_of_the_recording(run: Run) -> None:
    recorded, found = decompose(run.path, run.query), decompose(from_checkpoints(run), run.query)

    assert found.relative_residual <= 1e-11
    assert torch.allclose(found.contributions, recorded.contributions, rtol=1e-11, atol=1e-14)


def test_a_wrong_rate_shows_in_the_residual(run: Run) -> None:
    assert decompose(from_checkpoints(run, learning_rates=None), run.query).relative_residual > 1e-3


def aliased(checkpoints: Checkpoints) -> Checkpoints:
    return [checkpoints[-1]] * len(checkpoints)


def one_aliased(checkpoints: Checkpoints) -> Checkpoints:
    return [*checkpoints[:2], {**checkpoints[2], "0.bias": checkpoints[1]["0.bias"]}, *checkpoints[3:]]


def repeated(checkpoints: Checkpoints) -> Checkpoints:
    copies = {name: t.clone() for name, t in checkpoints[1].items()}
    return [*checkpoints[:2], copies, *checkpoints[3:]]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "all the last state": ({"change": aliased}, "checkpoints: 0 and 1 are the same tensors\n.*references"),
    "one tensor of two": ({"change": one_aliased}, "checkpoints: 1 and 2 are the same tensors"),
    "kept twice": ({"change": repeated}, "checkpoints: 1 and 2 hold the same weights"),
    "one too few": ({"change": lambda c: c[:-1]}, "checkpoints: 4 for 4 batches"),
    "a tensor missing": ({"change": lambda c: [{"0.bias": s["0.bias"]} for s in c]}, "checkpoints: 0 has no 0.weight"),
    "statistics": ({"optimizer": optim.Adam}, "the steps of Adam cannot be read off checkpoints"),
    "rates too few": ({"learning_rates": [0.1]}, "learning_rates: 1 for 4 batches"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_unfit_checkpoints_are_refused(name: str, run: Run) -> None:
    options, message = FAULTS[name]

    with pytest.raises(InputError, match=message):
        from_checkpoints(run, **options)


def test_a_wrong_batch_shows_in_the_residual(run: Run) -> None:
    path = from_checkpoints(run, batches=[run.batches[1], *run.batches[1:]])

    assert decompose(path, run.query).relative_residual > 1e-3


def test_dropout_is_refused() -> None:
    model = nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).double()
    with pytest.raises(InputError, match="drops out"):
        path_from_checkpoints([], [], model, optim.SGD(model.parameters(), lr=0.1), loss=torch.sum, x=torch.ones(1, 5))
