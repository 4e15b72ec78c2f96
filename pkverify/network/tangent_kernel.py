"""Tangent kernels of a network between two sets of inputs, and the identity that needs none of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap
from torch.nn import functional

from pkverify.errors import InputError
from pkverify.network.layers import GradientFactors, Study, batches, capture, study
from pkverify.network.layers.discovery import glimpse
from pkverify.network.layers.fallback import pullback
from pkverify.network.layers.gradients import capture_at_first_sight
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.plan import Plan, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.batches import Batch


class Options(TypedDict, total=False):
    """The keyword arguments of ``tangent_kernel`` and ``plan_tangent_kernel``.

    Attributes:
        loss: A loss of (outputs, targets); an example's own loss is that of a batch of it alone.
        y_train: Targets of the training examples.
        y_query: Targets of the queries.
        output: Makes the output tensor from what the model returns.
        params: Globs for the parameters to differentiate in; all of them when left out.
        weights: Parameters to use instead of the model's own, by name.
        dtype: float64 (when left out) or float32.
        memory: A budget: bytes, or a text like ``"1 GB"``; half of what is free when left out.
        study: What ``layers.study`` found out about this model on examples like these, for many calls; found out anew
            when left out. It fixes ``output``, ``params`` and ``dtype``.
    """

    loss: Callable[[Any, Any], Tensor] | None
    y_train: Any
    y_query: Any
    output: Callable[[Any], Tensor] | None
    params: str | Sequence[str]
    weights: Mapping[str, Tensor] | None
    dtype: torch.dtype
    memory: float | str | None
    study: Study | None


@dataclass(frozen=True)
class _Side:
    """One side of a kernel: the examples, what is known of the model on them, and their seeds."""

    study: Study
    x: Batch
    seeds: Callable[[slice], Callable[[Tensor], Tensor]]
    columns: int

    def captured(self, which: slice, weights: Mapping[str, Tensor] | None) -> GradientFactors:
        return capture(self.study, batches.rows(self.x, which), self.seeds(which), weights=weights)


def loss_derivatives(loss: Callable[[Any, Any], Tensor], outputs: Tensor, targets: Any) -> Tensor:
    """The derivative of each example's own loss in its output.

    An example's own loss is ``loss`` of a batch that holds it alone. So a loss that takes the mean over the batch, and
    one that takes the sum, both give the term of the example in the sum over examples.

    Args:
        loss: A function of (outputs, targets) for a batch; its value is one number.
        outputs: ``[m, ...]``.
        targets: What the loss takes: a tensor, a tuple or a dict, the examples along the first axis of each tensor.

    Returns:
        ``[m, ...]`` like the outputs.

    Raises:
        InputError: There are fewer or more targets than outputs, or the loss is not one number.

    Example:
        >>> loss_derivatives(nn.MSELoss(), torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [5.0]]))
        tensor([[ 2.],
                [-6.]])
    """
    m = batches.count(targets, "y_train")
    if m != outputs.shape[0]:
        raise InputError(f"y_train: {m} targets for {outputs.shape[0]} examples", "", "give a target an example")
    targets = batches.cast_batch(targets, outputs.dtype, outputs.device)

    def own(y: Tensor, target: Any) -> Tensor:
        value = loss(y.unsqueeze(0), batches.mapped(target, lambda entry: entry.unsqueeze(0)))
        if value.numel() != 1:
            raise InputError(
                f"loss: {tuple(value.shape)} numbers for one example", "", "reduce it to one: reduction='sum' or 'mean'"
            )
        return value.reshape(())

    outputs = outputs.detach()
    with torch.enable_grad():
        if (scale := _scale_of_batch(loss, targets, m)) is not None:
            leaf = outputs.requires_grad_()
            (gradient,) = torch.autograd.grad(loss(leaf, targets), leaf)
            return gradient * scale if scale != 1 else gradient
        try:
            return vmap(grad(own))(outputs, targets).detach()
        except (RuntimeError, TypeError, ValueError):
            # A loss that branches on a value, or has no batching rule: one example after another.
            rows = [
                grad(own)(y, batches.mapped(targets, lambda t, place=place: t[place]))
                for place, y in enumerate(outputs)
            ]
            return torch.stack(rows).detach()


# Losses of torch whose value for a batch is the sum, or the mean, of what they are for each example alone.
_SUMS = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss)
_MEANS = (functional.cross_entropy, functional.mse_loss, functional.binary_cross_entropy_with_logits)


def _scale_of_batch(loss: object, targets: object, m: int) -> int | None:
    """What the loss of a whole batch is to be multiplied by to give the sum of the examples' own; None when unknown."""
    reduction = "mean" if any(loss is mean for mean in _MEANS) else None
    if type(loss) in _SUMS and getattr(loss, "weight", None) is None and getattr(loss, "pos_weight", None) is None:
        reduction = getattr(loss, "reduction", None)
    ignored = getattr(loss, "ignore_index", -100)
    if not isinstance(targets, Tensor) or (not targets.is_floating_point() and bool((targets == ignored).any())):
        return None
    return {"mean": m, "sum": 1}.get(reduction or "")


@torch.inference_mode(mode=False)
def tangent_kernel(model: nn.Module, x_query: Batch, x_train: Batch, **options: Unpack[Options]) -> Tensor:
    """Inner products of the gradients, in the parameters, of the outputs for two sets of inputs.

    Layers of a known kind keep their gradients as factors, and are contracted in the cheaper of two orders; whatever
    else the model does goes through torch.func. The numbers do not depend on the way taken, beyond rounding. The model
    is left as it is. Blocks are chosen to stay within a budget of memory before anything is computed.

    With ``loss`` and ``y_train`` the training side is seeded by its loss derivatives: entry ``[i, j, c]`` is the inner
    product of ``grad f_c(x_i)`` with the gradient of the loss of example j. With ``y_query`` both sides are.

    Args:
        model: Any module whose forward pass is a function of parameters, buffers and inputs.
        x_query: q inputs: a tensor, a tuple or a dict, the examples along the first axis.
        x_train: m inputs.
        **options: See ``Options``.

    Returns:
        ``[q, m, C, C]``, C the number of outputs; ``[q, m]`` for a single output. With a loss ``[q, m, C]``, and with
        targets on both sides ``[q, m]``. On the device of the model, in the dtype asked for.

    Raises:
        InputError: The model is random or ties examples together, an argument is unusable, or the budget is too small
            for one example a side.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> tangent_kernel(model, x[:1], x)
        tensor([[ 5., 11.]], dtype=torch.float64)
    """
    _check(x_query, x_train, options)
    kernel = _at_first_sight(model, x_query, x_train, options)
    if kernel is None:
        left, right = _sides(model, x_query, x_train, options)
        kernel = _contracted(left, right, _plan(left, right, options), options)
    # A single output and no loss: a plain Gram matrix.
    return kernel[:, :, 0, 0] if kernel.ndim == 4 and kernel.shape[2:] == (1, 1) else kernel


@torch.inference_mode(mode=False)
def plan_tangent_kernel(model: nn.Module, x_query: Batch, x_train: Batch, **options: Unpack[Options]) -> Plan:
    """What ``tangent_kernel`` with the same arguments would do: its blocks, bytes and operations.

    Args:
        model: The model.
        x_query: q inputs.
        x_train: m inputs.
        **options: See ``Options``.

    Returns:
        The plan; print it.

    Raises:
        InputError: As ``tangent_kernel``.

    Example:
        >>> plan = plan_tangent_kernel(nn.Linear(3, 1), torch.zeros(4, 3), torch.zeros(6, 3), memory="1 GB")
        >>> plan.query_block, plan.train_block
        (4, 6)
    """
    _check(x_query, x_train, options)
    return _plan(*_sides(model, x_query, x_train, options), options)


def _plan(left: _Side, right: _Side, options: Options) -> Plan:
    counts = batches.count(left.x, "x_query"), batches.count(right.x, "x_train")
    joinable = left.study is right.study and left.columns == right.columns and batches.alike(left.x, right.x)
    sides = left.study, left.columns, right.study, right.columns
    return make_plan(*sides, counts, options.get("memory"), joinable=joinable)


def _check(x_query: Batch, x_train: Batch, options: Options) -> None:
    unknown = sorted(set(options) - set(Options.__annotations__))
    if unknown:
        raise InputError(f"{unknown[0]}: no such option", "", f"there are {', '.join(Options.__annotations__)}")
    loss, y_train, y_query = options.get("loss"), options.get("y_train"), options.get("y_query")
    if (loss is None) != (y_train is None) or (y_query is not None and loss is None):
        raise InputError(
            "loss, y_train: only one of them",
            "loss derivatives need both",
            "give both, or neither for the plain kernel",
        )
    for name, x, y in (("query", x_query, y_query), ("train", x_train, y_train)):
        batches.count(x, f"x_{name}")
        if y is not None and batches.count(y, f"y_{name}") != batches.count(x, f"x_{name}"):
            raise InputError(
                f"y_{name}: {batches.count(y)} targets for {batches.count(x)} examples", "", "give a target an example"
            )


def _sides(model: nn.Module, x_query: Batch, x_train: Batch, options: Options) -> tuple[_Side, _Side]:
    seen = _study(model, x_train, options)
    other = seen if batches.signature(x_query) == seen.examples_like else _study(model, x_query, options)
    if other.output_shape != seen.output_shape:
        raise InputError(f"x_query: outputs {other.output_shape}, those of x_train are {seen.output_shape}", "", "")
    return _side(other, x_query, options, "y_query"), _side(seen, x_train, options, "y_train")


def _studied(options: Options) -> Any:
    """What a study is told of the options."""
    return {
        "output": options.get("output"),
        "params": options.get("params", "*"),
        "dtype": options.get("dtype", torch.float64),
    }


def _study(model: nn.Module, x: Batch, options: Options) -> Study:
    seen = options.get("study")
    chosen = {key for key in ("output", "params", "dtype") if key in options}
    if seen is None:
        return study(model, x, **_studied(options))
    if seen.model is not model or chosen:
        raise InputError(
            "study: of another model" if seen.model is not model else f"study, {min(chosen)}: both given",
            "a study holds for one model, output, set of parameters and dtype",
            "study this model with these options, or leave the study out",
        )
    if batches.signature(x) == seen.examples_like:
        return seen
    return study(model, x, output=seen.output, params=seen.names, dtype=seen.dtype)


def _side(seen: Study, x: Batch, options: Options, targets: Literal["y_query", "y_train"]) -> _Side:
    loss, y = options.get("loss"), options.get(targets)
    if loss is None or y is None:

        def each_output(outputs: Tensor) -> Tensor:
            unit = torch.eye(seen.outputs, dtype=outputs.dtype, device=outputs.device)
            return unit.reshape(1, seen.outputs, *seen.output_shape).expand(outputs.shape[0], -1, *seen.output_shape)

        return _Side(seen, x, lambda _which: each_output, seen.outputs)
    return _Side(seen, x, lambda which: lambda outputs: loss_derivatives(loss, outputs, batches.rows(y, which)), 0)


def _contracted(left: _Side, right: _Side, plan: Plan, options: Options) -> Tensor:
    weights = options.get("weights")
    q, m = plan.queries, plan.examples
    if plan.together:
        both = _together(left, right, q, m)
        return _between(both.captured(slice(0, q + m), weights), q)
    held = right.captured(slice(0, m), weights) if plan.train_block >= m else None
    result: Tensor | None = None
    for start in range(0, q, plan.query_block):
        some = slice(start, min(start + plan.query_block, q))
        queries = left.captured(some, weights)
        for begin in range(0, m, plan.train_block):
            others = slice(begin, min(begin + plan.train_block, m))
            train = held if held is not None else right.captured(others, weights)
            with exact_arithmetic(), torch.no_grad():
                block = queries.inner(train)
                if plan.query_block >= q and plan.train_block >= m:
                    result = block
                    continue
                if result is None:
                    result = block.new_empty(q, m, *block.shape[2:])
                result[some, others] = block
            del train, block
        del queries
    assert result is not None
    return result


def _together(left: _Side, right: _Side, q: int, m: int) -> _Side:
    """The queries, and behind them the training examples, as one side."""
    of_queries, of_examples = left.seeds(slice(0, q)), right.seeds(slice(0, m))

    def seeds(outputs: Tensor) -> Tensor:
        return torch.cat([of_queries(outputs[:q]), of_examples(outputs[q:])])

    return _Side(right.study, batches.joined(left.x, right.x), lambda _which: seeds, right.columns)


def _between(both: GradientFactors, q: int) -> Tensor:
    """The products of the first q gradients with all others."""
    with exact_arithmetic(), torch.no_grad():
        return both.rows(slice(0, q)).inner(both.rows(slice(q, len(both))))


def _at_first_sight(model: nn.Module, x_query: Batch, x_train: Batch, options: Options) -> Tensor | None:
    """The kernel from a pass of one example, and one of all examples that completes the study of the model as well.

    None where that is no way: a study is given, the sides have seeds of different kinds or do not fit into one batch of
    the budget, or the model needs a closer look.
    """
    same_seeds = options.get("y_train") is None or options.get("y_query") is not None
    if options.get("study") is not None or not same_seeds or not batches.alike(x_query, x_train):
        return None
    weights = options.get("weights")
    seen = glimpse(model, x_query, weights=weights, **_studied(options))
    if not seen.plannable:
        return None
    left = _side(seen.study, x_query, options, "y_query")
    right = _side(seen.study, x_train, options, "y_train")
    try:
        plan = _plan(left, right, options)
    except InputError:
        return None  # the bytes of a glimpse are an upper bound: after a study there may be a plan
    if not plan.together:
        return None
    both = _together(left, right, plan.queries, plan.examples)
    found = capture_at_first_sight(seen, both.x, both.seeds(slice(None)), weights=weights)
    return None if found is None else _between(found, plan.queries)


@torch.inference_mode(mode=False)
def identity_product(
    model: nn.Module,
    x_query: Batch,
    x_train: Batch,
    *,
    loss: Callable[[Any, Any], Tensor],
    y_train: Any,
    **options: Any,
) -> Tensor:
    """The sum over the training examples of the seeded tangent kernel, without any kernel.

    It is the derivative of ``f(query)`` along the gradient of the summed loss: one backward pass over the training
    examples, and one forward-mode pass over the queries. It shares no contraction with ``tangent_kernel``, so each
    checks the other.

    Args:
        model: The model.
        x_query: q inputs.
        x_train: m inputs.
        loss: A loss of (outputs, targets), of which each example has its own term.
        y_train: m targets.
        **options: ``output``, ``params``, ``weights`` and ``dtype`` as for ``tangent_kernel``.

    Returns:
        ``[q, C]``.

    Raises:
        InputError: As ``tangent_kernel``.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0], [1.0]])
        >>> seeded = tangent_kernel(model, x, x, loss=nn.MSELoss(), y_train=y)
        >>> torch.allclose(identity_product(model, x, x, loss=nn.MSELoss(), y_train=y), seeded.sum(1))
        True
    """
    seen = study(
        model,
        x_train,
        output=options.get("output"),
        params=options.get("params", "*"),
        dtype=options.get("dtype", torch.float64),
    )
    weights: Mapping[str, Tensor] | None = options.get("weights")
    state = seen.state(weights)
    direction = loss_gradient(seen, state, x_train, loss, y_train)
    return derivative_along(seen, state, x_query, direction)


def loss_gradient(
    seen: Study,
    state: Mapping[str, Tensor],
    x: Batch,
    loss: Callable[[Any, Any], Tensor],
    y: Any,
) -> dict[str, Tensor]:
    """The gradient of the summed loss in the studied parameters, by one plain backward pass."""
    leaves = {name: state[name].detach().requires_grad_() for name in seen.names}
    with exact_arithmetic(), torch.enable_grad():
        outputs = seen.call({**state, **leaves}, batches.cast_batch(x, seen.dtype, seen.device))
        seeds = loss_derivatives(loss, outputs.detach(), y)
        found = torch.autograd.grad(outputs, list(leaves.values()), seeds, materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def derivative_along(seen: Study, state: Mapping[str, Tensor], x: Batch, direction: Mapping[str, Tensor]) -> Tensor:
    """The derivative ``[q, C]`` of the outputs along a direction in parameter space."""
    x = batches.cast_batch(x, seen.dtype, seen.device)
    chosen = {name: state[name].detach() for name in seen.names}
    along = {name: direction[name] for name in seen.names}

    def outputs(some: dict[str, Tensor]) -> Tensor:
        return seen.call({**state, **some}, x)

    with exact_arithmetic(), torch.enable_grad():
        try:
            with warnings.catch_warnings():
                # Of torch's own: its forward-mode rules are compiled by what it deprecates.
                warnings.filterwarnings("ignore", message=r".torch\.jit\.", category=DeprecationWarning)
                found: Any = jvp(outputs, (chosen,), (along,))
                derivative: Tensor = found[1]
        except (RuntimeError, NotImplementedError):
            # No forward-mode rule somewhere: the derivative of the (linear) pullback in its own argument.
            zero = torch.zeros_like(outputs(chosen))
            derivative = pullback(pullback(outputs, chosen), zero)(along)
    return derivative.detach().reshape(derivative.shape[0], -1)
