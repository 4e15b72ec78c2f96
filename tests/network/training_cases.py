"""Training runs for several test files, and a second way to split them: each example's part, carried on by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.func import functional_call, jacrev, vmap

from pkverify.network.path import TrainingPath
from pkverify.network.record import record

EXAMPLES, FEATURES, CLASSES, BATCH = 23, 5, 3, 6
MakeOptimizer = Callable[[Any], optim.Optimizer]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, CLASSES))


def relu_net(hidden: int = 8) -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda p: optim.SGD(p, lr=0.3),
    "sgd decay": lambda p: optim.SGD(p, lr=0.3, weight_decay=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.02),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.02),
    "maximize": lambda p: optim.SGD(p, lr=0.05, momentum=0.5, weight_decay=0.1, maximize=True),
    "adam": lambda p: optim.Adam(p, lr=0.03, weight_decay=0.02),
    "amsgrad": lambda p: optim.Adam(p, lr=0.05, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.03, weight_decay=0.1),
    "adamw maximize": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1, maximize=True),
    "adamax": lambda p: optim.Adamax(p, lr=0.03, weight_decay=0.02),
    "radam": lambda p: optim.RAdam(p, lr=0.03, betas=(0.9, 0.5)),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.02, initial_accumulator_value=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, weight_decay=0.02),
    "rmsprop centered": lambda p: optim.RMSprop(p, lr=0.005, momentum=0.7, centered=True, weight_decay=0.02),
}


@dataclass
class Run:
    """A run as the test saw it: weights before every step and after the last, and who was in each."""

    model: nn.Module
    x: Tensor
    y: Tensor
    query: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: optim.Optimizer
    path: TrainingPath
    weights: list[Tensor] = field(default_factory=list[Tensor])
    batches: list[Tensor] = field(default_factory=list[Tensor])
    rates: list[float] = field(default_factory=list[float])

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        shapes = {name: p.shape for name, p in self.model.named_parameters()}
        parts = flat.split([s.numel() for s in shapes.values()])
        return {name: part.reshape(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}

    def output(self, flat: Tensor, x: Tensor) -> Tensor:
        return functional_call(self.model, self.named(flat), (x,))

    def now(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.model.parameters()])


def data(seed: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(EXAMPLES, FEATURES, generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)
    return x, y, torch.randn(3, FEATURES, generator=generator, dtype=torch.float64)


def seeded(make: Callable[[], nn.Module], seed: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double()


def index_batches(epochs: int, seed: int = 1) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(EXAMPLES, generator=generator).split(BATCH)


def train(
    make_optimizer: MakeOptimizer,
    make_model: Callable[[], nn.Module] = mlp,
    *,
    epochs: int = 2,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    schedule: float = 1.0,
    every: int = 1,
    to: Path | None = None,
    clip_norm: float | None = None,
    inputs: tuple[Tensor, Tensor] | None = None,
) -> Run:
    """A recorded run of minibatches; one example is twice in each batch. ``inputs``: other examples and queries."""
    x, y, query = data()
    x, query = inputs or (x, query)
    model = seeded(make_model)
    optimizer = make_optimizer(model.parameters())
    criterion = loss or nn.CrossEntropyLoss()
    with record(model, optimizer, loss=criterion, x=x, y=y, every=every, to=to, clip_norm=clip_norm) as path:
        run = Run(model, x, y, query, criterion, optimizer, path)
        for indices in index_batches(epochs):
            batch = torch.cat([indices, indices[:1]])
            path.batch(batch)
            optimizer.zero_grad()
            criterion(model(x[batch]), y[batch]).backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            run.weights.append(run.now())
            run.batches.append(batch)
            run.rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] *= schedule
    run.weights.append(run.now())
    return run


# The oracle. It knows torch's documentation of each optimiser, and shares no code with the package: parts are carried
# forward from the step where they arise, where the package carries query gradients backward.


def example_gradients(run: Run, step: int) -> Tensor:
    """What each example (by position), then each other source, puts into the gradient of a step: ``[m + 1, d]``."""
    flat = run.weights[step].clone().requires_grad_()
    outputs = run.output(flat, run.x[run.batches[step]])
    leaf = outputs.detach().requires_grad_()
    (slopes,) = torch.autograd.grad(run.loss(leaf, run.y[run.batches[step]]), leaf)
    parts = torch.zeros(EXAMPLES + 1, len(flat), dtype=flat.dtype)
    for row, example in enumerate(run.batches[step].tolist()):
        (g,) = torch.autograd.grad(outputs[row], flat, slopes[row], retain_graph=True)
        parts[example] += g
    return parts


def moved_by(run: Run, clip_norm: float | None = None) -> Iterator[Tensor]:  # noqa: PLR0915 - one optimiser a paragraph
    """For each step the change of the weights, by who caused it: the examples, then the decay, ``[m + 1, d]``."""
    group = run.optimizer.param_groups[0]
    kind, decay = type(run.optimizer).__name__, group["weight_decay"]
    size = len(run.weights[0])
    buffer = torch.zeros(EXAMPLES + 1, size, dtype=torch.float64)
    square, mean, highest = (torch.zeros(size, dtype=torch.float64) for _ in range(3))
    if kind == "Adagrad":
        square += group["initial_accumulator_value"]
    for step, rate in enumerate(run.rates):
        w, t = run.weights[step], step + 1
        parts = example_gradients(run, step)
        if clip_norm is not None:
            parts *= min(1.0, clip_norm / (float(parts.sum(0).norm()) + 1e-6))
        parts *= -1 if group["maximize"] else 1
        decoupled = bool(group.get("decoupled_weight_decay"))
        if not decoupled:
            parts[-1] += decay * w
        g = parts.sum(0)
        if kind == "SGD":
            momentum = group["momentum"]
            buffer = parts.clone() if step == 0 else momentum * buffer + (1 - group["dampening"]) * parts
            change = parts if not momentum else parts + momentum * buffer if group["nesterov"] else buffer
            yield -rate * change
            continue
        if kind == "Adagrad":
            square = square + g * g
            yield -rate / (1 + (t - 1) * group["lr_decay"]) * parts / (square.sqrt() + group["eps"])
            continue
        if kind == "RMSprop":
            square = group["alpha"] * square + (1 - group["alpha"]) * g * g
            mean = group["alpha"] * mean + (1 - group["alpha"]) * g
            centre = mean * mean if group["centered"] else 0
            buffer = group["momentum"] * buffer + parts / ((square - centre).sqrt() + group["eps"])
            yield -rate * buffer
            continue
        b1, b2 = group["betas"]
        buffer = b1 * buffer + (1 - b1) * parts
        square = b2 * square + (1 - b2) * g * g
        step_parts = rate / (1 - b1**t) * buffer
        if kind == "Adamax":
            highest = torch.maximum(b2 * highest, g.abs() + group["eps"])
            yield -step_parts / highest
            continue
        if kind == "RAdam":
            limit = 2 / (1 - b2) - 1
            length = limit - 2 * t * b2**t / (1 - b2**t)
            if length > 5:
                ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
                step_parts = step_parts * (ratio * (1 - b2**t)) ** 0.5 / (square.sqrt() + group["eps"])
            yield -step_parts
            continue
        highest = torch.maximum(highest, square)
        held = highest if group["amsgrad"] else square
        change = -step_parts / ((held / (1 - b2**t)).sqrt() + group["eps"])
        if decoupled:
            change[-1] -= rate * decay * w
        yield change


def oracle(run: Run, clip_norm: float | None = None, nodes: int = 24) -> Tensor:
    """The contribution of each example, then of the decay, to each output of each query: ``[q, m + 1, C]``."""
    total = torch.zeros(len(run.query), EXAMPLES + 1, CLASSES, dtype=torch.float64)
    places, shares = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(nodes))
    slopes = vmap(jacrev(lambda w, x: run.output(w, x[None])[0]), in_dims=(0, None))
    for step, parts in enumerate(moved_by(run, clip_norm)):
        start, change = run.weights[step], run.weights[step + 1] - run.weights[step]
        for q, x in enumerate(run.query):
            for low, high in pieces(run, x, start, change):
                at = start + (low + (high - low) * (places[:, None] + 1) / 2) * change
                mean = torch.einsum("n,ncd->cd", (high - low) / 2 * shares, slopes(at, x))
                total[q] += (mean @ parts.T).T
    return total


def pieces(run: Run, x: Tensor, start: Tensor, change: Tensor) -> list[tuple[float, float]]:
    """Where a network with one hidden ReLU layer has no kink: its pre-activations are linear on the segment."""
    if not any(isinstance(module, nn.ReLU) for module in run.model):  # type: ignore[union-attr]
        return [(0.0, 1.0)]
    first, other = run.named(start), run.named(change)
    value = first["0.weight"] @ x + first["0.bias"]
    slope = other["0.weight"] @ x + other["0.bias"]
    edges = sorted({0.0, 1.0, *(u for u in (-value / slope).tolist() if 0 < u < 1)})
    return list(pairwise(edges))
