"""Small tasks as data, in rationals: drawn so that they shrink, shown when a relation fails, and carried out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.testing.conform.task import CONVOLUTION, LOSSES, MEAN, MINIBATCHES, MOMENTUM, Task, loss_of
from pkverify.testing.strategies import numbers

IMAGE = (1, 2, 3)
"""Channels, rows and columns of the images that a small convolution takes."""
KERNEL = (2, 2)
PLACES = 2
"""Where such a kernel fits on such an image."""

_NUMBERS, _WEIGHTS = numbers(), numbers(largest=1)


@dataclass(frozen=True)
class Spec:
    """A task in small rationals: what is shown when a relation fails.

    Attributes:
        kind: One of ``LOSSES``.
        widths: Inputs, hidden units of each layer, outputs; of a convolution its pixels, its channels and the outputs.
        bias: Whether the layers have biases.
        weights: All parameters at the start, in the order of ``model.parameters()``, each row by row.
        x: Training inputs.
        y: Training targets: rows of numbers, or rows of one class.
        x_query: Inputs of the queries.
        y_query: Their targets.
        rates: The learning rate of each step.
        batches: The examples of each step; empty where all take all.
        mean: Whether a step takes the mean over its batch.
        momentum: That of the steps.
        convolution: Whether the first layer is a convolution, over images of the shape ``IMAGE``.
    """

    kind: str
    widths: tuple[int, ...]
    bias: bool
    weights: tuple[Fraction, ...]
    x: tuple[tuple[Fraction, ...], ...]
    y: tuple[tuple[Fraction, ...], ...]
    x_query: tuple[tuple[Fraction, ...], ...]
    y_query: tuple[tuple[Fraction, ...], ...]
    rates: tuple[Fraction, ...]
    batches: tuple[tuple[int, ...], ...] = ()
    mean: bool = False
    momentum: Fraction = Fraction(0)
    convolution: bool = False

    @property
    def is_rational(self) -> bool:
        """Whether its scores are rational numbers: a linear model with the squared loss."""
        return self.kind == "squared" and len(self.widths) == 2

    @property
    def size(self) -> int:
        """How much there is to look at."""
        rows = (*self.x, *self.y, *self.x_query, *self.y_query, *self.batches)
        return len(self.weights) + sum(map(len, rows)) + len(self.rates) + self.mean + bool(self.momentum)

    def text(self) -> str:
        """The task in a few lines."""
        widths = [*self.widths]
        layers, hidden = " - ".join(map(str, widths)), "tanh" if len(widths) > 2 else "linear"
        if self.convolution:
            image, kernel = (" x ".join(map(str, sizes)) for sizes in (IMAGE, KERNEL))
            layers = f"{image} images - {widths[1]} channels by {kernel} kernels - {widths[-1]}"
        how = ["" if not self.batches else f", of examples {', '.join(map(str, map(list, self.batches)))}"]
        how += [", mean over the batch"] if self.mean else []
        how += [f", momentum {self.momentum}"] if self.momentum else []
        return "\n".join(
            [
                f"{layers} {hidden}, {'with' if self.bias else 'no'} biases, {self.kind} loss, summed",
                f"weights {_shown(self.weights)}",
                f"x {_rows(self.x)}, y {_rows(self.y)}",
                f"query {_rows(self.x_query)}, its target {_rows(self.y_query)}",
                f"learning rates {_shown(self.rates)}{''.join(how)}",
            ]
        )


def task_of(spec: Spec) -> Task:
    """Build the network and train it.

    Args:
        spec: What was drawn.

    Returns:
        The task.

    Raises:
        InputError: If there are more or fewer weights than the network has.

    Example:
        >>> one, row = Fraction(1), ((Fraction(1),),)
        >>> task = task_of(Spec("squared", (1, 1), False, (one,), row, ((2 * one,),), row, row, (one / 4,)))
        >>> [float(point["0.weight"]) for point in task.checkpoints]  # w - rate * 2 (w - 2)
        [1.0, 1.5]
    """
    model = network(spec.widths, bias=spec.bias, convolution=spec.convolution)
    flat = torch.tensor([float(w) for w in spec.weights], dtype=torch.float64)
    size = parameter_count(spec.widths, bias=spec.bias, convolution=spec.convolution)
    if flat.numel() != size:
        raise InputError(f"weights: {flat.numel()} for {size} parameters", "", "give one number for each parameter")
    torch.nn.utils.vector_to_parameters(flat, model.parameters())
    shape = IMAGE if spec.convolution else spec.widths[:1]
    task = Task(
        model,
        loss_of(spec.kind),
        _tensor(spec.x).reshape(-1, *shape),
        _targets(spec.kind, spec.y),
        _tensor(spec.x_query).reshape(-1, *shape),
        _targets(spec.kind, spec.y_query),
        ({name: w.detach().clone() for name, w in model.state_dict().items()},),
        tuple(float(rate) for rate in spec.rates),
        spec.kind,
        batches=spec.batches or None,
        mean=spec.mean,
        momentum=float(spec.momentum),
    )
    task = task.retrained()
    task.model.load_state_dict(task.checkpoints[-1])
    return task


def network(widths: Sequence[int], *, bias: bool, convolution: bool = False) -> nn.Sequential:
    """A perceptron in float64, tanh between its layers; or, of three widths, convolution, tanh and linear layer."""
    layers: list[nn.Module] = []
    if convolution:
        _, channels, outputs = widths
        layers += [nn.Conv2d(IMAGE[0], channels, KERNEL, bias=bias), nn.Tanh(), nn.Flatten()]
        layers += [nn.Linear(PLACES * channels, outputs, bias=bias), nn.Tanh()]
    else:
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs, bias=bias), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).to(torch.float64).eval()


def parameter_count(widths: Sequence[int], *, bias: bool, convolution: bool = False) -> int:
    """How many parameters ``network`` has."""
    if convolution:
        _, channels, outputs = widths
        return channels * (IMAGE[0] * KERNEL[0] * KERNEL[1] + bias) + outputs * (PLACES * channels + bias)
    return sum(b * (a + bias) for a, b in pairwise(widths))


@st.composite
def specs(draw: st.DrawFn, *, kinds: Sequence[str] = LOSSES, features: Collection[str] = ()) -> Spec:
    """Tasks to try adapters on: small, and smaller when they shrink.

    Args:
        draw: Given by Hypothesis.
        kinds: Which losses to draw from.
        features: What all of them have, of ``FEATURES``.

    Example:
        >>> from hypothesis import find
        >>> smallest = find(specs(), lambda spec: len(spec.rates) == 2)
        >>> smallest.widths[0], len(smallest.x), smallest.rates
        (1, 1, (Fraction(1, 8), Fraction(1, 8)))
    """
    kind = draw(st.sampled_from(tuple(kinds)))
    convolution = CONVOLUTION in features
    inputs, hidden = draw(st.integers(1, 2)), draw(st.lists(st.integers(1, 2), max_size=2))
    outputs = draw(st.integers(1, 2)) + (kind != "squared")  # the same choices for each kind: it shrinks further
    widths, bias = (inputs, *hidden, outputs), draw(st.booleans())
    if convolution:
        inputs = IMAGE[0] * IMAGE[1] * IMAGE[2]
        widths = (inputs, draw(st.integers(1, 2)), outputs)
    size = parameter_count(widths, bias=bias, convolution=convolution)

    def rows(count: int, width: int) -> tuple[tuple[Fraction, ...], ...]:
        return draw(st.tuples(*(st.tuples(*(_NUMBERS,) * width),) * count))

    def targets(count: int) -> tuple[tuple[Fraction, ...], ...]:
        if kind == "squared":
            return rows(count, outputs)
        return draw(st.tuples(*(st.tuples(st.integers(0, outputs - 1).map(Fraction)),) * count))

    # A batch or a momentum needs somebody to leave out, and a step before.
    fewest = 1 + (MINIBATCHES in features), 1 + (MOMENTUM in features)
    m, q = draw(st.integers(fewest[0], 3)), draw(st.integers(1, 2))
    drawn = (
        draw(st.tuples(*(_WEIGHTS,) * size)), rows(m, inputs), targets(m), rows(q, inputs), targets(q),
        draw(st.lists(st.sampled_from((Fraction(1, 8), Fraction(1, 16))), min_size=fewest[1], max_size=3).map(tuple)),
    )  # fmt: skip
    batch = st.lists(st.integers(0, m - 1), min_size=1, max_size=m - 1, unique=True).map(tuple)
    return Spec(
        kind,
        widths,
        bias,
        *drawn,
        batches=draw(st.tuples(*(batch,) * len(drawn[-1]))) if MINIBATCHES in features else (),
        mean=MEAN in features,
        momentum=draw(st.sampled_from((Fraction(1, 2), Fraction(7, 8)))) if MOMENTUM in features else Fraction(0),
        convolution=convolution,
    )


def _tensor(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)


def _targets(kind: str, rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return _tensor(rows) if kind == "squared" else torch.tensor([int(row[0]) for row in rows])


def _shown(values: Sequence[Fraction]) -> str:
    return f"[{', '.join(map(str, values))}]"


def _rows(rows: Sequence[Sequence[Fraction]]) -> str:
    return f"[{', '.join(map(_shown, rows))}]"
