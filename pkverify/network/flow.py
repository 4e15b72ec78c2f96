"""The gradient flow of a torch model, followed by an adaptive Runge-Kutta method over one flat state vector."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from pkverify.errors import FlowError, InputError
from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.dense_output import basis, basis_slope, row_matrix
from pkverify.network.device import resolve_device
from pkverify.network.flow_decomposition import decompose_flow
from pkverify.network.layers.batches import Batch
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.objective import Criterion, Objective, Penalty
from pkverify.network.runge_kutta import TABLEAUS, Stepper
from pkverify.network.stiffness import LargestEigenvalue, StiffnessWarning, largest_eigenvalue
from pkverify.network.tangents import Output

STIFF_STEPS = 1000  # a flow that needs more steps than this for stability alone is called stiff
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 6.0
_UNDERFLOW = 16  # a step below so many units of rounding of the time is not taken
_BLOW_UP = 1e8  # a slope that grew by so much is read as a flow that ends


@dataclass(frozen=True)
class FlowStatistics:
    """What a flow cost.

    Attributes:
        accepted: Steps that were taken.
        rejected: Steps that were tried and found too inexact.
        evaluations: Gradients of the total loss, those of the continuous extension included.
        largest_eigenvalue: Of the Hessian at the initial weights; None where it was not asked for.
        predicted_steps: Steps that stability alone asks for by that eigenvalue, or None.
    """

    accepted: int
    rejected: int
    evaluations: int
    largest_eigenvalue: LargestEigenvalue | None = None
    predicted_steps: int | None = None


@dataclass(frozen=True)
class Trajectory:
    """A gradient flow ``w' = -grad L(w)`` from the initial weights to the horizon.

    Attributes:
        objective: The model and its total loss, as functions of a flat state.
        order: Order of the method, 5 or 8.
        rtol: Relative tolerance of a step.
        atol: Absolute tolerance of a step.
        times: Ends of the steps, from 0 to the horizon; the requested times are among them.
        states: The states ``[d]`` at these times.
        statistics: What it cost.
        rows: For each step the rows ``[n, d]`` of its continuous extension; empty where they are made again on demand.
    """

    objective: Objective
    order: int
    rtol: float
    atol: float
    times: tuple[float, ...]
    states: tuple[Tensor, ...]
    statistics: FlowStatistics
    rows: tuple[Tensor, ...] = field(default=(), repr=False)

    @property
    def horizon(self) -> float:
        """The end of the flow."""
        return self.times[-1]

    @property
    def step_count(self) -> int:
        """The number of accepted steps."""
        return len(self.times) - 1

    @property
    def initial(self) -> Tensor:
        """The initial state ``[d]``."""
        return self.states[0]

    @property
    def final(self) -> Tensor:
        """The state ``[d]`` at the horizon."""
        return self.states[-1]

    def params_at(self, time: float) -> Tensor:
        """The state ``[d]`` at a time: as it was stored at the end of a step, by the continuous extension elsewhere.

        Raises:
            InputError: For a time outside of the flow.
        """
        step, part = self._place(time)
        if part in (0.0, 1.0):
            return self.states[step + int(part)]
        return self.inside(step, [part])[0]

    def slope_at(self, time: float) -> Tensor:
        """The derivative ``[d]`` of the continuous extension at a time; the flow's slope is ``-objective.gradient``.

        Raises:
            InputError: For a time outside of the flow.
        """
        step, part = self._place(time)
        rows = self.rows_of(step)
        return basis_slope([part], len(rows)).to(rows)[0] @ rows / (self.times[step + 1] - self.times[step])

    def state_dict_at(self, time: float) -> dict[str, Tensor]:
        """The trainable parameters by name at a time; ``model.load_state_dict(..., strict=False)`` takes them."""
        return {name: value.clone() for name, value in self.objective.params(self.params_at(time)).items()}

    def inside(self, step: int, parts: Sequence[float]) -> Tensor:
        """States ``[n, d]`` within a step, at parts of it between 0 and 1."""
        rows = self.rows_of(step)
        return torch.addmm(self.states[step], basis(parts, len(rows)).to(rows), rows)

    def rows_of(self, step: int) -> Tensor:
        """The rows ``[n, d]`` of the continuous extension of a step; made again where they were not kept."""
        if self.rows:
            return self.rows[step]
        tableau, length = TABLEAUS[self.order], self.times[step + 1] - self.times[step]
        stepper = Stepper(tableau, self.objective.slope, self.initial)
        with exact_arithmetic():
            stepper.start(self.states[step])
            stepper.step(self.states[step], length)
            stepper.extend(self.states[step], length)
        return length * (row_matrix(tableau).to(self.initial) @ stepper.slopes)

    def decomposed(
        self,
        x_query: Batch,
        *,
        output: Output | None = None,
        kernels: bool = False,
        memory: int | None = None,
    ) -> NetworkDecomposition:
        """What ``network.decompose`` asks of a path; see ``decompose_flow``."""
        return decompose_flow(self, x_query, output=output, kernels=kernels, memory=memory)

    def _place(self, time: float) -> tuple[int, float]:
        if not 0.0 <= time <= self.horizon:
            raise InputError(
                f"time {time}",
                f"the flow runs from 0 to {self.horizon}",
                "choose a time between these",
            )
        step = min(bisect_right(self.times, time) - 1, self.step_count - 1)
        start, end = self.times[step], self.times[step + 1]
        return step, 1.0 if time == end else (time - start) / (end - start)


def gradient_flow(  # noqa: PLR0913 - keyword-only options, each with a default
    model: nn.Module,
    criterion: Criterion,
    x: Tensor,
    y: Tensor | None = None,
    *,
    horizon: float,
    rtol: float = 1e-9,
    atol: float = 1e-11,
    order: int = 8,
    times: Sequence[float] | None = None,
    regularizer: Penalty | None = None,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device | None = None,
    max_steps: int = 20_000,
    keep: str = "extension",
    estimate_stiffness: bool = True,
) -> Trajectory:
    """Follow ``w' = -grad L(w)`` from the model's weights; the model's own weights are left alone.

    Args:
        model: A module whose output has one row an example. It is copied.
        criterion: The total loss, sum or mean, from outputs and targets: ``criterion(model(x), y)``.
        x: The training inputs ``[m, ...]``.
        y: The targets, or None.
        horizon: The end of the flow, in the units of ``1 / (grad L)``: a learning rate times a number of steps.
        rtol: Relative tolerance of a step: its error is held against ``atol + rtol |w|``, in the Euclidean norm.
        atol: Absolute tolerance of a step.
        order: 8 (twelve gradients a step, best below a tolerance of 1e-6) or 5 (six gradients a step).
        times: Times at which a step is to end, so that the state there is not interpolated.
        regularizer: A penalty on the parameters by name, added to the loss.
        dtype: float64, or float32 for less memory and a floor of about 1e-6.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; the model's own when left out.
        max_steps: The budget of steps, accepted or not.
        keep: ``"extension"`` keeps what interpolation needs, 5 (order 5) or 8 vectors ``[d]`` a step; ``"states"``
            keeps one vector a step and evaluates the stages again on demand.
        estimate_stiffness: Whether to estimate the largest eigenvalue of the Hessian first, at the cost of about 50
            gradients, and to warn where stability asks for many steps.

    Returns:
        The trajectory.

    Raises:
        InputError: For arguments that do not fit each other or the model.
        FlowError: If the gradient stops being finite, the step gets too small, or the budget runs out.

    Source: Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", sections II.4 to II.6.

    Example:
        >>> line = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.zeros_(line.weight)
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> flow = gradient_flow(line, lambda o, t: ((o - t) ** 2).sum() / 2, one, 2 * one, horizon=1.0)
        >>> round(flow.final.item(), 9)  # 2 (1 - 1/e)
        1.264241118
    """
    _check_arguments(horizon, rtol, atol, order, keep)
    targets = _targets(horizon, times)
    if device is None:
        first = next(model.parameters(), None)
        place = torch.device("cpu") if first is None else first.device
    else:
        place = resolve_device(device)
    with exact_arithmetic():
        objective = Objective(model, criterion, x, y, dtype, place, regularizer)
        eigenvalue = predicted = None
        if estimate_stiffness:
            eigenvalue, predicted = _stiffness(objective, order, horizon, max_steps)
        return _Integration(objective, order, rtol, atol, max_steps, keep).run(targets, eigenvalue, predicted)


def _stiffness(objective: Objective, order: int, horizon: float, max_steps: int) -> tuple[LargestEigenvalue, int]:
    """The largest eigenvalue of the Hessian at the start, and the steps it asks for; a warning where they are many."""
    start = objective.initial
    eigenvalue = largest_eigenvalue(lambda v: objective.hessian_product(start, v), start)
    predicted = TABLEAUS[order].steps_for_stability(eigenvalue.value + eigenvalue.residual, horizon)
    if predicted > min(STIFF_STEPS, max_steps):
        warnings.warn(
            f"stiff flow: the largest eigenvalue of the Hessian at the start is {eigenvalue.value:.3g}, so stability "
            f"alone asks for about {predicted} steps of order {order} (of {max_steps} allowed), whatever the tolerance",
            StiffnessWarning,
            stacklevel=3,
        )
    return eigenvalue, predicted


class _Integration:
    """One run of the integrator: steps with proportional and integral control of their length."""

    def __init__(self, objective: Objective, order: int, rtol: float, atol: float, max_steps: int, keep: str) -> None:
        self.objective = objective
        self.tableau = TABLEAUS[order]
        self.rtol, self.atol, self.max_steps, self.keep = rtol, atol, max_steps, keep
        self.stepper = Stepper(self.tableau, objective.slope, objective.initial)
        self.matrix = row_matrix(self.tableau).to(objective.initial)
        self.exponent = 1 / self.tableau.order - 0.75 * self.tableau.damping
        self.times, self.states, self.rows = [0.0], [objective.initial.clone()], list[Tensor]()
        self.accepted = self.rejected = 0
        self.last_error = 1e-4

    def run(self, targets: Sequence[float], eigenvalue: LargestEigenvalue | None, predicted: int | None) -> Trajectory:
        self.stepper.start(self.states[0])
        self.first_slope = _size(self.stepper.slopes[0])
        length = self._first_length(targets[-1])
        for target in targets:
            length = self._reach(target, length)
        cost = FlowStatistics(self.accepted, self.rejected, self.stepper.evaluations, eigenvalue, predicted)
        return Trajectory(
            objective=self.objective, order=self.tableau.order, rtol=self.rtol, atol=self.atol, times=tuple(self.times),
            states=tuple(self.states), statistics=cost, rows=tuple(self.rows),
        )  # fmt: skip

    def _reach(self, target: float, length: float) -> float:
        """Take steps until one ends exactly at the target; gives the length proposed for the step after it."""
        while self.times[-1] < target:
            time, state = self.times[-1], self.states[-1]
            remaining = target - time
            # Two steps of like length, rather than a long one and a stub.
            last = length >= 0.999 * remaining
            taken = remaining if last else min(length, remaining / 2) if length > remaining / 2 else length
            if self.accepted + self.rejected >= self.max_steps:
                raise self._failure(f"{self.max_steps} steps were not enough", "the budget of steps ran out", time)
            if taken <= _UNDERFLOW * math.ulp(time):
                raise self._failure(f"the step got too small: {taken:.1e}", "the flow may end here", time)
            end = self.stepper.step(state, taken)
            error = self.stepper.error_norm(state, end, taken, self.rtol, self.atol)
            if not error <= 1.0:  # not a number counts as too large
                self.rejected += 1
                factor = _SAFETY * error ** -(1 / self.tableau.order) if math.isfinite(error) else _SHRINK
                length = taken * max(_SHRINK, factor)
                continue
            self._accept(state, end, taken, target if last else time + taken)
            proposed = taken * self._growth(error)
            # A step that was cut short for a target says nothing against the length that was proposed before it.
            length = max(proposed, length) if taken < length else proposed
        return length

    def _accept(self, state: Tensor, end: Tensor, taken: float, time: float) -> None:
        if self.keep == "extension":
            self.stepper.extend(state, taken)
            self.rows.append((self.matrix @ self.stepper.slopes).mul_(taken))
        self.stepper.advance()
        self.times.append(time)
        self.states.append(end)
        self.accepted += 1

    def _growth(self, error: float) -> float:
        error = max(error, 1e-10)
        factor = _SAFETY * error**-self.exponent * self.last_error**self.tableau.damping
        self.last_error = max(error, 1e-4)
        return min(_GROW, max(_SHRINK, factor))

    def _first_length(self, horizon: float) -> float:
        """A first step at which an Euler step and the change of the slope are small against the tolerance."""
        state, slope = self.states[0], self.stepper.slopes[0].clone()
        scale = float(state.norm()) * self.rtol + self.atol
        size, speed = float(state.norm()) / scale, float(slope.norm()) / scale
        if speed == 0.0:
            return horizon  # the flow starts at a stationary point, and stays there
        trial = min(horizon, 1e-6 if size < 1e-5 else 0.01 * size / speed)
        changed = torch.empty_like(slope)
        self.objective.slope(state + trial * slope, changed)
        bend = float((changed - slope).norm()) / scale / trial
        largest = max(speed, bend) if math.isfinite(bend) else math.inf
        bounded = max(1e-6, trial * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** (1 / self.tableau.order)
        return min(horizon, 100 * trial, max(bounded, 1e-12 * horizon))

    def _failure(self, what: str, why: str, time: float) -> FlowError:
        slope = _size(self.stepper.slopes[0])
        ends = slope > _BLOW_UP * max(self.first_slope, 1e-300)
        return FlowError(
            f"{what} at t = {time:.6g}",
            hypothesis="H2" if ends else "",
            time=time,
            why=f"the gradient grew from {self.first_slope:.1e} to {slope:.1e}: the flow may end before the horizon"
            if ends
            else f"{why}: a stiff flow, a kink of the model, noise above the tolerance, or an end of the flow",
            fix="choose a shorter horizon" if ends else "choose a shorter horizon, a larger tolerance or max_steps",
        )


def _size(vector: Tensor) -> float:
    return float(vector.abs().max()) if vector.numel() else 0.0


def _targets(horizon: float, times: Sequence[float] | None) -> list[float]:
    found = sorted({float(t) for t in times or ()} - {0.0})
    if any(not 0.0 < t <= horizon for t in found):
        raise InputError(
            f"times reach from {found[0]} to {found[-1]}", f"the flow runs from 0 to {horizon}", "leave out the others"
        )
    targets = [*found, float(horizon)] if not found or found[-1] != horizon else found
    close = next(((a, b) for a, b in pairwise([0.0, *targets]) if b - a <= 1e3 * math.ulp(b)), None)
    if close is not None:
        raise InputError(f"times {close[0]} and {close[1]} are too close", "no step fits between them", "leave one out")
    return targets


def _check_arguments(horizon: float, rtol: float, atol: float, order: int, keep: str) -> None:
    if not (0.0 < horizon < math.inf):
        raise InputError(f"horizon {horizon}", "the flow runs from 0 to the horizon", "give a finite positive number")
    if not (0.0 < atol < math.inf and 0.0 <= rtol < 1.0):
        raise InputError(
            f"rtol {rtol}, atol {atol}",
            "the error of a step is held against atol + rtol |w|",
            "give 0 <= rtol < 1 and atol > 0",
        )
    if order not in TABLEAUS:
        raise InputError(f"order {order}", f"there are methods of order {' and '.join(map(str, TABLEAUS))}", "use 8")
    if keep not in ("extension", "states"):
        raise InputError(f"keep {keep!r}", "there are 'extension' and 'states'", "use 'states' to save memory")
