"""What is measured on one problem in float64, as plain numbers: the material of the checks on the network route."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn

from pkverify.models import LayeredModel
from pkverify.network.decompose import decompose
from pkverify.network.descent import decompose_descent, descend
from pkverify.network.device import resolve_device
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.gauss import gauss_rule
from pkverify.network.objective import Objective
from pkverify.network.path import TrainingPath
from pkverify.network.path_integrals import PathIntegrals, path_integrals
from pkverify.network.problem_module import TorchProblem, torch_problem
from pkverify.network.record import record
from pkverify.network.tangents import derivatives_along, example_gradients, rates
from pkverify.problem import Dataset, Problem

RTOL = 1e-9
_SAMPLED_EXAMPLES = 4
_SAMPLES_A_STEP = 4
_LAW_NODES = 40
_LAW_CHANGE = 2.0
_CLASS_QUERIES = 2


@dataclass(frozen=True)
class LossRate:
    """``dL/dt`` at one time of the flow, in three ways, and the loss itself.

    Attributes:
        time: The time.
        difference: The central difference of the loss along the path.
        squared_gradient: ``-|grad L|^2``.
        gram_form: ``-L'^T G L'`` from the gradients of the single examples.
    """

    time: float
    difference: float
    squared_gradient: float
    gram_form: float


@dataclass(frozen=True)
class AverageRange:
    """A weight ``a_i`` beside the range of ``-L'_i`` along the path.

    Attributes:
        query: Position of the query.
        example: Position of the example.
        weight: ``contributions / path_kernel``.
        low: The least sampled ``-L'_i``.
        high: The largest one.
        slack: What sampling may have missed of the range: the largest second difference of the samples.
        one_sign: Whether ``K_t`` keeps its sign at all samples (H4).
    """

    query: int
    example: int
    weight: float
    low: float
    high: float
    slack: float
    one_sign: bool


class _LogProbability(nn.Module):
    """The log-probability of one class: inputs are those of the network, then the number of the class."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The log-probabilities ``[m, 1]`` for ``[m, n + 1]``."""
        logs = torch.log_softmax(self.network(x[:, :-1]), 1)
        return logs.gather(1, x[:, -1:].long())


class NetworkStudy:
    """One problem, followed in float64.

    Args:
        problem: Any problem of the grammar.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        rtol: Tolerance of the steps, relative and absolute.

    Example:
        >>> from pkverify.cases import case_problems
        >>> study = NetworkStudy(dict(case_problems("linear"))["linear-intercept"])
        >>> study.worst_residual() < 1e-8
        True
    """

    def __init__(self, problem: Problem, device: str = "cpu", rtol: float = RTOL) -> None:
        self.problem, self.rtol, self.device = problem, rtol, resolve_device(device)

    @cached_property
    def told(self) -> TorchProblem:
        """The problem in tensors."""
        return torch_problem(self.problem)

    @cached_property
    def trajectory(self) -> Trajectory:
        """The flow.

        Raises:
            InputError, FlowError: As ``gradient_flow``.
        """
        return self._flow(self.told)

    @cached_property
    def integrals(self) -> PathIntegrals:
        """Contributions of all examples at all queries; with path kernels where there is one output."""
        scalar = self.problem.model.output_count == 1
        return path_integrals(self.trajectory, self.told.x_query, path_kernel=scalar)

    @property
    def kinks(self) -> str:
        """The functions of the model that are not smooth, in words; empty where there are none."""
        model = self.problem.model
        if isinstance(model, LayeredModel):
            used = {model.activation}
        else:
            steps = [step for output in getattr(model, "outputs", ()) for step in output.steps]
            used = {str(step.value) for step in steps if step.operation == "call"}
        return ", ".join(name for name in ("relu", "abs") if name in used)

    @property
    def one_hot(self) -> bool:
        """Whether every target names one class."""
        return all(max(row) == 1 for row in self.problem.data.targets if row)

    @property
    def objective(self) -> Objective:
        """The total loss on the flow's states."""
        return self.trajectory.objective

    def scale(self) -> float:
        """The size of the terms of the identity: what its residual is relative to."""
        found = self.integrals
        terms = found.contributions.abs().sum(1) + found.initial_output.abs() + found.regularizer_term.abs()
        return max(1.0, float(terms.max()))

    def worst_residual(self) -> float:
        """The largest residual of the identity over all queries and outputs."""
        return float(self.integrals.residual.abs().max())

    def change(self) -> float:
        """The largest change of a queried output along the flow."""
        return float((self.integrals.final_output - self.integrals.initial_output).abs().max())

    def rate_gap(self) -> float:
        """Single terms of the sum, at three times, against gradients taken one by one; relative to the largest term.

        A sum alone would not show two contributions exchanged.
        """
        worst, examples = 0.0, range(min(_SAMPLED_EXAMPLES, len(self.problem.data)))
        for part in (0.1, 0.5, 0.9):
            state = self.trajectory.params_at(part * self.trajectory.horizon)
            found = rates(self.objective, state[None], self.told.x_query.to(state), kernel=False).contributions[0]
            largest = max(float(found.abs().max()), 1e-300)
            for q, inputs in enumerate(self.told.x_query):
                for c in range(found.shape[2]):
                    query = self._one_gradient(state, inputs, c)
                    for i in examples:
                        term = -float(query @ self._loss_gradient(state, i))
                        worst = max(worst, abs(term - float(found[q, i, c])) / largest)
        return worst

    def path_gap(self) -> float:
        """How far the path is from the flow, at three times: its slope against minus the gradient, relative to it."""
        worst = 0.0
        for part in (0.1, 0.5, 0.9):
            time = part * self.trajectory.horizon
            expected = -self.objective.gradient(self.trajectory.params_at(time))
            slope = self.trajectory.slope_at(time)
            worst = max(worst, float((slope - expected).norm() / expected.norm().clamp(min=1e-8)))
        return worst

    def descent_errors(self, doublings: int) -> list[tuple[float, float]]:
        """``(learning rate, |w_N - w(T)|)`` for gradient descent up to the horizon, the rate halved each time."""
        horizon = self.trajectory.horizon
        found = self.trajectory.statistics.largest_eigenvalue
        assert found is not None
        steps = max(8, math.ceil(horizon * max(found.value, 0.0)))
        errors: list[tuple[float, float]] = []
        for k in range(doublings + 1):
            rate = horizon / (steps << k)
            end = descend(self.objective, rate, steps << k)[-1]
            errors.append((rate, float((end - self.trajectory.final).norm())))
        return errors

    def descent_identity(self, steps: int = 60) -> tuple[float, float, float]:
        """Residual, residual of left sums, and scale of the exact split of gradient descent with large steps.

        An ordinary loop is recorded, and its path decomposed. A penalty that is no weight decay is not part of a loss
        of outputs: descent with one is split by itself.
        """
        found, told = self.trajectory.statistics.largest_eigenvalue, self.told
        assert found is not None
        rate = 1.0 / found.value if found.value > 0 else self.trajectory.horizon / steps
        regularizer = self.problem.regularizer
        decay = 0.0 if regularizer is None else regularizer.strength
        if decay is None:
            states = descend(self.objective, rate, steps)
            split = decompose_descent(self.objective, states, rate, told.x_query, nodes=8)
            scale = float((split.contributions.abs().sum(1) + split.initial_output.abs()).max())
            return float(split.residual.abs().max()), float(split.left_residual.abs().max()), max(1.0, scale)
        model = copy.deepcopy(told.module).to(self.device)
        x, y = told.x.to(self.device), None if told.y is None else told.y.to(self.device)

        def loss(outputs: Tensor, targets: Tensor | None = None) -> Tensor:
            return told.criterion(outputs, targets)

        optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=float(decay))
        with record(model, optimizer, loss=loss, x=x, y=y) as path:
            for _ in range(steps):
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
        recorded = decompose(path, told.x_query.to(self.device))
        scale = float((recorded.contributions.abs().sum(1) + recorded.initial_output.abs()).max())
        return float(recorded.residual.abs().max()), self._left_residual(path), max(1.0, scale)

    def _left_residual(self, path: TrainingPath) -> float:
        """What sums of the queries' gradients at the left ends of the steps miss of the change of the outputs."""
        states = [path.weights(point) for point in range(path.step_count + 1)]
        queries = self.told.x_query.to(states[0])
        left = sum(
            derivatives_along(self.objective, state[None], (after - state)[None, None], queries)[0, 0]
            for state, after in pairwise(states)
        )
        ends = [self.objective.outputs(state, queries) for state in (states[-1], states[0])]
        return float((ends[0] - ends[1] - left).abs().max())

    def loss_rates(self, count: int = 5) -> list[LossRate]:
        """``dL/dt`` in three ways at equally spaced times inside the flow."""
        horizon, found = self.trajectory.horizon, list[LossRate]()
        for k in range(count):
            time = horizon * (k + 0.5) / count
            step = horizon * 1e-4
            upper, lower = (self.objective.loss(self.trajectory.params_at(time + s)) for s in (step, -step))
            state = self.trajectory.params_at(time)
            total = self._summed_loss_gradient(state)
            gradient = self.objective.gradient(state)
            found.append(
                LossRate(time, (upper - lower) / (2 * step), -float(gradient @ gradient), -float(total @ total))
            )
        return found

    def losses(self) -> list[float]:
        """The total loss at the ends of all steps."""
        return [self.objective.loss(state) for state in self.trajectory.states]

    def norm_bounds(self) -> list[tuple[float, float]]:
        """For each query and output ``(y_T - y_0)^2`` and ``K(x, x) (L_0 - L_T)``."""
        found, losses = (
            self.integrals,
            (self.objective.loss(self.trajectory.initial), self.objective.loss(self.trajectory.final)),
        )
        moved = (found.final_output - found.initial_output).square()
        bound = found.self_kernel * (losses[0] - losses[1])
        return list(zip(moved.flatten().tolist(), bound.flatten().tolist(), strict=True))

    def averages(self) -> list[AverageRange]:
        """Every weight with a path kernel away from 0, beside the range of ``-L'_i``; for one output."""
        kernels, contributions = self.integrals.path_kernel, self.integrals.contributions[:, :, 0]
        assert kernels is not None
        parts = [k / _SAMPLES_A_STEP for k in range(_SAMPLES_A_STEP)]
        states = torch.cat([
            *(self.trajectory.inside(step, parts) for step in range(self.trajectory.step_count)),
            self.trajectory.final[None],
        ])  # fmt: skip
        samples = [rates(self.objective, group, self.told.x_query.to(states)) for group in states.split(8)]
        tangent = torch.cat([s.path_kernel[..., 0, 0] for s in samples if s.path_kernel is not None])
        slopes = -torch.cat([s.loss_derivatives[..., 0] for s in samples])
        slack = (slopes[2:] - 2 * slopes[1:-1] + slopes[:-2]).abs().amax(0)
        one_sign = (tangent > 0).all(0) | (tangent < 0).all(0)
        separated = 1e3 * self.rtol * kernels.abs().max().clamp(min=1.0)
        return [
            AverageRange(
                query=q, example=i, weight=float(contributions[q, i] / kernels[q, i, 0, 0]),
                low=float(slopes[:, i].min()), high=float(slopes[:, i].max()), slack=float(slack[i]),
                one_sign=bool(one_sign[q, i]),
            )
            for q in range(len(kernels)) for i in range(kernels.shape[1])
            if float(kernels[q, i, 0, 0].abs()) > float(separated)
        ]  # fmt: skip

    def single_example(self) -> tuple[float, float]:
        """``K(x_1, x_1)`` of the network trained on its first example alone: integrated, and from the loss alone."""
        data = self.problem.data
        first = Dataset(data.inputs[:1], data.targets[:1], data.classes)
        told = torch_problem(replace(self.problem, data=first, queries=data.inputs[:1]))
        if self.problem.loss.kind == "softmax-cross-entropy":
            told = _log_probability(told, 1.0)
        # Only while the output is still on its way: a loss whose end is reached is 0 to all digits, and its law empty.
        place = torch.device(self.device)
        objective = Objective(told.module, told.criterion, told.x, told.y, torch.float64, place)
        kernel = float(rates(objective, objective.initial[None], told.x_query.to(place)).self_kernel)
        told = replace(told, horizon=min(told.horizon, _LAW_CHANGE / kernel) if kernel > 0 else told.horizon)
        trajectory = self._flow(told)
        found = path_integrals(trajectory, told.x_query)
        assert found.path_kernel is not None
        start, end = float(found.initial_output), float(found.final_output)
        nodes, weights = gauss_rule(_LAW_NODES)
        total = 0.0
        for node, weight in zip(nodes, weights, strict=True):
            output = torch.tensor([[start + (end - start) * node]], dtype=torch.float64, device=self.device)
            total += weight * (end - start) / -float(trajectory.objective.loss_derivatives(output))
        return float(found.path_kernel), total

    def log_probability(self) -> tuple[float, float, float]:
        """With ``y = log p`` of the observed class: the largest ``|contribution - kernel|``, the residual, the scale.

        Contributions come from the logits, as softmax minus target through their matrix kernel; the kernels from a
        network whose output is the log-probability. The first queries are taken with every class.
        """
        told, scale, queries = self.told, float(self.problem.example_scale), self.told.x_query[:_CLASS_QUERIES]
        assert told.y is not None
        logits = path_integrals(self.trajectory, queries, output=lambda z: torch.log_softmax(z, 1), path_kernel=False)
        classes = told.y.shape[1]
        pairs = torch.cat([
            torch.cat([queries, torch.full((len(queries), 1), float(k), dtype=torch.float64)], 1)
            for k in range(classes)
        ])  # fmt: skip
        observed = _log_probability(told, scale)
        objective = Objective(
            observed.module, observed.criterion, observed.x, None, torch.float64, self.device, told.regularizer
        )
        found = path_integrals(replace(self.trajectory, objective=objective), pairs)
        assert found.path_kernel is not None
        kernels = found.path_kernel[:, :, 0, 0].reshape(classes, len(queries), -1).permute(1, 2, 0)
        gap = float((logits.contributions - scale * kernels).abs().max())
        return gap, float(logits.residual.abs().max()), max(1.0, float(logits.contributions.abs().sum(1).max()))

    def _flow(self, told: TorchProblem) -> Trajectory:
        return gradient_flow(
            told.module, told.criterion, told.x, told.y, horizon=told.horizon, rtol=self.rtol, atol=self.rtol,
            regularizer=told.regularizer, device=self.device,
        )  # fmt: skip

    def _one_gradient(self, state: Tensor, inputs: Tensor, output: int) -> Tensor:
        leaf = state.detach().clone().requires_grad_()
        value = self.objective.call(leaf, inputs.to(state)[None])[0, output]
        return torch.autograd.grad(value, leaf)[0]

    def _loss_gradient(self, state: Tensor, example: int) -> Tensor:
        """The gradient of one example's own loss."""
        objective, leaf = self.objective, state.detach().clone().requires_grad_()
        one = slice(example, example + 1)
        loss = objective.criterion(
            objective.call(leaf, objective.x[one]), None if objective.y is None else objective.y[one]
        )
        return torch.autograd.grad(loss, leaf)[0]

    def _summed_loss_gradient(self, state: Tensor) -> Tensor:
        """``sum_i L'_i grad f(x_i)``, and the regulariser's gradient: the vector whose square is ``L'^T G L'``."""
        slopes = self.objective.loss_derivatives(self.objective.outputs(state))
        pull = self.objective.penalty_gradient(state)
        total = example_gradients(self.objective, state, slopes).sum(0)
        return total if pull is None else total + pull


def _log_probability(told: TorchProblem, scale: float) -> TorchProblem:
    """The same training with the log-probability of the observed class as the only output."""
    assert told.y is not None

    def criterion(outputs: Tensor, targets: Tensor | None) -> Tensor:
        assert targets is None
        return -scale * outputs.sum()

    def paired(x: Tensor, classes: Tensor) -> Tensor:
        return torch.cat([x, classes.to(x)[:, None]], 1)

    observed: Sequence[int] = told.y.argmax(1).tolist()
    labels = torch.tensor(observed)
    pairs = paired(told.x, labels)
    queries = pairs[: len(told.x_query)] if len(pairs) == 1 else told.x_query
    return replace(told, module=_LogProbability(told.module), criterion=criterion, x=pairs, y=None, x_query=queries)
