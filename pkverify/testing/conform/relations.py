"""Relations that right scores keep, each checked by itself: how far a task's scores are from keeping it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

import torch
from torch import Tensor, nn

from pkverify.testing.conform.adapter import Adapter, NotApplicable, Scores, scores_of
from pkverify.testing.conform.certified import certified_reference
from pkverify.testing.conform.reference import (
    OTHER,
    Quantity,
    change,
    mistaken,
    reference,
    relative_error,
    size_of,
)
from pkverify.testing.conform.task import CONVOLUTION, OutputScale, RescaledLoss, Task

TOLERANCE = 1e-10
"""Relative to the largest that a score could be; fixed, and a thousand times above what rounding does here."""

_SAME_MISTAKE = 1e-6  # scores this near to a known mistake's, and not to the truth, are that mistake's
_FACTOR = 2.0


@dataclass(frozen=True)
class Measured:
    """What one relation came to on one task.

    Attributes:
        miss: How far it is from holding, relative to the size of the scores.
        note: What it looks like, where something is known about it.
    """

    miss: float
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """An adapter, with what its scores were taken to be.

    Attributes:
        adapter: The adapter.
        quantity: What its scores are.
        scale: What the reference is multiplied by.
        known: What the adapter returned so far.
        mistakes: The known mistake whose scores these are, of the tasks that were looked at so far.
    """

    adapter: Adapter
    quantity: Quantity
    scale: float = 1.0
    known: dict[Task, Scores] = field(default_factory=dict[Task, Scores])
    mistakes: dict[Task, str] = field(default_factory=dict[Task, str])

    def returned(self, task: Task) -> Scores:
        """What the adapter returns for a task, which is asked for once."""
        if task not in self.known:
            self.known[task] = scores_of(self.adapter, task)
        return self.known[task]

    def scores(self, task: Task) -> Tensor:
        return self.returned(task).values

    def wanted(self, task: Task) -> Tensor:
        """What the scores should be: the midpoints of balls where there are balls, else the float64 reference."""
        _needs(self.quantity is not OTHER, "its scores are of another quantity")
        certified = certified_reference(task, self.quantity, self.adapter.params_of(task))
        if certified is None:
            return self.scale * reference(task, self.quantity, self.adapter.params_of(task))
        return self.scale * certified.values

    def radius(self, task: Task) -> float | None:
        """How far what is wanted may be from the true scores, by a proof; None where it is the float64 reference."""
        certified = certified_reference(task, self.quantity, self.adapter.params_of(task))
        return None if certified is None else abs(self.scale) * certified.radius

    def size(self, task: Task) -> float:
        """The largest that a score could be; of a quantity that is not known, the largest that one is."""
        if self.quantity is OTHER:
            return float(self.scores(task).abs().max()) or 1.0
        return abs(self.scale) * size_of(task, self.quantity, self.adapter.params_of(task))

    def miss(self, one: Tensor, two: Tensor, task: Task, *, radius: float = 0.0) -> float:
        if not bool(torch.isfinite(one).all() and torch.isfinite(two).all()):
            return inf
        return max(0.0, float((one - two).abs().max()) - radius) / self.size(task)


@dataclass(frozen=True)
class Relation:
    """A relation that right scores keep.

    Attributes:
        name: Its name in reports.
        claim: The claim that fails with it; an empty string for the quantity's own.
        statement: What must hold.
        measure: How far a task's scores are from it; raises NotApplicable where it says nothing.
    """

    name: str
    claim: str
    statement: str
    measure: Callable[[Subject, Task], Measured]


def _agreement(subject: Subject, task: Task) -> Measured:
    found, wanted = subject.scores(task), subject.wanted(task)
    miss = subject.miss(found, wanted, task, radius=subject.radius(task) or 0.0)
    return Measured(miss, "" if miss <= TOLERANCE else _looks_like(subject, task, found, wanted))


def _completeness(subject: Subject, task: Task) -> Measured:
    _needs(subject.quantity is not OTHER, "its scores are of another quantity")
    if not subject.quantity.adds_up:
        raise NotApplicable("a left-endpoint sum does not add up to the change at a finite learning rate")
    total, wanted = subject.scores(task).sum(1), subject.scale * change(task, subject.quantity)
    return Measured(subject.miss(total, wanted, task))


def _order(subject: Subject, task: Task) -> Measured:
    _needs(len(task.x) > 1, "there is one example")
    last = len(task.x) - 1
    batches = task.batches and tuple(tuple(last - i for i in batch) for batch in task.batches)
    turned = replace(task, x=task.x.flip(0), y=task.y.flip(0), batches=batches)
    return Measured(subject.miss(subject.scores(turned).flip(1), subject.scores(task), task))


def _query_order(subject: Subject, task: Task) -> Measured:
    _needs(len(task.x_query) > 1, "there is one query")
    turned = replace(task, x_query=task.x_query.flip(0), y_query=task.y_query.flip(0))
    return Measured(subject.miss(subject.scores(turned).flip(0), subject.scores(task), task))


def _batch_size(subject: Subject, task: Task) -> Measured:
    _needs(len(task.x) > 1, "there is one example")
    sizes = {1, 2, len(task.x)} - {task.batch_size}
    found = [subject.scores(replace(task, batch_size=size)) for size in sorted(sizes)]
    return Measured(max(subject.miss(one, subject.scores(task), task) for one in found))


def _duplicate(subject: Subject, task: Task) -> Measured:
    m = len(task.x)
    batches = task.batches and tuple((*batch, m) if 0 in batch else batch for batch in task.batches)
    doubled = task.retrained(x=torch.cat([task.x, task.x[:1]]), y=torch.cat([task.y, task.y[:1]]), batches=batches)
    found = subject.scores(doubled)
    return Measured(subject.miss(found[:, 0], found[:, -1], doubled))


def _twice_the_set(subject: Subject, task: Task) -> Measured:
    """Everybody twice at half the rates: the same path, and the two copies share what one had."""
    _needs(not task.mean, "the mean over a batch stays as it is")
    rates, m = tuple(rate / 2 for rate in task.rates), len(task.x)
    batches = task.batches and tuple((*batch, *(i + m for i in batch)) for batch in task.batches)
    doubled = replace(task, x=torch.cat([task.x, task.x]), y=torch.cat([task.y, task.y]), rates=rates, batches=batches)
    found = subject.scores(doubled)
    return Measured(subject.miss(found[:, :m] + found[:, m:], subject.scores(task), task))


def _union(subject: Subject, task: Task) -> Measured:
    _needs(len(task.x) > 1, "there is one example")
    _needs(subject.adapter.any_examples, "it follows the run, whose steps need all examples")
    halves = (slice(0, 1), slice(1, None))
    # The checkpoints stay; who was in which batch is no question of scores that take any examples.
    found = [subject.scores(replace(task, x=task.x[half], y=task.y[half], batches=None)) for half in halves]
    return Measured(subject.miss(torch.cat(found, 1), subject.scores(task), task))


def _orthogonal(subject: Subject, task: Task) -> Measured:
    """Inputs and first weights reflected, hidden units of the first layer in reverse with their signs turned."""
    if CONVOLUTION in task.features:
        return _orthogonal_channels(subject, task)
    n = task.x.shape[1]
    normal = torch.arange(1, n + 1, dtype=torch.float64)
    mirror = torch.eye(n, dtype=torch.float64) - 2 * torch.outer(normal, normal) / (normal @ normal)
    names = list(task.checkpoints[0])
    weights = [name for name in names if name.endswith("weight")]

    def moved(point: dict[str, Tensor]) -> dict[str, Tensor]:
        new = dict(point)
        new[weights[0]] = new[weights[0]] @ mirror
        if len(weights) > 1:
            for name in names:
                if name.rpartition(".")[0] == weights[0].rpartition(".")[0]:
                    new[name] = -new[name].flip(0)
            new[weights[1]] = -new[weights[1]].flip(1)
        return new

    points = tuple(moved(point) for point in task.checkpoints)
    turned = replace(task, x=task.x @ mirror, x_query=task.x_query @ mirror, checkpoints=points)
    return Measured(subject.miss(subject.scores(turned), subject.scores(task), task))


def _orthogonal_channels(subject: Subject, task: Task) -> Measured:
    """Channels of the first layer in reverse with their signs turned, and so the weights that take them."""
    first, second = [name for name in task.checkpoints[0] if name.endswith("weight")][:2]
    channels = len(task.checkpoints[0][first])

    def moved(point: dict[str, Tensor]) -> dict[str, Tensor]:
        new = dict(point)
        for name, weight in point.items():
            if name.rpartition(".")[0] == first.rpartition(".")[0]:
                new[name] = -weight.flip(0)
        shape = new[second].shape
        new[second] = -new[second].reshape(shape[0], channels, -1).flip(1).reshape(shape)
        return new

    turned = replace(task, checkpoints=tuple(moved(point) for point in task.checkpoints))
    return Measured(subject.miss(subject.scores(turned), subject.scores(task), task))


def _loss_scale(subject: Subject, task: Task) -> Measured:
    """The loss doubled, the rates halved: the same path."""
    loss = RescaledLoss(task.loss, factor=_FACTOR)
    scaled = replace(task, loss=loss, rates=tuple(rate / _FACTOR for rate in task.rates), rescaled=True)
    _needs(subject.quantity is not OTHER, "its scores are of another quantity")
    power = (subject.quantity.query == "loss") + (subject.quantity.train == "loss") - 1
    return Measured(subject.miss(subject.scores(scaled) / _FACTOR**power, subject.scores(task), task))


def _output_scale(subject: Subject, task: Task) -> Measured:
    """The outputs doubled, and the loss told so: the same path."""
    _needs(subject.adapter.params == ("*",), "it takes the last layer for the output")
    model = nn.Sequential(*task.model, OutputScale(_FACTOR)).eval()
    scaled = replace(task, model=model, loss=RescaledLoss(task.loss, outputs_scale=_FACTOR), rescaled=True)
    _needs(subject.quantity is not OTHER, "its scores are of another quantity")
    power = (subject.quantity.query != "loss") + (subject.quantity.train != "loss")
    return Measured(subject.miss(subject.scores(scaled) / _FACTOR**power, subject.scores(task), task))


def _precision(subject: Subject, task: Task) -> Measured:
    found = subject.returned(task)
    if found.dtype is not None and found.dtype != torch.float64:
        size = torch.finfo(found.dtype).eps if found.dtype.is_floating_point else 1.0
        return Measured(size, f"scores come as {found.dtype} from float64 parameters")
    # Numbers that need single precision, and no more, where the right ones need more, have been through it.
    short = bool((_rounded(found.values, torch.float32) == found.values).all())
    full = bool((_rounded(found.values, torch.float16) != found.values).any())
    if not (short and full):
        return Measured(0.0)
    wanted = subject.wanted(task)
    if subject.miss(_rounded(wanted, torch.float32), wanted, task) > TOLERANCE:
        return Measured(torch.finfo(torch.float32).eps, "all scores are float32 numbers: they went through it")
    return Measured(0.0)


def _rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype).to(torch.float64)


def _biases(subject: Subject, task: Task) -> Measured:
    _needs(any(name.endswith("bias") for name in task.checkpoints[0]), "there is no bias")
    return _mistaken(subject, task, lambda name: "bias" in name)


def _every_step(subject: Subject, task: Task) -> Measured:
    _needs(len(task.rates) > 1, "there is one step")
    return _mistaken(subject, task, lambda name: "step" in name or "weights" in name)


def _batches_and_momentum(subject: Subject, task: Task) -> Measured:
    _needs(subject.quantity.adds_up, "scores at checkpoints do not ask what the steps were")
    _needs(bool({*task.features} - {CONVOLUTION}), "all examples at once, and no momentum")
    return _mistaken(subject, task, lambda name: "momentum" in name or "batch" in name)


def _threads(subject: Subject, task: Task) -> Measured:
    """Sums that are cut into other parts: another rounding, and no more."""
    _needs(len(task.x) > 4, "the task is too small to be shared out")
    threads = torch.get_num_threads()
    found: list[Tensor] = []
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            found.append(scores_of(subject.adapter, task).values)
    finally:
        torch.set_num_threads(threads)
    return Measured(subject.miss(found[0], found[1], task))


def _device(subject: Subject, task: Task) -> Measured:
    _needs("cuda" in subject.adapter.devices, "it is for the CPU alone")
    _needs(torch.cuda.is_available(), "there is no GPU here")
    return Measured(subject.miss(scores_of(subject.adapter, task.to("cuda")).values, subject.scores(task), task))


def _sum_over_steps(subject: Subject, task: Task) -> Measured:
    """The run cut into its steps: what they give one by one adds up to what they give together."""
    _needs(len(task.rates) > 1, "there is one step")
    _needs(not (task.momentum and subject.quantity.adds_up), "a step with momentum is no run of its own")
    singles = [
        replace(
            task,
            checkpoints=task.checkpoints[s : s + 2],
            rates=task.rates[s : s + 1],
            batches=task.batches and task.batches[s : s + 1],
        )
        for s in range(len(task.rates))
    ]
    total = torch.stack([subject.scores(single) for single in singles]).sum(0)
    return Measured(subject.miss(total, subject.scores(task), task))


def _inputs_left_alone(subject: Subject, task: Task) -> Measured:
    moved = subject.returned(task).moved
    return Measured(1.0 if moved else 0.0, f"it overwrites {', '.join(moved)}" if moved else "")


def _repeated(subject: Subject, task: Task) -> Measured:
    return Measured(subject.miss(scores_of(subject.adapter, task).values, subject.scores(task), task))


def _mistaken(subject: Subject, task: Task, about: Callable[[str], bool]) -> Measured:
    found, wanted = subject.scores(task), subject.wanted(task)
    miss = subject.miss(found, wanted, task)
    if miss <= TOLERANCE:
        return Measured(0.0)
    name = _nearest(subject, task, found, wanted)
    return Measured(miss, f"they are the scores {name}") if name and about(name) else Measured(0.0)


def _nearest(subject: Subject, task: Task, found: Tensor, wanted: Tensor) -> str:
    """The known mistake whose scores these are, if there is one."""
    if task not in subject.mistakes:
        subject.mistakes[task] = _mistake(subject, task, found, wanted)
    return subject.mistakes[task]


def _mistake(subject: Subject, task: Task, found: Tensor, wanted: Tensor) -> str:
    if relative_error(found, wanted) <= _SAME_MISTAKE:
        return ""
    for name, wrong in mistaken(task, subject.quantity, subject.adapter.params_of(task)).items():
        scores = subject.scale * wrong()
        if subject.miss(found, scores, task) <= _SAME_MISTAKE < subject.miss(scores, wanted, task):
            return name
    return ""


def _looks_like(subject: Subject, task: Task, found: Tensor, wanted: Tensor) -> str:
    name = _nearest(subject, task, found, wanted)
    if name:
        return f"they are the scores {name}"
    if 0 < relative_error(found, wanted) < 1e-5:
        return "off by no more than single precision"
    return ""


def _needs(condition: bool, why: str) -> None:  # noqa: FBT001 - an assertion's shape
    if not condition:
        raise NotApplicable(why)


RELATIONS = (
    Relation("agreement", "", "the scores are the reference's, up to one scale", _agreement),
    Relation("completeness", "E1", "exact scores add up to the change of the query's loss or output", _completeness),
    Relation("order of examples", "P6", "permuted examples have permuted scores", _order),
    Relation("order of queries", "R1d", "permuted queries have permuted scores", _query_order),
    Relation("batch size", "P6", "scores do not depend on how many examples are handled at once", _batch_size),
    Relation("duplicate", "R1e", "two copies of an example have one score", _duplicate),
    Relation("twice the set", "E7", "everybody twice at half the rates: two copies share one's score", _twice_the_set),
    Relation("union", "P6", "the scores of two training sets together are those of each", _union),
    Relation("orthogonal", "D7", "an orthogonal change of the parameters leaves the scores", _orthogonal),
    Relation("scale of the loss", "P5", "a doubled loss at half the rates scales the scores", _loss_scale),
    Relation("scale of the outputs", "P3", "doubled outputs scale the scores", _output_scale),
    Relation("precision", "", "float64 in, float64 out", _precision),
    Relation("every bias", "D7", "every layer's bias takes part", _biases),
    Relation("every step", "D8", "every step is taken at its own weights", _every_step),
    Relation("batches and momentum", "E1", "scores follow what each step took", _batches_and_momentum),
    Relation(
        "sum over steps", "P8", "the scores of the steps, one by one, add up to those of the run", _sum_over_steps
    ),
    Relation("inputs left alone", "P8", "checkpoints and data are not overwritten", _inputs_left_alone),
    Relation("repeated", "", "the same call gives the same scores", _repeated),
    Relation("threads", "P6", "one thread or four give the same scores", _threads),
    Relation("device", "P6", "the GPU gives the same scores as the CPU", _device),
)
