from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp

from pkverify.evidence import Verdict
from pkverify.exact import corollary_table as more
from pkverify.exact import proof_table as table
from pkverify.exact.generic_model import TIME, GenericModel
from pkverify.exact.identity import divided, times
from pkverify.exact.proof_check import Step, judge, no_divisors
from pkverify.exact.proof_steps import PROOFS, STEP_IDS, Proof, run_proof

REFUTED, INCONCLUSIVE = Verdict.REFUTED, Verdict.INCONCLUSIVE
ZERO = table.ZERO
TINY = sp.Rational(1, 10**20)
MODELS = (GenericModel(1, 1), GenericModel(2, 2))
VECTOR = (GenericModel(2, 1, 2), GenericModel(2, 2, 2))
JOINT = (GenericModel(1, 2, loss="joint"),)
LOG = (GenericModel(1, 1, loss="log-probability"), GenericModel(2, 2, loss="log-probability"))
SINGLE = (GenericModel(1, query_is_example=True), GenericModel(2, query_is_example=True))

Side = Callable[[GenericModel], tuple[Any, ...]]


# Sabotage: each of these is wrong, and must not pass.


def right(step: Step, build: Callable[[GenericModel, int], Any], **changes: Any) -> Step:
    return replace(step, right=table.for_outputs(build), **changes)


def scaled(step: Step, factor: Any) -> Step:
    return replace(step, right=lambda m: tuple(factor * side for side in step.right(m)))


def shifted(step: Step, term: Any = TINY) -> Step:
    return replace(step, right=lambda m: tuple(side + term for side in step.right(m)))


def slopes(m: GenericModel, c: int = 0) -> tuple[Any, ...]:
    return m.gradient(m.query(TIME)[c], TIME)


def inside(m: GenericModel, pick: Callable[[int], int]) -> Any:
    """P5's right side with the loss derivative of another example."""
    w = m.path(TIME)
    return -sum(
        slopes(m)[j] * m.loss_derivative(pick(i), 0, TIME) * sp.Derivative(m.example(i, TIME)[0], w[j])
        for i in range(m.examples)
        for j in range(m.params)
    )


def rate(m: GenericModel, kernel: Callable[[int], Any]) -> Any:
    """P7's right side with another kernel."""
    return -sum(m.loss_derivative(i, 0, TIME) * kernel(i) for i in range(m.examples))


def half_interval(m: GenericModel, c: int) -> Any:
    return sp.Integral(table.kernel_rate(m, c, table.PAST), (table.PAST, 0, TIME / 2))


def transposed(m: GenericModel, c: int) -> Any:
    return -sum(m.loss_derivative(i, e, TIME) * m.tangent(i, e, c, TIME) for i, e in m.pairs)


def cancelled(m: GenericModel, c: int) -> Any:
    """What SymPy makes of N/K*K by itself."""
    return -sum(
        m.weighted(i, c, TIME) / m.path_kernel(i, c, c, TIME) * m.path_kernel(i, c, c, TIME) for i in range(m.examples)
    )


def next_example(m: GenericModel, i: int) -> int:
    return (i + 1) % m.examples


P1, P3, P4, P5, P6, P7, P8, P11, P12 = (
    getattr(table, name)[0] for name in ("P1", "P3", "P4", "P5", "P6", "P7", "P8", "P11", "P12")
)
LOCAL, GROWTH, START, EXPONENTIAL, LINEAR, LOGARITHM, EXPONENT = table.P2
LINEARITY, DIVISION = table.P9
(NAME,) = table.P10_NAME
LOWER, LOWER_INTEGRAL, UPPER, UPPER_INTEGRAL = table.P10_BOUNDS
k0 = GenericModel.tangent

SABOTAGE: list[tuple[str, Step, tuple[GenericModel, ...], Verdict]] = [
    ("P1 ascent", scaled(P1, -1), MODELS, REFUTED),
    ("P1 learning rate left in", scaled(P1, table.EPS), MODELS, REFUTED),
    ("P1 learning rate may be zero", replace(P1, divisors=no_divisors), MODELS, REFUTED),
    ("P2 local error doubled", scaled(LOCAL, 2), MODELS, REFUTED),
    ("P2 local error with the wrong sign", scaled(LOCAL, -1), MODELS, REFUTED),
    ("P2 local error off the flow", replace(LOCAL, along_flow=False), MODELS, INCONCLUSIVE),
    (
        "P2 bound without the half",
        replace(GROWTH, right=lambda m: (GROWTH.right(m)[0] + table.EPS**2 * table.SECOND / 2,)),
        MODELS,
        REFUTED,
    ),
    (
        "P2 bound that does not grow",
        replace(GROWTH, right=lambda m: (GROWTH.right(m)[0] - table.EPS**2 * table.SECOND / 2,)),
        MODELS,
        REFUTED,
    ),
    ("P2 bound with Lipschitz constant 0", replace(GROWTH, divisors=no_divisors), MODELS, INCONCLUSIVE),
    ("P2 bound starting higher", shifted(START), MODELS, REFUTED),
    ("P2 exponential", shifted(EXPONENTIAL, TIME**2 / 2), MODELS, REFUTED),
    (
        "P2 linear model: 1 + eps S",
        replace(LINEAR, right=lambda m: (LINEAR.right(m)[0] + 2 * table.EPS * table.RATE,)),
        MODELS,
        REFUTED,
    ),
    ("P2 logarithm without the half", shifted(LOGARITHM, -(TIME**2) / 2), MODELS, REFUTED),
    (
        "P2 first error without the half",
        shifted(EXPONENT, -table.EPS * table.RATE**2 * table.HORIZON / 2),
        MODELS,
        REFUTED,
    ),
    ("P3 sign", scaled(P3, -1), MODELS, REFUTED),
    (
        "P3 dropped parameter",
        right(P3, lambda m, _: slopes(m)[0] * sp.Derivative(m.path(TIME)[0], TIME)),
        (GenericModel(2, 1),),
        REFUTED,
    ),
    ("P3 1e-20", shifted(P3), MODELS, REFUTED),
    ("P3 relative 1e-20", scaled(P3, 1 + TINY), MODELS, REFUTED),
    (
        "P3 an example instead of the query",
        right(P3, lambda m, _: sp.Derivative(m.example(0, TIME)[0], TIME)),
        MODELS,
        REFUTED,
    ),
    ("P4 ascent", scaled(P4, -1), MODELS, REFUTED),
    ("P4 twice the gradient", scaled(P4, 2), MODELS, REFUTED),
    ("P4 off the flow", replace(P4, along_flow=False), MODELS, INCONCLUSIVE),
    (
        "P4 gradients exchanged",
        right(P4, lambda m, _: -slopes(m)[0] * m.loss_gradient(1, TIME) - slopes(m)[1] * m.loss_gradient(0, TIME)),
        (GenericModel(2, 1),),
        REFUTED,
    ),
    (
        "P5 dropped example",
        right(P5, lambda m, _: inside(replace(m, examples=m.examples - 1), lambda i: i)),
        (GenericModel(1, 2),),
        REFUTED,
    ),
    (
        "P5 l' of the wrong example",
        right(P5, lambda m, _: inside(m, lambda i: next_example(m, i))),
        (GenericModel(1, 2),),
        REFUTED,
    ),
    ("P5 sign", right(P5, lambda m, _: -inside(m, lambda i: i)), MODELS, REFUTED),
    ("P5 no loss derivative", right(P5, lambda m, _: -m.kernel_formula(0, 0, 0, TIME)), MODELS, REFUTED),
    ("P5 without the definition of the gradient", replace(P5, unfolds=""), MODELS, INCONCLUSIVE),
    ("P6 sign", scaled(P6, -1), MODELS, REFUTED),
    ("P6 wrong pair", right(P6, lambda m, _: rate(m, lambda i: more.gram(m, i, i, TIME))), MODELS, REFUTED),
    (
        "P6 product of sums",
        right(P6, lambda m, _: rate(m, lambda i: sum(slopes(m)) * sum(m.gradient(m.example(i, TIME)[0], TIME)))),
        (GenericModel(2, 1),),
        REFUTED,
    ),
    (
        "P7 every kernel that of the first example",
        right(P7, lambda m, _: rate(m, lambda _: k0(m, 0, 0, 0, TIME))),
        (GenericModel(1, 2),),
        REFUTED,
    ),
    ("P7 kernel squared", right(P7, lambda m, _: rate(m, lambda i: k0(m, i, 0, 0, TIME) ** 2)), MODELS, REFUTED),
    ("P7 missing half", scaled(P7, sp.Rational(1, 2)), MODELS, REFUTED),
    ("P7 without Definition 1", replace(P7, unfolds=""), MODELS, INCONCLUSIVE),
    ("P7 matrix kernel transposed", right(P7, transposed), VECTOR, REFUTED),
    (
        "P7 other outputs left out",
        right(P7, lambda m, c: -sum(m.loss_derivative(i, c, TIME) * k0(m, i, c, c, TIME) for i in range(m.examples))),
        VECTOR,
        REFUTED,
    ),
    (
        "P7 joint loss, wrong example",
        right(P7, lambda m, _: -sum(m.loss_derivative(1 - i, 0, TIME) * k0(m, i, 0, 0, TIME) for i in (0, 1))),
        JOINT,
        REFUTED,
    ),
    ("P8 sign", scaled(P8, -1), MODELS, REFUTED),
    ("P8 final output without the initial one", replace(P8, left=lambda m: m.query(TIME)), MODELS, REFUTED),
    ("P8 half the interval", right(P8, half_interval), MODELS, REFUTED),
    ("P8 not integrated", right(P8, table.kernel_rate), MODELS, REFUTED),
    ("P8 a constant added", shifted(P8), MODELS, REFUTED),
    ("P8 off the flow", replace(P8, along_flow=False), MODELS, INCONCLUSIVE),
    ("P8 without the fundamental theorem", replace(P8, integrated=False), MODELS, INCONCLUSIVE),
    (
        "P8 average kernel times average slope",
        right(P8, lambda m, _: m.loss_derivative(0, 0, ZERO) * -table.from_start(lambda s: k0(m, 0, 0, 0, s))),
        MODELS,
        REFUTED,
    ),
    ("P9 without its obligation", replace(DIVISION, divisors=no_divisors), MODELS, REFUTED),
    ("P9 vector without its obligation", replace(DIVISION, divisors=no_divisors), VECTOR, REFUTED),
    ("P9 cancelled silently", right(DIVISION, cancelled), MODELS, INCONCLUSIVE),
    (
        "P9 cancelled silently, undeclared division elsewhere",
        right(DIVISION, cancelled, divisors=lambda m: (m.weighted(0, 0, TIME),)),
        MODELS,
        INCONCLUSIVE,
    ),
    (
        "P9 kernel of the next example",
        right(
            DIVISION,
            lambda m, _: (
                -sum(
                    times(
                        divided(m.weighted(i, 0, TIME), m.path_kernel(i, 0, 0, TIME)),
                        m.path_kernel(next_example(m, i), 0, 0, TIME),
                    )
                    for i in range(m.examples)
                )
            ),
        ),
        (GenericModel(1, 2),),
        REFUTED,
    ),
    (
        "P9 divided by the weighted integral",
        right(
            DIVISION,
            lambda m, _: (
                -sum(
                    times(divided(m.path_kernel(i, 0, 0, TIME), m.weighted(i, 0, TIME)), m.path_kernel(i, 0, 0, TIME))
                    for i in range(m.examples)
                )
            ),
        ),
        MODELS,
        REFUTED,
    ),
    ("P9 dropped example", right(LINEARITY, lambda m, _: -m.weighted(0, 0, TIME)), (GenericModel(1, 2),), REFUTED),
    (
        "P10 reciprocal",
        right(
            NAME,
            lambda m, _: -sum(divided(m.path_kernel(i, 0, 0, TIME), m.average(i, 0, TIME)) for i in range(m.examples)),
        ),
        MODELS,
        REFUTED,
    ),
    ("P10 without H3", replace(NAME, divisors=no_divisors), MODELS, REFUTED),
    (
        "P10 bound not subtracted",
        replace(LOWER, right=table.for_examples(lambda m, i: m.weighted(i, 0, TIME))),
        MODELS,
        REFUTED,
    ),
    (
        "P10 bound not weighted",
        replace(LOWER_INTEGRAL, left=table.for_examples(lambda m, i: m.weighted(i, 0, TIME) - table.LOWER)),
        MODELS,
        REFUTED,
    ),
    ("P10 upper bound for lower", replace(UPPER_INTEGRAL, right=LOWER_INTEGRAL.right), MODELS, REFUTED),
    ("P10 sign of the upper bound", scaled(UPPER, -1), MODELS, REFUTED),
    (
        "P11 kernel averaged over time",
        replace(P11, left=table.for_outputs(lambda m, c: TIME * table.averages_of_integrals(m, c))),
        MODELS,
        REFUTED,
    ),
    ("P11 without Definition 2", replace(P11, unfolds=""), MODELS, INCONCLUSIVE),
    (
        "P12 sign of the weights",
        right(P12, lambda m, c: 2 * m.offset(c, TIME) - table.kernel_machine(m, c)),
        MODELS,
        REFUTED,
    ),
    ("P12 b left out", right(P12, lambda m, c: table.kernel_machine(m, c) - m.offset(c, TIME)), MODELS, REFUTED),
    (
        "P12 b is the final model",
        right(P12, lambda m, c: table.kernel_machine(m, c) - m.offset(c, TIME) + m.query(TIME)[c]),
        MODELS,
        REFUTED,
    ),
    ("T1 sign", scaled(more.WHOLE[0], -1), MODELS, REFUTED),
    ("T1 1e-20", scaled(more.WHOLE[0], 1 + TINY), VECTOR, REFUTED),
    ("T1g no b", right(more.INITIAL[0], lambda _m, _: ZERO), MODELS, REFUTED),
    (
        "D6b no cross terms",
        replace(
            more.SEMIDEFINITE[0],
            right=lambda m: (
                sum(v**2 * more.squared_gradient(m, i, TIME) for i, v in enumerate(sp.symbols(f"v1:{m.examples + 1}"))),
            ),
        ),
        (GenericModel(1, 2),),
        REFUTED,
    ),
    (
        "D6b square of the integral",
        replace(
            more.SEMIDEFINITE[1],
            right=lambda m: (table.from_start(lambda s: more.combined_gradient_squared(m, s)) ** 2,),
        ),
        MODELS,
        REFUTED,
    ),
    (
        "D7 length instead of its square",
        replace(
            more.DEFINITION_1[1], right=table.for_examples(lambda m, i: sum(m.gradient(m.example(i, TIME)[0], TIME)))
        ),
        MODELS,
        REFUTED,
    ),
    (
        "D8 diagonal of the tangent kernel",
        replace(more.DEFINITION_2[1], right=table.for_examples(lambda m, i: more.squared_gradient(m, i, TIME))),
        MODELS,
        REFUTED,
    ),
    ("R3d sign", scaled(more.LOG_PROBABILITY[0], -1), LOG, REFUTED),
    ("R3d for another loss", more.LOG_PROBABILITY[0], MODELS, REFUTED),
    ("R3d weights for another loss", more.LOG_PROBABILITY[1], MODELS, REFUTED),
    ("SE sign", scaled(more.SINGLE_EXAMPLE[1], -1), SINGLE, REFUTED),
    ("SE for another query", more.SINGLE_EXAMPLE[1], MODELS, REFUTED),
    ("SE slope may vanish", replace(more.SINGLE_EXAMPLE[1], divisors=no_divisors), SINGLE, INCONCLUSIVE),
]


@pytest.mark.parametrize(("step", "models", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in SABOTAGE])
def test_a_sabotaged_step_is_caught(step: Step, models: tuple[GenericModel, ...], verdict: Verdict) -> None:
    found = judge(step, models)

    assert (found.verdict, bool(found.witness)) == (verdict, verdict is REFUTED)
    assert found.reason


def test_there_are_more_sabotages_than_proofs() -> None:
    assert len(SABOTAGE) > 2 * len(PROOFS)


@pytest.mark.parametrize("claim", STEP_IDS)
def test_every_step_can_be_refuted(claim: str) -> None:
    assert any(name.split()[0] == claim and verdict is REFUTED for name, _, _, verdict in SABOTAGE)


def test_a_refuted_proof_carries_a_small_witness() -> None:
    proof = Proof("P6", (((scaled(P6, -1),), MODELS),), (), "", "")

    found = run_proof(proof)

    # By hand: at w1 = -1, f' = 3, f1' = 5 and l1'(f1) = l1'(-1) = -11, so that -l1' f' f1' = 165.
    assert found.verdict is REFUTED
    assert found.witness == (
        "finite sums exchanged: with f = -2 - w1 - 2*w1^2, f1 = 3 + 3*w1 - w1^2, l1(y) = 3 - 2*y + 3*y^2 - y^3, "
        "w1(0) = -1, the coefficient of t^0 is 165 on the left and -165 on the right"
    )


@pytest.mark.parametrize("parts", [(), (((), MODELS),), (((P6,), ()),)], ids=["no part", "no step", "no model"])
def test_an_empty_proof_is_no_proof(parts: Any) -> None:
    found = run_proof(Proof("P6", parts, (), "", ""))

    assert found.verdict is INCONCLUSIVE
    assert found.message


def test_a_step_without_components_is_no_step() -> None:
    assert judge(replace(P6, left=no_divisors, right=no_divisors), MODELS).verdict is INCONCLUSIVE


def test_dividing_without_h3_is_refuted_with_a_vanishing_kernel() -> None:
    found = judge(replace(DIVISION, divisors=no_divisors), MODELS)

    assert found.witness is not None
    assert "with K1(t) = 0, N1(t) = 1, one side is -1 and the other divides by zero" in found.witness
