"""Recording from inside any loop: kinds of batches, accumulation, what is refused at the door."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

from pkverify.errors import InputError
from pkverify.network.decompose import decompose
from pkverify.network.record import record
from tests.network.training_cases import EXAMPLES, OPTIMIZERS, data, mlp, relu_net, seeded, train

X, Y, QUERY = data()
LOSS = nn.CrossEntropyLoss()


def trained(model: nn.Module, call: Any, **options: Any) -> Any:
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    with record(model, optimizer, loss=LOSS, **options) as path:
        for start in (0, 8, 16):
            indices = torch.arange(start, min(start + 8, EXAMPLES))
            path.batch(indices)
            optimizer.zero_grad()
            LOSS(call(model, indices), Y[indices]).backward()
            optimizer.step()
    return path


def test_the_run_is_not_changed() -> None:
    recorded = train(OPTIMIZERS["adamw"])
    model = seeded(mlp)
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    for indices in recorded.batches:
        optimizer.zero_grad()
        LOSS(model(X[indices]), Y[indices]).backward()
        optimizer.step()

    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), recorded.model.parameters(), strict=True))


def test_the_model_is_not_touched_by_the_split() -> None:
    run = train(OPTIMIZERS["adam"])
    before = run.now().clone()
    decompose(run.path, run.query)
    decompose(run.path, run.query)

    assert torch.equal(run.now(), before)
    assert all(p.requires_grad for p in run.model.parameters())


def test_everybody_when_nobody_is_named() -> None:
    model = seeded(mlp)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    with record(model, optimizer, loss=LOSS, x=X, y=Y) as path:
        for _ in range(2):
            optimizer.zero_grad()
            LOSS(model(X), Y).backward()
            optimizer.step()

    assert path.steps[0].batches[0].indices is None
    assert decompose(path, QUERY).relative_residual <= 1e-11


def test_accumulated_passes_and_repeated_examples() -> None:
    model = seeded(mlp)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    twice = torch.tensor([4, 4, 4, 7])
    with record(model, optimizer, loss=LOSS, x=X, y=Y) as path:
        for _ in range(2):
            optimizer.zero_grad()
            for indices in (twice, torch.arange(5, 9)):
                path.batch(indices.tolist(), weight=0.5)
                (LOSS(model(X[indices]), Y[indices]) * 0.5).backward()
            optimizer.step()

    found = decompose(path, QUERY)

    assert found.relative_residual <= 1e-11
    present = found.contributions.abs().sum((0, 2)) > 0
    assert present.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_a_mask_and_negative_positions_name_examples_too() -> None:
    path = trained(seeded(mlp), lambda model, i: model(X[i]), x=X, y=Y)
    path.batch(torch.arange(EXAMPLES) < 3)
    path.batch([-1])

    masked, last = path.take_pending()
    assert masked.indices.tolist() == [0, 1, 2]
    assert last.indices.tolist() == [EXAMPLES - 1]


class TwoInputs(nn.Module):
    """A model of two inputs that returns a record, as models of language do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, features: Tensor, scale: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.layer(features.tanh()) * scale[:, None])


def test_tuples_dicts_and_loaders_are_the_same() -> None:
    scale = torch.linspace(0.5, 2, EXAMPLES).double()
    query = (QUERY, torch.ones(3).double())
    logits = lambda returned: returned.logits  # noqa: E731

    def collate(rows: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
        features, scales, labels = zip(*rows, strict=True)
        return {"features": torch.stack(features), "scale": torch.stack(scales), "labels": torch.stack(labels)}

    loader = DataLoader(TensorDataset(X, scale, Y), batch_size=8, collate_fn=collate)
    ways: dict[str, dict[str, Any]] = {
        "tuple": {"x": (X, scale), "y": Y},
        "dict": {"x": {"features": X, "scale": scale}, "y": Y},
        "dict with its labels": {"x": {"features": X, "scale": scale, "labels": Y}, "y": "labels"},
        "loader": {"x": loader, "y": "labels"},
    }
    found = {
        name: decompose(
            trained(seeded(TwoInputs), lambda model, i: model(X[i], scale[i]).logits, output=logits, **way),
            {"features": query[0], "scale": query[1]} if name != "tuple" else query,
        )
        for name, way in ways.items()
    }

    for way in found.values():
        assert way.relative_residual <= 1e-11
        assert torch.allclose(way.contributions, found["tuple"].contributions, rtol=1e-12, atol=1e-15)


def test_a_loader_of_pairs() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=8)
    path = trained(seeded(mlp), lambda model, i: model(X[i]), x=loader)

    assert decompose(path, QUERY).relative_residual <= 1e-11


def test_tied_weights_are_one_parameter() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(5, 5), nn.Linear(5, 5)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).tanh())[:, :3]

    path = trained(seeded(Tied), lambda model, i: model(X[i]), x=X, y=Y)

    assert decompose(path, QUERY).relative_residual <= 1e-11


def test_steps_that_move_nothing_are_noted() -> None:
    model = seeded(relu_net).float()
    optimizer = optim.SGD(model.parameters(), lr=1e-30)
    with record(model, optimizer, loss=LOSS, x=X.float(), y=Y) as path:
        for _ in range(3):
            optimizer.zero_grad()
            LOSS(model(X.float()), Y).backward()
            optimizer.step()

    assert path.unmoved == [1, 2]
    assert train(OPTIMIZERS["sgd"]).path.unmoved == []


def test_a_path_is_unfinished_until_the_block_ends() -> None:
    model = seeded(relu_net)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with record(model, optimizer, loss=LOSS, x=X, y=Y) as path:
        LOSS(model(X), Y).backward()
        optimizer.step()
        with pytest.raises(InputError, match="its last weights are not known"):
            decompose(path, QUERY)

    assert decompose(path, QUERY).relative_residual <= 1e-9


def test_a_loop_that_ends_in_an_error_leaves_a_path() -> None:
    model = seeded(relu_net)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with (  # noqa: PT012 - the loop is what is tested
        pytest.raises(ZeroDivisionError),
        record(model, optimizer, loss=LOSS, x=X, y=Y) as path,
    ):
        LOSS(model(X), Y).backward()
        optimizer.step()
        raise ZeroDivisionError

    assert path.step_count == 1
    assert decompose(path, QUERY).relative_residual <= 1e-9


def test_the_hooks_go_with_the_block() -> None:
    run = train(OPTIMIZERS["sgd"], epochs=1)
    count = run.path.step_count
    run.optimizer.step()

    assert run.path.step_count == count


def noisy_loss(outputs: Tensor, y: Tensor) -> Tensor:
    return LOSS(outputs, y)


class Centred(nn.Module):
    """Examples see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


class Random(nn.Module):
    """Two calls differ."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + torch.rand_like(x))


class Flattened(nn.Module):
    """No row for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum()


def mixed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4).double(), nn.Linear(4, 3).float())


AT_THE_DOOR: dict[str, tuple[dict[str, Any], str]] = {
    "examples see each other": ({"model": seeded(Centred)}, "depends on who else is in its batch"),
    "random": ({"model": seeded(Random)}, "two calls on the same examples differ"),
    "no row an example": ({"model": seeded(Flattened)}, r"2 examples give an output of \(\)"),
    "a loss an example": ({"loss": nn.CrossEntropyLoss(reduction="none")}, r"loss: gives \(2,\)"),
    "a number as loss": ({"loss": lambda *_: 1.0}, "loss: gives float"),
    "targets of another number": ({"y": Y[:-1]}, "y: 22 targets for 23 examples"),
    "no examples": ({"x": X[:0], "y": Y[:0]}, "x: no examples"),
    "an entry that is not there": ({"y": "labels"}, "x has no entry 'labels'"),
    "every zeroth": ({"every": 0}, "every: 0 is no number of steps"),
    "an optimiser of another model": (
        {"optimizer": optim.SGD(seeded(mlp).parameters(), lr=0.1)},
        "parameter 0 of group 0 is not one of the model",
    ),
    "half precision": ({"model": seeded(mlp).bfloat16()}, "bfloat16"),
    "several dtypes": ({"model": mixed()}, "the trained parameters are of 2 kinds"),
}


@pytest.mark.parametrize("name", AT_THE_DOOR)
def test_what_is_refused_at_the_door(name: str) -> None:
    change, message = AT_THE_DOOR[name]
    model = change.get("model", seeded(mlp))
    options: dict[str, Any] = {
        "loss": LOSS,
        "x": X,
        "y": Y,
        "optimizer": optim.SGD(model.parameters(), lr=0.1),
    } | change
    options.pop("model", None)
    optimizer = options.pop("optimizer")

    with pytest.raises(InputError, match=message), record(model, optimizer, **options):
        pytest.fail("the block was entered")


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([EXAMPLES], f"positions run from {EXAMPLES} to {EXAMPLES}"),
        ([-EXAMPLES - 1], f"positions run from -{EXAMPLES + 1}"),
        ([0.5], "does not name examples"),
        ([], "does not name examples"),
        ([True, False], "does not name examples"),
    ],
)
def test_positions_must_be_examples(indices: list[Any], message: str) -> None:
    path = train(OPTIMIZERS["sgd"], epochs=1).path

    with pytest.raises(InputError, match=message):
        path.batch(indices)


def test_what_changes_beside_the_optimiser_is_refused() -> None:
    model = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double().eval()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with (  # noqa: PT012 - the loop is what is tested
        pytest.raises(InputError, match=r"model: 1\.running_mean changed during the run"),
        record(model, optimizer, loss=LOSS, x=X, y=Y),
    ):
        LOSS(model(X), Y).backward()
        optimizer.step()
        model[1].running_mean.add_(1.0)  # type: ignore[union-attr, operator]
