"""Recording a training run from inside any loop, and reading a recorded one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pkverify.errors import InputError
from pkverify.network.distributed.ranks import Elsewhere, Ranks, unwrapped
from pkverify.network.guard import refuse_random_layers
from pkverify.network.layers.batches import Batch
from pkverify.network.optimizers import Rule, rule_of
from pkverify.network.path import Header, Progress, Store, TrainingPath
from pkverify.network.recorder import Recorder, momentum_of
from pkverify.network.storage import FolderStore, MemoryStore
from pkverify.network.training import (
    Examples,
    Loss,
    ModelFunction,
    OutputOf,
    Params,
    Training,
    moved_names,
    probe,
)


@contextmanager
def record(  # noqa: PLR0913 - what a run is about
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    loss: Loss,
    x: Batch | DataLoader[Any],
    y: Batch | str | None = None,
    output: OutputOf | None = None,
    every: int = 1,
    to: str | Path | None = None,
    guard: bool | int = True,
    clip_norm: float | None = None,
    resume: bool = False,
) -> Generator[TrainingPath]:
    """Record the path of a training run; the loop stays as it is.

    Before every step the recorder keeps the weights and the settings of the optimiser, and the guard compares the
    gradient in ``p.grad`` with that of the examples that ``path.batch(indices)`` named. Neither changes the run.

    Args:
        model: The module that is trained; float64, or float32 with its floor in the residual. Under data parallelism
            the DistributedDataParallel module: each rank calls ``record`` alike and names its own batches, and one of
            them keeps the parameters.
        optimizer: One of torch.optim whose step is linear in the gradient: SGD, Adam, AdamW, Adamax, RAdam, Adagrad,
            RMSprop, with all their settings, groups and schedules.
        loss: From the outputs and targets of a batch to its loss, a scalar; as the run uses it, mean or sum.
        x: All training inputs: a tensor, a tuple (the model's arguments), a dict (its keywords), or a DataLoader over
            a data set with a length, which is read by index.
        y: Their targets; the name of the dict's entry that holds them; None for a loss of the outputs alone.
        output: From what the model returns to the tensor that the loss takes, such as ``lambda o: o.logits``.
        every: Keep weights and optimiser state before every so many steps only. The steps in between are made again
            when they are needed; how far they end from the next weights that were kept stands in the residual.
        to: A folder to write the path to as it grows; in memory without.
        guard: True for every step; a number k for two steps at the start and one drawn from every k; False for none.
        clip_norm: The norm to which the run clips all gradients with ``torch.nn.utils.clip_grad_norm_``.
        resume: Go on with the path in ``to`` from the point whose weights the model has now.

    Yields:
        The path: ``path.batch(indices)`` names the examples of the next backward pass.

    Raises:
        InputError: If the optimiser, a layer, or a step cannot be split exactly; it names which, why, and the fix.

    Example:
        >>> from pkverify import network
        >>> model = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.constant_(model.weight, 1.0)
        >>> x, y = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([[0.0], [1.0]]).double()
        >>> half_square = lambda o, t: ((o - t) ** 2).sum() / 2
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> with record(model, optimizer, loss=half_square, x=x, y=y) as path:
        ...     half_square(model(x), y).backward()
        ...     optimizer.step()
        >>> path.step_count, path.weights(1).tolist()
        (1, [-0.5])
    """
    model, ranks = unwrapped(model)
    rule = rule_of(optimizer)
    refuse_random_layers(model)
    moved, groups = moved_names(model, optimizer)
    if every < 1:
        raise InputError(f"every: {every} is no number of steps", "", "give 1 for all steps, or a larger number")
    training = Training(
        ModelFunction(model, list(moved), output), loss, Examples(x, y, next(model.parameters()).device)
    )
    probe(training, {name: p.detach() for name, p in moved.items()})
    counts, buffers = _state(rule, optimizer, moved)
    header = Header(type(optimizer).__name__, tuple(map(tuple, groups)), every, clip_norm, counts)
    if ranks is not None:
        ranks.in_memory = to is None
        ranks.require_same(
            optimizer=(header.optimizer, header.groups),
            x=f"{training.examples.count} examples",
            every=every,
            to=to,
            clip_norm=clip_norm,
            resume=resume,
        )
    if to is None:
        memory = MemoryStore(training.function.size) if ranks is None or ranks.writes else Elsewhere()
        path = TrainingPath(training, header, memory, buffers)
    elif resume:
        path = _resumed(Path(to), training, header, moved, buffers, ranks)
    else:
        path = _begun(Path(to), training, header, buffers, ranks)
    path.ranks = ranks
    recorder = Recorder(path, optimizer, moved, guard)
    hooks = [
        optimizer.register_step_pre_hook(recorder.before_step),
        optimizer.register_step_post_hook(recorder.after_step),
    ]
    try:
        yield path
    finally:
        for hook in hooks:
            hook.remove()
        recorder.finish()
        path.ranks = None
    if ranks is not None:
        ranks.every(None)  # until the last weights are written
    if ranks is not None and to is not None:
        path.store, _, _, path.steps, _ = FolderStore.open(Path(to))
    changed = training.function.changed_state()
    if changed:
        raise InputError(
            f"model: {changed} changed during the run, and the optimiser does not move it",
            "the outputs would change for a reason that no example has",
            "freeze it (eval() for running statistics), or give it to the optimiser",
        )


def read_path(
    folder: str | Path,
    model: nn.Module,
    *,
    loss: Loss,
    x: Batch | DataLoader[Any],
    y: Batch | str | None = None,
    output: OutputOf | None = None,
) -> TrainingPath:
    """Read a path that ``record(..., to=folder)`` wrote; each file is compared with its hash when it is used.

    Args:
        folder: Its folder.
        model: A module of the same architecture; its own weights play no part.
        loss: As in the run.
        x: As in the run.
        y: As in the run.
        output: As in the run.

    Returns:
        The path.

    Raises:
        InputError: If the folder holds no path, the model has other parameters, or the examples are others in number.

    Example:
        >>> read_path("no-such-folder", nn.Linear(1, 1), loss=torch.sum, x=torch.zeros(1, 1))
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: no-such-folder: holds no recorded path
          why  there is no manifest.json
          fix  give the folder of record(to=...)
    """
    store, header, buffers, steps, manifest = FolderStore.open(Path(folder))
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    wrong = [name for name, shape in manifest["parameters"].items() if shapes.get(name) != shape]
    if wrong:
        raise InputError(
            f"model: {wrong[0]} is {shapes.get(wrong[0], 'not there')} and was {manifest['parameters'][wrong[0]]}",
            "the path was recorded with another model",
            "give a module of the architecture that was trained",
        )
    training = Training(
        ModelFunction(model, list(manifest["parameters"]), output),
        loss,
        Examples(x, y, next(model.parameters()).device),
    )
    if training.examples.count != manifest["examples"]:
        raise InputError(
            f"x: {training.examples.count} examples, and the run had {manifest['examples']}",
            "steps name their examples by position",
            "give the inputs of the run, in their order",
        )
    refuse_random_layers(model)
    path = TrainingPath(training, header, store, buffers, steps)
    if store.final() is None and not path.steps:
        raise InputError(f"{folder}: holds a path without a step", "the run ended before its first", "record it again")
    return path


def _state(
    rule: Rule, optimizer: torch.optim.Optimizer, moved: Mapping[str, nn.Parameter]
) -> tuple[dict[str, int], Params]:
    """How often each parameter was updated, and its momentum, before the recording."""
    counts = {name: int(optimizer.state[p].get("step", 0)) for name, p in moved.items() if p in optimizer.state}
    return counts, {name: b.clone() for name, b in momentum_of(rule, optimizer, moved).items()}


def _begun(folder: Path, training: Training, header: Header, buffers: Params, ranks: Ranks | None) -> TrainingPath:
    shapes = training.function.shapes

    def create() -> FolderStore:
        return FolderStore.create(folder, header, shapes, buffers, training.examples.count)

    store = create() if ranks is None else ranks.first(create)
    return TrainingPath(training, header, store or FolderStore(folder, shapes, header.every), buffers)


def _resumed(
    folder: Path,
    training: Training,
    header: Header,
    moved: Mapping[str, nn.Parameter],
    buffers: Params,
    ranks: Ranks | None,
) -> TrainingPath:
    if ranks is None:
        return _cut_to(folder, training, header, moved, buffers)

    def cut() -> TrainingPath:
        return _cut_to(folder, training, header, moved, buffers)

    # The first to come cuts what is behind the weights; the others find it cut, before anybody goes on.
    path = ranks.first(cut)
    error = None
    try:
        path = path or _cut_to(folder, training, header, moved, buffers, cut=False)
    except InputError as found:
        error = found
    ranks.agree(error)
    assert path is not None
    return path


def _cut_to(
    folder: Path,
    training: Training,
    header: Header,
    moved: Mapping[str, nn.Parameter],
    buffers: Params,
    *,
    cut: bool = True,
) -> TrainingPath:
    store, old, initial, steps, _ = FolderStore.open(folder)
    if (old.optimizer, old.groups, old.every, old.clip_norm) != (
        header.optimizer,
        header.groups,
        header.every,
        header.clip_norm,
    ):
        raise InputError(
            f"{folder}: was recorded with {old.optimizer}, every={old.every}, clip_norm={old.clip_norm}",
            "a path goes on as it began",
            "resume with the same optimiser, groups and arguments",
        )
    now = torch.cat([p.detach().reshape(-1) for p in moved.values()]).cpu()
    path = TrainingPath(training, old, store, initial, steps)
    count = _place_of(path, store, now) if cut else len(steps)
    if count is None:
        raise InputError(
            f"{folder}: no point of the path has the weights that the model has now",
            "a path is a chain: it cannot go on from elsewhere",
            "load the checkpoint of a recorded step into the model first, or record to a new folder",
        )
    if cut:
        store.cut(count)
    path = TrainingPath(training, old, store, initial, steps[:count])
    progress = Progress(old, initial)
    for step in path.steps:
        progress.advance(step.settings, step.absent)
    if set(buffers) != progress.started or any(
        header.counts.get(n, 0) != k for n, k in progress.counts.items() if header.counts
    ):
        raise InputError(
            "optimizer: its state is not the one after the step that the path goes on from",
            "momentum and bias corrections run through the whole path",
            "load the optimiser's state_dict of the same checkpoint",
        )
    return path


def _place_of(path: TrainingPath, store: Store, now: Tensor) -> int | None:
    final = store.final()
    if final is not None and torch.equal(final, now):
        return path.step_count
    for point in reversed(path.points):
        if torch.equal(store.point(point)["weights"], now):
            return path.steps_of(point)[0]
    return None
