from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.decompose import decompose
from pkverify.network.descent import decompose_descent, descend
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.gauss import gauss_rule
from pkverify.network.objective import Objective
from pkverify.network.path_integrals import path_integrals
from pkverify.network.tangents import derivatives_along, example_gradients, query_jacobians, rates
from tests.network.flow_cases import cross_entropy, line, mean_squares, normal, path_problem, perceptron, squares

ONE = torch.ones(1, 1, dtype=torch.float64)


def path_flow(tolerance: float, order: int = 8) -> Trajectory:
    net, x, y, _ = path_problem()
    return gradient_flow(net, mean_squares, x, y, horizon=5.0, rtol=tolerance, atol=tolerance, order=order)


def queries() -> Tensor:
    return path_problem()[3]


def classes_flow() -> Trajectory:
    net, x = perceptron(3, 6, 4), normal(7, 3)
    targets = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    return gradient_flow(net, cross_entropy, x, targets, horizon=0.5, rtol=1e-11, atol=1e-11)


# The integrands, against gradients taken one by one.


def brute_force(objective: Objective, state: Tensor, x: Tensor) -> Tensor:
    """Jacobians [m, C, d] by one backward pass for each."""
    rows: list[Tensor] = []
    for one in x:
        for c in range(objective.width):
            leaf = state.clone().requires_grad_()
            (slope,) = torch.autograd.grad(objective.call(leaf, one[None])[0, c], leaf)
            rows.append(slope)
    return torch.stack(rows).reshape(len(x), objective.width, -1)


def test_integrands_are_products_of_gradients() -> None:
    flow, x = classes_flow(), normal(2, 3, seed=9)
    objective = flow.objective
    states = torch.stack([flow.params_at(0.1), flow.params_at(0.4)])
    found = rates(objective, states, x)
    assert found.path_kernel is not None
    for n, state in enumerate(states):
        mine, theirs = brute_force(objective, state, x), brute_force(objective, state, objective.x)
        probabilities = torch.softmax(objective.outputs(state), 1)
        slopes = (
            probabilities - torch.nn.functional.one_hot(objective.y, 4) if objective.y is not None else probabilities
        )
        kernel = torch.einsum("qcd,med->qmce", mine, theirs)

        assert torch.allclose(query_jacobians(objective, state[None], x)[0], mine, atol=1e-13)
        assert torch.allclose(found.path_kernel[n], kernel, atol=1e-13)
        assert torch.allclose(found.loss_derivatives[n], slopes, atol=1e-13)
        assert torch.allclose(found.contributions[n], -torch.einsum("qmce,me->qmc", kernel, slopes), atol=1e-13)
        assert torch.allclose(found.self_kernel[n], mine.square().sum(2), atol=1e-13)
        seeded = example_gradients(objective, state, slopes)
        assert torch.allclose(seeded, torch.einsum("med,me->md", theirs, slopes), atol=1e-13)
        assert torch.allclose(seeded.sum(0), objective.gradient(state), atol=1e-12)


def test_memory_does_not_change_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = classes_flow()
    whole = path_integrals(flow, normal(2, 3, seed=9))
    monkeypatch.setattr("pkverify.network.tangents.MEMORY", 2000)
    pieces = path_integrals(flow, normal(2, 3, seed=9))

    assert whole.path_kernel is not None
    assert pieces.path_kernel is not None
    assert torch.allclose(whole.path_kernel, pieces.path_kernel, atol=1e-12, rtol=1e-12)
    assert torch.allclose(whole.contributions, pieces.contributions, atol=1e-12, rtol=1e-12)


# Path kernels in closed form.


@pytest.mark.parametrize("order", [5, 8])
def test_a_linear_model_has_the_product_times_the_horizon(order: int) -> None:
    flow = gradient_flow(line(0.0), squares, 2 * ONE, ONE, horizon=3.0, order=order, rtol=1e-12, atol=1e-12)
    found = path_integrals(flow, torch.tensor([[1.0], [-3.0]], dtype=torch.float64))
    assert found.path_kernel is not None

    assert found.path_kernel.flatten().tolist() == pytest.approx([6.0, -18.0], abs=1e-10)
    assert found.self_kernel.flatten().tolist() == pytest.approx([3.0, 27.0], abs=1e-10)
    expected = 0.5 * (1 - math.exp(-12))
    assert found.contributions.flatten().tolist() == pytest.approx([expected, -3 * expected], abs=1e-11)


def test_the_single_example_law_holds_for_any_network() -> None:
    net, x, y, _ = path_problem()
    flow = gradient_flow(net, squares, x[:1], y[:1], horizon=0.3, rtol=1e-12, atol=1e-12)
    found = path_integrals(flow, x[:1])
    assert found.path_kernel is not None
    residuals = [abs(float(y[0] - value)) for value in (found.initial_output, found.final_output)]

    assert found.path_kernel.item() == pytest.approx(math.log(residuals[0] / residuals[1]), abs=1e-9)


def test_a_regularizer_has_its_term() -> None:
    flow = gradient_flow(
        line(2.0), squares, ONE, ONE, horizon=1.0, rtol=1e-12, atol=1e-12,
        regularizer=lambda params: params["weight"].square().sum() / 2,
    )  # fmt: skip
    found = path_integrals(flow, 3 * ONE)
    # w = 1/2 + 3/2 exp(-2t); the penalty's gradient is w.
    integral = 0.5 + 0.75 * (1 - math.exp(-2))

    assert found.regularizer_term.item() == pytest.approx(-3 * integral, abs=1e-11)
    assert found.residual.abs().item() < 1e-11


@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize("tolerance", [1e-7, 1e-9, 1e-11])
def test_the_identity_closes(order: int, tolerance: float) -> None:
    found = path_integrals(path_flow(tolerance, order), queries())
    size = float(found.contributions.abs().sum(1).max())

    assert found.residual.abs().max() < 10 * tolerance * max(1.0, size)
    assert found.quadrature_error < tolerance
    assert found.unconverged == ()
    assert (found.final_output - found.initial_output).abs().max() > 0.1


def test_another_output_is_decomposed_as_well() -> None:
    flow, x = classes_flow(), normal(2, 3, seed=9)
    found = path_integrals(flow, x, output=lambda z: torch.log_softmax(z, 1))
    expected = torch.log_softmax(flow.objective.outputs(flow.final, x), 1)

    assert torch.allclose(found.final_output, expected, atol=1e-14)
    assert found.residual.abs().max() < 1e-9


def test_without_path_kernels_the_contributions_are_the_same() -> None:
    flow = path_flow(1e-9)
    whole, lean = path_integrals(flow, queries()), path_integrals(flow, queries(), path_kernel=False)

    assert lean.path_kernel is None
    assert torch.allclose(whole.contributions, lean.contributions, atol=1e-12)


def test_the_quadrature_error_is_honest() -> None:
    flow = path_flow(1e-12)
    fine = path_integrals(flow, queries(), nodes=9)
    for nodes in (1, 2, 3):
        coarse = path_integrals(flow, queries(), nodes=nodes, tolerance=1e3)  # takes the first pair of rules
        assert coarse.nodes == (2 * nodes + 2) * flow.step_count
        off = float((coarse.contributions - fine.contributions).abs().max()) / max(
            1.0, float(fine.contributions.abs().max())
        )
        assert off <= coarse.quadrature_error + 1e-13


def test_nodes_are_added_where_they_are_needed() -> None:
    found = path_integrals(path_flow(1e-12), queries(), nodes=1)
    assert found.unconverged == ()
    assert found.residual.abs().max() < 1e-10


@pytest.mark.parametrize(("options", "message"), [({"nodes": 0}, "nodes 0"), ({"nodes": 11}, "nodes 11"),
                                                  ({"tolerance": 0.0}, "tolerance 0.0")])  # fmt: skip
def test_bad_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        path_integrals(path_flow(1e-6), queries(), **options)  # pyright: ignore[reportArgumentType]


# Gradient descent.


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.45])
def test_descent_is_split_exactly_at_any_rate(rate: float) -> None:
    net, x, y, q = path_problem()
    objective = Objective(net, mean_squares, x, y, torch.float64, torch.device("cpu"))
    states = descend(objective, rate, 12)
    found = decompose_descent(objective, states, rate, q, nodes=24)
    moved = (found.final_output - found.initial_output).abs().max()

    assert found.residual.abs().max() < 1e-12 * max(1.0, float(found.contributions.abs().sum(1).max()))
    assert found.left_residual.abs().max() > 1e-4 * moved


def test_descent_with_a_penalty() -> None:
    net, x, y, q = path_problem()
    objective = Objective(
        net, mean_squares, x, y, torch.float64, torch.device("cpu"),
        lambda params: 0.1 * torch.stack([p.square().sum() for p in params.values()]).sum(),
    )  # fmt: skip
    found = decompose_descent(objective, descend(objective, 0.3, 10), 0.3, q, nodes=12)

    assert found.residual.abs().max() < 1e-12
    assert found.regularizer_term.abs().max() > 1e-3


def test_descent_needs_a_step() -> None:
    net, x, y, _ = path_problem()
    with pytest.raises(InputError, match="steps 0"):
        descend(Objective(net, mean_squares, x, y, torch.float64, torch.device("cpu")), 0.1, 0)


# Sabotage: each of these must show in the residual, which nothing repairs.


def residual_of(flow: Trajectory) -> float:
    return float(path_integrals(flow, queries()).residual.abs().max())


def test_missing_node_weights_show(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = path_flow(1e-9)
    # By its place among the modules: in the package the function has the name of its module.
    module = sys.modules[path_integrals.__module__]
    monkeypatch.setattr(module, "gauss_rule", lambda n: (gauss_rule(n)[0], (1.0 / n,) * n))

    assert residual_of(flow) > 1e-4


def test_kernels_of_the_last_weights_show() -> None:
    flow = path_flow(1e-9)
    still = replace(
        flow, rows=tuple(torch.zeros_like(rows) for rows in flow.rows), states=(flow.final,) * len(flow.states)
    )
    found = path_integrals(still, queries())
    first = flow.objective.outputs(flow.initial, queries())
    moved = found.final_output - first

    assert (moved - found.contributions.sum(1)).abs().max() > 0.05


def test_a_path_of_another_loss_shows() -> None:
    flow = path_flow(1e-9)
    net, x, y, _ = path_problem()
    other = Objective(net, mean_squares, x, y + 0.1, torch.float64, torch.device("cpu"))

    assert residual_of(replace(flow, objective=other)) > 1e-2


def test_a_dropped_example_shows() -> None:
    flow = path_flow(1e-9)
    found = path_integrals(flow, queries())
    left_out = found.initial_output + found.contributions[:, 1:].sum(1) - found.final_output

    assert left_out.abs().max() > 1e-3


def test_a_step_that_is_left_out_shows() -> None:
    flow = path_flow(1e-9)
    cut = replace(
        flow, times=(*flow.times[:4], *flow.times[5:]), states=(*flow.states[:4], *flow.states[5:]),
        rows=(*flow.rows[:4], *flow.rows[5:]),
    )  # fmt: skip

    assert residual_of(cut) > 1e-4


def test_derivatives_along_are_linear_in_the_direction() -> None:
    flow = classes_flow()
    state, direction = flow.initial[None], normal(1, 1, flow.initial.numel())
    one = derivatives_along(flow.objective, state, direction, flow.objective.x)
    both = derivatives_along(flow.objective, state, torch.cat([direction, 3 * direction], 1), flow.objective.x)

    assert torch.allclose(both[:, 1], 3 * one[:, 0], atol=1e-12)
    assert torch.allclose(both[:, 0], one[:, 0], atol=1e-13)


# The record.


def test_the_record_is_that_of_the_route() -> None:
    flow, x = classes_flow(), normal(3, 3, seed=9)
    integrals, found = path_integrals(flow, x), decompose(flow, x, kernels=True)

    assert found.contributions.shape == (3, 7, 4)
    assert torch.equal(found.residual, integrals.residual)
    assert torch.equal(found.initial_momentum_term, torch.zeros(3, 4))
    assert found.path_kernel is not None
    assert found.weights is not None
    assert found.weights_absent is not None
    assert not found.weights_absent.all()
    rebuilt = torch.einsum("qmce,qme->qmc", found.path_kernel, found.weights)
    kept = ~found.weights_absent
    assert torch.allclose(rebuilt[kept], found.contributions[kept], atol=1e-8)
    assert found.relative_residual < 1e-9
    assert len(found.nodes) == flow.step_count


def test_weights_are_numbers_for_one_output_and_absent_where_the_kernel_vanishes() -> None:
    x, y = torch.eye(2, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    flow = gradient_flow(nn.Linear(2, 1, bias=False).double(), squares, x, y, horizon=1.0)
    found = decompose(flow, torch.tensor([[3.0, 0.0]]).double(), kernels=True)
    assert found.path_kernel is not None
    assert found.weights is not None
    assert found.weights_absent is not None

    assert found.path_kernel.tolist() == [pytest.approx([3.0, 0.0], abs=1e-8)]
    assert found.weights_absent.tolist() == [[False, True]]
    assert found.weights[0, 0].item() == pytest.approx(found.contributions[0, 0, 0].item() / 3, abs=1e-8)


def test_the_record_does_not_depend_on_the_memory() -> None:
    flow, x = classes_flow(), normal(3, 3, seed=9)
    whole, parts = decompose(flow, x, kernels=True), decompose(flow, x, kernels=True, memory=1)
    assert whole.path_kernel is not None
    assert parts.path_kernel is not None

    assert torch.allclose(whole.contributions, parts.contributions, atol=1e-13)
    assert torch.allclose(whole.path_kernel, parts.path_kernel, atol=1e-12)


def test_queries_of_a_flow_are_one_tensor() -> None:
    with pytest.raises(InputError, match="x_query: dict"):
        decompose(classes_flow(), {"x": normal(3, 3)})
