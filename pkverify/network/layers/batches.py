"""Batches of examples: a tensor, a tuple of them, or a dict of them, the examples along the first axis of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from pkverify.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

# What is compared by value when two batches are joined.
_PLAIN = (bool, int, float, str)

Batch: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]


def _entries(batch: Batch) -> dict[str, Any]:
    if isinstance(batch, Tensor):
        return {"": batch}
    if isinstance(batch, Mapping):
        return {f"[{key!r}]": value for key, value in batch.items()}
    return {f"[{place}]": value for place, value in enumerate(batch)}


def mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with ``change`` applied to each of its tensors; whatever is no tensor stays."""

    def changed(value: object) -> Any:
        return change(value) if isinstance(value, Tensor) else value

    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: changed(value) for key, value in batch.items()}
    return tuple(changed(value) for value in batch)


def count(batch: Batch, name: str = "x") -> int:
    """How many examples a batch holds.

    Args:
        batch: A tensor, a tuple or a dict; the examples along the first axis of every tensor in it.
        name: What to call it in an error.

    Returns:
        The number of examples, at least one.

    Raises:
        InputError: There is no tensor, no example, or the tensors disagree.

    Example:
        >>> count({"input_ids": torch.zeros(3, 7), "use_cache": False})
        3
    """
    anything: Any = batch
    if not isinstance(anything, Tensor | Mapping | Sequence) or isinstance(anything, str | bytes):
        raise InputError(
            f"{name}: {type(batch).__name__} is no batch", "", "give a tensor, a tuple or a dict of tensors"
        )
    sizes = {key: value.shape[0] for key, value in _entries(batch).items() if isinstance(value, Tensor) and value.ndim}
    if not sizes or min(sizes.values()) == 0:
        raise InputError(f"{name}: no examples", "the examples stand along the first axis", "give at least one")
    first = next(iter(sizes.values()))
    for key, size in sizes.items():
        if size != first:
            raise InputError(
                f"{name}{key}: {size} examples where the first tensor has {first}",
                "every tensor of a batch holds the examples along its first axis",
                "bind what the examples share with functools.partial, or repeat it for each",
            )
    return first


def rows(batch: Batch, which: slice | Tensor) -> Batch:
    """The examples ``which`` of a batch.

    Args:
        batch: A batch.
        which: A slice, or a tensor of indices.

    Returns:
        A batch of the same kind.

    Example:
        >>> rows({"x": torch.arange(4)}, slice(1, 3))["x"]
        tensor([1, 2])
    """
    return mapped(batch, lambda tensor: tensor[which] if tensor.ndim else tensor)


def alike(first: Batch, second: Batch) -> bool:
    """Whether two batches differ in their examples alone, and could be one.

    Args:
        first: A batch.
        second: Another one.

    Returns:
        True when their tensors agree in all but the number of examples, and whatever else they hold is the same.

    Example:
        >>> alike((torch.zeros(2), "fast"), (torch.ones(1), "fast"))
        True
        >>> alike((torch.zeros(2), "fast"), (torch.ones(1), "slow"))
        False
    """
    left, right = _entries(first), _entries(second)
    if list(left) != list(right) or signature(first) != signature(second):
        return False
    return all(
        a.ndim > 0 and a.device == b.device
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else a is b or (isinstance(a, _PLAIN) and type(a) is type(b) and a == b)
        for a, b in zip(left.values(), right.values(), strict=True)
    )


def joined(first: Batch, second: Batch) -> Batch:
    """The examples of two batches that are ``alike``, in one batch of the kind of the first.

    Args:
        first: A batch.
        second: Another one.

    Returns:
        The batch.

    Example:
        >>> joined((torch.zeros(2), "fast"), (torch.ones(1), "fast"))
        (tensor([0., 0., 1.]), 'fast')
    """
    others = iter([value for value in _entries(second).values() if isinstance(value, Tensor)])
    return mapped(first, lambda tensor: torch.cat([tensor, next(others)]))


def cast_batch(batch: Batch, dtype: torch.dtype, device: torch.device) -> Batch:
    """The batch on ``device``, its real numbers in ``dtype``; integers and booleans keep theirs."""

    def moved(tensor: Tensor) -> Tensor:
        there = tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
        return there.clone() if there.is_inference() else there  # autograd will not keep what inference mode made

    return mapped(batch, moved)


def signature(batch: Batch) -> tuple[tuple[str, tuple[int, ...], torch.dtype], ...]:
    """What two batches share whose examples pass through a model the same way: all shapes but the first axis."""
    return tuple(
        (key, tuple(value.shape[1:]), value.dtype)
        for key, value in _entries(batch).items()
        if isinstance(value, Tensor)
    )


def arguments(batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments by which a model is called on a batch."""
    if isinstance(batch, Tensor):
        return (batch,), {}
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return tuple(batch), {}
