from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from importlib import resources

import pytest

from pkverify.arithmetic.ball import working_precision
from pkverify.checks.paper import remarks, remarks_training
from pkverify.checks.paper.finding import Finding
from pkverify.checks.paper.outcomes import counterexample, digits
from pkverify.checks.paper.remarks import AUDITS
from pkverify.claims import CLAIMS
from pkverify.claims.record import Status
from pkverify.claims.remarks import CLAIMS as PART
from pkverify.evidence import Verdict
from pkverify.exact.paper_flow import BITS, one_parameter_flow
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem, write_problem

TINY = Fraction(1, 10**6)
FINDINGS: dict[str, Finding] = {}


def finding(claim: str) -> Finding:
    if claim not in FINDINGS:
        FINDINGS[claim] = AUDITS[claim]()
    return FINDINGS[claim]


def numbers(found: Finding) -> dict[str, str]:
    return {f"{witness.id} {name}": value for witness in found.witnesses for name, value in witness.values}


def shifted(problem: Problem) -> Iterator[tuple[str, Problem]]:
    """The problem with one of its numbers moved by 1e-6, for each of them that the flow or a query uses."""
    yield "horizon", replace(problem, horizon=problem.horizon + TINY)
    for j, value in enumerate(problem.initial):
        yield f"initial {j}", replace(problem, initial=(*problem.initial[:j], value + TINY, *problem.initial[j + 1 :]))
    for place in ("inputs", "targets"):
        rows = getattr(problem.data, place)
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                moved = (*rows[:i], (*row[:j], value + TINY, *row[j + 1 :]), *rows[i + 1 :])
                yield f"{place} {i} {j}", replace(problem, data=replace(problem.data, **{place: moved}))


def test_every_claim_of_the_part_has_an_audit() -> None:
    assert AUDITS.keys() == {each.id for each in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_the_audit_reproduces_the_registry(claim: str) -> None:
    found = finding(claim)

    assert found.claim == claim
    assert found.status is CLAIMS[claim].status
    assert found.evidence.verdict is not Verdict.INCONCLUSIVE
    assert found.repaired is None or found.repaired.verdict.holds
    assert bool(CLAIMS[claim].repaired) <= (found.repaired is not None)


@pytest.mark.parametrize("claim", AUDITS)
def test_what_is_false_or_imprecise_names_what_it_lacks(claim: str) -> None:
    for witness in finding(claim).witnesses:
        assert witness.statement
        assert witness.lacks
        assert witness.values
        if witness.problem:
            assert counterexample(witness.problem).title


@pytest.mark.parametrize(
    ("claim", "name", "digits_expected"),
    [
        ("R1b", "CE-R1b a_1", "0.362188"),
        ("R1b", "CE-R1b a_2", "0.567668"),
        ("R1b", "CE-R1b-p a_1", "-147.578"),
        ("R1d", "CE-R1d K_A", "1"),
        ("R1d", "CE-R1d K_B", "1"),
        ("R1d", "CE-R1d y_A", "0.632120558828558"),
        ("R1d", "CE-R1d y_B", "0.543080634815244"),
        ("R1e", "CE-R1e K", "1"),
        ("R1e", "CE-R1e K'", "1.9963107"),
        ("R2b", "CE-R2B K_11", "0.32054"),
        ("R2b", "CE-R2B K_12", "-0.71784"),
        ("R2b", "CE-R2B K_21", "0.64108"),
        ("R2b", "CE-R2B K_22", "-1.43569"),
        ("R4b", "CE-R4b-product K without", "3.2393881"),
        ("R4b", "CE-R4b-product a without", "0.24321444"),
        ("R4b", "CE-R4b-product K with", "1.755683"),
        ("R4b", "CE-R4b-product a with", "0.60835527"),
        ("R5a", "CE-R5a variance", "0.004352"),
        ("R5b", "CE-R5b K_12", "0.5"),
        ("R5b", "CE-R5b K_21", "1"),
        ("R5b", "CE-R5b-Ito change", "-0.933365"),
        ("R5b", "CE-R5b-Ito left-point sum", "-1.193016"),
        ("R5b", "CE-R5b-Ito missing", "0.259651"),
        ("R5b", "CE-R5b-Ito of it from the sampling", "0.2"),
    ],
)
def test_the_numbers(claim: str, name: str, digits_expected: str) -> None:
    places = len(digits_expected.partition(".")[2])

    assert abs(Fraction(numbers(finding(claim))[name]) - Fraction(digits_expected)) <= Fraction(1, 10**places) / 2


def test_the_weight_of_the_probability_at_a_longer_horizon() -> None:
    with working_precision(BITS):
        flow = one_parameter_flow(replace(remarks.R1B_PROBABILITY, horizon=Fraction(4)))

        assert digits(flow.weight(1, 0), 6) == "0.567089"


@pytest.mark.parametrize(("where", "problem"), list(shifted(remarks.R1D)), ids=lambda each: str(each)[:12])
def test_equal_kernels_need_every_number(where: str, problem: Problem) -> None:
    found = remarks.audit_r1d(problem)

    assert where
    assert found.status is Status.NOT_CHECKABLE
    assert found.evidence.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("where", "problem"),
    [(w, p) for w, p in shifted(remarks.R1E[1]) if w in {"initial 0", "inputs 0 0"}],
    ids=["initial", "input"],
)
def test_equal_starts_need_every_number(where: str, problem: Problem) -> None:
    found = remarks.audit_r1e((remarks.R1E[0], problem))

    assert where
    assert found.status is Status.HOLDS_UNDER
    assert found.witnesses == ()


@pytest.mark.parametrize(("where", "problem"), list(shifted(remarks.R2B)), ids=lambda each: str(each)[:12])
def test_the_loss_weighted_kernel_is_robustly_none(where: str, problem: Problem) -> None:
    found = remarks.audit_r2b(problem)

    assert where
    assert found.status is Status.FALSE
    assert numbers(found) != numbers(finding("R2b"))


@pytest.mark.parametrize(("where", "problem"), list(shifted(remarks.R1B))[:3], ids=lambda each: str(each)[:12])
def test_the_order_of_the_weights_is_robust(where: str, problem: Problem) -> None:
    found = remarks.audit_r1b(problem)

    assert where
    assert found.status is Status.FALSE
    assert numbers(found) != numbers(finding("R1b"))


@pytest.mark.parametrize("target", [Fraction(1), Fraction(1) - TINY])
def test_without_the_larger_loss_derivative_nothing_is_refuted(target: Fraction) -> None:
    data = replace(remarks.R1B.data, targets=((target,), (Fraction(1),)))

    found = remarks.audit_r1b(replace(remarks.R1B, data=data))

    assert found.evidence.verdict is Verdict.INCONCLUSIVE


def test_a_model_that_stands_still_shows_no_dependence_on_the_query() -> None:
    problem = replace(remarks.R1A, queries=((Fraction(1),), (Fraction(1),)))

    assert remarks.audit_r1a(problem).evidence.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("factor", "status"),
    [(Fraction(1, 2), Status.HOLDS), (Fraction(1, 2) + TINY, Status.IMPRECISE), (Fraction(1), Status.IMPRECISE)],
)
def test_least_squares_holds_with_one_factor_only(factor: Fraction, status: Status) -> None:
    assert remarks_training.audit_r3a(factor).status is status


OWN_FILES = sorted(
    file.name.removesuffix(".toml")
    for file in (resources.files("pkverify.cases") / "counterexamples").iterdir()
    if file.name[0] in "rls" and file.name.endswith(".toml")
)


@pytest.mark.parametrize("name", OWN_FILES)
def test_problem_files_survive_writing(name: str) -> None:
    problem = counterexample(name)

    assert problem.title
    assert parse_problem(write_problem(problem)) == problem


def test_without_a_penalty_nothing_changes() -> None:
    found = remarks_training.audit_r4b(replace(remarks_training.R4B, regularizer=None))

    assert found.evidence.verdict is Verdict.INCONCLUSIVE


def test_equal_sampling_times_keep_the_symmetry() -> None:
    equal = remarks_training.Indicators(durations=(Fraction(1), Fraction(1)))
    nearly = remarks_training.Indicators(durations=(Fraction(1), Fraction(1) - TINY))

    assert remarks_training.audit_r5b(equal).evidence.verdict is Verdict.INCONCLUSIVE
    assert remarks_training.audit_r5b(nearly).status is Status.FALSE


def test_a_batch_without_repetition_needs_no_multiplicity() -> None:
    found = remarks_training.audit_r5c(remarks_training.Batch(drawn=(0, 1)))

    assert found.evidence.verdict is Verdict.INCONCLUSIVE


def test_the_sampled_run_is_what_enumeration_gives() -> None:
    run = remarks_training.Sampling(Fraction(1, 10), 5, Fraction(1))
    ends = [run.initial]
    for _ in range(run.steps):
        ends = [w - run.rate * (w - target) for w in ends for target in (1, -1)]

    assert sum(ends, Fraction(0)) / len(ends) == run.mean
    assert sum((w * w for w in ends), Fraction(0)) / len(ends) == run.second_moments()[-1]


def test_heavy_ball_is_exact_for_other_numbers() -> None:
    run = replace(remarks_training.R5D, momentum=Fraction(9, 10), rate=Fraction(1, 7), query=Fraction(-1, 3))
    found = remarks_training.audit_r5d(run)

    assert found.repaired is not None
    assert found.repaired.verdict is Verdict.PROVED
