"""The arithmetic under a torch number: no TF32, no autocast, attention by its formula; and the floor of a dtype."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from pkverify.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

# A sum of products in a dtype is wrong by a few units of its last place, times the square root of its length. The
# factor stands for layers up to some thousands wide; the measured errors of the tests stay below it.
_UNITS = 64.0


def rounding_floor(dtype: torch.dtype) -> float:
    """The relative size below which a difference of two tangent kernels computed in ``dtype`` says nothing.

    Multiply it by the conditioning, the sum of the absolute contributions over the absolute sum, to get the floor of a
    residual.

    Args:
        dtype: A real floating dtype.

    Returns:
        A relative error, dimensionless.

    Example:
        >>> f"{rounding_floor(torch.float64):.0e} {rounding_floor(torch.float32):.0e}"
        '1e-14 8e-06'
    """
    return _UNITS * torch.finfo(dtype).eps


def require_dtype(dtype: torch.dtype) -> torch.dtype:
    """``dtype`` when tangent kernels may be computed in it.

    Args:
        dtype: The dtype asked for.

    Returns:
        The same dtype.

    Raises:
        InputError: It is neither float64 nor float32.

    Example:
        >>> require_dtype(torch.float64)
        torch.float64
    """
    if dtype not in (torch.float64, torch.float32):
        raise InputError(
            f"dtype: {dtype} is not treated",
            "half precision leaves no digits to check an identity with",
            "use torch.float64, or torch.float32 for ranking only",
        )
    return dtype


@contextmanager
def exact_arithmetic() -> Generator[None]:
    """Full precision while it is open: TF32 and autocast off, attention by its formula; everything restored after.

    Fused attention has no float64 kernel, and cuDNN rounds float32 convolutions to TF32 unless told not to.

    Yields:
        Nothing.

    Example:
        >>> with exact_arithmetic():
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.set_float32_matmul_precision, matmul)
        stack.callback(setattr, torch.backends.cudnn, "allow_tf32", convolution)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.mha.set_fastpath_enabled(False)
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.inference_mode(mode=False))
        yield
