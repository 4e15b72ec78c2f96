"""What a training run trains: a model as a function of its parameters, its loss, and its examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader

from pkverify.errors import InputError
from pkverify.network.layers.batches import Batch, arguments, count, mapped, rows
from pkverify.network.numerics import require_dtype

Params: TypeAlias = dict[str, Tensor]
OutputOf: TypeAlias = Callable[[Any], Tensor]
Loss: TypeAlias = Callable[..., Tensor]


class ModelFunction:
    """A model as a function of those parameters that an optimiser moves; all else is kept as it is now.

    Args:
        model: A module; its own weights are never touched.
        moved: The names of the parameters that move.
        output: From what the model returns to the tensor ``[n, ...]`` that the loss takes; None where it is one.
    """

    def __init__(self, model: nn.Module, moved: Sequence[str], output: OutputOf | None = None) -> None:
        self.model = model
        self.output = output
        parameters = dict(model.named_parameters())
        self.shapes = {name: parameters[name].shape for name in moved}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        fixed = {name: p for name, p in parameters.items() if name not in self.shapes}
        self._fixed = {name: t.detach().clone() for name, t in (fixed | dict(model.named_buffers())).items()}

    @property
    def state(self) -> Params:
        """The parameters and buffers that do not move, by name."""
        return self._fixed

    @property
    def size(self) -> int:
        """The number ``d`` of parameters that move."""
        return sum(self.sizes)

    def with_output(self, output: OutputOf | None) -> ModelFunction:
        """The same function with another output."""
        if output is None:
            return self
        other = object.__new__(ModelFunction)
        other.__dict__.update(self.__dict__, output=output)
        return other

    def unflatten(self, flat: Tensor) -> Params:
        """The parameters by name, as views into flat vectors ``[..., d]``."""
        parts = flat.split(self.sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape) if shape else part.squeeze(-1)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def raw(self, params: Mapping[str, Tensor], x: Batch) -> Tensor:
        """The output as the loss takes it, ``[n, ...]``."""
        positional, named = arguments(x)
        returned = functional_call(self.model, {**self._fixed, **params}, positional, named)
        return returned if self.output is None else self.output(returned)

    def __call__(self, params: Mapping[str, Tensor], x: Batch) -> Tensor:
        """The outputs ``[n, C]``, all axes but the first in one."""
        raw = self.raw(params, x)
        return raw.reshape(raw.shape[0], -1)

    def changed_state(self) -> str | None:
        """The name of a fixed parameter or buffer that the model no longer holds as it was, or None."""
        now = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        return next((n for n, kept in self._fixed.items() if n in now and not torch.equal(kept, now[n])), None)


class Examples:
    """The training examples, taken by index.

    Args:
        x: A tensor, a tuple or a dict of tensors, with the examples along the first axis; or a DataLoader, whose data
            set is read by index and put together by its own ``collate_fn``.
        y: The targets; the name of the entry of a dict that holds them; or None for a loss without targets. With a
            DataLoader of pairs None, since the pair's second member is the target.
        device: Where what is taken is brought to; left where it is for None.

    Raises:
        InputError: If there are no examples, or inputs and targets differ in number.

    Example:
        >>> examples = Examples({"a": torch.arange(3), "labels": torch.arange(3)}, "labels")
        >>> examples.take(torch.tensor([2, 0]))
        ({'a': tensor([2, 0])}, tensor([2, 0]))
    """

    def __init__(self, x: Batch | DataLoader[Any], y: Batch | str | None, device: torch.device | None = None) -> None:
        self._device = device
        self._loader = x if isinstance(x, DataLoader) else None
        self._key = y if isinstance(y, str) else None
        if self._loader is not None:
            if not hasattr(self._loader.dataset, "__len__") or (y is not None and self._key is None):
                raise InputError(
                    "x: this DataLoader cannot be read by index together with these targets",
                    "the recorder looks examples up by their index, inputs and targets together",
                    "give a DataLoader over a data set with a length, and no y (or the name of the entry that is y)",
                )
            self.count = len(cast("Any", self._loader.dataset))
            return
        self._x, self._y = cast("Batch", x), None if self._key is not None else cast("Batch | None", y)
        self.count = count(self._x)
        if self._key is not None and not (isinstance(self._x, Mapping) and self._key in self._x):
            raise InputError(f"y: x has no entry {self._key!r}", "y names the entry of x that holds the targets")
        if self._y is not None and count(self._y, "y") != self.count:
            raise InputError(
                f"y: {count(self._y, 'y')} targets for {self.count} examples",
                "each example has its own target",
                "give one row of y for each row of x",
            )

    def take(self, indices: Tensor | None) -> tuple[Batch, Batch | None]:
        """Inputs and targets of the examples at ``indices`` ``[n]``, repeats included; all of them for None."""
        x, y = self._taken(indices)
        if self._device is None:
            return x, y
        device = self._device
        return mapped(x, lambda t: t.to(device)), None if y is None else mapped(y, lambda t: t.to(device))

    def _taken(self, indices: Tensor | None) -> tuple[Batch, Batch | None]:
        if self._loader is not None:
            places = range(self.count) if indices is None else indices.tolist()
            collate = cast("Callable[[list[Any]], Any]", self._loader.collate_fn)
            return self._parted(collate([self._loader.dataset[place] for place in places]))
        if indices is None:
            return self._parted(self._x) if self._key else (self._x, self._y)
        here = _device_of(self._x)
        x = rows(self._x, indices.to(here))
        return self._parted(x) if self._key else (x, None if self._y is None else rows(self._y, indices.to(here)))

    def _parted(self, both: Any) -> tuple[Batch, Batch | None]:
        if self._key is not None:
            return {name: value for name, value in both.items() if name != self._key}, both[self._key]
        if isinstance(both, Sequence) and len(both) == 2:
            return both[0], both[1]
        return both, None


@dataclass(frozen=True)
class Batched:
    """Who is in one backward pass of a step.

    Attributes:
        indices: Positions of the examples ``[n]``, with repeats where an example comes more than once; None for all.
        weight: Factor of the loss of this pass, as in gradient accumulation.
    """

    indices: Tensor | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Training:
    """A model, its loss and its examples."""

    function: ModelFunction
    loss: Loss
    examples: Examples

    def total_loss(self, outputs: Tensor, y: Batch | None) -> Tensor:
        """The loss of a batch from its outputs, as the user's function gives it."""
        return self.loss(outputs) if y is None else self.loss(outputs, y)

    def gradient(self, params: Params, batches: Sequence[Batched]) -> Params:
        """The gradient of the loss of the named batches, by one plain backward pass for each."""
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        total: list[Tensor] = []
        for batch in batches:
            x, y = self.examples.take(batch.indices)
            with torch.enable_grad():
                loss = self.total_loss(self.function.raw(leaves, x), y) * batch.weight
                part = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
            total = [a + b for a, b in zip(total, part, strict=True)] if total else list(part)
        return dict(zip(leaves, total, strict=True))

    def seeds(self, raw: Tensor, y: Batch | None) -> Tensor:
        """The derivative of the loss of a batch in each entry of its outputs ``[n, ...]``; the reduction is in it."""
        leaf = raw.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.total_loss(leaf, y), leaf)
        return slope

    def indices(self, batch: Batched) -> Tensor:
        """The positions of a batch, also where it is everybody."""
        return torch.arange(self.examples.count) if batch.indices is None else batch.indices


def moved_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, nn.Parameter], list[list[str]]]:
    """The parameters that an optimiser moves, by their names in the model, and the names in each of its groups.

    Args:
        model: The model.
        optimizer: Its optimiser.

    Returns:
        Name to parameter, in the order of the groups; the names of each group.

    Raises:
        InputError: If it moves what is no parameter of the model, or parameters of several dtypes or devices.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    groups: list[list[str]] = []
    moved: dict[str, nn.Parameter] = {}
    for number, group in enumerate(optimizer.param_groups):
        groups.append([])
        for place, parameter in enumerate(group["params"]):
            if id(parameter) not in names:
                raise InputError(
                    f"optimizer: parameter {place} of group {number} is not one of the model",
                    "what it does to the outputs would be missing from every contribution",
                    "give the module that holds all the optimiser's parameters",
                )
            groups[-1].append(names[id(parameter)])
            moved[names[id(parameter)]] = parameter
    kinds = {(p.dtype, p.device) for p in moved.values()}
    if len(kinds) != 1:
        raise InputError(
            f"model: the trained parameters are of {len(kinds)} kinds: {', '.join(sorted(map(str, kinds)))}",
            "a step is recorded as one vector",
            "put the model on one device, in one dtype",
        )
    require_dtype(next(iter(kinds))[0])
    return moved, groups


def probe(training: Training, params: Params) -> None:
    """Call model and loss on two examples, so that a wrong shape is named before the run and not after it.

    Args:
        training: What is trained.
        params: The initial parameters.

    Raises:
        InputError: If the output has no row for each example, if examples see each other, if two calls differ, or if
            the loss is no scalar.
    """
    few = torch.arange(min(2, training.examples.count))
    x, y = training.examples.take(few)
    with torch.no_grad():
        raw = training.function.raw(params, x)
        again = training.function.raw(params, x)
        alone = training.function.raw(params, training.examples.take(few[:1])[0])
    if not isinstance(cast("object", raw), Tensor) or raw.ndim < 1 or raw.shape[0] != len(few):
        shape = tuple(raw.shape) if isinstance(cast("object", raw), Tensor) else type(raw).__name__
        raise InputError(
            f"model: {len(few)} examples give an output of {shape}",
            "the first axis of the output counts the examples",
            "give output=..., from what the model returns to a tensor with one row an example",
        )
    floor = 1e4 * torch.finfo(raw.dtype).eps * (1.0 + float(raw.abs().max()))
    if float((raw - again).abs().max()) > floor:
        raise InputError(
            "model: two calls on the same examples differ",
            "a random model (dropout) has no gradient that can be computed again",
            "call eval() on the random layers, or set their probability to 0",
        )
    if float((raw[:1] - alone).abs().max()) > floor:
        raise InputError(
            "model: the output of an example depends on who else is in its batch",
            "then no part of the output belongs to one example (batch statistics do this)",
            "call eval() on the layers that normalise over the batch, or use layers that normalise an example",
        )
    loss = training.total_loss(raw.detach(), y)
    if not isinstance(cast("object", loss), Tensor) or loss.shape != ():
        raise InputError(
            f"loss: gives {tuple(loss.shape) if isinstance(cast('object', loss), Tensor) else type(loss).__name__}",
            "the loss of a batch is one number",
            "use reduction='mean' or reduction='sum'",
        )


def _device_of(batch: Batch) -> torch.device:
    found: list[torch.device] = []
    mapped(batch, lambda tensor: (found.append(tensor.device), tensor)[1])
    return found[0]
