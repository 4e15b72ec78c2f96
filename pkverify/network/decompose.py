"""The decomposition of a network's predictions along a recorded run, or along any path that can split itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.guard import refuse_random_layers
from pkverify.network.layers.batches import Batch, count, rows
from pkverify.network.numerics import rounding_floor
from pkverify.network.path import TrainingPath
from pkverify.network.segment import Queries
from pkverify.network.sweep import Split, TrainingGradients, is_plain, sweep
from pkverify.network.training import OutputOf

TOLERANCE = {torch.float64: 3e-13, torch.float32: 3e-5}
"""Of the quadrature on a segment, relative to the largest change of a query's outputs on it."""

MEMORY = 2 * 2**30
"""Bytes that the query side of a sweep may take, unless another number is given."""

_DENSE_COPIES = 4  # the averages, what is carried back, and two temporaries
_NODES_HELD = 16  # of a segment, when only the layers' factors are kept
_SEPARATED = 1e3  # in units of rounding: how far a path kernel must be from 0


@runtime_checkable
class Decomposable(Protocol):
    """A path of another kind that knows how to split a prediction itself, such as a gradient flow."""

    def decomposed(
        self, x_query: Batch, *, output: OutputOf | None, kernels: bool, memory: int | None
    ) -> NetworkDecomposition: ...


def decompose(
    path: TrainingPath | Decomposable,
    x_query: Batch,
    *,
    output: OutputOf | None = None,
    kernels: bool = False,
    memory: int | None = None,
    most_nodes: int = 4096,
) -> NetworkDecomposition:
    """Split the predictions at some inputs over the training examples, exactly, at any learning rate.

    Each contribution is what an example did to the output, in its units, through all steps that it was in and
    the momentum that it left behind. Nothing is fitted and nothing rescaled: what the sum misses is the residual.

    Args:
        path: A recorded run, or a gradient flow.
        x_query: The inputs: a tensor, a tuple or a dict, as the model takes them; q along the first axis.
        output: What is decomposed, from what the model returns to ``[q, ...]``; as recorded when left out.
        kernels: Also give the path kernel and the weights ``a_i``; it takes a gradient of each output of each example.
        memory: Bytes for the query side; the queries are taken in parts that fit. The numbers do not depend on it.
        most_nodes: How many quadrature nodes a query may take on one segment.

    Returns:
        The decomposition; ``unconverged`` names the steps that needed more nodes.

    Raises:
        InputError: If the path is unfinished, its files were altered, or a step's gradient is not the recorded one.

    Example:
        >>> from pkverify import network
        >>> from pkverify.network.record import record
        >>> model = torch.nn.Linear(1, 1, bias=False).double()
        >>> _ = torch.nn.init.constant_(model.weight, 1.0)
        >>> x, y = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([[0.0], [1.0]]).double()
        >>> half_square = lambda o, t: ((o - t) ** 2).sum() / 2
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> with record(model, optimizer, loss=half_square, x=x, y=y) as path:
        ...     half_square(model(x), y).backward()
        ...     optimizer.step()
        >>> found = decompose(path, torch.tensor([[1.0]]).double())  # -rate * (w x_i - y_i) x_i x
        >>> found.contributions.flatten().tolist(), found.residual.item()
        ([-0.5, -1.0], 0.0)
    """
    if not isinstance(path, TrainingPath):
        if isinstance(cast("object", path), Decomposable):
            return path.decomposed(x_query, output=output, kernels=kernels, memory=memory)
        raise InputError(
            f"path: {type(path).__name__} is no path", "", "give what network.record or network.gradient_flow made"
        )
    require_steps(path)
    gradients = TrainingGradients(path, kernels=kernels)
    moments = list(path.moments())
    found: list[_Chunk] = []
    for some in _chunks(path, x_query, output, MEMORY if memory is None else memory):
        queries = make_queries(path, some, output, most_nodes)
        first, last = ends_of(path, queries)
        split = sweep(path, queries, gradients, last, moments, kernels=kernels)
        found.append(_Chunk(queries, first, last, split))
    return _joined(found)


@dataclass(frozen=True)
class _Chunk:
    queries: Queries
    first: Tensor
    last: Tensor
    split: Split

    def shaped(self, tensor: Tensor) -> Tensor:
        """``[q * C, m, ...]`` as ``[q, m, C, ...]``."""
        return tensor.unflatten(0, (self.queries.count, self.queries.outputs)).transpose(1, 2)


def require_steps(path: TrainingPath) -> None:
    """Refuse a path without steps, and a model that has become random since.

    Args:
        path: The path.

    Raises:
        InputError: If there is no step, or a layer is in training mode that must not be.
    """
    if not path.step_count:
        raise InputError(
            "path: has no step",
            "the optimiser that was recorded did not step inside the with block",
            "hand record() the optimiser of the loop, and step it inside",
        )
    refuse_random_layers(path.training.function.model)


def ends_of(path: TrainingPath, queries: Queries) -> tuple[Tensor, Tensor]:
    """The outputs of the queries at the first and at the last weights of a path, each ``[q, C]``."""
    first, last = path.weights(0), path.weights(len(path.points))
    outputs = queries.values(first.to(queries.study.device)), queries.values(last.to(queries.study.device))
    queries.note_outputs(torch.cat(outputs))
    return outputs


def make_queries(path: TrainingPath, x: Batch, output: OutputOf | None, most_nodes: int) -> Queries:
    """The queries of a path.

    Args:
        path: The path.
        x: Their inputs.
        output: What is decomposed; that of the recording for None.
        most_nodes: How many quadrature nodes a query may take on one segment.

    Returns:
        The queries.
    """
    function = path.training.function.with_output(output)
    dtype = next(function.model.parameters()).dtype
    return Queries(function, x, TOLERANCE[dtype], most_nodes)


def _chunks(path: TrainingPath, x_query: Batch, output: OutputOf | None, memory: int) -> list[Batch]:
    """The queries in parts whose tensors fit into so many bytes."""
    total = count(x_query, "x_query")
    one = make_queries(path, rows(x_query, slice(0, 1)), output, 4)
    dtype = one.study.dtype
    words = one.outputs * one.function.size * _DENSE_COPIES
    if is_plain(path):
        # Only the factors of the layers are held, at some nodes.
        words = _NODES_HELD * (1 + one.outputs) * one.study.bytes_per_example // dtype.itemsize
    size = max(1, memory // max(1, words * dtype.itemsize))
    return [rows(x_query, slice(first, first + size)) for first in range(0, total, size)]


def _joined(found: list[_Chunk]) -> NetworkDecomposition:
    first = found[0].split
    initial = torch.cat([c.first for c in found])
    final = torch.cat([c.last for c in found])
    contributions = torch.cat([c.shaped(c.split.contributions) for c in found])
    regularizer = torch.cat([c.split.regularizer_term.reshape(c.first.shape) for c in found])
    momentum = torch.cat([c.split.initial_momentum_term.reshape(c.first.shape) for c in found])
    kernel = weights = absent = None
    if first.path_kernel is not None:
        kernel = torch.cat([c.shaped(c.split.path_kernel) for c in found if c.split.path_kernel is not None])
        size = torch.cat([c.shaped(c.split.kernel_size) for c in found if c.split.kernel_size is not None])
        weights, absent = kernel_weights(kernel, size, contributions)
        if kernel.shape[2:] == (1, 1):
            kernel, weights = kernel[..., 0, 0], weights[..., 0]
    unconverged = {u.step: u for c in found for u in sorted(c.split.unconverged, key=lambda u: u.error)}
    return NetworkDecomposition(
        initial_output=initial,
        final_output=final,
        contributions=contributions,
        regularizer_term=regularizer,
        initial_momentum_term=momentum,
        residual=final - (initial + contributions.sum(1) + regularizer + momentum),
        unconverged=tuple(unconverged[step] for step in sorted(unconverged)),
        nodes=tuple(map(max, zip(*(c.split.nodes for c in found), strict=True))),
        path_kernel=kernel,
        weights=weights,
        weights_absent=absent,
    )


def kernel_weights(kernel: Tensor, size: Tensor, contributions: Tensor) -> tuple[Tensor, Tensor]:
    """The weights ``a_i`` of the kernel machine, where the path kernel is separated from 0.

    Args:
        kernel: ``[q, m, C, C']``.
        size: The sum of the absolute values of its terms, which its rounding is relative to.
        contributions: ``[q, m, C]``.

    Returns:
        The weights ``[q, m, C']``, 0 where absent, and where they are absent ``[q, m]``.

    Example:
        >>> kernel = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1).double()
        >>> weights, absent = kernel_weights(kernel, kernel.abs() + 1, torch.ones(1, 2, 1).double())
        >>> weights.flatten().tolist(), absent.tolist()
        ([0.5, 0.0], [[False, True]])
    """
    floor = _SEPARATED * rounding_floor(kernel.dtype)
    outputs, columns = kernel.shape[2:]
    if outputs != columns:
        return contributions.new_zeros(*kernel.shape[:2], columns), kernel.new_ones(kernel.shape[:2], dtype=torch.bool)
    smallest = torch.linalg.svdvals(kernel)[..., -1]
    absent = smallest <= floor * size.amax((-1, -2))
    eye = torch.eye(outputs, dtype=kernel.dtype, device=kernel.device)
    safe = torch.where(absent[..., None, None], eye, kernel)
    weights = torch.linalg.solve(safe, contributions.unsqueeze(-1)).squeeze(-1)
    return torch.where(absent[..., None], 0.0, weights), absent
