from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from math import cos, sin
from typing import Any

import pytest

from pkverify.checks.paper.finding import Finding
from pkverify.checks.paper.theorem import (
    AUDITS,
    BLOW_UP,
    audit_m2,
    audit_t1a,
    audit_t1b,
    audit_t1c,
    audit_t1e,
    audit_t1f,
    audit_t1k,
)
from pkverify.checks.paper.theorem_witnesses import (
    BENT_LINE,
    EXPONENTIAL,
    RIDGE,
    RIPPLE,
    SQUARE_ROOT,
    TWO_OUTPUTS,
    ce_a_range,
    ce_a_zero,
    ce_b,
    ce_c,
    ce_d,
    ce_e,
    ce_v,
)
from pkverify.claims import CLAIMS
from pkverify.claims.record import Status
from pkverify.claims.theorem import CLAIMS as PART
from pkverify.evidence import Verdict
from pkverify.exact.paper_descent import Ripple
from pkverify.exact.paper_theorem import (
    bent_line_weight,
    factors_of_linear_model,
    factors_of_probability,
    softmax_is_singular,
)
from pkverify.precise.route import decompose_precise
from pkverify.problem_file import parse_problem

NUDGE = Fraction(1, 10**6)


def numbers(values: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(values)


def rounds_to(found: str, expected: str) -> bool:
    """Whether a number agrees with an expected one to all of its digits."""
    return round(Decimal(found), -int(Decimal(expected).as_tuple().exponent)) == Decimal(expected)


def test_every_claim_of_the_part_has_an_audit_and_no_other() -> None:
    assert set(AUDITS) == {claim.id for claim in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_an_audit_establishes_what_the_registry_says(claim: str) -> None:
    finding = AUDITS[claim]()

    assert finding.claim == claim
    assert finding.status is CLAIMS[claim].status
    assert finding.evidence.verdict is not Verdict.INCONCLUSIVE
    assert finding.repaired is None or finding.repaired.verdict.holds
    assert (finding.status in {Status.FALSE, Status.IMPRECISE}) == bool(CLAIMS[claim].repaired)


# Each datum of each counterexample, moved by a millionth: does it survive?


def moved(data: Any, field: str, by: Fraction = NUDGE) -> Any:
    name, _, place = field.partition(".")
    old = getattr(data, name)
    if not place:
        return replace(data, **{name: old + by})
    return replace(data, **{name: tuple(v + by if k == int(place) else v for k, v in enumerate(old))})


DESTROYED = [
    *((audit_t1a, BENT_LINE, f) for f in ("curvature", "example", "target", "start", "horizon", "query_over_e")),
    (audit_t1e, RIDGE, "radius"),
    (audit_t1f, BLOW_UP, "-start"),
    (audit_t1f, BLOW_UP, "-horizon"),
    *((audit_t1k, TWO_OUTPUTS, f) for f in ("targets.1", "start.1", "horizon", "query_over_e")),
]
SURVIVING = [
    (audit_t1a, BENT_LINE, "beyond"),
    *((audit_t1c, BENT_LINE, f) for f in ("curvature", "target", "start", "horizon", "query_over_e", "beyond")),
    (audit_t1e, RIDGE, "angle"),
    (audit_t1f, BLOW_UP, "start"),
    (audit_t1f, BLOW_UP, "horizon"),
    *((audit_t1k, TWO_OUTPUTS, f) for f in ("targets.0", "start.0")),
    *((audit_m2, EXPONENTIAL, f) for f in ("target", "start", "end")),
]


@pytest.mark.parametrize(("audit", "data", "field"), DESTROYED)
def test_a_destroyed_counterexample_changes_the_finding(audit: Callable[[Any], Finding], data: Any, field: str) -> None:
    finding = audit(moved(data, field.lstrip("-"), -NUDGE if field.startswith("-") else NUDGE))

    assert finding.status is not audit(data).status
    assert finding.evidence.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("audit", "data", "field"), SURVIVING)
def test_a_counterexample_that_is_not_destroyed_stands(audit: Callable[[Any], Finding], data: Any, field: str) -> None:
    assert audit(moved(data, field)).status is audit(data).status


@pytest.mark.parametrize(
    ("ripple", "root", "left"),
    [
        (RIPPLE, SQUARE_ROOT, ["CE-B", "CE-C"]),
        (moved(RIPPLE, "start"), SQUARE_ROOT, ["CE-C"]),
        (moved(RIPPLE, "slope"), moved(SQUARE_ROOT, "start"), ["CE-B", "CE-C"]),
        (moved(RIPPLE, "horizon"), moved(SQUARE_ROOT, "horizon"), ["CE-B", "CE-C"]),
        (RIPPLE, replace(SQUARE_ROOT, horizon=Fraction(2)), ["CE-B"]),
        (RIPPLE, replace(SQUARE_ROOT, start=Fraction(1)), ["CE-B"]),
        (replace(RIPPLE, slope=Fraction(0)), SQUARE_ROOT, ["CE-C"]),
        (moved(RIPPLE, "start"), replace(SQUARE_ROOT, horizon=Fraction(2)), []),
    ],
)
def test_each_counterexample_to_the_limit_stands_alone(ripple: Any, root: Any, left: list[str]) -> None:
    finding = audit_t1b(ripple, root)

    assert [witness.id for witness in finding.witnesses] == left
    assert (finding.status is Status.FALSE) == bool(left)


def test_a_weight_within_the_range_refutes_nothing() -> None:
    finding = audit_t1c(replace(BENT_LINE, beyond=Fraction(1)))

    assert finding.evidence.verdict is Verdict.INCONCLUSIVE
    assert "outside the range" in finding.evidence.message


def test_one_weight_for_a_linear_model_refutes_nothing() -> None:
    # Stopped where it starts, there is no weight at all.
    assert audit_m2(replace(EXPONENTIAL, end=Fraction(1))).evidence.verdict is Verdict.INCONCLUSIVE


# The numbers.


def test_numbers_of_the_bent_line() -> None:
    zero, beyond = (numbers(each(BENT_LINE).witness.values) for each in (ce_a_zero, ce_a_range))

    assert zero["K(x, x_1)"] == "0"
    assert rounds_to(zero["x"], "-1.35914")
    assert rounds_to(zero["y_T - y_0"], "0.0890399240133139")
    assert rounds_to(beyond["a_1"], "2.589342605956225375")
    assert rounds_to(beyond["to"], "0.3679")
    assert rounds_to(bent_line_weight(BENT_LINE, Fraction(-27, 20)), "13.7822163")
    assert rounds_to(bent_line_weight(BENT_LINE, Fraction(-7, 5)), "-2.418752735764568675")


def test_numbers_of_the_exponential() -> None:
    found = numbers(ce_e(EXPONENTIAL).witness.values)

    assert rounds_to(found["a_1(1)"], "0.72134752")
    assert rounds_to(found["a_1(2)"], "0.70518332")
    assert rounds_to(found["a_1(3)"], "0.68985225")
    assert rounds_to(found["det [K(x, 1), 1, y_T(x)]"], "0.0382613490")


def test_numbers_of_the_limits() -> None:
    ripple, root, ridge = (numbers(w.witness.values) for w in (ce_b(RIPPLE), ce_c(SQUARE_ROOT), ce_d(RIDGE)))

    assert ripple["lim y_GD"] == "0"
    assert ripple["y_0 - int L' K_t dt on w = 0"] == "-1/4"
    assert rounds_to(ripple["w_GD(1) at eps = 1e-2"], "-0.0742")
    assert root["eps_1"] == "1"
    assert root["eps_2"] == "0.618033988750"
    assert root["eps_3"] == "0.455886780103"
    assert root["eps_160"] == "0.0122553569299"
    assert rounds_to(root["w_GD at eps = 1e-2"], "0.2570469")
    assert rounds_to(root["w_GD at eps = 1e-3"], "0.2507244")
    assert rounds_to(ridge["|r - 1| at T = 3, eps = 1/10"], "0.2457")
    assert rounds_to(ridge["|r - 1| at T = 3, eps = 1/100"], "0.02868")
    assert rounds_to(ridge["|r - 1| at T = 3, eps = 1/1000"], "0.002909")


@pytest.mark.parametrize("power", [4, 5])
def test_descent_on_the_ripple_stays_within_its_trap(power: int) -> None:
    eps, w, lowest = 10.0**-power, 0.0, 0.0
    for _ in range(10**power):
        w -= eps * (2 * w * sin(1 / w) - cos(1 / w) + 0.5 if w else 0.5)
        lowest = max(lowest, abs(w))

    # n is the largest with (2 pi n)^2 - 1 <= 1/eps.
    turns = int((10.0**power + 1) ** 0.5 / 6.283185307179586)
    assert turns >= 9
    assert lowest <= 1 / (6.283185307179586 * turns - 1)


def test_numbers_of_two_outputs() -> None:
    found = numbers(ce_v(TWO_OUTPUTS).witness.values)

    assert found["diagonal of int J J^T dt"] == "(1, 0)"
    first, second = found["int J J^T grad l dt"].strip("()").split(", ")
    assert rounds_to(first, "-0.63212056")
    assert rounds_to(second, "-0.08903992")


@pytest.mark.parametrize("classes", [2, 3])
def test_softmax_is_singular_for_any_number_of_classes(classes: int) -> None:
    assert softmax_is_singular(classes).holds


def test_factors_of_a_trained_model() -> None:
    assert factors_of_linear_model().holds
    assert numbers(factors_of_probability().values) == {"K": "3/8", "a_1": "4/3"}
    assert not factors_of_probability(Fraction(1)).holds


def test_blow_up_needs_its_horizon() -> None:
    assert audit_t1f(replace(BLOW_UP, horizon=Fraction(2))).status is Status.FALSE
    assert audit_t1f(replace(BLOW_UP, start=Fraction(-1))).status is not Status.FALSE


def test_a_slope_without_a_trap_is_not_shown() -> None:
    assert not ce_b(Ripple(slope=Fraction(3, 5))).demonstration.holds


# The problem files beside the counterexamples, by the precise route.


@pytest.mark.parametrize(
    ("name", "weights"),
    [("ce-a", ["2.5893426059562", "13.7822163", "-2.4187527357646"]), ("ce-e", [])],
)
def test_problem_files_give_the_same_weights(name: str, weights: list[str]) -> None:
    file = resources.files("pkverify.cases") / "counterexamples" / f"{name}.toml"
    found = [str(d.weights[0]) for d in decompose_precise(parse_problem(file.read_text(encoding="utf-8")), 15)]

    assert len(set(found)) == 3
    assert all(rounds_to(text, expected) for text, expected in zip(found, weights, strict=False))


def test_every_named_problem_file_is_there() -> None:
    names = {witness.problem for audit in AUDITS.values() for witness in audit().witnesses} - {""}

    assert {"ce-a", "ce-e", "ce-v"} <= names
    for name in names:
        assert (resources.files("pkverify.cases") / "counterexamples" / f"{name}.toml").is_file()
