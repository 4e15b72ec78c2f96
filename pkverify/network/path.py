"""A training run as it was: the weights it passed, who was in each step, and the settings of the optimiser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.layers.batches import Batch
from pkverify.network.optimizers import IDLE, RULES, Moment, Rule, StepSplit
from pkverify.network.training import Batched, Params, Training

if TYPE_CHECKING:
    from pkverify.network.distributed.ranks import Ranks


@dataclass(frozen=True)
class Step:
    """What is recorded of one step, weights aside.

    Attributes:
        batches: The backward passes whose gradients the step took.
        settings: For each parameter group the settings on which its step depends, as they were.
        absent: Names of the parameters that had no gradient.
        norms: Norm of the gradient of each parameter as the optimiser found it, ``[parameters]`` in float64.
    """

    batches: tuple[Batched, ...]
    settings: tuple[Mapping[str, Any], ...]
    absent: frozenset[str]
    norms: Tensor


@dataclass(frozen=True)
class Header:
    """What is the same for all steps of a path.

    Attributes:
        optimizer: Name of the optimiser's class in torch.optim.
        groups: The parameter names of each group.
        every: The weights are kept before every so many steps, and after the last.
        clip_norm: The norm to which gradients were clipped, or None.
        counts: How often each parameter had been updated before the path began.
    """

    optimizer: str
    groups: tuple[tuple[str, ...], ...]
    every: int
    clip_norm: float | None
    counts: Mapping[str, int]

    @property
    def rule(self) -> Rule:
        """How the steps of this optimiser split."""
        return RULES[self.optimizer]


class Store(Protocol):
    """Where the tensors of a path are kept: flat vectors ``[d]`` by name.

    Point ``k`` holds the ``weights`` before step ``k * every``. With ``every > 1`` it also holds the whole state of the
    optimiser before it, from which the steps up to the next point are made again. With ``every == 1`` it holds the
    optimiser's statistics after that step; but where ``spacing > 1`` the whole state before it, at every ``spacing``-th
    point alone, from which the statistics in between are made again. The final point holds the last weights.

    Attributes:
        spacing: At every how many points there is something beside the weights.
    """

    spacing: int

    def room(self, like: Tensor, size: int) -> Tensor | None: ...

    def write_step(self, number: int, step: Step, point: Mapping[str, Tensor] | None) -> None: ...

    def write_final(self, weights: Tensor) -> None: ...

    def point(self, number: int) -> Mapping[str, Tensor]: ...

    def final(self) -> Tensor | None: ...


def splits_of(
    header: Header,
    settings: Sequence[Mapping[str, Any]],
    moments: Mapping[str, Moment],
    statistics: Mapping[str, Params],
) -> dict[str, StepSplit]:
    """How a step splits, by parameter name.

    Args:
        header: What is the same for all steps.
        settings: The settings of each group at the step.
        moments: How far its parameters have come; those without a gradient are left out.
        statistics: The optimiser's statistics by entry and parameter name.

    Returns:
        The split of every parameter that the optimiser moves.
    """
    found: dict[str, StepSplit] = {}
    for names, group in zip(header.groups, settings, strict=True):
        wanted = header.rule.statistics(group)
        for name in names:
            if name not in moments:
                found[name] = IDLE
                continue
            own = {entry: statistics[entry][name] for entry in wanted}
            found[name] = header.rule.split(group, moments[name], own)
    return found


class Progress:
    """How far each parameter has come, step by step.

    Args:
        header: What is the same for all steps.
        started: Names of the parameters that have a momentum buffer before the first step.

    Attributes:
        counts: How often each parameter was updated.
        started: Names of the parameters that have a momentum buffer.
    """

    def __init__(self, header: Header, started: Iterable[str]) -> None:
        self._header = header
        self.counts = dict(header.counts)
        self.started = set(started)

    def advance(self, settings: Sequence[Mapping[str, Any]], absent: frozenset[str]) -> dict[str, Moment]:
        """Take one step further; the parameters without a gradient stay where they are."""
        now: dict[str, Moment] = {}
        for names, group in zip(self._header.groups, settings, strict=True):
            buffer = self._header.rule.buffer(group)
            for name in names:
                if name in absent:
                    continue
                self.counts[name] = self.counts.get(name, 0) + 1
                now[name] = Moment(self.counts[name], fresh=name not in self.started)
                if buffer:
                    self.started.add(name)
        return now


class TrainingPath:
    """The recorded path of a training run; while it is recorded, also the place to say who is in the next step.

    Args:
        training: Model, loss and examples.
        header: What is the same for all steps.
        store: Where the tensors are.
        initial_buffers: Momentum with which the path began, by parameter name.
        steps: The steps, where there are some already.

    Attributes:
        training: Model, loss and examples.
        header: What is the same for all steps.
        store: Where the tensors are.
        initial_buffers: Momentum with which the path began, by parameter name.
        steps: The steps so far.
        unmoved: Numbers of the steps that had a gradient and a learning rate, and still left all weights as they were.
        ranks: The ranks of a data-parallel run while it is recorded, else None.
    """

    def __init__(
        self,
        training: Training,
        header: Header,
        store: Store,
        initial_buffers: Params,
        steps: Sequence[Step] = (),
    ) -> None:
        self.training = training
        self.header = header
        self.store = store
        self.initial_buffers = initial_buffers
        self.steps = list(steps)
        self.unmoved: list[int] = []
        self.ranks: Ranks | None = None
        self._pending: list[Batched] = []

    def batch(self, indices: Batch | Sequence[int], weight: float = 1.0) -> None:
        """Say who is in the next backward pass.

        Left out, it is everybody. With gradient accumulation it is called once for each backward pass of a step. Under
        data parallelism each rank names its own batch, with positions in the ``x`` that all ranks share.

        Args:
            indices: Positions in ``x``, repeats allowed: ``[n]``; or a mask over all examples.
            weight: The factor by which the loss of this pass was multiplied, such as ``1 / passes``.

        Raises:
            InputError: If a position is no example.
        """
        place = torch.as_tensor(indices).detach().cpu().reshape(-1)
        total = self.training.examples.count
        if place.dtype == torch.bool:
            place = place.nonzero().reshape(-1) if len(place) == total else place
        if place.dtype.is_floating_point or place.dtype == torch.bool or not len(place):
            raise InputError(
                f"batch: {tuple(place.shape)} {place.dtype} does not name examples",
                "each step is split over its examples by their positions in x",
                "give a non-empty tensor or list of integers, or a mask as long as x",
            )
        if int(place.min()) < -total or int(place.max()) >= total:
            raise InputError(
                f"batch: positions run from {int(place.min())} to {int(place.max())}",
                f"x holds {total} examples",
                "give positions in the x that was handed to record()",
            )
        place = place.long()
        named = Batched(torch.where(place < 0, place + total, place), float(weight))
        if self.ranks is not None and self.ranks.joining:
            self._pending.extend(self.ranks.named(named))
        else:
            self._pending.append(named)

    def take_pending(self) -> tuple[Batched, ...]:
        """The batches named since the last step, on all ranks; everybody where none was."""
        pending, self._pending = tuple(self._pending), []
        if self.ranks is None:
            return pending or (Batched(),)
        if not self.ranks.joining:
            return self.ranks.together(pending or (Batched(),))
        if not pending:
            raise InputError(
                f"step {self.step_count}: no batch was named",
                "with uneven inputs the ranks hear from each other at path.batch(), who is left and who is in a step",
                "call path.batch(indices) before each forward pass",
            )
        return pending

    @property
    def step_count(self) -> int:
        """The number of steps."""
        return len(self.steps)

    @property
    def points(self) -> range:
        """The numbers of the points at which weights are kept."""
        return range(-(-self.step_count // self.header.every))

    def steps_of(self, point: int) -> range:
        """The steps from one point to the next."""
        every = self.header.every
        return range(point * every, min((point + 1) * every, self.step_count))

    def weights(self, point: int) -> Tensor:
        """The flat weights ``[d]`` at a point; those after the last step at ``len(points)``.

        Raises:
            InputError: If the path is still being recorded, so that its last weights are not known.
        """
        if point < len(self.points):
            return self.store.point(point)["weights"]
        final = self.store.final()
        if final is None:
            raise InputError(
                "path: its last weights are not known",
                "the recording has not ended",
                "decompose after the with block; for a run that was killed, resume it or read the path up to a step",
            )
        return final

    def moments(self) -> Iterator[dict[str, Moment]]:
        """For each step, in order, how far each of its parameters has come."""
        progress = Progress(self.header, self.initial_buffers)
        for step in self.steps:
            yield progress.advance(step.settings, step.absent)
