"""The derivation: each line under its claim, proved only where it was proved, and readable as text and LaTeX."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pkverify.evidence import Verdict
from pkverify.exact.derivation import derive
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

ONE = Fraction(1)
LINE = LayeredModel("linear", (1, 1), None, False)


def formula(text: str, *params: str) -> ExpressionModel:
    return ExpressionModel(params, ("x",), (parse_expression(text, [*params, "x"]),))


def problem(
    model: Any,
    loss: str = "squared",
    target: int | None = 1,
    start: tuple[Fraction, ...] = (Fraction(1, 2),),
    **more: Any,
) -> Problem:
    targets = () if target is None else (Fraction(target),)
    return Problem(model, Loss(loss), Dataset(((ONE,),), (targets,)), start, ONE, **more)


CLOSED = {
    "linear": problem(LINE, title="A line"),
    "ridge": problem(LINE, regularizer=Regularizer(strength=ONE)),
    "product": problem(formula("u*v*x", "u", "v"), start=(Fraction(1, 2), Fraction(1, 3))),
    "depth 3": problem(LayeredModel("deep-linear", (1, 1, 1, 1), None, False), start=(Fraction(1, 2),) * 3),
    "logit": problem(LINE, "logistic"),
    "probability": problem(formula("sigmoid(w*x)", "w"), "nll-probability", None, (Fraction(0),)),
    "exp": problem(formula("exp(w*x)", "w"), target=2),
}
OPEN = {
    "softplus": problem(formula("softplus(w*x)", "w")),
    "relu": problem(formula("relu(w*x)", "w")),
    "network": problem(LayeredModel("mlp", (1, 2, 1), "tanh", True), start=tuple(Fraction(k, 10) for k in range(7))),
    "large network": problem(LayeredModel("mlp", (1, 5, 1), "tanh", True), start=(Fraction(1, 10),) * 16),
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_proof_is_told_from_the_flow_to_the_ratio(name: str) -> None:
    derivation = derive(CLOSED[name])
    claims = [step.claim for step in derivation.steps]

    assert [c for c in dict.fromkeys(claims) if c in {"P2", "D7", "P8", "T1", "P11", "P9", "P12", "T1d"}] == [
        "P2", "D7", "P8", "T1", "P11", "P9", "P12", *(["T1d"] if "T1d" in claims else []),
    ]  # fmt: skip
    assert all(step.verdict is Verdict.PROVED for step in derivation.steps if step.claim != "T1d")
    assert derivation.closed_forms


@pytest.mark.parametrize("name", CLOSED)
def test_the_ratio_names_its_obligation(name: str) -> None:
    (step,) = (step for step in derive(CLOSED[name]).steps if step.claim == "P9")

    assert "!= 0" in step.message
    assert "H3" in step.message


@pytest.mark.parametrize("name", OPEN)
def test_without_a_closed_form_the_rest_is_called_numeric(name: str) -> None:
    derivation = derive(OPEN[name])
    numeric = [step for step in derivation.steps if step.claim in {"P8", "P11", "P12"}]

    assert derivation.closed_forms == {}
    assert len(numeric) == 3
    assert all(step.verdict is Verdict.INCONCLUSIVE and "numeric" in step.message for step in numeric)


def test_known_formulas() -> None:
    line = derive(CLOSED["linear"])
    texts = {step.text for step in line.steps}

    assert line.title == "A line"
    assert line.closed_forms["w_1_1"][0] == "1 - exp(-t)/2"
    assert {
        "K_t(x, x') = x*x'",
        "K(x, x_1) = T",
        "b = y_0 = 1/2",
        "y_T -> 1 as T -> oo",
        "a_1 -> 0 as T -> oo",
    } <= texts


def test_the_limits_of_the_factors() -> None:
    # T1d: with output p the kernel stays finite, K -> (1 - p0^2)/2 and a_1 -> 2/(1 + p0), here for p0 = 1/2.
    texts = {step.text for step in derive(CLOSED["probability"]).steps if step.claim == "T1d"}

    assert texts == {"y_T -> 1 as T -> oo", "K(x, x_1) -> 3/8 as T -> oo", "a_1 -> 4/3 as T -> oo"}


def test_an_identically_zero_kernel_is_not_divided_by() -> None:
    derivation = derive(problem(LINE, queries=((Fraction(0),),)))

    assert any("any a_1 serves" in step.text for step in derivation.steps if step.claim == "P9")


def test_several_outputs_have_no_ratio() -> None:
    two = Problem(
        LayeredModel("linear", (1, 2), None, False),
        Loss("squared"),
        Dataset(((ONE,),), ((ONE, ONE),)),
        (ONE, 2 * ONE),
        ONE,
    )
    (step,) = (step for step in derive(two).steps if step.claim == "P9")

    assert step.verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("name", [*CLOSED, *OPEN])
def test_text_and_latex_are_whole(name: str) -> None:
    derivation = derive((CLOSED | OPEN)[name])
    fragment = derivation.latex()

    assert fragment.count(r"\begin{align*}") == fragment.count(r"\end{align*}") == 1
    assert fragment.count("{") == fragment.count("}")
    assert fragment.count(r"\left") == fragment.count(r"\right")
    assert fragment.count("&&") == len(derivation.steps)
    assert all(step.text in str(derivation) for step in derivation.steps)
    assert derivation._repr_latex_().startswith("$")
