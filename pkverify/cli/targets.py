"""From what a user names to problems: a case, a file, stdin, or an object of their own package."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pkverify.cli.output import printable
from pkverify.errors import InputError, PkverifyError

if TYPE_CHECKING:
    from pkverify.problem import Problem


def resolve(target: str) -> Iterable[tuple[str, Problem]]:
    """The problems that a target names."""
    from pkverify.cases import CASES, case_networks, case_problems
    from pkverify.problem_file import read_problem

    if target in CASES:
        return [(f"{target}/{name}", problem) for name, problem in (*case_problems(target), *case_networks(target))]
    module, colon, attribute = target.partition(":")
    if colon and not Path(target).exists():
        return [(target, _imported(target, module, attribute))]
    if target.isalnum() and not Path(target).exists():
        nearest = difflib.get_close_matches(target.lower(), CASES, n=1)
        raise InputError(
            f"{target}: no such case, and no such file",
            f"the cases are {', '.join(CASES)}",
            f"did you mean {nearest[0]}?" if nearest else "name a case, or a problem file",
        )
    return [("stdin" if target == "-" else printable(target), read_problem(target))]


def _imported(target: str, module: str, attribute: str) -> Problem:
    """A problem from the user's own Python code."""
    from pkverify.problem import Problem

    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
        problem = found() if callable(found) else found
    except PkverifyError:
        raise
    except Exception as error:
        raise InputError(
            f"{target}: {type(error).__name__}: {error}",
            "package.module:name is imported from Python's path, and called if it is a function",
            "check the module and the name",
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(problem, Problem):
        raise InputError(
            f"{target} is a {type(problem).__name__}",
            "a pkverify Problem is needed",
            "name a Problem, or a function that returns one",
        )
    return problem
