"""What the certified route refuses, with the reason: kinks, poles, cuts, blow-ups, and balls that are not finite."""

from __future__ import annotations

import pytest

from pkverify.certified.enclosure import enclose
from pkverify.errors import FlowError, InputError, PkverifyError, UntreatableError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem


def one_weight(output: str, loss: str, start: str, horizon: str, y: str = "") -> Problem:
    targets = f', y = ["{y}"]' if y else ""
    return parse_problem(f"""
    model = {{kind = "expression", params = ["w"], inputs = ["x"], output = "{output}"}}
    loss = {{kind = "{loss}"}}
    data = {{x = [["1"]]{targets}}}
    flow = {{initial = ["{start}"], horizon = "{horizon}"}}
    """)


SQUARED, PLAIN = "squared", "nll-log-probability"


@pytest.mark.parametrize(
    ("problem", "name", "time"),
    [
        (one_weight("relu(w*x - 1/2)", SQUARED, "1", "2", "-1"), "relu", "0.405465"),  # w = -1/2 + 3/2 exp(-t)
        (one_weight("abs(w*x)", SQUARED, "1", "2", "-1"), "abs", "0.693147"),  # w = -1 + 2 exp(-t)
        (one_weight("relu(w*x)", SQUARED, "0", "2", "1"), "relu", "starts"),
        (one_weight("abs(w*x)", SQUARED, "0", "2", "1"), "abs", "starts"),
    ],
)
def test_kinks_are_refused_by_name_and_time(problem: Problem, name: str, time: str) -> None:
    with pytest.raises(UntreatableError) as caught:
        enclose(problem)

    assert f"{name} of" in caught.value.what
    assert time in caught.value.what


@pytest.mark.parametrize(
    ("problem", "time"),
    [
        (one_weight("exp(w*x)", PLAIN, "0", "2"), 1.0),  # exp(-w) = 1 - t
        (one_weight("-log(w)", PLAIN, "1", "1"), 0.5),  # w^2 = 1 - 2 t: a pole of the slope
        (one_weight("sqrt(w)", SQUARED, "1", "8", "0"), 2.0),  # w = 1 - t/2: the branch point
        (one_weight("w**3", PLAIN, "1", "1"), 1 / 3),  # 1/w = 1 - 3 t
    ],
)
def test_flows_that_end_are_refused_with_the_time(problem: Problem, time: float) -> None:
    with pytest.raises(FlowError) as caught:
        enclose(problem, 10)

    assert caught.value.hypothesis == "H2"
    assert time * 0.999 < caught.value.time <= time


@pytest.mark.parametrize("output", ["exp(w*x)", "-log(w)", "w**3"])
def test_they_are_enclosed_a_little_earlier(output: str) -> None:
    start, time = {"exp(w*x)": ("0", "9/10"), "-log(w)": ("1", "9/20"), "w**3": ("1", "3/10")}[output]

    assert enclose(one_weight(output, PLAIN, start, time), 10).widest < 1e-10


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (one_weight("log(w)", PLAIN, "-1", "1"), "logarithm"),
        (one_weight("sqrt(w)", PLAIN, "-1", "1"), "square root"),
        (one_weight("1/w", PLAIN, "0", "1"), "division"),
        (one_weight("w**(3/2)", PLAIN, "-1", "1"), "logarithm"),
    ],
)
def test_an_undefined_start_is_bad_input(problem: Problem, text: str) -> None:
    with pytest.raises(InputError, match=text):
        enclose(problem)


@pytest.mark.parametrize("digits", [-1, 0, 4, 1001])
def test_digits_out_of_range_are_bad_input(digits: int) -> None:
    with pytest.raises(InputError, match="--digits"):
        enclose(one_weight("w", PLAIN, "0", "1"), digits)


def test_kinks_that_are_not_met_are_no_hindrance() -> None:
    active = enclose(one_weight("relu(w*x)", SQUARED, "1", "2", "0"), 15)
    asleep = enclose(one_weight("relu(w*x)", SQUARED, "-1", "2", "1"), 15)

    assert abs(float(active.final_outputs[0][0].mid) - 0.1353352832366127) < 1e-15  # exp(-2)
    assert asleep.final_outputs[0][0].mid == asleep.final_outputs[0][0].rad == 0


def test_constants_below_the_unit_are_followed_with_more_digits() -> None:
    tiny = parse_problem("""
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x/(x + x**2)"}
    loss = {kind = "squared"}
    data = {x = [["1e-60"]], y = ["1"]}
    flow = {initial = ["0"], horizon = "1"}
    """)

    assert abs(float(enclose(tiny, 10).final_outputs[0][0].mid) - 0.6321205588285577) < 1e-12  # 1 - 1/e


def test_a_budget_that_runs_out_names_the_radius_reached() -> None:
    growing = parse_problem("""
    model = {kind = "linear", bias = false}
    loss = {kind = "expression", value = "-y**2/2"}
    data = {x = [["1"]]}
    flow = {initial = ["1/3"], horizon = "40"}
    """)

    with pytest.raises(PkverifyError, match="in 1 tries: the widest ball has the relative radius") as caught:
        enclose(growing, 20, tries=1)
    assert caught.value.exit_code == 3
    assert enclose(growing, 20).widest <= 1e-20
