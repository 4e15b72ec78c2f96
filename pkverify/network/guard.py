"""The recorder's guard: is the gradient in ``p.grad`` the one of the named examples, and the step the optimiser's own?

A path that names the wrong examples splits a prediction over the wrong people, and its residual may still look small.
So the gradient found is compared with the gradient computed again; a difference stops the run, with its likely cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pkverify.errors import InputError
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import StepSplit
from pkverify.network.training import Batched, Params, Training

# Two computations of one gradient differ by rounding, magnified where examples cancel; a wrong batch, a wrong loss or a
# cast to half precision differs by 1e-4 and more.
_SAME = {torch.float64: 1e-8, torch.float32: 2e-4}
_CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_ adds it to the norm
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_RANDOM = (
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.MultiheadAttention, nn.RNNBase),
)
_SEARCH_BUDGET = 2**25  # entries of the matrix of all examples' gradients, in the search for who really was in a step


@dataclass(frozen=True)
class Attempt:
    """One step as the guard sees it.

    Attributes:
        training: What is trained.
        params: The weights before the step.
        batches: Who was named.
        found: The gradient in ``p.grad``.
        clip_norm: The norm to which gradients are clipped, or None.
        previous: Weights and batches of the step before, where they are known.
        own: Under data parallelism the batches of this rank.
        expected: The gradient of the named examples, where it was computed already; before clipping.
    """

    training: Training
    params: Params
    batches: Sequence[Batched]
    found: Params
    clip_norm: float | None = None
    previous: tuple[Params, Sequence[Batched]] | None = None
    own: Sequence[Batched] | None = None
    expected: Params | None = None


def flat(tensors: Params) -> Tensor:
    """All tensors of a dict in one vector."""
    return torch.cat([t.reshape(-1) for t in tensors.values()])


def clip_factor(norm: Tensor | float, clip_norm: float | None) -> float:
    """The factor by which ``torch.nn.utils.clip_grad_norm_`` multiplies a gradient of this norm.

    Example:
        >>> round(clip_factor(4.0, 1.0), 6), clip_factor(0.5, 1.0)
        (0.25, 1.0)
    """
    return 1.0 if clip_norm is None else min(1.0, clip_norm / (float(norm) + _CLIP_EPSILON))


def check_gradient(attempt: Attempt, number: int) -> None:
    """Compare the gradient of a step with the gradient of its named examples, computed again.

    Args:
        attempt: The step.
        number: Its number, for the message.

    Raises:
        InputError: If they differ; it names the step and the likely cause.
    """
    found = flat(attempt.found)
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"step {number}: the gradient is not finite", "no share of it can be given to an example")
    with exact_arithmetic():
        whole = attempt.expected or attempt.training.gradient(attempt.params, attempt.batches)
        expected = flat(_within(whole, attempt.found))
        expected = expected * clip_factor(expected.norm(), attempt.clip_norm)
        if _same(found, expected):
            return
        cause, fix = next(answer for answer in (find(attempt, found, expected) for find in _CAUSES) if answer)
    distance = float((found - expected).norm() / expected.norm().clamp_min(torch.finfo(found.dtype).tiny))
    raise InputError(
        f"step {number}: the gradient is not the one of the named examples (relative distance {distance:.1e})",
        cause,
        fix,
    )


def check_update(
    splits: Mapping[str, StepSplit], before: Params, gradient: Params, buffers: Params, after: Params, number: int
) -> None:
    """Compare a step with the formula by which it will be split.

    Args:
        splits: The split of each parameter.
        before: The weights before the step.
        gradient: The gradient as the optimiser found it.
        buffers: The momentum before the step; absent where there was none.
        after: The weights after the step.
        number: Its number, for the message.

    Raises:
        InputError: If the weights are not where the formula puts them.
    """
    for name, split in splits.items():
        w = before[name]
        pull = split.sign * gradient[name] + split.coupled_decay * w if name in gradient else torch.zeros_like(w)
        buffer = split.keep * buffers.get(name, torch.zeros_like(w)) + split.take * pull
        change = split.from_buffer * buffer + split.from_gradient * pull + split.decoupled_decay * w
        error = float((after[name] - (w - change)).abs().max()) if w.numel() else 0.0
        size = float(change.abs().max()) if w.numel() else 0.0
        rounding = 16 * torch.finfo(w.dtype).eps * float(w.abs().max()) if w.numel() else 0.0
        if not error <= _SAME[w.dtype] * size + rounding:
            raise InputError(
                f"step {number}: {name} did not move as its optimiser says (off by {error:.1e} of {size:.1e})",
                "something else moved the weights inside the step, or this version of torch steps otherwise",
                "leave the weights to the optimiser; if they are, report it as a bug",
            )


def refuse_random_layers(model: nn.Module) -> None:
    """Refuse layers in training mode whose output is random, or depends on the batch.

    Args:
        model: The model.

    Raises:
        InputError: Naming the first such layer, and the fix.
    """
    for name, module in model.named_modules():
        if not module.training:
            continue
        if isinstance(module, _BATCH_NORMS):
            raise InputError(
                f"model: {name} ({type(module).__name__}) is in training mode",
                "its output for an example depends on the whole batch, so no part of it belongs to one example",
                f"call model.{name}.eval() (its statistics stay as they are), or use GroupNorm or LayerNorm",
            )
        rates = [getattr(module, key, 0.0) for key in ("p", "dropout") if _is_random(module)]
        if any(isinstance(rate, float) and rate > 0.0 for rate in rates):
            raise InputError(
                f"model: {name} ({type(module).__name__}) drops out in training mode",
                "the gradient of a random mask cannot be computed again",
                f"call model.{name}.eval(), or set its probability to 0",
            )


def _is_random(module: nn.Module) -> bool:
    return isinstance(module, _RANDOM)


def _within(gradient: Params, found: Params) -> Params:
    return {name: gradient[name] for name in found}


def _same(left: Tensor, right: Tensor, factor: float = 1.0) -> bool:
    bound = factor * _SAME[left.dtype] * max(float(left.norm()), float(right.norm()))
    return float((left - right).norm()) <= bound


def _of(attempt: Attempt, batches: Sequence[Batched], params: Params | None = None) -> Tensor:
    return flat(_within(attempt.training.gradient(params or attempt.params, batches), attempt.found))


Cause = tuple[str, str] | None


def _wrong_scale(attempt: Attempt, found: Tensor, expected: Tensor) -> Cause:
    size = expected.dot(expected)
    factor = float(found.dot(expected) / size) if float(size) else 0.0
    if not factor or not _same(found, factor * expected):
        return None
    examples = sum(len(attempt.training.indices(b)) for b in attempt.batches)
    for value, reason in (
        (examples, "the loss of the run is a sum, the named one a mean"),
        (1 / examples, "the other way"),
    ):
        if examples > 1 and abs(factor / value - 1) < 1e-6:
            return f"it is {factor:.6g} times as large: {reason}", "give record() the loss that the run minimises"
    if factor < 1 and attempt.clip_norm is None:
        return (
            f"it is {factor:.6g} times as large: clipping by norm, or a loss divided by the number of passes",
            "give record(clip_norm=...), or path.batch(indices, weight=1 / passes)",
        )
    return (
        f"it is {factor:.6g} times as large: a scaled loss, or gradients that were never unscaled",
        "name the factor with path.batch(indices, weight=...), or unscale before the step",
    )


def _own_rank(attempt: Attempt, found: Tensor, _: Tensor) -> Cause:
    if attempt.own is None or not _same(found, _of(attempt, attempt.own)):
        return None
    return (
        "it is the gradient of this rank's own batch: it was not averaged over the ranks",
        "call the DistributedDataParallel module itself, and leave the last pass of a step outside no_sync()",
    )


def _everybody(attempt: Attempt, found: Tensor, _: Tensor) -> Cause:
    if all(b.indices is None for b in attempt.batches) or not _same(found, _of(attempt, [Batched()])):
        return None
    return "it is the gradient of all examples", "leave path.batch() out, or train on the batch that it names"


def _not_zeroed(attempt: Attempt, found: Tensor, expected: Tensor) -> Cause:
    if attempt.previous is None:
        return None
    params, batches = attempt.previous
    before = _of(attempt, batches, params)
    if _same(found, expected + before):
        return "the gradient of the step before is still in it", "call optimizer.zero_grad() before backward()"
    if _same(found, _of(attempt, batches)):
        return "it is the gradient of the batch before", "call path.batch(indices) before the step of these indices"
    return None


def _value_clipping(_: Attempt, found: Tensor, expected: Tensor) -> Cause:
    bound = float(found.abs().max())
    if bound and _same(found, expected.clamp(-bound, bound)):
        return (
            f"its entries are clipped at {bound:.6g}",
            "clip by norm (torch.nn.utils.clip_grad_norm_): a clipped entry is no linear map of the examples",
        )
    return None


def _own_scales(attempt: Attempt, found: Tensor, expected: Tensor) -> Cause:
    sizes = [t.numel() for t in attempt.found.values()]
    pairs = list(zip(found.split(sizes), expected.split(sizes), strict=True))
    wrong = [name for name, (a, b) in zip(attempt.found, pairs, strict=True) if not _same(a, b)]
    scaled = all(_same(a, float(a.dot(b) / b.dot(b)) * b) for a, b in pairs if float(b.norm()))
    if scaled and len(pairs) > 1:
        return (
            f"the tensors {', '.join(wrong[:3])} are scaled, each by a factor of its own",
            "clip all parameters together with one call of torch.nn.utils.clip_grad_norm_",
        )
    if len(wrong) < len(pairs):
        return (
            f"only {', '.join(wrong[:3])} differ: another term of the loss, or a hook, acts on them",
            "give record() the whole loss that the run minimises",
        )
    return None


def _penalty(attempt: Attempt, found: Tensor, expected: Tensor) -> Cause:
    extra, w = found - expected, flat(_within(attempt.params, attempt.found))
    for direction, name in ((w, "squared norm"), (w.sign(), "absolute values")):
        size = float(direction.dot(direction))
        if size and _same(extra, float(extra.dot(direction)) / size * direction, factor=100.0):
            return (
                f"a penalty on the {name} of the weights is in it ({float(extra.dot(direction)) / size:.6g})",
                "use the optimiser's weight_decay: it has its own term, the regulariser's",
            )
    return None


def _who(attempt: Attempt, found: Tensor, _: Tensor) -> Cause:
    examples = attempt.training.examples.count
    if examples * found.numel() > _SEARCH_BUDGET or examples > found.numel():
        return None
    rows = torch.stack([_of(attempt, [Batched(torch.tensor([i]))]) for i in range(examples)])
    shares = torch.linalg.lstsq(rows.T, found[:, None]).solution[:, 0]
    present = (shares.abs() > 1e-6 * shares.abs().max()).nonzero().reshape(-1).tolist()
    if _same(found, shares @ rows, factor=100.0) and len(present) < examples:
        named = ", ".join(map(str, present[:8])) + (", ..." if len(present) > 8 else "")
        return f"it is the gradient of the examples {named}", "give path.batch() the positions of these in x"
    return None


def _mixed_precision(_: Attempt, found: Tensor, expected: Tensor) -> Cause:
    distance = float((found - expected).norm() / expected.norm())
    if distance < 3e-2:
        return (
            "it is nearly right: mixed precision (autocast), TF32, or weights changed after backward()",
            "train in float64 or float32 without autocast, with torch.backends.cudnn.allow_tf32 = False",
        )
    return None


def _unknown(_attempt: Attempt, _found: Tensor, _expected: Tensor) -> tuple[str, str]:
    return (
        "the indices are wrong, the inputs were augmented, a layer is random, or the loss is not the one named",
        "name who is in each step with path.batch(indices), and give record() the loss and the inputs of the run; "
        "where several processes train together, the DistributedDataParallel module",
    )


_CAUSES: tuple[Callable[[Attempt, Tensor, Tensor], Cause], ...] = (
    _own_rank,
    _everybody,
    _wrong_scale,
    _not_zeroed,
    _value_clipping,
    _penalty,
    _own_scales,
    _who,
    _mixed_precision,
    _unknown,
)
