"""What a recording does before and after each step of an optimiser."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.guard import Attempt, check_gradient, check_update, refuse_random_layers
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import Moment, Rule
from pkverify.network.path import Progress, Step, TrainingPath, splits_of
from pkverify.network.training import Params


class Recorder:
    """The two hooks of a recording.

    Args:
        path: The path that grows.
        optimizer: The optimiser that is watched.
        moved: The parameters that it moves, by name.
        guard: True for a look at every step, a number k for one from every k, False for none.
    """

    def __init__(
        self,
        path: TrainingPath,
        optimizer: torch.optim.Optimizer,
        moved: Mapping[str, nn.Parameter],
        guard: bool | int,  # noqa: FBT001 - True is every step, and a number is as good
    ) -> None:
        self._path = path
        self._optimizer = optimizer
        self._moved = dict(moved)
        self._every = 0 if guard is False else 1 if guard is True else int(guard)
        self._draw = random.Random(0)  # noqa: S311 - which steps are looked at again is no secret
        self._drawn = 0
        self._progress = Progress(path.header, path.initial_buffers)
        for step in path.steps:
            self._progress.advance(step.settings, step.absent)
        self._versions = self._now()
        self._current: tuple[Step, dict[str, Tensor] | None, dict[str, Moment]] | None = None
        self._guarded: tuple[Params, Params, Params] | None = None
        self._previous: tuple[Params, Any] | None = None
        self._last: Tensor | None = None
        self._broken = False

    def before_step(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep the weights, and look at the gradient."""
        path, number = self._path, self._path.step_count
        self._broken = True  # until after_step says otherwise
        if any(callable(a) for a in (*args[1:], *kwargs.values())):
            raise InputError(
                f"step {number}: the optimiser is given a closure",
                "the gradient would be computed inside the step, after the recorder looked",
                "call backward() first, then step() without a closure",
            )
        self._refuse_outside_changes(optimizer, number)
        settings = tuple(
            {key: _plain(group[key]) for key in path.header.rule.settings} for group in optimizer.param_groups
        )
        grads = {name: p.grad for name, p in self._moved.items()}
        present = {name: g for name, g in grads.items() if g is not None}
        absent = frozenset(grads.keys() - present.keys())
        norms = torch.zeros(len(grads), dtype=torch.float64)
        if present:
            found = torch.stack([torch.linalg.vector_norm(g.detach()) for g in present.values()]).double().cpu()
            norms[[place for place, name in enumerate(grads) if name in present]] = found
        step = Step(path.take_pending(), settings, absent, norms)
        moments = self._progress.advance(settings, absent)
        kept = number % path.header.every == 0 and (path.ranks is None or path.ranks.writes)
        point = {"weights": self._weights(row=True), **self._whole_state(number)} if kept else None
        self._current = (step, point, moments)
        self._note_unmoved(point, step, number)
        self._guarded = None
        if self._is_drawn(number):
            params = path.training.function.unflatten(self._weights() if point is None else point["weights"])
            self._look(Attempt(path.training, params, step.batches, present, path.header.clip_norm, self._previous))
            refuse_random_layers(path.training.function.model)
            buffers = {name: b.clone() for name, b in momentum_of(path.header.rule, optimizer, self._moved).items()}
            self._guarded = (params, {name: g.detach().clone() for name, g in present.items()}, buffers)
            self._previous = (params, step.batches)
        elif self._every:
            self._previous = None

    def after_step(self, optimizer: torch.optim.Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        """Keep the statistics, and look at the step."""
        path, number = self._path, self._path.step_count
        assert self._current is not None
        step, point, moments = self._current
        statistics: dict[str, Params] = {}
        written = point is not None and path.header.every == 1 and path.store.spacing == 1
        if written or self._guarded is not None:
            statistics = self._statistics(optimizer, step)
        if self._guarded is not None:
            before, gradient, buffers = self._guarded
            splits = splits_of(path.header, step.settings, moments, statistics)
            after = {name: p.detach() for name, p in self._moved.items()}
            check_update(splits, before, gradient, buffers, after, number)
        if point is not None and written:
            point |= {entry: torch.cat([t.reshape(-1) for t in parts.values()]) for entry, parts in statistics.items()}
        if path.ranks is None or path.ranks.writes:
            path.store.write_step(number, step, point)
        path.steps.append(step)
        self._versions = self._now()
        self._current, self._broken = None, False

    def finish(self) -> None:
        """Keep the last weights, unless a step was refused on its way."""
        ranks = self._path.ranks
        if self._broken or not self._path.step_count or not (ranks is None or ranks.writes):
            return
        if ranks is None or not ranks.left:  # else the last of the ranks has just given its weights to the others
            self._refuse_outside_changes(self._optimizer, self._path.step_count)
        self._path.store.write_final(self._weights())

    def _look(self, attempt: Attempt) -> None:
        """Compare the gradient with that of the named examples; where ranks share the work, each computes its own."""
        number, ranks = self._path.step_count, self._path.ranks
        if ranks is None or ranks.joining:
            check_gradient(attempt, number)
            return
        with exact_arithmetic():
            mine = attempt.training.gradient(attempt.params, ranks.own)
        error = None
        try:
            check_gradient(replace(attempt, own=ranks.own, expected=ranks.mean(mine)), number)
        except InputError as found:
            error = found
        ranks.agree(error)

    def _weights(self, *, row: bool = False) -> Tensor:
        parts = [p.detach().reshape(-1) for p in self._moved.values()]
        room = self._path.store.room(parts[0], self._path.training.function.size) if row else None
        return torch.cat(parts) if room is None else torch.cat(parts, out=room)

    def _whole_state(self, number: int) -> Params:
        """The optimiser's state before a step, flat and by entry, where something will be made again from it."""
        spacing, rule = self._path.store.spacing, self._path.header.rule
        if self._path.header.every == 1 and (
            spacing == 1 or number % spacing or not any(map(rule.statistics, self._optimizer.param_groups))
        ):
            return {}
        states = {name: self._optimizer.state.get(p, {}) for name, p in self._moved.items()}
        entries = dict.fromkeys(
            entry
            for name, state in states.items()
            for entry, value in state.items()
            if isinstance(value, Tensor) and entry != "step" and value.shape == self._moved[name].shape
        )
        return {
            entry: torch.cat(
                [states[n].get(entry, torch.zeros_like(p.detach())).reshape(-1) for n, p in self._moved.items()]
            )
            for entry in entries
        }

    def _now(self) -> list[int]:
        return [p._version for p in self._moved.values()]  # noqa: SLF001 - torch counts changes in place there

    def _refuse_outside_changes(self, optimizer: torch.optim.Optimizer, number: int) -> None:
        if [len(names) for names in self._path.header.groups] != [len(g["params"]) for g in optimizer.param_groups]:
            raise InputError(
                f"step {number}: the optimiser's groups are not those of the start",
                "each parameter's settings are found by its group",
                "record a new path from here on",
            )
        if self._now() != self._versions:
            raise InputError(
                f"step {number}: the weights were changed between two steps",
                "that change belongs to no example: it would stand in the residual",
                "change them by the optimiser alone, or record a new path from here on",
            )

    def _is_drawn(self, number: int) -> bool:
        if self._every <= 1 or number < 2:
            return bool(self._every)
        if number % self._every == 0:
            self._drawn = number + self._draw.randrange(self._every)
        return number == self._drawn

    def _statistics(self, optimizer: torch.optim.Optimizer, step: Step) -> dict[str, Params]:
        """The statistics of all parameters by entry; zeros where a parameter has none."""
        found: dict[str, Params] = {}
        rule = self._path.header.rule
        for entry in dict.fromkeys(e for settings in step.settings for e in rule.statistics(settings)):
            found[entry] = {
                name: optimizer.state[p][entry].detach()
                if entry in optimizer.state[p]
                else torch.zeros_like(p.detach())
                for name, p in self._moved.items()
            }
        return found

    def _note_unmoved(self, point: Mapping[str, Tensor] | None, step: Step, number: int) -> None:
        if point is None:
            return
        now, before = point["weights"], self._last
        moving = any(settings["lr"] for settings in step.settings) and float(step.norms.sum()) > 0
        # Nearly always some of the first few entries differ, and the rest need not be read.
        if before is not None and moving and torch.equal(before[:64], now[:64]) and torch.equal(before, now):
            self._path.unmoved.append(number)
        self._last = point["weights"]


def _plain(value: object) -> Any:
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


def momentum_of(rule: Rule, optimizer: torch.optim.Optimizer, moved: Mapping[str, nn.Parameter]) -> Params:
    """The momentum of each parameter that has one, by name; not copied.

    Args:
        rule: How the optimiser's steps split.
        optimizer: The optimiser.
        moved: The parameters that it moves, by name.

    Returns:
        The buffers.
    """
    names = {id(p): name for name, p in moved.items()}
    found: Params = {}
    for group in optimizer.param_groups:
        entry = rule.buffer(group)
        for p in group["params"]:
            held = optimizer.state[p].get(entry) if entry and p in optimizer.state else None
            if held is not None:
                found[names[id(p)]] = held.detach()
    return found
