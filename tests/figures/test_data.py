"""What each figure draws, by its numbers, before anything is drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import e, isnan, log10

import pytest

from pkverify.evidence import ProblemRun
from pkverify.figures import gram, kernel, machine, orders, path, waterfall, weights
from pkverify.figures.tables import first_decomposition, listed, table
from tests.figures.cases import HAND, case_run, large, present

EMPTY = ProblemRun("empty", ())
READERS = (
    gram.of_run, kernel.of_run, machine.of_run, path.of_run, waterfall.of_run, weights.of_run,
    orders.descent_of_run, orders.digits_of_run, orders.width_of_run,
)  # fmt: skip


@pytest.mark.parametrize("read", READERS, ids=lambda read: f"{read.__module__.rpartition('.')[2]}.{read.__name__}")
def test_a_run_without_numbers_has_no_figure(read) -> None:  # type: ignore[no-untyped-def]
    assert read(EMPTY) is None


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="1e999"):
        table(replace(EMPTY, series={"time": (("0",), ("1e999",))}), "time")


def test_the_precise_decomposition_is_shown_where_there_is_one() -> None:
    exact = replace(HAND, route="exact")

    assert first_decomposition(replace(EMPTY, decompositions=(exact, HAND))) is HAND
    assert first_decomposition(replace(EMPTY, decompositions=(exact,))) is exact


def test_words_in_a_row() -> None:
    assert [listed([]), listed(["a"]), listed(["a", "b"])] == ["", "a", "a and b"]


# Waterfall.


def test_the_steps_of_a_waterfall_lead_from_b_to_the_answer() -> None:
    data = waterfall.of_decomposition(HAND)

    assert data.steps == (("regularizer", -0.5), ("example 1", 2.0), ("example 2", -1.5), ("example 3", 0.75))
    assert data.start + sum(size for _, size in data.steps) == data.end == 1.25
    assert (data.query, data.output, data.residual) == ("(\u22121/2, 3)", None, "-1.0e-17")
    assert "\u22121.0e\u221217" in data.caption


@pytest.mark.parametrize(("count", "steps"), [(12, 12), (13, 12), (200, 12)])
def test_small_contributions_of_many_examples_are_summed(count: int, steps: int) -> None:
    data = waterfall.of_decomposition(replace(large(count), regularizer_term="0"))

    assert len(data.steps) == steps
    assert sum(size for _, size in data.steps) == sum((-1) ** k * (k + 1) for k in range(count))
    assert data.steps[-1][0] == (f"{count - 11} other examples" if count > 12 else "example 12")
    assert (count > 12) == (data.steps[0][0] != "example 1")  # the largest are kept, in the order of the data


def test_an_output_is_named_where_there_are_several() -> None:
    assert "output 0" in present(waterfall.of_run(case_run("xent-softmax"))).caption
    assert "output 0" not in present(waterfall.of_run(case_run("linear-intercept"))).caption


# The kernel machine.


def test_the_factors_of_each_term_and_a_weight_that_is_absent() -> None:
    data = machine.of_decomposition(HAND, inputs=("0", "1", "2"))

    assert [(m.kernel, m.weight, m.contribution) for m in data.matches] == [
        (4, 0.5, 2),
        (3, -0.5, -1.5),
        (0, None, 0.75),
    ]
    assert [m.inputs for m in data.matches] == ["$x_{1} = $0", "$x_{2} = $1", "$x_{3} = $2"]
    assert "Example 3 has no weight" in data.caption


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (6, 6), (7, 5), (50, 5)])
def test_the_largest_terms_are_shown_and_the_others_summed(count: int, shown: int) -> None:
    data = machine.of_decomposition(large(count))

    assert len(data.matches) == shown
    assert data.others[0] == count - shown
    assert sum(m.contribution for m in data.matches) + data.others[1] == sum((-1) ** k * (k + 1) for k in range(count))


def test_a_matrix_of_kernels_is_not_shown_as_numbers() -> None:
    data = present(machine.of_run(case_run("xent-softmax")))

    assert data.is_matrix
    assert all(m.weight is None and m.kernel is None for m in data.matches)
    assert "has no weight" not in data.caption


# The path.


def test_the_arrows_of_the_path_are_the_gradients_and_their_products_the_tangent_kernel() -> None:
    run = case_run("mlp-product-unbalanced")
    data = present(path.of_run(run))

    tangent = table(run, "tangent_kernel")
    assert data.names == ("parameter $u$", "parameter $v$")
    assert not data.is_projection
    for place, example in enumerate(data.examples):
        assert data.products(place)[0] == pytest.approx(tangent[0][example - 1], rel=1e-6)
        assert data.products(place)[-1] == pytest.approx(tangent[-1][example - 1], rel=1e-6)
    assert data.path[0] == pytest.approx((0.9, 0.2))


def test_a_run_without_decompositions_says_its_query_by_its_source() -> None:
    run = replace(case_run("mlp-product-unbalanced"), decompositions=())

    assert present(path.of_run(run)).query == "2"
    assert path.of_run(replace(run, source="")) is None
    assert weights.of_run(replace(run, source="")) is not None


def test_contours_rise_from_the_valley_and_are_dense_there() -> None:
    data = present(path.of_run(case_run("mlp-product-unbalanced")))
    levels = data.levels()
    gaps = [b - a for a, b in pairwise(levels)]

    assert min(map(min, data.loss)) < levels[0]
    assert levels[-1] < max(map(max, data.loss))
    assert gaps == sorted(gaps)
    assert replace(data, loss=((1.0, 1.0), (1.0, 1.0))).levels() == []


def test_a_projection_says_so_and_by_how_much() -> None:
    data = present(path.of_run(case_run("mlp-tanh-one-input")))

    assert data.is_projection
    assert "principal" in data.names[0]
    assert "projections" in data.caption
    assert f"{100 * data.shares[1]:.1f} %" in data.caption


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("w_1_12", "$w_{1,12}$"),
        ("u", "$u$"),
        ("w2", "$w_{2}$"),
        ("rate", "rate"),
        ("a$b", r"a\$b"),
        ("w" * 99, "w" * 23 + "\u2026"),
    ],
)
def test_names_of_parameters(name: str, shown: str) -> None:
    assert path._as_mathematics(name) == shown


# Tangent kernel and weights.


def test_the_two_factors_along_the_path_of_the_bent_model() -> None:
    data = present(kernel.of_run(case_run("bent")))

    assert (data.times[0], data.times[-1], data.examples, data.count) == (0, 1, (1,), 1)
    assert data.kernels[0][0] == pytest.approx(1)
    assert data.kernels[0][-1] == pytest.approx(1 - 2.6 * (1 - 1 / e))
    assert data.pulls[0][-1] == pytest.approx(1 / e)
    assert data.of_both_signs == (1,)
    assert "H4 fails" in data.caption


def test_a_kernel_of_one_sign_is_not_said_to_change_it() -> None:
    data = present(kernel.of_run(case_run("linear-intercept")))

    assert data.of_both_signs == ()
    assert "H4" not in data.caption


def test_the_weight_has_a_gap_at_its_pole_and_leaves_its_range_beside_it() -> None:
    data = present(weights.of_run(case_run("bent")))
    x, a = data.curve(0)

    (gap,) = [place for place, value in enumerate(a) if isnan(value)]
    assert x[gap] == pytest.approx(-e / 2, abs=1e-7)
    assert a[gap - 1] < data.ranges[0][0] < data.ranges[0][1] < a[gap + 1]
    assert 0.1 < data.outside(0) < 0.4
    assert data.is_cut
    assert "no a_i exists: x = \u22121.359 (example 1)" in data.caption
    assert data.queries == (
        (-1.3, 0, pytest.approx(2.58934260595622537)),
        (-1.4, 0, pytest.approx(-2.41875273576456867)),
    )


def test_weights_of_a_linear_model_are_constant_and_stay_inside() -> None:
    data = present(weights.of_run(case_run("linear-one-weight")))

    for place in range(len(data.examples)):
        values = data.values(place)
        assert max(values) == pytest.approx(min(values), rel=1e-6)
    assert [data.outside(place) for place in range(len(data.examples))] == [0] * len(data.examples)
    assert not data.is_cut
    assert "stay inside" in data.caption


# The matrix, and orders.


def test_the_matrix_of_the_line_with_an_intercept() -> None:
    data = present(gram.of_run(case_run("linear-intercept")))

    assert [list(map(round, row)) for row in data.kernel] == [[1, 1, 1], [1, 2, 3], [1, 3, 5]]
    assert (data.largest, data.negative, data.count) == (pytest.approx(5), 0, 3)
    assert "the 3 training examples" in data.caption
    assert "the first 3 of 9" in replace(data, count=9).caption
    assert "orange" in replace(data, kernel=((1, -1), (-1, 1))).caption


def test_the_order_of_descent() -> None:
    data = present(orders.descent_of_run(case_run("linear-intercept")))

    assert data.order == pytest.approx(1, abs=0.05)
    assert data.rates == pytest.approx([1 / n for n in data.steps])
    assert orders.DescentOrder((0.2, 0.1), (5, 10), (1, 1), (0.4, 0.1)).order == pytest.approx(2)


def test_residuals_as_powers_of_ten_below_the_range_of_doubles() -> None:
    run = replace(EMPTY, series={"digits": (("10", "0", "1e-13"), ("400", "2.0e-405", "1e-403"))})
    data = present(orders.digits_of_run(run))

    assert data.digits == (10, 400)
    assert data.residuals == (None, pytest.approx(log10(2) - 405))
    assert data.estimates == (-13, -403)
    assert "At 10 digits it is 0" in data.caption


def test_the_slope_of_the_drift_by_width() -> None:
    run = replace(EMPTY, series={"drift": (("16", "0.2", "9"), ("64", "0.1", "9"), ("256", "0.05", "9"))})
    data = present(orders.width_of_run(run))

    assert (data.order, data.starts) == (pytest.approx(-0.5), 9)
    assert "median of 9 starts" in data.caption
