"""A path from checkpoints that a run kept by itself, where nothing was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.guard import clip_factor, refuse_random_layers
from pkverify.network.layers.batches import Batch
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import rule_of
from pkverify.network.path import Header, Step, TrainingPath
from pkverify.network.storage import MemoryStore
from pkverify.network.training import Batched, Examples, Loss, ModelFunction, OutputOf, Training, moved_names


def path_from_checkpoints(  # noqa: PLR0913 - what a run is about
    checkpoints: Sequence[Mapping[str, Tensor]],
    batches: Sequence[Sequence[int] | Tensor | None],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    loss: Loss,
    x: Batch,
    y: Batch | str | None = None,
    output: OutputOf | None = None,
    learning_rates: Sequence[float] | None = None,
    clip_norm: float | None = None,
) -> TrainingPath:
    """The path of a run of SGD (with or without momentum) of which every step's weights were kept.

    No guard looked at the steps, so a wrong batch or rate shows only in the residual.

    Args:
        checkpoints: The ``state_dict`` before each step and after the last.
        batches: Who was in each step; None for everybody.
        model: A module of the architecture.
        optimizer: The optimiser over ``model.parameters()``, with the settings of the run; its state plays no part.
        loss: As in the run.
        x: As in the run.
        y: As in the run.
        output: From what the model returns to the tensor that the loss takes.
        learning_rates: The rate of each step; that of the optimiser's groups when left out.
        clip_norm: The norm to which gradients were clipped.

    Returns:
        The path.

    Raises:
        InputError: If checkpoints share their memory or repeat, numbers do not fit, or the optimiser divides by
            statistics, which weights do not tell.

    Example:
        >>> model = nn.Linear(1, 1, bias=False).double()
        >>> one = {"weight": torch.tensor([[1.0]]).double()}
        >>> path_from_checkpoints([one, one], [None], model, torch.optim.SGD(model.parameters(), lr=0.5),
        ...     loss=torch.sum, x=torch.ones(1, 1).double())
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: checkpoints: 0 and 1 are the same tensors
          why  a state_dict holds references: what was kept is the last state, many times
          fix  keep copies: {name: t.clone() for name, t in model.state_dict().items()}
    """
    rule = rule_of(optimizer)
    refuse_random_layers(model)
    moved, groups = moved_names(model, optimizer)
    settings = [{key: group[key] for key in rule.settings} for group in optimizer.param_groups]
    if any(rule.statistics(group) for group in settings):
        raise InputError(
            f"optimizer: the steps of {type(optimizer).__name__} cannot be read off checkpoints",
            "they were divided by statistics of the gradients, which the weights do not tell",
            "record the run with network.record",
        )
    if len(checkpoints) != len(batches) + 1 or not batches:
        raise InputError(
            f"checkpoints: {len(checkpoints)} for {len(batches)} batches",
            "each step has its weights before it, and the last also those after it",
            "give one checkpoint more than batches",
        )
    if learning_rates is not None and len(learning_rates) != len(batches):
        raise InputError(
            f"learning_rates: {len(learning_rates)} for {len(batches)} batches", "", "give one for each step"
        )
    _refuse_aliases(checkpoints, list(moved))
    weights = [torch.cat([c[name].detach().reshape(-1) for name in moved]) for c in checkpoints]
    for place in range(len(batches)):
        if torch.equal(weights[place], weights[place + 1]):
            raise InputError(
                f"checkpoints: {place} and {place + 1} hold the same weights",
                "a step that moves nothing has no gradient to split",
                "keep the weights after each optimizer.step(), and leave out what was kept twice",
            )
    training = Training(
        ModelFunction(model, list(moved), output), loss, Examples(x, y, next(model.parameters()).device)
    )
    header = Header(type(optimizer).__name__, tuple(map(tuple, groups)), 1, clip_norm, {})
    path = TrainingPath(training, header, MemoryStore(training.function.size), {})
    for number, indices in enumerate(batches):
        if indices is not None:
            path.batch(indices)
        batch: tuple[Batched, ...] = path.take_pending()
        with exact_arithmetic():
            gradient = training.gradient(training.function.unflatten(weights[number]), batch)
        norms = torch.stack([g.norm() for g in gradient.values()]).double().cpu()
        now: list[dict[str, Any]] = [dict(group) for group in settings]
        for group in now if learning_rates is not None else ():
            group["lr"] = float(learning_rates[number]) if learning_rates is not None else group["lr"]
        step = Step(batch, tuple(now), frozenset(), norms * clip_factor(norms.norm(), clip_norm))
        path.store.write_step(number, step, {"weights": weights[number]})
        path.steps.append(step)
    path.store.write_final(weights[-1])
    return path


def _refuse_aliases(checkpoints: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> None:
    seen: dict[int, int] = {}
    for number, checkpoint in enumerate(checkpoints):
        missing = [name for name in names if name not in checkpoint]
        if missing:
            raise InputError(f"checkpoints: {number} has no {missing[0]}", "", "give the model's state_dict")
        for name in names:
            earlier = seen.setdefault(checkpoint[name].data_ptr(), number)
            if earlier != number:
                raise InputError(
                    f"checkpoints: {earlier} and {number} are the same tensors",
                    "a state_dict holds references: what was kept is the last state, many times",
                    "keep copies: {name: t.clone() for name, t in model.state_dict().items()}",
                )
