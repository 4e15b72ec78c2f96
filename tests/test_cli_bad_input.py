"""Bad input on the command line: exit code 2, nothing on stdout, no file left behind, and a way out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

QUICK = ("--routes", "precise", "--digits", "15", "--claims", "T1")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Arguments, what stderr starts with, what else it says.
BAD: dict[str, tuple[tuple[str, ...], str, str]] = {
    "nothing to check": (("check",), "pkverify: nothing to check", "name a case"),
    "no such file": (("check", "nope.toml"), "pkverify: nope.toml: no such file", "pkverify init"),
    "a folder": (("check", "."), "pkverify: .: is a directory", "name the file"),
    "no such case": (("check", "linaer"), "pkverify: linaer: no such case", "did you mean linear?"),
    "one bad among good": (("check", "line.toml", "nope.toml"), "pkverify: nope.toml: no such file", "check the path"),
    "no such module": (("check", "no_module:x"), "pkverify: no_module:x: ModuleNotFoundError", "check the module"),
    "no module": (("check", ":x"), "pkverify: :x: ", "check the module"),
    "no such name": (("check", "os:nope"), "pkverify: os:nope: AttributeError", "check the module"),
    "no problem": (("check", "os:sep"), "pkverify: os:sep is a str", "name a Problem"),
    "no such claim": (
        ("check", "line.toml", "--claims", "T1,T1x"), "pkverify: there is no claim 'T1x'", "did you mean 'T1'?",
    ),
    "no such route": (("check", "line.toml", "--routes", "exakt"), "pkverify: --routes exakt", "did you mean exact?"),
    "no route": (("check", "line.toml", "--routes", ","), "pkverify: --routes is empty", "exact, precise"),
    "few digits": (("check", "line.toml", "--digits", "0"), "pkverify: --digits 0", "choose a number"),
    "no folder": (("check", "line.toml", "-o", "no/o.json"), "pkverify: cannot write no/o.json", "no folder no"),
    "a page of a run": (("check", "line.toml", "-o", "o.html"), "pkverify: cannot write o.html", "report line.toml"),
    "a page of the paper": (("paper", "T1", "-o", "o.pdf"), "pkverify: cannot write o.pdf", "--report o.pdf"),
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
    "derive nothing": (("derive",), "--target"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(command: Command, folder: Path, name: str) -> None:
    arguments, start, more = BAD[name]
    before = (folder / "line.toml").read_bytes()
    result = command(*arguments)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(start)
    assert more in result.err
    assert [line[:6] for line in result.err.splitlines()[1:]] == ["  why ", "  fix "]
    assert files(folder) == {"line.toml"}
    assert (folder / "line.toml").read_bytes() == before


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
    good = (folder / "line.toml").read_text(encoding="utf-8")
    (folder / "bad.toml").write_text(good.replace("horizon", "horizont"), encoding="utf-8")
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
