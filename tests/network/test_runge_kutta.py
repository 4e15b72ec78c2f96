from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from pkverify.network.dense_output import basis, basis_slope, row_matrix
from pkverify.network.runge_kutta import TABLEAUS, Stepper, Tableau

Tree = tuple["Tree", ...]
FIVE, EIGHT = TABLEAUS[5], TABLEAUS[8]
ROUNDING = 2e-13  # the entries reach 500, and cancel


@cache
def trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with so many nodes; a tree is the sorted tuple of its branches."""
    if order == 1:
        return ((),)
    found: set[Tree] = set()
    for smaller in range(1, order):
        for branch in trees(smaller):
            for rest in trees(order - smaller):
                found.add(tuple(sorted((*rest, branch))))
    return tuple(sorted(found))


def up_to(order: int) -> Iterator[tuple[int, Tree]]:
    for k in range(1, order + 1):
        for tree in trees(k):
            yield k, tree


def size(tree: Tree) -> int:
    return 1 + sum(map(size, tree))


def density(tree: Tree) -> int:
    return size(tree) * math.prod(map(density, tree))


def matrix(tableau: Tableau) -> np.ndarray:
    rows = (*tableau.stages, *tableau.extra_stages)
    return np.array([[*row, *[0.0] * (tableau.row_count - len(row))] for row in rows])


def stage_weights(tree: Tree, a: np.ndarray) -> np.ndarray:
    """The tree's elementary weight at every stage."""
    product = np.ones(len(a))
    for branch in tree:
        product = product * (a @ stage_weights(branch, a))
    return product


def defect(weights: np.ndarray, tableau: Tableau, order: int, part: float = 1.0) -> float:
    """How far a row of weights is from the conditions of an order, for a solution at a part of the step."""
    a = matrix(tableau)
    padded = np.zeros(len(a))
    padded[: len(weights)] = weights
    return max(abs(float(padded @ stage_weights(t, a)) - part**k / density(t)) for k, t in up_to(order))


def ending(tableau: Tableau) -> np.ndarray:
    return np.array(tableau.stages[-1])


def test_there_are_as_many_trees_as_known() -> None:
    assert [len(trees(k)) for k in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("tableau", [FIVE, EIGHT], ids=["5", "8"])
def test_stages_stand_at_their_nodes(tableau: Tableau) -> None:
    assert np.allclose(matrix(tableau).sum(1), tableau.nodes, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("tableau", [FIVE, EIGHT], ids=["5", "8"])
def test_order_conditions_hold_up_to_the_order_and_no_further(tableau: Tableau) -> None:
    assert defect(ending(tableau), tableau, tableau.order) < ROUNDING
    assert defect(ending(tableau), tableau, tableau.order + 1) > 1e-7


@pytest.mark.parametrize(
    ("tableau", "row", "order"), [(FIVE, 0, 4), (EIGHT, 0, 5), (EIGHT, 1, 3)], ids=["5", "8", "8b"]
)
def test_error_weights_compare_with_a_lower_order(tableau: Tableau, row: int, order: int) -> None:
    weights = np.zeros(tableau.stage_count)
    weights[: tableau.stage_count - 1] = ending(tableau)
    lower = weights - np.array(tableau.errors[row])

    assert defect(lower, tableau, order) < ROUNDING
    assert defect(lower, tableau, order + 1) > 1e-5


@pytest.mark.parametrize("part", [0.1, 0.37, 0.5, 0.9])
@pytest.mark.parametrize("tableau", [FIVE, EIGHT], ids=["5", "8"])
def test_dense_output_has_its_order_everywhere(tableau: Tableau, part: float) -> None:
    rows = row_matrix(tableau)
    weights = (basis([part], len(rows)) @ rows)[0].numpy()

    assert defect(weights, tableau, tableau.dense_order, part) < ROUNDING
    assert defect(weights, tableau, tableau.dense_order + 1, part) > 1e-7


@pytest.mark.parametrize("tableau", [FIVE, EIGHT], ids=["5", "8"])
def test_dense_output_joins_the_steps_smoothly(tableau: Tableau) -> None:
    rows = row_matrix(tableau)
    ends = basis([0.0, 1.0], len(rows)) @ rows
    slopes = basis_slope([0.0, 1.0], len(rows)) @ rows
    first, last = torch.eye(tableau.row_count, dtype=torch.float64)[[0, tableau.stage_count - 1]]

    assert ends[0].abs().max() == 0
    assert torch.allclose(ends[1, : tableau.stage_count - 1], torch.from_numpy(ending(tableau)), atol=ROUNDING)
    assert torch.allclose(slopes, torch.stack([first, last]), atol=1e-12)


@pytest.mark.parametrize("tableau", [FIVE, EIGHT], ids=["5", "8"])
def test_stability_limit_is_the_last_one_tenth_that_is_stable(tableau: Tableau) -> None:
    def amplification(z: float) -> float:
        def decay(state: Tensor, out: Tensor) -> None:
            torch.mul(state, -z, out=out)

        start = torch.ones(1, dtype=torch.float64)
        stepper = Stepper(tableau, decay, start)
        stepper.start(start)
        return abs(stepper.step(start, 1.0).item())

    stable = [amplification(z) <= 1 for z in np.arange(0.1, tableau.stability_limit + 1e-9, 0.1)]

    assert all(stable)
    assert amplification(tableau.stability_limit + 0.1) > 1
    assert tableau.steps_for_stability(10.0 * tableau.stability_limit, 2.0) == 20


# The order that is observed, on a flow that is not linear: a pendulum, against itself at small steps.


def pendulum(state: Tensor, out: Tensor) -> None:
    out[0] = state[1]
    out[1] = -torch.sin(state[0])


def followed(tableau: Tableau, steps: int, horizon: float = 3.0) -> Tensor:
    state = torch.tensor([1.0, 0.5], dtype=torch.float64)
    stepper = Stepper(tableau, pendulum, state)
    stepper.start(state)
    for _ in range(steps):
        state = stepper.step(state, horizon / steps)
        stepper.advance()
    return state


def fitted_order(tableau: Tableau, counts: tuple[int, ...]) -> float:
    reference = followed(EIGHT, 400)
    errors = [(followed(tableau, n) - reference).norm().item() for n in counts]
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


@pytest.mark.parametrize(
    ("tableau", "counts"), [(FIVE, (12, 16, 24, 32, 48)), (EIGHT, (6, 8, 10, 12, 16))], ids=["5", "8"]
)
def test_observed_order(tableau: Tableau, counts: tuple[int, ...]) -> None:
    assert fitted_order(tableau, counts) == pytest.approx(tableau.order, abs=0.6)


def dense_errors(tableau: Tableau, counts: tuple[int, ...]) -> list[float]:
    errors: list[float] = []
    for n in counts:
        length = 3.0 / n
        start = torch.tensor([1.0, 0.5], dtype=torch.float64)
        stepper = Stepper(tableau, pendulum, start)
        stepper.start(start)
        stepper.step(start, length)
        stepper.extend(start, length)
        rows = length * (row_matrix(tableau) @ stepper.slopes)
        inside = start + (basis([0.7], len(rows)) @ rows)[0]
        errors.append((inside - followed(EIGHT, 60, 0.7 * length)).norm().item())
    return errors


@pytest.mark.parametrize(("tableau", "counts"), [(FIVE, (16, 24, 32, 48)), (EIGHT, (3, 4, 5, 6))], ids=["5", "8"])
def test_observed_order_of_dense_output(tableau: Tableau, counts: tuple[int, ...]) -> None:
    slope = -float(np.polyfit(np.log(counts), np.log(dense_errors(tableau, counts)), 1)[0])

    assert slope == pytest.approx(tableau.dense_order + 1, abs=0.6)  # over one step it is one higher


# The judges must be able to say no: a method with one wrong digit.


def spoiled(tableau: Tableau, stage: int, at: int, by: float) -> Tableau:
    row = list(tableau.stages[stage])
    row[at] += by
    return replace(tableau, stages=(*tableau.stages[:stage], tuple(row), *tableau.stages[stage + 1 :]))


WRONG = [(FIVE, 6, 3), (FIVE, 4, 1), (FIVE, 2, 0), (EIGHT, 12, 5), (EIGHT, 9, 6), (EIGHT, 4, 2), (EIGHT, 11, 10)]


@pytest.mark.parametrize(("tableau", "stage", "at"), WRONG)
def test_a_wrong_coefficient_breaks_the_order_conditions(tableau: Tableau, stage: int, at: int) -> None:
    wrong = spoiled(tableau, stage, at, 1e-6)

    assert defect(ending(wrong), wrong, wrong.order) > 1e-9


def test_a_wrong_coefficient_lowers_the_observed_order() -> None:
    assert fitted_order(spoiled(EIGHT, 9, 6, 1e-3), (6, 8, 10, 12, 16)) < 5
    assert fitted_order(spoiled(FIVE, 4, 1, 1e-2), (12, 16, 24, 32, 48)) < 3


def test_a_wrong_extension_breaks_its_order() -> None:
    row = list(EIGHT.dense[1])
    row[7] += 1e-5
    rows = row_matrix(replace(EIGHT, dense=(EIGHT.dense[0], tuple(row), *EIGHT.dense[2:])))

    assert defect((basis([0.4], len(rows)) @ rows)[0].numpy(), EIGHT, 7, 0.4) > 1e-9


def test_the_last_slope_is_taken_over() -> None:
    calls: list[int] = []

    def counted(state: Tensor, out: Tensor) -> None:
        calls.append(1)
        pendulum(state, out)

    state = torch.tensor([1.0, 0.5], dtype=torch.float64)
    stepper = Stepper(FIVE, counted, state)
    stepper.start(state)
    for _ in range(3):
        state = stepper.step(state, 0.1)
        stepper.advance()

    assert len(calls) == stepper.evaluations == 1 + 3 * 6
    expected = torch.empty(2, dtype=torch.float64)
    pendulum(state, expected)
    assert torch.equal(stepper.slopes[0], expected)
