import math
from collections.abc import Sequence
from fractions import Fraction

import pytest

from pkverify.errors import InputError
from pkverify.expression import parse_expression
from pkverify.losses import KINDS, Loss, loss_names


class Floats:
    """Expressions in binary floating point: enough to compare with a formula written out by hand."""

    def number(self, value: Fraction) -> float:
        return float(value)

    def pi(self) -> float:
        return math.pi

    def add(self, terms: Sequence[float]) -> float:
        return math.fsum(terms)

    def multiply(self, left: float, right: float) -> float:
        return left * right

    def divide(self, left: float, right: float) -> float:
        return left / right

    def power(self, base: float, exponent: Fraction) -> float:
        return base ** float(exponent)

    def call(self, function: str, argument: float) -> float:
        known = {"exp": math.exp, "log": math.log, "softplus": lambda z: math.log1p(math.exp(z))}
        return known[function](argument)


ENTROPY = parse_expression("-(target*log(y) + (1-target)*log(1-y))", ["y", "target"])
PAIR = parse_expression("y0*y1 - target1", ["y0", "y1", "target0", "target1"])
CRITIC = parse_expression("y0 - y1", ["y0", "y1"])

VALUES = [
    (Loss("squared"), [2.0], [0.5], 1.125),
    (Loss("squared"), [2.0, -1.0], [0.5, 1.0], 3.125),
    (Loss("softmax-cross-entropy"), [0.0, 0.0], [1.0, 0.0], math.log(2)),
    (Loss("softmax-cross-entropy"), [1.0, 2.0, 0.0], [0.0, 1.0, 0.0], math.log(math.e + math.e**2 + 1) - 2),
    (Loss("logistic"), [0.7], [1.0], math.log(1 + math.exp(-0.7))),
    (Loss("logistic"), [0.7], [0.0], math.log(1 + math.exp(0.7))),
    (Loss("nll-probability"), [0.25], [], math.log(4)),
    (Loss("nll-log-probability"), [-1.5], [], 1.5),
    (Loss("expression", ENTROPY), [0.25], [1.0], math.log(4)),
    (Loss("expression", PAIR), [2.0, 3.0], [9.0, 1.0], 5.0),
    (Loss("expression", CRITIC), [2.0, 3.0], [], -1.0),
]


@pytest.mark.parametrize(("loss", "outputs", "targets", "expected"), VALUES, ids=range(len(VALUES)))
def test_values(loss: Loss, outputs: list[float], targets: list[float], expected: float) -> None:
    assert loss.build(Floats(), outputs, targets) == pytest.approx(expected, rel=1e-14)
    assert loss.target_count(len(outputs)) == len(targets)


def test_every_kind_has_a_value_here() -> None:
    assert {loss.kind for loss, *_ in VALUES} == set(KINDS)


@pytest.mark.parametrize(
    ("loss", "outputs", "complaint"),
    [
        (Loss("softmax-cross-entropy"), 1, "softmax-cross-entropy is on 1 output"),
        (Loss("logistic"), 2, "logistic is on 2 outputs"),
        (Loss("nll-probability"), 3, "nll-probability is on 3 outputs"),
        (Loss("nll-log-probability"), 2, "nll-log-probability is on 2 outputs"),
        (Loss("expression", ENTROPY), 2, "uses 'target'"),
        (Loss("expression", PAIR), 1, "uses 'target1'"),
        (Loss("expression", PAIR), 3, None),
    ],
)
def test_losses_fit_the_outputs(loss: Loss, outputs: int, complaint: str | None) -> None:
    if complaint is None:
        assert loss.target_count(outputs) == outputs
        return
    with pytest.raises(InputError) as caught:
        loss.target_count(outputs)

    assert complaint in caught.value.what
    assert caught.value.fix


def test_unknown_kinds_and_reductions_are_refused() -> None:
    with pytest.raises(InputError, match="'sqared' is not known"):
        Loss("sqared")
    with pytest.raises(InputError, match="'max' is not known"):
        Loss("squared", reduction="max")


def test_formulas_go_with_expressions_only() -> None:
    with pytest.raises(InputError, match="value is missing"):
        Loss("expression")
    with pytest.raises(InputError, match="value does not go with kind 'squared'"):
        Loss("squared", ENTROPY)


def test_names() -> None:
    assert loss_names("y", 1) == ["y"]
    assert loss_names("target", 2) == ["target0", "target1"]
