from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from typing import Any

import numpy as np
import pytest

from pkverify.checks.paper.definitions import (
    AUDITS,
    ONE_WEIGHT,
    OTHER_INPUT,
    PRODUCT,
    RADIAL_BASIS,
    STEP_RATE,
    TWO_TASKS,
    audit_d1b,
    audit_d1e,
    audit_d4,
    audit_d5b,
    audit_d6b,
    audit_fig1,
)
from pkverify.checks.paper.finding import Finding
from pkverify.checks.paper.width import DRIFT, drift_evidence
from pkverify.claims import CLAIMS
from pkverify.claims.definitions import CLAIMS as PART
from pkverify.evidence import Verdict
from pkverify.exact.paper_definitions import sum_product_counts
from pkverify.precise.route import decompose_precise
from pkverify.problem_file import parse_problem

NUDGE = Fraction(1, 10**6)


def test_every_claim_of_the_part_has_an_audit_and_no_other() -> None:
    assert set(AUDITS) == {claim.id for claim in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_an_audit_establishes_what_the_registry_says(claim: str) -> None:
    finding = AUDITS[claim]()

    assert finding.claim == claim
    assert finding.status is CLAIMS[claim].status
    assert finding.evidence.verdict is not Verdict.INCONCLUSIVE
    assert finding.repaired is None or finding.repaired.verdict.holds


def nudged(value: Any, place: int | None, by: Fraction) -> Any:
    return value + by if place is None else tuple(v + by if k == place else v for k, v in enumerate(value))


@pytest.mark.parametrize(
    ("audit", "data", "field", "place", "by", "stands"),
    [
        *((audit_d1b, PRODUCT, field, None, NUDGE, True) for field in ("start", "horizon")),
        *((audit_d1b, PRODUCT, "targets", place, NUDGE, False) for place in range(3)),
        *((audit_d1e, RADIAL_BASIS, field, None, NUDGE, True) for field in ("centre", "rate", "kernel_rate")),
        *((audit_d1e, RADIAL_BASIS, "points", place, NUDGE, True) for place in range(4)),
        (audit_d1e, RADIAL_BASIS, "points", 0, Fraction(1, 2), False),
        (audit_d1e, replace(RADIAL_BASIS, rate=Fraction(1)), "centre", None, Fraction(1), False),
        *((audit_fig1, TWO_TASKS, "targets", place, NUDGE, False) for place in range(2)),
        *((audit_fig1, TWO_TASKS, "curvatures", place, NUDGE, True) for place in range(2)),
        (audit_fig1, TWO_TASKS, "horizon", None, NUDGE, True),
        (audit_fig1, TWO_TASKS, "horizon", None, Fraction(-1, 2), False),
        *((audit_d6b, ONE_WEIGHT, field, None, NUDGE, True) for field in ("start", "horizon")),
        *((audit_d6b, ONE_WEIGHT, "inputs", place, NUDGE, True) for place in range(3)),
        (audit_d6b, ONE_WEIGHT, "inputs", 0, Fraction(1), False),
        (audit_d6b, ONE_WEIGHT, "horizon", None, Fraction(-1), False),
    ],
)
def test_an_example_stands_or_falls_with_its_data(
    audit: Callable[[Any], Finding], data: Any, field: str, place: int | None, by: Fraction, stands: bool
) -> None:
    finding = audit(replace(data, **{field: nudged(getattr(data, field), place, by)}))

    assert (finding.status is CLAIMS[finding.claim].status) == stands
    assert (finding.evidence.verdict is Verdict.INCONCLUSIVE) != stands


@pytest.mark.parametrize(
    ("other", "stands"), [(OTHER_INPUT, True), (1 + NUDGE, True), (1 - NUDGE, False), (Fraction(1), False)]
)
def test_a_smaller_input_does_not_outweigh(other: Fraction, stands: bool) -> None:
    assert (audit_d5b(other).evidence.verdict is Verdict.INCONCLUSIVE) != stands


@pytest.mark.parametrize(
    ("rate", "stands"), [(STEP_RATE, True), (STEP_RATE + NUDGE, True), (1 - NUDGE, True), (Fraction(1), False)]
)
def test_one_step_may_reach_the_minimum(rate: Fraction, stands: bool) -> None:
    assert (audit_d4(rate).evidence.verdict is Verdict.INCONCLUSIVE) != stands


# The numbers.


def values(finding: Finding) -> dict[str, str]:
    return dict(finding.witnesses[0].values)


def test_numbers_of_the_product() -> None:
    found = values(audit_d1b())

    assert [round(float(found[f"a({y})"]), 5) for y in (1, 2, 3)] == [0.48324, 0.746, 0.75392]
    assert found["second difference"].startswith("-0.2548")


def test_numbers_of_the_radial_basis() -> None:
    assert round(float(values(audit_d1e())["determinant"]), 8) == -0.00188899


def test_numbers_of_figure_1() -> None:
    found = {name: round(float(value), 5) for name, value in values(audit_fig1()).items()}

    assert found == {"K_1": 0.73576, "K_2": 0.63212, "contribution 1": 0.39958, "contribution 2": 0.43233}


def test_numbers_of_the_strict_kernel() -> None:
    sums = np.add.outer([1, 2, 3], [1, 2, 3]).astype(float)
    gram = np.outer([1, 2, 3], [1, 2, 3]) * np.expm1(sums) / sums

    assert values(audit_d6b())["det K"].startswith("12.19231873")
    assert np.linalg.eigvalsh(gram) == pytest.approx([0.008848, 2.0931, 658.33], rel=1e-4)


@pytest.mark.parametrize("size", [4, 16, 64, 256])
def test_monomials_of_the_sum_product_tree(size: int) -> None:
    found = sum_product_counts((size,))

    assert found.holds
    assert found.values[0][1] == str(2 ** (round(size**0.5) - 1))


def test_the_kernel_of_a_wide_network_drifts_less() -> None:
    found = drift_evidence(DRIFT)

    assert found.verdict is Verdict.SUPPORTED
    assert found.residual is not None
    assert 1.4 < float(found.residual) < 8


def test_a_drift_that_does_not_fall_is_not_supported() -> None:
    assert drift_evidence(replace(DRIFT, widths=(16, 17), seeds=3)).verdict is Verdict.INCONCLUSIVE


# The problem files, by the precise route.


def decompositions(name: str) -> Any:
    file = resources.files("pkverify.cases") / "counterexamples" / f"{name}.toml"
    return decompose_precise(parse_problem(file.read_text(encoding="utf-8")), 12)


def test_problem_files_give_the_same_numbers() -> None:
    (product,) = decompositions("d1b")
    (own,) = decompositions("d5b")
    (figure,) = decompositions("fig1")
    strict = decompositions("d6b")

    assert str(product.weights[0]).startswith("0.74599631")
    assert float(own.path_kernel[1]) == 10 * float(own.path_kernel[0])
    assert [round(float(k), 5) for k in figure.path_kernel] == [0.73576, 0.63212]
    assert [round(float(c), 5) for c in figure.contributions] == [0.39958, 0.43233]
    # K(1, 1) = (e^2 - 1)/2
    assert float(strict[0].path_kernel[0]) == pytest.approx(np.expm1(2) / 2, rel=1e-10)


def test_every_named_problem_file_is_there() -> None:
    names = {witness.problem for audit in AUDITS.values() for witness in audit().witnesses} - {""}

    assert names == {"d1b", "d5b", "fig1", "d6b"}
    for name in names:
        assert (resources.files("pkverify.cases") / "counterexamples" / f"{name}.toml").is_file()
