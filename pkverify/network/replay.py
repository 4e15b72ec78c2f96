"""The steps between two kept points of a path, made again by the optimiser itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pkverify.network.guard import clip_factor
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import Moment
from pkverify.network.path import TrainingPath
from pkverify.network.training import Params


@dataclass(frozen=True)
class Passed:
    """Where a path was at a step.

    Attributes:
        number: The step.
        weights: The flat weights before it, ``[d]``.
        statistics: The optimiser's statistics after it, flat and by entry.
    """

    number: int
    weights: Tensor
    statistics: Mapping[str, Tensor]


def passed(
    path: TrainingPath, point: int, moments: Sequence[Mapping[str, Moment]], device: torch.device
) -> list[Passed]:
    """The steps from one point of a path to the next.

    Args:
        path: The path.
        point: The point.
        moments: How far each parameter has come, for each step of the path.
        device: Where to.

    Returns:
        One entry a step; with ``every == 1`` as it was recorded, else made again from the point.
    """
    stored = {entry: tensor.to(device) for entry, tensor in path.store.point(point).items()}
    weights = stored.pop("weights")
    steps = path.steps_of(point)
    if path.header.every == 1:
        return [Passed(steps[0], weights, stored)]
    parameters = {name: p.clone().requires_grad_() for name, p in path.training.function.unflatten(weights).items()}
    optimizer = _optimizer(path, point, parameters, stored, moments)
    found: list[Passed] = []
    for number in steps:
        step = path.steps[number]
        before = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
        with exact_arithmetic():
            gradient = path.training.gradient({n: p.detach() for n, p in parameters.items()}, step.batches)
        present = {name: g for name, g in gradient.items() if name not in step.absent}
        norm = torch.stack([g.norm() for g in present.values()]).norm() if present else 0.0
        factor = clip_factor(norm, path.header.clip_norm)
        for name, parameter in parameters.items():
            parameter.grad = present[name] * factor if name in present else None
        for group, settings in zip(optimizer.param_groups, step.settings, strict=True):
            group.update(settings)
        optimizer.step()
        entries = dict.fromkeys(e for group in step.settings for e in path.header.rule.statistics(group))
        statistics = {entry: _gathered(optimizer, parameters, entry) for entry in entries}
        found.append(Passed(number, before, statistics))
    return found


def _optimizer(
    path: TrainingPath,
    point: int,
    parameters: Params,
    stored: Mapping[str, Tensor],
    moments: Sequence[Mapping[str, Moment]],
) -> torch.optim.Optimizer:
    """An optimiser of the path's kind, in the state before the first step of a point."""
    first = path.steps_of(point)[0]
    groups = [
        {"params": [parameters[name] for name in names], **settings}
        for names, settings in zip(path.header.groups, path.steps[first].settings, strict=True)
    ]
    optimizer: torch.optim.Optimizer = getattr(torch.optim, path.header.optimizer)(groups)
    counts, started = dict(path.header.counts), set(path.initial_buffers)
    for step, now in zip(path.steps[:first], moments[:first], strict=True):
        for names, settings in zip(path.header.groups, step.settings, strict=True):
            updated = [name for name in names if name in now]
            counts |= {name: now[name].count for name in updated}
            if path.header.rule.buffer(settings):
                started.update(updated)
    whole = {entry: path.training.function.unflatten(flat) for entry, flat in stored.items()}
    for name, parameter in parameters.items():
        if not counts.get(name) and parameter not in optimizer.state:
            continue
        state = optimizer.state[parameter]
        if path.header.rule.counts:
            state["step"] = torch.tensor(float(counts.get(name, 0)))
        for entry, tensors in whole.items():
            if entry != "momentum_buffer" or name in started:
                state[entry] = tensors[name].clone()
    return optimizer


def _gathered(optimizer: torch.optim.Optimizer, parameters: Params, entry: str) -> Tensor:
    parts = [optimizer.state.get(p, {}).get(entry) for p in parameters.values()]
    return torch.cat(
        [
            torch.zeros_like(p).reshape(-1) if part is None else part.reshape(-1).clone()
            for p, part in zip(parameters.values(), parts, strict=True)
        ]
    ).detach()
