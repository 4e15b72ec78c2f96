"""A saved run read back: the same run, the same report, and a clear word on whatever is wrong with the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jsonschema
import pytest

from pkverify.cases import case_problems
from pkverify.checks.paper.table import audit_paper
from pkverify.checks.run import check
from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.evidence import Evidence, ProblemRun, Run, Verdict
from pkverify.report.read import read_record, read_run
from pkverify.report.records import json_schema, run_json
from pkverify.report.render import FORMATS, render

Json = dict[str, Any]
LINEAR, MLP = dict(case_problems("linear")), dict(case_problems("mlp"))


@pytest.fixture(scope="module")
def run() -> Run:
    problems = [("line", LINEAR["linear-one-weight"]), ("ridge", LINEAR["linear-ridge"])]
    problems.append(("softmax", dict(case_problems("xent"))["xent-softmax"]))
    return check(problems, digits=15, claims=["T1", "T1a", "T1k", "R4a"])


@pytest.fixture(scope="module")
def audit() -> Run:
    return audit_paper(["T1", "T1a", "P9", "D9"]).run()


def test_a_run_comes_back_as_it_was(run: Run, audit: Run) -> None:
    for each in (run, audit, Run((), holes=("R5b",), interrupted=True)):
        text = run_json(each)

        assert run_json(read_run(text)) == text


@pytest.mark.parametrize("form", FORMATS)
def test_live_and_saved_give_the_same_report(run: Run, audit: Run, form: Any) -> None:
    for each in (run, audit):
        live = render(each, form)
        text = run_json(each)

        assert render(read_run(text), form) == live
        assert render(read_record(text), form) == live
        assert render(each, form) == live  # and twice the same


def test_the_environment_is_that_of_the_run(run: Run) -> None:
    saved = json.loads(run_json(run, "pkverify check linear --digits 15"))
    saved["environment"]["platform"] = "another machine"
    page = render(read_record(json.dumps(saved)), "md").decode()

    assert "pkverify check linear --digits 15" in page
    assert "another machine" in page


def certified() -> Decomposition:
    ball = BallNumber("0.12345678901234567890", "1e-20")
    exact = BallNumber("0", "0")
    return Decomposition(
        "certified", 20, (Fraction(1, 2),), 1, exact, ball, (ball, exact), exact, BallNumber("-1.2345e-21", "3e-20"),
        ((ball, exact), (exact, ball)), ((ball, ball), None), Fraction(1), {1: "the kernel is 0"},
    )  # fmt: skip


def test_balls_come_back_as_balls() -> None:
    item = Evidence("T1", Verdict.CERTIFIED, "ball", residual="0", bound="3e-20")
    live = Run((ProblemRun("mine", (item,), (certified(),)),))
    saved = json.loads(run_json(live))
    jsonschema.validate(saved, json.loads(json_schema()))
    (back,) = read_run(run_json(live)).problems[0].decompositions

    assert saved["problems"][0]["decompositions"][0]["residual"] == {"mid": "-1.2345e-21", "rad": "3e-20"}
    assert saved["problems"][0]["decompositions"][0]["weights"][1] is None
    assert back == certified()
    assert isinstance(back.residual, BallNumber)
    assert back.residual.rad == "3e-20"
    assert render(read_run(run_json(live)), "html") == render(live, "html")


def test_a_radius_must_be_a_number() -> None:
    item = Evidence("T1", Verdict.CERTIFIED, "ball", residual="0", bound="3e-20")
    saved = json.loads(run_json(Run((ProblemRun("mine", (item,), (certified(),)),))))
    saved["problems"][0]["decompositions"][0]["contributions"][0]["rad"] = "inf"

    with pytest.raises(InputError, match="contributions: 'inf' is no decimal number"):
        read_run(json.dumps(saved))


def changed(run: Run, change: Callable[[Json], object]) -> str:
    data: Json = json.loads(run_json(run))
    change(data)
    return json.dumps(data)


def problem(data: Json) -> Json:
    return data["problems"][0]


def decomposition(data: Json) -> Json:
    return data["problems"][0]["decompositions"][0]


AGAIN = "make it again"
WRONG: list[tuple[Callable[[Json], object], str, str]] = [
    (lambda d: d.pop("verdict"), "run.json: verdict is missing", AGAIN),
    (lambda d: d.pop("schema"), "there is no field schema", AGAIN),
    (lambda d: d.update(schema="pkverify.run/2"), "schema is 'pkverify.run/2'", AGAIN),
    (lambda d: d.update(schema="pkverify.certificate/1"), "schema is", "pkverify verify"),
    (lambda d: d.update(verdict="fine"), "verdict is 'fine'", AGAIN),
    (lambda d: d.update(verdict="refuted"), "verdict is 'refuted'", AGAIN),
    (lambda d: d.update(holes=None), "holes: expected", AGAIN),
    (lambda d: d.update(problem=[]), "problem is no field of a run", AGAIN),
    (lambda d: d.update(problems=d["problems"][0]), "problems: expected", AGAIN),
    (lambda d: problem(d).pop("name"), "problems[0].name is missing", AGAIN),
    (lambda d: problem(d).update(derivations=[]), "problems[0].derivations is no field", "did you mean 'derivation'?"),
    (
        lambda d: problem(d)["evidence"][0].update(verdict="prooved"),
        "problems[0].evidence[0].verdict is 'prooved'",
        "did you mean 'proved'?",
    ),
    (lambda d: problem(d)["evidence"][0].update(claims="T1"), "problems[0].evidence[0].claims is no field", AGAIN),
    (lambda d: problem(d)["evidence"][0].pop("claim"), "problems[0].evidence[0].claim is missing", AGAIN),
    (lambda d: problem(d)["evidence"][0].update(residual=0.5), "problems[0].evidence[0].residual", AGAIN),
    (lambda d: problem(d)["evidence"][1].update(tolerance=None), "T1: a supported verdict must carry", AGAIN),
    (
        lambda d: problem(d)["evidence"][0]["hypotheses"][0].update(verdict="yes"),
        "hypotheses[0].verdict is 'yes'",
        AGAIN,
    ),
    (lambda d: decomposition(d).update(residual="NaN"), "decompositions[0].residual: 'NaN' is no decimal", AGAIN),
    (lambda d: decomposition(d).update(residual="small"), "decompositions[0].residual: 'small' is no decimal", AGAIN),
    (lambda d: decomposition(d).update(final_output=None), "decompositions[0].final_output", AGAIN),
    (lambda d: decomposition(d)["contributions"].pop(), "decompositions[0].path_kernel has 3 entries", AGAIN),
    (lambda d: decomposition(d)["weights"].append(None), "decompositions[0].weights has 4 entries", AGAIN),
    (lambda d: decomposition(d).update(query=["1/0"]), "decompositions[0].query: '1/0' is no rational", AGAIN),
    (lambda d: decomposition(d).update(weights_absent={"7": "why"}), "no example '7'", AGAIN),
    (lambda d: decomposition(d).update(digits="30"), "decompositions[0].digits", AGAIN),
]  # fmt: skip


@pytest.mark.parametrize(("change", "what", "fix"), WRONG, ids=[what for _, what, _ in WRONG])
def test_what_is_wrong_is_named(run: Run, change: Callable[[Json], object], what: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        read_run(changed(run, change), "run.json")

    assert str(caught.value).startswith("run.json")
    assert what in caught.value.what
    assert caught.value.why
    assert fix in caught.value.fix
    assert caught.value.exit_code == 2


def test_a_run_cut_short_anywhere_is_refused(run: Run) -> None:
    text = run_json(run).rstrip()
    for length in range(0, len(text), 997):
        with pytest.raises(InputError, match=r"run\.json ends too early"):
            read_run(text[:length])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"\xff\xfe", "is not JSON"),
        ("verdict: proved", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a run"),
        ("null", "is not a run"),
        ('"proved"', "is not a run"),
        ('{"schema": 1}', "schema is 1"),
    ],
)
def test_what_is_no_run_is_refused(text: str | bytes, what: str) -> None:
    with pytest.raises(InputError) as caught:
        read_run(text, "my run.json")

    assert f"my run.json{'' if what.startswith('is') else ':'} {what}" in caught.value.what


def test_a_changed_run_that_still_fits_is_read(run: Run) -> None:
    def change(data: Json) -> None:
        problem(data)["evidence"][0]["message"] = "in other words"

    assert read_run(changed(run, change)).problems[0].evidence[0].message == "in other words"
