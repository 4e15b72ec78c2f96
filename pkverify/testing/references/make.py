"""Writes the reference problems: ``python -m pkverify.testing.references.make``, from the problem files beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkverify.certified.route import decompose_certified
from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.losses import loss_names
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from pkverify.testing.formulas import formulas
from pkverify.testing.references import NAMES, SCHEMA, text_of

DIGITS = 50


def content(name: str, text: str, digits: int = DIGITS) -> dict[str, Any]:
    """A reference problem as plain data.

    Args:
        name: Its name.
        text: Its problem file.
        digits: Of the certified numbers.

    Raises:
        InputError, FlowError, UntreatableError: As ``decompose_certified``.
    """
    problem = parse_problem(text)
    return {
        "schema": SCHEMA,
        "name": name,
        "title": problem.title,
        "digits": digits,
        "problem": {"toml": text, **plain(problem)},
        "decompositions": [_decomposition(item) for item in decompose_certified(problem, digits)],
    }


def plain(problem: Problem) -> dict[str, Any]:
    """A problem as formulas and rows of rationals, for readers without the grammar of problem files.

    Example:
        >>> from pkverify.testing.references import reference
        >>> told = plain(reference("linear-mean").problem)
        >>> told["outputs"], told["loss"], told["example_scale"]
        (['p1*x1'], '(1/2)*((y + (-1)*target))**(2)', '1/4')
    """
    told = formulas(problem)
    outputs = loss_names("y", problem.model.output_count)
    targets = loss_names("target", told.target_count)
    return {
        "params": list(told.params),
        "inputs": list(told.inputs),
        "outputs": told.outputs(),
        "output_names": outputs,
        "target_names": targets,
        "loss": told.loss(outputs, targets),
        "example_scale": str(problem.example_scale),
        "regularizer": told.penalty(),
        "x": _rows(problem.data.inputs),
        "y": _rows(problem.data.targets),
        "initial": [str(value) for value in problem.initial],
        "horizon": str(problem.horizon),
        "queries": _rows(problem.query_inputs),
    }


def written(item: dict[str, Any]) -> str:
    """The text of a file; the same bytes for the same content."""
    return json.dumps(item, indent=1) + "\n"


def main() -> None:
    """Write all files."""
    folder = Path(__file__).parent
    strangers = {path.stem for path in folder.glob("*.toml")} ^ {*NAMES}
    if strangers:
        raise InputError(f"{min(strangers)}.toml", "files and NAMES differ", "name every problem file in NAMES")
    for name in NAMES:
        path = folder / f"{name}.json"
        new = path.with_suffix(".json.new")
        new.write_text(written(content(name, text_of(f"{name}.toml"))), encoding="utf-8")
        new.replace(path)


def _rows(rows: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[str(value) for value in row] for row in rows]


def _decomposition(item: Decomposition) -> dict[str, Any]:
    return {
        "query": [str(value) for value in item.query],
        "output": item.output,
        "initial_output": _ball(item.initial_output),
        "final_output": _ball(item.final_output),
        "contributions": [_ball(number) for number in item.contributions],
        "regularizer_term": _ball(item.regularizer_term),
        "residual": _ball(item.residual),
        "path_kernel": [_row(row) for row in item.path_kernel],
        "weights": [None if row is None else _row(row) for row in item.weights],
        "weights_absent": {str(example): reason for example, reason in item.weights_absent.items()},
    }


def _row(row: str | tuple[str, ...]) -> list[dict[str, str]]:
    return [_ball(number) for number in ((row,) if isinstance(row, str) else row)]


def _ball(number: str) -> dict[str, str]:
    assert isinstance(number, BallNumber)
    return {"mid": number.mid, "rad": number.rad}


if __name__ == "__main__":
    main()
