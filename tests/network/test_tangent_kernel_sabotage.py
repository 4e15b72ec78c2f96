"""The comparison with brute force is shown able to fail: each wrong rule that is easy to write is caught by it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from pkverify.network.layers import contraction, convolution, embedding, layout, linear, normalisation, parameter
from pkverify.network.layers.convolution import Window
from pkverify.network.layers.embedding import Lookup
from pkverify.network.layers.factor import Dense
from pkverify.network.layers.layout import Layout
from pkverify.network.layers.linear import Outer
from pkverify.network.tangent_kernel import tangent_kernel
from tests.network.module_cases import CASES, brute_force, distance, flattened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pkverify.network.layers.contraction import Use

TOLERANCE = 1e-12
SHOWS = 1e-6


def _miss(name: str) -> float:
    model, x = CASES[name].build(seed=4)
    jacobians = flattened(brute_force(model, x))
    kernel = tangent_kernel(model, x, x)
    if kernel.ndim == 2:
        kernel = kernel[:, :, None, None]
    return distance(kernel, torch.einsum("qcd,med->qmce", jacobians, jacobians))


def drop_biases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(linear, "_bias_factor", lambda cotangents: Dense(torch.zeros_like(cotangents.sum(2))))


def forget_what_shares_cotangents(patch: pytest.MonkeyPatch) -> None:
    right = linear.outer_product
    patch.setattr(contraction, "outer_product", lambda left, other, *_more: right(left, other))


def drop_convolution_biases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(convolution, "Dense", lambda gradients: Dense(torch.zeros_like(gradients)))


def sum_positions_before_the_product(patch: pytest.MonkeyPatch) -> None:
    def early(inputs: Tensor, cotangents: Tensor, shape: Any, transposed: bool = False) -> Outer:
        return Outer(inputs.sum(1, keepdim=True), cotangents.sum(2, keepdim=True), shape, transposed)

    patch.setattr(linear, "Outer", early)


def sum_patches_before_the_product(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        convolution, "Outer", lambda a, d, shape: Outer(a.mean(1, keepdim=True), d.sum(2, keepdim=True), shape)
    )


def only_equal_positions(patch: pytest.MonkeyPatch) -> None:
    def diagonal(left: Outer, right: Outer) -> Tensor:
        alike = torch.einsum("qtgi,mtgi->qmtg", left.inputs, right.inputs)
        return torch.einsum("qctgo,metgo,qmtg->qcme", left.cotangents, right.cotangents, alike)

    patch.setattr(contraction, "outer_product", diagonal)


def add_the_kernels_of_two_uses(patch: pytest.MonkeyPatch) -> None:
    def added(left: Sequence[Use], right: Sequence[Use], _shape: Any) -> Tensor:
        return torch.stack([contraction._pair(a, b) for (_, a), (_, b) in zip(left, right, strict=True)]).sum(0)

    patch.setattr("pkverify.network.layers.gradients.merged", tuple)
    patch.setattr("pkverify.network.layers.contraction.product", added)


def keep_the_last_use(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pkverify.network.layers.gradients.merged", lambda uses: tuple(uses)[-1:])


def ignore_groups(patch: pytest.MonkeyPatch) -> None:
    right = Window.patches

    def mixed(self: Window, images: Tensor) -> Tensor:
        patches = right(self, images)
        return patches.mean(2, keepdim=True).expand_as(patches)

    patch.setattr(Window, "patches", mixed)


def _other_window(patch: pytest.MonkeyPatch, **changes: Callable[[Window], Any]) -> None:
    right = Window.patches

    def wrong(self: Window, images: Tensor) -> Tensor:
        changed = replace(self, **{name: change(self) for name, change in changes.items()})
        expected, found = right(self, images), right(changed, images)
        rows = torch.arange(expected.shape[1]) % found.shape[1]
        return found[:, rows]

    patch.setattr(Window, "patches", wrong)


def ignore_stride(patch: pytest.MonkeyPatch) -> None:
    _other_window(patch, stride=lambda window: (1,) * len(window.stride))


def ignore_dilation(patch: pytest.MonkeyPatch) -> None:
    _other_window(patch, dilation=lambda window: (1,) * len(window.dilation))


def ignore_padding(patch: pytest.MonkeyPatch) -> None:
    _other_window(patch, padding=lambda window: ((0, 0),) * len(window.padding))


def train_the_padding_row(patch: pytest.MonkeyPatch) -> None:
    right = embedding._embedding
    patch.setattr(embedding, "_embedding", lambda call: {**right(call), "padding_idx": None})


def count_repeated_rows_once(patch: pytest.MonkeyPatch) -> None:
    def once(self: Lookup) -> Tensor:
        m, columns, positions, features = self.cotangents.shape
        where = self.identifiers[:, None, :, None].expand(m, columns, positions, features)
        return self.cotangents.new_zeros(m, columns, self.entries, features).scatter_(2, where, self.cotangents)

    patch.setattr(Lookup, "materialize", once)


def forget_to_normalise(patch: pytest.MonkeyPatch) -> None:
    right = normalisation._trailing_site
    patch.setattr(normalisation, "_trailing_site", lambda call, _n, axes, x: right(call, lambda data: data, axes, x))


def forget_to_normalise_channels(patch: pytest.MonkeyPatch) -> None:
    right = normalisation._channel_site
    patch.setattr(normalisation, "_channel_site", lambda call, _n, p, x: right(call, lambda data: data, p, x))


def forget_the_other_operand(patch: pytest.MonkeyPatch) -> None:
    right = parameter._broadcast_site
    wrong = {f: (lambda call: right(call, product=False)) for f in parameter.PARAMETER_SITES}
    patch.setattr("pkverify.network.layers.interception.SITES", {**_sites(), **wrong})


def wrong_sign_of_a_difference(patch: pytest.MonkeyPatch) -> None:
    wrong = dict.fromkeys((torch.sub, torch.Tensor.sub), parameter.sum_site)
    patch.setattr("pkverify.network.layers.interception.SITES", {**_sites(), **wrong})


def _sites() -> dict[Any, Any]:
    from pkverify.network.layers.interception import SITES  # noqa: PLC0415 - as it stands before it is patched

    return dict(SITES)


def examples_always_first(patch: pytest.MonkeyPatch) -> None:
    right = layout.find_layout

    def first(*given: Any) -> Layout | None:
        found = right(*given)
        return found and Layout(found.axis, positions_first=False)

    patch.setattr("pkverify.network.layers.discovery.find_layout", first)


def views_are_the_whole(patch: pytest.MonkeyPatch) -> None:
    def moved(self: Any, gradients: Tensor, size: int) -> Tensor:
        flat = gradients.flatten(gradients.ndim - len(self.shape))
        return torch.nn.functional.pad(flat, (0, size - flat.shape[-1]))

    patch.setattr("pkverify.network.layers.interception.View.scatter", moved)


def general_route_without_seeds(patch: pytest.MonkeyPatch) -> None:
    from pkverify.network.layers.fallback import general_factors  # noqa: PLC0415

    patch.setattr(
        "pkverify.network.layers.gradients.general_factors",
        lambda study, state, names, x, seeds: general_factors(study, state, names, x, torch.ones_like(seeds)),
    )


SABOTAGES: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (drop_biases, "mlp"),
    (forget_what_shares_cotangents, "mlp"),
    (drop_biases, "linear over positions"),
    (drop_biases, "transformer, positions first"),
    (drop_convolution_biases, "convolution 1d"),
    (sum_positions_before_the_product, "linear over positions"),
    (sum_positions_before_the_product, "attention"),
    (sum_patches_before_the_product, "convolution 2d"),
    (only_equal_positions, "linear over positions"),
    (only_equal_positions, "called twice"),
    (add_the_kernels_of_two_uses, "tied table"),
    (add_the_kernels_of_two_uses, "called twice"),
    (add_the_kernels_of_two_uses, "convolution called twice"),
    (keep_the_last_use, "called twice"),
    (keep_the_last_use, "weight and its transpose"),
    (ignore_groups, "convolution groups, stride, dilation"),
    (ignore_groups, "convolution depthwise"),
    (ignore_stride, "convolution groups, stride, dilation"),
    (ignore_stride, "convolution 3d"),
    (ignore_dilation, "convolution groups, stride, dilation"),
    (ignore_padding, "convolution 2d"),
    (train_the_padding_row, "embedding, padding row"),
    (count_repeated_rows_once, "embedding, repeated"),
    (forget_to_normalise, "layer and rms norm"),
    (forget_to_normalise_channels, "batch norm"),
    (forget_to_normalise_channels, "group and instance norm"),
    (forget_the_other_operand, "bare parameters"),
    (wrong_sign_of_a_difference, "bare parameters"),
    (examples_always_first, "linear, positions as many as examples"),
    (views_are_the_whole, "slices that overlap"),
    (general_route_without_seeds, "lstm"),
    (general_route_without_seeds, "einsum by hand"),
]


@pytest.mark.parametrize(
    ("sabotage", "name"), SABOTAGES, ids=[f"{sabotage.__name__}: {name}" for sabotage, name in SABOTAGES]
)
def test_sabotage_shows(
    sabotage: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _miss(name) < TOLERANCE
    sabotage(monkeypatch)
    assert _miss(name) > SHOWS
