"""H3, H4, the range of -L'_i and the weights, on problems where all of them are known by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pkverify.certified.along import PathView
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.certified.hypotheses import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Range,
    is_average,
    kernel_nonzero,
    kernel_sign,
    kernel_vanishes,
    kernel_weight,
    loss_derivative_range,
)
from pkverify.problem_file import parse_problem

# f = w^2 x^2/2 + w x: the slope in w at x is x + w x^2, which is 0 where w = -1/x. The example at 1 takes w from 0 up
# to sqrt(3) - 1, the root of w^2/2 + w = 1; at x = -2 the slope -2 + 4 w changes its sign on the way.
TURNING = """
model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x + w**2*x**2/2"}
loss = {kind = "squared"}
data = {x = [["1"]], y = ["1"]}
flow = {initial = ["0"], horizon = "1"}
query = {x = [["-2"], ["1"], ["-1/2"], ["0"]]}
"""
DECAY = """
model = {kind = "linear", bias = false}
loss = {kind = "squared"}
data = {x = [["1"], ["0"]], y = ["2", "1"]}
flow = {initial = ["0"], horizon = "1"}
query = {x = [["3"], ["-1"]]}
"""


@pytest.fixture(scope="module")
def turning() -> PathView:
    return PathView(enclose(parse_problem(TURNING), 15))


@pytest.fixture(scope="module")
def decay() -> Enclosure:
    return enclose(parse_problem(DECAY), 15)


@pytest.mark.parametrize(("query", "finding", "sign"), [(0, FAILS, 0), (1, HOLDS, 1), (2, HOLDS, -1), (3, HOLDS, 0)])
def test_the_sign_of_the_tangent_kernel(turning: PathView, query: int, finding: str, sign: int) -> None:
    found = kernel_sign(turning, query, 0, 0)

    assert (found.finding, found.sign) == (finding, sign)


def test_both_signs_come_with_their_times(turning: PathView) -> None:
    found = kernel_sign(turning, 0, 0, 0)

    # w passes 1/2 once, from below: K_t is negative before, positive after.
    assert found.positive_at is not None
    assert found.negative_at is not None
    assert 0 <= found.negative_at < found.positive_at <= 1


def test_a_kernel_that_touches_zero_is_undecided() -> None:
    touching = parse_problem("""
    model = {kind = "expression", params = ["w", "v"], inputs = ["x"], output = "x*w**2 + (1 - x)*v"}
    loss = {kind = "squared"}
    data = {x = [["0"], ["1"]], y = ["1", "0"]}
    flow = {initial = ["0", "0"], horizon = "1"}
    query = {x = [["1"]]}
    """)
    view = PathView(enclose(touching, 10))

    assert kernel_sign(view, 0, 0, 1).finding == UNDECIDED  # 4 w^2, and w stays 0: zero, though not by its form


@pytest.mark.parametrize(("query", "example", "expected"), [(0, 0, HOLDS), (0, 1, FAILS), (1, 0, HOLDS), (1, 1, FAILS)])
def test_kernels_are_nonzero_or_zero_by_their_form(decay: Enclosure, query: int, example: int, expected: str) -> None:
    assert kernel_nonzero(decay, query, 0, example) == expected
    assert kernel_vanishes(decay, query, 0, example) is (expected == FAILS)


def test_orthogonal_inputs_cancel_exactly() -> None:
    orthogonal = enclose(
        parse_problem("""
    model = {kind = "linear", bias = false}
    loss = {kind = "squared"}
    data = {x = [["1/3", "1/7"], ["1/3", "1/8"]], y = ["1", "1"]}
    flow = {initial = ["0", "0"], horizon = "1"}
    query = {x = [["3/7", "-1"]]}
    """),
        10,
    )

    assert [kernel_nonzero(orthogonal, 0, 0, i) for i in range(2)] == [FAILS, HOLDS]
    assert isinstance(kernel_weight(orthogonal, 0, 0), str)


def test_the_range_of_the_loss_derivative(decay: Enclosure) -> None:
    values = loss_derivative_range(PathView(decay), 0)  # 2 exp(-t)

    low, high = 0.7357588823428847, 2.0
    assert values.lower <= low + 1e-15
    assert high - 1e-15 <= values.upper
    assert values.attained_low >= low - 1e-15
    assert values.attained_high <= high + 1e-12
    assert float(values.upper - values.lower) < (high - low) * 1.05
    assert not values.is_constant


def test_the_weight_is_an_average(decay: Enclosure) -> None:
    weight = kernel_weight(decay, 0, 0)

    assert not isinstance(weight, str)
    assert weight[0].contains(Fraction("1.2642411176571153")) or abs(float(weight[0].mid) - 1.2642411176571153) < 1e-15
    assert is_average(weight[0], loss_derivative_range(PathView(decay), 0)) == HOLDS


def test_a_weight_that_is_no_average_is_refuted(turning: PathView) -> None:
    weight = kernel_weight(turning.enclosure, 0, 0)

    assert not isinstance(weight, str)
    assert is_average(weight[0], loss_derivative_range(turning, 0)) == FAILS


ZERO_TO_ONE = Range(Fraction(0), Fraction(1), Fraction(1, 100), Fraction(99, 100), is_constant=False)


@pytest.mark.parametrize(
    ("mid", "rad", "expected"),
    [
        ("1/2", "1/100", HOLDS),
        ("1/2", "49/100", HOLDS),
        ("1/2", "1/2", UNDECIDED),
        ("0", "1/1000", UNDECIDED),
        ("2", "1", UNDECIDED),
        ("2", "1/2", FAILS),
        ("-1/2", "1/4", FAILS),
    ],
)
def test_averages_are_judged_by_the_whole_ball(mid: str, rad: str, expected: str) -> None:
    assert is_average(Enclosed(Fraction(mid), Fraction(rad)), ZERO_TO_ONE) == expected


def test_a_constant_derivative_is_its_own_average() -> None:
    constant = Range(Fraction(1), Fraction(1), Fraction(1), Fraction(1), is_constant=True)

    assert is_average(Enclosed(Fraction(1), Fraction(1, 10**20)), constant) == HOLDS


def test_vector_weights_solve_the_kernel_matrix() -> None:
    softmax = enclose(
        parse_problem("""
    model = {kind = "linear", bias = true}
    loss = {kind = "squared"}
    data = {x = [["1"]], y = [["1", "-1"]]}
    flow = {initial = ["0", "0", "0", "0"], horizon = "1"}
    query = {x = [["2"]]}
    """),
        12,
    )
    weight = kernel_weight(softmax, 0, 0)

    assert not isinstance(weight, str)
    # each output: w x + b with slope |(1, 1)|^2 = 2; -L' = exp(-2 t), its average over [0, 1]
    expected = (1 - 2.718281828459045**-2) / 2
    assert [round(float(w.mid), 12) for w in weight] == [round(expected, 12), round(-expected, 12)]
