"""The JSON of a run: the contract of its fields, its numbers, and its bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from importlib import resources
from typing import Any, cast

import jsonschema
import pytest

from pkverify.cases import case_problems
from pkverify.checks.run import ROUTES, check
from pkverify.evidence import THEOREM, Evidence, ProblemRun, Run, Verdict
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem, read_problem
from pkverify.report.records import SCHEMA, json_schema, run_json

Json = dict[str, Any]

DIGITS = 25
CLAIMS = ["T1", "T1a", "T1c", "T1g", "D7"]
LINEAR = dict(case_problems("linear"))
PROBLEMS: dict[str, Problem] = {
    "line": LINEAR["linear-one-weight"],
    "ridge": LINEAR["linear-ridge"],
    "softmax": dict(case_problems("xent"))["xent-softmax"],
    "no weight": parse_problem(
        """model = {kind = "linear", bias = false}\nloss.kind = "squared"
        data = {x = [[1, 0], [0, 1]], y = [1, 2]}\nflow = {initial = [0, 0], horizon = "1/3"}"""
    ),
    "blow-up": parse_problem(
        """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w**3/3"}
        loss.kind = "nll-log-probability"\ndata.x = [1]\nflow = {initial = [1], horizon = 2}"""
    ),
}
SCHEMA_FILE = resources.files("pkverify.report") / "run.schema.json"
NUMBERS = ("initial_output", "final_output", "regularizer_term", "residual")


def checked() -> Run:
    return check(PROBLEMS.items(), digits=DIGITS, claims=CLAIMS)


@pytest.fixture(scope="module")
def run() -> Run:
    return checked()


@pytest.fixture(scope="module")
def record(run: Run) -> Json:
    return json.loads(run_json(run), parse_constant=pytest.fail)


def problem(record: Json, name: str) -> Json:
    (found,) = [item for item in record["problems"] if item["name"] == name]
    return found


def decompositions(record: Json, *routes: str) -> list[Json]:
    chosen = routes or ROUTES
    found = [item for problem in record["problems"] for item in problem["decompositions"]]
    return [item for item in found if item["route"] in chosen]


def flat(value: Any) -> Iterator[str]:
    """The texts in nested lists, without the nulls."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from flat(item)
    elif value is not None:
        yield value


def places(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, positions left out."""
    if isinstance(value, dict):
        for key, item in cast("Json", value).items():
            yield from places(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from places(item, path)
    else:
        yield path, value


# The schema.


def test_the_shipped_schema_is_up_to_date() -> None:
    # After a change of the records: write json_schema() of pkverify.report.records to the file.
    assert SCHEMA_FILE.read_bytes() == json_schema()


def test_a_run_follows_the_shipped_schema(record: Json) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(record, schema)
    for empty in (Run(()), Run((), holes=("R5b",), interrupted=True)):
        jsonschema.validate(json.loads(run_json(empty)), schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["verdict"], "fine"),
        (["holes"], None),
        (["problems", 0, "evidence", 0, "verdict"], "true"),
        (["problems", 0, "evidence", 0, "claim"], None),
        (["problems", 0, "decompositions", 0, "final_output"], 1.5),
        (["problems", 0, "decompositions", 0, "final_output"], None),
        (["problems", 0, "decompositions", 0, "contributions"], ["1", None]),
        (["problems", 0, "decompositions", 0, "digits"], "25"),
        (["problems", 0, "series", "time"], [0.5]),
    ],
)
def test_the_schema_can_say_no(record: Json, path: list[Any], value: object) -> None:
    broken = json.loads(json.dumps(record))
    *way, last = path
    place = broken
    for step in way:
        place = place[step]
    place[last] = value

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("key", ["schema", "verdict", "environment", "problems"])
def test_the_schema_asks_for_the_contract(record: Json, key: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate({k: v for k, v in record.items() if k != key}, json.loads(SCHEMA_FILE.read_bytes()))


# The contract.


def test_the_head(record: Json) -> None:
    assert record["schema"] == SCHEMA == "pkverify.run/1"
    assert record["verdict"] == "supported"
    assert record["interrupted"] is False
    assert set(record["environment"]) >= {"pkverify", "python", "sympy", "mpmath", "numpy", "python-flint"}
    assert [item["name"] for item in record["problems"]] == [*PROBLEMS, THEOREM]


def test_decompositions_are_of_the_asked_queries_route_by_route(record: Json) -> None:
    for name, source in PROBLEMS.items():
        routes = {"softmax": list(ROUTES[1:]), "blow-up": []}.get(name, list(ROUTES))
        expected = [
            (route, [str(v) for v in query], output)
            for route in routes
            for query in source.query_inputs
            for output in range(source.model.output_count)
        ]
        found = problem(record, name)["decompositions"]
        assert [(item["route"], item["query"], item["output"]) for item in found] == expected
        assert {item["horizon"] for item in found} <= {str(source.horizon)}
    assert problem(record, THEOREM)["decompositions"] == []


def test_numbers_are_decimals_with_the_asked_digits(record: Json) -> None:
    for item in decompositions(record, "exact", "precise"):
        assert item["digits"] == DIGITS
        texts = [item[name] for name in NUMBERS[:3]]
        texts += [*flat(item["contributions"]), *flat(item["path_kernel"]), *flat(item["weights"])]
        for text in texts:
            number = Decimal(text)
            assert number.is_finite()
            # An exact number may be shorter; on the precise route only 0 is.
            assert len(number.as_tuple().digits) <= DIGITS
            assert len(number.as_tuple().digits) == DIGITS or number == 0 or item["route"] == "exact"
        assert Decimal(item["residual"]).is_finite()


def test_certified_numbers_are_balls_of_the_asked_radius(record: Json) -> None:
    found = decompositions(record, "certified")
    assert found
    for item in found:
        assert item["digits"] == DIGITS
        numbers = [item[name] for name in NUMBERS] + item["contributions"]
        assert all(set(number) == {"mid", "rad"} for number in numbers)
        sizes = [abs(Decimal(number["mid"])) for number in numbers]
        assert all(Decimal(number["rad"]) <= 2 * Decimal(10) ** -DIGITS * max(1, *sizes) for number in numbers)
        assert abs(Decimal(item["residual"]["mid"])) <= Decimal(item["residual"]["rad"])


def test_the_parts_add_up_as_decimals(record: Json) -> None:
    tolerance = Decimal(10) ** (2 - DIGITS) * 10
    for item in decompositions(record, "exact", "precise"):
        with localcontext(prec=3 * DIGITS):
            total = sum(map(Decimal, item["contributions"]), Decimal(item["initial_output"]))
            gap = Decimal(item["final_output"]) - total - Decimal(item["regularizer_term"])
            assert abs(gap) <= tolerance
            assert abs(Decimal(item["residual"])) <= tolerance
            for contribution, kernel, weight in zip(
                item["contributions"], item["path_kernel"], item["weights"], strict=True
            ):
                if weight is not None:
                    pairs = zip(flat([kernel]), flat([weight]), strict=True)
                    product = sum((Decimal(k) * Decimal(a) for k, a in pairs), Decimal(0))
                    assert abs(product - Decimal(contribution)) <= 10 * tolerance


def test_what_is_shown_is_what_was_computed(record: Json) -> None:
    first = problem(record, "line")["decompositions"][0]

    assert first["path_kernel"] == ["1.5", "3", "-0.75"]
    assert first["closed_form"]["path_kernel"] == ["3/2", "3", "-3/4"]
    assert problem(record, "ridge")["decompositions"][-1]["regularizer_term"] != "0"
    assert problem(record, "line")["decompositions"][-1]["regularizer_term"] == "0"


def test_vector_outputs_give_rows(record: Json) -> None:
    source = PROBLEMS["softmax"]
    for item in problem(record, "softmax")["decompositions"]:
        assert [len(row) for row in item["path_kernel"]] == [source.model.output_count] * len(source.data)
        assert all(isinstance(weight, list) for weight in item["weights"] if weight is not None)


def test_absent_weights_are_null_with_a_reason(record: Json) -> None:
    absent = 0
    for item in decompositions(record):
        missing = {str(i) for i, weight in enumerate(item["weights"]) if weight is None}
        assert set(item["weights_absent"]) == missing
        assert all(item["weights_absent"].values())
        absent += len(missing)
    assert absent >= 4  # of "no weight", on both routes


def test_null_stands_only_where_nothing_can(record: Json) -> None:
    allowed = {f".problems.evidence.{key}" for key in ("residual", "bound", "tolerance", "witness")}
    allowed |= {".problems.horizon", ".problems.decompositions.weights"}
    allowed |= {f".problems.decompositions.closed_form.{key}" for key in ("weights", "contributions", "path_kernel")}
    nulls = {path for path, value in places(record) if value is None}

    assert nulls <= allowed
    assert problem(record, "line")["horizon"] == "1"
    bad = {"nan", "inf", "-inf", "infinity", "none", "null"}
    assert not [path for path, value in places(record) if isinstance(value, str) and value.strip().lower() in bad]
    assert not [path for path, value in places(record) if isinstance(value, float)]


def test_evidence_carries_what_its_verdict_needs(record: Json) -> None:
    seen = set[str]()
    for found in record["problems"]:
        for item in found["evidence"]:
            seen.add(item["verdict"])
            assert item["tolerance"] or item["verdict"] != "supported"
            assert item["message"] or item["verdict"] != "not-applicable"
            assert all(set(h) == {"id", "verdict", "message"} for h in item["hypotheses"])
    assert seen == {"proved", "certified", "supported", "not-applicable"}
    [blown] = [item for item in problem(record, "blow-up")["evidence"] if item["claim"] == "T1"]
    assert [h["id"] for h in blown["hypotheses"]] == ["H2"]


def test_series_are_tables_over_time(record: Json) -> None:
    series = problem(record, "line")["series"]

    along = {"time", "params", "loss_derivatives", "tangent_kernel"}
    assert along < set(series)  # the others are told in pkverify.checks.series
    assert {len(series[name]) for name in along} == {33}
    assert (Decimal(series["time"][0][0]), Decimal(series["time"][-1][0])) == (0, 1)
    assert {len(row) for row in series["tangent_kernel"]} == {2 * 3}
    assert problem(record, "blow-up")["series"] == {}


def test_the_source_reads_back_as_the_problem(record: Json) -> None:
    for name, source in PROBLEMS.items():
        assert parse_problem(problem(record, name)["source"]) == source


def test_skipped_and_refused_routes_say_why(record: Json) -> None:
    assert problem(record, "softmax")["skipped"]["exact"].startswith("no closed form")
    assert problem(record, "line")["skipped"] == problem(record, "line")["refused"] == {}


def test_what_keeps_a_run_from_passing_is_written() -> None:
    refused = ProblemRun("p", (Evidence("T1", Verdict.PROVED, "exact"),), refused={"exact": "no closed form"})
    found = json.loads(run_json(Run((refused,), holes=("R5b", "R5c"), interrupted=True)))

    assert (found["verdict"], found["holes"], found["interrupted"]) == ("inconclusive", ["R5b", "R5c"], True)
    assert found["problems"][0]["refused"] == {"exact": "no closed form"}


# The bytes.


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    assert run_json(checked()) == run_json(run)


def test_how_long_it_took_is_not_written(run: Run) -> None:
    slower = [
        replace(item, evidence=tuple(replace(e, seconds=e.seconds + 1) for e in item.evidence)) for item in run.problems
    ]

    assert run_json(replace(run, problems=tuple(slower))) == run_json(run)


def test_the_order_of_sets_does_not_show() -> None:
    code = """
import sys
from pkverify.checks.run import ROUTES, check
from pkverify.cases import case_problems
from pkverify.report.records import run_json
sys.stdout.buffer.write(run_json(check(case_problems("mlp")[:1], digits=15, claims=["T1", "T1c"])))
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


def test_text_is_utf_8_and_readable(run: Run) -> None:
    assert run_json(run).decode("utf-8").endswith("}\n")
    assert b'\n "verdict": "supported",\n' in run_json(run)


def test_a_file_and_its_problem_agree(record: Json, tmp_path: Any) -> None:
    path = tmp_path / "again.toml"
    path.write_text(problem(record, "ridge")["source"], encoding="utf-8")

    assert read_problem(path).horizon == Fraction(problem(record, "ridge")["horizon"])
