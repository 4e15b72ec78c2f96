"""The laws of decompositions on problems that nobody chose, for every route; and that each law can be seen to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings

from pkverify.certified.route import decompose_certified
from pkverify.checks.agreement import disagreement
from pkverify.decomposition import Decomposition
from pkverify.errors import UntreatableError
from pkverify.exact.route import decompose_exact
from pkverify.network.route import decompose_network
from pkverify.precise.route import decompose_precise
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from pkverify.testing.comparison import Interval, Numbers, numbers_of
from pkverify.testing.properties import (
    identity_gap,
    kernel_gap,
    log_probability_gap,
    negative_pivot,
    reach_gap,
    rise,
)
from pkverify.testing.strategies import KINDS, problems
from tests.testing.measuring import losses_along, path_kernel_of_one

SCALAR = tuple(kind for kind in KINDS if kind not in {"softmax", "vector", "linear"})
UNPENALISED = tuple(kind for kind in SCALAR if kind != "regularized")
CLOSED = ("linear", "deep-linear", "logistic", "log-probability")
ROUTES: dict[str, tuple[Callable[[Problem], tuple[Decomposition, ...]], tuple[str, ...], int]] = {
    "exact": (lambda problem: decompose_exact(problem, 20), CLOSED, 12),
    "precise": (lambda problem: decompose_precise(problem, 20), KINDS, 15),
    "certified": (lambda problem: decompose_certified(problem, 15), KINDS, 15),
    "network": (lambda problem: decompose_network(problem, digits=9), KINDS, 4),
}
WIDEST = Fraction(1, 10**5)

PENALISED = parse_problem("""
model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*tanh(v*x) + v/3"}
loss.kind = "squared"
regularizer.value = "u**2/5 + u*v/7"
data = {x = [1, "-1/2"], y = [2, "1/3"]}
flow = {initial = ["1/2", "-3/4"], horizon = "3/4"}
""")
ONE = parse_problem("""
model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*v*x + u"}
loss.kind = "squared"
data = {x = [1], y = [2]}
flow = {initial = ["1/2", "3/4"], horizon = "1/2"}
""")
PROBABILITY = parse_problem("""
model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "-softplus(u*x + v)"}
loss.kind = "nll-log-probability"
data = {x = [1, 2]}
flow = {initial = ["1/2", "3/4"], horizon = "1/2"}
""")


def certified(problem: Problem) -> Numbers:
    return numbers_of(decompose_certified(problem, 12))


def at_examples(problem: Problem) -> Problem:
    return replace(problem, queries=None)


# The identity, and the agreement of routes.


@pytest.mark.parametrize("route", ROUTES)
def test_the_identity_holds_on_every_route(route: str) -> None:
    decompose, kinds, examples = ROUTES[route]
    treated = list[bool]()

    @settings(max_examples=examples)
    @given(problems(kinds=kinds))
    def holds(problem: Problem) -> None:
        try:
            found = decompose(problem)
        except UntreatableError:
            assert route == "exact", "only the exact route may know no answer"
            return
        treated.append(True)
        assert identity_gap(numbers_of(found), widest=WIDEST) is None
        assert all(contains_zero(item) for item in found)

    holds()
    assert treated


def contains_zero(item: Decomposition) -> bool:
    """Whether the residual that a record reports is 0, within what its route says."""
    (number,) = {*numbers_of([replace(item, output=0, initial_output=item.residual)]).initial_output[0]}
    return number.lower <= 0 <= number.upper


@settings(max_examples=12)
@given(problems())
def test_routes_agree(problem: Problem) -> None:
    assert disagreement([*decompose_certified(problem, 15), *decompose_precise(problem, 22)]) is None


@settings(max_examples=8)
@given(problems(kinds=CLOSED))
def test_closed_forms_agree_with_the_certified_route(problem: Problem) -> None:
    with suppress(UntreatableError):  # no closed form
        assert disagreement([*decompose_certified(problem, 15), *decompose_exact(problem, 20)]) is None


@settings(max_examples=3)
@given(problems())
def test_the_network_route_agrees(problem: Problem) -> None:
    assert disagreement([*decompose_certified(problem, 12), *decompose_network(problem, digits=9)]) is None


def moved(text: str, by: Fraction) -> str:
    return str(float(Fraction(text) + by))


SHIFT = Fraction(1, 10**4)
SPOILED: dict[str, Callable[[Decomposition], Decomposition]] = {
    "initial output": lambda d: replace(d, initial_output=moved(d.initial_output, SHIFT)),
    "final output": lambda d: replace(d, final_output=moved(d.final_output, -SHIFT)),
    "regularizer term": lambda d: replace(d, regularizer_term="0"),
    "one contribution": lambda d: replace(
        d, contributions=(moved(d.contributions[0], SHIFT), *d.contributions[1:])
    ),
    "its sign": lambda d: replace(
        d, contributions=(str(-Fraction(d.contributions[0])), *d.contributions[1:])
    ),
    "one example left out": lambda d: replace(d, contributions=("0", *d.contributions[1:])),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
def test_a_wrong_number_breaks_the_identity_and_the_agreement(spoiled: str) -> None:
    right = decompose_precise(PENALISED, 15)
    wrong = [SPOILED[spoiled](d) for d in right]
    assert identity_gap(numbers_of(right)) is None
    assert "the parts add up to" in (identity_gap(numbers_of(wrong)) or "")
    assert disagreement([*decompose_certified(PENALISED, 15), *wrong]) is not None


def test_contributions_moved_between_examples_break_the_agreement_alone() -> None:
    right = decompose_precise(PENALISED, 15)
    wrong = [replace(d, contributions=d.contributions[::-1]) for d in right]
    assert identity_gap(numbers_of(wrong)) is None
    assert disagreement([*decompose_certified(PENALISED, 15), *wrong]) is not None


def test_intervals_that_say_nothing_do_not_pass() -> None:
    vague = numbers_of([replace(d, digits=1) for d in decompose_precise(PENALISED, 15)])
    assert identity_gap(vague) is None
    assert "wide" in (identity_gap(vague, widest=WIDEST) or "")


# Laws of the flow.


@settings(max_examples=8)
@given(problems())
def test_the_loss_never_rises_along_the_flow(problem: Problem) -> None:
    assert rise(losses_along(problem)) is None


def test_a_loss_that_rises_is_seen() -> None:
    losses = losses_along(PENALISED)
    assert rise(losses) is None
    assert rise(losses[::-1]) == 1
    assert rise([losses[0], losses[2], losses[1]]) == 2
    assert rise([losses[0], losses[1], losses[1].times(Fraction(1001, 1000))]) == 2


@settings(max_examples=12)
@given(problems().map(at_examples))
def test_path_kernels_are_symmetric_and_positive_semidefinite(problem: Problem) -> None:
    assert kernel_gap(certified(problem)) is None


def with_kernels(numbers: Numbers, change: Callable[[list[list[Interval]]], None]) -> Numbers:
    """A scalar Gram matrix, changed."""
    gram = [[row[0] for row in query[0]] for query in numbers.path_kernel]
    change(gram)
    return replace(numbers, path_kernel=tuple((tuple((v,) for v in row),) for row in gram))


def asymmetric(gram: list[list[Interval]]) -> None:
    gram[0][1] = gram[0][1].times(Fraction(1001, 1000))


def correlated(gram: list[list[Interval]]) -> None:
    gram[0][1] = gram[1][0] = gram[0][0] + gram[1][1]


def negative(gram: list[list[Interval]]) -> None:
    gram[1][1] = gram[1][1].times(Fraction(-1))


def exchanged(gram: list[list[Interval]]) -> None:
    gram[0], gram[1] = gram[1], gram[0]


@pytest.mark.parametrize("change", [asymmetric, correlated, negative, exchanged])
def test_what_is_no_path_kernel_is_seen(change: Callable[[list[list[Interval]]], None]) -> None:
    numbers = certified(PENALISED)
    assert kernel_gap(with_kernels(numbers, lambda _: None)) is None
    assert kernel_gap(with_kernels(numbers, change)) is not None


@pytest.mark.parametrize(
    ("matrix", "definite"),
    [
        ([[2, 1], [1, 2]], True),
        ([[1, 1], [1, 1]], True),
        ([[0, 0], [0, 1]], True),
        ([[0, 1], [1, 5]], False),
        ([[1, 2], [2, 3]], False),
        ([[-1, 0], [0, 1]], False),
        ([[2, -1, -1], [-1, 2, -1], [-1, -1, 1]], False),
    ],
)
def test_negative_eigenvalues_are_found_exactly(matrix: Sequence[Sequence[int]], *, definite: bool) -> None:
    exact = [[Fraction(v) for v in row] for row in matrix]
    assert (negative_pivot(exact, Fraction(0)) is None) is definite


@settings(max_examples=12)
@given(problems(largest_count=2).map(at_examples))
def test_no_training_output_moves_farther_than_the_fall_of_the_loss_allows(problem: Problem) -> None:
    first, *_, last = losses_along(problem, 1)
    assert reach_gap(certified(problem), first + last.times(Fraction(-1))) is None


def test_outputs_that_move_too_far_are_seen() -> None:
    numbers = certified(PENALISED)
    first, *_, last = losses_along(PENALISED, 1)
    fall = first + last.times(Fraction(-1))
    far = replace(numbers, final_output=tuple(tuple(v.times(Fraction(9)) for v in row) for row in numbers.final_output))
    small = replace(numbers, path_kernel=with_kernels(numbers, shrink).path_kernel)
    assert reach_gap(numbers, fall) is None
    assert reach_gap(far, fall) is not None
    assert reach_gap(small, fall) is not None
    assert reach_gap(numbers, fall.times(Fraction(1, 50))) is not None


def shrink(gram: list[list[Interval]]) -> None:
    gram[:] = [[v.times(Fraction(1, 50)) for v in row] for row in gram]


# Closed laws of special problems.


@settings(max_examples=12)
@given(problems(kinds=["log-probability"]))
def test_log_probabilities_have_contributions_that_are_their_path_kernels(problem: Problem) -> None:
    assert log_probability_gap(certified(problem), problem.example_scale) is None


def test_contributions_that_are_no_path_kernels_are_seen() -> None:
    right = certified(PROBABILITY)
    split = tuple(tuple(tuple(v.times(Fraction(-1)) for v in row) for row in rows) for rows in right.contributions)
    assert log_probability_gap(right, Fraction(1)) is None
    assert log_probability_gap(replace(right, contributions=split), Fraction(1)) is not None
    assert log_probability_gap(right, Fraction(1, 2)) is not None
    assert log_probability_gap(certified(PENALISED), Fraction(1)) is not None


@settings(max_examples=12)
@given(problems(kinds=UNPENALISED, largest_count=1).map(at_examples))
def test_the_path_kernel_of_one_example_is_the_integral_of_the_inverse_slope(problem: Problem) -> None:
    (found,) = decompose_certified(problem, 18)
    kernel = numbers_of([found]).path_kernel[0][0][0][0]
    change = Fraction(found.final_output) - Fraction(found.initial_output)
    assume(abs(change) > Fraction(1, 1000))  # at rest, the law is empty
    assume(kernel.upper < 6)  # so close to its target that 1 / l' is as good as singular
    law = path_kernel_of_one(problem, Fraction(found.final_output))
    assert distance(kernel, law) < Fraction(1, 10**7) * max(Fraction(1), abs(law))


def distance(kernel: Interval, law: Fraction) -> Fraction:
    return kernel.gap(Interval(law, law))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: replace(ONE, horizon=Fraction(51, 100)),
        lambda _: replace(ONE, data=replace(ONE.data, targets=((Fraction(3),),))),
        lambda _: replace(ONE, data=replace(ONE.data, inputs=((Fraction(2),),))),
    ],
    ids=["another horizon", "another target", "another input"],
)
def test_another_path_kernel_of_one_example_is_seen(wrong: Callable[[None], Problem]) -> None:
    (right,) = decompose_certified(ONE, 18)
    law = path_kernel_of_one(ONE, Fraction(right.final_output))
    (other,) = decompose_certified(wrong(None), 18)
    assert distance(numbers_of([right]).path_kernel[0][0][0][0], law) < Fraction(1, 10**12)
    assert distance(numbers_of([other]).path_kernel[0][0][0][0], law) > Fraction(1, 1000)


def test_numbers_have_all_fields_of_a_decomposition() -> None:
    names = {field.name for field in fields(Numbers)}
    assert names < {field.name for field in fields(Decomposition)}
