"""The command line: what goes to stdout, what to stderr, which exit code, and what happens to files."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import pkverify
from pkverify.checks import run as checks_run
from pkverify.claims import CLAIMS
from pkverify.cli import targets
from pkverify.evidence import Evidence, ProblemRun, Run, Verdict
from pkverify.problem_file import TEMPLATE, read_problem

QUICK = ("--routes", "precise", "--digits", "15", "--claims", "T1")
PROBLEM = """
model = {kind = "linear", bias = false}
loss.kind = "squared"
data = {x = [1, 2], y = [1, 3]}
flow = {initial = [0], horizon = 1}
query.x = ["3/2"]
"""
BLOW_UP = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w**3/3"}
loss.kind = "nll-log-probability"
data.x = [1]
flow = {initial = [1], horizon = 2}
"""


Command = Callable[..., Any]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# A fresh process: few, since each starts an interpreter.


def process(*arguments: str, given: str | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pkverify", *arguments],
        input=given, cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_check_a_case_problem_from_a_fresh_process(tmp_path: Path) -> None:
    file = Path(pkverify.__file__).parent / "cases" / "problems" / "linear-intercept.toml"
    code, out, err = process(
        "check", str(file), "--digits", "15", "--claims", "T1,T1g", "--format", "json", cwd=tmp_path
    )
    found = json.loads(out)

    assert (code, err) == (0, "")
    assert found["verdict"] == "certified"
    assert [item["verdict"] for item in found["problems"][0]["evidence"]] == [
        "proved", "supported", "supported", "certified", "certified", "proved", "supported",
    ]  # fmt: skip
    assert files(tmp_path) == set()


def test_a_problem_from_stdin() -> None:
    code, out, err = process("check", "-", *QUICK, given=PROBLEM)

    assert (code, err) == (0, "")
    assert out.startswith("verdict: supported\n1 problem;")
    assert "stdin   (horizon 1)" in out


def test_the_precise_route_loads_neither_sympy_nor_torch(folder: Path) -> None:
    code = f"""
        import sys
        heavy = {{"sympy", "torch", "matplotlib", "hypothesis"}}
        sys.argv = ["pkverify", "check", {str(folder / "line.toml")!r}, "--routes", "precise", "--digits", "15"]
        from pkverify.cli import main
        try:
            main()
        except SystemExit as done:
            print(sorted(heavy & set(sys.modules)), done.code, file=sys.stderr)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stderr == "[] 0\n"
    assert done.stdout.startswith("verdict: supported")


def test_an_interrupt_keeps_what_is_finished(folder: Path) -> None:
    # Progress goes to a terminal only, so stderr is one; SIGINT is caught even where the tests' parent ignores it.
    main = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from pkverify.cli import main; main()"
    )
    targets = ["line.toml"] * 400
    terminal, stderr = pytest.importorskip("pty").openpty()
    with subprocess.Popen(
        [sys.executable, "-c", main, "check", *targets, "--routes", "precise", "--format", "json"],
        stdout=subprocess.PIPE, stderr=stderr, cwd=folder,
    ) as running:  # fmt: skip
        os.close(stderr)
        seen = b""
        while seen.count(b"checking line.toml") < 3:
            seen += os.read(terminal, 4096)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    os.close(terminal)
    found = json.loads(out)

    assert running.returncode == 130
    assert found["interrupted"] is True
    assert 2 <= len(found["problems"]) < 400
    assert {item["name"] for item in found["problems"]} == {"line.toml"}
    assert found["problems"][0]["evidence"][0]["verdict"] == "supported"


@pytest.mark.parametrize("arguments", [("claims",), ("check", "line.toml", *QUICK)], ids=["claims", "check"])
def test_a_reader_that_leaves_is_no_fault(folder: Path, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pkverify", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        err = running.stderr.read()

    assert (running.returncode, err) == (0, b"")


def test_a_reader_that_leaves_does_not_turn_a_verdict_into_a_pass(folder: Path) -> None:
    (folder / "blow-up.toml").write_text(BLOW_UP, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "pkverify", "check", "blow-up.toml", *QUICK], stdout=subprocess.PIPE, cwd=folder
    ) as running:
        assert running.stdout is not None
        running.stdout.close()

    assert running.returncode == 3


# Help.


def test_help_and_version(command: Command) -> None:
    shown = command("--help")

    assert shown.code == 0
    assert shown.err == ""
    for name in ("check", "claims", "derive", "doctor", "init"):
        assert name in shown.out
    for text in ("0 everything holds", "1 something is refuted", "2 bad input", "3", "70 a bug", "130 interrupted"):
        assert text in " ".join(shown.out.split())
    assert command().out == shown.out
    assert command("--version").out.strip() == pkverify.__version__
    assert "--routes" in command("check", "--help").out


def test_doctor_names_versions(command: Command) -> None:
    shown = command("doctor")
    found = dict(line.split(None, 1) for line in shown.out.splitlines())

    assert shown.code == 0
    assert found["pkverify"] == pkverify.__version__
    assert set(found) >= {"python", "sympy", "mpmath", "numpy", "python-flint"}


# Formats and files.


def test_the_three_formats(command: Command) -> None:
    text, as_json, junit = (command("check", "line.toml", *QUICK, "--format", f).out for f in ("text", "json", "junit"))

    assert text == command("check", "line.toml", *QUICK).out
    assert text.startswith("verdict: supported\n")
    assert json.loads(as_json)["schema"] == "pkverify.run/1"
    assert ElementTree.fromstring(junit).find("testsuite/testcase").get("name") == "T1 (precise)"  # type: ignore[union-attr]  # noqa: S314


@pytest.mark.parametrize(
    ("name", "start"), [("o.json", "{"), ("o.xml", "<?xml"), ("o.txt", "verdict:"), ("o", "verdict:")]
)
def test_the_suffix_chooses_the_format(command: Command, folder: Path, name: str, start: str) -> None:
    result = command("check", "line.toml", *QUICK, "-o", name)

    assert (result.code, result.out, result.err) == (0, "", "")
    assert (folder / name).read_text(encoding="utf-8").startswith(start)
    assert files(folder) == {"line.toml", name}


def test_a_named_format_outweighs_the_suffix(command: Command, folder: Path) -> None:
    command("check", "line.toml", *QUICK, "-o", "o.txt", "--format", "json")

    assert json.loads((folder / "o.txt").read_bytes())["verdict"] == "supported"


def test_a_file_is_replaced_as_a_whole(command: Command, folder: Path) -> None:
    target = folder / "o.json"
    target.write_text("old", encoding="utf-8")
    target.chmod(0o640)
    old = target.open(encoding="utf-8")  # a reader of the old file reads it to its end
    command("check", "line.toml", *QUICK, "-o", target)

    with old:
        assert old.read() == "old"
    assert json.loads(target.read_bytes())["verdict"] == "supported"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert files(folder) == {"line.toml", "o.json"}


def test_a_new_file_can_be_read_by_whom_the_umask_lets(command: Command, folder: Path) -> None:
    umask = os.umask(0o027)
    try:
        command("check", "line.toml", *QUICK, "-o", "o.json")
    finally:
        os.umask(umask)

    assert stat.S_IMODE((folder / "o.json").stat().st_mode) == 0o640


def test_links_and_devices_stay_what_they_are(command: Command, folder: Path) -> None:
    (folder / "real.json").write_text("old", encoding="utf-8")
    (folder / "link.json").symlink_to("real.json")

    assert command("check", "line.toml", *QUICK, "-o", "link.json").code == 0
    assert (folder / "link.json").is_symlink()
    assert json.loads((folder / "real.json").read_bytes())["verdict"] == "supported"
    assert command("check", "line.toml", *QUICK, "-o", os.devnull).code == 0
    assert Path(os.devnull).is_char_device()


def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (folder / "o.json").write_text("old", encoding="utf-8")
    monkeypatch.setattr(Path, "replace", full)
    result = command("check", "line.toml", *QUICK, "-o", "o.json")

    assert result.code == 2
    assert "No space left on device" in result.err
    assert (folder / "o.json").read_text(encoding="utf-8") == "old"
    assert files(folder) == {"line.toml", "o.json"}


# Targets.


def test_several_targets_in_order(command: Command, folder: Path) -> None:
    (folder / "other.toml").write_text(PROBLEM.replace("3/2", "5/2"), encoding="utf-8")
    found = json.loads(command("check", "other.toml", "line.toml", *QUICK, "--format", "json").out)

    assert [item["name"] for item in found["problems"]] == ["other.toml", "line.toml"]
    assert [item["decompositions"][0]["query"] for item in found["problems"]] == [["5/2"], ["3/2"]]


def test_a_case_is_all_its_problems(command: Command) -> None:
    found = json.loads(command("check", "mlp", *QUICK, "--format", "json").out)

    assert [item["name"] for item in found["problems"]][:2] == [
        "mlp/mlp-product-balanced",
        "mlp/mlp-product-unbalanced",
    ]


def test_a_problem_from_python(command: Command, folder: Path) -> None:
    module = f"""
        from pkverify import parse_problem
        problem = parse_problem({PROBLEM!r})
        def made():
            return problem
        number = 3
        def failing():
            raise ZeroDivisionError("by me")
    """
    (folder / "mine_for_cli.py").write_text(textwrap.dedent(module), encoding="utf-8")

    for name in ("problem", "made"):
        result = command("check", f"mine_for_cli:{name}", *QUICK)
        assert result.code == 0
        assert f"mine_for_cli:{name}   (horizon 1)" in result.out
    assert "is a int" in command("check", "mine_for_cli:number").err
    assert "ZeroDivisionError: by me" in command("check", "mine_for_cli:failing").err
    assert command("check", "mine_for_cli:failing").code == 2


def test_names_that_no_report_can_hold_are_spelt_out(command: Command, folder: Path) -> None:
    name = os.fsdecode(b"a\x01[/b]\xff.toml".replace(b"/", b"|"))
    (folder / name).write_text(PROBLEM, encoding="utf-8")

    for form in ("text", "json", "junit"):
        result = command("check", name, *QUICK, "--format", form)
        assert (result.code, result.err) == (0, "")
        assert "[|b]" in result.out


# Exit codes.


def run_of(*verdicts: Verdict) -> Run:
    items = tuple(
        Evidence(f"C{k}", verdict, "test", bound="0", tolerance="1", witness="x = 1", message="why")
        for k, verdict in enumerate(verdicts)
    )
    return Run((ProblemRun("p", items),))


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (run_of(Verdict.PROVED, Verdict.SUPPORTED), 0),
        (run_of(Verdict.PROVED, Verdict.REFUTED), 1),
        (run_of(Verdict.PROVED, Verdict.INCONCLUSIVE), 3),
        (run_of(), 3),
        (Run(run_of(Verdict.PROVED).problems, holes=("R5b",)), 3),
        (Run(run_of(Verdict.PROVED).problems, interrupted=True), 130),
    ],
)
def test_the_run_decides_the_exit_code(command: Command, monkeypatch: pytest.MonkeyPatch, run: Run, code: int) -> None:
    monkeypatch.setattr(checks_run, "check", lambda *_, **__: run)

    for form in ("text", "json", "junit"):
        result = command("check", "line.toml", "--format", form)
        assert result.code == code
        assert result.out


def test_a_flow_that_blows_up_does_not_pass(command: Command, folder: Path) -> None:
    (folder / "blow-up.toml").write_text(BLOW_UP, encoding="utf-8")
    result = command("check", "blow-up.toml", *QUICK)

    assert result.code == 3
    assert "H2 fails" in result.out
    # Nor with the proof of the theorem beside it.
    assert command("check", "blow-up.toml", "--claims", "T1,T1g", "--digits", "15").code == 3


def test_a_bug_is_called_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object, **__: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(checks_run, "check", bug)
    short, long = command("check", "line.toml"), command("check", "line.toml", "-vv")

    assert (short.code, short.out) == (long.code, long.out) == (70, "")
    assert short.err.startswith("pkverify: a bug in pkverify: IndexError: list index out of range\n")
    assert "-vv" in short.err
    assert "Traceback" not in short.err
    assert "Traceback (most recent call last)" in long.err
    assert "in bug\n" in long.err


def test_an_interrupt_outside_the_checks(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(targets, "resolve", interrupt)
    result = command("check", "line.toml")

    assert (result.code, result.out) == (130, "")


# The other commands.


def test_init_writes_a_file_that_checks(command: Command, folder: Path) -> None:
    written = command("init", "new.toml")

    assert (written.code, written.out) == (0, "")
    assert "pkverify check new.toml" in written.err
    assert (folder / "new.toml").read_text(encoding="utf-8") == TEMPLATE
    assert len(read_problem(folder / "new.toml").data) == 3
    checked = command("check", "new.toml", "--routes", "precise", "--digits", "15")
    assert checked.code == 0
    assert checked.out.startswith("verdict: supported")


def test_init_to_stdout_and_to_its_own_name(command: Command, folder: Path) -> None:
    printed = command("init", "-")

    assert (printed.code, printed.out, printed.err) == (0, TEMPLATE, "")
    assert tomllib.loads(printed.out)
    assert command("init").code == 0
    assert (folder / "problem.toml").read_text(encoding="utf-8") == TEMPLATE


def test_claims_are_listed_and_explained(command: Command) -> None:
    listed, explained = command("claims"), command("claims", "T1a")

    assert [line.split()[0] for line in listed.out.splitlines()] == list(CLAIMS)
    assert explained.code == 0
    for text in ("T1a", CLAIMS["T1a"].title, CLAIMS["T1a"].statement, "H3"):
        assert text in explained.out


@pytest.mark.parametrize(("form", "shows"), [("text", "P8"), ("latex", "\\int")])
def test_derive(command: Command, folder: Path, form: str, shows: str) -> None:
    result, to_file = (
        command("derive", "line.toml", "--format", form),
        command("derive", "line.toml", "--format", form, "-o", "d"),
    )

    assert (result.code, result.err) == (0, "")
    assert shows in result.out
    assert (to_file.code, to_file.out, to_file.err) == (0, "", "")
    assert (folder / "d").read_text(encoding="utf-8") == result.out


def test_progress_only_on_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("check", "line.toml", *QUICK).err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = command("check", "line.toml", *QUICK).err

    assert "checking line.toml" in shown
    assert shown.endswith("\r\x1b[K")  # and the line is cleared in the end


def test_options_reach_the_checks(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def record(_: object, **options: Any) -> Run:
        seen.update(options)
        return run_of(Verdict.PROVED)

    monkeypatch.setattr(checks_run, "check", record)
    command("check", "line.toml", "--routes", "exact, precise", "--digits", "77", "--claims", "T1,D7", "--seed", "5")

    assert {key: seen[key] for key in ("routes", "digits", "claims", "seed")} == {
        "routes": ["exact", "precise"],
        "digits": 77,
        "claims": ["T1", "D7"],
        "seed": 5,
    }
