"""The general route to the gradient of each example: torch.func, and one example after another where that cannot go."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch.func import vjp, vmap

from pkverify.network.layers import batches
from pkverify.network.layers.factor import Dense
from pkverify.network.layers.layout import same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from pkverify.network.layers.batches import Batch
    from pkverify.network.layers.usage import Study


def general_factors(
    study: Study, state: Mapping[str, Tensor], names: tuple[str, ...], x: Batch, seeds: Tensor
) -> dict[str, Dense]:
    """The gradients of each example in some parameters, without knowing how the model uses them.

    Args:
        study: The model.
        state: Its parameters and buffers.
        names: The parameters to differentiate in.
        x: A batch of m examples.
        seeds: ``[m, columns, *output shape]``.

    Returns:
        For each name the gradients ``[m, columns, *shape]``.
    """
    chosen = {name: state[name].detach() for name in names}
    gradients: dict[str, Tensor] | None = None
    # No batching rule, a branch on a value, an in-place write to what is shared: torch says so in many ways. The loop
    # needs nothing but autograd, and lets a real fault of the model come out as it is.
    with suppress(RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError):
        gradients = _vectorized(study, state, chosen, x, seeds)
    first = _one_by_one(study, state, chosen, batches.rows(x, slice(0, 1)), seeds[:1, :1])
    if gradients is None or not _confirmed(gradients, first, (seeds.shape[0], seeds.shape[1])):
        gradients = _one_by_one(study, state, chosen, x, seeds)
    return {name: Dense(gradient) for name, gradient in gradients.items()}


def _confirmed(gradients: Mapping[str, Tensor], first: Mapping[str, Tensor], counts: tuple[int, int]) -> bool:
    """Whether the vectorised gradients of the first example are those of plain autograd.

    They are not for every operation: torch 2.13 gives gradients of a wrong shape behind PReLU.
    """
    return all(
        gradients[name].shape == (*counts, *gradient.shape[2:]) and same(gradients[name][:1, :1], gradient)
        for name, gradient in first.items()
    )


def pullback(function: Callable[[Any], Tensor], point: Any) -> Callable[[Any], Any]:
    """The reverse-mode derivative of a function of one argument: it takes a cotangent of the value."""
    found: Any = vjp(function, point)
    return lambda cotangent: found[1](cotangent)[0]


def _vectorized(
    study: Study, state: Mapping[str, Tensor], chosen: Mapping[str, Tensor], x: Batch, seeds: Tensor
) -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        flat[str(len(flat))] = tensor
        return tensor

    batches.mapped(x, note)
    batched = {key: tensor for key, tensor in flat.items() if tensor.ndim}

    def gradients(entries: dict[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
        order = iter(range(len(flat)))

        def entry(tensor: Tensor) -> Tensor:
            key = str(next(order))
            return entries[key].unsqueeze(0) if tensor.ndim else tensor

        example = batches.mapped(x, entry)
        pull = pullback(lambda some: study.call({**state, **some}, example)[0], dict(chosen))
        return vmap(pull)(seed)

    return vmap(gradients)(batched, seeds)


def _one_by_one(
    study: Study, state: Mapping[str, Tensor], chosen: Mapping[str, Tensor], x: Batch, seeds: Tensor
) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {name: [] for name in chosen}
    for place, seed in enumerate(seeds):
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in chosen.items()}
        y = study.call({**state, **leaves}, batches.rows(x, slice(place, place + 1)))[0]
        columns = [
            torch.autograd.grad(y, list(leaves.values()), column, retain_graph=True, materialize_grads=True)
            for column in seed
        ]
        for name, gradient in zip(leaves, zip(*columns, strict=True), strict=True):
            found[name].append(torch.stack(gradient))
    return {name: torch.stack(gradients) for name, gradients in found.items()}
