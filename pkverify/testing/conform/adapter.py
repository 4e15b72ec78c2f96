"""An adapter: what computes scores, and what it says that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.testing.conform.reference import OTHER, QUANTITIES, Quantity
from pkverify.testing.conform.task import FEATURES, LOSSES, MEAN, MINIBATCHES, MOMENTUM, Task

_NOT_SAID = "it does not say that it follows these steps"


class NotApplicable(Exception):  # noqa: N818 - not an error: the peer does not claim to do this
    """Raised by an adapter for a task that its peer does not claim to handle; the text says why."""


@dataclass(frozen=True)
class Adapter:
    """Attribution code under test.

    Attributes:
        name: What it is called in reports.
        scores: From a task to scores, ``[q, m]``: a tensor, an array or nested lists.
        quantity: What the scores are, a name in ``QUANTITIES``; None to let the suite find out; ``other`` for one that
            is not in the list, which ``formula`` tells.
        version: Of the code under test.
        params: Globs for the parameters that take part; ``{last}`` stands for the last layer's name.
        losses: Which losses it handles.
        any_examples: Whether it scores any examples at given checkpoints. False where it follows the run itself, whose
            steps need all of them.
        note: What a reader of the report should know.
        cannot: What its peer does not claim to handle, each with the reason: of the ``FEATURES`` of runs, and of the
            relations. None where nothing is said: left-endpoint sums, which do not ask what the steps were, are then
            tried on all runs, other scores on plain descent only.
        formula: What the scores are, in symbols, where ``quantity`` is ``other``.
        devices: Where it can compute; the suite hands it tensors that are there.
    """

    name: str
    scores: Callable[[Task], Any]
    quantity: str | None = None
    version: str = ""
    params: tuple[str, ...] = ("*",)
    losses: tuple[str, ...] = LOSSES
    any_examples: bool = True
    note: str = ""
    cannot: Mapping[str, str] | None = None
    formula: str = ""
    devices: tuple[str, ...] = ("cpu",)

    def __post_init__(self) -> None:
        if self.quantity is not None:
            quantity_of(self.quantity)
        unknown = sorted({*self.losses} - {*LOSSES})
        if unknown or not self.losses:
            raise InputError(f"losses: {unknown or 'none'}", "", f"choose from {', '.join(LOSSES)}")

    def refuses(self, features: Sequence[str]) -> str:
        """Why runs with these features are not for it; an empty string where they are."""
        cannot: Mapping[str, str] = self.cannot or {}
        if self.cannot is None:
            follows = self.quantity is None or self.quantity == OTHER.name or quantity_of(self.quantity).adds_up
            cannot = dict.fromkeys((MINIBATCHES, MEAN, MOMENTUM), _NOT_SAID) if follows else {}
        return next((f"{name}: {cannot[name]}" for name in FEATURES if name in features and name in cannot), "")

    def params_of(self, task: Task) -> tuple[str, ...]:
        """The globs, with the last layer's name filled in."""
        return tuple(glob.replace("{last}", task.last_layer) for glob in self.params)


def quantity_of(name: str) -> Quantity:
    """A quantity by its name.

    Raises:
        InputError: If there is none.
    """
    if name == OTHER.name:
        return OTHER
    if name not in QUANTITIES:
        raise InputError(f"quantity: there is no {name!r}", "", f"choose from {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


@dataclass(frozen=True)
class Scores:
    """What an adapter returned for one task.

    Attributes:
        values: In float64, ``[q, m]``.
        dtype: As it was returned; None for nested lists of Python's floats.
        moved: Which of its inputs the adapter changed in place.
    """

    values: Tensor
    dtype: torch.dtype | None
    moved: tuple[str, ...]


class WrongScores(Exception):  # noqa: N818 - a finding
    """The adapter failed on a task, or returned no ``[q, m]`` numbers."""


def scores_of(adapter: Adapter, task: Task) -> Scores:
    """Run an adapter on its own copy of a task; it may print, warn and overwrite as it likes.

    Raises:
        NotApplicable: As the adapter says.
        WrongScores: If it fails, or returns something of another shape.
    """
    if task.kind not in adapter.losses:
        raise NotApplicable(f"it does not handle the {task.kind} loss")
    if reason := adapter.refuses(task.features):
        raise NotApplicable(reason)
    own = task.fresh()
    default = torch.get_default_dtype()
    try:
        with catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            simplefilter("ignore")
            found = adapter.scores(own)
        tensor = found.detach().cpu() if isinstance(found, Tensor) else torch.as_tensor(found)
    except NotApplicable:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise WrongScores(f"{type(error).__name__}: {text[:200]}") from error
    finally:
        torch.set_default_dtype(default)
    wanted = (len(task.x_query), len(task.x))
    if tuple(tensor.shape) != wanted:
        raise WrongScores(f"the shape is {tuple(tensor.shape)}, and [q, m] is {wanted}")
    dtype = tensor.dtype if hasattr(found, "dtype") else None
    return Scores(tensor.to(torch.float64), dtype, _moved(own, task))


def _moved(own: Task, task: Task) -> tuple[str, ...]:
    names = [
        name for name in ("x", "y", "x_query", "y_query") if not torch.equal(getattr(own, name), getattr(task, name))
    ]
    pairs: Sequence[Any] = list(zip(own.checkpoints, task.checkpoints, strict=True))
    names += [
        f"checkpoints[{s}]"
        for s, (one, two) in enumerate(pairs)
        if any(not torch.equal(one[name], two[name]) for name in two)
    ]
    return tuple(names)
