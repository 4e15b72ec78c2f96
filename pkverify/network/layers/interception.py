"""Watches a forward pass: which calls use which parameters, and where their outputs stand in the autograd graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from pkverify.network.layers.attention import OPENED
from pkverify.network.layers.convolution import CONVOLUTION_SITES
from pkverify.network.layers.embedding import EMBEDDING_SITES
from pkverify.network.layers.linear import LINEAR_SITES
from pkverify.network.layers.normalisation import NORMALISATION_SITES
from pkverify.network.layers.parameter import PARAMETER_SITES
from pkverify.network.layers.site import Call, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.layout import Layout

SITES: dict[Callable[..., Any], Callable[[Call], Site | None]] = {
    **LINEAR_SITES,
    **CONVOLUTION_SITES,
    **EMBEDDING_SITES,
    **NORMALISATION_SITES,
    **PARAMETER_SITES,
}


@dataclass(frozen=True)
class View:
    """A part of a parameter's memory, seen as a tensor: a slice, a transpose, another shape.

    Args:
        offset: Where it begins.
        shape: Its shape.
        strides: Its strides.
    """

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def gather(self, vectors: Tensor) -> Tensor:
        """The view's part of vectors ``[*leading, size of the parameter]``, as ``[*leading, *shape]``."""
        flat = vectors.contiguous()
        leading = flat.shape[:-1]
        return flat.as_strided(
            (*leading, *self.shape), (*flat.stride()[:-1], *self.strides), flat.storage_offset() + self.offset
        )

    def scatter(self, gradients: Tensor, size: int) -> Tensor:
        """Gradients ``[*leading, *shape]`` in the place of the view, with zeros around: ``[*leading, size]``."""
        leading = gradients.shape[: gradients.ndim - len(self.shape)]
        whole = gradients.new_zeros(*leading, size)
        self.gather(whole).copy_(gradients)
        return whole


@dataclass(frozen=True)
class Tracked:
    """A tensor whose uses are watched: a parameter, or a view of one. Held, so that its ``id`` stays its own."""

    tensor: Tensor
    name: str
    view: View | None


@dataclass(frozen=True)
class Visit:
    """What was seen of one call: enough to make its factors once the output's cotangent is known."""

    site: Site
    parameters: Mapping[str, Tracked]
    data: Tensor
    edge: GradientEdge | None
    shape: tuple[int, ...]


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor has memory of its own: inside a functorch transform it stands for something else."""
    # There is no public way to ask.
    wrapped: Any = torch._C._functorch.is_functorch_wrapped_tensor  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return not wrapped(value)


@dataclass
class _Log:
    visits: list[Visit] = field(default_factory=list[Visit])
    calls: int = 0


class Interception(TorchFunctionMode):
    """While it is entered, a recognised use of a leaf runs on a stand-in, and is logged.

    The stand-ins cut the leaves out of the graph. So whatever gradient still reaches a leaf came from a use that was
    not recognised, and nothing can be missed unseen.

    Args:
        leaves: The parameters to watch, by name.
        layouts: Which layout each recognised call has, in order; a call without one runs as it is. When left out every
            call is logged.
        copied: Whether the data of a call are copied. They need not be where a backward pass follows: autograd then
            refuses what was changed in place.
    """

    def __init__(
        self, leaves: Mapping[str, Tensor], layouts: Sequence[Layout | None] | None = None, *, copied: bool = False
    ) -> None:
        super().__init__()
        self._copied = copied
        self._tracked = {id(leaf): Tracked(leaf, name, None) for name, leaf in leaves.items()}
        self._leaves = leaves
        self._layouts = layouts
        self._log = _Log()

    @property
    def visits(self) -> list[Visit]:
        """The logged calls, in order."""
        return self._log.visits

    @property
    def calls(self) -> int:
        """How many calls were recognised, logged or not."""
        return self._log.calls

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs one torch function, logged when it is recognised."""
        kwargs = kwargs or {}
        if not self._touches(args) and not self._touches(kwargs.values()):
            return func(*args, **kwargs)
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        make = SITES.get(func)
        site = make(Call(func, args, kwargs, self._tracked)) if make else None
        if site is not None and site.parameters and _is_plain(site.data):
            return self._visit(site)
        result = func(*args, **kwargs)
        self._follow_views(result)
        return result

    def _touches(self, values: Any) -> bool:
        tracked = self._tracked
        for value in values:  # noqa: SIM110 - every torch call of the model passes here, and a generator is slower
            if id(value) in tracked:
                return True
        return False

    def _visit(self, site: Site) -> Any:
        number = self._log.calls
        self._log.calls += 1
        if self._layouts is not None and (number >= len(self._layouts) or self._layouts[number] is None):
            return site.call.run({})
        data = site.data.detach()
        if self._copied:
            data = data.clone()
        replacements = {id(tensor): tensor.detach().requires_grad_() for tensor in site.parameters.values()}
        output = site.call.run(replacements)
        edge = get_gradient_edge(output) if output.requires_grad else None
        parameters = {role: self._tracked[id(tensor)] for role, tensor in site.parameters.items()}
        self._log.visits.append(Visit(site, parameters, data, edge, tuple(output.shape)))
        return output

    def _follow_views(self, result: Any) -> None:
        """Watches the results that are views of a leaf."""
        values: tuple[Any, ...] = tuple(result) if isinstance(result, tuple | list) else (result,)
        for value in values:
            if not isinstance(value, Tensor) or not value.requires_grad or not _is_plain(value):
                continue
            base: Any = value._base  # noqa: SLF001 - the tensor that a view looks at; there is no public name
            origin = self._tracked.get(id(base))
            repeated = any(step == 0 and size > 1 for step, size in zip(value.stride(), value.shape, strict=True))
            if origin is None or repeated or value.dtype != base.dtype or id(value) in self._tracked:
                continue
            offset = int(value.storage_offset()) - int(base.storage_offset())
            view = View(offset, tuple(value.shape), tuple(value.stride()))
            self._tracked[id(value)] = Tracked(value, origin.name, view)
