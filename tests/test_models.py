from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.expression import parse_expression
from pkverify.models import MAX_PARAMS, ExpressionModel, LayeredModel, l2_penalty


class Integers:
    """Expressions over whole numbers, as far as the layered models need them; relu stays among them."""

    def number(self, value: Fraction) -> Fraction:
        return value

    def pi(self) -> Fraction:
        raise NotImplementedError

    def add(self, terms: Sequence[Fraction]) -> Fraction:
        return sum(terms, Fraction(0))

    def multiply(self, left: Fraction, right: Fraction) -> Fraction:
        return left * right

    def divide(self, left: Fraction, right: Fraction) -> Fraction:
        return left / right

    def power(self, base: Fraction, exponent: Fraction) -> Fraction:
        return base ** int(exponent)

    def call(self, function: str, argument: Fraction) -> Fraction:
        assert function == "relu"
        return max(argument, Fraction(0))


def exact(values: Sequence[int]) -> list[Fraction]:
    return [Fraction(value) for value in values]


@st.composite
def layered(draw: st.DrawFn) -> tuple[LayeredModel, list[int], list[int]]:
    kind = draw(st.sampled_from(["linear", "mlp", "deep-linear"]))
    steps = 1 if kind == "linear" else draw(st.integers(1, 3))
    layers = tuple(draw(st.lists(st.integers(1, 4), min_size=steps + 1, max_size=steps + 1)))
    model = LayeredModel(kind, layers, "relu" if kind == "mlp" else None, draw(st.booleans()))
    numbers = st.integers(-5, 5)
    params = draw(st.lists(numbers, min_size=len(model.params), max_size=len(model.params)))
    inputs = draw(st.lists(numbers, min_size=layers[0], max_size=layers[0]))
    return model, params, inputs


@given(layered())
def test_layers_are_matrix_products(drawn: tuple[LayeredModel, list[int], list[int]]) -> None:
    model, params, inputs = drawn
    values, rest = np.array(inputs), np.array(params)
    for step, (fan_in, fan_out) in enumerate(zip(model.layers[:-1], model.layers[1:], strict=True)):
        if step and model.activation:
            values = np.maximum(values, 0)
        weight, rest = rest[: fan_in * fan_out].reshape(fan_out, fan_in), rest[fan_in * fan_out :]
        values = weight @ values
        if model.bias:
            values, rest = values + rest[:fan_out], rest[fan_out:]

    assert model.build(Integers(), exact(params), exact(inputs)) == values.tolist()
    assert rest.size == 0
    assert (model.input_count, model.output_count) == (model.layers[0], model.layers[-1])
    assert len(set(model.params)) == len(model.params)


def test_parameter_names() -> None:
    assert LayeredModel("linear", (2, 2), None, True).params == ("w_1_1", "w_1_2", "w_2_1", "w_2_2", "b_1", "b_2")
    assert LayeredModel("deep-linear", (1, 1, 1), None, False).params == ("w_1_1_1", "w_2_1_1")


def test_expression_models() -> None:
    outputs = tuple(parse_expression(text, ["u", "v", "x"]) for text in ("u*v*x", "u + x"))
    model = ExpressionModel(("u", "v"), ("x",), outputs)

    assert model.kind == "expression"
    assert model.build(Integers(), exact([2, 3]), exact([5])) == [30, 7]
    assert (model.input_count, model.output_count) == (1, 2)


def test_penalty() -> None:
    assert l2_penalty(Integers(), exact([3, -4]), Fraction(1, 5)) == Fraction(5, 2)


@pytest.mark.parametrize(
    ("kind", "layers", "activation", "complaint"),
    [
        ("tree", (1, 1), None, "kind 'tree' is not known"),
        ("expression", (1, 1), None, "kind 'expression' is not known"),
        ("linear", (1, 2, 1), None, "do not make a model of kind 'linear'"),
        ("mlp", (3,), "tanh", "do not make a model of kind 'mlp'"),
        ("mlp", (), "tanh", "do not make a model of kind 'mlp'"),
        ("mlp", (2, 0, 1), "tanh", "do not make a model of kind 'mlp'"),
        ("deep-linear", (2, -1), None, "do not make a model of kind 'deep-linear'"),
        ("mlp", (1, 1), None, "activation is missing"),
        ("linear", (1, 1), "tanh", "activation does not go with kind 'linear'"),
        ("mlp", (1, 1), "gelu", "activation 'gelu' is not known"),
        ("mlp", (10**9, 10**9), "tanh", f"at most {MAX_PARAMS}"),
    ],
)
def test_layers_that_make_no_model_are_refused(
    kind: str, layers: tuple[int, ...], activation: str | None, complaint: str
) -> None:
    with pytest.raises(InputError) as caught:
        LayeredModel(kind, layers, activation, True)

    assert complaint in str(caught.value)
    assert caught.value.what.startswith("[model] ")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("params", "inputs", "output", "complaint"),
    [
        ((), ("x",), "x", "params is empty"),
        (("w",), (), "w", "inputs is empty"),
        (("w",), ("x",), None, "output is empty"),
        (("w",), ("w",), "w", "declared twice"),
        (("exp",), ("x",), "x", "taken"),
        (("w",), ("x",), "w*z", "uses 'z'"),
    ],
)
def test_names_that_make_no_model_are_refused(
    params: tuple[str, ...], inputs: tuple[str, ...], output: str | None, complaint: str
) -> None:
    outputs = () if output is None else (parse_expression(output, ["w", "x", "z"]),)
    with pytest.raises(InputError, match=complaint):
        ExpressionModel(params, inputs, outputs)
