"""How a model uses its parameters, found out from one example alone and from a batch that begins with it.

Two examples are enough to tell where a batch stands in every tensor. So is any larger batch, and the pass that the
gradients are captured in anyway serves as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from pkverify.errors import InputError
from pkverify.network.layers import batches
from pkverify.network.layers.contraction import merged
from pkverify.network.layers.interception import Interception, Visit
from pkverify.network.layers.layout import Layout, find_layout, same
from pkverify.network.layers.usage import Study, identity, require_functional, select
from pkverify.network.numerics import exact_arithmetic, require_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.batches import Batch
    from pkverify.network.layers.contraction import Use


@dataclass(frozen=True)
class _Trial:
    """A pass of a few examples: its output, the calls seen, bytes of its graph, parameters used by no call seen."""

    output: Tensor
    visits: list[Visit]
    saved: int
    missed: frozenset[str]


@dataclass(frozen=True)
class Glimpse:
    """What a model shows of itself on one example alone: enough to plan with, if not where the examples of a batch are.

    Args:
        study: What is found so far: its layouts are guesses, its bytes an upper bound.
        state: The parameters and buffers it was called with.
        first: The pass of the example.
        watched: The parameters whose every use was recognised.
        plannable: Whether the sizes of all factors could be told.
    """

    study: Study
    state: Mapping[str, Tensor]
    first: _Trial
    watched: tuple[str, ...]
    plannable: bool

    def confirmed(self, output: Tensor, visits: Sequence[Visit]) -> Study | None:
        """The study, from a pass of a batch that begins with the example.

        Args:
            output: The model's output for the batch.
            visits: The calls seen in the pass.

        Returns:
            The study; None when it cannot be told of some call where its examples stand.

        Raises:
            InputError: The output of the first example is another in the batch than alone.
        """
        _require_independent(self.first.output, output)
        layouts = _layouts(self.first.visits, visits, output.shape[0])
        if None in layouts:
            return None
        return replace(self.study, layouts=layouts, sample=_sample(self.first.visits, layouts, self.watched))


@torch.inference_mode(mode=False)
def glimpse(
    model: nn.Module,
    x: Batch,
    *,
    output: Callable[[Any], Tensor] | None = None,
    params: str | Sequence[str] = "*",
    dtype: torch.dtype = torch.float64,
    weights: Mapping[str, Tensor] | None = None,
) -> Glimpse:
    """Finds out what one example alone shows of how a model uses its parameters.

    Args:
        model: As for ``study``.
        x: A batch, of which the first example is taken.
        output: As for ``study``.
        params: As for ``study``.
        dtype: As for ``study``.
        weights: Parameters by name to use instead of the model's own.

    Returns:
        The glimpse.

    Raises:
        InputError: As ``study``.

    Example:
        >>> seen = glimpse(nn.Linear(3, 2), torch.zeros(4, 3))
        >>> seen.watched, seen.plannable
        (('weight', 'bias'), True)
    """
    require_dtype(dtype)
    require_functional(model)
    batches.count(x)
    names = select(model, params)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    bare = Study(model, output or identity, names, dtype, device, (), (), (), batches.signature(x), 0, {})
    state = bare.state(weights)
    one = batches.cast_batch(batches.rows(x, slice(0, 1)), dtype, device)
    first, watched = _narrowed(names, lambda watched: _trial(bare, state, one, watched))
    plannable = all(visit.site.sample_axes for visit in first.visits)
    guesses = tuple(Layout(0, positions_first=False) for _ in first.visits)
    found = replace(
        bare,
        layouts=guesses,
        loose=tuple(name for name in names if name not in watched),
        output_shape=tuple(first.output.shape[1:]),
        bytes_per_example=first.saved,
        sample=_sample(first.visits, guesses, watched) if plannable else {},
    )
    return Glimpse(found, state, first, watched, plannable)


@torch.inference_mode(mode=False)
def study(
    model: nn.Module,
    x: Batch,
    *,
    output: Callable[[Any], Tensor] | None = None,
    params: str | Sequence[str] = "*",
    dtype: torch.dtype = torch.float64,
) -> Study:
    """Finds out how a model uses its parameters, from forward passes of one and of two examples.

    Args:
        model: Any module whose forward pass is a function of parameters, buffers and inputs.
        x: A batch: a tensor, a tuple or a dict, the examples along the first axis.
        output: Makes a tensor ``[examples, ...]`` from what the model returns; the identity when left out.
        params: Globs for the parameters to differentiate in.
        dtype: float64, or float32.

    Returns:
        The study.

    Raises:
        InputError: The model is random, ties its examples together, or does not return a tensor; or an argument is
            unusable.

    Example:
        >>> found = study(nn.Linear(3, 2), torch.zeros(4, 3))
        >>> found.names, found.loose, found.output_shape
        (('weight', 'bias'), (), (2,))
    """
    seen = glimpse(model, x, output=output, params=params, dtype=dtype)
    bare, state = seen.study, seen.state
    pair = batches.rows(x, torch.tensor([0, min(1, batches.count(x) - 1)]))
    two = batches.cast_batch(pair, dtype, bare.device)
    second = _trial(bare, state, two, seen.watched)
    extra = max(0, second.saved - seen.first.saved)
    if (found := seen.confirmed(second.output, second.visits)) is not None:
        return replace(found, bytes_per_example=extra)
    # Some call has no layout, and runs as it is: that may leave more parameters to the general route.
    one = batches.rows(two, slice(0, 1))
    layouts: tuple[Layout | None, ...] = ()

    def with_open_calls(watched: Sequence[str]) -> _Trial:
        nonlocal layouts
        first, second = _trial(bare, state, one, watched), _trial(bare, state, two, watched)
        layouts = _layouts(first.visits, second.visits, 2)
        return replace(first, missed=_trial(bare, state, one, watched, layouts).missed)

    first, watched = _narrowed(bare.names, with_open_calls)
    return replace(
        bare,
        layouts=layouts,
        loose=tuple(name for name in bare.names if name not in watched),
        bytes_per_example=extra,
        sample=_sample(first.visits, layouts, watched),
    )


def _narrowed(names: tuple[str, ...], trial: Callable[[Sequence[str]], _Trial]) -> tuple[_Trial, tuple[str, ...]]:
    """A trial in which nothing is missed of the parameters watched, and those: what was missed is watched no more."""
    watched = names
    while True:
        found = trial(watched)
        if found.missed.isdisjoint(watched):
            return found, watched
        watched = tuple(name for name in watched if name not in found.missed)


def _trial(
    bare: Study,
    state: Mapping[str, Tensor],
    batch: Batch,
    watched: Sequence[str],
    layouts: tuple[Layout | None, ...] | None = None,
) -> _Trial:
    """A pass in which the calls that use the ``watched`` parameters are seen."""
    leaves = {name: state[name].detach().requires_grad_() for name in bare.names}
    mode = Interception({name: leaves[name] for name in watched}, layouts, copied=True)
    with exact_arithmetic(), torch.enable_grad():
        with mode:
            y, saved = _bytes_saved(lambda: bare.call({**state, **leaves}, batch), state)
        missed: set[str] = set()
        if y.requires_grad and leaves:
            found: Any = torch.autograd.grad(y.sum(), list(leaves.values()), allow_unused=True)
            missed = {name for name, gradient in zip(leaves, found, strict=True) if gradient is not None}
    return _Trial(y.detach(), mode.visits, saved, frozenset(missed))


def _bytes_saved(run: Callable[[], Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, int]:
    """The result of a forward pass, and the bytes that its graph keeps beside the model itself."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, identity):
        result = run()
    own = {tensor.untyped_storage().data_ptr() for tensor in state.values()}
    return result, sum(size for place, size in seen.items() if place not in own)


def _layouts(first: Sequence[Visit], others: Sequence[Visit], examples: int) -> tuple[Layout | None, ...]:
    if len(first) != len(others):
        return (None,) * max(len(first), len(others))
    pairs = zip(first, others, strict=True)
    return tuple(find_layout(a.data, b.data, a.site.sample_axes, examples) for a, b in pairs)


def _sample(
    visits: list[Visit], layouts: tuple[Layout | None, ...], names: tuple[str, ...]
) -> dict[str, tuple[Use, ...]]:
    uses: dict[str, list[Use]] = {name: [] for name in names}
    for visit, layout in zip(visits, layouts, strict=True):
        if layout is None:
            continue
        zeros = layout.rows(visit.data.new_zeros(()).expand(1, *visit.shape), 1, leading=1).movedim(0, 1)
        for role, tracked in visit.parameters.items():
            factor = visit.site.factor(role, layout.rows(visit.data, 1), zeros)
            uses[tracked.name].append((tracked.view, factor))
    return {name: merged(some) for name, some in uses.items()}


def _require_independent(first: Tensor, several: Tensor) -> None:
    if first.ndim == 0 or first.shape[0] != 1 or several.ndim == 0 or several.shape[0] < 2:
        raise InputError(
            f"output: shape {tuple(several.shape)} for several examples",
            "the first axis of the output must run over the examples",
            "give output=, a function that returns a tensor with a row an example",
        )
    if not same(first, several[:1]):
        raise InputError(
            "model: the output of an example changes when another stands beside it in the batch",
            "either the model is random, or it ties the examples of a batch together",
            "call model.eval(), and replace what takes statistics of the batch",
        )
