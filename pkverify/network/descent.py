"""Plain gradient descent on the whole training set, and its exact decomposition at any learning rate.

For a step ``w_{s+1} = w_s - h grad L(w_s)`` and a smooth model, ``f(w_{s+1}) - f(w_s)`` is the mean of ``grad f`` over
the segment times the step, so that

    y_N(x) = y_0(x) - h sum_s sum_i L'_i(s) gbar_s(x) . grad f_{w_s}(x_i)

holds for every ``h``. The training gradients belong to the start of each segment; only those of the queries are
averaged along it, by Gauss nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.gauss import gauss_rule
from pkverify.network.objective import Objective
from pkverify.network.tangents import derivatives_along, query_jacobians, states_per_pass


@dataclass(frozen=True)
class DescentDecomposition:
    """The decomposition of gradient descent for ``q`` queries, ``m`` examples, ``C`` outputs.

    Attributes:
        initial_output: ``y_0(x)``, ``[q, C]``.
        final_output: ``y_N(x)`` from the final weights, ``[q, C]``.
        contributions: By example, ``[q, m, C]``.
        regularizer_term: What the penalty moved, ``[q, C]``.
        left_residual: What is missing when the query's gradient is taken at the start of each segment, ``[q, C]``.
    """

    initial_output: Tensor
    final_output: Tensor
    contributions: Tensor
    regularizer_term: Tensor
    left_residual: Tensor

    @property
    def residual(self) -> Tensor:
        """``final_output - (initial_output + regularizer_term + sum of contributions)``, ``[q, C]``."""
        return self.final_output - (self.initial_output + self.regularizer_term + self.contributions.sum(1))


def descend(objective: Objective, learning_rate: float, steps: int) -> Tensor:
    """The states ``[steps + 1, d]`` of plain gradient descent from the initial weights.

    Raises:
        InputError: For fewer than one step.

    Example:
        >>> import torch
        >>> line = torch.nn.Linear(1, 1, bias=False).double()
        >>> _ = torch.nn.init.ones_(line.weight)
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> objective = Objective(line, lambda o, y: o.square().sum() / 2, one, None, one.dtype, one.device)
        >>> descend(objective, 0.5, 2).flatten().tolist()
        [1.0, 0.5, 0.25]
    """
    if steps < 1:
        raise InputError(f"steps {steps}", "a descent has a step", "take one or more")
    states = torch.empty(steps + 1, objective.size, dtype=objective.dtype, device=objective.device)
    states[0] = objective.initial
    for step in range(steps):
        torch.add(states[step], objective.gradient(states[step]), alpha=-learning_rate, out=states[step + 1])
    return states


def decompose_descent(
    objective: Objective, states: Tensor, learning_rate: float, x_query: Tensor, *, nodes: int = 6
) -> DescentDecomposition:
    """Split the predictions of a recorded descent over the training examples.

    Args:
        objective: The model, its loss and its training examples.
        states: The states ``[N + 1, d]``, as ``descend`` gives them.
        learning_rate: The learning rate of every step.
        x_query: The query inputs ``[q, ...]``.
        nodes: Gauss nodes on each segment.

    Returns:
        The decomposition; its residual tells whether the nodes were enough.
    """
    x = objective.placed(x_query, objective.dtype, objective.device)
    first, last = objective.outputs(states[0], x), objective.outputs(states[-1], x)
    width = first.shape[1]
    contributions = torch.zeros(len(x), len(objective.x), width, dtype=torch.float64, device=states.device)
    left, penalty = torch.zeros_like(first).double(), torch.zeros_like(first).double()
    room = min(64, states_per_pass(objective, len(x) * width * nodes))
    parts, weights = gauss_rule(nodes)
    at = torch.tensor(parts, dtype=states.dtype, device=states.device)
    share = torch.tensor(weights, dtype=states.dtype, device=states.device)
    for begin in range(0, len(states) - 1, room):
        starts, ends = states[begin : begin + room + 1][:-1], states[begin + 1 : begin + room + 1]
        inside = starts[:, None] + at[None, :, None] * (ends - starts)[:, None]
        jacobians = query_jacobians(objective, inside.reshape(-1, objective.size), x)
        mean = torch.einsum("snqcd,n->sqcd", jacobians.reshape(len(starts), nodes, len(x), width, -1), share)
        slopes = torch.stack([objective.loss_derivatives(objective.outputs(state)) for state in starts])
        gram = derivatives_along(objective, starts, mean.reshape(len(starts), -1, objective.size), objective.x)
        gram = gram.reshape(len(starts), len(x), width, *gram.shape[2:])
        contributions -= learning_rate * torch.einsum("sqcmo,smo->qmc", gram, slopes).double()
        moves = (ends - starts)[:, None, None]
        left += (query_jacobians(objective, starts, x) * moves).sum((0, 3)).double()
        for state, direction in zip(starts, mean, strict=True):
            pull = objective.penalty_gradient(state)
            penalty -= 0.0 if pull is None else learning_rate * (direction @ pull).double()
    return DescentDecomposition(
        initial_output=first.double(),
        final_output=last.double(),
        contributions=contributions,
        regularizer_term=penalty,
        left_residual=last.double() - first.double() - left,
    )
