"""The decomposition of a gradient flow in the record of the network route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.attribution import NetworkDecomposition, Unconverged
from pkverify.network.decompose import MEMORY, kernel_weights
from pkverify.network.layers.batches import Batch
from pkverify.network.path_integrals import PathIntegrals, path_integrals
from pkverify.network.tangents import Output

if TYPE_CHECKING:
    from pkverify.network.flow import Trajectory

_COPIES = 4  # of the queries' gradients
_SEPARATED = 4  # error estimates that a path kernel must be from 0


def decompose_flow(
    trajectory: Trajectory,
    x_query: Batch,
    *,
    output: Output | None = None,
    kernels: bool = False,
    memory: int | None = None,
) -> NetworkDecomposition:
    """Split the predictions of a gradient flow over the training examples.

    Args:
        trajectory: The flow, as ``gradient_flow`` gives it.
        x_query: The query inputs, a tensor ``[q, ...]``.
        output: What is decomposed, from the model's outputs ``[n, C]``, row by row; themselves when left out.
        kernels: Also give the path kernel and the weights ``a_i``.
        memory: Bytes that the queries' gradients may take at one state; they are taken in parts that fit.

    Returns:
        The decomposition. Its residual holds the errors of the flow and of the quadrature, as they came out.

    Raises:
        InputError: If the queries are no tensor.

    Example:
        >>> from torch import nn
        >>> from pkverify.network.flow import gradient_flow
        >>> line = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.zeros_(line.weight)
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> flow = gradient_flow(line, lambda o, t: ((o - t) ** 2).sum() / 2, one, 2 * one, horizon=1.0)
        >>> found = decompose_flow(flow, 3 * one, kernels=True)
        >>> round(found.contributions.item(), 8), round(found.path_kernel.item(), 8)  # 6 (1 - 1/e), 3 T
        (3.79272335, 3.0)
    """
    if not isinstance(x_query, Tensor):
        raise InputError(
            f"x_query: {type(x_query).__name__} along a gradient flow",
            "a flow's inputs are one tensor",
            "give a tensor",
        )
    objective = trajectory.objective
    each = _COPIES * objective.width * objective.size * objective.initial.element_size()
    size = max(1, (MEMORY if memory is None else memory) // each)
    parts = [path_integrals(trajectory, part, output=output, path_kernel=kernels) for part in x_query.split(size)]
    contributions = torch.cat([part.contributions for part in parts])
    kernel = weights = absent = None
    if kernels:
        kernel = torch.cat([part.path_kernel for part in parts if part.path_kernel is not None])
        weights, absent = _weights(trajectory, parts, kernel, contributions)
        if kernel.shape[2:] == (1, 1):
            kernel, weights = kernel[..., 0, 0], weights[..., 0]
    final = torch.cat([part.final_output for part in parts])
    left = {step: part.quadrature_error for part in parts for step in part.unconverged}
    return NetworkDecomposition(
        initial_output=torch.cat([part.initial_output for part in parts]),
        final_output=final,
        contributions=contributions,
        regularizer_term=torch.cat([part.regularizer_term for part in parts]),
        initial_momentum_term=torch.zeros_like(final),
        residual=torch.cat([part.residual for part in parts]),
        unconverged=tuple(Unconverged(step, left[step], parts[0].most_nodes) for step in sorted(left)),
        nodes=tuple(max(column) for column in zip(*(part.step_nodes for part in parts), strict=True)),
        path_kernel=kernel,
        weights=weights,
        weights_absent=absent,
    )


def _weights(
    trajectory: Trajectory, parts: list[PathIntegrals], kernel: Tensor, contributions: Tensor
) -> tuple[Tensor, Tensor]:
    """The weights, absent also where the errors of flow and quadrature reach down to 0."""
    weights, absent = kernel_weights(kernel, kernel.abs(), contributions)
    if kernel.shape[2] == kernel.shape[3]:
        error = max(part.quadrature_error for part in parts) + 10 * trajectory.rtol
        scale = kernel.abs().amax((-1, -2)).clamp(min=1.0)
        absent = absent | (torch.linalg.svdvals(kernel)[..., -1] <= _SEPARATED * error * scale)
    return torch.where(absent[..., None], 0.0, weights), absent
