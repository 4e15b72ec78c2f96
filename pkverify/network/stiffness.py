"""The largest eigenvalue of the Hessian, and what it means for the number of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_ITERATIONS = 16
_SEED = 0


class StiffnessWarning(UserWarning):
    """The flow is stiff: stability, and not the tolerance, decides the number of steps."""


@dataclass(frozen=True)
class LargestEigenvalue:
    """An estimate from below of the largest eigenvalue of a symmetric matrix.

    Attributes:
        value: The largest Ritz value.
        residual: How far the Ritz vector is from an eigenvector: some eigenvalue lies within so much of ``value``.
        products: Matrix-vector products that were taken.
    """

    value: float
    residual: float
    products: int


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor], like: Tensor, *, iterations: int = _ITERATIONS
) -> LargestEigenvalue:
    """Lanczos iteration with full reorthogonalisation, from a fixed start.

    Args:
        product: The matrix times a vector ``[d]``.
        like: A vector ``[d]``, for size, dtype and device.
        iterations: The most products to take.

    Returns:
        The estimate.

    Source: C. Lanczos, J. Res. Nat. Bur. Standards 45 (1950) 255-282.

    Example:
        >>> diagonal = torch.tensor([1.0, -5.0, 3.0], dtype=torch.float64)
        >>> round(largest_eigenvalue(lambda v: diagonal * v, diagonal).value, 12)
        3.0
    """
    start = torch.randn(like.numel(), generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64)
    vector = (start / start.norm()).to(like)
    basis: list[Tensor] = []
    diagonal, beside = list[float](), list[float]()
    coupling = 0.0
    for _ in range(min(iterations, like.numel())):
        basis.append(vector)
        image = product(vector)
        diagonal.append(float(image @ vector))
        known = torch.stack(basis)
        for _ in range(2):  # twice is enough to make it orthogonal to rounding
            image = image - known.t() @ (known @ image)
        coupling = float(image.norm())
        scale = max(map(abs, diagonal))
        if coupling <= 1e3 * torch.finfo(like.dtype).eps * max(scale, torch.finfo(like.dtype).tiny):
            coupling = 0.0
            break
        beside.append(coupling)
        vector = image / coupling
    size = len(diagonal)
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    for k in range(size - 1):
        matrix[k, k + 1] = matrix[k + 1, k] = beside[k]
    values, vectors = torch.linalg.eigh(matrix)
    residual = 0.0 if size == like.numel() else coupling * abs(float(vectors[-1, -1]))
    return LargestEigenvalue(float(values[-1]), residual, size)
