"""The ranks of a data-parallel run, as its recording sees them: who was in each global batch, and who writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.join import Join, Joinable, JoinHook
from torch.nn.parallel import DistributedDataParallel

from pkverify.errors import InputError
from pkverify.network.training import Batched, Params

T = TypeVar("T")

_SHARDED = ("DTensor", "FullyShardedDataParallel", "FSDPModule")


def unwrapped(model: nn.Module) -> tuple[nn.Module, Ranks | None]:
    """The module inside ``DistributedDataParallel``, and its ranks; a bare module as it is, and None.

    Args:
        model: A module.

    Returns:
        The module that holds the parameters, and the ranks that train it together.

    Raises:
        InputError: If its parameters are sharded over ranks.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> unwrapped(model) == (model, None)
        True
    """
    kinds = [(name or "the model", m) for name, m in model.named_modules()] + list(model.named_parameters())
    for name, held in kinds:
        found = [kind.__name__ for kind in type(held).__mro__ if kind.__name__ in _SHARDED]
        if found:
            raise InputError(
                f"model: {name} is sharded over the ranks ({found[0]})",
                "a step is recorded as whole parameters, and no rank holds them",
                "train with DistributedDataParallel; for a model that fits on no device, record the steps of the "
                "layers that do (see the documentation on scaling out)",
            )
    if not isinstance(model, DistributedDataParallel):
        return model, None
    return cast("nn.Module", model.module), Ranks(model)


class Ranks(Joinable):
    """The processes that train one model together, each on batches of its own.

    The gradient that an optimiser finds is the mean over the ranks; so each rank's batches count with the weight
    ``1 / world``. All parameters are the same on all ranks, and one rank keeps them: rank 0, or where it has left
    within a ``Join`` context, the first that is still there.

    Args:
        model: The module that averages their gradients.

    Attributes:
        rank: The number of this process.
        world: How many there are.
        own: The batches of this rank in the last step.
        left: The ranks that ran out of batches within a ``Join`` context.
        in_memory: Whether the path is kept by rank 0 alone.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        super().__init__()
        self._model = model
        self._group: Any = model.process_group
        self.rank, self.world = dist.get_rank(self._group), dist.get_world_size(self._group)
        self.own: tuple[Batched, ...] = ()
        self.left: set[int] = set()
        self.in_memory = False

    @property
    def writer(self) -> int:
        """The rank that keeps the parameters."""
        return min(set(range(self.world)) - self.left, default=0)

    @property
    def writes(self) -> bool:
        """Whether that is this one."""
        return self.rank == self.writer

    @property
    def joining(self) -> bool:
        """Whether a ``Join`` context with these ranks in it is open; then each pass is told to all when it is named."""
        return bool(self._join_config.enable)

    @property
    def join_device(self) -> torch.device:
        """Where the counts of ``Join`` are."""
        return self._model.join_device

    @property
    def join_process_group(self) -> Any:
        """The group over which ``Join`` counts."""
        return self._group

    def join_hook(self, **_: Any) -> JoinHook:
        """What a rank does in place of naming batches, once it has none."""
        return _Gone(self)

    def named(self, batch: Batched) -> tuple[Batched, ...]:
        """Within ``Join``: the batches of all ranks in this pass."""
        Join.notify_join_context(self)
        return self._gathered((batch,))

    def together(self, batches: Sequence[Batched]) -> tuple[Batched, ...]:
        """The batches of all ranks in this step, each weighted as the mean over the ranks weights it.

        Raises:
            InputError: If the module joins uneven inputs and the recording does not.
        """
        if self._model._join_config.enable:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - torch has no other
            raise InputError(
                "path: the model joins uneven inputs, and the recording does not",
                "a rank without batches would keep the others waiting to hear who is in a step",
                "open the context with both, the recording first: with Join([path.ranks, model])",
            )
        return self._gathered(tuple(batches))

    def leave(self) -> None:
        """Tell the others that this rank has no batch any more; once for each pass that they make."""
        self._gathered(None)

    def _gathered(self, own: tuple[Batched, ...] | None) -> tuple[Batched, ...]:
        told: list[tuple[Batched, ...] | None] = self.every(own)
        gone = {rank for rank, batches in enumerate(told) if batches is None}
        if self.left - gone:
            raise InputError(
                f"path: rank {min(self.left - gone)} left for want of batches, and is back",
                "while it was away its optimiser made no steps: the ranks are not in one state any more",
                "record a new path from here on, or give all ranks equally many batches in all epochs but the last",
            )
        self.left = gone
        if self.in_memory and 0 in gone and len(gone) < self.world:
            raise InputError(
                "path: rank 0 has no batches any more, and the path is kept in its memory",
                "the steps that the others go on to make would be lost",
                'record to a folder (to="..."), or give rank 0 at least as many batches as the others',
            )
        self.own = own or ()
        share = 1.0 / self.world
        return tuple(Batched(b.indices, b.weight * share) for batches in told for b in batches or ())

    def every(self, mine: T) -> list[T]:
        """What each rank gives, by rank."""
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, mine, group=self._group)
        return found

    def mean(self, tensors: Params) -> Params:
        """The mean over the ranks of tensors that each of them has."""
        found: Params = {}
        for name, tensor in tensors.items():
            total = tensor.clone(memory_format=torch.contiguous_format)
            dist.all_reduce(total, group=self._group)
            found[name] = total / self.world
        return found

    def agree(self, error: InputError | None) -> None:
        """Raise on all ranks where one has an error, so that none waits for another in vain."""
        told = self.every(None if error is None else (error.what, error.why, error.fix))
        first = next(((rank, parts) for rank, parts in enumerate(told) if parts is not None), None)
        if error is not None:
            raise error
        if first is not None:
            rank, (what, why, fix) = first
            raise InputError(f"{what} (rank {rank})", why, fix)

    def first(self, action: Callable[[], T]) -> T | None:
        """Let rank 0 act while the others wait; its result there, None elsewhere, its error on all."""
        result, error = None, None
        if self.rank == 0:
            try:
                result = action()
            except InputError as raised:
                error = raised
        self.agree(error)
        return result

    def require_same(self, **facts: object) -> None:
        """Refuse ranks that do not record one run.

        Args:
            facts: What must be the same on all of them.

        Raises:
            InputError: Naming the first that is not.
        """
        told = self.every({key: str(value) for key, value in facts.items()})
        for key in facts:
            values = [fact[key] for fact in told]
            other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
            if other is not None:
                raise InputError(
                    f"{key}: {values[0]} on rank 0, and {values[other]} on rank {other}",
                    "all ranks record one run: positions in x mean the same examples everywhere",
                    "give record() the same arguments on every rank, x and y whole and in one order",
                )


class _Gone(JoinHook):
    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def main_hook(self) -> None:
        self._ranks.leave()


class Elsewhere:
    """The store of a rank that keeps no parameters, where the path is in the memory of rank 0."""

    spacing = 1

    def room(self, like: Tensor, size: int) -> None:
        """None: nothing is kept here."""

    def write_step(self, number: int, step: object, point: object) -> None:
        """Nothing: rank 0 keeps it."""

    def write_final(self, weights: Tensor) -> None:
        """Nothing: rank 0 keeps them."""

    def point(self, number: int) -> dict[str, Tensor]:
        """There is none here.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"path: point {number} is kept by rank 0",
            "parameters are stored once, and not on every rank",
            'decompose on rank 0, or record to a folder (to="...") that all ranks can read',
        )

    def final(self) -> Tensor | None:
        """There is none here."""
        return None
