"""Gradient descent is as near to the flow as its bound says, and first order in the learning rate."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import midpoint, real, working_precision
from pkverify.cases import CASES, case_problems
from pkverify.certified import descent
from pkverify.certified.descent import (
    DescentBound,
    DescentConstants,
    RateBound,
    descend,
    descent_bound,
    distance,
    rate_bound,
)
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.errors import InputError, UntreatableError
from pkverify.problem_file import parse_problem

NEURON = """
model = {kind = "expression", params = ["w0", "w1"], inputs = ["x"], output = "tanh(w0*x + w1)"}
loss = {kind = "squared"}
data = {x = [["1"], ["-1/2"]], y = ["7/10", "1/5"]}
flow = {initial = ["1/10", "-1/5"], horizon = "2"}
"""
LINE = """
model = {kind = "linear", bias = true}
loss = {kind = "squared"}
data = {x = [["0"], ["1"], ["2"]], y = ["1/2", "1", "5/2"]}
flow = {initial = ["0", "1/4"], horizon = "1"}
"""


@pytest.fixture(scope="module", params=[NEURON, LINE], ids=["neuron", "line"])
def flow(request: pytest.FixtureRequest) -> Enclosure:
    return enclose(parse_problem(request.param), 15)


def both(flow: Enclosure, steps: int) -> tuple[DescentBound, Enclosed]:
    rate = flow.problem.horizon / steps
    return descent_bound(flow, rate), distance(descend(flow.problem, rate, steps), flow.final_params)


@pytest.mark.parametrize("steps", [50, 200, 1000])
def test_descent_is_within_its_bound(flow: Enclosure, steps: int) -> None:
    bound, apart = both(flow, steps)

    assert apart.lower > 0
    assert apart.upper <= bound.distance <= bound.tube
    assert bound.exponential is None or bound.exponential >= bound.distance


def test_the_bound_falls_with_the_learning_rate(flow: Enclosure) -> None:
    coarse, fine = both(flow, 100)[0], both(flow, 1000)[0]

    assert 8 < coarse.distance / fine.distance < 16


def test_a_bound_without_acceleration_is_too_small(flow: Enclosure) -> None:
    bound, apart = both(flow, 200)

    # what is left of it where the curvature of the path is taken for a thousandth of what it is
    assert bound.distance / 1000 < apart.lower


@pytest.mark.parametrize(("rate", "steps"), [("1/3", 4), ("3/10", None), ("-1", None), ("1/10000000", None)])
def test_steps_that_miss_the_horizon_are_bad_input(rate: str, steps: int | None) -> None:
    with pytest.raises(InputError, match="horizon"):
        descent_bound(enclose(parse_problem(LINE), 10), Fraction(rate), steps)


def test_a_learning_rate_too_large_is_refused() -> None:
    steep = LINE.replace('"2"]]', '"20"]]').replace('horizon = "1"', 'horizon = "8"')

    with pytest.raises(UntreatableError):
        descent_bound(enclose(parse_problem(NEURON.replace('"7/10"', '"70"')), 8), Fraction(1))
    diverged = descend(parse_problem(steep), Fraction(1, 8), 8)  # 1 - 400/8 each step: exact, and far away
    assert abs(diverged[0].mid) > 10**6


def test_distances_of_balls_enclose_those_of_their_points() -> None:
    left = (Enclosed(Fraction(0), Fraction(1, 8)), Enclosed(Fraction(1), Fraction(0)))
    right = (Enclosed(Fraction(3), Fraction(1, 8)), Enclosed(Fraction(5), Fraction(0)))

    apart = distance(left, right)

    assert apart.contains(5)
    assert Fraction(1, 8) < apart.rad < Fraction(1, 4)
    assert distance(left, left).contains(0)


# w' = w from 1: the error is 3 exp(3) eps/2, larger than half the length of the path. w' = w^3/2 runs away from 1/2.
GROWING = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x"}
loss = {kind = "expression", value = "-y**2/2"}
data = {x = [["1"]]}
flow = {initial = ["1"], horizon = "3"}
"""
RUNNING = GROWING.replace("-y**2/2", "-y**4/8").replace('initial = ["1"]', 'initial = ["1/2"]')
STEEP = LINE.replace('"2"]]', '"20"]]')
PROBLEMS = {"neuron": NEURON, "line": LINE, "growing": GROWING, "running": RUNNING, "steep": STEEP}


def rated(text: str) -> tuple[Enclosure, RateBound]:
    flow = enclose(parse_problem(text), 12)
    return flow, rate_bound(flow)


def at(flow: Enclosure, steps: int) -> Enclosed:
    return distance(descend(flow.problem, flow.problem.horizon / steps, steps), flow.final_params)


@pytest.mark.parametrize("name", list(PROBLEMS))
@pytest.mark.parametrize("finer", [1, 3, 10])
def test_distances_are_below_the_constant_times_every_smaller_learning_rate(name: str, finer: int) -> None:
    flow, bound = rated(PROBLEMS[name])
    steps = finer * bound.steps + finer - 1

    assert bound.steps * bound.learning_rate == flow.problem.horizon
    assert bound.constant * bound.learning_rate <= bound.tube
    assert at(flow, steps).upper <= bound.constant * flow.problem.horizon / steps


@pytest.mark.parametrize("case", list(CASES))
def test_every_case_problem_has_a_rate(case: str) -> None:
    for name, problem in case_problems(case):
        bound = rate_bound(enclose(problem, 8))
        assert bound.steps < 2000, name


def test_a_constant_without_growth_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, bound = rated(GROWING)

    def still(constants: DescentConstants, tube: Fraction) -> object:
        return [replace(tile, least=real(0)) for tile in tiles(constants, tube) or []]

    tiles = DescentConstants.tiles
    monkeypatch.setattr(DescentConstants, "tiles", still)
    steps = 1000
    wrong = descent_bound(flow, Fraction(3, steps)).rate_constant

    assert wrong is not None
    assert bound.constant * 3 / steps >= at(flow, steps).upper
    assert wrong * 3 / steps < at(flow, steps).lower


def test_a_constant_without_acceleration_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, bound = rated(NEURON)

    def straight(constants: DescentConstants, tube: Fraction) -> object:
        return [replace(tile, acceleration=tile.acceleration / 100) for tile in tiles(constants, tube) or []]

    tiles = DescentConstants.tiles
    monkeypatch.setattr(DescentConstants, "tiles", straight)
    wrong, steps = rate_bound(flow), 10 * bound.steps

    assert wrong.constant * flow.problem.horizon / steps < at(flow, steps).lower


def test_learning_rates_too_large_for_the_steepest_direction_break_the_bound() -> None:
    """What ``eps hi <= 1`` is for: at a quarter of the steps the descent has left."""
    flow, bound = rated(STEEP)
    steps = bound.steps // 4

    assert at(flow, steps).lower > bound.constant * flow.problem.horizon / steps


@pytest.mark.parametrize("text", [NEURON, RUNNING])
def test_constants_of_the_path_alone_fail_away_from_it(text: str) -> None:
    """What the tube is for: around it the Hessian has larger eigenvalues than on the path."""
    known = DescentConstants(enclose(parse_problem(text), 12))
    on_path, nearby = known.tiles(Fraction(0)), known.tiles(Fraction(1, 4))

    assert on_path is not None
    assert nearby is not None
    assert all(a.largest <= b.largest and a.least >= b.least for a, b in zip(on_path, nearby, strict=True))
    assert max(float(b.largest) for b in nearby) > max(float(a.largest) for a in on_path) + 0.01


@pytest.mark.parametrize("steps", [40, 64, 333, 1000])
@pytest.mark.parametrize("text", [NEURON, RUNNING, LINE])
def test_sums_over_tiles_are_those_over_steps(text: str, steps: int) -> None:
    flow = enclose(parse_problem(text), 12)
    tiles, rate = DescentConstants(flow).tiles(Fraction(1, 64)), flow.problem.horizon / steps
    assert tiles is not None

    with working_precision(64):
        found = descent._recurrence(tiles, rate, steps)
    reached = largest = 0.0
    for n in range(steps):
        over = [t for t in tiles if t.start < (n + 1) * rate and t.end > n * rate]
        factor = max(abs(1 - float(rate) * float(v)) for v in (over[0].least, over[0].largest))
        reached = factor * reached + float(rate) ** 2 * max(float(midpoint(t.acceleration)) for t in over) / 2
        largest = max(largest, reached)

    assert found is not None
    assert largest * (1 - 1e-9) <= float(found) < largest * 1.001


def test_constants_are_shared_between_learning_rates(flow: Enclosure) -> None:
    known, rate = DescentConstants(flow), flow.problem.horizon / 100

    assert descent_bound(flow, rate, constants=known) == descent_bound(flow, rate)
    assert rate_bound(flow, known) == rate_bound(flow)


def test_a_wide_descent_is_run_again_with_the_bits_that_it_needs() -> None:
    """Each step loses bits: of a thousand steps with the slope 400 more than 128 are lost."""
    steep = parse_problem(STEEP)
    found = descend(steep, Fraction(1, 1000), 1000)

    assert max(value.excess for value in found) <= Fraction(1, 2**40)
    exact = [Fraction(0), Fraction(1, 4)]
    assert all(value.contains(true) for value, true in zip(descend(steep, Fraction(1, 8), 0), exact, strict=True))
