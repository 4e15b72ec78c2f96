"""How the steps of each optimiser split: against torch's own steps, and the refusal of all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn, optim

from pkverify.errors import InputError
from pkverify.network.decompose import decompose
from pkverify.network.optimizers import RULES, rule_of
from pkverify.network.record import record
from tests.network.training_cases import OPTIMIZERS, data, mlp, seeded, train

X, Y, QUERY = data()
LOSS = nn.CrossEntropyLoss()


def residual(optimizer_of: Any, *, steps: int = 4, freeze: int | None = None) -> float:
    """The residual of a short full-batch run; the guard also compares each step with its formula."""
    model = seeded(mlp)
    optimizer = optimizer_of(model)
    with record(model, optimizer, loss=LOSS, x=X, y=Y) as path:
        for number in range(steps):
            optimizer.zero_grad()
            LOSS(model(X), Y).backward()
            if number == freeze:
                next(iter(model.parameters())).grad = None
            optimizer.step()
    return decompose(path, QUERY).relative_residual


def test_every_rule_is_exercised() -> None:
    used = {type(make([nn.Parameter(torch.zeros(1))])).__name__ for make in OPTIMIZERS.values()}

    assert used == set(RULES)


@pytest.mark.parametrize(
    "form", [{"foreach": True}, {"foreach": False}, {"fused": True}], ids=["foreach", "loop", "fused"]
)
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.Adagrad])
def test_forms_of_one_optimiser_are_the_same(kind: Any, form: dict[str, bool]) -> None:
    assert residual(lambda model: kind(model.parameters(), lr=0.05, weight_decay=0.1, **form)) <= 1e-11


def test_groups_have_settings_of_their_own() -> None:
    def groups(model: nn.Module) -> optim.Optimizer:
        first, *rest = model.parameters()
        return optim.SGD(
            [{"params": [first], "lr": 0.5, "weight_decay": 0.1}, {"params": rest, "momentum": 0.9}], lr=0.1
        )

    assert residual(groups) <= 1e-11


def test_plain_groups_have_rates_of_their_own() -> None:
    def groups(model: nn.Module) -> optim.Optimizer:
        first, *rest = model.parameters()
        return optim.SGD(
            [{"params": [first], "lr": 0.5, "maximize": True}, {"params": rest, "weight_decay": 0.1}], lr=0.1
        )

    assert residual(groups) <= 1e-11


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_a_parameter_without_a_gradient_is_passed_over(kind: str) -> None:
    assert residual(lambda model: OPTIMIZERS[kind](model.parameters()), freeze=2) <= 1e-11


def test_parameters_that_are_not_trained_stay() -> None:
    def some(model: nn.Module) -> optim.Optimizer:
        first, *rest = model.parameters()
        first.requires_grad = False
        return optim.Adam(rest, lr=0.05)

    assert residual(some) <= 1e-11


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop centered"])
def test_a_schedule_may_change_momentum_too(name: str) -> None:
    model = seeded(mlp)
    optimizer = OPTIMIZERS[name](model.parameters())
    key = "betas" if "betas" in optimizer.param_groups[0] else "momentum"
    with record(model, optimizer, loss=LOSS, x=X, y=Y) as path:
        for number in range(5):
            optimizer.zero_grad()
            LOSS(model(X), Y).backward()
            optimizer.step()
            value = (0.0, 0.5, 0.9, 0.7, 0.1)[number]
            optimizer.param_groups[0][key] = (value, 0.99) if key == "betas" else value
            optimizer.param_groups[0]["lr"] *= 0.8

    assert decompose(path, QUERY).relative_residual <= 1e-11


def test_a_tensor_as_learning_rate() -> None:
    rate = torch.tensor(0.05, dtype=torch.float64)

    assert residual(lambda model: optim.Adam(model.parameters(), lr=rate)) <= 1e-11


def test_single_precision_has_its_own_floor() -> None:
    model = seeded(mlp).float()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    with record(model, optimizer, loss=LOSS, x=X.float(), y=Y) as path:
        for _ in range(4):
            optimizer.zero_grad()
            LOSS(model(X.float()), Y).backward()
            optimizer.step()

    found = decompose(path, QUERY.float())

    assert found.contributions.dtype == torch.float32
    assert 1e-9 < found.relative_residual < 1e-4


class OwnSGD(optim.SGD):
    """A subclass, which may step otherwise."""


REFUSED = {
    "L-BFGS": (optim.LBFGS, "LBFGS cannot be split exactly\n.*line search"),
    "Rprop": (optim.Rprop, "Rprop cannot be split exactly\n.*signs"),
    "Adadelta": (optim.Adadelta, "Adadelta cannot be split exactly"),
    "ASGD": (optim.ASGD, "ASGD cannot be split exactly"),
    "NAdam": (optim.NAdam, "NAdam cannot be split exactly"),
    "a subclass": (lambda p: OwnSGD(p, lr=0.1), "OwnSGD cannot be split exactly\n.*its step is its own"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_split_is_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]

    with pytest.raises(InputError, match=message):
        rule_of(make([nn.Parameter(torch.zeros(2, 2))]))


def test_learning_rates_are_those_of_the_step() -> None:
    run = train(OPTIMIZERS["sgd"], epochs=1, schedule=0.5)

    assert [step.settings[0]["lr"] for step in run.path.steps] == run.rates
