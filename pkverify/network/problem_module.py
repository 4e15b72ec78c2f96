"""A problem of the grammar as a torch module with its criterion: the network route on the problems of all routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor, nn

from pkverify.errors import UntreatableError
from pkverify.models import LayeredModel
from pkverify.network.objective import Criterion, Penalty
from pkverify.problem import Problem, Vector


def _softplus(value: Tensor) -> Tensor:
    return torch.logaddexp(torch.zeros_like(value), value)  # nn.functional.softplus is linear above 20, not exact


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan,
    "sinh": torch.sinh, "cosh": torch.cosh, "tanh": torch.tanh, "atan": torch.atan, "sigmoid": torch.sigmoid,
    "softplus": _softplus, "relu": torch.relu, "abs": torch.abs, "erf": torch.erf,
}  # fmt: skip


@dataclass(frozen=True)
class TorchAlgebra:
    """Formulas replayed over tensors: numbers are scalars, inputs ``[m]``, and all of them broadcast.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> w = torch.tensor([1.0, 2.0], dtype=torch.float64)
        >>> parse_expression("w**2/2 + 1", ["w"]).build(TorchAlgebra(), {"w": w}).tolist()
        [1.5, 3.0]
    """

    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"

    def number(self, value: Fraction) -> Tensor:
        return torch.tensor(as_float(value), dtype=self.dtype, device=self.device)

    def pi(self) -> Tensor:
        return torch.tensor(torch.pi, dtype=self.dtype, device=self.device)

    def add(self, terms: Sequence[Tensor]) -> Tensor:
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        return left * right

    def divide(self, left: Tensor, right: Tensor) -> Tensor:
        return left / right

    def power(self, base: Tensor, exponent: Fraction) -> Tensor:
        return torch.pow(base, int(exponent) if exponent.denominator == 1 else float(exponent))

    def call(self, function: str, argument: Tensor) -> Tensor:
        return FUNCTIONS[function](argument)


class ProblemModule(nn.Module):
    """The model of a problem, with one flat parameter ``params`` ``[d]`` in the problem's order.

    Layered models are evaluated by matrices; every other one by replaying its formulas.
    """

    def __init__(self, problem: Problem, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.formulas = problem.model
        self.params = nn.Parameter(tensor(problem.initial, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs ``[m, C]`` for inputs ``[m, n]``."""
        if isinstance(self.formulas, LayeredModel):
            return self._layers(self.formulas, x)
        algebra = TorchAlgebra(x.dtype, x.device)
        outputs = self.formulas.build(algebra, self.params.unbind(), x.unbind(-1))
        stacked = torch.stack([output.expand(len(x)) for output in outputs], -1)
        # An output that depends on no parameter still has a gradient: zero.
        return stacked if stacked.requires_grad or not self.params.requires_grad else stacked + 0.0 * self.params.sum()

    def _layers(self, model: LayeredModel, x: Tensor) -> Tensor:
        start, last = 0, len(model.layers) - 2
        for number, (fan_in, fan_out) in enumerate(pairwise(model.layers)):
            weight = self.params[start : start + fan_in * fan_out].view(fan_out, fan_in)
            start += fan_in * fan_out
            bias = self.params[start : start + fan_out] if model.bias else None
            start += fan_out if model.bias else 0
            x = nn.functional.linear(x, weight, bias)
            if model.activation is not None and number < last:
                x = FUNCTIONS[model.activation](x)
        return x


@dataclass(frozen=True)
class TorchProblem:
    """A problem in tensors.

    Attributes:
        module: The model, at the initial parameters.
        criterion: The total loss, with the problem's reduction, from outputs ``[m, C]`` and targets.
        x: Training inputs ``[m, n]``.
        y: Targets ``[m, k]``; None for a loss without any.
        x_query: Query inputs ``[q, n]``.
        regularizer: The penalty on the parameters, or None.
        horizon: The end of the flow.
    """

    module: ProblemModule
    criterion: Criterion
    x: Tensor
    y: Tensor | None
    x_query: Tensor
    regularizer: Penalty | None
    horizon: float


def torch_problem(problem: Problem, dtype: torch.dtype = torch.float64) -> TorchProblem:
    """A problem as a torch module with criterion and data; every number is rounded to the dtype once.

    Args:
        problem: Any problem of the grammar.
        dtype: What to compute in.

    Raises:
        UntreatableError: If a number of the problem does not fit into a double.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> told = torch_problem(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1], [2]], y = [2, 0]}
        ... flow = {initial = [3], horizon = 1}
        ... \'\'\'))
        >>> told.criterion(told.module(told.x), told.y).item()  # (3 - 2)^2/2 + 6^2/2
        18.5
    """
    model = problem.model

    def penalty(params: Mapping[str, Tensor]) -> Tensor:
        assert problem.regularizer is not None
        flat = params["params"]
        if problem.regularizer.strength is not None:
            return as_float(problem.regularizer.strength) / 2 * flat.square().sum()
        return problem.regularizer.build(TorchAlgebra(dtype, flat.device), model.params, flat.unbind())

    return TorchProblem(
        module=ProblemModule(problem, dtype),
        criterion=_criterion(problem),
        x=_matrix(problem.data.inputs, dtype),
        y=_matrix(problem.data.targets, dtype) if any(problem.data.targets) else None,
        x_query=_matrix(problem.query_inputs, dtype),
        regularizer=None if problem.regularizer is None else penalty,
        horizon=as_float(problem.horizon),
    )


def as_float(value: Fraction) -> float:
    """A rational as a double.

    Raises:
        UntreatableError: If it is too large for one.
    """
    try:
        return float(value)
    except OverflowError:
        raise UntreatableError(
            "a number of the problem does not fit into a double",
            "the network route computes in float64",
            "use the precise route, or scale the problem",
        ) from None


def tensor(values: Vector, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rationals as a vector, each rounded once."""
    return torch.tensor([as_float(v) for v in values], dtype=torch.float64).to(dtype)


def _matrix(rows: Sequence[Vector], dtype: torch.dtype) -> Tensor:
    return torch.stack([tensor(row, dtype) for row in rows])


def _criterion(problem: Problem) -> Criterion:
    loss, scale = problem.loss, as_float(problem.example_scale)

    def total(outputs: Tensor, targets: Tensor | None) -> Tensor:
        if loss.kind == "softmax-cross-entropy":  # by the stable logarithm of the partition sum
            assert targets is not None
            return scale * (torch.logsumexp(outputs, 1) - (targets * outputs).sum(1)).sum()
        columns = () if targets is None else targets.unbind(1)
        values = loss.build(TorchAlgebra(outputs.dtype, outputs.device), outputs.unbind(1), columns)
        return scale * values.expand(len(outputs)).sum()

    return total
