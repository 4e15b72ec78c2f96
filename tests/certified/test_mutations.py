"""Each ingredient of the method carries weight: without it, an enclosure misses the truth, and these tests see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pkverify.arithmetic.ball import Ball, real, working_precision
from pkverify.certified import bounds, follow, integrals, system
from pkverify.certified.enclosure import enclose, enclose_once
from pkverify.certified.follow import Follower, TooCoarseError
from pkverify.certified.system import make_system
from pkverify.problem_file import parse_problem
from tests.certified.closed_forms import FAMILIES, misses, true_case


def nothing(*_: Any) -> Ball:
    return real(0)


def without_growth(error: Ball, defect: Ball, length: Ball, _: Ball) -> tuple[Ball, Ball]:
    return error + defect * length, error + defect * length


def without_radius(_: Ball, defect: Ball, length: Ball, log_norm: Ball) -> tuple[Ball, Ball]:
    return PROPAGATED(real(0), defect, length, log_norm)


def without_defect(error: Ball, _: Ball, length: Ball, log_norm: Ball) -> tuple[Ball, Ball]:
    return PROPAGATED(error, real(0), length, log_norm)


PROPAGATED = bounds.propagated_error

# What is taken away, the families of problems that show it, and the degree of p in the run that does.
MUTATIONS: list[tuple[str, Any, str, Any, tuple[str, ...]]] = [
    ("the Cauchy tail", bounds, "cauchy_tail", nothing, ("blow-up", "sine", "balanced", "logit")),
    ("the logarithmic norm", bounds, "propagated_error", without_growth, ("growth", "blow-up")),
    ("the radius carried over", bounds, "propagated_error", without_radius, ("growth", "blow-up", "balanced")),
    ("the defect", bounds, "propagated_error", without_defect, ("growth", "blow-up", "sine")),
    ("the distance to the path", bounds, "lipschitz_part", nothing, ("growth",)),
]


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polynomials of degree 5, a defect that is all in the tail, and few nodes: no bound has room to spare."""
    monkeypatch.setattr(follow, "series_order", lambda _: 5)
    monkeypatch.setattr(follow, "expansion_order", lambda _, degree: degree - 1)
    monkeypatch.setattr(follow, "_LONGEST_SERIES", 1e9)
    monkeypatch.setattr(integrals, "node_count", lambda *_: 2)


def violations(families: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for family in families:
        for seed in range(20, 32):
            truth = true_case(family, seed)
            try:
                enclosure = enclose_once(truth.problem, 5, truth.problem.query_inputs, 3.0)
            except TooCoarseError:
                continue
            found += [f"{family} {seed}: {name}" for name in misses(truth, enclosure)]
    return found


def of_few_nodes(monkeypatch: pytest.MonkeyPatch, family: str, count: int) -> list[str]:
    """What is missed along a path that is known well, when integrals are sums over so many nodes a step."""
    monkeypatch.setattr(integrals, "node_count", lambda *_: count)
    cases = [true_case(family, seed) for seed in range(20, 22)]
    return [
        name
        for truth in cases
        for name in misses(truth, enclose_once(truth.problem, 5, truth.problem.query_inputs, 14.0))
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 3])
def test_integrals_of_few_nodes_hold_by_their_tail(monkeypatch: pytest.MonkeyPatch, family: str, count: int) -> None:
    assert of_few_nodes(monkeypatch, family, count) == []

    monkeypatch.setattr(bounds, "quadrature_tail", nothing)
    missed = of_few_nodes(monkeypatch, family, count)

    assert not any("params" in name or "output" in name for name in missed)
    assert len(missed) >= 4


@pytest.mark.usefixtures("coarse")
def test_coarse_enclosures_hold() -> None:
    assert violations(tuple(FAMILIES)) == []


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("module", "name", "mutant", "families"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS]
)
def test_a_missing_ingredient_is_seen(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, mutant: Callable[..., Any], families: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, name, mutant)

    assert violations(families) != []


def falsely_bounded(seed: int) -> int:
    """How many steps of a quartic flow claim a bound of -L'' = 3 w^2 that the end of p exceeds."""
    steps = enclose(true_case("quartic", seed).problem, 10).steps
    return sum(3 * step.final[0] ** 2 > step.log_norms[-1] for step in steps)


def test_no_convexity_is_assumed_of_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    assert falsely_bounded(20) == 0

    monkeypatch.setattr(system, "has_convex_data", lambda *_: True)
    assert falsely_bounded(20) > 0


CUBIC = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w"}
loss = {kind = "expression", value = "-25*y**4"}
data = {x = [["1"]]}
flow = {initial = ["0"], horizon = "1"}
"""


def narrow_step(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One step beside p = 0 of w' = 100 w^3, at a distance of 1/16, in a tube of 2^-30."""
    monkeypatch.setattr(follow, "_dyadic_above", lambda *_: follow.Fraction(1, 2**30))
    with working_precision(100):
        follower = Follower(make_system(parse_problem(CUBIC), []), 10.0)
        follower.error = real(follow.Fraction(1, 16))
        return next(follower.steps())[0]


def test_a_tube_that_is_too_narrow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooCoarseError):
        narrow_step(monkeypatch)


def test_an_unchecked_tube_claims_a_flow_that_blows_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "stays_within", lambda *_: True)

    step = narrow_step(monkeypatch)

    # From 1/16 the true flow is w = (256 - 200 t)^(-1/2): still finite at the end of the step, but far from 1/16.
    assert step.length == 1
    assert float(step.error_end) < (256 - 200) ** -0.5
