from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ZERO = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
loss = {kind = "squared"}
data = {x = [[0]], y = [1]}
flow = {initial = [0], horizon = 1}
"""
LINE = ZERO.replace("w + x*w**2", "w + 0*x")


def pkverify(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pkverify", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)


def test_claims_are_explained_when_asked_for() -> None:
    run = pkverify("paper", "P9", "E6")

    assert run.returncode == 0
    assert run.stderr == ""
    assert "as printed  false as printed; refuted" in run.stdout
    assert "witness     CE-A" in run.stdout
    assert run.stdout.index("\nP9") < run.stdout.index("\nE6")
    assert run.stdout.splitlines()[-1].startswith("2 claims: ")


def test_many_claims_make_a_table() -> None:
    run = pkverify("paper", "P1", "P3", "P9", "E6", "SE")

    assert run.returncode == 0
    assert "Section 2: the proof" in run.stdout
    assert "Beyond the paper: exact extensions" in run.stdout


def test_json_says_how_each_claim_stands() -> None:
    run = pkverify("paper", "P9", "E6", "--format", "json")
    document = json.loads(run.stdout)

    assert run.returncode == 0
    rows = {row["claim"]: row for problem in document["problems"] for row in problem["evidence"]}
    assert rows["P9"]["form"] == "as-printed"
    assert rows["P9"]["status"] == rows["P9"]["expected"] == "false as printed"
    assert rows["P9"]["repaired"]["form"] == "repaired"
    assert rows["E6"]["verdict"] == "proved"
    assert document["holes"] == []


def test_expected_refutations_pass_in_junit(tmp_path: Path) -> None:
    target = tmp_path / "paper.xml"
    run = pkverify("paper", "P9", "E6", "-o", str(target))
    suites = ElementTree.parse(target).getroot()  # noqa: S314 - written by the line above

    assert run.returncode == 0
    assert run.stdout == ""
    assert {case.get("name") for case in suites.iter("testcase")} == {"P9", "E6 (exact)"}
    assert list(suites.iter("failure")) == []


def test_check_writes_its_json_as_before(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE, encoding="utf-8")
    document = json.loads(pkverify("check", str(file), "--claims", "T1", "--format", "json").stdout)
    keys = {key for problem in document["problems"] for row in problem["evidence"] for key in row}

    assert not keys & {"form", "status", "expected", "repaired"}


@pytest.mark.parametrize(("text", "code", "said"), [(ZERO, 1, "-1.3591409142295226"), (LINE, 0, "no counterexample")])
def test_a_search(text: str, code: int, said: str) -> None:
    run = pkverify("paper", "T1a", "--search", "-", text=text)

    assert run.returncode == code
    assert said in run.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("paper", "P99"), "did you mean"),
        (("paper", "P3", "--search", "-"), "no search for a counterexample"),
        (("paper", "T1a", "--search", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], said: str) -> None:
    run = pkverify(*arguments, text=ZERO)

    assert run.returncode == 2
    assert said in run.stderr


def test_a_claim_tells_how_it_stands_and_what_looks_at_it() -> None:
    run = pkverify("claims", "T1a")

    assert run.returncode == 0
    assert "it stands   false as printed" in run.stdout
    assert "instead     " in run.stdout
    assert "checked by  audit of the paper, theorem: pkverify paper T1a" in run.stdout
    assert "checked by  proof for arbitrary functions" in run.stdout
    assert "checked by  check on problems" in run.stdout
