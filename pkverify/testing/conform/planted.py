"""Mistakes made on purpose: each is one that attribution code was seen to make, and each must be found.

All of them start from right scores by torch.func. A suite that passes right numbers and does not refuse these is worth
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pkverify.testing.adapters.torch_func import left_endpoint, loss_gradients
from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.reference import QUANTITIES, change, reference
from pkverify.testing.conform.task import MEAN, MINIBATCHES, MOMENTUM, Task

_PROJECTED = 512


@dataclass(frozen=True)
class Planted:
    """A wrong adapter.

    Attributes:
        adapter: What it does, as an adapter; its name is the mistake.
        relation: The relation that must fail.
        note: What the note of that finding must say; empty where there is nothing to say.
        features: Of the runs that show it.
    """

    adapter: Adapter
    relation: str
    note: str = ""
    features: tuple[str, ...] = ()


def planted() -> tuple[Planted, ...]:
    """One wrong adapter for each mistake.

    Example:
        >>> from pkverify.testing.conform.check import check
        >>> report = check(planted()[0].adapter, examples=2, seconds=1)
        >>> report.verdict, report.finding("every step").note
        ('does not conform', 'they are the scores with the final weights at every step')
    """
    table: list[tuple[str, Callable[[Task], Tensor], str, str, str]] = [
        ("aliased checkpoints", _aliased, "left-endpoint", "every step", "final weights at every step"),
        ("last weights only", _last_only, "left-endpoint", "every step", "of the last step alone"),
        ("first weights only", _first_only, "left-endpoint", "every step", "first weights at every step"),
        ("last layer's bias dropped", _without_last_bias, "left-endpoint", "every bias", "last layer's bias"),
        ("all biases dropped", _without_biases, "left-endpoint", "every bias", "bias"),
        ("float64 parameters lost", _float_parameters_only, "left-endpoint", "agreement", "of no parameter at all"),
        ("float32 buffer", _single_buffer, "left-endpoint", "precision", "float32"),
        ("float32 within", _single_within, "left-endpoint", "precision", "went through"),
        ("projected to 512 dimensions", _projected, "left-endpoint", "orthogonal", ""),
        ("divided by the batch size", _mean_of_batch, "left-endpoint", "batch size", ""),
        ("copies merged", _merged, "left-endpoint", "duplicate", ""),
        ("gradients normalised", _normalised, "left-endpoint", "scale of the loss", ""),
        ("examples in reverse", _reversed, "left-endpoint", "agreement", ""),
        ("checkpoints overwritten", _overwriting, "left-endpoint", "inputs left alone", "checkpoints"),
        ("dropout left on", _noisy, "left-endpoint", "repeated", ""),
        ("a left-endpoint sum called exact", _called_exact, "exact-loss", "completeness", ""),
        ("forced to add up", _forced, "exact-loss", "order of examples", ""),
        ("scores of another shape", _transposed, "left-endpoint", "runs", "shape"),
    ]  # fmt: skip
    wrong = tuple(
        Planted(Adapter(name, scores, quantity, any_examples=quantity != "exact-loss"), relation, note)
        for name, scores, quantity, relation, note in table
    )
    return (
        *wrong,
        *(
            Planted(
                Adapter(name, _split_of(**changes), "exact-loss", any_examples=False, cannot={}),
                "batches and momentum",
                note,
                features,
            )
            for name, changes, note, features in (
                ("momentum forgotten", {"momentum": 0.0}, "without the momentum", (MOMENTUM,)),
                ("batches forgotten", {"batches": None}, "as if every batch were all", (MINIBATCHES,)),
                ("means taken for sums", {"mean": False}, "were added up", (MINIBATCHES, MEAN)),
            )
        ),
    )


def _split_of(**changes: Any) -> Callable[[Task], Tensor]:
    """The exact split of a run whose steps are taken for something else."""
    return lambda task: reference(replace(task, **changes), QUANTITIES["exact-loss"])


def _aliased(task: Task) -> Tensor:
    """A list of ``model.state_dict()``, which are all the same tensors: the last ones."""
    return left_endpoint(replace(task, checkpoints=(task.checkpoints[-1],) * len(task.checkpoints)))


def _last_only(task: Task) -> Tensor:
    return left_endpoint(replace(task, checkpoints=task.checkpoints[-2:], rates=task.rates[-1:]))


def _first_only(task: Task) -> Tensor:
    return left_endpoint(replace(task, checkpoints=(task.checkpoints[0],) * len(task.checkpoints)))


def _products(task: Task, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The sum with flat gradients ``[n, d]`` changed first; the function is told the number of the step."""
    total = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    for s, rate in enumerate(task.rates):
        weights = task.checkpoints[s]
        query = loss_gradients(task, weights, task.x_query, task.y_query)
        total = total + rate * change(query, s) @ change(loss_gradients(task, weights, task.x, task.y), s).T
    return total


def _kept(task: Task, keep: Callable[[str], bool]) -> Tensor:
    flags = [
        torch.full((w.numel(),), float(keep(name)), dtype=torch.float64) for name, w in task.checkpoints[0].items()
    ]
    return torch.cat(flags)


def _without_last_bias(task: Task) -> Tensor:
    mask = _kept(task, lambda name: name != f"{task.last_layer}.bias")
    return _products(task, lambda g, _: g * mask)


def _without_biases(task: Task) -> Tensor:
    mask = _kept(task, lambda name: not name.endswith("bias"))
    return _products(task, lambda g, _: g * mask)


def _float_parameters_only(task: Task) -> Tensor:
    """Only parameters of type float32 are kept; of a float64 model none."""
    mask = _kept(task, lambda name: task.checkpoints[0][name].dtype == torch.float32)
    return _products(task, lambda g, _: g * mask)


def _single_buffer(task: Task) -> Tensor:
    return left_endpoint(task).to(torch.float32)


def _single_within(task: Task) -> Tensor:
    return left_endpoint(task).to(torch.float32).to(torch.float64)


def _projected(task: Task) -> Tensor:
    def project(gradients: Tensor, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        matrix = torch.randn(gradients.shape[1], _PROJECTED, generator=generator, dtype=torch.float64)
        return gradients @ matrix / _PROJECTED**0.5

    return _products(task, project)


def _mean_of_batch(task: Task) -> Tensor:
    sizes = [min(task.batch_size, len(task.x) - i + i % task.batch_size) for i in range(len(task.x))]
    return left_endpoint(task) / torch.tensor(sizes, dtype=torch.float64)


def _merged(task: Task) -> Tensor:
    """Examples looked up by their values: a copy is the first of its kind, and has nothing of its own."""
    scores, seen = left_endpoint(task), list[tuple[list[float], object]]()
    for i in range(len(task.x)):
        one = (task.x[i].tolist(), task.y[i].tolist())
        if one in seen:
            scores[:, i] = 0
        seen.append(one)
    return scores


def _normalised(task: Task) -> Tensor:
    return _products(task, lambda g, _: g / g.norm(dim=1, keepdim=True).clamp_min(1e-12))


def _reversed(task: Task) -> Tensor:
    return left_endpoint(task).flip(1)


def _overwriting(task: Task) -> Tensor:
    """The model's weights are the first checkpoint's own tensors, and the others are copied into them."""
    scores = left_endpoint(task)
    for point in task.checkpoints[1:]:
        for name, weight in task.checkpoints[0].items():
            weight.copy_(point[name])
    return scores


def _noisy(task: Task) -> Tensor:
    scores = left_endpoint(task)
    return scores * (1 + 1e-3 * torch.randn_like(scores))


def _called_exact(task: Task) -> Tensor:
    return -left_endpoint(task)


def _forced(task: Task) -> Tensor:
    """A left-endpoint sum whose residual is hidden in the first example."""
    scores = -left_endpoint(task)
    scores[:, 0] += change(task, QUANTITIES["exact-loss"]) - scores.sum(1)
    return scores


def _transposed(task: Task) -> Tensor:
    return left_endpoint(task).T[:, :, None]
