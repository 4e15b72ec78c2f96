"""Where tensors live: ``auto``, ``cpu`` or ``cuda``, resolved in one place."""

from __future__ import annotations

import torch

from pkverify.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of a name.

    Args:
        name: ``"auto"`` (CUDA where there is a device, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or a device.

    Raises:
        InputError: For an unknown name, or for CUDA where torch finds no device.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    text = str(name)
    kind, _, number = text.partition(":")
    if kind not in DEVICES or (number and not number.isdigit()):
        raise InputError(f"device {text!r} is not known", f"there are {', '.join(DEVICES)}", "choose one")
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= present:
        raise InputError(
            f"device {text!r} was asked for",
            f"torch {torch.__version__} finds {present} CUDA device(s) here",
            "use device='cpu', or install a torch build for CUDA on a machine that has such a device",
        )
    if kind == "auto":
        return torch.device("cuda" if present else "cpu")
    return torch.device(text)
