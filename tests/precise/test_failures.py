from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from mpmath import mp, mpf

from pkverify.errors import InputError
from pkverify.expression import parse_expression
from pkverify.precise.route import decompose_precise, solve_precise
from pkverify.problem import Regularizer
from tests.precise.failure_cases import LINEAR, RISING, failure, problem_of, real

BARRIER = Regularizer(parse_expression("-log(w)", ["w"]))


# H2: the flow ends before the horizon.

BLOW_UPS = {
    # model, loss, start, horizon, where it ends
    "a cube": ("w**3/3", LINEAR, "1", "2", 1),  # w = 1/(1 - t)
    "a cube, just beyond": ("w**3/3", LINEAR, "1", "1000001/1000000", 1),
    "a cube, far beyond": ("w**3/3", LINEAR, "1", "1000000", 1),
    "a fifth power": ("w**5/5", LINEAR, "1", "1", Fraction(1, 3)),  # w' = w**4
    "an exponential": ("exp(w)", LINEAR, "0", "2", 1),  # w = -log(1 - t)
    "downwards": ("w**3/3", RISING, "-1", "2", 1),
}


@pytest.mark.parametrize("case", BLOW_UPS)
@pytest.mark.parametrize("digits", [6, 15, 40])
def test_a_blow_up_fails_h2_and_tells_when(case: str, digits: int) -> None:
    output, loss, start, horizon, end = BLOW_UPS[case]
    error = failure(problem_of(output, "1", None, start, horizon, loss=loss), digits)

    assert error.hypothesis == "H2"
    assert error.time == pytest.approx(float(end), rel=1e-6)
    assert "H2" in error.what


@pytest.mark.parametrize("digits", [6, 15, 40])
@pytest.mark.parametrize("near", [2, 4, 6])
def test_a_horizon_just_before_the_blow_up_is_reached(near: int, digits: int) -> None:
    left = Fraction(1, 10**near)
    solution = solve_precise(problem_of("w**3/3", "1", None, "1", str(1 - left), loss=LINEAR), digits)
    final = 1 / left**3 / 3

    kernel = final - Fraction(1, 3)

    assert abs(solution.final_outputs[0][0] - final) < final * solution.error_estimate
    assert abs(solution.path_kernels[0][0][0][0] - kernel) < kernel * solution.error_estimate


def test_a_horizon_of_99_hundredths_comes_out_to_the_last_digit() -> None:
    [found] = decompose_precise(problem_of("w**3/3", "1", None, "1", "99/100", loss=LINEAR), 20)

    assert found.final_output == "333333.33333333333333"
    assert found.path_kernel[0] == "333333.00000000000000"
    assert found.contributions[0] == found.path_kernel[0]
    assert found.weights[0] == "1.0000000000000000000"


LEAVES = {
    # the flow runs into the edge of the model's domain, or of the loss's
    "sqrt": ("sqrt(w)", RISING, "1", "2", Fraction(4, 3)),  # w**(3/2) = 1 - 3t/4
    "log": ("log(w)", RISING, "1", "2", Fraction(1, 2)),  # w**2 = 1 - 2t
    "a reciprocal": ("1/w", LINEAR, "1", "2", Fraction(1, 3)),  # w**3 = 1 - 3t
    "a power": (
        "w**(3/2)",
        RISING,
        "1",
        "6",
        Fraction(4, 3),
    ),  # sqrt(w) = 1 - 3t/4, a polynomial, but not beyond its root
    "tan": ("tan(w)", LINEAR, "0", "10", None),
    "the loss's logarithm": ("w", 'kind = "expression", value = "log(y)"', "1", "2", Fraction(1, 2)),
}


@pytest.mark.parametrize("case", LEAVES)
def test_a_flow_that_leaves_the_domain_is_refused_at_its_edge(case: str) -> None:
    output, loss, start, horizon, end = LEAVES[case]
    error = failure(problem_of(output, "1", None, start, horizon, loss=loss))

    assert error.hypothesis == "H2"
    assert end is None or error.time == pytest.approx(float(end), rel=1e-4)


def test_a_flow_that_stops_short_of_the_edge_is_followed() -> None:
    solution = solve_precise(problem_of("sqrt(w)", "1", None, "1", "13/10", loss=RISING), 20)
    with mp.workdps(40):
        expected = (1 - 3 * mpf("1.3") / 4) ** (mpf(1) / 3)
        assert abs(real(solution.final_outputs[0][0]) - expected) < mpf(10) ** -18


# Undefined at the start: bad input.

UNDEFINED = {
    # output, x, y, initial, loss, what the message names
    "log 0": ("log(w)", "1", "1", "0", 'kind = "squared"', "log at 0"),
    "log of a negative number": ("log(w)", "1", "1", '"-1/2"', 'kind = "squared"', "log at -0.5"),
    "1/0": ("1/w", "1", "1", "0", 'kind = "squared"', "1/ at 0"),
    "1/0 in the data": ("w/x", "0", "1", "1", 'kind = "squared"', "1/ at 0"),
    "sqrt 0": ("sqrt(w)", "1", "1", "0", 'kind = "squared"', "sqrt at 0"),
    "sqrt of a negative number": ("sqrt(w)", "1", "1", '"-1"', 'kind = "squared"', "sqrt at -1"),
    "a power of 0": ("w**(1/3)", "1", "1", "0", 'kind = "squared"', "power at 0"),
    "a power of a negative number": ("w**(4/3)", "1", "1", '"-1"', 'kind = "squared"', "power at -1"),
    "what cancels to 0": ("log(3*w - 1)", "1", "1", '"1/3"', 'kind = "squared"', "log at"),
    "the loss": ("w", "1", None, "0", 'kind = "nll-probability"', "1/ at 0"),
    "the loss of a negative number": ("w", "1", None, '"-1/4"', 'kind = "nll-probability"', "log at -0.25"),
    "the loss's own logarithm": ("w", "1", None, '"-1/4"', 'kind = "expression", value = "y*log(y)"', "log at -0.25"),
    "the data's logarithm": ("w*log(x)", '"-1"', "1", "1", 'kind = "squared"', "log at -1"),
    "tan at its pole": ("tan(w*pi)", "1", "1", '"1/2"', 'kind = "squared"', "tan at 1.57"),
    "an overflow": ("exp(w)", "1", "1", '"1e6"', 'kind = "squared"', "exp at 1"),
}


@pytest.mark.parametrize("case", UNDEFINED)
@pytest.mark.parametrize("digits", [6, 30])
def test_what_is_undefined_at_the_start_is_bad_input_and_named(case: str, digits: int) -> None:
    output, x, y, initial, loss, named = UNDEFINED[case]
    with pytest.raises(InputError) as error:
        solve_precise(problem_of(output, x, y, initial, "1", loss=loss), digits)

    assert error.value.exit_code == 2
    assert named in error.value.what


@pytest.mark.parametrize("output", ["log(w + x)", "sqrt(w + x)", "1/(w + x)"])
def test_a_query_where_the_model_is_undefined_is_bad_input(output: str) -> None:
    solve_precise(problem_of(output, "1", "1", "0", "1/10"), 10)
    with pytest.raises(InputError):
        solve_precise(problem_of(output, "1", "1", "0", "1/10", query="0"), 10)


@pytest.mark.parametrize("start", ["1e-12", "1e-40"])
def test_a_start_close_to_an_edge_is_told_apart_from_it(start: str) -> None:
    """w' = 1/w**2 from next to 0: w**3 = w0**3 + 3t."""
    solution = solve_precise(problem_of("-1/w", "1", None, f'"{start}"', "1", loss=LINEAR), 10)
    with mp.workdps(30):
        assert abs(real(solution.path.numbers.fraction(solution.path.final[0])) - mp.cbrt(3)) < mpf(10) ** -9


def test_a_penalty_undefined_at_the_start_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"log at -0\.5"):
        solve_precise(replace(problem_of("w", "1", "1", '"-1/2"', "1"), regularizer=BARRIER), 10)

    solve_precise(replace(problem_of("w", "1", "1", '"1/2"', "1"), regularizer=BARRIER), 10)


@pytest.mark.parametrize("output", ["w*sqrt(x)", "w*x**(3/2) + w", "w + abs(x)**(1/2)", "w*sqrt(sin(x))"])
def test_a_root_of_an_input_that_is_0_is_no_fault(output: str) -> None:
    solution = solve_precise(problem_of(output, "0, 1", "1, 2", '"1/2"', "1"), 10)

    assert abs(solution.residual(1, 0)) < Fraction(1, 10**8)
