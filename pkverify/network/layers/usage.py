"""What is found out about a model once, from one and from two examples, before its gradients are captured."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from pkverify.errors import InputError
from pkverify.network.layers import batches
from pkverify.network.layers.contraction import merged
from pkverify.network.layers.interception import Interception, Visit
from pkverify.network.layers.layout import Layout, find_layout, same
from pkverify.network.numerics import exact_arithmetic, require_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.batches import Batch
    from pkverify.network.layers.contraction import Use


@dataclass(frozen=True)
class Study:
    """A model, the parameters asked for, and how each is used.

    Args:
        model: The model; it is never changed.
        output: Makes the output tensor from what the model returns.
        names: The selected parameters, in the model's order.
        dtype: The dtype to compute in.
        device: The device of the parameters.
        layouts: The layout of each recognised call, in the order of the forward pass; None for a call that is left
            to the general route.
        loose: The selected parameters whose gradients need the general route.
        output_shape: The shape of one example's output.
        examples_like: Shapes and dtypes of the inputs, but for the number of examples.
        bytes_per_example: Memory of the forward pass of one example.
        sample: The factors of the first example, with cotangents of zero: they say how large those of a batch will be.
    """

    model: nn.Module
    output: Callable[[Any], Tensor]
    names: tuple[str, ...]
    dtype: torch.dtype
    device: torch.device
    layouts: tuple[Layout | None, ...]
    loose: tuple[str, ...]
    output_shape: tuple[int, ...]
    examples_like: tuple[tuple[str, tuple[int, ...], torch.dtype], ...]
    bytes_per_example: int
    sample: Mapping[str, tuple[Use, ...]]

    @property
    def outputs(self) -> int:
        """How many numbers the output of one example has."""
        return int(torch.Size(self.output_shape).numel())

    def state(self, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Parameters and buffers to call the model with: detached, in the study's dtype, some from ``weights``."""
        state = {name: tensor.detach() for name, tensor in self.model.named_parameters()}
        state |= {name: buffer.detach().clone() for name, buffer in self.model.named_buffers()}
        unknown = [name for name in weights or {} if name not in state]
        if unknown:
            raise InputError(f"weights[{unknown[0]!r}]: no parameter of the model", "", f"there are {', '.join(state)}")
        state |= {name: tensor.detach() for name, tensor in (weights or {}).items()}
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in state.items()
        }

    def call(self, state: Mapping[str, Tensor], x: Batch) -> Tensor:
        """The output tensor of the model on a batch, with ``state`` in place of its parameters and buffers."""
        return called(self.model, self.output, state, x)


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def called(model: nn.Module, output: Callable[[Any], Tensor], state: Mapping[str, Tensor], x: Batch) -> Tensor:
    """The output of a model called with ``state`` on ``x``; it must be a tensor."""
    args, kwargs = batches.arguments(x)
    y: Any = output(functional_call(model, dict(state), args, kwargs))
    if not isinstance(y, Tensor) or not y.is_floating_point():
        raise InputError(
            f"output: the model returned {type(y).__name__}, not a tensor of real numbers",
            "a prediction is one number, or a vector of them, an example",
            "give output=, a function of what the model returns: output=lambda result: result.logits[:, -1]",
        )
    return y


def identity(value: Any) -> Any:
    """What the model returned is the output itself."""
    return value


def select(model: nn.Module, params: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the parameters that match a glob, or one of several; a parameter under two names counts once.

    Args:
        model: The model.
        params: Globs, as in ``"layers.*.weight"``.

    Returns:
        The names, in the model's order.

    Raises:
        InputError: A glob matches no parameter, or one is not real.

    Example:
        >>> select(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "1.*")
        ('1.weight', '1.bias')
    """
    globs = (params,) if isinstance(params, str) else tuple(params)
    everything = dict(model.named_parameters(remove_duplicate=False))
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in everything):
            raise InputError(
                f"params: {glob!r} matches no parameter", "", f"there are {', '.join(everything) or 'none'}"
            )
    chosen = {id(tensor) for name, tensor in everything.items() if any(fnmatchcase(name, glob) for glob in globs)}
    names = tuple(name for name, tensor in model.named_parameters() if id(tensor) in chosen)
    for name in names:
        if not everything[name].is_floating_point():
            raise InputError(f"params: {name} has dtype {everything[name].dtype}", "", "leave it out, or make it real")
    return names


def require_functional(model: nn.Module) -> None:
    """Refuses a model whose outputs are random, or depend on the other examples of a batch.

    Args:
        model: The model, in the mode in which it is to be called.

    Raises:
        InputError: There is batch normalisation by batch statistics, or dropout in training mode.
    """
    for name, module in model.named_modules():
        where = f"model.{name}" if name else "model"
        if isinstance(module, _BATCH_NORMS) and (module.training or module.running_mean is None):
            raise InputError(
                f"{where}: batch normalisation by the statistics of the batch",
                "the output of an example then depends on the others, and has no gradient of its own",
                "call model.eval() first"
                if module.running_mean is not None
                else "keep running statistics, or use GroupNorm",
            )
        dropped = (
            getattr(module, "p", 0.0)
            if isinstance(module, _DROPOUTS)
            else (getattr(module, "dropout", 0.0) if isinstance(module, nn.MultiheadAttention | nn.RNNBase) else 0.0)
        )
        if module.training and isinstance(dropped, float | int) and dropped > 0:
            raise InputError(
                f"{where}: dropout in training mode",
                "its output is random, and has no derivative to speak of",
                "call model.eval() first",
            )


def _bytes_saved(run: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """The result of a forward pass, and the bytes that its graph keeps."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, identity):
        result = run()
    return result, sum(seen.values())


@dataclass(frozen=True)
class _Trial:
    output: Tensor
    visits: list[Visit]
    saved: int
    reached: frozenset[str]


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
    require_dtype(dtype)
    require_functional(model)
    m = batches.count(x)
    names = select(model, params)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    make = output or identity
    bare = Study(model, make, names, dtype, device, (), (), (), batches.signature(x), 0, {})
    state = bare.state()
    two = batches.cast_batch(batches.rows(x, torch.tensor([0, min(1, m - 1)])), dtype, device)
    one = batches.rows(two, slice(0, 1))

    with exact_arithmetic(), torch.enable_grad():

        def trial(batch: Batch, watched: Sequence[str], layouts: tuple[Layout | None, ...] | None = None) -> _Trial:
            leaves = {name: state[name].detach().requires_grad_() for name in names}
            mode = Interception({name: leaves[name] for name in watched}, layouts)
            with mode:
                y, saved = _bytes_saved(lambda: bare.call({**state, **leaves}, batch))
            reached: set[str] = set()
            if y.requires_grad and leaves and batch is one:
                found: Any = torch.autograd.grad(y.sum(), list(leaves.values()), allow_unused=True)
                reached = {name for name, gradient in zip(leaves, found, strict=True) if gradient is not None}
            return _Trial(y.detach(), mode.visits, saved, frozenset(reached))

        watched = list(names)
        while True:
            first, second = trial(one, watched), trial(two, watched)
            _require_independent(first.output, second.output)
            layouts = _layouts(first.visits, second.visits)
            open_calls = None in layouts
            last = trial(one, watched, layouts) if open_calls else first
            loose = [name for name in watched if name in last.reached]
            if not loose:
                break
            watched = [name for name in watched if name not in loose]
    return Study(
        model,
        make,
        names,
        dtype,
        device,
        layouts,
        tuple(name for name in names if name not in watched),
        tuple(first.output.shape[1:]),
        batches.signature(x),
        max(0, second.saved - first.saved),
        _sample(first.visits, layouts, tuple(watched)),
    )


def _layouts(first: list[Visit], second: list[Visit]) -> tuple[Layout | None, ...]:
    if len(first) != len(second):
        return (None,) * len(second)
    return tuple(find_layout(a.data, b.data, a.site.sample_axes) for a, b in zip(first, second, strict=True))


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


def _require_independent(first: Tensor, second: Tensor) -> None:
    if first.ndim == 0 or first.shape[0] != 1 or second.shape[0] != 2:
        raise InputError(
            f"output: shape {tuple(second.shape)} for two examples",
            "the first axis of the output must run over the examples",
            "give output=, a function that returns a tensor with a row an example",
        )
    if not same(first, second[:1]):
        raise InputError(
            "model: the output of an example changes when another stands beside it in the batch",
            "either the model is random, or it ties the examples of a batch together",
            "call model.eval(), and replace what takes statistics of the batch",
        )
