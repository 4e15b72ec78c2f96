"""Kinks of relu and abs on the path: crossed and split, or refused by name; and flows out of budget or scale."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from mpmath import mp, mpf

from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.errors import PkverifyError
from pkverify.precise import flow, kinks
from pkverify.precise.kinks import first_crossing
from pkverify.precise.route import decompose_precise, solve_precise
from pkverify.precise.solution import Solution
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.precise.failure_cases import LINEAR, RISING, failure, problem_of, real

# H0: kinks.

RELU = problem_of("relu(w + x)", "0", "2", '"1/2"', "2", query='"-1"')


def test_a_kink_that_only_the_query_meets_splits_its_integrals() -> None:
    """Claims, E8: w = 2 - 3/2 e^-t crosses 1 at t_c = log(3/2)."""
    solution = solve_precise(RELU, 30)
    [found] = decompose_precise(RELU, 30)
    with mp.workdps(45):
        crossing = mp.log(mpf(3) / 2)
        kernel, final = 2 - crossing, 1 - mpf(3) / 2 * mp.exp(-2)
        for printed, value in (
            (found.path_kernel[0], kernel),
            (found.final_output, final),
            (found.weights[0], final / kernel),
        ):
            assert isinstance(printed, str)
            assert abs(mpf(printed) - value) < mpf(10) ** -28
        [(time, name)] = solution.path.kinks
        assert (name, time) == ("relu", pytest.approx(float(crossing), abs=1e-12))
    assert found.initial_output == "0"
    published = {
        found.path_kernel[0]: "1.594534892",
        found.weights[0]: "0.4998304391",
        found.final_output: "0.7969970751",
    }
    assert all(f"{float(str(a)):.10g}" == f"{float(b):.10g}" for a, b in published.items())


@pytest.mark.parametrize("digits", [6, 15, 60, 200])
def test_a_crossing_is_found_to_all_digits(digits: int) -> None:
    [found] = decompose_precise(RELU, digits)
    with mp.workdps(digits + 10):
        assert isinstance(found.path_kernel[0], str)
        assert abs(mpf(found.path_kernel[0]) - 2 + mp.log(mpf(3) / 2)) < mpf(10) ** (2 - digits)


def test_a_kink_in_the_flow_itself_is_crossed() -> None:
    """L = (w + relu(w - 1) - 3)**2 / 2 from 0: w = 3 (1 - e^-t) up to 1, then w = 2 - e^(-4 (t - t_c))."""
    solution = solve_precise(problem_of("w + relu(w - x)", "1", "3", "0", "1"), 25)
    with mp.workdps(35):
        crossing = mp.log(mpf(3) / 2)
        w = 2 - mp.exp(-4 * (1 - crossing))
        assert abs(real(solution.final_outputs[0][0]) - (2 * w - 1)) < mpf(10) ** -23
        assert abs(real(solution.path_kernels[0][0][0][0]) - (crossing + 4 * (1 - crossing))) < mpf(10) ** -23


def test_abs_is_crossed_where_the_slope_keeps_the_flow_moving() -> None:
    """L = -(3 w + |w|): w' = 2 up to 0, then 4."""
    solution = solve_precise(problem_of("3*w + abs(w)", "1", None, '"-1"', "2", loss=LINEAR), 20)

    assert abs(solution.final_outputs[0][0] - 24) < Fraction(1, 10**17)  # w = -1 + 2/2, then 4 * 3/2 = 6
    assert [name for _, name in solution.path.kinks] == ["abs"]


CLOSE = ["1/1000", "1e-7", "1e-10", "1e-13", "1e-17", "1e-30", "0"]


@pytest.mark.parametrize("apart", CLOSE)
@pytest.mark.parametrize("digits", [10, 25])
def test_kinks_close_to_each_other_are_each_crossed(apart: str, digits: int) -> None:
    """w = 3 - 5/2 e^-t; each example of relu(w - x) comes in when w passes its input."""
    gap = Fraction(apart)
    problem = problem_of("relu(w - x) + x", f'"0", "1", "{1 + gap}"', "3, 3, 3", '"1/2"', "1")
    solution = solve_precise(problem, digits)
    with mp.workdps(50):
        first = mp.log(mpf(5) / 4)
        # to 1 at rate 1, to 1 + gap at rate 2, then 3
        between = mp.log(2 / (2 - real(gap))) / 2
        left = (2 - real(gap)) * mp.exp(-3 * (1 - first - between))
        assert abs(real(solution.path.numbers.fraction(solution.path.final[0])) - (3 - left)) < mpf(10) ** (1 - digits)
        assert abs(real(solution.path_kernels[0][2][0][0]) - (1 - first - between)) < mpf(10) ** (1 - digits)
    assert len(solution.path.kinks) == 2


def test_many_kinks_are_crossed_one_after_the_other() -> None:
    """w = t passes 1/10, ..., 9/10 under a linear loss at the input 0; the query sums the slopes."""
    bumps = " + ".join(f"relu(w - {k}/10)" for k in range(1, 10))
    solution = solve_precise(problem_of(f"w + x*({bumps})", "0", None, "0", "1", query="1", loss=LINEAR), 20)

    assert len(solution.path.kinks) == 9 * 2  # in the query's row, and in the example's, where x = 0 hides them
    assert abs(solution.final_outputs[0][0] - Fraction(11, 2)) < Fraction(1, 10**18)
    assert abs(solution.path_kernels[0][0][0][0] - Fraction(11, 2)) < Fraction(1, 10**18)


def test_a_kink_at_the_horizon_itself_does_no_harm() -> None:
    solution = solve_precise(problem_of("w + relu(w - x)", "1", None, "0", "1", loss=LINEAR), 20)

    assert abs(solution.final_outputs[0][0] - 1) < Fraction(1, 10**18)
    assert abs(solution.path_kernels[0][0][0][0] - 1) < Fraction(1, 10**18)


ON_KINK = {
    "relu": ("relu(w) + w*x", "0", "relu"),
    "abs": ("abs(w) + w*x", "0", "abs"),
    "where rounding moves it": ("relu(3*w - 1) + w*x", '"1/3"', "relu"),
    "where a large factor moves it far": ("relu(3000000000*w - 1000000000) + w*x", '"1/3"', "relu"),
    "in a product": ("abs((w - 1/3)*(w + 7)) + x*w", '"1/3"', "abs"),
    "inside another": ("relu(relu(w) + w - 1) + x*w", '"1/2"', "relu"),
    "in the middle of others": ("relu(w + 1)*abs(w - 2/7)*relu(w + x)", '"2/7"', "abs"),
    "by the input": ("relu(w*x - 1/2)", '"1/2"', "relu"),
}


@pytest.mark.parametrize("case", ON_KINK)
@pytest.mark.parametrize("digits", [6, 25])
def test_a_start_on_a_kink_is_refused_by_its_name(case: str, digits: int) -> None:
    output, start, name = ON_KINK[case]
    error = failure(problem_of(output, "1", "2", start, "1"), digits)

    assert (error.hypothesis, error.time) == ("H0", 0.0)
    assert f"kink of {name}" in error.what


def test_a_start_on_a_kink_of_the_query_alone_is_refused() -> None:
    assert failure(problem_of("relu(w + x)", "1", "2", "0", "1", query="0")).hypothesis == "H0"


@pytest.mark.parametrize("digits", [9, 20, 60, 300])
def test_a_start_next_to_a_kink_is_on_its_side(digits: int) -> None:
    """y = relu(3 w - 1) from 0+: y' = 9 (2 - y). From 0-, nothing moves."""
    little, third = Fraction(1, 10**digits), Fraction(1, 3)
    above, below = (
        solve_precise(problem_of("relu(3*w - 1)", "1", "2", f'"{third + sign * little}"', "1"), 12) for sign in (1, -1)
    )

    assert abs(float(above.final_outputs[0][0]) - 2 * (1 - math.exp(-9))) < 1e-8
    assert below.final_outputs[0][0] == 0


def test_a_start_that_no_digits_tell_apart_from_a_kink_is_bad_input() -> None:
    """exp(w) = exp(x) exactly, which no rational arithmetic sees."""
    with pytest.raises(PkverifyError, match="relu") as error:
        solve_precise(problem_of("relu(exp(w) - exp(2*x)**(1/2)) + w", "1", "2", "1", "1"), 10)

    assert error.value.exit_code == 2


SLIDING = {
    "towards abs from above": ("abs(w)", RISING, "1"),  # w' = -1, then it would be 1
    "towards abs from below": ("abs(w)", RISING, '"-1"'),
    "between two slopes": ("abs(w) + w/2", RISING, "1"),
    "into a flat that stops it": ("relu(w)", RISING, "1"),  # w' = -1, then 0
    "two parameters": ("abs(u - v) + u/9", RISING, "1, 0"),
}


@pytest.mark.parametrize("case", SLIDING)
@pytest.mark.parametrize("digits", [8, 25])
def test_sliding_along_a_kink_is_refused(case: str, digits: int) -> None:
    output, loss, start = SLIDING[case]
    error = failure(problem_of(output, "1", None, start, "3", loss=loss), digits)

    assert error.hypothesis == "H0"
    assert "does not cross it" in error.what
    assert error.time > 0


@pytest.mark.parametrize("case", [c for c in SLIDING if c != "two parameters"])
def test_up_to_the_kink_the_same_flow_is_followed(case: str) -> None:
    output, loss, start = SLIDING[case]
    solution = solve_precise(problem_of(output, "1", None, start, "1/2", loss=loss), 15)

    assert solution.path.kinks == []


def test_touching_a_kink_without_crossing_is_refused() -> None:
    """w = t, and the query's argument (t - 1/2)**2 touches 0."""
    error = failure(problem_of("w + x*relu((w - 1/2)**2)", "0", None, "0", "1", query="1", loss=LINEAR))

    assert (error.hypothesis, "touches" in error.what) == ("H0", True)


@pytest.mark.parametrize("above", ["1/1000", "1/100000"])
def test_passing_close_above_a_kink_is_no_touch(above: str) -> None:
    output = f"w + x*relu((w - 1/2)**2 + {above})"
    solution = solve_precise(problem_of(output, "0", None, "0", "1", query="1", loss=LINEAR), 15)

    assert solution.path.kinks == []
    assert abs(solution.residual(0, 0)) < Fraction(1, 10**13)


FROZEN = {
    "x = 0": "relu(w*x) + w",
    "x = 0 within tanh": "relu(tanh(w*x)) + w",
    "x = 0 within another": "relu(w*relu(w*x)) + w",
    "x = 0 within abs": "abs(sin(w)*x) + w",
}


@pytest.mark.parametrize("case", FROZEN)
def test_an_argument_that_is_0_at_all_parameters_is_no_kink(case: str) -> None:
    """The example at 0 is that of y = w: alone, w = 1 - e^-t."""
    solution = solve_precise(problem_of(FROZEN[case], "0", "1", "0", "1"), 15)

    assert solution.path.kinks == []
    assert abs(float(solution.final_outputs[0][0]) - 0.6321205588285577) < 1e-12


def test_a_deep_relu_net_without_bias_takes_an_example_at_0() -> None:
    problem = parse_problem("""
        model = {kind = "mlp", layers = [2, 2, 2, 1], activation = "relu", bias = false}
        loss.kind = "squared"
        data = {x = [[0, 0], [1, 2]], y = [1, 2]}
        flow = {initial = ["1", "1/2", "1/3", "1", "1", "1/5", "1/2", "1", "1/3", "1/2"], horizon = "1/2"}
    """)
    solution = solve_precise(problem, 15)

    assert solution.final_outputs[0] == (0,)
    assert abs(solution.residual(1, 0)) < Fraction(1, 10**13)


OFF = """
    model = {kind = "mlp", layers = [1, 2, 2, 1], activation = "relu", bias = false}
    loss.kind = "squared"
    data = {x = ["-5/4", 1], y = [1, 2]}
"""


def test_a_layer_behind_one_that_is_off_meets_no_kink() -> None:
    """Both units of the first layer are off at x = -5/4, so that the second layer's arguments are 0 and stay so."""
    problem = parse_problem(
        OFF + 'flow = {initial = ["9/8", "1", "1/2", "1/3", "3/4", "1", "1/5", "1/2"], horizon = 1}'
    )
    solution = solve_precise(problem, 15)

    assert solution.path.kinks == []
    assert solution.final_outputs[0] == (0,)
    assert solution.path_kernels[0][1][0][0] == 0 == solution.contributions[1][0][0]
    assert abs(solution.residual(1, 0)) < Fraction(1, 10**13)


def test_with_one_unit_on_the_next_layer_may_kink() -> None:
    """The second unit of the first layer is on, and the next layer's weights on it are 0."""
    problem = parse_problem(OFF + 'flow = {initial = ["9/8", "-1", "1/2", "0", "3/4", "0", "1/5", "1/2"], horizon = 1}')

    assert failure(problem).hypothesis == "H0"


# Where a polynomial leaves its side.

CROSSINGS = [
    # coefficients, side, part of the step, crossing
    (["1", "-2"], 1, "1", "1/2"),
    (["-1", "3"], -1, "1", "1/3"),
    (["1", "-2"], 1, "2/5", None),
    (["1", "1"], 1, "1", None),
    (["-1", "-1"], -1, "1", None),
    (["1", "0", "-4"], 1, "1", "1/2"),
    (["3/16", "-1", "1"], 1, "1", "1/4"),  # roots 1/4 and 3/4: the first counts
    (["0", "1", "-2"], 1, "1", "1/2"),  # starts at 0, and goes up first
    (["0", "-1", "2"], -1, "1", "1/2"),
    (["0", "1", "1"], 1, "1", None),
    (["1/1000000000000", "-1"], 1, "1", "1/1000000000000"),  # right after the start
    (["1/100000000000000000", "-1", "1/3"], 1, "1", None),  # see below: found, whatever the last bits
    (["1", "-1"], 1, "1", "1"),  # at the very end
    (["1", "0", "0", "-1"], 1, "1", "1"),
    (["1", "0", "0", "0"], 1, "1", None),
    (["0", "0"], 1, "1", None),
    (["1/1000", "-1", "1000000"], 1, "1", None),  # no real root
    (["1", "-1000000"], 1, "1", "1/1000000"),
    (["1/4", "-1", "1"], 1, "2/5", None),  # the touch at 1/2 is not reached
]


@pytest.mark.parametrize("bits", [54, 58, 100, 600])
@pytest.mark.parametrize(("coefficients", "side", "part", "crossing"), CROSSINGS)
def test_the_first_crossing_is_found_to_the_last_bit(
    coefficients: list[str], side: int, part: str, crossing: str | None, bits: int
) -> None:
    numbers = FixedPoint(bits)
    series = [numbers.number(Fraction(c)) for c in coefficients]
    found = first_crossing(series, side, numbers.number(Fraction(part)), numbers)
    if coefficients[0] == "1/100000000000000000":
        assert found is not None
        assert 0 < numbers.fraction(found) < Fraction(2, 10**17) + Fraction(8, 1 << bits)
    elif crossing is None:
        assert found is None
    else:
        assert found is not None
        assert abs(numbers.fraction(found) - Fraction(crossing)) < Fraction(64, 1 << bits)


@pytest.mark.parametrize("bits", [58, 600])
@pytest.mark.parametrize("coefficients", [["1/4", "-1", "1"], ["1/9", "-2/3", "1"], ["1/8", "-1/2", "1/2"]])
def test_touching_is_neither_crossing_nor_passing(coefficients: list[str], bits: int) -> None:
    numbers = FixedPoint(bits)
    series = [
        numbers.number(Fraction(c)) + (1 << (bits // 3) if k == 0 and bits > 500 else 0)
        for k, c in enumerate(coefficients)
    ]
    with pytest.raises(ArithmeticError, match="touches"):
        first_crossing(series, 1, numbers.one, numbers)


def test_coefficients_of_any_size_are_looked_at() -> None:
    numbers = FixedPoint(100)
    huge, tiny = Fraction(10) ** 400, Fraction(1, 10**20)
    for size in (huge, tiny):
        found = first_crossing([numbers.number(size), numbers.number(-2 * size)], 1, numbers.one, numbers)
        assert found is not None
        assert abs(numbers.fraction(found) - Fraction(1, 2)) < Fraction(1, 10**9)


def test_high_orders_that_underflow_do_not_hide_a_crossing() -> None:
    numbers = FixedPoint(2000)
    series = [numbers.number(Fraction(1, 2) ** (4 * k) if k > 1 else Fraction(1 - 3 * k)) for k in range(300)]
    found = first_crossing(series, 1, numbers.one, numbers)

    assert found is not None
    value = kinks.evaluate(series, found, numbers)
    assert abs(value) < 1000


def stiff(factor: int = 1000) -> Problem:
    """w = tanh, followed for a time of very many of its own."""
    return problem_of("tanh(3*w)", "1", '"1/2"', '"1/10"', str(factor))


def test_a_stiff_problem_ends_out_of_budget_and_says_nothing_of_h2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MAX_STEPS", 20)
    error = failure(stiff())

    assert error.hypothesis == ""
    assert error.what.startswith("20 steps")
    assert 0 < error.time < 1000
    assert "stiff" in error.why


def test_the_same_problem_within_its_budget_is_followed() -> None:
    assert abs(solve_precise(stiff(10), 10).residual(0, 0)) < Fraction(1, 10**8)


def test_a_step_that_is_never_found_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow._Integration, "_holds_up", lambda *_: False)
    error = failure(stiff())

    assert error.hypothesis == ""
    assert error.what.startswith("no step is found")


def test_growth_beyond_every_number_is_no_proof_of_a_blow_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """w = e^t exists for ever."""
    monkeypatch.setattr(flow, "_MAX_LOG2", 200)
    error = failure(problem_of("w**2/2", "1", None, '"1"', "100000", loss=LINEAR), 5)

    assert error.hypothesis == ""
    assert error.what.startswith("the weights exceed 2**200")
    assert error.time == pytest.approx(200 * 0.693147, rel=0.02)


def large(digits: int) -> tuple[Problem, Solution]:
    problem = problem_of("exp(50*w)", "1", "1", "1", "1e-20")
    return problem, solve_precise(problem, digits)


@pytest.mark.parametrize("digits", [8, 20])
def test_a_start_of_size_e_to_the_50_is_followed(digits: int) -> None:
    """With y = exp(50 w): y' = -2500 y**2 (y - 1), and K = log((y0 - 1)/(yT - 1)) by the single-example law."""
    _, solution = large(digits)
    final, kernel = solution.final_outputs[0][0], solution.path_kernels[0][0][0][0]
    with mp.workdps(80):
        y0, y = mp.exp(50), real(final)

        def clock(z: Any) -> Any:  # the antiderivative of 1/(z**2 (z - 1))
            return mp.log(1 - 1 / z) + 1 / z

        elapsed = -(clock(y) - clock(y0)) / 2500
        assert abs(elapsed / mpf("1e-20") - 1) < mpf(10) ** (3 - digits)
        assert abs(real(kernel) - mp.log((y0 - 1) / (y - 1))) < mpf(10) ** (2 - digits) * real(kernel)
    assert abs(solution.residual(0, 0)) < Fraction(10) ** (2 - digits) * solution.scale(0, 0)


@pytest.mark.parametrize("x", ["1e-9", "1e9", "1e15"])
def test_inputs_of_any_size_give_the_linear_models_numbers(x: str) -> None:
    size = Fraction(x)
    horizon = min(Fraction(1), 1 / size**2)
    problem = problem_of("w*x", f'"{x}"', "1", '"1/3"', str(horizon))
    [found] = decompose_precise(problem, 20)
    with mp.workdps(80):
        s, w = real(size) ** 2, mpf(1) / 3
        p, decay = 1 / real(size), mp.exp(-s * real(horizon))
        final = (p + (w - p) * decay) * real(size)
        weight = 1 - real(size) * (p + (w - p) * (1 - decay) / (s * real(horizon)))
        assert abs(mpf(found.final_output) - final) < mpf(10) ** -18 * max(1, abs(final))
        assert isinstance(found.weights[0], str)
        assert abs(mpf(found.weights[0]) - weight) < mpf(10) ** -18 * max(1, abs(weight))


@pytest.mark.parametrize(
    "problem",
    [
        problem_of("w**3/3", "1", None, "1", "2", loss=LINEAR),
        problem_of("sqrt(w)", "1", None, "1", "2", loss=RISING),
        problem_of("abs(w)", "1", None, "1", "2", loss=RISING),
        problem_of("relu(w)", "1", "1", "0", "1"),
        problem_of("log(w)", "1", "1", "0", "1"),
    ],
    ids=["blow-up", "edge", "sliding", "on a kink", "undefined"],
)
def test_failures_have_one_line_each_for_what_why_and_fix(problem: Problem) -> None:
    with pytest.raises(PkverifyError) as error:
        solve_precise(problem, 10)

    lines = [error.value.what, error.value.why, error.value.fix]
    assert all(line and "\n" not in line for line in lines)
