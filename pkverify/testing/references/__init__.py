"""Reference problems: decompositions to 50 certified digits, as JSON that a project in any language can read.

docs/reference-problems.md describes the files; ``make.py`` beside this one writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import Any, cast

from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

SCHEMA = "pkverify.reference/1"
NAMES = (
    "linear-bias",
    "linear-ridge",
    "linear-mean",
    "linear-two-outputs",
    "deep-linear",
    "mlp-tanh",
    "logistic",
    "softmax",
    "log-probability",
    "probability",
    "vector-coupled",
    "penalised-quartic",
    "signs",
    "no-weight",
)


@dataclass(frozen=True)
class Reference:
    """A problem with its certified numbers.

    Attributes:
        name: One of ``NAMES``.
        problem: The problem.
        digits: Radii are at most ``10**-digits * max(1, |value|)``; those of the weights are what they came out as.
        decompositions: One for each query and output, all numbers balls.
    """

    name: str
    problem: Problem
    digits: int
    decompositions: tuple[Decomposition, ...]


def reference(name: str) -> Reference:
    """A reference problem by name.

    Args:
        name: One of ``NAMES``.

    Raises:
        InputError: For a name that there is not.

    Example:
        >>> signs = reference("signs")
        >>> signs.digits, len(signs.decompositions), float(signs.decompositions[0].final_output.rad) < 1e-49
        (50, 2, True)
    """
    if name not in NAMES:
        raise InputError(f"reference {name!r}", "there is no such problem", f"choose from {', '.join(NAMES)}")
    content = json.loads(text_of(f"{name}.json"))
    return Reference(
        name,
        parse_problem(content["problem"]["toml"]),
        content["digits"],
        tuple(_decomposition(content, item) for item in content["decompositions"]),
    )


def references() -> Iterator[Reference]:
    """All reference problems, one after the other.

    Example:
        >>> sorted(item.name for item in references())[0]
        'deep-linear'
    """
    return map(reference, NAMES)


def text_of(file: str) -> str:
    """The text of a file beside this module."""
    return (resources.files(__name__) / file).read_text(encoding="utf-8")


def _decomposition(content: Mapping[str, Any], item: Mapping[str, Any]) -> Decomposition:
    kernels = cast("list[list[Mapping[str, str]]]", item["path_kernel"])
    weights = cast("list[list[Mapping[str, str]] | None]", item["weights"])
    scalar = len(kernels[0]) == 1

    def row(balls: list[Mapping[str, str]]) -> Any:
        return _ball(balls[0]) if scalar else tuple(map(_ball, balls))

    return Decomposition(
        route="certified",
        digits=content["digits"],
        query=tuple(Fraction(value) for value in item["query"]),
        output=item["output"],
        initial_output=_ball(item["initial_output"]),
        final_output=_ball(item["final_output"]),
        contributions=tuple(map(_ball, item["contributions"])),
        regularizer_term=_ball(item["regularizer_term"]),
        residual=_ball(item["residual"]),
        path_kernel=tuple(map(row, kernels)),
        weights=tuple(None if balls is None else row(balls) for balls in weights),
        weights_absent={int(k): why for k, why in item["weights_absent"].items()},
        horizon=Fraction(content["problem"]["horizon"]),
    )


def _ball(number: Mapping[str, str]) -> BallNumber:
    return BallNumber(number["mid"], number["rad"])
