"""Runs: flows that end early, routes that disagree, refuse or stop, and what a run as a whole may say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import pkverify.exact.route
from pkverify.arithmetic.ball import BallDomainError
from pkverify.cases import case_networks
from pkverify.checks import cross_check, run
from pkverify.checks.agreement import disagreement
from pkverify.checks.context import Context
from pkverify.checks.run import ROUTES, check, check_problem, prove_theorem
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.decomposition import Decomposition
from pkverify.errors import FlowError, InputError
from pkverify.evidence import THEOREM, ProblemRun, Run, Verdict
from pkverify.precise import flow
from pkverify.precise import route as precise_route
from pkverify.precise.route import decompose_precise
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from pkverify.report.records import run_json


def problem(formula: str, loss: str, data: str, initial: str, horizon: str) -> Problem:
    return parse_problem(
        f"""model = {{kind = "expression", params = ["w"], inputs = ["x"], output = "{formula}"}}
        loss = {{{loss}}}\ndata = {{{data}}}\nflow = {{initial = ["{initial}"], horizon = "{horizon}"}}"""
    )


SQUARED, NLL = 'kind = "squared"', 'kind = "nll-log-probability"'
LINE = problem("w*x", SQUARED, "x = [1, 2], y = [1, 3]", "0", "1")
# w' = w^2, so that w = 1 / (1 - t) (T1f).
BLOW_UP = problem("w**3/3", NLL, "x = [1]", "1", "2")
STIFF = problem("w*x", SQUARED, "x = [100], y = [0]", "1", "10")
# The argument of relu falls through 0 on the way to -1.
KINKED = problem("relu(w*x) - w/4", SQUARED, "x = [1], y = [-1]", "1/2", "2")
NO_CLOSED_FORM = problem("tanh(w*x)", SQUARED, "x = [1, 2], y = [1, 0]", "0", "1")


def precise(problem: Problem, digits: int = 20) -> ProblemRun:
    return check_problem("problem", problem, digits=digits, routes=("precise",))


# Flows that end before the horizon.


def test_a_flow_that_blows_up_makes_the_claims_inapplicable() -> None:
    found = precise(BLOW_UP)

    assert set(found.verdicts) == set(PROBLEM_CHECKS)
    assert set(found.verdicts.values()) == {Verdict.NOT_APPLICABLE}
    [theorem] = [item for item in found.evidence if item.claim == "T1"]
    assert [h.id for h in theorem.hypotheses] == ["H2"]
    assert "(H2 fails)" in theorem.message
    time = float(theorem.message.partition("t = ")[2].split()[0])
    assert time == pytest.approx(1, abs=1e-6)
    assert found.decompositions == ()


def test_a_theorem_alone_does_not_make_a_flow_that_blows_up_pass() -> None:
    found, theorem = precise(BLOW_UP), prove_theorem(frozenset({"P1", "T1g"}))

    assert {item.verdict for item in theorem.evidence} == {Verdict.PROVED}
    assert Run((found, theorem)).verdict is Verdict.INCONCLUSIVE
    assert Run((found, theorem)).exit_code == 3
    # Beside a problem on which something holds it does not count (design, section 4).
    assert Run((found, precise(LINE), theorem)).exit_code == 0


def test_a_problem_called_theorem_is_still_a_problem() -> None:
    found = check([(THEOREM, BLOW_UP)], digits=10, claims=["T1", "P1"])

    assert [item.name for item in found.problems] == ["theorem (a problem)", THEOREM]
    assert found.exit_code == 3


def test_a_flow_that_stops_short_of_its_blow_up_is_checked() -> None:
    assert precise(replace(BLOW_UP, horizon=Fraction(1, 2))).verdicts["T1"] is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("name", "hypothesis", "where"),
    [
        ("sqrt", "H2", "t = 2"),  # w' = -1/2 from 1 leads to the root's end
        ("log", "H2", "t = 0.5"),  # y = log(w): (w^2)' = -2
        ("abs", "H0", "t = 1"),  # |w| from 1 slides along its kink
    ],
)
def test_the_hypothesis_that_fails_is_named(name: str, hypothesis: str, where: str) -> None:
    found = precise(
        {
            "sqrt": problem("sqrt(w)*x", SQUARED, "x = [1], y = [0]", "1", "10"),
            "log": problem("-log(w)*x", NLL, "x = [1]", "1", "10"),
            "abs": problem("w*x", 'kind = "expression", value = "abs(y - target)"', "x = [1], y = [0]", "1", "2"),
        }[name]
    )
    item = found.evidence[0]

    assert (item.claim, item.verdict) == ("T1", Verdict.NOT_APPLICABLE)
    assert [h.id for h in item.hypotheses] == [hypothesis]
    assert float(item.message.partition("t = ")[2].split()[0].strip(":,")) == pytest.approx(float(where[4:]), abs=1e-4)


def test_a_stiff_flow_is_out_of_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_STEPS", 50)
    found = precise(STIFF)

    assert set(found.verdicts.values()) == {Verdict.INCONCLUSIVE}
    assert "stiff" in found.evidence[0].message
    assert Run((found,)).exit_code == 3


def test_digits_that_are_not_reached_leave_everything_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precise_route, "_MAX_RUNS", 0)
    found = precise(LINE)

    assert set(found.verdicts.values()) == {Verdict.INCONCLUSIVE}
    assert "20 digits were not reached" in found.evidence[0].message


def test_numbers_beyond_doubles_leave_only_open_what_needs_doubles() -> None:
    found = precise(problem("w*x", SQUARED, 'x = [1], y = ["1e400"]', "0", "1"))

    assert found.verdicts["T1c"] is Verdict.INCONCLUSIVE
    assert found.verdicts["T1g"] is Verdict.SUPPORTED
    assert found.series == {}
    assert "Infinity" not in run_json(Run((found,))).decode()


def test_a_loss_near_its_singularity_is_still_checked() -> None:
    # The output is e^-43, less than the steps of the second route's differences elsewhere.
    found = precise(problem("exp(w*x)", 'kind = "nll-probability"', "x = [1]", "-43", "1"), digits=30)

    assert found.verdicts["T1"] is Verdict.SUPPORTED


def test_a_second_route_that_cannot_be_evaluated_leaves_the_claim_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BallDomainError("logarithm of a ball around 0")

    monkeypatch.setattr(cross_check, "_derivative_gap", refuse)
    found = precise(LINE)

    assert {claim for claim, verdict in found.verdicts.items() if verdict is Verdict.INCONCLUSIVE} == {
        "T1",
        "T1a",
        "D8",
    }
    assert "logarithm" in found.evidence[0].message


def test_what_the_second_route_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def messages() -> dict[str, str]:
        return {item.claim: item.message for item in precise(LINE).evidence}

    assert "integrated again" not in messages()["T1"] + messages()["D8"]
    monkeypatch.setattr(cross_check, "_BUDGET", 1)
    assert messages()["T1"].endswith("; only the first 1 of 2 examples were integrated again")
    assert messages()["D8"].endswith("; only the first 1 of 2 examples were integrated again")


# Routes that disagree.

Change = Callable[[Decomposition], Decomposition]


def moved(field: str, by: str) -> Change:
    """A decomposition with a number changed (the first, if the field holds several)."""

    def plus(value: Any) -> Any:
        if isinstance(value, tuple):
            return (plus(value[0]), *value[1:])
        number = Fraction(value) + Fraction(by)
        return f"{number.numerator * 10**40 // number.denominator}e-40"

    return lambda item: replace(item, **{field: plus(getattr(item, field))})


FIELDS = ("initial_output", "final_output", "regularizer_term", "contributions", "path_kernel", "weights")


@pytest.mark.parametrize("field", FIELDS)
def test_routes_that_disagree_are_noticed(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change = moved(field, "1e-20")
    original = pkverify.exact.route.decompose_exact
    monkeypatch.setattr(
        pkverify.exact.route, "decompose_exact", lambda *args: tuple(change(item) for item in original(*args))
    )
    found = check_problem("problem", LINE, digits=30, routes=("exact", "precise"))

    assert found.verdicts["T1"] is Verdict.INCONCLUSIVE
    assert [item.claim for item in found.evidence].count("T1") == 1
    assert found.evidence[0].message.startswith(f"routes disagree: {field}")
    assert "exact" in found.evidence[0].message
    assert "precise" in found.evidence[0].message
    assert Run((found,)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("by", "noticed"), [("1e-29", False), ("1e-28", False), ("3e-28", True), ("-3e-28", True)])
def test_how_far_routes_may_be_apart(field: str, by: str, noticed: bool) -> None:
    left, *_ = decompose_precise(LINE, 30)

    found = disagreement([left, replace(moved(field, by)(left), route="other")])

    assert (found is not None) is noticed


def test_a_flow_that_one_route_has_and_another_has_not_is_a_disagreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Context) -> None:
        raise FlowError("the flow ends near t = 0.5", hypothesis="H2", time=0.5, why="made up", fix="none")

    monkeypatch.setattr(Context, "solution", property(fails))
    found = check_problem("line", LINE, digits=20, routes=("exact", "precise"))

    assert found.verdicts["T1"] is Verdict.INCONCLUSIVE
    assert "routes disagree: the exact route has the flow" in found.evidence[0].message


@pytest.mark.parametrize(
    ("start", "verdict"), [("1", Verdict.SUPPORTED), ("2.9999999999999999999", Verdict.INCONCLUSIVE)]
)
def test_descent_is_not_judged_by_an_output_that_hardly_moves(start: str, verdict: Verdict) -> None:
    hardly = problem("w*x", SQUARED, "x = [1], y = [3]", start, "1")
    assert (
        check_problem("line", hardly, digits=20, routes=("precise",), claims=frozenset({"T1b"})).verdicts["T1b"]
        is verdict
    )


@pytest.mark.parametrize("field", ["residuals", "initial_outputs"])
def test_a_ball_that_excludes_what_must_be_is_not_outvoted(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = run.enclose

    def spoiled(*arguments: Any) -> Any:
        enclosure = original(*arguments)
        rows = [[replace(number, mid=number.mid + 1) for number in row] for row in getattr(enclosure, field)]
        return replace(enclosure, **{field: tuple(map(tuple, rows))})

    monkeypatch.setattr(run, "enclose", spoiled)
    found = check_problem("line", LINE, digits=20, routes=("precise", "certified"))

    assert found.verdicts["T1"] is Verdict.INCONCLUSIVE
    assert "a bug in pkverify" in found.evidence[0].message
    assert Run((found,)).exit_code == 3


def test_absent_weights_and_other_places_are_not_compared() -> None:
    left, right = decompose_precise(LINE, 30)

    assert disagreement([left, replace(left, weights=(None, left.weights[1]))]) is None
    assert disagreement([left, right]) is None
    assert disagreement([]) is None
    assert disagreement([left, right, replace(right, route="other", final_output="7")]) is not None


# Routes that are asked for, and claims.


def test_all_routes_speak() -> None:
    found = check_problem("line", LINE, digits=20, claims=frozenset({"T1"}))

    assert [(item.route, item.verdict) for item in found.evidence] == [
        ("exact", Verdict.PROVED),
        ("precise", Verdict.SUPPORTED),
        ("certified", Verdict.CERTIFIED),
        ("certified", Verdict.PROVED),  # the formal theorem, since balls discharge its hypotheses
        ("network", Verdict.SUPPORTED),
    ]
    assert found.verdicts == {"T1": Verdict.PROVED}
    assert [item.route for item in found.decompositions] == [route for route in ROUTES for _ in range(2)]
    assert {step.claim for step in found.derivation} >= {"T1"}


def test_a_default_route_that_cannot_is_skipped() -> None:
    found = check([("tanh", NO_CLOSED_FORM)], digits=15, claims=["T1"])

    assert set(found.problems[0].skipped) == {"exact"}
    assert found.problems[0].skipped["exact"].startswith("no closed form")
    assert not found.problems[0].refused
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("routes", "refused"),
    [
        (["exact"], ["exact"]),
        (["exact", "precise"], ["exact"]),
        (["certified"], ["certified"]),
        (["precise", "certified", "exact"], ["exact", "certified"]),
    ],
)
def test_a_route_asked_for_by_name_that_cannot_is_refused(routes: list[str], refused: list[str]) -> None:
    found = check([("relu", KINKED)], digits=15, routes=routes, claims=["T1"])

    assert list(found.problems[0].refused) == refused
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.exit_code == 3


def test_a_problem_of_real_size_is_for_the_network_route() -> None:
    [(name, large)] = case_networks("linear")
    found = check_problem(name, large, routes=("exact", "precise", "certified"), named=frozenset({"precise"}))

    assert set(found.skipped) == {"exact", "certified"}
    assert list(found.refused) == ["precise"]
    assert found.refused["precise"].startswith("a problem of real size (")
    assert Run((found,)).exit_code == 3


@pytest.mark.parametrize(
    ("options", "what", "fix"),
    [
        ({"routes": ["precis"]}, "--routes precis", "did you mean precise?"),
        ({"routes": []}, "--routes is empty", "exact, precise"),
        ({"claims": ["T1", "T1z"]}, "there is no claim 'T1z'", "did you mean 'T1'?"),
        ({"claims": ["p3"]}, "there is no claim 'p3'", "did you mean 'P3'?"),
        ({"digits": 4}, "--digits 4", "choose a number"),
        ({"digits": 1001, "routes": ["exact"]}, "--digits 1001", "choose a number"),
    ],
)
def test_bad_options(options: dict[str, Any], what: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        check([("line", LINE)], **options)

    assert caught.value.what.startswith(what)
    assert fix in caught.value.fix


def test_nothing_to_check_is_not_a_pass() -> None:
    assert check([], digits=15, routes=["precise"]).exit_code == 3
    assert check([("line", LINE)], digits=15, routes=["precise"], claims=[]).exit_code == 3


def test_holes_keep_a_run_from_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check([("line", LINE)], digits=15, routes=["precise"]).exit_code == 0
    monkeypatch.setattr(run, "_holes", lambda _: ("X1",))
    found = check([("line", LINE)], digits=15, routes=["precise"])

    assert found.holes == ("X1",)
    assert (found.verdict, found.exit_code) == (Verdict.INCONCLUSIVE, 3)


# The course of a run.


def stopping_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    original = run.check_problem

    def interrupted(given: str, *args: Any, **options: Any) -> ProblemRun:
        if given == name:
            raise KeyboardInterrupt
        return original(given, *args, **options)

    monkeypatch.setattr(run, "check_problem", interrupted)


def test_an_interrupted_run_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping_at(monkeypatch, "third")
    found = check([(name, LINE) for name in ("first", "second", "third", "fourth")], digits=15, routes=["precise"])

    assert [item.name for item in found.problems] == ["first", "second"]
    assert found.interrupted
    assert found.exit_code == 130
    assert json.loads(run_json(found))["interrupted"] is True


def test_progress_names_each_problem() -> None:
    lines: list[str] = []
    check([("a", LINE), ("b", LINE)], digits=15, claims=["T1g"], progress=lines.append)

    assert lines == ["checking a", "checking b", "proving the steps of the theorem"]


def test_the_seed_decides_what_is_drawn() -> None:
    def found(seed: int) -> Sequence[object]:
        items = check([("line", LINE)], digits=15, routes=["precise"], seed=seed).problems[0].evidence
        return [replace(item, seconds=0) for item in items]

    assert found(0) == found(0)
    assert all(item.verdict.holds or item.verdict is Verdict.NOT_APPLICABLE for item in found(7))  # type: ignore[attr-defined]
