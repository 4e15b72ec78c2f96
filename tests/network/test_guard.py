"""The guard: what it lets pass, and the cause that it names for each of the ways to go wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn, optim

from pkverify.errors import InputError
from pkverify.network.guard import check_update, clip_factor
from pkverify.network.optimizers import StepSplit
from pkverify.network.record import record
from tests.network.training_cases import EXAMPLES, data, relu_net, seeded

X, Y, _ = data()
MEAN, SUM = nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum")
Step = Callable[[nn.Module, optim.Optimizer, Tensor], None]


def run(
    step: Step, *, model: nn.Module | None = None, steps: int = 3, guard: bool | int = True, **options: object
) -> None:
    net = model or seeded(relu_net)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    options = {"loss": MEAN} | options
    with record(net, optimizer, x=X, y=Y, guard=guard, **options) as path:  # type: ignore[arg-type]
        for number in range(steps):
            indices = torch.arange(6) + 6 * number
            path.batch(indices)
            step(net, optimizer, indices)


def ordinary(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor, *, loss: object = MEAN) -> None:
    optimizer.zero_grad()
    loss(net(X[indices]), Y[indices]).backward()  # type: ignore[operator]
    optimizer.step()


def everybody(net: nn.Module, optimizer: optim.Optimizer, _: Tensor) -> None:
    ordinary(net, optimizer, torch.arange(EXAMPLES))


def others(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, torch.where(indices == indices[2], 20, indices))


def the_batch_before(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, indices if indices[0] == 0 else indices - 6)


def not_zeroed(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    MEAN(net(X[indices]), Y[indices]).backward()
    optimizer.step()


def value_clipping(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    MEAN(net(X[indices]), Y[indices]).backward()
    nn.utils.clip_grad_value_(net.parameters(), 0.01)
    optimizer.step()


def norm_clipping(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    MEAN(net(X[indices]), Y[indices]).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    optimizer.step()


def clipping_each(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    MEAN(net(X[indices]), Y[indices]).backward()
    for p in net.parameters():
        nn.utils.clip_grad_norm_([p], 0.01)
    optimizer.step()


def penalty(power: int) -> Step:
    def step(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
        optimizer.zero_grad()
        extra = sum((p.abs() ** power).sum() for p in net.parameters())
        (MEAN(net(X[indices]), Y[indices]) + 0.01 * extra).backward()
        optimizer.step()

    return step


def half_penalty(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    first = next(iter(net.parameters()))
    (MEAN(net(X[indices]), Y[indices]) + 0.01 * (first**3).sum()).backward()
    optimizer.step()


def autocast(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    MEAN(net(X[indices]), Y[indices]).backward()
    for p in net.parameters():
        assert p.grad is not None
        p.grad = p.grad.bfloat16().to(p.dtype)
    optimizer.step()


def augmented(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    MEAN(net(-X[indices]), Y[indices]).backward()
    optimizer.step()


def infinite(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    optimizer.zero_grad()
    (MEAN(net(X[indices]), Y[indices]) * float("inf")).backward()
    optimizer.step()


def another_loss(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, indices, loss=nn.CrossEntropyLoss(label_smoothing=0.3))


def as_sum(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, indices, loss=SUM)


def closure(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = MEAN(net(X[indices]), Y[indices])
        loss.backward()
        return loss

    optimizer.step(evaluate)  # type: ignore[arg-type]


def pushed(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, indices)
    with torch.no_grad():
        next(iter(net.parameters())).mul_(0.999)


def regrouped(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
    ordinary(net, optimizer, indices)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1).double())]})


CAUSES: dict[str, tuple[Step, str]] = {
    "all examples": (everybody, "step 0: .*\n.*gradient of all examples"),
    "one example exchanged": (others, r"step 0: .*\n.*gradient of the examples 0, 1, 3, 4, 5, 20\n"),
    "the batch before": (the_batch_before, "step 1: .*\n.*gradient of the batch before"),
    "zero_grad forgotten": (not_zeroed, "step 1: .*\n.*the step before is still in it\n.*zero_grad"),
    "clipping by value": (value_clipping, r"step 0: .*\n.*clipped at 0\.01\n.*clip by norm"),
    "clipping by norm, not named": (norm_clipping, "step 0: .*\n.*clipping by norm.*\n.*clip_norm="),
    "clipping each tensor": (clipping_each, "step 0: .*\n.*each by a factor of its own"),
    "squares in the loss": (penalty(2), r"step 0: .*\n.*penalty on the squared norm .*\(0\.02\)\n.*weight_decay"),
    "absolute values in the loss": (penalty(1), r"step 0: .*\n.*penalty on the absolute values"),
    "a term of one tensor": (half_penalty, "step 0: .*\n.*only 0.weight differ"),
    "half precision": (autocast, "step 0: .*\n.*mixed precision"),
    "inputs turned round": (augmented, "step 0: .*\n.*augmented"),
    "another loss": (another_loss, "step 0: .*\n.*loss is not the one named"),
    "a sum": (as_sum, "step 0: .*\n.*is 6 times as large: the loss of the run is a sum"),
    "an infinite gradient": (infinite, "step 0: the gradient is not finite"),
    "a closure": (closure, "step 0: the optimiser is given a closure"),
    "weights changed by hand": (pushed, "step 1: the weights were changed between two steps"),
    "another group": (regrouped, "step 1: the optimiser's groups are not those of the start"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_fault_is_refused_with_its_cause(name: str) -> None:
    step, message = CAUSES[name]

    with pytest.raises(InputError, match=message):
        run(step)


def test_what_is_right_passes() -> None:
    run(ordinary)
    run(as_sum, loss=SUM)
    run(norm_clipping, clip_norm=0.1)


def test_a_factor_may_be_named() -> None:
    net = seeded(relu_net)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with record(net, optimizer, loss=MEAN, x=X, y=Y) as path:
        optimizer.zero_grad()
        for indices in (torch.arange(5), torch.arange(5, 12)):
            path.batch(indices, weight=0.5)
            (MEAN(net(X[indices]), Y[indices]) / 2).backward()
        optimizer.step()

    assert len(path.steps[0].batches) == 2


@pytest.mark.parametrize("guard", [True, 5])
def test_drawn_steps_find_a_lasting_fault(guard: bool | int) -> None:
    def late(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
        late.count += 1  # type: ignore[attr-defined]
        ordinary(net, optimizer, indices % EXAMPLES if late.count < 4 else torch.arange(3))  # type: ignore[attr-defined]

    late.count = 0  # type: ignore[attr-defined]
    net = seeded(relu_net)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    with (  # noqa: PT012 - the loop is what is tested
        pytest.raises(InputError, match="is not the one of the named examples"),
        record(net, optimizer, loss=MEAN, x=X, y=Y, guard=guard) as path,
    ):
        for number in range(20):
            indices = (torch.arange(6) + number) % EXAMPLES
            path.batch(indices)
            late(net, optimizer, indices)


def test_without_a_guard_nothing_is_looked_at() -> None:
    run(others, guard=False)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Dropout(0.1), r"model: 1 \(Dropout\) drops out in training mode"),
        (nn.BatchNorm1d(5), r"model: 1 \(BatchNorm1d\) is in training mode"),
        (nn.MultiheadAttention(5, 1, dropout=0.1), r"model: 1 \(MultiheadAttention\) drops out"),
    ],
)
def test_layers_that_are_random_or_see_the_batch_are_refused(layer: nn.Module, message: str) -> None:
    net = nn.Sequential(nn.Linear(5, 5), layer, nn.Linear(5, 3)).double()

    with pytest.raises(InputError, match=message):
        run(ordinary, model=net)


@pytest.mark.parametrize("layer", [nn.Dropout(0.0), nn.Dropout(0.5).eval(), nn.BatchNorm1d(5).eval()])
def test_quiet_layers_pass(layer: nn.Module) -> None:
    run(ordinary, model=nn.Sequential(nn.Linear(5, 5), layer, nn.Linear(5, 3)).double())


def test_dropout_that_is_switched_on_is_found() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5).eval(), nn.Linear(5, 3)).double()

    def step(net: nn.Module, optimizer: optim.Optimizer, indices: Tensor) -> None:
        ordinary(net, optimizer, indices)
        net.train()

    with pytest.raises(InputError, match=r"step 1: .*not the one of the named|drops out in training mode"):
        run(step, model=net)


def test_a_step_that_is_not_its_optimisers_is_refused() -> None:
    one = {"w": torch.ones(2).double()}
    split = {"w": StepSplit(from_gradient=0.1)}
    check_update(split, one, one, {}, {"w": torch.full((2,), 0.9, dtype=torch.float64)}, 4)

    with pytest.raises(InputError, match="step 4: w did not move as its optimiser says"):
        check_update(split, one, one, {}, {"w": torch.full((2,), 0.91, dtype=torch.float64)}, 4)


def test_clipping_is_that_of_torch() -> None:
    p = nn.Parameter(torch.zeros(2).double())
    p.grad = torch.tensor([3.0, 4.0]).double()
    nn.utils.clip_grad_norm_([p], 2.0)

    assert torch.allclose(p.grad, clip_factor(5.0, 2.0) * torch.tensor([3.0, 4.0]).double(), rtol=1e-15)
