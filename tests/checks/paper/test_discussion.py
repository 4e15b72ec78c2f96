from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import working_precision
from pkverify.checks.paper import discussion, discussion_learning
from pkverify.checks.paper.discussion import AUDITS
from pkverify.checks.paper.finding import Finding
from pkverify.checks.paper.outcomes import counterexample
from pkverify.claims import CLAIMS
from pkverify.claims.discussion import CLAIMS as PART
from pkverify.claims.record import Status
from pkverify.errors import UntreatableError
from pkverify.evidence import Verdict
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import BITS, ProvedFlow
from pkverify.problem import Problem

TINY = Fraction(1, 10**6)
FINDINGS: dict[str, Finding] = {}


def finding(claim: str) -> Finding:
    if claim not in FINDINGS:
        FINDINGS[claim] = AUDITS[claim]()
    return FINDINGS[claim]


def numbers(found: Finding) -> dict[str, str]:
    return {f"{witness.id} {name}": value for witness in found.witnesses for name, value in witness.values}


def with_input(problem: Problem, example: int, place: int, by: Fraction) -> Problem:
    rows = [list(row) for row in problem.data.inputs]
    rows[example][place] += by
    return replace(problem, data=replace(problem.data, inputs=tuple(map(tuple, rows))))


def with_query(problem: Problem, query: int, place: int, by: Fraction) -> Problem:
    rows = [list(row) for row in problem.query_inputs]
    rows[query][place] += by
    return replace(problem, queries=tuple(map(tuple, rows)))


def did_not_come_out(found: Finding) -> bool:
    return found.evidence.verdict is Verdict.INCONCLUSIVE


def test_every_claim_of_the_part_has_an_audit() -> None:
    assert AUDITS.keys() == {each.id for each in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_the_audit_reproduces_the_registry(claim: str) -> None:
    found = finding(claim)

    assert found.claim == claim
    assert found.status is CLAIMS[claim].status
    assert not did_not_come_out(found)
    assert found.repaired is None or found.repaired.verdict.holds
    assert bool(CLAIMS[claim].repaired) <= (found.repaired is not None)


@pytest.mark.parametrize("claim", AUDITS)
def test_problems_of_witnesses_are_there(claim: str) -> None:
    for witness in finding(claim).witnesses:
        assert witness.lacks
        assert not witness.problem or counterexample(witness.problem).title


@pytest.mark.parametrize(
    ("claim", "name", "expected"),
    [
        ("S1", "CE-S1 w_2(T)", "5"),
        ("S2", "CE-S2 y_T", "5"),
        ("S4", "CE-S4 K(2, 1)/K(1, 1), target 2", "3.24243713"),
        ("S4", "CE-S4 K(2, 1)/K(1, 1), target 4", "7.48337431"),
        ("S7", "CE-S7 w(T)", "1.0187975"),
        ("S9a", "CE-S9a before", "0.5"),
        ("S9a", "CE-S9a after", "1.125"),
        ("S10", "CE-S10 K(-1, 1)", "-0.042262871"),
        ("S10", "CE-S10 a_1(0)", "2.99875"),
        ("S10", "CE-S10 a_1(2)", "3.12124"),
        ("S11", "CE-S11a y of the flow", "0"),
        ("S11", "CE-S11a y of the minimiser", "1"),
        ("S11", "CE-S11c its limit", "-1"),
        ("S11", "CE-S11e y", "1.2"),
    ],
)
def test_the_numbers(claim: str, name: str, expected: str) -> None:
    places = len(expected.partition(".")[2])

    assert abs(Fraction(numbers(finding(claim))[name]) - Fraction(expected)) <= Fraction(1, 10**places) / 2


@pytest.mark.parametrize(
    ("turns", "distance", "cosine"),
    [(1, "158.15", ".9956"), (2, "815.36", ".9317"), (5, "4952.5", "-.184"), (10, "19596.4", "-.043")],
)
def test_the_numbers_of_the_sine(turns: int, distance: str, cosine: str) -> None:
    found = numbers(finding("S7"))[f"CE-S7 D^2, cosine at {turns}"].split(", ")

    for value, expected in zip(found, (distance, cosine), strict=True):
        places = len(expected.partition(".")[2])
        assert abs(Fraction(value) - Fraction(expected)) <= Fraction(1, 10**places) / 2


def test_near_maxima_alone_refute_nothing() -> None:
    assert did_not_come_out(discussion.audit_s7(discussion.S7, (1, 2)))


def test_a_rotated_feature_reaches_the_resting_weight() -> None:
    touched = with_input(discussion.S1, 0, 1, TINY)

    assert did_not_come_out(discussion.audit_s1(touched))
    assert did_not_come_out(discussion.audit_s2(touched))
    assert did_not_come_out(discussion.audit_s2(with_query(discussion.S1, 0, 0, TINY)))


def test_from_zero_the_weighted_sum_is_the_output() -> None:
    zero = replace(discussion.S1, initial=(Fraction(0), Fraction(0)))

    assert did_not_come_out(discussion.audit_s1(zero))
    assert did_not_come_out(discussion.audit_s2(zero))


def test_a_gradient_that_keeps_its_direction_is_one_feature() -> None:
    straight = replace(discussion.S1_TURNING, initial=(Fraction(1, 2), Fraction(1, 2)))

    assert did_not_come_out(discussion.audit_s1(turning=straight))
    nearly = replace(straight, initial=(Fraction(1, 2) + TINY, Fraction(1, 2)))
    assert discussion.audit_s1(turning=nearly).status is Status.IMPRECISE


def test_equal_labels_give_equal_kernels() -> None:
    assert did_not_come_out(discussion.audit_s4(discussion.S4, Fraction(2)))
    assert discussion.audit_s4(discussion.S4, 2 + TINY).status is Status.IMPRECISE


def test_a_curved_model_has_other_errors_far_away() -> None:
    # The model of S4 is no multiple of its input, so that relative errors differ.
    assert did_not_come_out(discussion.audit_s3(discussion.S4))


@pytest.mark.parametrize("name", ["s5-dense", "s5-padding"])
def test_the_networks_of_s5_stand_still(name: str) -> None:
    problem = counterexample(name)
    with working_precision(BITS):
        flow = ProvedFlow(problem)

        assert all(flow.contribution(q, i) == 0 for q in (0, 1) for i in (0, 1))
    data = replace(problem.data, targets=((problem.data.targets[0][0] + TINY,), problem.data.targets[1]))
    with pytest.raises(UntreatableError):
        ProvedFlow(replace(problem, data=data))


def test_one_query_twice_is_no_shift() -> None:
    same = replace(discussion.S5_PADDING, queries=(discussion.S5_PADDING.query_inputs[0],) * 2)

    assert did_not_come_out(discussion.audit_s5(padding=same))


def test_examples_that_agree_are_held_by_one_weight() -> None:
    targets = ((Fraction(1),), (Fraction(2),))
    agreeing = replace(discussion.S8, data=replace(discussion.S8.data, targets=targets))

    assert did_not_come_out(discussion.audit_s8(agreeing))


@pytest.mark.parametrize(
    ("rate", "raises"), [(Fraction(5, 2), True), (2 + TINY, True), (Fraction(2), False), (2 - TINY, False)]
)
def test_the_step_that_raises_the_loss(rate: Fraction, raises: bool) -> None:
    found = discussion_learning.audit_s9a(discussion_learning.OneStep(rate))

    assert (found.status is Status.FALSE) is raises
    assert did_not_come_out(found) is not raises


@pytest.mark.parametrize("u", [Fraction(0), TINY])
def test_a_step_of_a_product(u: Fraction) -> None:
    step = discussion_learning.ProductStep(u=u, target=Fraction(1))

    found = discussion_learning.audit_s9c(step)

    assert did_not_come_out(found) is (u == 0)


def test_a_kernel_that_stays_positive_refutes_no_density_estimate() -> None:
    positive = with_query(discussion_learning.S10, 0, 0, Fraction(3))

    assert did_not_come_out(discussion_learning.audit_s10(positive))


@pytest.mark.parametrize("place", ["query", "example", "minimiser"])
@pytest.mark.parametrize("entry", [0, 1])
def test_the_flat_problem_needs_every_number(place: str, entry: int) -> None:
    flat = discussion_learning.S11_FLAT
    moved = list(getattr(flat, place))
    moved[entry] += TINY

    assert did_not_come_out(discussion_learning.audit_s11(replace(flat, **{place: tuple(moved)})))


def test_a_target_that_the_minimiser_misses_or_a_slack_constraint() -> None:
    flat = discussion_learning.S11_FLAT
    slack = discussion_learning.S11_CONSTRAINED
    slack = replace(slack, data=replace(slack.data, targets=((Fraction(1),),)))

    assert did_not_come_out(discussion_learning.audit_s11(replace(flat, target=1 + TINY)))
    assert did_not_come_out(discussion_learning.audit_s11(constrained=slack))


def test_the_five_ways_of_s11() -> None:
    ids = [witness.id for witness in finding("S11").witnesses]

    assert ids == ["CE-S11a", "CE-S11b", "CE-S11c", "CE-S11d", "CE-S11e"]


def test_identities_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, claim in (
        ("stationary_representation", "S12"),
        ("permutation_invariant_attention", "S6"),
        ("shift_invariant_convolution", "S5"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(identities, name, lambda: False)

            repaired = AUDITS[claim]().repaired

            assert repaired is not None
            assert repaired.verdict is Verdict.INCONCLUSIVE
