"""Decompositions in their variety: vectors, regularisers, weights that do not exist, and the path itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from mpmath import mp, mpf

from pkverify.decomposition import Decomposition
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.precise.route import decompose_precise, kernel_weight, solve_precise
from pkverify.problem_file import parse_problem
from tests.precise.route_cases import NEURON, RIDGE, pairs, real


def agree(left: Sequence[Decomposition], right: Sequence[Decomposition], digits: int) -> bool:
    tolerance = Fraction(10) ** (2 - digits)
    return all(
        abs(Fraction(a) - Fraction(b)) <= 2 * tolerance * max(1, abs(Fraction(a)))
        for one, other in zip(left, right, strict=True)
        for a, b in pairs(one, other)
    )


# Vector outputs.

TWO_OUTPUTS = """
    model = {kind = "expression", params = ["u", "v", "w"], inputs = ["x"], output = ["u*x + sin(v)", "w*x**2 + u*v"]}
    data = {x = ["1", "-1/2"], y = [["1", "0"], ["2/3", "1/3"]]}
    flow = {initial = ["1/3", "-1/4", "1/2"], horizon = "3/2"}
    query.x = ["-2/3", "1"]
"""


@pytest.mark.parametrize("kind", ["squared", "softmax-cross-entropy"])
def test_each_output_of_a_vector_is_decomposed_by_itself(kind: str) -> None:
    problem = parse_problem(TWO_OUTPUTS + f'loss.kind = "{kind}"')
    found = decompose_precise(problem, 25)

    assert [(item.query, item.output) for item in found] == [
        ((x,), c) for x in (Fraction(-2, 3), Fraction(1)) for c in (0, 1)
    ]
    for item in found:
        total = sum(map(Fraction, (item.initial_output, item.regularizer_term, *item.contributions)))
        assert abs(Fraction(item.final_output) - total) < Fraction(1, 10**22)


def test_a_vector_weight_solves_the_matrix_kernel() -> None:
    found = decompose_precise(parse_problem(TWO_OUTPUTS + 'loss.kind = "squared"'), 25)
    for item in found:
        for i, kernel in enumerate(item.path_kernel):
            weight = item.weights[i]
            assert isinstance(weight, tuple)
            rebuilt = sum(Fraction(k) * Fraction(a) for k, a in zip(kernel, weight, strict=True))
            assert abs(rebuilt - Fraction(item.contributions[i])) < Fraction(1, 10**20)


def test_the_matrix_kernel_of_an_input_with_itself_is_symmetric() -> None:
    solution = solve_precise(parse_problem(TWO_OUTPUTS + 'loss.kind = "squared"'), 25)
    kernel = solution.path_kernels[1][0]  # query 1 is example 0

    assert kernel[0][1] == kernel[1][0] != 0
    assert kernel[0][0] * kernel[1][1] > kernel[0][1] ** 2
    assert solution.path_kernels[0][0][0][1] != solution.path_kernels[0][0][1][0]


NEARLY_SINGULAR = """
    model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = ["u", "u + v*x"]}
    loss.kind = "squared"
    data = {x = [1], y = [["1/2", "1/3"]]}
    flow = {initial = ["1/5", "0"], horizon = 1}
"""


@pytest.mark.parametrize("power", [0, 3, 8, 14])
def test_weights_of_a_badly_conditioned_matrix_keep_their_digits(power: int) -> None:
    problem = parse_problem(NEARLY_SINGULAR + f'query.x = ["1/{10**power}"]')
    coarse, fine = decompose_precise(problem, 15), decompose_precise(problem, 50)

    assert coarse[0].weights[0] is not None
    assert agree(coarse, fine, 15)


@pytest.mark.parametrize(("power", "digits"), [(16, 8), (26, 15), (30, 60), (40, 15), (100, 10)])
def test_weights_of_a_matrix_too_close_to_singular_are_absent(power: int, digits: int) -> None:
    found = decompose_precise(parse_problem(NEARLY_SINGULAR + f'query.x = ["1/{10**power}"]'), digits)

    assert [item.weights for item in found] == [(None,), (None,)]
    assert all("singular" in item.weights_absent[0] or "not separated" in item.weights_absent[0] for item in found)


@pytest.mark.parametrize("regularized", [False, True])
def test_the_mean_is_the_sum_with_rescaled_time(regularized: bool) -> None:
    text = """
        model = {kind = "mlp", layers = [1, 2, 1], activation = "tanh", bias = true}
        data = {x = ["1", "-1/2", "2"], y = ["7/10", "1/5", "-1"]}
        query.x = ["3/10"]
    """
    initial = 'flow.initial = ["1/10", "-1/5", "1/3", "0", "1/2", "-1/2", "1/7"]\n'
    ridge = 'regularizer = {{kind = "l2", strength = "{}"}}\n' if regularized else ""
    mean = parse_problem(
        text + initial + 'loss = {kind = "squared", reduction = "mean"}\nflow.horizon = 6\n' + ridge.format("1/6")
    )
    total = parse_problem(text + initial + 'loss.kind = "squared"\nflow.horizon = 2\n' + ridge.format("1/2"))
    slow, fast = solve_precise(mean, 25), solve_precise(total, 25)

    for a, b in ((slow.final_outputs, fast.final_outputs), (slow.regularizer_terms, fast.regularizer_terms)):
        assert abs(a[0][0] - b[0][0]) < Fraction(1, 10**23)
    for i in range(3):
        assert abs(slow.contributions[0][i][0] - fast.contributions[0][i][0]) < Fraction(1, 10**23)
        assert abs(slow.path_kernels[0][i][0][0] - 3 * fast.path_kernels[0][i][0][0]) < Fraction(1, 10**22)
        (a,), (b,) = kernel_weight(slow, 0, i), kernel_weight(fast, 0, i)
        assert isinstance(a, Fraction)
        assert isinstance(b, Fraction)
        assert abs(3 * a - b) < Fraction(1, 10**20)
    assert (slow.regularizer_terms[0][0] != 0) is regularized


def test_the_regularizer_term_stands_beside_the_contributions() -> None:
    [found] = decompose_precise(RIDGE, 25)
    total = sum(map(Fraction, (found.initial_output, found.regularizer_term, *found.contributions)))

    assert abs(Fraction(found.final_output) - total) < Fraction(1, 10**22)
    assert abs(Fraction(found.regularizer_term)) > Fraction(1, 100)


def test_without_a_regularizer_the_term_is_exactly_0() -> None:
    [found] = decompose_precise(replace(RIDGE, regularizer=None), 25)

    assert found.regularizer_term == "0"


def test_the_l2_kind_is_the_formula_it_stands_for() -> None:
    head = """
        model = {kind = "mlp", layers = [1, 1, 1], activation = "sin", bias = true}
        loss.kind = "squared"
        data = {x = ["1"], y = ["1"]}
        flow = {initial = ["9/10", "1/5", "1/3", "-1/4"], horizon = 1}
    """
    squares = "(w_1_1_1**2 + b_1_1**2 + w_2_1_1**2 + b_2_1**2)/14"
    by_kind = decompose_precise(parse_problem(head + 'regularizer = {kind = "l2", strength = "1/7"}'), 20)
    by_formula = decompose_precise(parse_problem(head + f'regularizer.value = "{squares}"'), 20)
    by_another = decompose_precise(parse_problem(head + f'regularizer.value = "2*{squares}"'), 20)

    assert agree(by_kind, by_formula, 20)
    assert not agree(by_kind, by_another, 20)


def test_published_numbers_of_a_regularised_product() -> None:
    """Claims, R4b: K and a with and without weight decay of strength 1/2."""
    head = """
        model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*v*x"}
        loss.kind = "squared"
        data = {x = ["1"], y = ["1"]}
        flow = {initial = ["9/10", "1/5"], horizon = 2}
    """
    [free] = decompose_precise(parse_problem(head), 20)
    [decayed] = decompose_precise(parse_problem(head + 'regularizer = {kind = "l2", strength = "1/2"}'), 20)

    numbers = [free.path_kernel[0], free.weights[0], decayed.path_kernel[0], decayed.weights[0]]
    expected = ["3.2393881", "0.24321444", "1.755683", "0.60835527"]
    for found, known in zip(numbers, expected, strict=True):
        assert isinstance(found, str)
        assert abs(Fraction(found) - Fraction(known)) < Fraction(6, 10 ** len(known.split(".")[1])) / 10


def test_a_query_that_is_a_training_input_gets_the_same_numbers_as_one_beside_it() -> None:
    inputs = replace(NEURON, queries=None)
    extra = replace(NEURON, queries=((Fraction(1),), (Fraction(3, 10),), (Fraction(-1, 2),), (Fraction(1),)))
    by_default, asked = decompose_precise(inputs, 25), decompose_precise(extra, 25)

    assert [item.query for item in by_default] == list(NEURON.data.inputs)
    assert asked[0] == asked[3]
    assert agree(by_default, [asked[0], asked[2]], 25)


def test_an_example_given_twice_counts_twice() -> None:
    data = NEURON.data
    doubled = replace(NEURON, data=replace(data, inputs=data.inputs[:1] * 2, targets=data.targets[:1] * 2))
    once = replace(
        NEURON, data=replace(data, inputs=data.inputs[:1], targets=data.targets[:1]), horizon=2 * NEURON.horizon
    )
    [two], [one] = decompose_precise(doubled, 25), decompose_precise(once, 25)

    assert two.contributions[0] == two.contributions[1]
    assert abs(2 * Fraction(two.contributions[0]) - Fraction(one.contributions[0])) < Fraction(1, 10**22)
    assert abs(Fraction(two.final_output) - Fraction(one.final_output)) < Fraction(1, 10**22)


def test_the_order_of_examples_changes_nothing_but_the_order() -> None:
    data = NEURON.data
    turned = replace(NEURON, data=replace(data, inputs=data.inputs[::-1], targets=data.targets[::-1]))
    [found], [other] = decompose_precise(NEURON, 25), decompose_precise(turned, 25)

    assert agree([found], [replace(other, contributions=other.contributions[::-1], path_kernel=other.path_kernel[::-1],
                                   weights=other.weights[::-1])], 25)  # fmt: skip
    assert not agree([found], [other], 25)


def test_the_path_kernel_is_symmetric_in_query_and_example() -> None:
    problem = replace(NEURON, queries=NEURON.data.inputs)
    solution = solve_precise(problem, 25)

    assert abs(solution.path_kernels[0][1][0][0] - solution.path_kernels[1][0][0][0]) < Fraction(1, 10**26)


def absent(text: str, digits: int = 20) -> tuple[Decomposition, str]:
    [found] = decompose_precise(parse_problem(text), digits)
    assert found.weights[0] is None
    return found, found.weights_absent[0]


HEAD = 'loss.kind = "squared"\nflow = {initial = ["1/3", "1/2"], horizon = 1}\n'


EXACT_ZEROS = {
    "inputs at right angles": ("u*x + v*z", "[[1, 0]]", "[[0, 3]]"),
    "inputs that cancel": ("u*x + v*z", "[[1, 2]]", "[[2, -1]]"),
    "a query at 0": ("u*x + v*z", "[[1, 2]]", "[[0, 0]]"),
    "outputs of other parameters": ("u*x + exp(v)*z", "[[1, 0]]", "[[0, 1]]"),
    "a neuron that the query does not reach": ("tanh(u*x)*z + v*(1 - z)", "[[1, 1]]", "[[1, 0]]"),
    "a query where sin is 0": ("u*sin(x) + v*z", "[[1, 0]]", "[[0, 1]]"),
    "a query where the root is 0": ("u*sqrt(x) + v*z", "[[2, 0]]", "[[0, 1]]"),
    "a dead relu": ("u*relu(v*x) + z", "[[1, 0]]", "[[0, 1]]"),
}


@pytest.mark.parametrize("case", EXACT_ZEROS)
def test_kernels_that_vanish_identically_are_known_exactly(case: str) -> None:
    output, x, query = EXACT_ZEROS[case]
    model = f'model = {{kind = "expression", params = ["u", "v"], inputs = ["x", "z"], output = "{output}"}}\n'
    found, reason = absent(HEAD + model + f"data = {{x = {x}, y = [1]}}\nquery.x = {query}")

    assert reason.startswith("K = 0 exactly")
    assert abs(Fraction(str(found.path_kernel[0]))) < Fraction(1, 10**20)
    assert abs(Fraction(found.contributions[0])) < Fraction(1, 10**20)


@pytest.mark.parametrize("x", ["1/10", "1/100000"])
def test_a_small_kernel_is_no_vanishing_one(x: str) -> None:
    model = 'model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*x + v"}\n'
    [found] = decompose_precise(
        parse_problem(HEAD + model + f'data = {{x = ["{x}"], y = [1]}}\nquery.x = ["-{x}"]'), 20
    )

    assert found.weights[0] is not None
    assert not found.weights_absent


CE_A = """
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
    loss.kind = "squared"
    data = {x = [0], y = [1]}
    flow = {initial = [0], horizon = 1}
"""


@pytest.mark.parametrize(
    ("x", "weight"), [("-13/10", "2.58934260595622537"), ("-27/20", "13.7822163"), ("-7/5", "-2.41875273576456867")]
)
def test_published_weights_next_to_a_pole(x: str, weight: str) -> None:
    [found] = decompose_precise(parse_problem(CE_A + f'query.x = ["{x}"]'), 25)

    assert isinstance(found.weights[0], str)
    assert abs(Fraction(found.weights[0]) - Fraction(weight)) < Fraction(1, 10 ** (len(weight.split(".")[1]) - 1))


def near_pole(digits: int) -> str:
    """A query next to -e/2, where K = 1 + 2x/e vanishes."""
    with mp.workdps(digits + 10):
        return mp.nstr(-mp.e / 2, digits)


def weight_near_pole(x: str) -> Any:
    slope = 1 - mp.exp(-1)
    return (slope + real(x) * slope**2) / (1 + 2 * real(x) / mp.e)


@pytest.mark.parametrize("near", [6, 10, 14, 18])
@pytest.mark.parametrize("digits", [8, 15, 40])
def test_a_weight_near_its_pole_keeps_its_digits(near: int, digits: int) -> None:
    x = near_pole(near)
    [found] = decompose_precise(parse_problem(CE_A + f'query.x = ["{x}"]'), digits)

    assert isinstance(found.weights[0], str)
    with mp.workdps(150):
        weight = weight_near_pole(x)
        assert abs(weight) > 10 ** (near - 3)
        assert abs(mpf(found.weights[0]) - weight) <= abs(weight) * mpf(10) ** (2 - digits)


@pytest.mark.parametrize("near", range(19, 48, 3))
@pytest.mark.parametrize("digits", [8, 12])
def test_a_weight_too_near_its_pole_is_absent_rather_than_wrong(near: int, digits: int) -> None:
    x = near_pole(near)
    [found] = decompose_precise(parse_problem(CE_A + f'query.x = ["{x}"]'), digits)

    assert near < 24 or found.weights[0] is None
    if found.weights[0] is None:
        assert found.weights_absent[0].startswith("K is not separated from 0")
    else:
        assert isinstance(found.weights[0], str)
        with mp.workdps(150):
            weight = weight_near_pole(x)
            assert abs(mpf(found.weights[0]) - weight) <= abs(weight) * mpf(10) ** (2 - digits)


def test_softmax_probabilities_have_a_singular_matrix_kernel() -> None:
    problem = parse_problem("""
        model = {kind = "expression", params = ["u"], inputs = ["x"], output = ["sigmoid(u*x)", "1/(exp(u*x) + 1)"]}
        loss = {kind = "expression", value = "-target0*log(y0) - target1*log(y1)"}
        data = {x = [1], y = [["1", "0"]]}
        flow = {initial = ["1/3"], horizon = 1}
        query.x = [2]
    """)
    found = decompose_precise(problem, 15)

    assert [item.weights for item in found] == [(None,), (None,)]
    assert all("singular" in item.weights_absent[0] for item in found)


def test_the_residual_is_the_difference_as_it_came_out() -> None:
    solution = solve_precise(NEURON, 20)
    total = solution.initial_outputs[0][0] + sum(c[0] for c in solution.contributions[0])

    assert solution.residual(0, 0) == solution.final_outputs[0][0] - total
    assert 0 < abs(solution.residual(0, 0)) < Fraction(1, 10**22)
    shifted = replace(solution, contributions=((solution.contributions[0][0], (Fraction(0),)),))
    assert abs(shifted.residual(0, 0)) > Fraction(1, 100)


def test_a_decomposition_says_how_it_was_made() -> None:
    [found] = decompose_precise(NEURON, 20)

    assert (found.route, found.digits, found.query, found.output) == ("precise", 20, (Fraction(3, 10),), 0)
    assert found.horizon == 2
    assert found.error_estimate is not None
    assert 0 < Fraction(found.error_estimate) <= Fraction(1, 10**19)
    assert found.closed_form == {}


def test_the_same_problem_gives_the_same_text() -> None:
    assert decompose_precise(NEURON, 20) == decompose_precise(NEURON, 20)


def test_the_loss_may_be_any_formula_of_the_output() -> None:
    own = Loss("expression", parse_expression("(y - target)**2/2", ["y", "target"]))
    double = Loss("expression", parse_expression("(y - target)**2", ["y", "target"]))

    assert agree(decompose_precise(NEURON, 20), decompose_precise(replace(NEURON, loss=own), 20), 20)
    assert not agree(decompose_precise(NEURON, 20), decompose_precise(replace(NEURON, loss=double), 20), 20)


def test_the_path_joins_at_its_steps_and_reaches_the_horizon() -> None:
    path, exact = (solution := solve_precise(NEURON, 25)).path, solution.system.numbers.fraction
    times = [s.start for s in path.segments] + [path.segments[-1].start + path.segments[-1].length]

    assert len(path.segments) > 2
    assert times[0] == 0
    assert times[-1] == NEURON.horizon
    assert all(s.start + s.length == later.start for s, later in zip(path.segments, path.segments[1:], strict=False))
    assert [exact(v) for v in path.params_at(Fraction(0))] == pytest.approx(
        [Fraction(1, 10), Fraction(-1, 5)], abs=1e-28
    )
    for time, reached in zip(
        times[1:], [[v[0] for v in s.params] for s in path.segments[1:]] + [list(path.final)], strict=True
    ):
        for a, b in zip(path.params_at(time), reached, strict=True):
            assert abs(exact(a) - exact(b)) < Fraction(1, 10**27)


@pytest.mark.parametrize("horizon", ["1/5", "16/15", "13/20", "17/20", "9/32", "18/19", "1/3", "1000001/1000003"])
@pytest.mark.parametrize("digits", [10, 200])
def test_an_easy_flow_takes_one_step_to_any_horizon(horizon: str, digits: int) -> None:
    """The first step is as long as it can be; that it cannot be the horizon to the last bit must not matter."""
    problem = parse_problem(f"""
        model = {{kind = "linear", bias = false}}
        loss.kind = "squared"
        data = {{x = ["1/90"], y = ["7/10"]}}
        flow = {{initial = ["1/10"], horizon = "{horizon}"}}
    """)
    solution = solve_precise(problem, digits)

    assert len(solution.path.segments) == 1
    with mp.workdps(digits + 20):
        expected = (63 + (real("1/10") - 63) * mp.exp(-real(problem.horizon) / 8100)) / 90
        assert abs(real(solution.final_outputs[0][0]) - expected) < mpf(10) ** -digits


LACUNARY = {
    # series whose coefficients vanish for long: w' = 1 + w**n from 0, and K of a query that no training input shows
    "in the flow, degree 31": ("w + w**31/31", "9/10", None),
    "in the flow, degree 11": ("w + w**11/11", "9/10", None),
    "in the flow, degree 101": ("w + w**101/101", "24/25", None),
    "in the query, degree 30": ("w + x*w**30", "9/10", 30),
    "in the query, degree 200": ("w + x*w**200", "49/50", 200),
}


@pytest.mark.parametrize("case", LACUNARY)
@pytest.mark.parametrize("digits", [6, 15, 22, 30])
def test_series_with_long_gaps_do_not_deceive_the_step(case: str, digits: int) -> None:
    output, horizon, degree = LACUNARY[case]
    problem = parse_problem(f"""
        model = {{kind = "expression", params = ["w"], inputs = ["x"], output = "{output}"}}
        loss.kind = "nll-log-probability"
        data.x = [0]
        flow = {{initial = [0], horizon = "{horizon}"}}
        query.x = [1]
    """)
    solution = solve_precise(problem, digits)

    assert abs(solution.residual(0, 0)) < Fraction(10) ** (1 - digits)
    if degree is not None:  # w = t
        exact = problem.horizon + problem.horizon**degree
        assert abs(solution.path_kernels[0][0][0][0] - exact) < Fraction(10) ** (1 - digits)
    else:
        finer = solve_precise(problem, digits + 20)
        assert abs(solution.final_outputs[0][0] - finer.final_outputs[0][0]) < solution.error_estimate
