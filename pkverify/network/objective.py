"""A model and its total loss as functions of one flat vector of parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pkverify.errors import InputError

Criterion = Callable[..., Tensor]
"""The total loss of all examples: called with the outputs of the model and the targets, gives a scalar."""

Penalty = Callable[[Mapping[str, Tensor]], Tensor]
"""A regulariser: called with the parameters by name, gives a scalar."""


class Objective:
    """The total loss of a model on its training examples, as a function of a flat state ``[d]``.

    The model is copied, so that its own weights stay as they are; the copy's parameters are views into one buffer.

    Args:
        model: A module whose output is ``[m]`` or ``[m, ...]`` for ``m`` inputs, one row an example.
        criterion: The total loss (sum or mean) from outputs and targets.
        x: The training inputs, ``[m, ...]``.
        y: The targets, or None for a loss without any.
        dtype: What is computed in; floating-point inputs and targets are converted.
        device: Where it is computed.
        regularizer: A penalty on the parameters, added to the loss.

    Raises:
        InputError: If nothing can be trained, a loss is no scalar, a gradient is not finite, or if two evaluations at
            the same weights differ, as they do with dropout or with batch statistics.

    Example:
        >>> line = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.constant_(line.weight, 3.0)
        >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
        >>> objective = Objective(line, lambda o, y: (o**2).sum() / 2, x, None, torch.float64, torch.device("cpu"))
        >>> objective.gradient(objective.initial)
        tensor([15.], dtype=torch.float64)
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        x: Tensor,
        y: Tensor | None,
        dtype: torch.dtype,
        device: torch.device,
        regularizer: Penalty | None = None,
    ) -> None:
        self.model = copy.deepcopy(model).to(device=device, dtype=dtype)
        self.criterion = criterion
        self.regularizer = regularizer
        self.x, self.y = self.placed(x, dtype, device), None if y is None else self.placed(y, dtype, device)
        self._params = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if not self._params:
            raise InputError(
                "the model has no parameter that requires a gradient",
                "a gradient flow moves the trainable parameters",
                "call requires_grad_() on those that are to be trained",
            )
        self.shapes = {name: p.shape for name, p in self._params.items()}
        self.sizes = [p.numel() for p in self._params.values()]
        self._buffer = torch.cat([p.detach().reshape(-1) for p in self._params.values()])
        for p, part in zip(self._params.values(), self._buffer.split(self.sizes), strict=True):
            p.data = part.view(p.shape)
        self.initial = self._buffer.clone()
        self._check()

    @property
    def size(self) -> int:
        """The number of parameters ``d``."""
        return self.initial.numel()

    @property
    def width(self) -> int:
        """The number of outputs ``C``."""
        return math.prod(self._output_shape[1:])

    @property
    def activations(self) -> int:
        """Entries that the largest layer makes of one example: what forward-mode differentiation holds for each."""
        return self._activations

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self.initial.dtype

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return self.initial.device

    @staticmethod
    def placed(values: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Inputs or targets on the device; floating-point ones in the dtype of the computation."""
        values = values.detach().to(device)
        return values.to(dtype) if values.is_floating_point() else values

    def params(self, state: Tensor) -> dict[str, Tensor]:
        """The parameters by name, as views into a state ``[d]``."""
        parts = state.split(self.sizes)
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def call(self, state: Tensor, x: Tensor) -> Tensor:
        """The outputs ``[n, C]`` at a state, as a pure function that ``torch.func`` can differentiate and map."""
        return functional_call(self.model, self.params(state), (x,)).reshape(len(x), -1)

    def outputs(self, state: Tensor, x: Tensor | None = None) -> Tensor:
        """The outputs ``[n, C]`` at a state, on the training inputs unless others are given."""
        with torch.no_grad():
            self._buffer.copy_(state)
            inputs = self.x if x is None else x
            return self.model(inputs).reshape(len(inputs), -1)

    def loss(self, state: Tensor) -> float:
        """The total loss with its regulariser."""
        with torch.no_grad():
            self._buffer.copy_(state)
            return float(self._loss())

    def gradient(self, state: Tensor, *, out: Tensor | None = None, sign: float = 1.0) -> Tensor:
        """The gradient ``[d]`` of the total loss with its regulariser, times ``sign``."""
        self._buffer.copy_(state)
        with torch.enable_grad():
            slopes = torch.autograd.grad(self._loss(), list(self._params.values()), materialize_grads=True)
        flat = torch.cat([slope.reshape(-1) for slope in slopes], out=out)
        return flat if sign == 1.0 else flat.mul_(sign)

    def slope(self, state: Tensor, out: Tensor) -> None:
        """The right side of the gradient flow: minus the gradient, written into ``out``."""
        self.gradient(state, out=out, sign=-1.0)

    def loss_derivatives(self, outputs: Tensor) -> Tensor:
        """``dL/dy_i`` for every example and output, ``[m, C]``, without the regulariser, from the outputs."""
        leaf = outputs.detach().reshape(self._output_shape).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.criterion(leaf, self.y), leaf)
        return slope.reshape(len(outputs), -1)

    def penalty_gradient(self, state: Tensor) -> Tensor | None:
        """The gradient ``[d]`` of the regulariser; None without one."""
        if self.regularizer is None:
            return None
        leaf = state.detach().clone().requires_grad_()
        with torch.enable_grad():
            penalty = self.regularizer(self.params(leaf))
            if not penalty.requires_grad:  # a penalty in which no parameter stands
                return torch.zeros_like(leaf)
            (slope,) = torch.autograd.grad(penalty, leaf)
        return slope

    def hessian_product(self, state: Tensor, vector: Tensor) -> Tensor:
        """The Hessian of the total loss at a state, times a vector ``[d]``."""
        self._buffer.copy_(state)
        leaves = list(self._params.values())
        parts = [part.view(p.shape) for part, p in zip(vector.split(self.sizes), leaves, strict=True)]
        with torch.enable_grad():
            slopes = torch.autograd.grad(self._loss(), leaves, create_graph=True, materialize_grads=True)
            along = torch.stack([(slope * part).sum() for slope, part in zip(slopes, parts, strict=True)]).sum()
            if not along.requires_grad:  # a loss that is linear in the parameters
                return torch.zeros_like(vector)
            rows = torch.autograd.grad(along, leaves, materialize_grads=True)
        return torch.cat([row.reshape(-1) for row in rows])

    def _loss(self) -> Tensor:
        total = self.criterion(self.model(self.x), self.y)
        if self.regularizer is not None:
            total = total + self.regularizer(self._params)
        return total

    def _largest_layer(self) -> int:
        """By hooks during one call on the first example."""
        sizes = [1]

        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            sizes.append(output.numel() if isinstance(output, Tensor) else 1)

        hooks = [module.register_forward_hook(note) for module in self.model.modules()]
        try:
            with torch.no_grad():
                self.model(self.x[:1])
        finally:
            for hook in hooks:
                hook.remove()
        return max(sizes)

    def _check(self) -> None:
        with torch.no_grad():
            output, total = self.model(self.x), self._loss()
        if output.shape[:1] != self.x.shape[:1]:
            raise InputError(
                f"the model turns {len(self.x)} inputs into an output of shape {tuple(output.shape)}",
                "the first axis counts the examples",
                "give a model with one row of outputs an example",
            )
        self._output_shape = output.shape
        if total.shape != ():
            raise InputError(
                f"criterion gives a tensor of shape {tuple(total.shape)}",
                "the total loss is one number",
                "use reduction='sum' or reduction='mean'",
            )
        before = {name: value.clone() for name, value in self.model.named_buffers()}
        first, second = self.gradient(self.initial), self.gradient(self.initial)
        if not bool(torch.isfinite(first).all() and torch.isfinite(total)):
            raise InputError(
                "the loss or its gradient at the initial weights is not finite",
                "a flow needs the gradient of the loss where it starts",
                "check the initial weights, the inputs and the loss",
            )
        noise = 1e3 * torch.finfo(self.dtype).eps * float(first.abs().max())
        changed = [n for n, v in self.model.named_buffers() if not torch.equal(v, before[n])]
        if changed or float((first - second).abs().max()) > noise:
            raise InputError(
                f"the model changes its buffer {changed[0]!r} when it is called"
                if changed
                else "two evaluations of the gradient at the same weights differ",
                "a flow needs one function of the weights; dropout and batch statistics make it another at every call",
                "call model.eval() first",
            )
        self._activations = self._largest_layer()
