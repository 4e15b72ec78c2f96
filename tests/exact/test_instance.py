from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import sympy as sp

from pkverify.exact.generic_model import TIME, GenericModel
from pkverify.exact.instance import Instance

MODELS = (GenericModel(1, 1), GenericModel(2, 2))


@pytest.mark.parametrize(
    "model",
    [
        *MODELS,
        GenericModel(2, 2, 2),
        GenericModel(1, 2, loss="joint"),
        GenericModel(2, 2, loss="log-probability"),
        GenericModel(2, query_is_example=True),
    ],
    ids=str,
)
def test_an_instance_follows_its_flow(model: GenericModel) -> None:
    instance = Instance.drawn(model, 5)

    for j in range(model.params):
        rate_of_w, slope = instance.courses[f"w{j + 1}"].derivative(), instance.courses[f"g{j + 1}"]
        assert all(a == -b for a, b in zip(rate_of_w.coefficients, slope.coefficients, strict=False))


def test_an_instance_is_the_same_each_time() -> None:
    assert Instance.drawn(MODELS[1], 7) == Instance.drawn(MODELS[1], 7) != Instance.drawn(MODELS[1], 8)


@pytest.mark.parametrize(
    "expression", [sp.sin(TIME), sp.sqrt(TIME), sp.exp(1 + TIME), sp.log(TIME), sp.Derivative(sp.sin(TIME), TIME)]
)
def test_what_has_no_rational_series_is_refused(expression: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each function words it in its own way
        Instance.drawn(MODELS[0], 1).value(expression)


def test_known_series() -> None:
    instance = Instance.drawn(MODELS[0], 1)

    assert instance.value(sp.exp(TIME)).coefficients == (1, 1, Fraction(1, 2), Fraction(1, 6))
    assert instance.value(sp.log(1 - TIME)).coefficients == (0, -1, Fraction(-1, 2), Fraction(-1, 3))
    assert instance.value(1 / (1 - TIME)).coefficients == (1, 1, 1, 1)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_sizes_are_positive(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no generic model"):
        GenericModel(*sizes)
