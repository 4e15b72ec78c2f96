"""The exact split: its sum, and the split itself, against an oracle that carries each example's part forward."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn, optim
from torch.func import jacrev

from pkverify.errors import InputError
from pkverify.network import storage
from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.decompose import decompose, kernel_weights
from pkverify.network.identity import identity
from pkverify.network.record import record
from tests.network.training_cases import CLASSES, EXAMPLES, OPTIMIZERS, Run, oracle, relu_net, seeded, train

SPLIT = 1e-10


def left_sum_misses(run: Run) -> float:
    """How far the sum with query gradients at the left ends (TracIn's) is from the change of the outputs."""
    total = torch.zeros(len(run.query), CLASSES, dtype=torch.float64)
    for start, end in zip(run.weights, run.weights[1:], strict=False):
        total += jacrev(lambda w: run.output(w, run.query))(start) @ (end - start)
    change = run.output(run.weights[-1], run.query) - run.output(run.weights[0], run.query)
    return float((change - total).detach().norm() / change.detach().norm())


def assert_split(found: NetworkDecomposition, expected: Tensor) -> None:
    """Example by example, and the decay, relative to the largest part."""
    parts = torch.cat([found.contributions, found.regularizer_term[:, None]], 1)
    scale = expected.abs().max()

    assert float((parts - expected).abs().max() / scale) <= SPLIT


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_example_gets_what_the_oracle_gives_it(name: str) -> None:
    run = train(OPTIMIZERS[name], schedule=0.9)

    found = decompose(run.path, run.query)

    assert found.unconverged == ()
    assert found.relative_residual <= 1e-11
    assert_split(found, oracle(run))


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw", "rmsprop centered"])
def test_relu_is_split_at_the_kinks_of_each_query(name: str) -> None:
    run = train(OPTIMIZERS[name], relu_net)

    found = decompose(run.path, run.query)

    assert found.unconverged == ()
    assert found.relative_residual <= 1e-9
    assert_split(found, oracle(run, nodes=4))


LARGE = {
    "sgd": (lambda p: optim.SGD(p, lr=3.0), 0.1),
    "momentum": (lambda p: optim.SGD(p, lr=1.0, momentum=0.9), 0.1),
    "adam": (lambda p: optim.Adam(p, lr=0.5), 0.1),
}


@pytest.mark.parametrize("model", [lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), relu_net])
@pytest.mark.parametrize("name", LARGE)
def test_large_steps_are_exact_where_left_sums_miss(name: str, model: object) -> None:
    make, miss = LARGE[name]
    run = train(make, model, epochs=1)  # type: ignore[arg-type]

    found = decompose(run.path, run.query)

    assert left_sum_misses(run) > miss
    assert found.relative_residual <= 1e-11
    assert found.unconverged == ()


def test_clipping_by_norm_scales_every_share() -> None:
    run = train(OPTIMIZERS["momentum"], clip_norm=0.3)

    found = decompose(run.path, run.query)

    assert found.relative_residual <= 1e-11
    assert_split(found, oracle(run, clip_norm=0.3))


def test_a_sum_is_as_good_as_a_mean() -> None:
    run = train(lambda p: optim.SGD(p, lr=0.02, momentum=0.5), loss=nn.CrossEntropyLoss(reduction="sum"))

    assert_split(decompose(run.path, run.query), oracle(run))


@pytest.mark.parametrize("name", ["momentum", "adam", "amsgrad", "rmsprop centered", "adagrad"])
def test_points_further_apart_give_the_same_split(name: str) -> None:
    run, sparse = train(OPTIMIZERS[name]), train(OPTIMIZERS[name], every=3)

    full, found = decompose(run.path, run.query), decompose(sparse.path, run.query)

    assert found.relative_residual <= 1e-11
    assert torch.allclose(found.contributions, full.contributions, rtol=1e-9, atol=1e-11)


def test_memory_changes_no_number() -> None:
    run = train(OPTIMIZERS["adam"])

    whole, parts = decompose(run.path, run.query), decompose(run.path, run.query, memory=1)

    assert torch.allclose(whole.contributions, parts.contributions, rtol=1e-11, atol=1e-13)


def test_plain_descent_is_the_same_by_layers_and_by_dense_vectors() -> None:
    plain = train(lambda p: optim.SGD(p, lr=0.3, weight_decay=0.1))
    # A momentum that forgets everything is no momentum, and takes the other way through the code.
    dense = train(lambda p: optim.SGD(p, lr=0.3, weight_decay=0.1, momentum=1e-300))

    one, other = decompose(plain.path, plain.query), decompose(dense.path, dense.query)

    assert torch.allclose(one.contributions, other.contributions, rtol=1e-11, atol=1e-13)
    assert torch.allclose(one.regularizer_term, other.regularizer_term, rtol=1e-11, atol=1e-13)


def test_path_kernel_and_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, y = torch.randn(5, 2).double(), torch.randn(5, 1).double()
    half_square = lambda o, t: ((o - t) ** 2).sum() / 2  # noqa: E731
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    slopes: list[Tensor] = []
    with record(model, optimizer, loss=half_square, x=x, y=y) as path:
        for _ in range(4):
            optimizer.zero_grad()
            slopes.append((model(x) - y).detach()[:, 0])
            half_square(model(x), y).backward()
            optimizer.step()

    found = decompose(path, x, kernels=True)

    assert found.path_kernel is not None
    assert found.weights is not None
    assert found.weights_absent is not None
    assert found.path_kernel.shape == (5, 5)
    assert not found.weights_absent.any()
    assert torch.allclose(found.weights * found.path_kernel, found.contributions[..., 0], atol=1e-14)
    # At its own place the kernel of short steps is positive, so a_i is an average of -L'_i (the mean value theorem).
    lowest, highest = (-torch.stack(slopes)).aminmax(dim=0)
    own = found.weights.diagonal()
    assert ((own >= lowest - 1e-2) & (own <= highest + 1e-2)).all()


def test_a_kernel_that_is_not_separated_from_zero_has_no_weight() -> None:
    kernel = torch.tensor([1e-16, 1.0, 0.0]).double().reshape(1, 3, 1, 1)

    weights, absent = kernel_weights(kernel, torch.ones_like(kernel), torch.ones(1, 3, 1).double())

    assert absent.tolist() == [[True, False, True]]
    assert weights.flatten().tolist() == [0.0, 1.0, 0.0]


def test_another_output_may_be_decomposed() -> None:
    run = train(OPTIMIZERS["adam"])

    logits = decompose(run.path, run.query)
    margin = decompose(run.path, run.query, output=lambda o: o[:, 0] - o[:, 1])

    expected = logits.contributions[..., 0] - logits.contributions[..., 1]
    assert torch.allclose(margin.contributions[..., 0], expected, rtol=1e-9, atol=1e-12)


def test_what_a_budget_does_not_reach_is_reported_and_not_repaired() -> None:
    run = train(lambda p: optim.SGD(p, lr=3.0), epochs=1)

    found = decompose(run.path, run.query, most_nodes=4)

    assert found.unconverged
    assert all(entry.error > 1e-9 for entry in found.unconverged)
    total = found.initial_output + found.contributions.sum(1) + found.regularizer_term
    assert torch.equal(found.residual, found.final_output - (total + found.initial_momentum_term))
    assert found.relative_residual > 1e-9


def test_the_momentum_that_was_there_before_has_a_term_of_its_own() -> None:
    run = train(OPTIMIZERS["momentum"])
    x, y = run.x, run.y
    with record(run.model, run.optimizer, loss=run.loss, x=x, y=y) as path:
        for _ in range(3):
            run.optimizer.zero_grad()
            run.loss(run.model(x), y).backward()
            run.optimizer.step()

    found = decompose(path, run.query)

    assert found.relative_residual <= 1e-11
    assert float(found.initial_momentum_term.abs().max()) > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_identity_alone(name: str) -> None:
    run = train(OPTIMIZERS[name], epochs=1)

    assert identity(run.path, run.query).relative_residual <= 1e-13


@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_the_identity_alone_by_quadrature(name: str) -> None:
    run = train(OPTIMIZERS[name], epochs=1)

    assert identity(run.path, run.query, nodes=12).relative_residual <= 1e-11


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 2), nn.MaxPool1d(2), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(8, 3)
    )


def attentive() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, activation="gelu", batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Linear(1, 4), layer, nn.Flatten(), nn.Linear(20, 3))


@pytest.mark.parametrize(
    ("model", "bound"), [(convolutional, 1e-9), (attentive, 1e-11)], ids=["convolutions and pools", "transformer"]
)
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_other_architectures(name: str, model: object, bound: float) -> None:
    run = train(OPTIMIZERS[name], model, epochs=1)  # type: ignore[arg-type]

    found = decompose(run.path, run.query)

    assert found.relative_residual <= bound
    assert found.unconverged == ()


# Sabotage: each wrong path must show.


def halved(path: object, key: str, value: object) -> None:
    for number, step in enumerate(path.steps):  # type: ignore[attr-defined]
        settings = tuple({**group, key: value} for group in step.settings)
        path.steps[number] = type(step)(step.batches, settings, step.absent, step.norms)  # type: ignore[attr-defined]


SABOTAGE = {
    "no bias correction": (
        "adam",
        lambda run: run.path.header.counts.update(dict.fromkeys(run.path.training.function.shapes, 10**6)),
    ),
    "no decay": ("adamw", lambda run: halved(run.path, "weight_decay", 0.0)),
    "no coupled decay": ("momentum", lambda run: halved(run.path, "weight_decay", 0.0)),
    "another learning rate": ("sgd", lambda run: halved(run.path, "lr", 0.29)),
    "another momentum": ("momentum", lambda run: halved(run.path, "momentum", 0.8)),
    "no Nesterov": ("nesterov", lambda run: halved(run.path, "nesterov", False)),
    "the sign": ("sgd", lambda run: halved(run.path, "maximize", True)),
    "one step left out": ("momentum", lambda run: run.path.steps.pop()),
    "the first weights at the end": ("adam", lambda run: run.path.store.write_final(run.path.weights(0))),
    "the last weights in the middle": (
        "adam",
        lambda run: run.path.store._points.update({3: {**run.path.store._points[3], "weights": run.weights[-1]}}),
    ),
    "denominators of another step": (
        "rmsprop",
        lambda run: run.path.store._points[2].update(square_avg=run.path.store._points[0]["square_avg"]),
    ),
    "the state of another step": (
        "rmsprop",
        lambda run: run.path.store._points[3].update(square_avg=run.path.store._points[6]["square_avg"]),
    ),
}
SPACING = {"denominators of another step": 1, "the state of another step": 3}


@pytest.mark.parametrize("name", SABOTAGE)
def test_sabotage_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, spoil = SABOTAGE[name]
    monkeypatch.setattr(storage, "_FARTHEST", SPACING.get(name, 16))
    run = train(OPTIMIZERS[optimizer])
    spoil(run)

    try:
        residual = decompose(run.path, run.query).relative_residual
        alone = identity(run.path, run.query).relative_residual
    except InputError as error:
        assert "gradient" in str(error)  # noqa: PT017 - a refusal is as good as a residual
    else:
        assert residual > 1e-4
        assert alone > 1e-4


@pytest.mark.parametrize("number", [2, 3, 7])
def test_a_miss_is_carried_to_the_outputs_as_the_quadrature_carries_it(number: int) -> None:
    run = train(OPTIMIZERS["momentum"])
    step = run.path.steps[number]
    settings = tuple({**group, "lr": 0.099} for group in step.settings)
    run.path.steps[number] = type(step)(step.batches, settings, step.absent, step.norms)

    carried, whole = identity(run.path, run.query).residual, identity(run.path, run.query, nodes=12).residual

    assert float(whole.abs().max()) > 1e-4
    assert float((carried - whole).abs().max()) <= 0.01 * float(whole.abs().max())


def test_a_wrong_batch_is_refused_when_the_path_is_split() -> None:
    run = train(OPTIMIZERS["sgd"])
    run.path.steps[1], run.path.steps[2] = run.path.steps[2], run.path.steps[1]

    with pytest.raises(InputError, match="step 2: the gradient of the named examples is not the one"):
        decompose(run.path, run.query)


def test_a_path_without_steps_is_refused() -> None:
    model = seeded(relu_net)
    with record(
        model, optim.SGD(model.parameters(), lr=0.1), loss=lambda o: o.sum(), x=torch.ones(2, 5).double()
    ) as path:
        pass

    with pytest.raises(InputError, match="path: has no step"):
        decompose(path, torch.ones(1, 5).double())


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(InputError, match="path: list is no path"):
        decompose([], torch.ones(1, 5))  # type: ignore[arg-type]


# The record.


@pytest.fixture(scope="module")
def found() -> NetworkDecomposition:
    run = train(OPTIMIZERS["adam"])
    return decompose(run.path, run.query, kernels=True)


def test_top_and_groups(found: NetworkDecomposition) -> None:
    top = found.top(4)
    groups = found.group_by(["even" if i % 2 == 0 else "odd" for i in range(EXAMPLES)])

    assert top.indices.shape == (3, CLASSES, 4)
    assert float(top.contributions[0, 1, 0].abs()) == float(found.contributions[0, :, 1].abs().max())
    assert list(groups) == ["even", "odd"]
    assert torch.allclose(groups["odd"], found.contributions[:, 1::2].sum(1))
    assert torch.allclose(groups["even"] + groups["odd"], found.contributions.sum(1))


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda d: d.top(0), "k: 0 of 23 examples"),
        (lambda d: d.top(24), "k: 24 of 23 examples"),
        (lambda d: d.group_by([1]), "labels: 1 for 23 examples"),
    ],
)
def test_unfit_questions_are_refused(found: NetworkDecomposition, ask: object, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        ask(found)  # type: ignore[operator]


def test_a_file_holds_it_all(found: NetworkDecomposition, tmp_path: Path) -> None:
    found.save(tmp_path / "d.safetensors")
    again = NetworkDecomposition.load(tmp_path / "d.safetensors")

    assert torch.equal(again.contributions, found.contributions)
    assert again.nodes == found.nodes
    assert again.path_kernel is not None
    assert again.path_kernel.shape == (3, EXAMPLES, CLASSES, CLASSES)


def test_a_data_frame(found: NetworkDecomposition) -> None:
    pytest.importorskip("pandas")
    frame = found.to_dataframe()

    assert len(frame) == 3 * EXAMPLES * CLASSES
    row = frame[(frame["query"] == 1) & (frame["example"] == 7) & (frame["output"] == 2)]
    assert float(row["contribution"].iloc[0]) == float(found.contributions[1, 7, 2])


def test_completeness_is_relative_to_the_change(found: NetworkDecomposition) -> None:
    change = (found.final_output - found.initial_output).abs()

    assert torch.allclose(found.completeness * change, found.residual.abs())
    assert float(found.conditioning.min()) >= 1.0
