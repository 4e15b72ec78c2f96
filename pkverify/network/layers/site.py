"""One call in a model's forward pass that uses parameters in a way whose derivative per example is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pkverify.network.layers.factor import Factor


@dataclass(frozen=True)
class Call:
    """A call of a torch function.

    Args:
        function: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        tracked: The tensors that are parameters, or views of one, by ``id``.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    tracked: Mapping[int, object]

    def tracks(self, value: object) -> bool:
        """Whether ``value`` is a parameter or a view of one."""
        return id(value) in self.tracked

    def parameters(self, given: Mapping[str, Any], *names: str) -> dict[str, Tensor]:
        """Those of the named arguments that are tracked."""
        return {name: given[name] for name in names if self.tracks(given.get(name))}

    def has(self, *names: str) -> bool:
        """Whether any of these keywords is given."""
        return any(name in self.kwargs for name in names)

    def run(self, replacements: Mapping[int, Tensor]) -> Any:
        """The call with some of its tensors, by ``id``, replaced."""
        args = tuple(replacements.get(id(value), value) for value in self.args)
        kwargs = {name: replacements.get(id(value), value) for name, value in self.kwargs.items()}
        return self.function(*args, **kwargs)


class MakeFactor(Protocol):
    """Makes the factor of one parameter.

    The data are ``[examples, positions, *rest]`` and the cotangents ``[examples, columns, positions, *rest]``, both
    with the batch axis of their layout moved to the front.
    """

    def __call__(self, role: str, data: Tensor, cotangents: Tensor, /) -> Factor: ...


@dataclass(frozen=True)
class Site:
    """A call whose parameters' gradients follow from its input and its output's cotangent.

    Args:
        call: The call.
        parameters: The tracked tensors of the call, by what they are there (weight, bias).
        data: The tensor that depends on the example.
        sample_axes: The examples stand in one of so many first axes, of the data and of the output alike.
        factor: Makes the factor of a parameter.
    """

    call: Call
    parameters: Mapping[str, Tensor]
    data: Tensor
    sample_axes: int
    factor: MakeFactor


def argument_reader(*names: str) -> Callable[[Call], dict[str, Any]]:
    """A function that gives the arguments of a call by name; ``names`` are those of the positional ones, in order."""

    def read(call: Call) -> dict[str, Any]:
        return {**dict(zip(names, call.args, strict=False)), **call.kwargs}

    return read
