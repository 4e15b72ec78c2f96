"""The command line: what goes to stdout, what to stderr, which exit code, and what happens to files."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import pkverify
from pkverify import cli
from pkverify.checks import run as checks_run
from pkverify.claims import CLAIMS
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


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own working directory with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.toml").write_text(PROBLEM, encoding="utf-8")
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line, in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["pkverify", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capfd.readouterr()
        return Result(int(caught.value.code or 0), captured.out, captured.err)

    assert folder.is_dir()
    return run


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# A fresh process: few, since each starts an interpreter.


def process(*arguments: str, given: str | None = None, cwd: Path | None = None) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "pkverify", *arguments],
        input=given, cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def test_check_a_case_problem_from_a_fresh_process(tmp_path: Path) -> None:
    file = Path(pkverify.__file__).parent / "cases" / "problems" / "linear-intercept.toml"
    result = process("check", str(file), "--digits", "15", "--claims", "T1,T1g", "--format", "json", cwd=tmp_path)
    found = json.loads(result.out)

    assert (result.code, result.err) == (0, "")
    assert found["verdict"] == "supported"
    assert [item["verdict"] for item in found["problems"][0]["evidence"]] == ["proved", "supported", "supported"]
    assert files(tmp_path) == set()


def test_a_problem_from_stdin() -> None:
    result = process("check", "-", *QUICK, given=PROBLEM)

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("verdict: supported\n1 problem;")
    assert "stdin   (horizon 1)" in result.out


def test_the_precise_route_loads_neither_sympy_nor_torch(folder: Path) -> None:
    code = f"""
        import sys
        sys.argv = ["pkverify", "check", {str(folder / "line.toml")!r}, "--routes", "precise", "--digits", "15"]
        from pkverify.cli import main
        try:
            main()
        except SystemExit as done:
            print(sorted({{"sympy", "torch", "matplotlib", "hypothesis"}} & set(sys.modules)), done.code, file=sys.stderr)
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
    terminal, stderr = pty.openpty()
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

    assert result == Result(0, "", "")
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

    monkeypatch.setattr(cli, "_resolve", interrupt)
    result = command("check", "line.toml")

    assert (result.code, result.out) == (130, "")


# Bad input: nothing on stdout, one line each for what, why and fix, no file left behind.

# Arguments, what stderr starts with, what else it says.
BAD: dict[str, tuple[tuple[str, ...], str, str]] = {
    "nothing to check": (("check",), "pkverify: nothing to check", "name a case"),
    "no such file": (("check", "nope.toml"), "pkverify: nope.toml: no such file", "pkverify init"),
    "a folder": (("check", "."), "pkverify: .: is a directory", "name the file"),
    "no such case": (("check", "linaer"), "pkverify: linaer: no such case", "did you mean linear?"),
    "one bad among good": (("check", "line.toml", "nope.toml"), "pkverify: nope.toml: no such file", "check the path"),
    "no such module": (("check", "no_such_module:x"), "pkverify: no_such_module:x: ModuleNotFoundError", "check the module"),
    "no module": (("check", ":x"), "pkverify: :x: ", "check the module"),
    "no such name": (("check", "os:nope"), "pkverify: os:nope: AttributeError", "check the module"),
    "no problem": (("check", "os:sep"), "pkverify: os:sep is a str", "name a Problem"),
    "no such claim": (("check", "line.toml", "--claims", "T1,T1x"), "pkverify: there is no claim 'T1x'", "did you mean 'T1'?"),
    "no such route": (("check", "line.toml", "--routes", "exakt"), "pkverify: --routes exakt", "did you mean exact?"),
    "no route": (("check", "line.toml", "--routes", ","), "pkverify: --routes is empty", "exact, precise"),
    "few digits": (("check", "line.toml", "--digits", "0"), "pkverify: --digits 0", "choose a number"),
    "no folder": (("check", "line.toml", "-o", "no/o.json"), "pkverify: cannot write no/o.json", "there is no folder no"),
    "a folder to write": (("check", "line.toml", *QUICK, "-o", "."), "pkverify: cannot write .", "name a file"),
    "derive no such file": (("derive", "nope.toml"), "pkverify: nope.toml: no such file", "check the path"),
    "explain no such claim": (("claims", "t1C"), "pkverify: there is no claim 't1C'", "did you mean 'T1c'?"),
    "init over a file": (("init", "line.toml"), "pkverify: line.toml exists", "name another file"),
    "init into no folder": (("init", "no/new.toml"), "pkverify: cannot write no/new.toml", "folder"),
}  # fmt: skip
MISUSE: dict[str, tuple[tuple[str, ...], str]] = {
    "no such command": (("chekc", "line.toml"), 'Did you mean "check"'),
    "no such option": (("check", "line.toml", "--digit=3", "--bogus=1"), "--"),
    "digits in words": (("check", "line.toml", "--digits", "many"), "--digits"),
    "no such format": (("check", "line.toml", "--format", "pdf"), "json"),
    "derive nothing": (("derive",), "TARGET"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(command: Command, folder: Path, name: str) -> None:
    arguments, start, more = BAD[name]
    result = command(*arguments)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(start)
    assert more in result.err
    assert [line[:6] for line in result.err.splitlines()[1:]] == ["  why ", "  fix "]
    assert files(folder) == {"line.toml"}
    assert (folder / "line.toml").read_text(encoding="utf-8") == PROBLEM


@pytest.mark.parametrize("name", MISUSE)
def test_misuse(command: Command, folder: Path, name: str) -> None:
    arguments, says = MISUSE[name]
    result = command(*arguments)

    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert "Traceback" not in result.err
    assert files(folder) == {"line.toml"}


@pytest.mark.parametrize("options", [(), ("-o", "o.json")])
def test_a_bad_problem_file_writes_nothing(command: Command, folder: Path, options: tuple[str, ...]) -> None:
    (folder / "bad.toml").write_text(PROBLEM.replace("horizon", "horizont"), encoding="utf-8")
    result = command("check", "line.toml", "bad.toml", *QUICK, *options)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("pkverify: bad.toml: [flow] horizont is no known key")
    assert files(folder) == {"line.toml", "bad.toml"}


def test_tracebacks_only_when_asked_for(command: Command) -> None:
    short, long = command("check", "nope.toml"), command("-vv", "check", "nope.toml")

    assert (short.code, long.code) == (2, 2)
    assert "Traceback" not in short.err
    assert "Traceback (most recent call last)" in long.err
    assert long.err.rstrip().endswith(short.err.rstrip().removeprefix("pkverify: "))


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
    assert command("init", "-") == Result(0, TEMPLATE, "")
    assert tomllib.loads(command("init", "-").out)
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
    assert to_file == Result(0, "", "")
    assert (folder / "d").read_text(encoding="utf-8") == result.out


def test_progress_only_on_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("check", "line.toml", *QUICK).err == ""
    monkeypatch.setattr(cli.sys.stderr, "isatty", lambda: True, raising=False)
    shown = command("check", "line.toml", *QUICK).err

    assert "checking line.toml" in shown
    assert shown.endswith("\r\x1b[K\r")  # and the line is cleared in the end


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
