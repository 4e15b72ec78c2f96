"""What an adapter is given: a trained network, its checkpoints, and the questions; drawn so that it shrinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.testing.strategies import numbers

LOSSES = ("squared", "cross-entropy")

Checkpoint = Mapping[str, Tensor]

_NUMBERS, _WEIGHTS = numbers(), numbers(largest=1)


class OutputScale(nn.Module):
    """Multiplies all outputs by a constant.

    Args:
        factor: The constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, outputs: Tensor) -> Tensor:
        return self.factor * outputs


class RescaledLoss(nn.Module):
    """``factor * loss(outputs / outputs_scale, targets)``; a sum over the examples, as its ``reduction`` says.

    Args:
        loss: A loss that adds up the examples of a batch.
        factor: What its value is multiplied by.
        outputs_scale: What the outputs are divided by.
    """

    reduction = "sum"

    def __init__(self, loss: nn.Module, factor: float = 1.0, outputs_scale: float = 1.0) -> None:
        super().__init__()
        self.loss = loss
        self.factor = factor
        self.outputs_scale = outputs_scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.factor * self.loss(outputs / self.outputs_scale, targets)


class EachLoss(nn.Module):
    """The loss of each example of a batch by itself, ``[n]``, as its ``reduction`` says.

    Args:
        loss: A loss that adds up the examples of a batch.
    """

    reduction = "none"

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([self.loss(o[None], t[None]) for o, t in zip(outputs, targets, strict=True)])


@dataclass(frozen=True, eq=False)
class Task:
    """A training run by plain gradient descent on all examples at once, and queries: everything in float64 on the CPU.

    Step s goes from ``checkpoints[s]`` to ``checkpoints[s + 1]`` along ``-rates[s]`` times the gradient of the loss.

    Attributes:
        model: The network, a ``torch.nn.Sequential``; in eval mode, at the last weights.
        loss: Of (outputs, targets): the sum over the examples of a batch. Its ``reduction`` is ``"sum"``.
        x: Training inputs, ``[m, n]``.
        y: Training targets: ``[m, C]``, or classes ``[m]``.
        x_query: Inputs of the queries, ``[q, n]``.
        y_query: Their targets.
        checkpoints: The weights before each step, and the last ones: one more than there are steps.
        rates: The learning rate of each step.
        kind: One of ``LOSSES``.
        batch_size: How many examples to handle at once; scores must not depend on it.
        output: The output that quantities of one output are about.
        rescaled: Whether the model or the loss is not one of torch's own layers and losses.
    """

    model: nn.Sequential
    loss: nn.Module
    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor
    checkpoints: tuple[dict[str, Tensor], ...]
    rates: tuple[float, ...]
    kind: str
    batch_size: int = 2
    output: int = 0
    rescaled: bool = False

    @property
    def last_layer(self) -> str:
        """The name of the last layer that has parameters."""
        return list(self.checkpoints[0])[-1].rpartition(".")[0]

    def fresh(self) -> Task:
        """A copy that shares no tensor with this one: what an adapter does to it stays there."""
        model = _sequential([_layer(layer) for layer in self.model])
        model.load_state_dict(self.checkpoints[-1])
        return replace(
            self,
            model=model,
            x=self.x.clone(),
            y=self.y.clone(),
            x_query=self.x_query.clone(),
            y_query=self.y_query.clone(),
            checkpoints=tuple({name: w.clone() for name, w in point.items()} for point in self.checkpoints),
        )

    def retrained(self, **changes: Any) -> Task:
        """The same with other data, rates or loss, and the run made again from the first weights."""
        changed = replace(self, **changes)
        return replace(changed, checkpoints=train(changed))


@dataclass(frozen=True)
class Spec:
    """A task in small rationals: what is shown when a relation fails.

    Attributes:
        kind: One of ``LOSSES``.
        widths: Inputs, hidden units of each layer, outputs.
        bias: Whether the layers have biases.
        weights: All parameters at the start, in the order of ``model.parameters()``, each row by row.
        x: Training inputs.
        y: Training targets: rows of numbers, or rows of one class.
        x_query: Inputs of the queries.
        y_query: Their targets.
        rates: The learning rate of each step.
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

    @property
    def is_rational(self) -> bool:
        """Whether its scores are rational numbers: a linear model with the squared loss."""
        return self.kind == "squared" and len(self.widths) == 2

    @property
    def size(self) -> int:
        """How much there is to look at."""
        return len(self.weights) + sum(map(len, (*self.x, *self.y, *self.x_query, *self.y_query))) + len(self.rates)

    def text(self) -> str:
        """The task in a few lines."""
        layers = " - ".join(map(str, self.widths))
        hidden = "tanh" if len(self.widths) > 2 else "linear"
        return "\n".join(
            [
                f"{layers} {hidden}, {'with' if self.bias else 'no'} biases, {self.kind} loss, summed",
                f"weights {_shown(self.weights)}",
                f"x {_rows(self.x)}, y {_rows(self.y)}",
                f"query {_rows(self.x_query)}, its target {_rows(self.y_query)}",
                f"learning rates {_shown(self.rates)}",
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
    model = network(spec.widths, bias=spec.bias)
    flat = torch.tensor([float(w) for w in spec.weights], dtype=torch.float64)
    size = sum(p.numel() for p in model.parameters())
    if flat.numel() != size:
        raise InputError(f"weights: {flat.numel()} for {size} parameters", "", "give one number for each parameter")
    torch.nn.utils.vector_to_parameters(flat, model.parameters())
    task = Task(
        model,
        loss_of(spec.kind),
        _tensor(spec.x),
        _targets(spec.kind, spec.y),
        _tensor(spec.x_query),
        _targets(spec.kind, spec.y_query),
        ({name: w.detach().clone() for name, w in model.state_dict().items()},),
        tuple(float(rate) for rate in spec.rates),
        spec.kind,
    )
    task = task.retrained()
    task.model.load_state_dict(task.checkpoints[-1])
    return task


def larger_task(kind: str, *, seed: int = 0) -> Task:
    """A task large enough for errors to have a size worth quoting: 8 - 16 - 3 tanh, 12 examples, 5 queries, 4 steps.

    Args:
        kind: One of ``LOSSES``.
        seed: Of the weights and data.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = network((8, 16, 3), bias=True)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(normal(*p.shape) / (p.shape[-1] ** 0.5))
    x, x_query = normal(12, 8), normal(5, 8)
    if kind == "squared":
        y, y_query = normal(12, 3), normal(5, 3)
    else:
        y, y_query = (torch.randint(0, 3, (count,), generator=generator) for count in (12, 5))
    start = {name: w.detach().clone() for name, w in model.state_dict().items()}
    task = Task(model, loss_of(kind), x, y, x_query, y_query, (start,), (0.02, 0.01, 0.02, 0.005), kind, batch_size=5)
    task = task.retrained()
    task.model.load_state_dict(task.checkpoints[-1])
    return task


def train(task: Task) -> tuple[dict[str, Tensor], ...]:
    """The weights before each step and after the last, by plain gradient descent from the task's first ones."""
    points = [{name: w.clone() for name, w in task.checkpoints[0].items()}]
    for rate in task.rates:
        weights = {name: w.clone().requires_grad_() for name, w in points[-1].items()}
        loss = task.loss(torch.func.functional_call(task.model, weights, (task.x,)), task.y)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        points.append(
            {name: (w - rate * g).detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}
        )  # fmt: skip
    return tuple(points)


def network(widths: Sequence[int], *, bias: bool) -> nn.Sequential:
    """A perceptron in float64, tanh between its layers."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs, bias=bias, dtype=torch.float64), nn.Tanh()]
    return _sequential(layers[:-1])


def loss_of(kind: str) -> nn.Module:
    """torch's own loss, added up over the examples."""
    if kind not in LOSSES:
        raise InputError(f"loss: there is no {kind!r}", "", f"choose from {', '.join(LOSSES)}")
    return nn.MSELoss(reduction="sum") if kind == "squared" else nn.CrossEntropyLoss(reduction="sum")


@st.composite
def specs(draw: st.DrawFn, *, kinds: Sequence[str] = LOSSES) -> Spec:
    """Tasks to try adapters on: small, and smaller when they shrink.

    Args:
        draw: Given by Hypothesis.
        kinds: Which losses to draw from.

    Example:
        >>> from hypothesis import find
        >>> smallest = find(specs(), lambda spec: len(spec.rates) == 2)
        >>> smallest.widths[0], len(smallest.x), smallest.rates
        (1, 1, (Fraction(1, 8), Fraction(1, 8)))
    """
    kind = draw(st.sampled_from(tuple(kinds)))
    inputs, hidden = draw(st.integers(1, 2)), draw(st.lists(st.integers(1, 2), max_size=2))
    outputs = draw(st.integers(1, 2)) + (kind != "squared")  # the same choices for each kind: it shrinks further
    widths, bias = (inputs, *hidden, outputs), draw(st.booleans())
    size = sum(b * (a + bias) for a, b in pairwise(widths))

    def rows(count: int, width: int) -> tuple[tuple[Fraction, ...], ...]:
        return draw(st.tuples(*(st.tuples(*(_NUMBERS,) * width),) * count))

    def targets(count: int) -> tuple[tuple[Fraction, ...], ...]:
        if kind == "squared":
            return rows(count, outputs)
        return draw(st.tuples(*(st.tuples(st.integers(0, outputs - 1).map(Fraction)),) * count))

    m, q = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    return Spec(
        kind,
        widths,
        bias,
        draw(st.tuples(*(_WEIGHTS,) * size)),
        rows(m, inputs),
        targets(m),
        rows(q, inputs),
        targets(q),
        draw(st.lists(st.sampled_from((Fraction(1, 8), Fraction(1, 16))), min_size=1, max_size=3).map(tuple)),
    )


def _layer(layer: nn.Module) -> nn.Module:
    match layer:
        case nn.Linear():
            biased = any(name == "bias" for name, _ in layer.named_parameters())
            return nn.Linear(layer.in_features, layer.out_features, bias=biased, dtype=torch.float64)
        case OutputScale(factor=factor):
            return OutputScale(factor)
        case _:
            return nn.Tanh()


def _sequential(layers: Sequence[nn.Module]) -> nn.Sequential:
    model = nn.Sequential(*layers)
    model.eval()
    return model


def _tensor(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)


def _targets(kind: str, rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return _tensor(rows) if kind == "squared" else torch.tensor([int(row[0]) for row in rows])


def _shown(values: Sequence[Fraction]) -> str:
    return f"[{', '.join(map(str, values))}]"


def _rows(rows: Sequence[Sequence[Fraction]]) -> str:
    return f"[{', '.join(map(_shown, rows))}]"
