"""Gradient descent in fractions on a polynomial model: identities at any step size, with residual 0 or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Weights = tuple[Fraction, ...]


@dataclass(frozen=True)
class Descent:
    """A run of gradient descent with the half squared loss on ``f = v (u x + 1)^2``, ``w = (u, v)``.

    Attributes:
        initial: Where it starts.
        inputs: Training inputs.
        targets: Their targets.
        rate: The step size.
        steps: How many steps.
        momentum: The factor of heavy ball; 0 is plain descent.
        query: Where predictions are compared.
        counts: How often each example is drawn at each step; once where this is empty.
    """

    initial: Weights = (Fraction(1, 2), Fraction(1, 3))
    inputs: Weights = (Fraction(1), Fraction(-1, 2))
    targets: Weights = (Fraction(1), Fraction(0))
    rate: Fraction = Fraction(1, 5)
    steps: int = 3
    momentum: Fraction = Fraction(0)
    query: Fraction = Fraction(2)
    counts: tuple[tuple[int, ...], ...] = ()

    def path(self) -> list[Weights]:
        """All weights, from first to last."""
        path, velocity = [self.initial], tuple(Fraction(0) for _ in self.initial)
        for step in range(self.steps):
            pull = self.loss_gradient(step, path[-1])
            velocity = tuple(self.momentum * v - self.rate * g for v, g in zip(velocity, pull, strict=True))
            path.append(tuple(w + v for w, v in zip(path[-1], velocity, strict=True)))
        return path

    def slopes(self, step: int, weights: Weights) -> Weights:
        """``L'_i`` at some weights, times how often the example is drawn at that step."""
        counts = self.counts[step] if self.counts else (1,) * len(self.inputs)
        rows = zip(counts, self.inputs, self.targets, strict=True)
        return tuple(n * (output(weights, x) - y) for n, x, y in rows)

    def loss_gradient(self, step: int, weights: Weights) -> Weights:
        """The gradient that a step follows."""
        return combined(self.slopes(step, weights), [gradient(weights, x) for x in self.inputs])


def output(weights: Weights, x: Fraction) -> Fraction:
    """The model."""
    u, v = weights
    return v * (u * x + 1) ** 2


def gradient(weights: Weights, x: Fraction) -> Weights:
    """The gradient of the model by its weights."""
    u, v = weights
    return (2 * x * v * (u * x + 1), (u * x + 1) ** 2)


def averaged_gradient(start: Weights, end: Weights, x: Fraction) -> Weights:
    """The average of the gradient over a step; its entries are quadratic along the step, so Simpson's rule is exact."""
    middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
    values = [gradient(w, x) for w in (start, middle, end)]
    return tuple((a + 4 * b + c) / 6 for a, b, c in zip(*values, strict=True))


def combined(factors: Sequence[Fraction], rows: Sequence[Weights]) -> Weights:
    """The sum of rows, each times its factor."""
    return tuple(sum((f * row[j] for f, row in zip(factors, rows, strict=True)), Fraction(0)) for j in range(2))


def dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    """The dot product."""
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def step_residual(run: Descent) -> Fraction:
    """What is left of ``y_S - y_0`` after the sum over steps and examples, with the query's gradient averaged.

    For step s the pulls of earlier steps r count with ``momentum^(s - r)``.
    """
    path = run.path()
    left = output(path[-1], run.query) - output(path[0], run.query)
    total = Fraction(0)
    for r, weights in enumerate(path[:-1]):
        reach = [Fraction(0), Fraction(0)]
        for s in range(r, run.steps):
            average = averaged_gradient(path[s], path[s + 1], run.query)
            reach = [a + run.momentum ** (s - r) * b for a, b in zip(reach, average, strict=True)]
        total += sum(
            slope * dot(reach, gradient(weights, x))
            for slope, x in zip(run.slopes(r, weights), run.inputs, strict=True)
        )
    return left + run.rate * total


def naive_residual(run: Descent) -> Fraction:
    """The same with the query's gradient at the start of each step: what Theorem 1 says before its limit."""
    path = run.path()
    left = output(path[-1], run.query) - output(path[0], run.query)
    total = sum(
        slope * dot(gradient(weights, run.query), gradient(weights, x))
        for r, weights in enumerate(path[:-1])
        for slope, x in zip(run.slopes(r, weights), run.inputs, strict=True)
    )
    return left + run.rate * total


def step_kernel(run: Descent, left: Fraction, right: Fraction) -> Fraction:
    """The kernel of the identity with averaged gradients; the averaged side comes first."""
    path = run.path()
    return run.rate * sum(
        dot(averaged_gradient(path[s], path[s + 1], left), gradient(path[s], right)) for s in range(run.steps)
    )


def weight_residual(run: Descent) -> Weights:
    """``w_S - w_0 + rate sum_s sum_i L'_i grad f(x_i)``: 0 for plain descent at any step size."""
    path = run.path()
    moved = [b - a for a, b in zip(path[0], path[-1], strict=True)]
    pulls = [run.loss_gradient(s, weights) for s, weights in enumerate(path[:-1])]
    return tuple(m + run.rate * sum(p[j] for p in pulls) for j, m in enumerate(moved))
