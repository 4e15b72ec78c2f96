"""Verdicts: their order, how routes and claims are combined, and what each must carry."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkverify.evidence import THEOREM, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict, combine_routes, weakest

PROVED, CERTIFIED, SUPPORTED, INCONCLUSIVE, REFUTED, NOT_APPLICABLE, NOT_CHECKABLE = Verdict
FROM_WEAKEST = [REFUTED, INCONCLUSIVE, SUPPORTED, CERTIFIED, PROVED]
OUTSIDE = [NOT_APPLICABLE, NOT_CHECKABLE]
VERDICTS = st.lists(st.sampled_from(Verdict), max_size=6)


def evidence(verdict: Verdict, claim: str = "T1", **fields: Any) -> Evidence:
    needed: dict[str, Any] = {"bound": "1e-9", "tolerance": "1e-9", "witness": "x = 1", "message": "why"}
    return Evidence(claim, verdict, "test", **(needed | fields))


def problem(*verdicts: Verdict, name: str = "problem", **fields: Any) -> ProblemRun:
    """A problem with a claim for each verdict."""
    items = tuple(evidence(verdict, f"C{number}") for number, verdict in enumerate(verdicts))
    return ProblemRun(name, items, **fields)


# The words.


def test_words_are_those_of_the_contract() -> None:
    assert [verdict.value for verdict in Verdict] == [
        "proved", "certified", "supported", "inconclusive", "refuted", "not-applicable", "not-checkable",
    ]  # fmt: skip


def test_what_holds_and_what_is_judged() -> None:
    assert [verdict for verdict in Verdict if verdict.holds] == [PROVED, CERTIFIED, SUPPORTED]
    assert [verdict for verdict in Verdict if not verdict.judged] == OUTSIDE


# Over claims: the weakest.


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [(b, a) for i, a in enumerate(FROM_WEAKEST) for b in FROM_WEAKEST[i:]],
    ids=lambda verdict: verdict.value,
)
def test_the_weaker_of_two(stronger: Verdict, weaker: Verdict) -> None:
    assert weakest([stronger, weaker]) is weakest([weaker, stronger]) is weaker


@pytest.mark.parametrize("verdict", FROM_WEAKEST)
def test_words_outside_the_order_do_not_count(verdict: Verdict) -> None:
    for others in ([], [NOT_APPLICABLE], [NOT_CHECKABLE], OUTSIDE):
        assert weakest([*others, verdict, *others]) is verdict


@pytest.mark.parametrize("nothing", [[], [NOT_APPLICABLE], [NOT_CHECKABLE], OUTSIDE])
def test_nothing_judged_is_inconclusive(nothing: list[Verdict]) -> None:
    assert weakest(nothing) is INCONCLUSIVE


@given(VERDICTS, VERDICTS)
def test_more_claims_never_strengthen_a_verdict(some: list[Verdict], more: list[Verdict]) -> None:
    if any(verdict.judged for verdict in some):
        assert FROM_WEAKEST.index(weakest([*some, *more])) <= FROM_WEAKEST.index(weakest(some))


# Over routes: the strongest, unless one refutes.


@pytest.mark.parametrize(
    "routes", list(product(FROM_WEAKEST, repeat=2)), ids=lambda pair: f"{pair[0].name}-{pair[1].name}"
)
def test_two_routes(routes: tuple[Verdict, Verdict]) -> None:
    expected = REFUTED if REFUTED in routes else max(routes, key=FROM_WEAKEST.index)

    assert combine_routes(routes) is expected


@given(VERDICTS)
def test_one_refutation_outweighs_every_proof(others: list[Verdict]) -> None:
    assert combine_routes([*others, REFUTED]) is REFUTED


@pytest.mark.parametrize("judged", FROM_WEAKEST)
def test_a_route_that_stands_aside_does_not_weaken_another(judged: Verdict) -> None:
    for order in permutations([judged, NOT_APPLICABLE, NOT_CHECKABLE]):
        assert combine_routes(order) is judged


def test_routes_that_all_stand_aside() -> None:
    assert combine_routes([NOT_APPLICABLE]) is NOT_APPLICABLE
    assert combine_routes([NOT_CHECKABLE, NOT_APPLICABLE]) is NOT_APPLICABLE
    assert combine_routes([NOT_CHECKABLE]) is NOT_CHECKABLE


def test_routes_are_combined_claim_by_claim() -> None:
    found = ProblemRun(
        "problem",
        (
            evidence(PROVED, "T1", route="exact"),
            evidence(SUPPORTED, "T1", route="precise"),
            evidence(NOT_APPLICABLE, "T1a"),
            evidence(SUPPORTED, "T1c"),
            evidence(REFUTED, "T1c"),
        ),
    )

    assert found.verdicts == {"T1": PROVED, "T1a": NOT_APPLICABLE, "T1c": REFUTED}
    assert Run((found,)).verdict is REFUTED


# Runs.

# Verdicts of the problems, claim by claim; what the run is; its exit code.
RUNS: list[tuple[list[list[Verdict]], Verdict, int]] = [
    ([], INCONCLUSIVE, 3),
    ([[]], INCONCLUSIVE, 3),
    ([[NOT_APPLICABLE]], INCONCLUSIVE, 3),
    ([[NOT_APPLICABLE, NOT_CHECKABLE], [NOT_APPLICABLE]], INCONCLUSIVE, 3),
    ([[SUPPORTED]], SUPPORTED, 0),
    ([[PROVED], [CERTIFIED]], CERTIFIED, 0),
    ([[PROVED, NOT_APPLICABLE, SUPPORTED]], SUPPORTED, 0),
    ([[PROVED], [NOT_APPLICABLE]], PROVED, 0),
    ([[PROVED, INCONCLUSIVE]], INCONCLUSIVE, 3),
    ([[PROVED], [INCONCLUSIVE, SUPPORTED]], INCONCLUSIVE, 3),
    ([[PROVED, REFUTED]], REFUTED, 1),
    ([[INCONCLUSIVE], [REFUTED], [PROVED]], REFUTED, 1),
]


@pytest.mark.parametrize(("problems", "verdict", "code"), RUNS, ids=range(len(RUNS)))
def test_runs(problems: list[list[Verdict]], verdict: Verdict, code: int) -> None:
    run = Run(tuple(problem(*verdicts) for verdicts in problems))

    assert (run.verdict, run.exit_code) == (verdict, code)


@pytest.mark.parametrize(("problems", "verdict", "code"), RUNS, ids=range(len(RUNS)))
def test_a_proved_theorem_never_makes_a_run_pass(problems: list[list[Verdict]], verdict: Verdict, code: int) -> None:
    theorem = problem(PROVED, name=THEOREM)
    run = Run((*(problem(*verdicts) for verdicts in problems), theorem))

    # Alone, or where nothing was asked of a problem, it is all that the run was for.
    only_theorem = not any(problems)
    assert (run.verdict, run.exit_code) == ((PROVED, 0) if only_theorem else (verdict, code))


@pytest.mark.parametrize("refutation", [False, True])
def test_holes_and_refused_routes_keep_a_run_from_passing(refutation: bool) -> None:
    sound, extra = problem(PROVED), [problem(REFUTED)] if refutation else []
    refused = problem(PROVED, refused={"exact": "no closed form"})
    expected = (REFUTED, 1) if refutation else (INCONCLUSIVE, 3)

    for run in (Run((sound, *extra), holes=("R5b",)), Run((sound, refused, *extra))):
        assert (run.verdict, run.exit_code) == expected
    assert Run((sound, problem(PROVED, skipped={"exact": "no closed form"}))).exit_code == 0


@pytest.mark.parametrize("verdict", Verdict)
def test_an_interrupted_run_says_so_whatever_it_found(verdict: Verdict) -> None:
    assert Run((problem(verdict),), interrupted=True).exit_code == 130


# What evidence must carry.


@pytest.mark.parametrize(
    ("verdict", "fields", "complaint"),
    [
        (REFUTED, {"witness": None}, "witness"),
        (REFUTED, {"witness": ""}, "witness"),
        (CERTIFIED, {"bound": None}, "bound"),
        (SUPPORTED, {"tolerance": None}, "tolerance"),
        (INCONCLUSIVE, {"message": ""}, "say why"),
        (NOT_APPLICABLE, {"message": ""}, "say why"),
        (NOT_CHECKABLE, {"message": ""}, "say why"),
    ],
)
def test_a_verdict_without_its_grounds_is_refused(verdict: Verdict, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        evidence(verdict, claim="P9", **fields)


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        (PROVED, {"bound": None, "tolerance": None, "witness": None, "message": ""}),
        (CERTIFIED, {"tolerance": None, "witness": None, "message": ""}),
        (SUPPORTED, {"bound": None, "witness": None, "message": ""}),
        (INCONCLUSIVE, {"bound": None, "tolerance": None, "witness": None}),
        (REFUTED, {"bound": None, "tolerance": None, "message": ""}),
        (NOT_APPLICABLE, {"bound": None, "tolerance": None, "witness": None}),
        (NOT_CHECKABLE, {"bound": None, "tolerance": None, "witness": None}),
    ],
)
def test_a_verdict_needs_no_other_grounds(verdict: Verdict, fields: dict[str, Any]) -> None:
    assert evidence(verdict, **fields).verdict is verdict


def test_hypotheses_may_fail_without_refuting() -> None:
    failing = HypothesisEvidence("H2", SUPPORTED, "fails: the flow ends at t = 1")
    item = evidence(NOT_APPLICABLE, hypotheses=(failing,))

    assert Run((ProblemRun("problem", (item,)),)).verdict is INCONCLUSIVE
