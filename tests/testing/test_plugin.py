"""The pytest plugin, in test runs of their own."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

pytest_plugins = ["pytester"]

RIGHT = """
from pkverify.precise.route import decompose_precise

def contributions(problem):
    records = decompose_precise(problem, 15)
    n = problem.model.output_count
    rows = [[float(v) for v in r.contributions] for r in records]
    return [rows[k:k + n] for k in range(0, len(rows), n)]
"""
TEST = """
def test_contributions(pkverify_oracle):
    pkverify_oracle.check(contributions, quantity="contributions")
"""
WRONG = RIGHT.replace("float(v)", "1.01 * float(v)")
OPTIONS = ("-p", "no:cacheprovider", "-n0", "--pkverify-examples=6")


def test_a_right_function_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT + TEST)
    pytester.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=1)


def test_a_wrong_function_fails_with_the_claim_and_a_problem(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG + TEST)
    run = pytester.runpytest_subprocess(*OPTIONS)

    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(["*contributions[[]0[]][[]0[]]*certified to be*", "*claim T1 (pkverify claims T1)*"])
    run.stdout.fnmatch_lines(["*horizon = *"])


def test_what_was_compared_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT + TEST)
    run = pytester.runpytest_subprocess(*OPTIONS, "--pkverify-report=out.json", "--junit-xml=out.xml")
    run.assert_outcomes(passed=1)

    report = json.loads((pytester.path / "out.json").read_text())
    assert report["schema"] == "pkverify.oracle/1"
    [test] = report["tests"]
    [check] = test["checks"]
    assert (test["result"], check["quantity"]) == ("passed", "contributions")
    assert check["examples"] >= 6
    assert 0 < check["largest_error"] < 1e-12
    properties = ET.parse(pytester.path / "out.xml").iter("property")  # noqa: S314 - our own file
    assert [p.get("name") for p in properties] == ["pkverify"]


def test_it_works_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT + TEST + TEST.replace("test_contributions", "test_again"))
    run = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-n2", "--pkverify-examples=3", "--pkverify-report=out.json"
    )
    run.assert_outcomes(passed=2)
    assert len(json.loads((pytester.path / "out.json").read_text())["tests"]) == 2


MARKED = """
import pytest

@pytest.mark.pkverify({})
def test_contributions(pkverify_oracle):
    print("examples", pkverify_oracle.examples, "tolerance", float(pkverify_oracle.tolerance))
    pkverify_oracle.check(contributions)
"""


def test_a_marker_sets_the_tolerance(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG + MARKED.format("tolerance=0.1, examples=3"))
    run = pytester.runpytest_subprocess(*OPTIONS, "-s")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines(["*examples 3 tolerance 0.1*"])


@pytest.mark.parametrize("argument", ["digit=3", "0.1"])
def test_a_misspelt_marker_is_refused(argument: str, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT + MARKED.format(argument))
    run = pytester.runpytest_subprocess(*OPTIONS)
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["*pytest.mark.pkverify does not know*"])


def test_a_run_that_does_not_ask_for_it_loads_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        def test_light():
            assert not {"sympy", "flint", "torch", "mpmath", "matplotlib"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n0", "-p", "no:hypothesispytest").assert_outcomes(
        passed=1
    )
