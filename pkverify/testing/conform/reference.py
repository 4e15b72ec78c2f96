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

from pkverify.testing.conform.spec import Spec
from pkverify.testing.conform.task import Checkpoint, Task

_NODES = (8, 16, 32, 64, 128, 256)  # Gauss points on a step, until twice as many change nothing
_CHANGE = 1e-13


@dataclass(frozen=True)
class Quantity:
    """What scores are.

    Attributes:
        name: The name in reports and arguments.
        formula: For a query z, an example i and steps s with rates e and weights w. ``d_s(i)`` is what i has in the
            direction of step s: its gradient there, by its share in the loss of the step, and the momentum of those
            before.
        query: Whose gradient stands on the side of the query: ``loss``, ``output`` (one of them) or ``outputs`` (all,
            and the products are added up).
        train: The same for the training example; ``loss`` or ``outputs``.
        along: Where on a step the query's gradient is taken: at its ``left`` end, or averaged over the ``segment``.
        claim: The claim that a wrong number contradicts.
        adds_up: Whether the scores of all examples add up to the change of the query's loss or output. Such scores
            follow the steps as they were: who was in the batch, and the momentum. The others are of all examples, at
            the checkpoints.
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
            "exact-loss", "-sum_s e_s (mean of grad l(z) over step s) . d_s(i)", "loss", "loss", "segment",
            "E1", adds_up=True,
        ),
        Quantity(
            "exact-output", "-sum_s e_s (mean of grad f_c(z) over step s) . d_s(i)", "output", "loss",
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
        >>> from pkverify.testing.conform.larger import larger_task
        >>> task = larger_task("squared", features=("minibatches", "momentum"))
        >>> exact = reference(task, QUANTITIES["exact-loss"])
        >>> bool((exact.sum(1) - change(task, QUANTITIES["exact-loss"])).abs().max() < 1e-12)
        True
    """
    return sum(parts(task, quantity, params), torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64))


def parts(task: Task, quantity: Quantity, params: Sequence[str] = ("*",)) -> list[Tensor]:
    """The part of each step in the scores."""
    return [step_scores(task, quantity, s, params=params) for s in range(len(task.rates))]


def step_scores(
    task: Task, quantity: Quantity, step: int, *, at: int | None = None, params: Sequence[str] = ("*",)
) -> Tensor:
    """What one step adds; with all gradients at the checkpoint ``at`` in place of where they belong, if it is given."""
    sign = -1 if quantity.adds_up else 1
    here = step if at is None else at
    if quantity.along == "left" or at is not None:
        query = gradients(task, quantity.query, "query", here)
    else:
        query = _mean_gradients(task, quantity.query, step)
    if not quantity.adds_up:
        train = gradients(task, quantity.train, "train", here)
    elif at is not None:
        train = task.shares(step)[:, None, None] * gradients(task, quantity.train, "train", at)
    else:
        train = _directions(task, quantity.train, step)
    kept = _mask(task, params)
    return sign * task.rates[step] * torch.einsum("qkd,mkd->qm", query * kept, train)


@lru_cache(maxsize=64)
def size_of(task: Task, quantity: Quantity, params: tuple[str, ...] = ("*",)) -> float:
    """What rounding is measured against, a bound of all entries: rates times norms of gradients, over the steps."""
    kept, total = _mask(task, params), 0.0
    for s, rate in enumerate(task.rates):
        query = gradients(task, quantity.query, "query", s) * kept
        found = (
            _directions(task, quantity.train, s) if quantity.adds_up else gradients(task, quantity.train, "train", s)
        )
        total += rate * float(query.flatten(1).norm(dim=1).max()) * float((found * kept).flatten(1).norm(dim=1).max())
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
    zero = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    names = [name for name in task.checkpoints[0] if any(fnmatchcase(name, glob) for glob in params)]
    biases = [name for name in names if name.endswith("bias")]
    left = replace(quantity, along="left")

    def at(point: int) -> Callable[[], Tensor]:
        return lambda: sum((step_scores(task, left, s, at=point, params=params) for s in steps), zero)

    def without(dropped: Sequence[str]) -> Callable[[], Tensor]:
        return lambda: reference(task, quantity, tuple(name for name in names if name not in dropped))

    def told(**changes: object) -> Callable[[], Tensor]:
        return lambda: reference(replace(task, **changes), quantity, params)

    found: dict[str, Callable[[], Tensor]] = {}
    if len(steps) > 1 and not (quantity.adds_up and task.momentum):
        last = len(steps) - 1
        found["with the weights of the last step at every step"] = at(last)
        found["with the final weights at every step"] = at(last + 1)
        found["with the first weights at every step"] = at(0)
        found["of the last step alone"] = lambda: step_scores(task, quantity, last, params=params)
        found["of the final weights alone, at the last rate"] = lambda: step_scores(
            task, left, last, at=last + 1, params=params
        )
    for bias in biases[:-1] if len(biases) > 1 else []:
        found[f"without {bias}"] = without([bias])
    if biases:
        found["without the last layer's bias"] = without([biases[-1]])
    if len(biases) > 1:
        found["without any bias"] = without(biases)
    if quantity.adds_up and task.momentum:
        found["without the momentum"] = told(momentum=0.0)
    if quantity.adds_up and task.batches is not None:
        found["as if every batch were all examples"] = told(batches=None)
    if quantity.adds_up and task.mean:
        found["as if the losses of a batch were added up"] = told(mean=False)
    found["of no parameter at all"] = lambda: zero
    return found


def rational_reference(spec: Spec, quantity: Quantity) -> list[list[Fraction]]:
    """The scores of a linear model with the squared loss, exactly: rationals in, rationals out.

    The loss is quadratic along a step and the output linear, so the mean gradient is the one at the middle. Steps are
    those of the task, with its batches and its momentum.

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

    # What each example has in the direction of a step, for each output, as a factor of its inputs.
    m = len(spec.x)
    moving = [[Fraction(0)] * outputs for _ in range(m)]
    for s, rate in enumerate(spec.rates):
        chosen = spec.batches[s] if spec.batches else range(m)
        share = Fraction(1, len(chosen)) if spec.mean else Fraction(1)
        pulls = [seeds(x, y, "loss")[0] for x, y in zip(spec.x, spec.y, strict=True)]
        moving = [
            [spec.momentum * before + (share * pull if i in chosen else 0) for before, pull in zip(*pair, strict=True)]
            for i, pair in enumerate(zip(moving, pulls, strict=True))
        ]
        train = [[row] for row in moving]
        if not quantity.adds_up:
            train = [seeds(x, y, quantity.train) for x, y in zip(spec.x, spec.y, strict=True)]
        query = [seeds(x, y, quantity.query) for x, y in zip(spec.x_query, spec.y_query, strict=True)]
        for c in range(outputs):
            for k in range(inputs):
                weight[c][k] -= rate * sum(row[c] * x[k] for row, x in zip(moving, spec.x, strict=True))
            if spec.bias:
                bias[c] -= rate * sum(row[c] for row in moving)
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


# For scores of which nothing is known but what they are not: the relations that hold for any attribution are left.
OTHER = Quantity("other", "a quantity of its own", "", "", "", "")


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """``|found - wanted| / |wanted|`` in Frobenius norms; the norm of ``found`` where nothing is wanted."""
    if not bool(torch.isfinite(found).all()):
        return nan
    size = float(wanted.norm())
    return float((found - wanted).norm()) / size if size else float(found.norm())


@lru_cache(maxsize=512)
def gradients(task: Task, kind: str, whose: str, at: int) -> Tensor:
    """Gradients at a checkpoint, of the loss, of one output, or of each, of one example at a time: ``[n, k, d]``.

    Args:
        task: The task.
        kind: ``loss``, ``output`` or ``outputs``.
        whose: ``train`` or ``query``.
        at: The number of the checkpoint.
    """
    return _gradients(task, kind, whose, task.checkpoints[at])


def _gradients(task: Task, kind: str, whose: str, weights: Checkpoint) -> Tensor:
    xs, ys = (task.x, task.y) if whose == "train" else (task.x_query, task.y_query)
    rows: list[Tensor] = []
    for x, y in zip(xs, ys, strict=True):
        leaves = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
        outputs = torch.func.functional_call(task.model, leaves, (x[None],))
        match kind:
            case "loss":
                values = [task.loss(outputs, y[None])]
            case "output":
                values = [outputs[0, task.output]]
            case _:
                values = list(outputs[0])
        found = [torch.autograd.grad(value, list(leaves.values()), retain_graph=True) for value in values]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in found]))
    return torch.stack(rows)


@lru_cache(maxsize=128)
def _mean_gradients(task: Task, kind: str, step: int) -> Tensor:
    """The mean of the queries' gradients over the segment between two checkpoints, by Gauss's rule."""
    start, end = task.checkpoints[step : step + 2]

    def by(points: int) -> Tensor:
        nodes, factors = np.polynomial.legendre.leggauss(points)
        found = [
            factor
            / 2
            * _gradients(task, kind, "query", {n: w + (node + 1) / 2 * (end[n] - w) for n, w in start.items()})
            for node, factor in zip(nodes.tolist(), factors.tolist(), strict=True)
        ]
        return torch.stack(found).sum(0)

    mean = by(_NODES[0])
    for points in _NODES[1:]:
        before, mean = mean, by(points)
        if float((mean - before).abs().max()) <= _CHANGE * max(1.0, float(mean.abs().max())):
            break
    return mean


def _directions(task: Task, kind: str, step: int) -> Tensor:
    """What each example has in the direction of a step, ``[m, k, d]``: its shares in the gradients, and momentum."""
    total = task.shares(0)[:, None, None] * gradients(task, kind, "train", 0)
    for s in range(1, step + 1):
        total = task.momentum * total + task.shares(s)[:, None, None] * gradients(task, kind, "train", s)
    return total


def _mask(task: Task, params: Sequence[str]) -> Tensor:
    """1 for the numbers of the parameters that take part, 0 for the others, ``[d]``."""
    flags = [
        torch.full((w.numel(),), float(any(fnmatchcase(name, glob) for glob in params)), dtype=torch.float64)
        for name, w in task.checkpoints[0].items()
    ]
    return torch.cat(flags)
