"""Attention: torch's own function, opened, so that the linear layers inside it are seen.

``multi_head_attention_forward`` hands itself over to whoever intercepts torch functions before it runs its body. To see
the products in that body, it is run as a second function of the same code, in which that handing over is switched off.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


def _never(*_args: object) -> bool:
    return False


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its body, without its own dispatch."""
    assert isinstance(function, FunctionType)
    names = dict(function.__globals__, has_torch_function=_never)
    opened = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    opened.__kwdefaults__ = function.__kwdefaults__
    return opened


OPENED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.multi_head_attention_forward: _opened(functional.multi_head_attention_forward),
}
