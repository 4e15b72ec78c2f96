"""Path integrals of flows whose queries cross the kinks of ReLU, leaky ReLU and maximum pools."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.flow_decomposition import decompose_flow
from pkverify.network.flow_kinks import FlowKinks
from pkverify.network.gauss import gauss_rule
from pkverify.network.path_integrals import path_integrals
from pkverify.network.tangents import rates
from tests.network.flow_cases import normal, perceptron, squares


def pooled(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (nn.Linear(2, 8), nn.Unflatten(1, (1, 8)), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(4, 1))
        return nn.Sequential(*layers).double()


def crossing(kind: str) -> tuple[Trajectory, Tensor]:
    """A short flow on which some of 20 queries cross kinks, and no training example does."""
    seed = 4
    nets = {"relu": nn.ReLU, "leaky relu": nn.LeakyReLU}
    net = pooled(seed) if kind == "pool" else perceptron(2, 8, 1, seed=seed, activation=nets[kind])
    x, y = normal(3, 2, seed=seed + 10), 2 * normal(3, 1, seed=seed + 20)
    flow = gradient_flow(net, squares, x, y, horizon=0.2, rtol=1e-11, atol=1e-11)
    return flow, normal(20, 2, seed=seed + 30)


KINDS = ("relu", "leaky relu", "pool")


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_holds_across_the_kinks_of_queries(kind: str) -> None:
    flow, queries = crossing(kind)
    kinks = FlowKinks(flow, queries, None)
    assert sum(len(own) for step in range(flow.step_count) for own in kinks.of(step)[0]) >= 5

    found = path_integrals(flow, queries)

    assert found.unconverged == ()
    assert float((found.final_output - found.initial_output).abs().max()) > 0.1
    assert float(found.residual.abs().max()) <= 1e-10
    assert found.quadrature_error <= 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_cuts_the_residual_shows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, queries = crossing(kind)
    monkeypatch.setattr(FlowKinks, "of", lambda *_: ([[] for _ in queries], []))

    found = path_integrals(flow, queries)

    assert found.unconverged
    assert float(found.residual.abs().max()) > 1e-7


def cut_by_hand(flow: Trajectory, query: Tensor, step: int) -> list[float]:
    """Where a unit of a perceptron's hidden layer changes its sign for a query: a scan, then bisection."""

    def unit_signs(u: float) -> Tensor:
        w = flow.objective.params(flow.inside(step, [u])[0])
        return w["0.weight"] @ query + w["0.bias"] > 0

    found: list[float] = []
    for a, b in pairwise(k / 40 for k in range(41)):
        for unit in (unit_signs(a) != unit_signs(b)).nonzero().flatten().tolist():
            low, high = a, b
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (middle, high) if unit_signs(middle)[unit] == unit_signs(a)[unit] else (low, middle)
            found.append((low + high) / 2)
    return sorted(found)


def test_single_contributions_are_those_of_a_fine_rule_between_kinks_found_by_hand() -> None:
    flow, queries = crossing("relu")
    found = path_integrals(flow, queries)
    assert found.path_kernel is not None
    contributions, kernels = torch.zeros(20, 3, dtype=torch.float64), torch.zeros(20, 3, dtype=torch.float64)
    nodes, weights = gauss_rule(12)

    for step, (start, end) in enumerate(pairwise(flow.times)):
        for number, query in enumerate(queries):
            for a, b in pairwise([0.0, *cut_by_hand(flow, query, step), 1.0]):
                states = flow.inside(step, [a + (b - a) * u for u in nodes])
                there = rates(flow.objective, states, query[None])
                share = (end - start) * (b - a) * torch.tensor(weights, dtype=torch.float64)
                assert there.path_kernel is not None
                contributions[number] += torch.tensordot(share, there.contributions[:, 0, :, 0], dims=1)
                kernels[number] += torch.tensordot(share, there.path_kernel[:, 0, :, 0, 0], dims=1)

    assert float((found.contributions[..., 0] - contributions).abs().max()) <= 1e-11
    assert float((found.path_kernel[..., 0, 0] - kernels).abs().max()) <= 1e-11


def test_kinks_of_training_examples_cut_the_steps_of_all_queries() -> None:
    net = perceptron(2, 8, 1, seed=1, activation=nn.ReLU)
    flow = gradient_flow(net, squares, normal(3, 2, seed=11), 2 * normal(3, 1, seed=21), horizon=0.2, rtol=1e-11,
                         atol=1e-11)  # fmt: skip
    queries = normal(20, 2, seed=31)
    kinks = FlowKinks(flow, queries, None)
    crossed = [step for step in range(flow.step_count) if kinks.of(step)[1]]

    found = path_integrals(flow, queries)

    assert len(crossed) == 1
    assert flow.times[crossed[0] + 1] - flow.times[crossed[0]] < 1e-6  # the step control found it, too
    assert found.unconverged == ()
    assert float(found.residual.abs().max()) <= 1e-9


def test_parts_of_the_queries_and_other_outputs_are_cut_alike() -> None:
    flow, queries = crossing("relu")
    queries = queries[:8]
    whole = decompose_flow(flow, queries)
    parts = decompose_flow(flow, queries, memory=1)
    bent = path_integrals(flow, queries, output=lambda z: (z - 0.4).abs())

    assert torch.allclose(whole.contributions, parts.contributions, rtol=0, atol=1e-12)
    assert float(bent.residual.abs().max()) <= 1e-9


def test_a_smooth_model_has_no_kinks() -> None:
    flow = gradient_flow(perceptron(2, 3, 1), squares, normal(2, 2), normal(2, 1), horizon=0.1)
    assert not FlowKinks(flow, normal(2, 2), None).bends
