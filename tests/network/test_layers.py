"""Captured gradients against plain autograd, example by example, for every kind of module."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.layers import batches, capture, study
from pkverify.network.layers.linear import Outer, outer_product
from tests.network.module_cases import CASES, Around, brute_force, distance, reals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pkverify.network.layers import GradientFactors

TOLERANCE = 1e-12


def seeded(jacobians: Mapping[str, Tensor], seeds: Tensor) -> dict[str, Tensor]:
    """Gradients of ``seed . output``, ``[m, columns, *shape]``, for seeds ``[m, columns, C]``."""
    return {name: torch.einsum("mkc,mc...->mk...", seeds, jacobian) for name, jacobian in jacobians.items()}


def errors(found: GradientFactors, expected: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest relative error of all that can be asked of gradients with columns."""
    torch.manual_seed(1)
    vectors = {name: torch.randn(3, *whole.shape[2:], dtype=whole.dtype) for name, whole in expected.items()}
    flat = torch.cat([whole.flatten(2) for whole in expected.values()], 2)
    flat_vectors = torch.cat([vector.flatten(1) for vector in vectors.values()], 1)
    some = slice(1, 4)
    whole, total = found.materialize(), found.total()
    return {
        "materialize": max(distance(whole[name], expected[name]) for name in expected),
        "total": max(distance(total[name], expected[name].sum(0)) for name in expected),
        "inner": distance(found.rows(some).inner(found), torch.einsum("qcd,med->qmce", flat[some], flat)),
        "against": distance(found.against(vectors), torch.einsum("kd,mcd->kmc", flat_vectors, flat)),
    }


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_brute_force(name: str) -> None:
    model, x = CASES[name].build()
    seen = study(model, x)
    jacobians = brute_force(model, x)
    outputs = math.prod(seen.output_shape)
    seeds = reals(batches.count(x), 2, outputs)
    captured = capture(seen, x, seeds.reshape(-1, 2, *seen.output_shape))

    assert seen.loose == CASES[name].loose
    assert max(errors(captured, seeded(jacobians, seeds)).values()) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_everything_may_take_the_general_route(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkverify.network.layers.interception.SITES", {})
    model, x = CASES[name].build(seed=1)
    seen = study(model, x)
    seeds = reals(batches.count(x), 1, math.prod(seen.output_shape))
    captured = capture(seen, x, seeds.reshape(-1, 1, *seen.output_shape))

    used = {name for name, jacobian in brute_force(model, x).items() if jacobian.any()}
    assert used <= set(seen.loose)
    assert max(errors(captured, seeded(brute_force(model, x), seeds)).values()) < TOLERANCE


def test_without_columns_their_axis_is_absent() -> None:
    model, x = CASES["mlp"].build()
    captured = capture(study(model, x), x, torch.ones(7, 3))

    assert captured.examples == len(captured) == 7
    assert captured.inner(captured).shape == (7, 7)
    assert captured.against({"0.bias": reals(4, 5)}).shape == (4, 7)
    assert captured.materialize()["0.weight"].shape == (7, 5, 4)
    assert captured.total()["2.weight"].shape == (3, 5)
    assert torch.equal(captured.outputs, model(x))


def test_sides_with_and_without_columns_mix() -> None:
    model, x = CASES["mlp"].build()
    seen = study(model, x)
    plain, columns = capture(seen, x, reals(7, 3)), capture(seen, x, reals(7, 2, 3))

    assert plain.inner(columns).shape == (7, 7, 2)
    assert columns.inner(plain).shape == (7, 7, 2)
    assert torch.allclose(plain.inner(columns), columns.inner(plain).transpose(0, 1))


def test_seeds_may_be_made_from_the_outputs() -> None:
    model, x = CASES["mlp"].build()
    seen = study(model, x)

    def seeds(outputs: Tensor) -> Tensor:
        assert not outputs.requires_grad
        return 2 * outputs

    made, given = capture(seen, x, seeds), capture(seen, x, 2 * model(x))
    assert distance(made.inner(made), given.inner(given)) < TOLERANCE


def test_other_weights_leave_the_model_alone() -> None:
    model, x = CASES["residual"].build()
    other, _ = CASES["residual"].build(seed=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seeds = reals(7, 1, 2)
    elsewhere = capture(study(model, x), x, seeds, weights=dict(other.named_parameters()))

    assert max(errors(elsewhere, seeded(brute_force(other, x), seeds)).values()) < TOLERANCE
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    here = capture(study(model, x), x, seeds)
    mixed = torch.einsum(
        "qcd,med->qmce",
        *(torch.cat([j.flatten(2) for j in seeded(brute_force(m, x), seeds).values()], 2) for m in (model, other)),
    )
    assert distance(here.inner(elsewhere), mixed) < TOLERANCE


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails: bool) -> None:
    model, x = CASES["transformer, positions first"].build()
    model.train()
    model.get_parameter("position").requires_grad_(False)
    torch.stack([p.sum() for p in model.parameters() if p.requires_grad]).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    objects = {name: id(p) for name, p in model.named_parameters()}
    needs = {name: p.requires_grad for name, p in model.named_parameters()}
    values = {name: t.clone() for name, t in model.state_dict().items()}
    seen = study(model, x)

    def seeds(outputs: Tensor) -> Tensor:
        if fails:
            raise ArithmeticError
        return outputs

    if fails:
        with pytest.raises(ArithmeticError):
            capture(seen, x, seeds)
    else:
        capture(seen, x, seeds)

    assert model.training
    assert grads == {name: p.grad for name, p in model.named_parameters()}
    assert objects == {name: id(p) for name, p in model.named_parameters()}
    assert needs == {name: p.requires_grad for name, p in model.named_parameters()}
    assert all(torch.equal(values[name], t) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def test_buffers_that_the_forward_pass_writes_are_restored() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 2)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.seen += 1
            return self.linear(x)

    model, x = Counting().double(), reals(7, 4)
    capture(study(model, x), x, reals(7, 2))

    assert model.seen == 0


@pytest.mark.parametrize(("shape", "message"), [((3, 4), "another shape"), ((7, 5), "another shape")])
def test_examples_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    model = CASES["mlp"].build()[0]
    seen = study(model, reals(7, 2, 4) if shape == (3, 4) else reals(7, 4))

    with pytest.raises(InputError, match=message):
        capture(seen, reals(*shape), reals(*shape))


WRONG_MODELS: list[tuple[Any, Any, str]] = [
    (nn.BatchNorm1d(4), reals(7, 4), "statistics of the batch"),
    (nn.BatchNorm1d(4, track_running_stats=False).eval(), reals(7, 4), "statistics of the batch"),
    (nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.1)), reals(7, 4), "model.1: dropout"),
    (nn.MultiheadAttention(4, 2, dropout=0.1), reals(7, 4), "dropout"),
    (nn.LSTM(4, 2, num_layers=2, dropout=0.1), reals(7, 3, 4), "dropout"),
    (Around(lambda self, x: self.l(x) - self.l(x).mean(0), l=nn.Linear(4, 2)), reals(7, 4), "beside it"),
    (Around(lambda self, x: self.l(x) + torch.rand(x.shape[0], 2), l=nn.Linear(4, 2)), reals(7, 4), "beside it"),
    (Around(lambda self, x: self.l(x).sum(), l=nn.Linear(4, 2)), reals(7, 4), "first axis of the output"),
    (Around(lambda self, x: (self.l(x),), l=nn.Linear(4, 2)), reals(7, 4), "not a tensor"),
    (nn.Linear(4, 2), (reals(7, 4), reals(6, 4)), "6 examples where the first tensor has 7"),
    (nn.Linear(4, 2), reals(0, 4), "no examples"),
    (nn.Linear(4, 2), "text", "no batch"),
]


@pytest.mark.parametrize(("model", "x", "message"), WRONG_MODELS, ids=range(len(WRONG_MODELS)))
def test_unusable_models_and_batches_are_refused(model: nn.Module, x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(model.double(), x)


def test_unusable_arguments_are_refused() -> None:
    model, x = CASES["mlp"].build()
    seen = study(model, x)
    captured = capture(seen, x, reals(7, 3))

    with pytest.raises(InputError, match="matches no parameter"):
        study(model, x, params="layers.*")
    with pytest.raises(InputError, match="float16"):
        study(model, x, dtype=torch.float16)
    with pytest.raises(InputError, match="seeds: shape"):
        capture(seen, x, reals(7, 2))
    with pytest.raises(InputError, match="no parameter of the model"):
        capture(seen, x, reals(7, 3), weights={"9.weight": reals(2)})
    with pytest.raises(InputError, match="no selected parameter"):
        captured.against({"9.weight": reals(1, 2)})
    with pytest.raises(InputError, match=r"give \[k, \*shape\]"):
        captured.against({"0.weight": reals(5, 4)})
    with pytest.raises(InputError, match="other parameters"):
        captured.inner(capture(study(model, x, params="0.*"), x, reals(7, 3)))


def test_writing_over_a_layers_input_is_refused() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.first(x)
        y = self.second(h)
        h.relu_()
        return y

    model = Around(forward, first=nn.Linear(4, 4), second=nn.Linear(4, 2)).double()

    # The stand-in weight needs its input for a gradient nobody asks for, and that is why autograd sees the write.
    with pytest.raises(RuntimeError, match="inplace"):
        capture(study(model, reals(7, 4)), reals(7, 4), reals(7, 2))


@pytest.mark.parametrize("outputs", [3, 9])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("columns", [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_both_orders_of_contraction_agree(
    outputs: int, groups: int, columns: tuple[int, int], transposed: bool
) -> None:
    groups = 1 if transposed else groups
    shape = (5, outputs) if transposed else (groups * outputs, 5)
    left, right = (
        Outer(reals(m, 4, groups, 5), reals(m, count, 4, groups, outputs), shape, transposed)
        for m, count in zip((3, 6), columns, strict=True)
    )
    gradients = [side.materialize().flatten(2) for side in (left, right)]
    expected = torch.einsum("qcd,med->qcme", *gradients)
    for route in ("pairs", "sums"):
        assert distance(outer_product(left, right, route), expected) < TOLERANCE
