from __future__ import annotations

import csv
from fractions import Fraction
from importlib import resources

import numpy as np
import pytest

from pkverify.cases import CASES, case_problems
from pkverify.errors import InputError
from pkverify.expression import Expression
from pkverify.models import ExpressionModel
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem, write_problem

FOLDER = resources.files("pkverify.cases") / "problems"
ALL = [(case, name, problem) for case in CASES for name, problem in case_problems(case)]
PROBLEMS = {name: problem for _, name, problem in ALL}


def columns(file: str) -> dict[str, list[str]]:
    header, *rows = csv.reader((FOLDER / file).read_text(encoding="utf-8").splitlines())
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def formula(problem: Problem) -> str:
    assert isinstance(problem.model, ExpressionModel)
    output: Expression = problem.model.outputs[0]
    return output.text


@pytest.mark.parametrize(("case", "name", "problem"), ALL, ids=PROBLEMS)
def test_problems_are_small_and_well_scaled(case: str, name: str, problem: Problem) -> None:
    assert name.startswith(f"{case}-")
    assert problem.title
    assert 1 <= len(problem.query_inputs) <= 3
    assert len(problem.model.params) <= 13
    assert problem.horizon <= 5
    numbers = [*problem.initial, *(v for row in (*problem.data.inputs, *problem.data.targets) for v in row)]
    assert max(abs(v.numerator) + v.denominator for v in numbers) < 100


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.model.kind == "linear"])
def test_flows_are_not_stiff(name: str) -> None:
    problem = PROBLEMS[name]
    rows = np.array([[*map(float, row), 1.0] for row in problem.data.inputs])
    rate = float(np.linalg.eigvalsh(rows.T @ rows)[-1])

    assert rate * float(problem.horizon) < 100


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_survive_writing(name: str) -> None:
    assert parse_problem(write_problem(PROBLEMS[name])) == PROBLEMS[name]


def test_every_problem_file_is_in_a_case() -> None:
    files = {file.name.removesuffix(".toml") for file in FOLDER.iterdir() if file.name.endswith(".toml")}

    assert files == PROBLEMS.keys()
    assert len({problem.title for problem in PROBLEMS.values()}) == len(PROBLEMS)


def test_unknown_cases_are_refused() -> None:
    with pytest.raises(InputError, match="case 'quadratic' is not known"):
        case_problems("quadratic")


# What the cases are for.


def test_linear_has_closed_forms_and_a_penalty() -> None:
    shapes = {name: (p.model.input_count, len(p.model.params)) for name, p in case_problems("linear")}

    assert shapes["linear-one-weight"] == (1, 1)
    assert shapes["linear-intercept"] == (1, 2)
    assert shapes["linear-two-inputs"] == (2, 3)
    assert [n for n, p in case_problems("linear") if p.regularizer] == ["linear-ridge"]


def test_mlp_has_depth() -> None:
    product = PROBLEMS["mlp-product-balanced"]

    assert product.initial[0] == product.initial[1]
    assert formula(PROBLEMS["mlp-product-unbalanced"]) == "u*v*x"
    assert len(set(PROBLEMS["mlp-product-unbalanced"].initial)) == 2
    assert len(PROBLEMS["mlp-depth-three"].model.params) == 3
    assert len(PROBLEMS["mlp-depth-four"].model.params) == 4
    assert len(PROBLEMS["mlp-tanh-one-input"].model.params) == 7
    assert len(PROBLEMS["mlp-tanh-two-inputs"].model.params) == 13


def test_cross_entropy_has_its_three_outputs() -> None:
    logit, probability, log_probability = (
        PROBLEMS[f"xent-{name}"] for name in ("logistic-one-example", "probability-output", "log-probability-output")
    )

    assert (logit.loss.kind, logit.data.targets) == ("logistic", ((Fraction(1),),))
    assert (probability.loss.kind, formula(probability)) == ("nll-probability", "sigmoid(w*x)")
    assert (log_probability.loss.kind, formula(log_probability)) == ("nll-log-probability", "-softplus(-w*x)")
    # One flow in three readings: the same start, example and horizon.
    assert len({(p.data.inputs, p.initial, p.horizon, p.queries) for p in (logit, probability, log_probability)}) == 1


def test_softmax_has_three_classes() -> None:
    problem = PROBLEMS["xent-softmax"]

    assert problem.loss.kind == "softmax-cross-entropy"
    assert problem.model.output_count == 3


# The data.


def test_data_sets_have_their_size() -> None:
    assert len(PROBLEMS["linear-stackloss"].data) == 21
    assert len(PROBLEMS["xent-oring"].data) == 23


def test_stackloss_is_as_published() -> None:
    # Totals that a slip in any one value would change: sums and sums of squares of the measured columns.
    table = {key: [int(v) for v in values] for key, values in columns("stackloss.csv").items() if "_" not in key}

    assert {key: (sum(v), sum(x * x for x in v)) for key, v in table.items()} == {
        "air": (1269, 78365),
        "water": (443, 9545),
        "acid": (1812, 156924),
        "loss": (368, 8518),
    }
    assert table["loss"][:4] == [42, 37, 37, 28]


def test_oring_is_as_published() -> None:
    table = columns("oring.csv")
    hurt = sorted(int(t) for t, d in zip(table["temperature"], table["distress"], strict=True) if d == "1")
    well = sorted(int(t) for t, d in zip(table["temperature"], table["distress"], strict=True) if d == "0")

    assert hurt == [53, 57, 58, 63, 70, 70, 75]
    assert well == [66, 67, 67, 67, 68, 69, 70, 70, 72, 73, 75, 76, 76, 78, 79, 81]
    assert len(set(table["flight"])) == 23


@pytest.mark.parametrize(
    ("file", "column", "offset", "unit"),
    [
        ("stackloss.csv", "air", 60, 10),
        ("stackloss.csv", "water", 21, 4),
        ("stackloss.csv", "acid", 86, 5),
        ("stackloss.csv", "loss", 18, 10),
        ("oring.csv", "temperature", 70, 10),
    ],
)
def test_scaled_columns_follow_from_the_measured_ones(file: str, column: str, offset: int, unit: int) -> None:
    table = columns(file)
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")

    assert [Fraction(v) for v in table[f"{column}_scaled"]] == [(Fraction(v) - offset) / unit for v in table[column]]
    assert f"`{column}_scaled` = ({column} - {offset}) / {unit}" in sources


def test_every_data_set_has_a_source() -> None:
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    files = [file.name for file in FOLDER.iterdir() if file.name.endswith(".csv")]

    assert len(files) == 2
    assert all(f"## {file}" in sources for file in files)
    assert "1965" in sources
    assert "1989" in sources
