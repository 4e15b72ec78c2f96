"""Tangent kernels and their loss-weighted sums at many states of one model at a time.

A node of a path integral is a state, and all nodes of a step, or of several, are taken in one pass: for the small and
middle-sized models whose flow can be followed, calling the model costs more than its arithmetic.

No example's gradient is ever formed: ``K_t(x, x_i)`` for all examples at once is the derivative of their outputs along
``grad f(x)``, which forward-mode differentiation gives for the whole batch. That takes ``q C`` forward passes over the
examples and the memory of their activations; forming the gradients would take ``m C`` vectors of the size of the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev, jvp, vmap

from pkverify.network.objective import Objective

Output = Callable[[Tensor], Tensor]
"""What is decomposed: from the model's outputs ``[n, C]`` to others ``[n, C']``, row by row."""

MEMORY = 128 * 2**20  # bytes that the gradients or the activations of one pass may take
_COPIES = 4  # live copies of them while they are made and contracted


@dataclass(frozen=True)
class Rates:
    """The integrands of the path integrals at ``n`` states, for ``q`` queries, ``m`` examples, ``C`` outputs.

    Attributes:
        contributions: ``-L'_i K_t(x, x_i)``, ``[n, q, m, C]``.
        regularizer_term: ``-grad f(x) . grad R``, ``[n, q, C]``.
        self_kernel: ``|grad f(x)|^2`` for each query and output, ``[n, q, C]``.
        path_kernel: ``K_t(x, x_i)``, ``[n, q, m, C, C]``, the example's output last; None where it is not kept.
        loss_derivatives: ``L'_i``, ``[n, m, C]``.
    """

    contributions: Tensor
    regularizer_term: Tensor
    self_kernel: Tensor
    path_kernel: Tensor | None
    loss_derivatives: Tensor


def query_jacobians(objective: Objective, states: Tensor, x: Tensor, output: Output | None = None) -> Tensor:
    """Jacobians ``[n, q, C, d]`` of the outputs at the inputs, at states ``[n, d]``."""

    def single(state: Tensor, one: Tensor) -> Tensor:
        values = objective.call(state, one.unsqueeze(0))
        return (values if output is None else output(values)).squeeze(0)

    return vmap(vmap(jacrev(single), in_dims=(None, 0)), in_dims=(0, None))(states, x)


def derivatives_along(objective: Objective, states: Tensor, directions: Tensor, x: Tensor) -> Tensor:
    """Derivatives ``[n, k, m, C]`` of the outputs at ``m`` inputs, along ``k`` directions ``[n, k, d]``."""

    def along(state: Tensor, direction: Tensor, inputs: Tensor) -> Tensor:
        return jvp(lambda w: objective.call(w, inputs), (state,), (direction,))[1]

    per_state = vmap(vmap(along, in_dims=(None, 0, None)), in_dims=(0, 0, None))
    # A pass holds for each example about as much as its input or its largest layer has entries.
    width = max(x[0].numel(), objective.width, objective.activations)
    length = max(1, MEMORY // (_COPIES * directions.shape[0] * directions.shape[1] * width * states.element_size()))
    with warnings.catch_warnings():
        # The first use of forward mode makes torch script its own formulas, and script is deprecated.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=DeprecationWarning)
        return torch.cat([per_state(states, directions, part) for part in x.split(length)], 2)


def rates(
    objective: Objective, states: Tensor, x: Tensor, *, output: Output | None = None, kernel: bool = True
) -> Rates:
    """The integrands at states ``[n, d]``, for queries ``x``.

    Args:
        objective: The model, its loss and its training examples.
        states: The states.
        x: The query inputs ``[q, ...]``.
        output: What is decomposed, from the model's outputs; the outputs themselves when left out.
        kernel: Whether the tangent kernel of every pair is kept.

    Example:
        >>> line = torch.nn.Linear(1, 1, bias=False).double()
        >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
        >>> objective = Objective(line, lambda o, y: o.sum(), x, None, torch.float64, torch.device("cpu"))
        >>> rates(objective, objective.initial[None], x[1:]).path_kernel.flatten().tolist()  # K = x x'
        [2.0, 4.0]
    """
    slopes = torch.stack([objective.loss_derivatives(objective.outputs(state)) for state in states])
    queries = query_jacobians(objective, states, x, output)
    count, q, outputs, size = queries.shape
    flat = queries.reshape(count, q * outputs, size)
    gram = derivatives_along(objective, states, flat, objective.x)
    gram = gram.reshape(count, q, outputs, *gram.shape[2:]).transpose(2, 3)
    pulls = [pull for pull in map(objective.penalty_gradient, states) if pull is not None]
    pulled = -(flat @ torch.stack(pulls).unsqueeze(2)) if pulls else torch.zeros_like(flat[:, :, :1])
    return Rates(
        contributions=-torch.einsum("nqmco,nmo->nqmc", gram, slopes),
        regularizer_term=pulled.reshape(count, q, outputs),
        self_kernel=queries.square().sum(3),
        path_kernel=gram if kernel else None,
        loss_derivatives=slopes,
    )


def example_gradients(objective: Objective, state: Tensor, seeds: Tensor) -> Tensor:
    """Gradients ``[m, d]`` of the outputs at the training inputs, summed over the outputs with ``seeds`` ``[m, C]``."""

    def weighted(w: Tensor, one: Tensor, seed: Tensor) -> Tensor:
        return (objective.call(w, one.unsqueeze(0)).squeeze(0) * seed).sum()

    def single(one: Tensor, seed: Tensor) -> Tensor:
        slope: Tensor = grad(weighted)(state, one, seed)
        return slope

    return vmap(single, chunk_size=_rows_that_fit(objective))(objective.x, seeds)


def states_per_pass(objective: Objective, rows: int) -> int:
    """How many states fit into one pass that forms so many gradients ``[d]`` at each; at least one."""
    return max(1, _rows_that_fit(objective) // max(rows, 1))


def _rows_that_fit(objective: Objective) -> int:
    return max(1, MEMORY // (_COPIES * objective.size * objective.initial.element_size()))
