"""Hypothesis strategies for torch: small networks, and whole training runs on them, as plain data that can be printed.

A drawn run says all that happens: weights by a seed, examples, loss, optimiser with its settings, learning rates, and
who is in each backward pass. ``record`` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.path import TrainingPath
from pkverify.network.record import record

ARCHITECTURES = ("linear", "mlp", "normalised", "residual", "convolution")
LOSSES = ("half-square-sum", "square-mean", "logistic-sum", "cross-entropy-mean", "cross-entropy-sum")
# torch's softplus becomes linear at its threshold: at 20, the default, with a jump of 2e-9; at 40 it is below rounding.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh, "gelu": nn.GELU, "softplus": partial(nn.Softplus, threshold=40.0),
}  # fmt: skip

# What may be drawn for each optimiser besides the learning rate; the first value of each is its default.
SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "SGD": {
        "momentum": (0.0, 0.5, 0.9), "dampening": (0.0, 0.25), "weight_decay": (0.0, 0.125), "maximize": (False, True),
    },
    "Nesterov": {"momentum": (0.5, 0.9), "weight_decay": (0.0, 0.125)},
    "Adam": {"betas": ((0.9, 0.999), (0.5, 0.75)), "weight_decay": (0.0, 0.125), "amsgrad": (False, True)},
    "AdamW": {"weight_decay": (0.0, 0.125), "amsgrad": (False, True), "maximize": (False, True)},
    "Adamax": {"weight_decay": (0.0, 0.125)},
    "RAdam": {"betas": ((0.9, 0.999), (0.5, 0.75)), "weight_decay": (0.0, 0.125)},
    "Adagrad": {"lr_decay": (0.0, 0.125), "weight_decay": (0.0, 0.125), "initial_accumulator_value": (0.0, 0.125)},
    "RMSprop": {"momentum": (0.0, 0.5), "centered": (False, True), "weight_decay": (0.0, 0.125)},
}  # fmt: skip
OPTIMIZERS = tuple(SETTINGS)

Row = tuple[float, ...]
Indices = tuple[int, ...]


class _Residual(nn.Module):
    """``x + inner(x)``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


@dataclass(frozen=True)
class Network:
    """A small network as data.

    Attributes:
        architecture: One of ``ARCHITECTURES``.
        inputs: Numbers in an input.
        width: Of the hidden layer, where there is one.
        outputs: Numbers in an output.
        activation: A key of ``ACTIVATIONS``.
        bias: Whether the layers have biases.
        seed: Of the initial weights.

    Example:
        >>> Network("linear", 2, 1, 1, "tanh", True, 0).build()(torch.zeros(3, 2).double()).shape
        torch.Size([3, 1])
    """

    architecture: str
    inputs: int
    width: int
    outputs: int
    activation: str
    bias: bool
    seed: int

    def build(self) -> nn.Module:
        """The module in float64, its weights drawn by the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._layers().double()

    def _layers(self) -> nn.Module:
        first, last = nn.Linear(self.inputs, self.width, self.bias), nn.Linear(self.width, self.outputs, self.bias)
        bend = ACTIVATIONS[self.activation]()
        match self.architecture:
            case "linear":
                return nn.Linear(self.inputs, self.outputs, self.bias)
            case "mlp":
                return nn.Sequential(first, bend, last)
            case "normalised":
                return nn.Sequential(first, nn.LayerNorm(self.width), bend, last)
            case "residual":
                inner = nn.Sequential(nn.Linear(self.inputs, self.inputs, self.bias), bend)
                return nn.Sequential(_Residual(inner), nn.Linear(self.inputs, self.outputs, self.bias))
            case _:
                kernel = nn.Conv1d(1, self.width, kernel_size=2, padding=1, bias=self.bias)
                head = nn.Linear(self.width * (self.inputs + 1), self.outputs, self.bias)
                return nn.Sequential(nn.Unflatten(1, (1, self.inputs)), kernel, bend, nn.Flatten(), head)


@dataclass(frozen=True)
class TrainingRun:
    """A training run as data; C outputs, m examples.

    Attributes:
        network: What is trained.
        x: Inputs, a row an example.
        y: Targets: rows of C numbers, of zeros and ones, or one class each, as the loss takes them.
        loss: One of ``LOSSES``.
        optimizer: One of ``OPTIMIZERS``.
        settings: Its settings, as pairs.
        rates: The learning rate of each step.
        batches: For each step its backward passes, for each of these the indices of its examples.
        queries: Inputs at which predictions are split.
    """

    network: Network
    x: tuple[Row, ...]
    y: tuple[Row, ...] | tuple[int, ...]
    loss: str
    optimizer: str
    settings: tuple[tuple[str, Any], ...]
    rates: tuple[float, ...]
    batches: tuple[tuple[Indices, ...], ...]
    queries: tuple[Row, ...]

    def record(self, **options: Any) -> Recorded:
        """Carry the run out, and record it.

        Args:
            options: For ``pkverify.network.record``: ``every``, ``guard``, ``to``, ``output``.

        Returns:
            The recorded path, with the tensors that were used.

        Example:
            >>> network = Network("linear", 1, 1, 1, "tanh", True, 0)
            >>> run = TrainingRun(
            ...     network, ((1.0,),), ((2.0,),), "half-square-sum", "SGD", (), (0.5,), (((0,),),), ((1.0,),)
            ... )
            >>> run.record().path.step_count
            1
        """
        model, criterion = self.network.build(), losses()[self.loss]
        x, y, queries = self.tensors()
        optimizer = make_optimizer(self.optimizer, model, self.rates[0], dict(self.settings))
        with record(model, optimizer, loss=criterion, x=x, y=y, **options) as path:
            for rate, passes in zip(self.rates, self.batches, strict=True):
                optimizer.zero_grad()
                optimizer.param_groups[0]["lr"] = rate
                for indices in passes:
                    chosen = torch.tensor(indices)
                    path.batch(chosen)
                    criterion(model(x[chosen]), y[chosen]).backward()
                optimizer.step()
        return Recorded(path, model, x, y, queries)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs ``[m, n]``, targets ``[m, C]`` or ``[m]``, queries ``[q, n]``; float64, classes int64."""
        kind = torch.int64 if self.loss.startswith("cross-entropy") else torch.float64
        x, queries = (torch.tensor(rows, dtype=torch.float64) for rows in (self.x, self.queries))
        return x, torch.tensor(self.y, dtype=kind), queries


@dataclass(frozen=True)
class Recorded:
    """What a run left behind.

    Attributes:
        path: The recorded path.
        model: The trained model.
        x: Training inputs.
        y: Targets.
        queries: Query inputs.
    """

    path: TrainingPath
    model: nn.Module
    x: Tensor
    y: Tensor
    queries: Tensor = field(repr=False)


def losses() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The criteria by name: from outputs and targets of a batch to a scalar."""
    return {
        "half-square-sum": lambda outputs, targets: (outputs - targets).square().sum() / 2,
        "square-mean": nn.MSELoss(),
        "logistic-sum": nn.BCEWithLogitsLoss(reduction="sum"),
        "cross-entropy-mean": nn.CrossEntropyLoss(),
        "cross-entropy-sum": nn.CrossEntropyLoss(reduction="sum"),
    }


def make_optimizer(name: str, model: nn.Module, rate: float, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """An optimiser of ``OPTIMIZERS`` on all parameters of a model."""
    chosen = {**settings, "nesterov": True} if name == "Nesterov" else dict(settings)
    return getattr(torch.optim, "SGD" if name == "Nesterov" else name)(model.parameters(), lr=rate, **chosen)


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    architectures: Collection[str] = ARCHITECTURES,
    largest_inputs: int = 3,
    largest_width: int = 3,
    outputs: int | None = None,
) -> Network:
    """Small networks whose output for an example depends on that example alone.

    Args:
        draw: Given by Hypothesis.
        architectures: Which of ``ARCHITECTURES`` to draw from.
        largest_inputs: Bound of the number of inputs.
        largest_width: Bound of the hidden width.
        outputs: The number of outputs; 1 to 3 when left out.

    Raises:
        InputError: For an architecture that there is not.

    Example:
        >>> from hypothesis import find
        >>> find(networks(), lambda network: network.bias).architecture
        'linear'
    """
    _require("networks(architectures", architectures, ARCHITECTURES)
    return Network(
        architecture=draw(st.sampled_from([name for name in ARCHITECTURES if name in architectures])),
        inputs=draw(st.integers(1, largest_inputs)),
        # A layer norm over fewer than two numbers gives a constant.
        width=draw(st.integers(2, max(2, largest_width))),
        outputs=draw(st.integers(1, 3)) if outputs is None else outputs,
        activation=draw(st.sampled_from(tuple(ACTIVATIONS))),
        bias=draw(st.booleans()),
        seed=draw(st.integers(0, 9)),
    )


@st.composite
def training_runs(
    draw: st.DrawFn,
    *,
    optimizers: Collection[str] = OPTIMIZERS,
    architectures: Collection[str] = ARCHITECTURES,
    losses: Collection[str] = LOSSES,
    largest_rate: float = 0.5,
    largest_steps: int = 4,
    largest_count: int = 4,
) -> TrainingRun:
    """Training runs that can be recorded: minibatches with repeats, accumulated gradients, changing learning rates.

    Args:
        draw: Given by Hypothesis.
        optimizers: Which of ``OPTIMIZERS`` to draw from.
        architectures: Which of ``ARCHITECTURES`` to draw from.
        losses: Which of ``LOSSES`` to draw from.
        largest_rate: Bound of the learning rate; a tenth of it for optimisers that divide by the gradient's size.
        largest_steps: Bound of the number of steps.
        largest_count: Bound of the number of examples.

    Raises:
        InputError: For a name that there is not.

    Example:
        >>> from hypothesis import find
        >>> smallest = find(training_runs(), lambda run: True)
        >>> smallest.network.architecture, smallest.optimizer, smallest.batches
        ('linear', 'SGD', (((0,),),))
    """
    for name, given, known in (
        ("training_runs(optimizers", optimizers, OPTIMIZERS), ("training_runs(losses", losses, LOSSES),
    ):  # fmt: skip
        _require(name, given, known)
    loss = draw(st.sampled_from([name for name in LOSSES if name in losses]))
    outputs = draw(st.integers(2, 3)) if loss.startswith("cross-entropy") else draw(st.integers(1, 2))
    network = draw(networks(architectures=architectures, outputs=outputs))
    count = draw(st.integers(1, largest_count))
    quarters = st.integers(-8, 8).map(lambda value: value / 4)
    row = st.tuples(*[quarters] * network.inputs)
    if loss.startswith("cross-entropy"):
        target: st.SearchStrategy[Any] = st.integers(0, outputs - 1)
    else:
        target = st.tuples(*[st.sampled_from((0.0, 1.0)) if loss == "logistic-sum" else quarters] * outputs)
    optimizer = draw(st.sampled_from([name for name in OPTIMIZERS if name in optimizers]))
    # One draw for all settings, so that no optimiser with few of them counts as smaller.
    chosen = draw(st.sampled_from(list(product(*SETTINGS[optimizer].values()))))
    steps = draw(st.integers(1, largest_steps))
    largest = largest_rate if optimizer in {"SGD", "Nesterov"} else largest_rate / 10
    rates = st.sampled_from([largest / 2**k for k in range(5, -1, -1)])
    batch = st.lists(st.integers(0, count - 1), min_size=1, max_size=count + 1).map(tuple)
    passes = st.lists(batch, min_size=1, max_size=2).map(tuple)
    examples = [draw(st.tuples(row, target)) for _ in range(count)]
    return TrainingRun(
        network=network,
        x=tuple(x for x, _ in examples),
        y=tuple(y for _, y in examples),
        loss=loss,
        optimizer=optimizer,
        settings=tuple(zip(SETTINGS[optimizer], chosen, strict=True)),
        rates=tuple(draw(rates) for _ in range(steps)),
        batches=tuple(draw(passes) for _ in range(steps)),
        queries=tuple(draw(row) for _ in range(draw(st.integers(1, 2)))),
    )


def _require(call: str, given: Collection[str], known: Collection[str]) -> None:
    unknown = sorted({*given} - {*known})
    if unknown or not given:
        raise InputError(
            f"{call}={list(given)})",
            f"there is no {unknown[0]!r}" if unknown else "there is nothing to draw from",
            f"choose from {', '.join(known)}",
        )
