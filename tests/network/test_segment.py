"""Kinks on a segment, found to the last bit; and Gauss rules that know whether they resolve a function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn, optim

from pkverify.network.decompose import decompose
from pkverify.network.gauss import LEVELS, gauss_rule, tails
from pkverify.network.kinks import Line, decisions
from pkverify.network.record import record
from pkverify.network.training import ModelFunction


class Shifted(nn.Module):
    """``bend(x + w)`` with one weight, so that the kinks of a query can be told by hand."""

    def __init__(self, bend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        return self.bend(x + self.w)


def kinks(bend: Callable[[Tensor], Tensor], x: list[list[float]], cells: int = 16) -> list[list[float]]:
    """Of each query, while the weight goes from 0 to 2."""
    function = ModelFunction(Shifted(bend), ["w"])
    start, change = torch.zeros(1, dtype=torch.float64), torch.full((1,), 2.0, dtype=torch.float64)
    rows = torch.tensor(x, dtype=torch.float64)
    return Line(function, start, change, rows).kinks(torch.arange(len(rows)), cells, 1000)


def pooled(x: Tensor) -> Tensor:
    """The largest of ``x``, ``2 x + 1/2`` shifted and a constant: which of them it is changes twice."""
    parts = torch.stack([x[:, 0] * 0, x[:, 0] - 0.5, 3 * x[:, 0] - 3.0], 1)
    return F.max_pool1d(parts[:, None], 3)[:, 0]


BENDS: dict[str, tuple[Callable[[Tensor], Tensor], list[list[float]], list[list[float]]]] = {
    "relu": (torch.relu, [[-0.5], [-3.0], [0.1]], [[0.25], [], []]),
    "a method": (lambda z: z.relu(), [[-0.5]], [[0.25]]),
    "two units": (torch.relu, [[-0.5, -1.5]], [[0.25, 0.75]]),
    "leaky relu": (lambda z: F.leaky_relu(z, 0.1), [[-1.0]], [[0.5]]),
    "relu6": (F.relu6, [[5.0]], [[0.5]]),
    "elu": (F.elu, [[-1.2]], [[0.6]]),
    "hardtanh": (F.hardtanh, [[-2.0]], [[0.5]]),
    "hardtanh, its own bounds": (lambda z: F.hardtanh(z, -0.5, 0.25), [[-1.0]], [[0.25, 0.625]]),
    "clamp": (lambda z: z.clamp(min=0.5, max=1.5), [[0.0]], [[0.25, 0.75]]),
    "clamp from below": (lambda z: torch.clamp_min(z, 1.0), [[0.0]], [[0.5]]),
    "abs": (torch.abs, [[-1.0]], [[0.5]]),
    "hardswish": (F.hardswish, [[2.0]], [[0.5]]),
    "softshrink": (F.softshrink, [[-1.0]], [[0.25, 0.75]]),
    "threshold": (lambda z: F.threshold(z, 0.5, 0.0), [[0.0]], [[0.25]]),
    "maximum": (lambda z: torch.maximum(z, 1 - z), [[0.0]], [[0.25]]),
    "max of two": (lambda z: torch.max(z, 1 - z), [[0.0]], [[0.25]]),
    "amax": (lambda z: torch.cat([z, 1 - z], 1).amax(1, keepdim=True), [[0.0]], [[0.25]]),
    "a pool": (pooled, [[0.0]], [[0.25, 0.625]]),
    "tanh": (torch.tanh, [[-1.0]], [[]]),
}


@pytest.mark.parametrize("name", BENDS)
def test_kinks_are_where_they_are(name: str) -> None:
    bend, x, expected = BENDS[name]

    found = kinks(bend, x)

    assert [len(positions) for positions in found] == [len(positions) for positions in expected]
    for positions, right in zip(found, expected, strict=True):
        assert positions == pytest.approx(right, abs=1e-15)


def test_a_pool_may_pass_through_a_third_entry_in_one_cell() -> None:
    assert kinks(pooled, [[0.0]], cells=1)[0] == pytest.approx([0.25, 0.625], abs=1e-15)


@pytest.mark.parametrize("half", [0.1, 1e-2, 1e-3, 1e-5])
def test_a_unit_that_comes_back_inside_one_cell_is_found(half: float) -> None:
    # Between these kinks the integral along the step is that of the continued function: no residual would show them.
    found = kinks(lambda z: torch.relu((z - 1.11).square() - half**2), [[0.0]])[0]

    assert found == pytest.approx([(1.11 - half) / 2, (1.11 + half) / 2], abs=1e-14)


def test_a_smooth_model_decides_nothing() -> None:
    assert decisions(ModelFunction(nn.Tanh(), []), {}, torch.ones(1, 3)).numel() == 0


def test_a_kink_in_closed_form() -> None:
    # f = relu(w + x), one example (0, 2), w = 1/2, learning rate 3/4: w goes 1/2, 13/8, 61/32, 253/128, and at x = -1
    # the output ends at 125/128. The gradient at left ends misses the kink of the first step, and gives 45/128.
    model = Shifted(torch.relu)
    with torch.no_grad():
        model.w.fill_(0.5)
    x, y = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.75)

    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        return ((outputs - target) ** 2).sum() / 2

    with record(model, optimizer, loss=loss, x=x, y=y) as path:
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    found = decompose(path, torch.full((1, 1), -1.0, dtype=torch.float64))

    assert float(found.initial_output) == 0.0
    assert float(found.final_output) == 125 / 128
    assert float(found.contributions) == pytest.approx(125 / 128, abs=1e-15)


def test_a_step_like_jump_that_no_rule_resolves_is_closed_in_on() -> None:
    model = Shifted(lambda z: torch.where(z > 1.0, 2 * z - 1, z))  # a kink that no function in the table makes
    x = torch.tensor([[0.03]], dtype=torch.float64)
    optimizer = optim.SGD(model.parameters(), lr=1.7)
    with record(model, optimizer, loss=lambda o: -o.sum(), x=x) as path:
        (-model(x).sum()).backward()
        optimizer.step()

    found = decompose(path, x)

    assert found.unconverged == ()
    assert found.relative_residual <= 1e-9
    assert max(found.nodes) > 32


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exponential": torch.exp,
    "pole near by": lambda u: 1 / (1 + 9 * u * u),
    "odd about the middle": lambda u: torch.sin(9 * (u - 0.5)) + u,
    "steep": lambda u: torch.tanh(8 * u - 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_estimate_is_no_smaller_than_the_error(name: str) -> None:
    function = FUNCTIONS[name]
    places, shares = (torch.tensor(v, dtype=torch.float64) for v in gauss_rule(200))
    exact = (function(places) * shares).sum()
    for count in LEVELS:
        nodes, weights = (torch.tensor(v, dtype=torch.float64) for v in gauss_rule(count))
        error = abs(float((function(nodes) * weights).sum() - exact))
        _, estimate = tails(function(nodes))

        assert error <= 10 * float(estimate) + 1e-14


@pytest.mark.parametrize("count", LEVELS)
def test_a_jump_is_never_resolved(count: int) -> None:
    nodes = torch.tensor(gauss_rule(count)[0], dtype=torch.float64)

    assert float(tails((nodes > 0.4).double())[1]) > 1e-3


@pytest.mark.parametrize("count", LEVELS)
def test_rules_are_exact_below_their_degree(count: int) -> None:
    nodes, weights = gauss_rule(count)
    degree = 2 * count - 1

    assert sum(w * u**degree for u, w in zip(nodes, weights, strict=True)) == pytest.approx(1 / (degree + 1), rel=1e-13)
