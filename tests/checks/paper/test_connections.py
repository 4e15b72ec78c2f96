from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pkverify.checks.paper import connections
from pkverify.checks.paper.connections import AUDITS, Perceptrons, Quadratic
from pkverify.checks.paper.descent import Descent, naive_residual, step_kernel, step_residual, weight_residual
from pkverify.checks.paper.hopfield import Pattern, Recall, hamming
from pkverify.claims import CLAIMS
from pkverify.claims.connections import CLAIMS as PART
from pkverify.claims.record import Status
from pkverify.evidence import Verdict

TINY = Fraction(1, 10**6)


def test_every_claim_of_the_part_has_an_audit() -> None:
    assert AUDITS.keys() == {each.id for each in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_the_audit_reproduces_the_registry(claim: str) -> None:
    found = AUDITS[claim]()

    assert found.claim == claim
    assert found.status is CLAIMS[claim].status
    assert found.evidence.verdict is not Verdict.INCONCLUSIVE
    assert found.repaired is None or found.repaired.verdict.holds
    assert bool(CLAIMS[claim].repaired) <= (found.repaired is not None)


def test_at_horizon_1_the_kernel_is_the_dot_product() -> None:
    one = replace(connections.L1, horizon=Fraction(1))

    assert connections.audit_l1(one).evidence.verdict is Verdict.INCONCLUSIVE
    assert connections.audit_l1(replace(one, horizon=1 + TINY)).status is Status.IMPRECISE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_perceptrons_are_kernel_machines_on_other_problems(seed: int) -> None:
    assert connections.audit_l2(Perceptrons(seed=seed)).status is Status.HOLDS


def test_a_perceptron_that_starts_elsewhere_is_none() -> None:
    assert connections.audit_l2(Perceptrons(start=1)).evidence.verdict is Verdict.INCONCLUSIVE


def test_the_numbers_of_the_hopfield_networks() -> None:
    basin = connections.L3_BASIN

    assert basin.distances == (2, 3, 5)
    assert basin.recalled() == basin.stored[1]
    assert all(map(basin.is_stable, basin.stored))
    assert connections.L3_REVERSED.recalled() == (-1, -1, -1)
    assert connections.L3_UNSTABLE.every_order() == {(1, 1, -1)}
    assert connections.L3_REVERSED.every_order() == {(-1, -1, -1)}


def test_another_order_of_updates_may_recall_the_nearest() -> None:
    basin = connections.L3_BASIN

    assert basin.nearest in basin.every_order()


def flipped(pattern: Pattern, place: int) -> Pattern:
    return (*pattern[:place], -pattern[place], *pattern[place + 1 :])


@pytest.mark.parametrize("place", [0, 1, 3, 4, 5])
def test_a_pattern_with_a_flipped_entry_destroys_the_wrong_basin(place: int) -> None:
    basin = connections.L3_BASIN
    changed = Recall((flipped(basin.stored[0], place), *basin.stored[1:]), basin.query)

    assert connections.audit_l3(basin=changed).evidence.verdict is Verdict.INCONCLUSIVE


def test_a_query_at_its_nearest_pattern_is_recalled() -> None:
    for query in ((1, 1, 1), (1, 1, -1)):
        found = connections.audit_l3(reverse=Recall(((1, 1, 1),), query))

        assert found.evidence.verdict is Verdict.INCONCLUSIVE


def test_two_nearest_patterns_are_no_counterexample() -> None:
    assert Recall(((1, 1), (-1, -1)), (1, -1)).nearest is None
    assert hamming((1, 1, -1), (1, -1, 1)) == 2


def test_the_numbers_of_the_quadratic() -> None:
    assert list(map(str, connections.L4.path()[:5])) == ["1", "-9/10", "81/100", "-729/1000", "6561/10000"]


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (Fraction(2), False),
        (2 - TINY, True),
        (1 + TINY, True),
        (Fraction(1), False),
        (1 - TINY, False),
        (Fraction(0), False),
    ],
)
def test_descent_that_converges_with_changing_sign(rate: Fraction, shown: bool) -> None:
    found = connections.audit_l4(Quadratic(rate))

    assert (found.status is Status.IMPRECISE) is shown
    assert (found.evidence.verdict is Verdict.INCONCLUSIVE) is not shown


@pytest.mark.parametrize(
    "run",
    [
        Descent(),
        Descent(rate=Fraction(1, 5) + TINY),
        Descent(initial=(Fraction(1, 2) + TINY, Fraction(1, 3))),
        Descent(momentum=Fraction(9, 10)),
        Descent(counts=((0, 1), (2, 0), (1, 1))),
        Descent(query=Fraction(-3), steps=1),
    ],
)
def test_the_identity_over_steps_is_exact(run: Descent) -> None:
    assert step_residual(run) == 0
    assert naive_residual(run) != 0


def test_the_identity_over_steps_can_fail() -> None:
    class Forgetful(Descent):
        def path(self) -> list[tuple[Fraction, ...]]:
            return Descent(momentum=Fraction(1, 2)).path()

    assert step_residual(Forgetful(momentum=Fraction(1, 2))) == 0
    assert step_residual(Forgetful(momentum=Fraction(1, 2) + TINY)) != 0
    assert step_residual(Forgetful()) != 0


def test_the_kernel_over_steps_is_asymmetric_and_the_weights_add_up() -> None:
    run = Descent()

    assert step_kernel(run, Fraction(1), Fraction(2)) != step_kernel(run, Fraction(2), Fraction(1))
    assert weight_residual(run) == (0, 0)
    assert weight_residual(replace(run, momentum=Fraction(1, 2))) != (0, 0)
