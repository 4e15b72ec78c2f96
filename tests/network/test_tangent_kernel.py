"""Tangent kernels against brute-force Jacobians, in every form they are asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pkverify.errors import InputError
from pkverify.network.layers import batches, study
from pkverify.network.tangent_kernel import identity_product, loss_derivatives, tangent_kernel
from tests.network.module_cases import CASES, Around, brute_force, distance, flattened, reals

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE = 1e-12


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * ((outputs - targets) ** 2).sum()


def outputs_of(model: nn.Module, x: Any) -> Tensor:
    args, kwargs = batches.arguments(x)
    return model(*args, **kwargs).detach()


@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_brute_force(name: str) -> None:
    model, x = CASES[name].build(seed=2)
    query = batches.rows(x, slice(0, 3))
    jacobians = flattened(brute_force(model, x))
    y = outputs_of(model, x)
    target = reals(*y.shape)
    derivatives = (y - target).reshape(y.shape[0], -1)
    plain = torch.einsum("qcd,med->qmce", jacobians[:3], jacobians)
    seeded = torch.einsum("qmce,me->qmc", plain, derivatives)

    kernel = tangent_kernel(model, query, x)
    expected = plain[:, :, 0, 0] if plain.shape[2] == 1 else plain
    assert distance(kernel, expected) < TOLERANCE
    found = tangent_kernel(model, query, x, loss=squared, y_train=target)
    assert distance(found, seeded) < TOLERANCE
    both = tangent_kernel(model, query, x, loss=squared, y_train=target, y_query=target[:3])
    assert distance(both, torch.einsum("qmc,qc->qm", seeded, derivatives[:3])) < TOLERANCE
    along = identity_product(model, query, x, loss=squared, y_train=target)
    assert distance(along, found.sum(1)) < TOLERANCE


@pytest.mark.parametrize("name", ["mlp", "convolution 2d", "transformer, positions first", "embedding, repeated"])
def test_self_kernels_are_symmetric_and_not_negative(name: str) -> None:
    model, x = CASES[name].build(seed=3)
    kernel = tangent_kernel(model, x, x)
    m, c = kernel.shape[1:3]
    gram = kernel.permute(0, 2, 1, 3).reshape(m * c, m * c)

    assert distance(gram, gram.T) < TOLERANCE
    assert torch.linalg.eigvalsh(gram).min() > -1e-10 * gram.norm()


@pytest.mark.parametrize(
    ("params", "chosen"),
    [
        ("0.*", ["0.weight", "0.bias"]),
        (["*.weight"], ["0.weight", "2.weight"]),
        (["0.bias", "2.bias"], ["0.bias", "2.bias"]),
    ],
)
def test_a_subset_of_the_parameters(params: str | list[str], chosen: list[str]) -> None:
    model, x = CASES["mlp"].build()
    jacobians = brute_force(model, x)
    some = flattened({name: jacobians[name] for name in chosen})

    kernel = tangent_kernel(model, x, x, params=params)
    assert distance(kernel, torch.einsum("qcd,med->qmce", some, some)) < TOLERANCE


def test_subsets_add_up_to_the_whole() -> None:
    model, x = CASES["transformer, batch first"].build()
    parts = [tangent_kernel(model, x, x, params=glob) for glob in ("encoder.*", "head.*")]

    assert distance(parts[0] + parts[1], tangent_kernel(model, x, x)) < TOLERANCE


def test_an_output_of_ones_own() -> None:
    model, x = CASES["mlp"].build()

    def log_probability(y: Tensor) -> Tensor:
        return torch.log_softmax(y, -1)[:, 1]

    jacobians = flattened(brute_force(model, x, log_probability))
    kernel = tangent_kernel(model, x, x, output=log_probability)
    assert distance(kernel, torch.einsum("qcd,mcd->qm", jacobians, jacobians)) < TOLERANCE


def test_outputs_that_are_no_tensor_need_a_function() -> None:
    model = Around(lambda self, x: {"logits": self.l(x)}, l=nn.Linear(4, 1))  # type: ignore[arg-type, return-value]
    x = reals(5, 4)

    with pytest.raises(InputError, match="not a tensor"):
        tangent_kernel(model, x, x)
    kernel = tangent_kernel(model, x, x, output=lambda result: result["logits"])
    assert distance(kernel, x @ x.T + 1) < TOLERANCE


def test_other_lengths_on_the_other_side() -> None:
    model = Around(lambda self, x: torch.tanh(self.l(x)).sum(1), l=nn.Linear(4, 2)).double()
    long, short = reals(3, 5, 4), reals(6, 2, 4)
    left, right = flattened(brute_force(model, long)), flattened(brute_force(model, short))

    assert distance(tangent_kernel(model, long, short), torch.einsum("qcd,med->qmce", left, right)) < TOLERANCE


def test_the_kernel_does_not_need_gradients_to_be_on() -> None:
    model, x = CASES["mlp"].build()
    model.requires_grad_(False)
    expected = tangent_kernel(model, x, x)

    with torch.no_grad():
        assert torch.equal(tangent_kernel(model, x, x), expected)
    with torch.inference_mode():
        assert distance(tangent_kernel(model, x, x), expected) < TOLERANCE
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distance(tangent_kernel(model, x, x), expected) < TOLERANCE


def test_float32_models_are_computed_in_float64_unless_told() -> None:
    model, x = CASES["transformer, batch first"].build()
    model.float()
    exact = tangent_kernel(model, x, x)
    rounded = tangent_kernel(model, x, x, dtype=torch.float32)

    assert exact.dtype == torch.float64
    assert rounded.dtype == torch.float32
    assert next(model.parameters()).dtype == torch.float32
    assert distance(exact, tangent_kernel(model.double(), x, x)) < TOLERANCE
    assert 1e-9 < distance(rounded.double(), exact) < 8e-6


LOSSES: list[tuple[str, Callable[[Any, Any], Tensor], Callable[[int], Tensor]]] = [
    ("cross-entropy, mean", nn.CrossEntropyLoss(), lambda m: torch.randint(0, 3, (m,))),
    ("cross-entropy, sum", nn.CrossEntropyLoss(reduction="sum"), lambda m: torch.randint(0, 3, (m,))),
    ("cross-entropy, smoothed", nn.CrossEntropyLoss(label_smoothing=0.1), lambda m: torch.randint(0, 3, (m,))),
    (
        "cross-entropy, classes weighted",
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]).double()),
        lambda m: torch.randint(0, 3, (m,)),
    ),
    ("cross-entropy, soft targets", nn.CrossEntropyLoss(), lambda m: torch.rand(m, 3).double().softmax(1)),
    ("squared, mean", nn.MSELoss(), lambda m: reals(m, 3)),
    ("squared, function", functional.mse_loss, lambda m: reals(m, 3)),
    ("logistic", nn.BCEWithLogitsLoss(), lambda m: torch.rand(m, 3).double()),
    ("logistic, weighted", nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)), lambda m: torch.rand(m, 3).double()),
    ("huber", nn.HuberLoss(delta=0.3), lambda m: reals(m, 3)),
    ("poisson", nn.PoissonNLLLoss(), lambda m: torch.rand(m, 3).double()),
    ("divergence", nn.KLDivLoss(reduction="batchmean"), lambda m: torch.rand(m, 3).double().softmax(1)),
    ("one's own", lambda y, t: ((y - t) ** 4).sum(), lambda m: reals(m, 3)),
    (
        "with a branch",
        lambda y, t: (y - t).abs().sum() if (y > t).all() else ((y - t) ** 2).sum(),
        lambda m: reals(m, 3),
    ),
]


@pytest.mark.parametrize(("name", "loss", "targets"), LOSSES, ids=[name for name, _, _ in LOSSES])
def test_loss_derivatives_are_those_of_each_example_alone(
    name: str, loss: Callable[[Any, Any], Tensor], targets: Callable[[int], Tensor]
) -> None:
    torch.manual_seed(len(name))
    outputs, target = reals(6, 3), targets(6)
    expected: list[Tensor] = []
    for place in range(6):
        leaf = outputs[place : place + 1].clone().requires_grad_()
        expected.extend(torch.autograd.grad(loss(leaf, target[place : place + 1]), leaf))

    assert distance(loss_derivatives(loss, outputs, target), torch.cat(expected)) < 1e-14


def test_ignored_targets_have_no_derivative() -> None:
    loss, targets = nn.CrossEntropyLoss(reduction="sum"), torch.tensor([0, -100, 2])

    assert torch.equal(loss_derivatives(loss, reals(3, 3), targets)[1], torch.zeros(3, dtype=torch.float64))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"loss": squared}, "loss, y_train"),
    ({"y_train": reals(7, 3)}, "loss, y_train"),
    ({"y_query": reals(7, 3)}, "loss, y_train"),
    ({"loss": squared, "y_train": reals(6, 3)}, "y_train: 6 targets for 7 examples"),
    ({"loss": squared, "y_train": reals(7, 3), "y_query": reals(5, 3)}, "y_query: 5 targets for 7 examples"),
    ({"loss": nn.MSELoss(reduction="none"), "y_train": reals(7, 3)}, "numbers for one example"),
    ({"params": "none.*"}, "matches no parameter"),
    ({"dtype": torch.bfloat16}, "bfloat16"),
    ({"memory": "many"}, "no size"),
    ({"memory": -1}, "no size"),
    ({"memory": 1000}, "not enough"),
    ({"parameters": "*"}, "no such option"),
    ({"weights": {"9.weight": reals(2)}}, "no parameter of the model"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=range(len(WRONG)))
def test_unusable_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    model, x = CASES["mlp"].build()

    with pytest.raises(InputError, match=message):
        tangent_kernel(model, x, x, **options)


def test_a_study_serves_many_calls() -> None:
    model, x = CASES["transformer, positions first"].build(seed=5)
    seen = study(model, x)
    again = tangent_kernel(model, x, x, study=seen)
    assert torch.equal(again, tangent_kernel(model, x, x))
    with pytest.raises(InputError, match="of another model"):
        tangent_kernel(CASES["transformer, positions first"].build(seed=5)[0], x, x, study=seen)
    with pytest.raises(InputError, match="dtype: both given"):
        tangent_kernel(model, x, x, study=seen, dtype=torch.float32)


class SometimesSquared(nn.Module):
    """Uses its weight in a way that no layer knows, but for large batches only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y + self.layer.weight.square().sum() if x.shape[0] > 2 else y


def test_a_use_that_only_a_large_batch_makes_is_noticed() -> None:
    model, x = SometimesSquared(), reals(3, 2)
    with pytest.raises(InputError, match="takes another way"):
        tangent_kernel(model, x, x, study=study(model, x))
    with pytest.raises(InputError, match="changes when another stands beside it"):
        tangent_kernel(model, x, x)


class Added(nn.Module):
    """Two layers whose outputs are added: their cotangents are one tensor, their biases two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.first(x) + self.second(x.square())))


@pytest.mark.parametrize("params", ["*", "*.bias", ["*.weight", "second.bias"]])
def test_biases_of_layers_with_the_same_cotangents_all_count(params: Any) -> None:
    torch.manual_seed(0)
    model, x = Added().double(), reals(5, 3)
    names = [name for name, _ in model.named_parameters() if params != "*.bias" or name.endswith("bias")]
    if isinstance(params, list):
        names = [name for name in names if name.endswith("weight") or name == "second.bias"]
    rows = [
        torch.autograd.grad(y, [model.get_parameter(n) for n in names], retain_graph=True)
        for y in model(x).flatten()[:, None]
    ]
    jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).unflatten(0, (5, 2))
    expected = torch.einsum("qcd,med->qmce", jacobian, jacobian)
    assert distance(tangent_kernel(model, x, x, params=params), expected) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_the_way_taken_does_not_change_the_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = CASES[name].build(seed=4)
    query = batches.rows(x, slice(1, 4))
    at_first_sight = tangent_kernel(model, query, x)
    in_one_batch = tangent_kernel(model, query, x, study=study(model, x))
    monkeypatch.setattr(batches, "alike", lambda *_: False)
    side_by_side = tangent_kernel(model, query, x)

    assert distance(in_one_batch, side_by_side) < TOLERANCE
    assert distance(at_first_sight, side_by_side) < TOLERANCE


@pytest.mark.parametrize("name", ["mlp", "convolution 2d", "transformer, positions first", "lstm"])
def test_one_pass_of_all_examples_serves_as_their_study(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = CASES[name].build()
    expected = tangent_kernel(model, x, x, study=study(model, x))

    def never(*_args: object, **_options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(sys.modules[tangent_kernel.__module__], "study", never)

    assert torch.equal(tangent_kernel(model, x, x), expected)


def test_batches_that_differ_in_more_than_their_examples_stay_apart() -> None:
    model = Scaled()
    x = reals(4, 2)
    by_two = tangent_kernel(model, {"x": x, "factor": 2.0}, {"x": x, "factor": 1.0})

    assert distance(by_two, 2 * tangent_kernel(model, {"x": x, "factor": 1.0}, {"x": x, "factor": 1.0})) < TOLERANCE


class Scaled(nn.Module):
    """A layer whose output is scaled by an argument that all examples share."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor, factor: float) -> Tensor:
        return factor * self.layer(x)
