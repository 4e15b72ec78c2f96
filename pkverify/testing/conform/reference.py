"""Reference scores by brute force: one example, one query, one checkpoint at a time, through torch.autograd in float64.

Nothing here is shared with the network route. For linear models with the squared loss all numbers are rational, and
come out exactly in a second way that uses no floating point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from math import nan

import numpy as np
import torch
from torch import Tensor

from pkverify.testing.conform.task import Checkpoint, Spec, Task

_NODES = 24  # Gauss points on a segment; tanh along a small step is resolved to rounding with half as many

Gradient = dict[str, Tensor]


@dataclass(frozen=True)
class Quantity:
    """What scores are.

    Attributes:
        name: The name in reports and arguments.
        formula: For a query z, an example i and steps s with rates e and weights w.
        query: Whose gradient stands on the side of the query: ``loss``, ``output`` (one of them) or ``outputs`` (all,
            and the products are added up).
        train: The same for the training example; ``loss`` or ``outputs``.
        along: Where on a step the query's gradient is taken: at its ``left`` end, or averaged over the ``segment``.
        claim: The claim that a wrong number contradicts.
        adds_up: Whether the scores of all examples add up to the change of the query's loss or output.
    """

    name: str
    formula: str
    query: str
    train: str
    along: str
    claim: str
    adds_up: bool = False


QUANTITIES = {
    q.name: q
    for q in (
        Quantity(
            "left-endpoint", "sum_s e_s grad l(z; w_s) . grad l(i; w_s)", "loss", "loss", "left", "R2a"
        ),
        Quantity(
            "loss-weighted", "sum_s e_s grad f_c(z; w_s) . grad l(i; w_s)", "output", "loss", "left", "R2a"
        ),
        Quantity(
            "path-kernel", "sum_s e_s sum_c grad f_c(z; w_s) . grad f_c(i; w_s)", "outputs", "outputs", "left", "D8"
        ),
        Quantity(
            "exact-loss", "-sum_s e_s (mean of grad l(z) over step s) . grad l(i; w_s)", "loss", "loss", "segment",
            "E1", adds_up=True,
        ),
        Quantity(
            "exact-output", "-sum_s e_s (mean of grad f_c(z) over step s) . grad l(i; w_s)", "output", "loss",
            "segment", "E1", adds_up=True,
        ),
    )
}  # fmt: skip


@lru_cache(maxsize=64)
def reference(task: Task, quantity: Quantity, params: tuple[str, ...] = ("*",)) -> Tensor:
    """The scores, ``[q, m]`` in float64.

    Args:
        task: The task.
        quantity: What scores are.
        params: Globs for the parameters that take part.

    Example:
        >>> from pkverify.testing.conform.task import larger_task
        >>> task = larger_task("squared")
        >>> exact = reference(task, QUANTITIES["exact-loss"])
        >>> bool((exact.sum(1) - change(task, QUANTITIES["exact-loss"])).abs().max() < 1e-12)
        True
    """
    return sum(parts(task, quantity, params), torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64))


def parts(task: Task, quantity: Quantity, params: Sequence[str] = ("*",)) -> list[Tensor]:
    """The part of each step in the scores."""
    return [step_scores(task, quantity, s, task.checkpoints[s], params) for s in range(len(task.rates))]


def step_scores(
    task: Task, quantity: Quantity, step: int, weights: Checkpoint, params: Sequence[str] = ("*",)
) -> Tensor:
    """What one step adds, with the gradients of the left end taken at the given weights."""
    sign = -1 if quantity.adds_up else 1
    wanted = [name for name in weights if any(fnmatchcase(name, glob) for glob in params)]
    train = [_gradients(task, quantity.train, weights, task.x[i], task.y[i]) for i in range(len(task.x))]
    rows: list[list[Tensor]] = []
    for x, y in zip(task.x_query, task.y_query, strict=True):
        if quantity.along == "left":
            query = _gradients(task, quantity.query, weights, x, y)
        else:
            query = _mean_gradients(task, quantity.query, task.checkpoints[step : step + 2], x, y)
        rows.append([sign * task.rates[step] * _product(query, each, wanted) for each in train])
    return torch.stack([torch.stack(row) for row in rows])


@lru_cache(maxsize=64)
def size_of(task: Task, quantity: Quantity, params: tuple[str, ...] = ("*",)) -> float:
    """What rounding is measured against, a bound of all entries: rates times norms of gradients, over the steps."""
    wanted = [name for name in task.checkpoints[0] if any(fnmatchcase(name, glob) for glob in params)]
    total = 0.0
    for rate, weights in zip(task.rates, task.checkpoints, strict=False):
        norms: list[float] = []
        for kind, xs, ys in ((quantity.query, task.x_query, task.y_query), (quantity.train, task.x, task.y)):
            found = [_gradients(task, kind, weights, x, y) for x, y in zip(xs, ys, strict=True)]
            norms.append(max(float(_product(g, g, wanted)) ** 0.5 for g in found))
        total += rate * norms[0] * norms[1]
    return total or 1.0


def change(task: Task, quantity: Quantity) -> Tensor:
    """How much the loss or the output of each query changed over the run, ``[q]``."""

    def value(weights: Checkpoint, x: Tensor, y: Tensor) -> Tensor:
        outputs = torch.func.functional_call(task.model, dict(weights), (x[None],))
        return task.loss(outputs, y[None]) if quantity.query == "loss" else outputs[0, task.output]

    first, last = task.checkpoints[0], task.checkpoints[-1]
    with torch.no_grad():
        return torch.stack(
            [value(last, x, y) - value(first, x, y) for x, y in zip(task.x_query, task.y_query, strict=True)]
        )


def mistaken(task: Task, quantity: Quantity, params: tuple[str, ...] = ("*",)) -> dict[str, Callable[[], Tensor]]:
    """Scores as they come out of known mistakes, by name; those that ``params`` makes meaningless are left out."""
    steps = range(len(task.rates))
    points = task.checkpoints
    zero = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    names = [name for name in points[0] if any(fnmatchcase(name, glob) for glob in params)]
    biases = [name for name in names if name.endswith("bias")]
    left = replace(quantity, along="left")

    def at(weights: Checkpoint) -> Callable[[], Tensor]:
        return lambda: sum((step_scores(task, left, s, weights, params) for s in steps), zero)

    def without(dropped: Sequence[str]) -> Callable[[], Tensor]:
        return lambda: reference(task, quantity, tuple(name for name in names if name not in dropped))

    found: dict[str, Callable[[], Tensor]] = {}
    if len(steps) > 1:
        found["with the weights of the last step at every step"] = at(points[-2])
        found["with the final weights at every step"] = at(points[-1])
        found["with the first weights at every step"] = at(points[0])
        found["of the last step alone"] = lambda: step_scores(task, quantity, steps[-1], points[-2], params)
        found["of the final weights alone, at the last rate"] = lambda: step_scores(
            task, left, steps[-1], points[-1], params
        )
    for bias in biases[:-1] if len(biases) > 1 else []:
        found[f"without {bias}"] = without([bias])
    if biases:
        found["without the last layer's bias"] = without([biases[-1]])
    if len(biases) > 1:
        found["without any bias"] = without(biases)
    found["of no parameter at all"] = lambda: zero
    return found


def rational_reference(spec: Spec, quantity: Quantity) -> list[list[Fraction]]:
    """The scores of a linear model with the squared loss, exactly: rationals in, rationals out.

    The loss is quadratic along a step and the output linear, so the mean gradient is the one at the middle.

    Args:
        spec: A task that ``is_rational``.
        quantity: What scores are.

    Returns:
        ``[query][example]``.
    """
    inputs, outputs = spec.widths
    weight = [list(spec.weights[c * inputs : (c + 1) * inputs]) for c in range(outputs)]
    bias = list(spec.weights[outputs * inputs :]) or [Fraction(0)] * outputs
    extra = int(spec.bias)
    sign = -1 if quantity.adds_up else 1
    total = [[Fraction(0)] * len(spec.x) for _ in spec.x_query]

    def seeds(x: Sequence[Fraction], y: Sequence[Fraction], kind: str) -> list[list[Fraction]]:
        """Derivatives in the outputs: of the loss, of one output, or of each."""
        if kind == "loss":
            row = [
                2 * (sum(w * v for w, v in zip(weight[c], x, strict=True)) + bias[c] - y[c]) for c in range(outputs)
            ]  # fmt: skip
            return [row]
        return [[Fraction(int(c == k)) for c in range(outputs)] for k in range(1 if kind == "output" else outputs)]

    for rate in spec.rates:
        pulls = [seeds(x, y, "loss")[0] for x, y in zip(spec.x, spec.y, strict=True)]
        train = [seeds(x, y, quantity.train) for x, y in zip(spec.x, spec.y, strict=True)]
        query = [seeds(x, y, quantity.query) for x, y in zip(spec.x_query, spec.y_query, strict=True)]
        for c in range(outputs):
            for k in range(inputs):
                weight[c][k] -= rate * sum(pull[c] * x[k] for pull, x in zip(pulls, spec.x, strict=True))
            if spec.bias:
                bias[c] -= rate * sum(pull[c] for pull in pulls)
        if quantity.along == "segment":
            after = [seeds(x, y, quantity.query) for x, y in zip(spec.x_query, spec.y_query, strict=True)]
            query = [
                [[(a + b) / 2 for a, b in zip(one, two, strict=True)] for one, two in zip(before, later, strict=True)]
                for before, later in zip(query, after, strict=True)
            ]
        for z, x in enumerate(spec.x_query):
            for i, other in enumerate(spec.x):
                nearness = sum((a * b for a, b in zip(x, other, strict=True)), Fraction(extra))
                products = sum(
                    a * b for one, two in zip(query[z], train[i], strict=True) for a, b in zip(one, two, strict=True)
                )
                total[z][i] += sign * rate * nearness * products
    return total


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """``|found - wanted| / |wanted|`` in Frobenius norms; the norm of ``found`` where nothing is wanted."""
    if not bool(torch.isfinite(found).all()):
        return nan
    size = float(wanted.norm())
    return float((found - wanted).norm()) / size if size else float(found.norm())


def _gradients(task: Task, kind: str, weights: Checkpoint, x: Tensor, y: Tensor) -> list[Gradient]:
    """The gradient of the loss, of one output, or of each output, of one example."""
    leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    outputs = torch.func.functional_call(task.model, leaves, (x[None],))
    match kind:
        case "loss":
            values = [task.loss(outputs, y[None])]
        case "output":
            values = [outputs[0, task.output]]
        case _:
            values = list(outputs[0])
    found: list[Gradient] = []
    for value in values:
        gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
        found.append(dict(zip(leaves, gradients, strict=True)))
    return found


def _mean_gradients(task: Task, kind: str, ends: Sequence[Checkpoint], x: Tensor, y: Tensor) -> list[Gradient]:
    """The mean of the gradients over the segment between two checkpoints, by Gauss's rule."""
    nodes, factors = np.polynomial.legendre.leggauss(_NODES)
    start, end = ends
    mean: list[Gradient] = []
    for node, factor in zip(nodes.tolist(), factors.tolist(), strict=True):
        at = {name: w + (node + 1) / 2 * (end[name] - w) for name, w in start.items()}
        for k, gradient in enumerate(_gradients(task, kind, at, x, y)):
            if k == len(mean):
                mean.append({name: torch.zeros_like(g) for name, g in gradient.items()})
            mean[k] = {name: g + factor / 2 * gradient[name] for name, g in mean[k].items()}
    return mean


def _product(one: Sequence[Gradient], two: Sequence[Gradient], names: Sequence[str]) -> Tensor:
    zero = torch.zeros((), dtype=torch.float64)
    return sum(
        ((a[name] * b[name]).sum() for a, b in zip(one, two, strict=True) for name in names), zero
    )  # fmt: skip
