"""The Python interface: few names, loaded late, and three verbs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import pkverify as pk
from pkverify.problem_file import parse_problem

LINE = parse_problem(
    """title = "a line"\nmodel = {kind = "linear", bias = false}\nloss.kind = "squared"
    data = {x = [1, 2], y = [1, 3]}\nflow = {initial = [0], horizon = 1}\nquery.x = ["3/2", 2]"""
)
NO_CLOSED_FORM = parse_problem(
    """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "tanh(w*x)"}\nloss.kind = "squared"
    data = {x = [1, 2], y = [1, 0]}\nflow = {initial = [0], horizon = 1}"""
)
BLOW_UP = parse_problem(
    """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w**3/3"}
    loss.kind = "nll-log-probability"\ndata.x = [1]\nflow = {initial = [1], horizon = 2}"""
)


# Names.


def test_public_names_are_few_and_all_there() -> None:
    assert len(pk.__all__) <= 25
    assert sorted(pk.__all__) == sorted(set(pk.__all__))
    for name in pk.__all__:
        assert getattr(pk, name) is not None
    assert dir(pk) == sorted(pk.__all__)


def test_names_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'pkverify' has no attribute 'chekc'"):
        _ = pk.chekc  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match="chekc"):
        exec("from pkverify import chekc")  # noqa: S102 - a line as a user may write it


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import pkverify", set[str]()),
        ("import pkverify; dir(pkverify); pkverify.__version__", set[str]()),
        ("from pkverify import Verdict", {"pkverify.evidence"}),
        ("from pkverify import read_problem", {"pkverify.problem_file"}),
        ("from pkverify import check", {"pkverify.api", "pkverify.checks.run", "flint"}),
    ],
)
def test_names_load_what_they_need_when_they_are_used(code: str, loaded: set[str]) -> None:
    watched = ("pkverify.evidence", "pkverify.problem_file", "pkverify.api", "pkverify.checks.run", "flint", "sympy")
    show = f"{code}\nimport sys\nprint(*(name for name in {watched} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=60, check=True)
    found = set(done.stdout.split())

    assert loaded <= found
    assert "sympy" not in found
    assert found == set() or loaded


# Verbs.


def test_decompose_by_both_routes() -> None:
    precise, exact = pk.decompose(LINE, digits=20), pk.decompose(LINE, route="exact", digits=20)

    assert [(d.route, d.query[0], d.output) for d in exact] == [
        ("exact", x, 0) for x in LINE.query_inputs[0] + LINE.query_inputs[1]
    ]
    assert [d.route for d in precise] == ["precise", "precise"]
    assert all(isinstance(d, pk.Decomposition) and d.digits == 20 for d in precise + exact)
    # y_T = 7/5 x (1 - exp(-5)), from w' = 7 - 5 w.
    assert exact[1].closed_form["final_output"] == "14/5 - 14*exp(-5)/5"
    for one, other in zip(precise, exact, strict=True):
        assert abs(Decimal(one.final_output) - Decimal(other.final_output)) < Decimal("1e-18")


def test_decompose_gives_the_asked_digits() -> None:
    for digits in (5, 15, 60):
        (first, _) = pk.decompose(LINE, digits=digits)
        assert len(Decimal(first.final_output).as_tuple().digits) == digits
    # Fewer digits are the beginning of more.
    short, long = (pk.decompose(LINE, digits=d)[0].final_output for d in (15, 60))
    assert abs(Decimal(short) - Decimal(long)) < Decimal("1e-14")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: pk.decompose(LINE, route="precis"), pk.InputError, "route 'precis'"),
        (lambda: pk.decompose(BLOW_UP, route="certified"), pk.FlowError, "stops at t = 1"),
        (lambda: pk.decompose(BLOW_UP, route="network"), pk.FlowError, "the step got too small"),
        (lambda: pk.decompose(NO_CLOSED_FORM, route="exact"), pk.UntreatableError, "no closed form"),
        (lambda: pk.decompose(BLOW_UP), pk.FlowError, "H2 fails"),
        (lambda: pk.decompose(LINE, digits=4), pk.InputError, "--digits 4"),
        (lambda: pk.decompose(LINE, route="exact", digits=0), pk.InputError, "--digits 0"),
        (lambda: pk.check(LINE, routes=["precis"]), pk.InputError, "--routes precis"),
        (lambda: pk.check(LINE, claims=["T99"]), pk.InputError, "no claim 'T99'"),
        (lambda: pk.check(LINE, digits=10**6), pk.InputError, "--digits 1000000"),
    ],
)
def test_what_cannot_be_done_says_so(call: Callable[[], Any], error: type[pk.PkverifyError], says: str) -> None:
    with pytest.raises(error) as caught:
        call()

    assert says in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_a_flow_error_names_the_hypothesis_and_the_time() -> None:
    with pytest.raises(pk.FlowError) as caught:
        pk.decompose(BLOW_UP)

    assert caught.value.hypothesis == "H2"
    assert caught.value.time == pytest.approx(1, abs=1e-6)


def test_check_one_problem_or_several() -> None:
    one = pk.check(LINE, digits=15, routes=["precise"], claims=["T1"])
    several = pk.check([LINE, NO_CLOSED_FORM], digits=15, routes=["precise"], claims=["T1"])

    assert isinstance(one, pk.Run)
    assert one.verdict is pk.Verdict.SUPPORTED
    assert [item.name for item in one.problems] == ["a line"]
    assert [item.name for item in several.problems] == ["a line", "problem 2"]
    assert several.exit_code == 0
    assert pk.check(BLOW_UP, digits=15, routes=["precise"]).exit_code == 3


def test_derive_prints_as_text_and_as_latex() -> None:
    derivation = pk.derive(LINE)

    assert {step.claim for step in derivation.steps} >= {"T1"}
    assert "exp(-5" in str(derivation)
    assert "\\" in derivation.latex()


def test_problems_made_in_python_and_read_are_the_same() -> None:
    made = pk.Problem(
        pk.LayeredModel("linear", (1, 1), None, False),
        pk.Loss("squared"),
        pk.Dataset(((1,), (2,)), ((1,), (3,))),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (0,),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        1,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (("3/2",), (2,)),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        title="a line",
    )

    assert made == LINE
    assert pk.decompose(made, digits=15) == pk.decompose(LINE, digits=15)


def test_report_is_a_verb_before_and_after_its_package_is_loaded(tmp_path: Path) -> None:
    run = pk.check(LINE, routes=["precise"], digits=15, claims=["T1"])
    for name in ("first.md", "second.md"):
        pk.report(run, tmp_path / name)
        import_module("pkverify.report.files")
    assert (tmp_path / "first.md").read_text() == (tmp_path / "second.md").read_text().replace(
        "second-figures", "first-figures"
    )
