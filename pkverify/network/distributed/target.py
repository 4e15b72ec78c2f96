"""Model, loss and data as the command line names them, and queries from a file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.layers.batches import Batch
from pkverify.network.training import Loss, OutputOf

_KEYS = ("model", "loss", "x", "y", "output")


@dataclass(frozen=True)
class Target:
    """What was trained, as ``record`` was told.

    Attributes:
        model: The module.
        loss: Its loss.
        x: The inputs.
        y: The targets.
        output: From what the model returns to what the loss takes.
    """

    model: nn.Module
    loss: Loss
    x: Any
    y: Batch | str | None = None
    output: OutputOf | None = None


def load_target(name: str) -> Target:
    """Call ``package.module:function``, which returns ``(model, loss, x, y)`` or a dict with these keys.

    Args:
        name: Module and function, with a colon between them. The current folder is looked in first.

    Returns:
        What it returns.

    Raises:
        InputError: If there is no such function, or it returns something else.

    Example:
        >>> load_target("nonsense")
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: --model nonsense: names no function
          why  model, loss, x and y come from a function of yours
          fix  give package.module:function
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise InputError(
            f"--model {name}: names no function",
            "model, loss, x and y come from a function of yours",
            "give package.module:function",
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        made = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--model {name}: {error}", "", "give package.module:function, importable from here") from None
    found: Any = made()
    if isinstance(found, Mapping):
        unknown = [str(key) for key in cast("Mapping[Any, Any]", found) if key not in _KEYS]
        given = {key: found[key] for key in _KEYS if key in found}
    else:
        parts = list(cast("Sequence[Any]", found)) if isinstance(found, tuple | list) else []
        unknown, given = [], dict(zip(_KEYS, parts, strict=False)) if len(parts) <= len(_KEYS) else {}
    if unknown or not {"model", "loss", "x"} <= given.keys() or not isinstance(given["model"], nn.Module):
        raise InputError(
            f"--model {name}: returns {', '.join(unknown) or type(found).__name__}",
            "what was trained is a model, a loss, inputs and targets",
            "return (model, loss, x, y), or a dict with these keys and output",
        )
    return Target(**given)


def load_queries(file: Path) -> Batch:
    """The queries in a safetensors file: one tensor, or several by the names of the model's arguments.

    Args:
        file: The file. Names that are numbers, 0 to the last, are the model's arguments in their order.

    Returns:
        A tensor, a tuple or a dict.

    Raises:
        InputError: If there is no such file, or it holds no tensors.

    Example:
        >>> load_queries(Path("no-such-file"))
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: no-such-file: cannot be read as safetensors
          why  the queries are tensors
          fix  write them with safetensors.torch.save_file({"x": queries}, FILE)
    """
    try:
        tensors = load_file(file)
    except Exception:  # noqa: BLE001 - safetensors has its own errors for what is no such file
        tensors = dict[str, Tensor]()
    if not tensors:
        raise InputError(
            f"{file}: cannot be read as safetensors",
            "the queries are tensors",
            'write them with safetensors.torch.save_file({"x": queries}, FILE)',
        )
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    if set(tensors) == {str(place) for place in range(len(tensors))}:
        return tuple(tensors[str(place)] for place in range(len(tensors)))
    return tensors
