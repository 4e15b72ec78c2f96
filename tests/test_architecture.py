"""The rooms of the package and the arrows between them, read from the source: nothing here imports what it judges."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pkverify"

# From left to right. A room may use every room of the columns to its left, and no other of its own column: that is how
# the four routes stay independent of each other. Rooms that are only planned have their places already.
COLUMNS = (
    ("errors",),
    ("rational",),
    ("expression",),
    ("models", "losses"),
    ("problem",),
    ("problem_file", "graph", "decomposition"),
    ("evidence",),
    ("claims",),
    ("arithmetic",),
    ("jets",),
    ("exact", "precise", "certified", "network"),
    ("cases", "formal"),
    ("checks",),
    ("figures",),
    ("report", "testing"),
    ("api",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
PLACE = {room: place for place, rooms in enumerate(COLUMNS) for room in rooms}

# A library that is slow to load, or that computes for one route only, has one door into the package. The certificate
# verifier has its own to flint: it must not share the arithmetic that it is there to doubt.
DOORS = {
    "flint": ("arithmetic", "certified.verifier"),
    "hypothesis": ("testing",),
    "matplotlib": ("figures",),
    "mpmath": ("arithmetic",),
    "sympy": ("exact",),
    "torch": ("network", "testing"),
}

MOST_LINES = 500


def imported_names(path: PurePosixPath, source: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that a file imports: delayed, conditional, relative and by name, too."""
    package = ("pkverify", *path.parent.parts)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=module, names=names, level=level):
                start = package[: len(package) - level + 1] if level else ()
                for alias in names:
                    yield node.lineno, ".".join((*start, *([module] if module else []), alias.name))
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
            case _:
                pass


def violations(path: str, source: str) -> list[str]:
    """What is wrong with the imports of the file at ``path``, relative to the package."""
    where = PurePosixPath(path)
    module = ".".join(where.with_suffix("").parts).removesuffix(".__init__")
    room = module.partition(".")[0]
    if room not in PLACE:
        return [f"{path}: {room} is no room yet: give it a place in COLUMNS ({__file__}), right of all that it uses"]

    found: list[str] = []
    for line, name in imported_names(where, source):
        top, _, rest = name.partition(".")
        if top == "pkverify":
            # A name that is no room is one of the public names, which live in __init__.
            used = rest.partition(".")[0] if rest.partition(".")[0] in PLACE else "__init__"
            if used != room and PLACE[used] >= PLACE[room]:
                found.append(f"{path}:{line}: {room} may not use {used}, which does not stand to its left")
        elif top in DOORS and not any(f"{module}.".startswith(f"{door}.") for door in DOORS[top]):
            found.append(f"{path}:{line}: {room} may not import {top}: only {' and '.join(DOORS[top])} may")
    return found


def is_too_long(source: str) -> bool:
    return len(source.splitlines()) > MOST_LINES


def libraries_loaded_by(*arguments: str) -> set[str]:
    """Which of the libraries with a door a fresh interpreter loads when it is started with these arguments."""
    command = [sys.executable, "-X", "importtime", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if run.returncode:
        pytest.fail(f"{' '.join(arguments)} ended with {run.returncode}:\n{run.stderr[-2000:]}")
    modules = (line.rpartition("|")[2] for line in run.stderr.splitlines() if line.startswith("import time:"))
    return {module.strip().partition(".")[0] for module in modules} & DOORS.keys()


# The package as it is.


def test_imports_point_left() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    found = [
        violation
        for file in files
        for violation in violations(file.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8"))
    ]

    assert files
    assert found == []


def test_no_file_is_too_long() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]

    assert [str(file.relative_to(ROOT)) for file in files if is_too_long(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import pkverify"), ("-m", "pkverify", "--help")],
    ids=["import", "help"],
)
def test_starting_loads_no_library_with_a_door(arguments: tuple[str, ...]) -> None:
    assert libraries_loaded_by(*arguments) == set()


# The judges themselves: each must be able to say no.

RIGHT = [
    pytest.param("expression.py", "from pkverify.rational import parse_rational", id="one to the left"),
    pytest.param("cli/checking.py", "from pkverify.checks import check", id="far to the left"),
    pytest.param("exact/flows.py", "from pkverify.exact.kernel import tangent_kernel", id="own room"),
    pytest.param("exact/flows.py", "from .kernel import tangent_kernel", id="own room, relative"),
    pytest.param("exact/flows.py", "import sympy.core", id="through its door"),
    pytest.param("certified/verifier.py", "import flint", id="the verifier's own door"),
    pytest.param("__init__.py", "from pkverify.problem import Problem", id="public name"),
    pytest.param("cli/checking.py", "from pkverify import check", id="through the front"),
    pytest.param("jets.py", "import math, pkverify.graph", id="two at once"),
    pytest.param("jets.py", "note = 'import torch'", id="only words"),
]

WRONG = [
    # Right to left only.
    ("rational.py", "from pkverify.expression import parse", "rational may not use expression"),
    ("problem.py", "import pkverify.checks", "problem may not use checks"),
    ("problem.py", "import pkverify.rational, pkverify.cli", "problem may not use cli"),
    ("evidence.py", "from pkverify import report", "evidence may not use report"),
    ("checks/flow.py", "from pkverify.cli import main", "checks may not use cli"),
    ("exact/__init__.py", "from pkverify.checks import flow", "exact may not use checks"),
    # The routes do not know each other.
    ("exact/flows.py", "from pkverify.precise.flow import solve", "exact may not use precise"),
    ("precise/__init__.py", "from pkverify import exact", "precise may not use exact"),
    ("certified/flow.py", "import pkverify.precise as reference", "certified may not use precise"),
    ("network/flow.py", "from pkverify.certified import enclose", "network may not use certified"),
    # A detour does not help.
    ("jets.py", "def late():\n    from pkverify.exact import flows", "jets may not use exact"),
    ("jets.py", "if TYPE_CHECKING:\n    from pkverify.checks import Check", "jets may not use checks"),
    ("jets.py", "try:\n    import flint\nexcept ImportError:\n    pass", "jets may not import flint"),
    ("exact/flows.py", "from ..precise import flow", "exact may not use precise"),
    ("exact/flows.py", "from .. import checks", "exact may not use checks"),
    ("exact/forms/linear.py", "from ...cli import main", "exact may not use cli"),
    ("problem.py", "importlib.import_module('pkverify.exact')", "problem may not use exact"),
    ("problem.py", "import_module('torch')", "problem may not import torch"),
    ("problem.py", "__import__('sympy')", "problem may not import sympy"),
    ("checks/flow.py", "from pkverify import decompose", "checks may not use __init__"),
    ("checks/flow.py", "import pkverify", "checks may not use __init__"),
    # One door a library.
    ("precise/flow.py", "import mpmath", "precise may not import mpmath"),
    ("precise/flow.py", "from mpmath import mp", "precise may not import mpmath"),
    ("certified/flow.py", "import flint", "certified may not import flint"),
    ("certified/verifier_help.py", "import flint", "certified may not import flint"),
    ("arithmetic/ball.py", "import sympy", "arithmetic may not import sympy"),
    ("checks/flow.py", "from sympy.core import Expr", "checks may not import sympy"),
    ("cli.py", "import torch.nn as nn", "cli may not import torch"),
    ("report/html.py", "import matplotlib.pyplot", "report may not import matplotlib"),
    ("__init__.py", "from hypothesis import given", "__init__ may not import hypothesis"),
    # Nobody moves in unseen.
    ("utils.py", "", "utils is no room yet"),
    ("helpers/text.py", "import math", "helpers is no room yet"),
]


@pytest.mark.parametrize(("path", "source"), RIGHT)
def test_right_imports_pass(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize(("path", "source", "complaint"), WRONG)
def test_wrong_imports_are_found(path: str, source: str, complaint: str) -> None:
    (violation,) = violations(path, source)

    assert complaint in violation


def test_every_wrong_import_of_a_file_is_found() -> None:
    source = "import mpmath, flint\nfrom pkverify.rational import parse_rational\nfrom pkverify.cli import main\n"

    assert [violation.partition(" ")[0] for violation in violations("graph.py", source)] == [
        "graph.py:1:",
        "graph.py:1:",
        "graph.py:3:",
    ]


def test_each_room_has_one_place() -> None:
    rooms = [room for column in COLUMNS for room in column]

    assert sorted(rooms) == sorted(set(rooms))
    assert {door.partition(".")[0] for doors in DOORS.values() for door in doors} <= set(rooms)


@pytest.mark.parametrize(("lines", "verdict"), [(0, False), (500, False), (501, True), (2408, True)])
def test_length_is_judged(lines: int, verdict: bool) -> None:
    assert is_too_long("pass\n" * lines) is verdict


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import json", set[str]()),
        ("import mpmath", {"mpmath"}),
        ("from mpmath.libmp import mpf_add", {"mpmath"}),
        ("def late():\n    import flint, mpmath\nlate()", {"flint", "mpmath"}),
        ("__import__('importlib').import_module('flint')", {"flint"}),
    ],
    ids=["none", "plain", "a part", "delayed", "dynamic"],
)
def test_loaded_libraries_are_seen(code: str, loaded: set[str]) -> None:
    assert libraries_loaded_by("-c", code) == loaded
