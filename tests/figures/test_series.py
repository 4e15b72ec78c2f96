"""The tables that figures draw: their values, against closed forms and against the precise route."""

from __future__ import annotations

from math import e, exp, isclose

import numpy as np
import pytest

from pkverify.cases import case_problems
from pkverify.checks.context import Context
from pkverify.checks.series import along_the_path, descent, digits, gram, leading_examples, series
from pkverify.checks.surface import surface, total_loss
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

MLP, XENT = dict(case_problems("mlp")), dict(case_problems("xent"))
BENT = parse_problem(
    """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
    loss.kind = "squared"\ndata = {x = [0], y = [1]}\nflow = {initial = [0], horizon = 1}
    query.x = ["-13/10"]"""
)
TURNING = parse_problem(
    """model = {kind = "expression", params = ["u", "v"], inputs = ["p", "q"], output = "p*u + q*v"}
    loss.kind = "squared"\ndata = {x = [[1, 0], [0, 2]], y = [1, 1]}\nflow = {initial = [0, 0], horizon = 1}
    query.x = [[1, 1]]"""
)


def numbers(rows: tuple[tuple[str, ...], ...]) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


def tables(problem: Problem, size: int = 15) -> dict[str, np.ndarray]:
    return {name: numbers(rows) for name, rows in series(Context(problem, size)).items()}


@pytest.fixture(scope="module")
def bent() -> dict[str, np.ndarray]:
    return tables(BENT, 20)


@pytest.fixture(scope="module")
def turning() -> dict[str, np.ndarray]:
    return tables(TURNING)


def test_the_tables_that_apply_and_no_others(bent: dict[str, np.ndarray], turning: dict[str, np.ndarray]) -> None:
    along = {"time", "params", "loss_derivatives", "tangent_kernel"}
    weights = {f"weight_{name}" for name in ("inputs", "examples", "kernel", "terms", "range", "poles")}
    plane = {f"surface_{name}" for name in ("axes", "loss", "path", "marks", "examples", "gradients", "shares")}

    assert set(bent) == along | weights | {"descent", "digits"}  # one example has no matrix, one parameter no plane
    assert set(turning) == along | plane | {"gram", "descent", "digits"}
    assert set(tables(XENT["xent-softmax"])) == {"time", "params", "loss_derivatives", "gram", "descent", "digits"}


def test_the_same_problem_gives_the_same_text() -> None:
    assert series(Context(MLP["mlp-tanh-one-input"], 15)) == series(Context(MLP["mlp-tanh-one-input"], 15))


# The weights over the inputs: K(x, 0) = 1 + 2 x / e and a_1 K = (1 - 1/e) + x (1 - 1/e)^2 for the bent model.


def test_kernel_and_contribution_over_the_inputs_follow_their_closed_forms(bent: dict[str, np.ndarray]) -> None:
    x, moved = bent["weight_inputs"][:, 0], 1 - 1 / e

    assert (x[0], x[-1]) == (-2.6, 1.3)
    assert np.allclose(bent["weight_kernel"][:, 0], 1 + 2 * x / e, rtol=0, atol=1e-7)
    assert np.allclose(bent["weight_terms"][:, 0], moved + x * moved**2, rtol=0, atol=1e-7)


def test_a_pole_and_the_range_that_an_average_keeps_to(bent: dict[str, np.ndarray]) -> None:
    assert bent["weight_poles"].tolist() == [[1, pytest.approx(-e / 2, abs=1e-7)]]
    assert bent["weight_range"].tolist() == [[pytest.approx(exp(-1), abs=1e-7), pytest.approx(1, abs=1e-7)]]


def test_a_kernel_that_vanishes_with_its_contribution_has_no_pole() -> None:
    found = tables(MLP["mlp-product-unbalanced"])  # K is a multiple of x x_i

    kernel = found["weight_kernel"]
    assert kernel.min() < 0 < kernel.max()
    assert found["weight_poles"].size == 0


# The plane.


def test_two_parameters_are_their_own_plane(turning: dict[str, np.ndarray]) -> None:
    u, v = 1 - exp(-1), (1 - exp(-4)) / 2

    assert turning["surface_shares"].tolist() == [[1, 1]]
    assert turning["surface_marks"][0].tolist() == [0, 0, 0]
    assert turning["surface_marks"][-1].tolist() == pytest.approx([1, u, v], abs=1e-7)
    # Gradients of the query and of both examples are their inputs, at every mark.
    assert (turning["surface_gradients"] == [1, 1, 1, 0, 0, 2]).all()


def test_the_loss_on_the_plane(turning: dict[str, np.ndarray]) -> None:
    u, v = np.meshgrid(*turning["surface_axes"])

    assert np.allclose(turning["surface_loss"], (u - 1) ** 2 / 2 + (2 * v - 1) ** 2 / 2, rtol=1e-6, atol=1e-7)


def test_a_principal_plane_keeps_lengths_and_inner_products_as_far_as_it_says() -> None:
    context = Context(MLP["mlp-tanh-two-inputs"], 12)
    found = surface(context, leading_examples(context, 2))

    path = numbers(along_the_path(context)["params"])
    full = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    flat = np.linalg.norm(np.diff(found["surface_path"], axis=0), axis=1).sum()
    assert 0.99 * full < flat <= full * (1 + 1e-12)
    assert 0.999 < found["surface_shares"][0, 0] <= 1
    arrows = found["surface_gradients"][0].reshape(-1, 2)
    kernel = numbers(along_the_path(context)["tangent_kernel"])[0]
    for arrow, example in zip(arrows[1:], found["surface_examples"][0], strict=True):
        assert arrows[0] @ arrow == pytest.approx(kernel[int(example) - 1], rel=0.1)


@pytest.mark.parametrize(
    "name",
    ["mlp-depth-three", "linear-stackloss"],  # all gradients on one line with the path; one almost across the plane
)
def test_no_plane_is_shown_that_would_mislead(name: str) -> None:
    context = Context((MLP | dict(case_problems("linear")))[name], 10)

    assert surface(context, leading_examples(context, 2)) == {}


def test_the_total_loss_counts_scale_and_penalty() -> None:
    text = """model = {kind = "linear", bias = false}\nloss = {kind = "squared", reduction = "mean"}
    data = {x = [1, 2], y = [0, 0]}\nflow = {initial = [1], horizon = 1}\nregularizer = {kind = "l2", strength = 3}"""

    assert total_loss(parse_problem(text), [np.array([2.0])]).tolist() == [(2 + 8) / 2 + 6]


# Descent, digits, the matrix.


def test_descent_ends_where_the_recursion_of_the_linear_model_does() -> None:
    problem = parse_problem(
        """model = {kind = "linear", bias = false}\nloss.kind = "squared"\ndata = {x = [1], y = [2]}
        flow = {initial = [0], horizon = 1}\nquery.x = [3]"""
    )
    rows = numbers(descent(Context(problem, 15))["descent"])

    for steps, rate, output, params in rows:
        error = abs(2 * (1 - (1 - rate) ** steps) - 2 * (1 - exp(-1)))
        assert rate == pytest.approx(1 / steps, rel=1e-7)
        assert (output, params) == (pytest.approx(3 * error, rel=1e-6), pytest.approx(error, rel=1e-6))
    assert rows[:, 0].tolist() == [8, 16, 32, 64, 128]


def test_descent_that_is_exact_at_every_rate_is_left_out() -> None:
    problem = parse_problem(
        """model = {kind = "linear", bias = false}\nloss.kind = "nll-log-probability"\ndata.x = [1]
        flow = {initial = [0], horizon = 2}"""
    )

    assert descent(Context(problem, 15)) == {}


def test_descent_over_a_kink_is_left_out() -> None:
    problem = parse_problem(
        """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "relu(w + x)"}
        loss.kind = "squared"\ndata = {x = [0], y = [2]}\nflow = {initial = ["1/2"], horizon = 2}\nquery.x = [-1]"""
    )

    context = Context(problem, 15)
    assert context.solution.path.kinks
    assert descent(context) == {}


def test_residuals_at_each_number_of_digits_are_those_of_the_precise_route() -> None:
    rows = digits(Context(BENT, 30))["digits"]

    assert [row[0] for row in rows] == ["10", "20", "30"]
    for digits_asked, residual, estimate in rows:
        solution = solve_precise(BENT, int(digits_asked))
        assert isclose(float(residual), abs(float(solution.residual(0, 0))), rel_tol=0.5, abs_tol=1e-60)
        assert float(estimate) == float(solution.error_estimate)
        assert abs(float(residual)) < float(estimate)


def test_the_matrix_is_symmetric_and_that_of_the_linear_model() -> None:
    (kernel,) = [numbers(gram(Context(dict(case_problems("linear"))["linear-intercept"], 20))["gram"])]

    inputs = np.array([0.0, 1.0, 2.0])
    assert np.allclose(kernel, 1 + np.outer(inputs, inputs), rtol=1e-14)


def test_with_several_outputs_the_matrix_is_summed_over_them() -> None:
    context = Context(XENT["xent-softmax"], 15)
    kernel = numbers(gram(context)["gram"])

    inputs = np.array([-1.0, 0.0, 0.5, 1.0])
    assert np.allclose(kernel, 3 * (1 + np.outer(inputs, inputs)), rtol=1e-12)  # three outputs alike


def test_the_leading_examples_are_those_of_the_largest_contributions() -> None:
    context = Context(XENT["xent-oring"], 10)
    terms = [abs(float(term[0])) for term in context.solution.contributions[0]]

    assert leading_examples(context, 3) == sorted(sorted(range(len(terms)), key=lambda i: -terms[i])[:3])
    assert leading_examples(context, 100) == list(range(len(terms)))


def test_what_doubles_cannot_hold_is_left_out() -> None:
    problem = parse_problem(
        """model = {kind = "linear", bias = false}\nloss.kind = "squared"\ndata = {x = [1], y = ["1e400"]}
        flow = {initial = [0], horizon = 1}"""
    )

    assert series(Context(problem, 10)) == {}
