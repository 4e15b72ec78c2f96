"""Records draw themselves: decompositions, runs, and those of networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pkverify as pk
from pkverify import network

LINE = pk.parse_problem("""
model = {kind = "linear", bias = false}
loss = {kind = "squared"}
data = {x = [[1], [2]], y = [2, 3]}
flow = {initial = [0], horizon = 1}
query = {x = [[3]]}
""")


def bars(figure: Any) -> list[float]:
    return [patch.get_width() for patch in figure.axes[0].patches]


def test_a_decomposition_draws_itself() -> None:
    (d,) = pk.decompose(LINE, digits=15)
    assert any(abs(width - abs(float(d.contributions[0]))) < 1e-9 for width in map(abs, bars(d.plot())))
    assert d.plot("kernel-machine").axes
    with pytest.raises(pk.InputError):
        d.plot("gram")


def test_a_run_of_one_problem_draws_itself() -> None:
    run = pk.check(LINE, routes=["precise"], digits=15)
    assert run.plot("gram").axes
    assert pk.plot(run, "tangent-kernel").axes
    with pytest.raises(pk.InputError):
        run.plot("grams")


def test_a_network_decomposition_draws_itself() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1).double()
    x, y = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.MSELoss(reduction="sum")
    with network.record(model, optimizer, loss=loss, x=x, y=y):
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    with network.record(model, optimizer, loss=loss, x=x, y=y) as path:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    d = network.decompose(path, x[:1])
    prediction = d.prediction()
    total = sum(map(float, prediction.contributions)) + float(prediction.initial_output)
    assert abs(total - float(prediction.final_output)) < 1e-12
    largest = float(d.contributions.abs().max())
    assert any(abs(width - largest) < 1e-9 for width in map(abs, bars(d.plot())))
