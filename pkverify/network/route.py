"""Decompositions of problems of the grammar in float64: the fourth route to the numbers of the other three.

A problem is solved at two tolerances. A tenth of their distance (the tolerances differ by more), what the quadrature
leaves, and what rounding can do to sums of this size make the error estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from pkverify.decomposition import Decomposition
from pkverify.errors import UntreatableError
from pkverify.network.device import resolve_device
from pkverify.network.flow import Trajectory, gradient_flow
from pkverify.network.path_integrals import PathIntegrals, path_integrals
from pkverify.network.problem_module import torch_problem
from pkverify.problem import Problem
from pkverify.rational import decimal_text

DIGITS = 12
MAX_DIGITS = 14  # float64 has 16, and sums of contributions lose some of them
_COARSE = 300.0  # the coarse run's tolerance, relative to the fine one
_TRUSTED = (
    0.1  # of the coarse run's distance, what the fine one may still be off by: far more than the tolerances suggest
)
_ROUNDING = 200 * torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class NetworkSolution:
    """A problem's flow and path integrals in float64.

    Attributes:
        problem: The problem.
        trajectory: The flow at the finer tolerance.
        integrals: Its path integrals.
        error_estimate: Estimate of the largest error of a number, relative to ``max(1, |value|)``.
    """

    problem: Problem
    trajectory: Trajectory
    integrals: PathIntegrals
    error_estimate: float


def solve_network(problem: Problem, *, rtol: float = 1e-13, device: str = "cpu") -> NetworkSolution:
    """Follow the flow of a problem and integrate along it, with an error estimate.

    Args:
        problem: Any problem of the grammar.
        rtol: Tolerance of the steps, relative and absolute.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: If the problem is undefined at its start.
        FlowError: If the flow cannot be followed to the horizon.
        UntreatableError: If a number does not fit into a double.

    Example:
        >>> from pkverify.cases import case_problems
        >>> solution = solve_network(dict(case_problems("linear"))["linear-one-weight"])
        >>> solution.error_estimate < 1e-10
        True
    """
    coarse = _solve_once(problem, _COARSE * rtol, device)[1]
    trajectory, fine = _solve_once(problem, rtol, device)
    distance = max(_relative(a, b) for a, b in zip(_numbers(coarse), _numbers(fine), strict=True))
    # Sums of many terms of both signs: rounding is relative to the terms, not to their sum.
    terms = fine.contributions.abs().sum(1) + fine.initial_output.abs() + fine.regularizer_term.abs()
    rounding = _ROUNDING * max(1.0, float((terms / fine.final_output.abs().clamp(min=1.0)).max()))
    return NetworkSolution(problem, trajectory, fine, _TRUSTED * distance + fine.quadrature_error + rounding)


def decompose_network(
    problem: Problem, *, digits: int = DIGITS, rtol: float = 1e-13, device: str = "cpu"
) -> tuple[Decomposition, ...]:
    """One decomposition for each query and output, query by query, computed in float64.

    Args:
        problem: Any problem of the grammar. A relu or abs makes the flow take many short steps at its kinks.
        digits: Each number stands for ``|error| <= 10**(2 - digits) * max(1, |value|)``, by the error estimate.
        rtol: Tolerance of the steps.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns:
        The decompositions; see ``Decomposition`` for the fields.

    Raises:
        InputError, FlowError: As ``solve_network``.
        UntreatableError: If float64 does not give so many digits on this problem.

    Example:
        >>> from pkverify.cases import case_problems
        >>> found = decompose_network(dict(case_problems("linear"))["linear-one-weight"])
        >>> found[0].route, found[0].digits
        ('network', 12)
    """
    if digits > MAX_DIGITS:
        raise UntreatableError(
            f"{digits} digits on the network route",
            f"float64 gives at most {MAX_DIGITS} of a sum",
            "ask the precise or the certified route",
        )
    return read_decompositions(solve_network(problem, rtol=rtol, device=device), digits)


def read_decompositions(solution: NetworkSolution, digits: int = DIGITS) -> tuple[Decomposition, ...]:
    """The decompositions of a solution, as decimal strings.

    Raises:
        UntreatableError: If its error estimate is too large for so many digits.
    """
    if not solution.error_estimate <= 10.0 ** (2 - digits):
        raise UntreatableError(
            f"{digits} digits were not reached in float64: the error estimate is {solution.error_estimate:.1e}",
            "a kink of the model, or a flow that amplifies rounding",
            "ask for fewer digits, a shorter horizon, or the precise route",
        )
    return tuple(_read(solution, digits))


def _solve_once(problem: Problem, tolerance: float, device: str) -> tuple[Trajectory, PathIntegrals]:
    told = torch_problem(problem)
    trajectory = gradient_flow(
        told.module, told.criterion, told.x, told.y, horizon=told.horizon, rtol=tolerance, atol=tolerance,
        regularizer=told.regularizer, estimate_stiffness=False, device=resolve_device(device),
    )  # fmt: skip
    return trajectory, path_integrals(trajectory, told.x_query, tolerance=max(tolerance, 1e-14))


def _numbers(integrals: PathIntegrals) -> Iterator[Tensor]:
    yield integrals.final_output
    yield integrals.contributions
    yield integrals.regularizer_term
    assert integrals.path_kernel is not None
    yield integrals.path_kernel


def _relative(left: Tensor, right: Tensor) -> float:
    return float(((left - right).abs() / right.abs().clamp(min=1.0)).max())


def _read(solution: NetworkSolution, digits: int) -> Iterator[Decomposition]:
    found, problem = solution.integrals, solution.problem
    kernels = found.path_kernel
    assert kernels is not None
    outputs = found.final_output.shape[1]

    def text(value: Tensor | float) -> str:
        number = float(value)
        if not math.isfinite(number):
            raise UntreatableError("a number is not finite", "it left the range of float64", "use the precise route")
        return decimal_text(Fraction(number), digits)

    for q, query in enumerate(problem.query_inputs):
        weights, absent = list[tuple[str, ...] | None](), dict[int, str]()
        for i in range(len(problem.data)):
            weight = _weight(kernels[q, i].cpu(), found.contributions[q, i].cpu(), solution.error_estimate, digits)
            weights.append(None if isinstance(weight, str) else tuple(map(text, weight)))
            if isinstance(weight, str):
                absent[i] = weight
        scalar = outputs == 1
        for c in range(outputs):
            yield Decomposition(
                route="network",
                digits=digits,
                query=query,
                output=c,
                initial_output=text(found.initial_output[q, c]),
                final_output=text(found.final_output[q, c]),
                contributions=tuple(map(text, found.contributions[q, :, c])),
                regularizer_term=text(found.regularizer_term[q, c]),
                residual=decimal_text(Fraction(float(found.residual[q, c])), 5),
                path_kernel=tuple(map(text, kernels[q, :, 0, 0]))
                if scalar
                else tuple(tuple(map(text, row)) for row in kernels[q, :, c]),
                weights=tuple(w[0] if scalar and w is not None else w for w in weights),
                weights_absent=absent,
                error_estimate=decimal_text(Fraction(solution.error_estimate), 1),
                horizon=problem.horizon,
            )


def _weight(kernel: Tensor, contribution: Tensor, error: float, digits: int) -> list[float] | str:
    """The weight ``a_i`` ``[C]`` that solves ``path_kernel a = contribution``, or the reason why there is none."""
    scale = max(1.0, float(kernel.abs().max()))
    singular = torch.linalg.svdvals(kernel)
    if float(singular[-1]) <= 4 * error * scale:
        one = len(contribution) == 1
        return (
            f"K is not separated from 0: |K| <= {4 * error * scale:.0e}"
            if one
            else "the matrix K is singular, or not separated from a singular one"
        )
    weight = torch.linalg.solve(kernel, contribution)
    # |da| <= |inverse of K| (|dc| + |dK| |a|)
    moved = error * (max(1.0, float(contribution.abs().max())) + scale * float(weight.norm())) / float(singular[-1])
    if moved > 10.0 ** (2 - digits) * max(1.0, float(weight.abs().min())):
        return f"K is not separated from 0 well enough for {digits} digits of a_i"
    return weight.tolist()
