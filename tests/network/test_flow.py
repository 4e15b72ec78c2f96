from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from pkverify.errors import FlowError, InputError
from pkverify.network.device import resolve_device
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.objective import Objective
from pkverify.network.runge_kutta import TABLEAUS
from pkverify.network.stiffness import StiffnessWarning, largest_eigenvalue
from tests.network.flow_cases import cross_entropy, line, mean_squares, normal, path_problem, perceptron, squares

ONE = torch.ones(1, 1, dtype=torch.float64)


def path_flow(tolerance: float, order: int = 8, *, keep: str = "extension") -> Trajectory:
    net, x, y, _ = path_problem()
    return gradient_flow(net, mean_squares, x, y, horizon=5.0, rtol=tolerance, atol=tolerance, order=order, keep=keep)


# Against what is known.


@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-9, 1e-12])
def test_a_linear_flow_is_its_closed_form(order: int, tolerance: float) -> None:
    flow = gradient_flow(line(3.0), squares, 2 * ONE, ONE, horizon=0.7, rtol=tolerance, atol=tolerance, order=order)

    assert flow.final.item() == pytest.approx(0.5 + 2.5 * math.exp(-4 * 0.7), abs=10 * tolerance)
    assert flow.params_at(0.31).item() == pytest.approx(0.5 + 2.5 * math.exp(-4 * 0.31), abs=1e3 * tolerance)


def scipy_final(flow: Trajectory) -> np.ndarray:
    objective = flow.objective

    def slope(_time: float, state: np.ndarray) -> np.ndarray:
        return -objective.gradient(torch.from_numpy(state)).numpy()

    found = solve_ivp(slope, (0, flow.horizon), objective.initial.numpy(), method="DOP853", rtol=1e-12, atol=1e-13)
    return found.y[:, -1]


def test_scipy_agrees() -> None:
    flow = path_flow(1e-12)

    assert np.abs(flow.final.numpy() - scipy_final(flow)).max() < 1e-11


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_torchdiffeq_agrees(method: str) -> None:
    torchdiffeq = pytest.importorskip("torchdiffeq")
    flow = path_flow(1e-11)
    ends = torch.tensor([0.0, flow.horizon], dtype=torch.float64)
    # It interpolates its last state, too, to fourth order only, unless a step ends there.
    options = {"step_t": ends[1:]}
    found: Tensor = torchdiffeq.odeint(
        lambda _t, w: -flow.objective.gradient(w),
        flow.initial,
        ends,
        rtol=1e-11,
        atol=1e-12,
        method=method,
        options=options,
    )

    assert (found[-1] - flow.final).abs().max() < 1e-9


@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize("tolerance", [1e-7, 1e-9, 1e-11])
def test_outputs_are_within_ten_tolerances(order: int, tolerance: float) -> None:
    reference, flow = path_flow(1e-14), path_flow(tolerance, order)
    _, _, _, queries = path_problem()
    gap = flow.objective.outputs(flow.final, queries) - reference.objective.outputs(reference.final, queries)

    assert gap.abs().max() < 10 * tolerance


@pytest.mark.parametrize("order", [5, 8])
def test_work_grows_as_the_order_says(order: int) -> None:
    tolerances = [1e-6, 1e-8, 1e-10, 1e-12]
    steps = [path_flow(tolerance, order).step_count for tolerance in tolerances]
    slope = -float(np.polyfit(np.log(tolerances), np.log(steps), 1)[0])

    assert slope == pytest.approx(1 / order, rel=0.25)


# Times, states, the model.


def test_steps_end_exactly_at_the_asked_times() -> None:
    asked = [0.1, 1 / 3, 2.0, 0.100001]
    net, x, y, _ = path_problem()
    flow = gradient_flow(net, mean_squares, x, y, horizon=math.pi, times=asked)

    assert set(asked) <= set(flow.times)
    assert flow.horizon == math.pi
    assert all(a < b for a, b in pairwise(flow.times))
    for time in asked:
        assert torch.equal(flow.params_at(time), flow.states[flow.times.index(time)])
        alone = gradient_flow(net, mean_squares, x, y, horizon=time, rtol=1e-12, atol=1e-12)
        assert torch.allclose(flow.params_at(time), alone.final, atol=1e-8, rtol=0)


def test_asking_for_a_time_costs_few_steps() -> None:
    net, x, y, _ = path_problem()
    plain = gradient_flow(net, mean_squares, x, y, horizon=5.0)
    asked = gradient_flow(net, mean_squares, x, y, horizon=5.0, times=[0.5, 2.5])

    assert asked.step_count <= plain.step_count + 5


def test_weights_of_the_model_are_left_alone() -> None:
    net, x, y, _ = path_problem()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    flow = gradient_flow(net, mean_squares, x, y, horizon=1.0)

    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    net.load_state_dict(flow.state_dict_at(1.0))
    assert torch.allclose(net(x), flow.objective.outputs(flow.final), atol=1e-15)


def test_only_trainable_parameters_move() -> None:
    net, x, y, _ = path_problem()
    net[0].requires_grad_(requires_grad=False)
    flow = gradient_flow(net, mean_squares, x, y, horizon=1.0)

    assert set(flow.state_dict_at(1.0)) == {name for name, p in net.named_parameters() if p.requires_grad}
    assert flow.initial.numel() == sum(p.numel() for p in net.parameters() if p.requires_grad)


def test_tied_weights_move_together() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = line(0.5)
            self.second = self.first

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    flow = gradient_flow(Tied(), squares, ONE, ONE, horizon=0.5, rtol=1e-12, atol=1e-12)
    # w' = 2 w (1 - w^2), so w^2 obeys a logistic equation.
    expected = 1 / (1 + 3 * math.exp(-4 * 0.5))

    assert flow.final.numel() == 1
    assert flow.final.item() ** 2 == pytest.approx(expected, abs=1e-11)


def test_the_loss_falls_and_the_gradient_drives_the_path() -> None:
    flow = path_flow(1e-10)
    losses = [flow.objective.loss(state) for state in flow.states]

    assert all(b < a for a, b in pairwise(losses))
    for time in (0.2, 1.7, 4.4):
        gradient = flow.objective.gradient(flow.params_at(time))
        assert torch.allclose(flow.slope_at(time), -gradient, atol=1e-6)


def test_states_alone_give_the_same_path() -> None:
    whole, lean = path_flow(1e-9), path_flow(1e-9, keep="states")

    assert lean.rows == ()
    assert lean.statistics.evaluations < whole.statistics.evaluations
    for time in (0.05, 1.3, 4.99):
        assert torch.allclose(whole.params_at(time), lean.params_at(time), atol=1e-15, rtol=0)


def test_a_regularizer_belongs_to_the_objective() -> None:
    flow = gradient_flow(
        line(1.0), squares, ONE, ONE, horizon=1.0, rtol=1e-12, atol=1e-12,
        regularizer=lambda params: params["weight"].square().sum() / 2,
    )  # fmt: skip

    assert flow.final.item() == pytest.approx(0.5 + 0.5 * math.exp(-2), abs=1e-11)


def test_a_stationary_start_stays() -> None:
    flow = gradient_flow(line(1.0), squares, ONE, ONE, horizon=7.0)

    assert flow.step_count == 1
    assert flow.final.item() == 1.0


def test_float32_reaches_its_floor() -> None:
    net, x, y, _ = path_problem()
    flow = gradient_flow(net, mean_squares, x, y, horizon=5.0, dtype=torch.float32, rtol=1e-5, atol=1e-6)

    assert flow.final.dtype == torch.float32
    assert torch.allclose(flow.final.double(), path_flow(1e-12).final, atol=1e-4)


def test_class_targets_stay_integers() -> None:
    net, x = perceptron(3, 4, 2), normal(5, 3)
    flow = gradient_flow(net, cross_entropy, x, torch.tensor([0, 1, 1, 0, 1]), horizon=0.5)

    assert flow.objective.loss(flow.final) < flow.objective.loss(flow.initial)


# Stiffness.


def test_the_largest_eigenvalue_is_that_of_the_hessian() -> None:
    net, x, y, _ = path_problem()
    objective = Objective(net, mean_squares, x, y, torch.float64, torch.device("cpu"))
    state = objective.initial

    def loss(flat: Tensor) -> Tensor:
        return mean_squares(objective.call(flat, x), y)

    dense: Tensor = torch.func.jacrev(torch.func.grad(loss))(state)
    found = largest_eigenvalue(lambda v: objective.hessian_product(state, v), state)

    assert torch.allclose(objective.hessian_product(state, state), dense @ state, atol=1e-12)
    assert found.value == pytest.approx(torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-6)


def test_few_products_are_enough_for_few_eigenvalues() -> None:
    diagonal = torch.cat([torch.tensor([7.0, -9.0]), torch.zeros(50)]).double()
    found = largest_eigenvalue(lambda v: diagonal * v, diagonal)

    assert found.value == pytest.approx(7.0, rel=1e-12)
    assert found.products == 3


def test_a_stiff_flow_is_announced_with_its_steps() -> None:
    x, y = torch.tensor([[30.0]], dtype=torch.float64), ONE
    with pytest.warns(StiffnessWarning, match=r"eigenvalue .* is 900, .* about 1010 steps of order 5"):
        flow = gradient_flow(line(1.0), squares, x, y, horizon=3.7, rtol=1e-6, atol=1e-8, order=5)

    assert flow.statistics.predicted_steps == 1010
    assert 0.4 < (flow.statistics.accepted + flow.statistics.rejected) / 1010 < 2.5


def test_a_mild_flow_is_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow = path_flow(1e-9)

    assert flow.statistics.predicted_steps is not None
    assert flow.statistics.predicted_steps < 100


# Refusals.


def grows(outputs: Tensor, _targets: Tensor | None) -> Tensor:
    return -(outputs**3).sum() / 3


def test_a_flow_that_ends_names_the_hypothesis_and_the_time() -> None:
    with pytest.raises(FlowError, match="t = 1") as caught:
        gradient_flow(line(1.0), grows, ONE, None, horizon=2.0, rtol=1e-10, atol=1e-10)

    assert caught.value.hypothesis == "H2"
    assert caught.value.time == pytest.approx(1.0, abs=1e-3)


def test_a_budget_that_runs_out_says_nothing_of_the_flow() -> None:
    net, x, y, _ = path_problem()
    with pytest.raises(FlowError, match="5 steps were not enough") as caught:
        gradient_flow(net, mean_squares, x, y, horizon=50.0, max_steps=5, estimate_stiffness=False)

    assert caught.value.hypothesis == ""
    assert 0 < caught.value.time < 50


def not_finite(outputs: Tensor, _targets: Tensor | None) -> Tensor:
    return torch.log(outputs - 5).sum()


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=0.0), "horizon 0.0"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=math.inf), "horizon inf"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, atol=0.0), "rtol .*, atol 0.0"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, order=4), "order 4"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, times=[2.0]), "times reach"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, times=[-0.5, 0.5]), "times reach"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, times=[0.5, 0.5 + 1e-16 * 8]), "too close"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, keep="all"), "keep 'all'"),
    (lambda: gradient_flow(line(1.0), squares, ONE, ONE, horizon=1.0, device="gpu"), "device 'gpu'"),
    (lambda: gradient_flow(line(1.0), lambda o, _t: o, ONE, horizon=1.0), r"shape \(1, 1\)"),
    (lambda: gradient_flow(nn.Identity(), squares, ONE, ONE, horizon=1.0), "no parameter"),
    (lambda: gradient_flow(nn.Sequential(line(1.0), nn.Flatten(0)), lambda o, _t: o.sum(), torch.ones(2, 3, 1),
                           horizon=1.0),
     "2 inputs into an output of shape"),
    (lambda: gradient_flow(line(1.0), not_finite, ONE, horizon=1.0), "not finite"),
    (lambda: gradient_flow(nn.Sequential(perceptron(1, 50), nn.Dropout()), mean_squares, ONE,
                           torch.ones(1, 50).double(), horizon=1.0), "two evaluations"),
    (lambda: gradient_flow(nn.Sequential(perceptron(1, 2), nn.BatchNorm1d(2).double()), mean_squares, normal(4, 1),
                           normal(4, 2), horizon=1.0), "changes its buffer"),
    (lambda: path_flow(1e-6).params_at(5.1), "time 5.1"),
    (lambda: path_flow(1e-6).slope_at(-0.1), "time -0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[str(k) for k in range(len(REFUSED))])
def test_what_cannot_be_followed_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_devices_are_resolved_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="finds 0 CUDA"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="finds 2 CUDA"):
        resolve_device("cuda:2")


# The tests above must be able to fail: an integrator with a wrong method, or one that trusts every step.


def test_a_wrong_coefficient_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = path_flow(1e-12)
    row = list(TABLEAUS[8].stages[12])
    row[5] *= 1 + 1e-6
    wrong = replace(TABLEAUS[8], stages=(*TABLEAUS[8].stages[:12], tuple(row)))
    monkeypatch.setitem(TABLEAUS, 8, wrong)

    assert (path_flow(1e-12).final - reference.final).abs().max() > 1e-9


@pytest.mark.gpu
def test_a_flow_on_cuda_is_the_same() -> None:
    net, x, y, _ = path_problem()
    flow = gradient_flow(net, mean_squares, x, y, horizon=5.0, rtol=1e-11, atol=1e-11, device="cuda")

    assert flow.final.is_cuda
    assert torch.allclose(flow.final.cpu(), path_flow(1e-11).final, atol=1e-9)
