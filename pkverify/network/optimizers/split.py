"""How one optimiser step is split: a step that is linear in the gradients of its examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

Settings: TypeAlias = Mapping[str, Any]
Statistics: TypeAlias = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Moment:
    """How far a parameter has come at a step.

    Attributes:
        count: How often it was updated, this step included.
        fresh: Whether this step makes its momentum buffer.
    """

    count: int
    fresh: bool


@dataclass(frozen=True)
class StepSplit:
    """One step of one parameter tensor ``w``, written as a linear map of its gradient ``g``.

    With ``g' = sign * g + coupled_decay * w`` the step is

        buffer <- keep * buffer + take * g'
        w      <- w - from_buffer * buffer - from_gradient * g' - decoupled_decay * w

    where a factor is a number, or a tensor of the shape of ``w`` that multiplies entry by entry. Denominators (Adam's,
    Adagrad's, RMSprop's) are taken as they were in the run: they depend on all gradients, and are shared by all
    examples.

    Attributes:
        keep: Share of the momentum buffer that stays.
        take: Share of ``g'`` that enters the buffer.
        from_buffer: Step taken along the buffer.
        from_gradient: Step taken along ``g'`` itself.
        sign: -1 where the optimiser maximises.
        coupled_decay: Weight decay that is added to the gradient, and so passes through momentum and denominator.
        decoupled_decay: Weight decay that shrinks the weights directly (learning rate included).
    """

    keep: float | torch.Tensor = 1.0
    take: float | torch.Tensor = 0.0
    from_buffer: float | torch.Tensor = 0.0
    from_gradient: float | torch.Tensor = 0.0
    sign: float = 1.0
    coupled_decay: float = 0.0
    decoupled_decay: float = 0.0


IDLE = StepSplit()
"""The step of a tensor without a gradient: torch's optimisers pass it over, momentum and decay included."""


@dataclass(frozen=True)
class Rule:
    """What must be recorded of an optimiser, and how its steps split.

    Attributes:
        settings: The keys of a parameter group on which a step depends; recorded at every step, so schedules are free.
        statistics: From the settings of a group: the entries of the optimiser's state, of the shape of the weights,
            that a step needs as they are after it.
        buffer: From the settings of a group: the entry of the state that holds the momentum, or None.
        split: From the settings, how far the parameter has come, and the statistics: the split of the step.
        counts: Whether the optimiser counts the updates of each tensor in its state.
        refusal: From the settings: why this group cannot be split, or None.
    """

    settings: tuple[str, ...]
    statistics: Callable[[Settings], tuple[str, ...]]
    buffer: Callable[[Settings], str | None]
    split: Callable[[Settings, Moment, Statistics], StepSplit]
    counts: bool = True
    refusal: Callable[[Settings], str | None] = lambda _: None


def sign_of(settings: Settings) -> float:
    """-1 where the group maximises, else 1."""
    return -1.0 if settings["maximize"] else 1.0
