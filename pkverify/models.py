"""The models: the built-in ones and expressions, as formulas over any algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Protocol, TypeVar

from pkverify.errors import InputError
from pkverify.expression import FUNCTIONS, Algebra, Expression, check_names

T = TypeVar("T")

KINDS = ("expression", "linear", "mlp", "deep-linear")
MAX_PARAMS = 100_000


class Model(Protocol):
    """A model ``f_w(x)`` with named parameters."""

    @property
    def kind(self) -> str: ...
    @property
    def params(self) -> tuple[str, ...]:
        """Parameter names, in the order of ``initial``."""
        ...

    @property
    def input_count(self) -> int: ...
    @property
    def output_count(self) -> int: ...
    def build(self, algebra: Algebra[T], params: Sequence[T], inputs: Sequence[T]) -> list[T]:
        """The outputs over an algebra, given parameters and inputs."""
        ...


@dataclass(frozen=True)
class ExpressionModel:
    """A model given by a formula for each output.

    Raises:
        InputError: For names that cannot be told apart, a formula with other names, or a model without any parameter,
            input or output.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> ExpressionModel(("w",), ("x",), (parse_expression("w*x", ["w", "x"]),)).output_count
        1
    """

    params: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Expression, ...]
    kind = "expression"

    def __post_init__(self) -> None:
        for key, given in (("params", self.params), ("inputs", self.inputs), ("output", self.outputs)):
            if not given:
                raise InputError(f"[model] {key} is empty", "a model has one or more of each", f"fill {key}")
        check_names((*self.params, *self.inputs), "[model] params and inputs")
        unknown = sorted({name for output in self.outputs for name in output.names} - {*self.params, *self.inputs})
        if unknown:
            raise InputError(f"[model] output uses {unknown[0]!r}", "it is not declared", "add it to params or inputs")

    @property
    def input_count(self) -> int:
        return len(self.inputs)

    @property
    def output_count(self) -> int:
        return len(self.outputs)

    def build(self, algebra: Algebra[T], params: Sequence[T], inputs: Sequence[T]) -> list[T]:
        values = dict(zip(self.params, params, strict=True)) | dict(zip(self.inputs, inputs, strict=True))
        return [output.build(algebra, values) for output in self.outputs]


@dataclass(frozen=True)
class LayeredModel:
    """A linear model, a deep linear one, or a multilayer perceptron: affine layers with an activation between them.

    Parameters come layer by layer: the weight (out x in, row by row), then the bias. The last layer has no activation.

    Attributes:
        kind: ``"linear"``, ``"mlp"`` or ``"deep-linear"``.
        layers: Widths, from the inputs to the outputs.
        activation: A function of the grammar, or None for the linear kinds.
        bias: Whether every layer has a bias.

    Raises:
        InputError: For a kind that does not exist, layers or an activation that do not go with it, or more than
            ``MAX_PARAMS`` parameters.

    Example:
        >>> LayeredModel("linear", (2, 1), None, True).params
        ('w_1_1', 'w_1_2', 'b_1')
        >>> LayeredModel("mlp", (1, 2, 1), "tanh", True).params
        ('w_1_1_1', 'w_1_2_1', 'b_1_1', 'b_1_2', 'w_2_1_1', 'w_2_1_2', 'b_2_1')
    """

    kind: str
    layers: tuple[int, ...]
    activation: str | None
    bias: bool

    def __post_init__(self) -> None:
        if self.kind not in KINDS[1:]:
            raise InputError(f"[model] kind {self.kind!r} is not known", f"there are {', '.join(KINDS)}", "choose one")
        if len(self.layers) < 2 or min(self.layers) < 1 or (self.kind == "linear" and len(self.layers) > 2):
            raise InputError(
                f"[model] layers {list(self.layers[:12])} do not make a model of kind {self.kind!r}",
                "layers are the widths from the inputs to the outputs; a linear model has one step",
                "give for example [2, 3, 1]",
            )
        if (self.kind == "mlp") != (self.activation is not None):
            state = "is missing" if self.kind == "mlp" else f"does not go with kind {self.kind!r}"
            raise InputError(f"[model] activation {state}", "mlp layers have one, and only they", "correct the kind")
        if self.activation is not None and self.activation not in FUNCTIONS:
            raise InputError(
                f"[model] activation {self.activation!r} is not known",
                f"there are {', '.join(FUNCTIONS)}",
                "choose one",
            )
        count = sum((fan_in + self.bias) * fan_out for fan_in, fan_out in pairwise(self.layers))
        if count > MAX_PARAMS:
            raise InputError(
                f"[model] layers make {count} parameters", f"at most {MAX_PARAMS} are read", "use smaller layers"
            )

    @property
    def input_count(self) -> int:
        return self.layers[0]

    @property
    def output_count(self) -> int:
        return self.layers[-1]

    @property
    def params(self) -> tuple[str, ...]:
        names: list[str] = []
        for number, (fan_in, fan_out) in enumerate(pairwise(self.layers), start=1):
            # A linear model has one layer, so its names leave the layer out.
            layer = "" if self.kind == "linear" else f"_{number}"
            names += [f"w{layer}_{row}_{column}" for row in range(1, fan_out + 1) for column in range(1, fan_in + 1)]
            names += [f"b{layer}_{row}" for row in range(1, fan_out + 1)] if self.bias else []
        return tuple(names)

    def build(self, algebra: Algebra[T], params: Sequence[T], inputs: Sequence[T]) -> list[T]:
        supply = iter(params)
        values, last = list(inputs), len(self.layers) - 2
        for number, (fan_in, fan_out) in enumerate(pairwise(self.layers)):
            weights = [[next(supply) for _ in range(fan_in)] for _ in range(fan_out)]
            biases = [[next(supply)] if self.bias else [] for _ in range(fan_out)]
            values = [
                algebra.add([algebra.multiply(w, v) for w, v in zip(row, values, strict=True)] + bias)
                for row, bias in zip(weights, biases, strict=True)
            ]
            if self.activation is not None and number < last:
                values = [algebra.call(self.activation, v) for v in values]
        return values


def l2_penalty(algebra: Algebra[T], params: Sequence[T], strength: Fraction) -> T:
    """The regulariser ``strength/2 * |params|^2``."""
    squares = algebra.add([algebra.power(p, Fraction(2)) for p in params])
    return algebra.multiply(algebra.number(strength / 2), squares)
