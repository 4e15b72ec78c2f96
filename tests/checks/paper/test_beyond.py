from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import endpoints, working_precision
from pkverify.arithmetic.quadrature import gauss_legendre
from pkverify.checks.arrays import ArrayAlgebra
from pkverify.checks.paper import beyond_balls as balls
from pkverify.checks.paper import beyond_flows as flows
from pkverify.checks.paper import beyond_steps as steps
from pkverify.checks.paper import training
from pkverify.checks.paper.algebras import SeriesAlgebra, gradients, integral
from pkverify.checks.paper.beyond import AUDITS
from pkverify.claims.beyond import CLAIMS
from pkverify.claims.record import Status
from pkverify.evidence import Verdict
from pkverify.exact import paper_beyond
from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.models import ExpressionModel

SETTING = steps.STEPS.setting
X = SETTING.query
SERIES = SeriesAlgebra(flows.ORDER)


def test_every_claim_has_its_audit() -> None:
    assert AUDITS.keys() == {each.id for each in CLAIMS}


@pytest.mark.parametrize("claim", AUDITS)
def test_it_holds(claim: str) -> None:
    finding = AUDITS[claim]()

    assert finding.claim == claim
    assert finding.status is Status.HOLDS
    assert finding.evidence.verdict.holds
    assert finding.evidence.message


# Training in steps: the right sums leave nothing, each wrong one something.


def missed(trained: list[training.Step], rule: training.Rule | None = None) -> Fraction:
    return training.change(SETTING, trained, X) - sum(training.explained(SETTING, trained, X, rule))


def midpoints(start: training.Vector, step: training.Vector, x: Fraction) -> training.Vector:
    return SETTING.gradient(training.total([start, training.scaled(Fraction(1, 2), step)]), x)


def simpson(start: training.Vector, step: training.Vector, x: Fraction) -> training.Vector:
    ends = [training.total([start, training.scaled(Fraction(k, 2), step)]) for k in range(3)]
    weighted = [training.scaled(Fraction(c, 6), SETTING.gradient(w, x)) for c, w in zip((1, 4, 1), ends, strict=True)]
    return training.total(weighted)


def without_memory(trained: list[training.Step]) -> list[training.Step]:
    """Each step explained by its own gradients alone."""
    rate = steps.STEPS.rates[0]
    return [
        (w, d, (*(training.scaled(-rate, SETTING.pull(w, i)) for i in range(3)), shares[3])) for w, d, shares in trained
    ]


def of_another_batch(trained: list[training.Step]) -> list[training.Step]:
    return [(w, d, shares) for (w, d, _), (_, _, shares) in zip(trained, trained[1:] + trained[:1], strict=True)]


GD = training.gradient_descent(SETTING, [Fraction(1, 5)] * 3)
BALL = training.momentum(SETTING, Fraction(1, 5), Fraction(2, 3), steps.STEPS.velocity, 3)
AHEAD = training.momentum(SETTING, Fraction(1, 5), Fraction(2, 3), steps.STEPS.velocity, 3, look_ahead=True)
SGD = training.stochastic_descent(SETTING, steps.STEPS.rates, steps.STEPS.copies, Fraction(3, 2))


@pytest.mark.parametrize(
    "residual",
    [
        pytest.param(lambda: missed(GD), id="segments"),
        pytest.param(lambda: missed(GD, simpson), id="Simpson, a second route to the average"),
        pytest.param(lambda: missed(BALL), id="heavy ball"),
        pytest.param(lambda: missed(AHEAD), id="Nesterov"),
        pytest.param(lambda: missed(SGD), id="batches"),
        pytest.param(lambda: steps.preconditioned_residual(steps.STEPS), id="preconditioned"),
        pytest.param(lambda: steps.schedule_residual(steps.STEPS), id="schedule"),
    ],
)
def test_a_right_sum_leaves_nothing(residual: Callable[[], Fraction]) -> None:
    assert residual() == 0


@pytest.mark.parametrize(
    "residual",
    [
        pytest.param(lambda: missed(GD, training.left_end(SETTING)), id="left ends for averages"),
        pytest.param(lambda: missed(GD, midpoints), id="one node for a quadratic gradient"),
        pytest.param(lambda: missed(without_memory(BALL)), id="momentum dropped"),
        pytest.param(lambda: missed([(w, d, s[:3]) for w, d, s in BALL]), id="initial velocity dropped"),
        pytest.param(
            lambda: missed([(w, d, b[2]) for (w, d, _), b in zip(AHEAD, BALL, strict=True)]), id="no look ahead"
        ),
        pytest.param(lambda: missed(of_another_batch(SGD)), id="another batch"),
        pytest.param(lambda: missed([(w, d, s[:2]) for w, d, s in GD]), id="an example left out"),
    ],
)
def test_a_wrong_sum_leaves_something(residual: Callable[[], Fraction]) -> None:
    assert abs(residual()) > Fraction(1, 10**6)


def test_what_left_ends_miss_is_of_second_order() -> None:
    sizes = [
        abs(missed(training.gradient_descent(SETTING, [Fraction(1, n)]), training.left_end(SETTING))) for n in (50, 100)
    ]

    assert float(sizes[0] / sizes[1]) == pytest.approx(4, rel=0.05)


def test_the_left_end_formula_needs_the_right_curvature() -> None:
    exact = missed(GD, training.left_end(SETTING))

    assert exact == sum(SETTING.curvature(w, d, X) for w, d, _ in GD)
    assert exact != sum(SETTING.curvature(w, training.scaled(2, d), X) for w, d, _ in GD)


# Flows: every coefficient of the residual is 0, and for each wrong weight one is not.


def test_the_flow_is_that_of_the_problem() -> None:
    path = flows.first_order(
        flows.FLOWS.setting,
        lambda w, at: [
            at.multiply(at.number(Fraction(-1)), at.add(column))
            for column in zip(*flows.loss_pulls(flows.FLOWS.setting, w, at), strict=True)
        ],
    )
    start = flows.FLOWS.setting.loss_gradient(flows.FLOWS.setting.initial)

    assert [w[1] for w in path] == [-g for g in start]


PATH_2D = flows.second_order(flows.FLOWS.setting, (Fraction(0), Fraction(0)), Fraction(0), 3)


@pytest.mark.parametrize(
    "misses",
    [
        pytest.param(lambda: flows.vanishing_damping_misses(flows.FLOWS, PATH_2D, 2), id="(s/t)^2"),
        pytest.param(lambda: flows.weight_decay_misses(flows.FLOWS, flows.FLOWS.strength), id="degree forgotten"),
        pytest.param(
            lambda: flows.preconditioned_misses(flows.FLOWS, ((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))),
            id="preconditioner forgotten in the kernel",
        ),
        pytest.param(
            lambda: flows.schedule_misses(flows.FLOWS, flows.scheduled_path(flows.FLOWS), SERIES.number(Fraction(1))),
            id="schedule forgotten in the kernel",
        ),
        pytest.param(
            lambda: flows.heavy_ball_misses(
                flows.FLOWS,
                flows.second_order(flows.FLOWS.setting, flows.FLOWS.velocity, Fraction(5, 2), 0),
                SERIES.number(Fraction(1)),
                SERIES.number(Fraction(1)),
            ),
            id="damping forgotten in the kernel",
        ),
    ],
)
def test_a_wrong_weight_shows_in_a_coefficient(misses: Callable[[], tuple[Fraction, ...]]) -> None:
    assert any(misses())


# Roots, kinks, bounds.


def test_the_bias_correction_of_adam_is_counted_from_one() -> None:
    with working_precision(balls.BITS):
        right, wrong = (endpoints(balls.adam_residual(balls.ADAM, bias_power=k)) for k in (1, 2))

    assert right[0] <= 0 <= right[1]
    assert max(map(abs, right)) < balls.TOLERANCE
    assert wrong[0] > Fraction(1, 100)


def test_steps_across_a_kink_must_be_split() -> None:
    split, unsplit = balls.kink_in_steps(balls.KINK)

    assert (split, unsplit) == (0, Fraction(5, 8))


@pytest.mark.parametrize("nodes", [1, 2, 4, 8, 16])
def test_gauss_nodes_at_fixed_places_miss_a_kink(nodes: int) -> None:
    """relu(w - 1) along the one step that crosses the kink: its slope is 0 before and 1 behind."""
    start, step = Fraction(1, 2), Fraction(9, 8)
    behind = sum(weight for node, weight in gauss_legendre(nodes, 20) if start + step * node > 1)

    assert abs(behind * step - (start + step - 1)) > Fraction(1, 1000)


@pytest.mark.parametrize(
    "audit",
    [
        pytest.param(lambda: steps.audit_stationary(moved_stationary()), id="E12: not stationary"),
        pytest.param(lambda: steps.audit_stationary(replace(steps.STATIONARY, degree=3)), id="E12: another degree"),
        pytest.param(lambda: flows.audit_weight_decay(replace(flows.FLOWS, degree=1)), id="E4: another degree"),
        pytest.param(lambda: balls.audit_kinks(replace(balls.KINK, query=Fraction(0))), id="E8: no kink met"),
        pytest.param(lambda: steps.audit_midpoint(cubic_midpoint()), id="E11: a cubic model"),
    ],
)
def test_an_audit_can_fail(audit: Callable[[], object]) -> None:
    finding = audit()

    assert finding.evidence.verdict is Verdict.INCONCLUSIVE  # type: ignore[attr-defined]


def moved_stationary() -> steps.StationaryData:
    data = steps.STATIONARY
    initial = (data.setting.initial[0] + Fraction(1, 10**6), data.setting.initial[1])
    return replace(data, setting=replace(data.setting, initial=initial))


def cubic_midpoint() -> steps.MidpointData:
    data = steps.MIDPOINT
    return replace(data, setting=replace(data.setting, output="a + b*x + a**2*b*x*(1 - x)"))


# The parts.


@pytest.mark.parametrize("weight", ["exponential", "cubic", "homogeneous"])
def test_damping_is_undone(weight: str) -> None:
    assert paper_beyond.damping_is_undone(weight)


@pytest.mark.parametrize(
    "function",
    FUNCTIONS,
)
def test_derivatives_of_functions(function: str) -> None:
    model = ExpressionModel(("w",), ("x",), (parse_expression(f"{function}(w + x)", ["w", "x"]),))
    algebra, h = ArrayAlgebra(), 1e-6
    [[slope]] = gradients(model, algebra, [0.4], [0.3])
    upper, lower = (model.build(algebra, [0.4 + s], [0.3])[0] for s in (h, -h))

    assert float(slope) == pytest.approx((upper - lower) / (2 * h), rel=1e-7)


def test_series_divide_and_integrate() -> None:
    algebra = SeriesAlgebra(4)
    geometric = algebra.divide(algebra.number(Fraction(1)), algebra.variable(Fraction(1), Fraction(-1)))

    assert geometric == (1, 1, 1, 1, 1)
    assert integral(geometric) == (0, 1, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4))
