"""Where the gradients of queries and training examples jump inside the steps of a gradient flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pkverify.network.kinks import Line, decisions
from pkverify.network.training import ModelFunction, Params

if TYPE_CHECKING:
    from pkverify.network.flow import Trajectory
    from pkverify.network.objective import Objective

_CELLS = 4  # into how many cells a step is cut in the search; steps are short where the flow turns
_MOST = 20_000  # kinks among all inputs of one step


class Curve(Line):
    """The continuous extension of one step, ``w(u)`` for u in [0, 1], and the inputs that are followed along it.

    Args:
        function: The model.
        start: The state ``[d]`` at ``u = 0``.
        rows: The rows ``[n, d]`` of the extension.
        x: The inputs.
    """

    def __init__(self, function: ModelFunction, start: Tensor, rows: Tensor, x: Tensor) -> None:
        super().__init__(function, start, rows[0], x)
        self._extension = rows

    def params(self, u: Tensor | float) -> Params:
        """The parameters at a position."""
        *others, total = self._extension
        for k in range(len(others), 0, -1):
            total = others[k - 1] + ((1 - u) if k % 2 else u) * total
        return self.function.unflatten(self.start + u * total)


class FlowKinks:
    """The kinks of some queries, and of the training examples, step by step.

    Args:
        trajectory: The flow.
        x: The queries ``[q, ...]``.
        output: What is decomposed, from the model's outputs ``[n, C]``; themselves for None.
    """

    def __init__(self, trajectory: Trajectory, x: Tensor, output: Callable[[Tensor], Tensor] | None) -> None:
        self._trajectory, self._x, self._train = trajectory, x, trajectory.objective.x
        self._queried = _function(trajectory.objective, output)
        self._trained = _function(trajectory.objective, None)
        with torch.no_grad():
            params = self._queried.unflatten(trajectory.initial)
            self.bends = bool(len(x)) and bool(decisions(self._queried, params, x[:1]).numel())

    def of(self, step: int) -> tuple[list[list[float]], list[float]]:
        """The kinks of each query inside a step, rising, and those of all training examples together.

        Positions are parts of the step between 0 and 1.
        """
        start, rows = self._trajectory.states[step], self._trajectory.rows_of(step)
        found: list[list[list[float]]] = []
        for function, x in ((self._queried, self._x), (self._trained, self._train)):
            everybody = torch.arange(len(x), device=start.device)
            found.append(Curve(function, start, rows, x).kinks(everybody, _CELLS, _MOST))
        return found[0], sorted({u for positions in found[1] for u in positions})


def _function(objective: Objective, output: Callable[[Tensor], Tensor] | None) -> ModelFunction:
    if output is None:
        return ModelFunction(objective.model, list(objective.shapes))
    return ModelFunction(objective.model, list(objective.shapes), lambda raw: output(raw.reshape(len(raw), -1)))
