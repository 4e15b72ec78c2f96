"""The reference problems hold what they promise: made again, on another route, and by a stranger to the package."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from pkverify.certified.route import decompose_certified
from pkverify.checks.agreement import disagreement
from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.precise.route import decompose_precise
from pkverify.problem_file import parse_problem
from pkverify.testing.comparison import FIELDS, Interval, mismatch, numbers_of
from pkverify.testing.properties import identity_gap
from pkverify.testing.references import NAMES, SCHEMA, Reference, reference, references, text_of
from pkverify.testing.references.make import content, plain, written


def balls(item: Decomposition) -> list[BallNumber]:
    """All numbers of a record, the weights last."""
    found = list[Any]()
    for name in (*FIELDS, "residual", "weights"):
        value = getattr(item, name)
        for part in value if isinstance(value, tuple) else (value,):
            found += part if isinstance(part, tuple) else [] if part is None else [part]
    return found


def inside(fine: Sequence[Decomposition], coarse: Sequence[Decomposition]) -> bool:
    """Whether each coarse ball contains the fine one; a ball that is exact is as good as one at its place."""
    pairs = [
        (small, large)
        for a, b in zip(fine, coarse, strict=True)
        for small, large in zip(balls(a), balls(b), strict=True)
    ]
    return all(large.ends[0] <= small.ends[0] and small.ends[1] <= large.ends[1] for small, large in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_every_ball_is_as_small_as_promised_and_the_parts_add_up(name: str) -> None:
    item = reference(name)
    assert item.digits == 50
    for record in item.decompositions:
        weights = sum(len(row) if isinstance(row, tuple) else row is not None for row in record.weights)
        asked = balls(record)[: -weights or None]
        assert all(Fraction(n.rad) * 10**50 <= max(1, abs(Fraction(n))) for n in asked)
        assert isinstance(record.residual, BallNumber)
        assert record.residual.contains(Fraction(0))
    assert identity_gap(numbers_of(item.decompositions), widest=Fraction(1, 10**48)) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_certified_route_at_fewer_digits_contains_them(name: str) -> None:
    item = reference(name)
    again = decompose_certified(item.problem, 20)
    assert mismatch(numbers_of(again), numbers_of(item.decompositions)) is None
    assert inside(item.decompositions, again)


@cache
def precise_to_fifty(name: str) -> tuple[Decomposition, ...]:
    return decompose_precise(reference(name).problem, 50)


@pytest.mark.parametrize("name", NAMES)
def test_the_precise_route_agrees_to_fifty_digits(name: str) -> None:
    item = reference(name)
    assert disagreement([*item.decompositions, *precise_to_fifty(name)]) is None


@pytest.mark.parametrize("digit", [20, 40, 47])
def test_a_wrong_digit_is_seen(digit: int) -> None:
    item = reference("mlp-tanh")
    first = item.decompositions[0]
    number = first.contributions[0]
    assert isinstance(number, BallNumber)
    value = Fraction(number) + Fraction(1, 10**digit)
    wrong = replace(first, contributions=(BallNumber(decimal(value), number.rad), *first.contributions[1:]))
    spoiled = [wrong, *item.decompositions[1:]]
    assert disagreement([*spoiled, *precise_to_fifty(item.name)]) is not None
    assert identity_gap(numbers_of(spoiled)) is not None
    assert inside(spoiled, decompose_certified(item.problem, 20)) is (digit > 26)


def decimal(value: Fraction) -> str:
    scaled = round(value * 10**60)
    return f"{'-' if scaled < 0 else ''}{abs(scaled) // 10**60}.{abs(scaled) % 10**60:060}"


def test_the_files_are_what_the_maker_makes() -> None:
    for name in ("linear-ridge", "no-weight"):
        assert text_of(f"{name}.json") == written(content(name, text_of(f"{name}.toml")))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_tells_its_problem_twice(name: str) -> None:
    told = json.loads(text_of(f"{name}.json"))
    assert told["schema"] == SCHEMA
    assert told["name"] == name
    assert told["problem"]["toml"] == text_of(f"{name}.toml")
    problem = parse_problem(told["problem"]["toml"])
    assert {"toml": told["problem"]["toml"], **plain(problem)} == told["problem"]
    assert told["title"] == problem.title


# A stranger: reads the plain data alone, and computes in floats with finite differences.

FUNCTIONS = {
    "tanh": math.tanh, "sin": math.sin, "exp": math.exp, "log": math.log,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)), "softplus": lambda z: math.log1p(math.exp(z)),
}  # fmt: skip


def formula(text: str) -> Callable[[dict[str, float]], float]:
    code = compile(text, "<formula>", "eval")
    return lambda values: eval(code, {"__builtins__": {}}, FUNCTIONS | values)  # noqa: S307 - texts of our own


def slopes(function: Callable[[list[float]], float], at: list[float], step: float = 1e-5) -> list[float]:
    moved = [[v + (step if k == j else 0.0) for j, v in enumerate(at)] for k in range(len(at))]
    other = [[v - (step if k == j else 0.0) for j, v in enumerate(at)] for k in range(len(at))]
    return [(function(a) - function(b)) / (2 * step) for a, b in zip(moved, other, strict=True)]


def strangers_contributions(problem: dict[str, Any], steps: int = 60) -> list[list[list[float]]]:
    """[query][output][example] by Heun steps and trapezoids, from the formulas and rows of a file."""
    rows = [[float(Fraction(v)) for v in row] for row in problem["x"]]
    targets = [[float(Fraction(v)) for v in row] for row in problem["y"]]
    queries = [[float(Fraction(v)) for v in row] for row in problem["queries"]]
    outputs, loss = [formula(text) for text in problem["outputs"]], formula(problem["loss"])
    penalty = formula(problem["regularizer"]) if problem["regularizer"] else lambda _: 0.0
    scale = float(Fraction(problem["example_scale"]))

    def output(c: int, row: list[float], w: list[float]) -> float:
        return outputs[c](dict(zip(problem["params"], w, strict=True)) | dict(zip(problem["inputs"], row, strict=True)))

    def loss_at(i: int, w: list[float]) -> float:
        values = dict(zip(problem["output_names"], (output(c, rows[i], w) for c in range(len(outputs))), strict=True))
        return scale * loss(values | dict(zip(problem["target_names"], targets[i], strict=True)))

    def pulls(w: list[float]) -> list[list[float]]:
        return [slopes(lambda v, i=i: loss_at(i, v), w) for i in range(len(rows))]

    def descent(w: list[float], parts: list[list[float]]) -> list[float]:
        extra = slopes(lambda v: penalty(dict(zip(problem["params"], v, strict=True))), w)
        return [-sum(part[k] for part in parts) - extra[k] for k in range(len(w))]

    def rates(w: list[float], parts: list[list[float]]) -> list[list[list[float]]]:
        found = list[list[list[float]]]()
        for row in queries:
            grads = [slopes(lambda v, c=c, row=row: output(c, row, v), w) for c in range(len(outputs))]
            found.append([[-sum(g * p for g, p in zip(grad, part, strict=True)) for part in parts] for grad in grads])
        return found

    w, dt = [float(Fraction(v)) for v in problem["initial"]], float(Fraction(problem["horizon"])) / steps
    total = [[[0.0] * len(rows) for _ in outputs] for _ in queries]
    parts = pulls(w)
    for _ in range(steps):
        before, first = rates(w, parts), descent(w, parts)
        guess = [a + dt * b for a, b in zip(w, first, strict=True)]
        second = descent(guess, pulls(guess))
        w = [a + dt / 2 * (b + c) for a, b, c in zip(w, first, second, strict=True)]
        parts = pulls(w)
        after = rates(w, parts)
        for q, block in enumerate(total):
            for c, row in enumerate(block):
                for i in range(len(row)):
                    row[i] += dt / 2 * (before[q][c][i] + after[q][c][i])
    return total


@pytest.mark.parametrize(
    "name", ["linear-ridge", "linear-mean", "probability", "log-probability", "vector-coupled", "penalised-quartic"]
)
def test_a_stranger_finds_the_same_from_the_plain_data(name: str) -> None:
    told = json.loads(text_of(f"{name}.json"))
    found = [row for rows in strangers_contributions(told["problem"]) for row in rows]
    wanted = [[float(ball["mid"]) for ball in item["contributions"]] for item in told["decompositions"]]
    off = [abs(a - b) for left, right in zip(found, wanted, strict=True) for a, b in zip(left, right, strict=True)]
    assert max(off) < 5e-3
    assert max(abs(b) for row in wanted for b in row) > 0.02


# What the titles say.


def test_log_probabilities_have_weights_of_one() -> None:
    for record in reference("log-probability").decompositions:
        for weight in record.weights:
            assert isinstance(weight, BallNumber)
            assert weight.contains(Fraction(1))


def test_a_mean_stands_in_the_contributions_and_not_in_the_path_kernel() -> None:
    (record,) = reference("linear-mean").decompositions
    kernel = record.path_kernel[0]
    assert isinstance(kernel, BallNumber)
    assert kernel.contains(Fraction(2) * Fraction(3, 2))  # horizon times x x_1


def test_one_weight_lies_outside_the_range_of_the_loss_derivatives() -> None:
    item = reference("signs")
    slope = loss_slopes(item)
    outside = [
        w
        for record in item.decompositions
        for i, w in enumerate(record.weights)
        if isinstance(w, BallNumber) and (w.ends[0] > slope[i].upper or w.ends[1] < slope[i].lower)
    ]
    assert outside


def loss_slopes(item: Reference) -> list[Interval]:
    """The range of ``-L'_i = target - y_i`` along the path, from its values at the horizons of shorter flows."""
    problem = replace(item.problem, queries=None)
    found = list[list[Fraction]]([[] for _ in problem.data.inputs])
    for k in range(1, 25):
        for i, record in enumerate(decompose_certified(replace(problem, horizon=problem.horizon * k / 24), 8)):
            ends = (Fraction(record.initial_output), Fraction(record.final_output))
            found[i] += [problem.data.targets[i][0] - y for y in ends]
    return [Interval(min(values) - Fraction(1, 10), max(values) + Fraction(1, 10)) for values in found]


def test_a_weight_is_absent_where_the_path_kernel_is_zero() -> None:
    (record,) = reference("no-weight").decompositions
    assert record.weights == (None, None)
    assert set(record.weights_absent) == {0, 1}
    assert all(Fraction(str(k)) == 0 for k in record.path_kernel)


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="there is no such problem"):
        reference("linaer")


def test_all_references_are_read_in_order() -> None:
    assert [item.name for item in references()] == list(NAMES)
    assert {field.name for field in fields(Reference)} == {"name", "problem", "digits", "decompositions"}
