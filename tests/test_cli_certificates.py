"""The commands around certificates, reports, proofs and conformance."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pkverify import formal

Command = Callable[..., Any]

PROBLEM = """
title = "One weight"
model = {kind = "linear", bias = false}
loss = {kind = "squared"}
data = {x = [[1], [2]], y = [2, 3]}
flow = {initial = [0], horizon = 1}
query = {x = [[3]]}
"""
KINKED = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "relu(w*x) - w/4"}
loss = {kind = "squared"}
data = {x = [[1]], y = [-1]}
flow = {initial = ["1/2"], horizon = 2}
"""
COARSE = """
model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "erf(u) + (x - 3/5) + erf(u)*(x - 3/5)"}
loss = {kind = "expression", value = "(y - target)**2/2 + (y - target)**4/10"}
data = {x = [[-1], ["7/5"], ["-6/5"]], y = ["-5/4", "-3/4", "9/5"]}
flow = {initial = ["3/4", "1/2"], horizon = "5/4"}
query = {x = [["1/2"]]}
"""
ONLY = ("--routes", "certified")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "line.toml").write_text(PROBLEM, encoding="utf-8")
    (tmp_path / "kink.toml").write_text(KINKED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_certificate_is_written_and_checked_again(command: Command, folder: Path) -> None:
    made = command("check", "line.toml", *ONLY, "--certificate", "c.json", "--format", "json")
    assert (made.code, made.err) == (0, "")
    verified = command("verify", "c.json")
    assert verified.code == 0
    assert "problem 'One weight', horizon 1, 1 parameters, 2 examples" in verified.out
    assert verified.out.endswith("accepted: everything that the certificate states is proved\n")
    assert (folder / "c.json").stat().st_size > 1000


def test_where_the_verifier_is_coarser_the_balls_are_wider_and_still_as_fine_as_asked(
    command: Command, folder: Path
) -> None:
    (folder / "coarse.toml").write_text(COARSE, encoding="utf-8")

    made = command("check", "coarse.toml", *ONLY, "--digits", "8", "--claims", "T1", "--certificate", "c.json")

    assert (made.code, made.err) == (0, "")
    assert command("verify", "c.json").code == 0
    (found,) = json.loads((folder / "c.json").read_text())["result"]["decompositions"]
    for ball in (found["final_output"], *found["contributions"]):
        mantissa, exponent = ball["rad"]
        assert 0 < mantissa * Fraction(2) ** exponent <= Fraction(1, 10**8)


def test_what_was_changed_is_rejected(command: Command, folder: Path) -> None:
    command("check", "line.toml", *ONLY, "--certificate", "c.json", "--claims", "T1")
    text = (folder / "c.json").read_text()
    (folder / "damaged.json").write_text(text.replace('"horizon":"1"', '"horizon":"2"'))
    assert command("verify", "damaged.json").code == 1


@pytest.mark.parametrize(
    ("content", "says"), [("{", "unreadable"), ("", "unreadable"), ('{"schema": 1}', "unreadable")]
)
def test_what_is_no_certificate_is_unreadable(command: Command, folder: Path, content: str, says: str) -> None:
    (folder / "none.json").write_text(content)
    found = command("verify", "none.json")
    assert found.code == 2
    assert says in found.err


def test_a_certificate_that_is_not_there(command: Command, folder: Path) -> None:
    assert command("verify", str(folder / "nowhere.json")).code == 2


def test_a_certificate_is_that_of_one_problem(command: Command, folder: Path) -> None:
    found = command("check", "line.toml", "line.toml", *ONLY, "--certificate", "c.json")
    assert found.code == 2
    assert "--certificate c.json with 2 problems" in found.err
    assert not (folder / "c.json").exists()


def test_a_kink_is_refused_by_name(command: Command, folder: Path) -> None:  # noqa: ARG001 - the files
    found = command("check", "kink.toml", *ONLY)
    assert found.code == 3
    assert "route certified refused: the path comes to a kink near t = 0.56" in found.out
    assert command("check", "kink.toml", *ONLY, "--certificate", "c.json").code != 0


@pytest.mark.parametrize(("digits", "radius"), [(8, 1e-8), (40, 1e-40)])
def test_digits_are_those_of_the_radius(command: Command, folder: Path, digits: int, radius: float) -> None:  # noqa: ARG001
    found = json.loads(command("check", "line.toml", *ONLY, "--digits", str(digits), "--format", "json").out)
    [record] = found["problems"][0]["decompositions"]
    assert record["route"] == "certified"
    assert all(float(number["rad"]) <= 10 * radius for number in record["contributions"])
    assert float(record["residual"]["rad"]) <= 10 * radius


def test_a_device_that_is_not_there(command: Command, folder: Path) -> None:  # noqa: ARG001
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    found = command("check", "line.toml", "--routes", "network", "--device", "cuda")
    assert found.code == 2
    assert "device 'cuda' was asked for" in found.err


# Reports.


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_a_saved_run_and_a_problem_give_the_same_report(command: Command, folder: Path, form: str) -> None:
    first = command("report", "line.toml", "-o", f"first.{form}")
    assert (first.code, first.err) == (0, "")
    assert (folder / "first.json").exists()
    second = command("report", "first.json", "-o", f"second.{form}")
    assert second.code == 0
    one, other = ((folder / f"{name}.{form}").read_text() for name in ("first", "second"))
    assert one == other.replace("second-figures", "first-figures")
    assert "One weight" in one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("line.toml", "-o", "x.docx"), "no format of a report"),
        (("nowhere.json", "-o", "x.html"), "nowhere.json"),
        (("broken.json", "-o", "x.html"), "broken.json ends too early"),
        (("other.json", "-o", "x.html"), "other.json"),
        (("line.toml", "-o", "no/such/folder/x.html"), "there is no folder"),
    ],
)
def test_bad_reports_are_refused(command: Command, folder: Path, arguments: tuple[str, ...], says: str) -> None:
    (folder / "broken.json").write_text('{"schema": "pkverify.run/1", "verdict"')
    (folder / "other.json").write_text('{"schema": "pkverify.run/9"}')
    found = command("report", *arguments)
    assert found.code == 2
    assert says in found.err
    assert not (folder / "x.html").exists()


# Proofs and conformance.


def test_without_coq_it_is_said_what_is_known(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formal, "coq_version", lambda: None)
    found = command("proofs")
    assert found.code == 3
    assert "shipped with a recorded hash, not re-checked here" in found.out


def test_a_claim_names_its_theorem(command: Command) -> None:
    found = command("claims", "T1c")
    assert "T1c_average (Kernel.v)" in found.out
    assert "CE_A_no_average" in found.out


def test_an_adapter_that_conforms_and_one_that_is_not_there(command: Command) -> None:
    assert command("conform", "torch.func", "--examples", "1").code == 0
    missing = command("conform", "captain")
    assert missing.code == 2
    assert "there is no adapter 'captain'" in missing.err


def test_without_hypothesis_conform_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkverify.cli.conforming.find_spec", lambda _: None)
    found = command("conform", "torch.func")
    assert found.code == 2
    assert "conform needs hypothesis, which is not installed" in found.err
    assert ".[conform]" in found.err
