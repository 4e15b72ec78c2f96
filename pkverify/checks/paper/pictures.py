"""What the report of an audit draws: tables of counterexamples and experiments whose point is seen at a glance."""

from __future__ import annotations

from pkverify.checks.context import Context
from pkverify.checks.paper.outcomes import counterexample
from pkverify.checks.paper.width import DRIFT, drifts
from pkverify.checks.series import Table, series
from pkverify.problem_file import write_problem

# The counterexample, its problem file, and which of the problem's tables show it.
_PROBLEMS = {"CE-A": ("ce-a", "weight_"), "Fig1": ("fig1", "surface_")}
_DIGITS = 20


def counterexample_tables(name: str) -> tuple[dict[str, Table], str]:
    """The tables that a figure of a counterexample draws, and its problem as a problem file; both empty for others.

    Example:
        >>> tables, source = counterexample_tables("CE-A")
        >>> tables["weight_poles"]  # at -e/2
        (('1', '-1.3591409'),)
    """
    if name not in _PROBLEMS:
        return {}, ""
    stem, shown = _PROBLEMS[name]
    problem = counterexample(stem)
    tables = series(Context(problem, _DIGITS))
    kept = {key: rows for key, rows in tables.items() if key.startswith(shown) or key == "params"}
    return kept, write_problem(problem)


def drift_table() -> dict[str, Table]:
    """The drift of the tangent kernel with the width of a network (D6a): width, drift, number of starts."""
    rows = zip(DRIFT.widths, drifts(DRIFT), strict=True)
    return {"drift": tuple((str(width), f"{drift:.6g}", str(DRIFT.seeds)) for width, drift in rows)}
