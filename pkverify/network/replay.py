"""What a path does not keep of its steps, made again by the optimiser itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
        gradient: The gradient of its named examples before clipping, where it had to be computed, else None.
    """

    number: int
    weights: Tensor
    statistics: Mapping[str, Tensor]
    gradient: Params | None = None


def passed(
    path: TrainingPath, points: range, moments: Sequence[Mapping[str, Moment]], device: torch.device
) -> Iterator[Passed]:
    """The steps of some points of a path, in their order.

    Where the path kept weights and statistics of every step they are read. Else steps are made again by the optimiser,
    from the last point that has its whole state: with ``every > 1`` the weights too, else the statistics alone.

    Args:
        path: The path.
        points: The points.
        moments: How far each parameter has come, for each step of the path.
        device: Where to.

    Yields:
        The steps. What is made again holds one step at a time.
    """
    for together in _cut(path, points):
        if path.header.every > 1 or (path.store.spacing > 1 and _divides(path, together)):
            begun = range(together.start - together.start % _spacing(path), together.stop)
            again = _again(path, begun, moments, device)
            yield from (place for place in again if place.number >= path.steps_of(together.start)[0])
            continue
        for point in together:
            stored = {entry: tensor.to(device) for entry, tensor in path.store.point(point).items()}
            yield Passed(point, stored.pop("weights"), stored)


def passed_back(
    path: TrainingPath, points: range, moments: Sequence[Mapping[str, Moment]], device: torch.device
) -> Iterator[Passed]:
    """As ``passed``, from the last step to the first; what is made again is held for the steps of a few points."""
    for together in reversed(list(_cut(path, points))):
        held = [replace(place, gradient=None) for place in passed(path, together, moments, device)]
        while held:
            yield held.pop()


def _spacing(path: TrainingPath) -> int:
    return path.store.spacing if path.header.every == 1 else 1


def _cut(path: TrainingPath, points: range) -> Iterator[range]:
    """The points, in parts that each begin where the optimiser's state is kept, or where the points begin."""
    spacing, start = _spacing(path), points.start
    while start < points.stop:
        stop = min(start - start % spacing + spacing, points.stop)
        yield range(start, stop)
        start = stop


def _divides(path: TrainingPath, points: range) -> bool:
    """Whether some step of these points has statistics."""
    rule = path.header.rule
    return any(rule.statistics(group) for point in points for group in path.steps[point].settings)


def _again(
    path: TrainingPath, points: range, moments: Sequence[Mapping[str, Moment]], device: torch.device
) -> Iterator[Passed]:
    """The steps of some points, of which the first has the optimiser's whole state."""
    stored = {entry: tensor.to(device) for entry, tensor in path.store.point(points.start).items()}
    weights = stored.pop("weights")
    parameters = {name: p.clone().requires_grad_() for name, p in path.training.function.unflatten(weights).items()}
    optimizer = _optimizer(path, points.start, parameters, stored, moments)
    for point in points:
        if point > points.start:
            weights = path.store.point(point)["weights"].to(device)
            with torch.no_grad():
                for name, kept in path.training.function.unflatten(weights).items():
                    parameters[name].copy_(kept)
        for number in path.steps_of(point):
            step = path.steps[number]
            at_point = number == point * path.header.every
            before = weights if at_point else torch.cat([p.detach().reshape(-1) for p in parameters.values()])
            with exact_arithmetic():
                gradient = path.training.gradient(path.training.function.unflatten(before), step.batches)
            present = {name: g for name, g in gradient.items() if name not in step.absent}
            factor = 1.0
            if path.header.clip_norm is not None and present:
                factor = clip_factor(torch.stack([g.norm() for g in present.values()]).norm(), path.header.clip_norm)
            for name, parameter in parameters.items():
                g = present.get(name)
                parameter.grad = g if g is None or factor == 1.0 else g * factor
            for group, settings in zip(optimizer.param_groups, step.settings, strict=True):
                group.update(settings)
            optimizer.step()
            entries = dict.fromkeys(e for group in step.settings for e in path.header.rule.statistics(group))
            statistics = {entry: _gathered(optimizer, parameters, entry) for entry in entries}
            yield Passed(number, before, statistics, gradient)


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
        if not whole or (not counts.get(name) and parameter not in optimizer.state):
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
