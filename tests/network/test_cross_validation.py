"""The network route beside the precise one, on every problem of the cases: two engines, one record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
import torch

from pkverify.cases import CASES, case_problems
from pkverify.checks.agreement import disagreement
from pkverify.decomposition import Decomposition
from pkverify.errors import InputError, UntreatableError
from pkverify.network.route import DIGITS, NetworkSolution, decompose_network, read_decompositions, solve_network
from pkverify.precise.route import decompose_precise
from pkverify.problem_file import parse_problem

PROBLEMS = {name: problem for case in CASES for name, problem in case_problems(case)}
FIELDS = ("initial_output", "final_output", "regularizer_term", "contributions", "path_kernel")


def flattened(value: object) -> list[Decimal]:
    if isinstance(value, str):
        return [Decimal(value)]
    assert isinstance(value, tuple)
    return [number for part in value for number in flattened(part)]


def largest_error(network: Decomposition, precise: Decomposition) -> float:
    pairs = [
        pair for name in FIELDS
        for pair in zip(flattened(getattr(network, name)), flattened(getattr(precise, name)), strict=True)
    ]  # fmt: skip
    return max(float(abs(a - b) / max(Decimal(1), abs(b))) for a, b in pairs)


def unrounded_error(solution: NetworkSolution, precise: Sequence[Decomposition]) -> float:
    """The same on the numbers themselves, before they are rounded to be printed."""
    found, worst = solution.integrals, 0.0
    assert found.path_kernel is not None
    kernels, outputs = found.path_kernel, found.final_output.shape[1]
    for number, other in enumerate(precise):
        q, c = divmod(number, outputs)
        mine = [
            found.initial_output[q, c], found.final_output[q, c], found.regularizer_term[q, c],
            *found.contributions[q, :, c], *kernels[q, :, c].flatten(),
        ]  # fmt: skip
        theirs = [float(v) for name in FIELDS for v in flattened(getattr(other, name))]
        pairs = zip(mine, theirs, strict=True)
        worst = max(worst, *(abs(float(a) - b) / max(1.0, abs(b)) for a, b in pairs))
    return worst


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_routes_agree(name: str) -> None:
    problem = PROBLEMS[name]
    solution = solve_network(problem)
    network, precise = read_decompositions(solution), decompose_precise(problem, 20)

    assert disagreement([*precise, *network]) is None
    assert [(d.query, d.output, d.horizon) for d in network] == [(d.query, d.output, d.horizon) for d in precise]
    for mine, theirs in zip(network, precise, strict=True):
        assert mine.route == "network"
        # No weight where the other route knows that there is none, and every one that it is sure of.
        assert all(w is None for w, other in zip(mine.weights, theirs.weights, strict=True) if other is None)
        assert abs(float(mine.residual)) < 1e-11
        assert largest_error(mine, theirs) <= solution.error_estimate + 10.0 ** (1 - DIGITS)  # as it is printed
        assert unrounded_error(solution, precise) <= solution.error_estimate


@pytest.mark.parametrize("name", ["linear-intercept", "mlp-tanh-two-inputs", "xent-softmax"])
def test_the_error_estimate_follows_the_tolerance(name: str) -> None:
    problem = PROBLEMS[name]
    precise = decompose_precise(problem, 20)
    for tolerance in (1e-6, 1e-8, 1e-10):
        solution = solve_network(problem, rtol=tolerance)
        assert unrounded_error(solution, precise) <= solution.error_estimate
        assert solution.error_estimate < 1e3 * tolerance


def test_a_kink_of_a_query_is_crossed() -> None:
    text = """
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = "relu(w + x)"}
    loss = {kind = "squared"}
    data = {x = [[0]], y = [2]}
    flow = {initial = ["1/2"], horizon = 2}
    query = {x = [[-1]]}
    """
    problem = parse_problem(text)
    precise = decompose_precise(problem, 15)
    found = read_decompositions(solve_network(problem, rtol=1e-9), 2)

    # The query's kink lies inside a step, which is cut there: T - ln(3/2).
    assert abs(float(precise[0].path_kernel[0][0] if isinstance(precise[0].path_kernel[0], tuple)
                     else precise[0].path_kernel[0]) - 1.594534892) < 1e-9  # fmt: skip
    assert largest_error(found[0], precise[0]) < 1
    assert largest_error(decompose_network(problem)[0], precise[0]) < 1


def test_more_digits_than_a_double_has_are_refused() -> None:
    with pytest.raises(UntreatableError, match="30 digits on the network route"):
        decompose_network(PROBLEMS["linear-one-weight"], digits=30)


def test_an_undefined_start_is_refused() -> None:
    text = """
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = "log(w*x)"}
    loss = {kind = "squared"}
    data = {x = [[1]], y = [2]}
    flow = {initial = ["-1"], horizon = 1}
    """
    with pytest.raises(InputError, match="not finite"):
        decompose_network(parse_problem(text))


# Sabotage: what another engine would make of a wrong flow, kernel or pair must be seen by the agreement.


def spoiled_kernel(solution: NetworkSolution) -> NetworkSolution:
    kernel = solution.integrals.path_kernel
    assert kernel is not None
    return replace(solution, integrals=replace(solution.integrals, path_kernel=kernel * (1 + 1e-8)))


def exchanged_examples(solution: NetworkSolution) -> NetworkSolution:
    swapped = solution.integrals.contributions.flip(1)
    return replace(solution, integrals=replace(solution.integrals, contributions=swapped))


def repaired_residual(solution: NetworkSolution) -> NetworkSolution:
    shared = solution.integrals.contributions + 1e-8
    return replace(solution, integrals=replace(solution.integrals, contributions=shared))


def dropped_term(solution: NetworkSolution) -> NetworkSolution:
    zero = torch.zeros_like(solution.integrals.contributions[:, :1])
    rest = torch.cat([zero, solution.integrals.contributions[:, 1:]], 1)
    return replace(solution, integrals=replace(solution.integrals, contributions=rest))


def last_output_for_first(solution: NetworkSolution) -> NetworkSolution:
    return replace(solution, integrals=replace(solution.integrals, initial_output=solution.integrals.final_output))


SABOTAGES = [spoiled_kernel, exchanged_examples, repaired_residual, dropped_term, last_output_for_first]


@pytest.mark.parametrize("spoil", SABOTAGES)
@pytest.mark.parametrize("name", ["linear-intercept", "mlp-tanh-two-inputs", "xent-softmax"])
def test_sabotage_is_seen(name: str, spoil: Callable[[NetworkSolution], NetworkSolution]) -> None:
    problem = PROBLEMS[name]
    wrong = read_decompositions(spoil(solve_network(problem, rtol=1e-11)))

    assert disagreement([*decompose_precise(problem, 20), *wrong]) is not None
