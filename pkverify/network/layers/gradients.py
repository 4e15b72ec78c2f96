"""The gradients of each example of a batch, kept as the layers' own factors; and what can be asked of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.layers import batches
from pkverify.network.layers.contraction import merged, products
from pkverify.network.layers.fallback import general_factors
from pkverify.network.layers.interception import Interception, Visit
from pkverify.network.numerics import exact_arithmetic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.batches import Batch
    from pkverify.network.layers.contraction import Use
    from pkverify.network.layers.discovery import Glimpse
    from pkverify.network.layers.layout import Layout
    from pkverify.network.layers.usage import Study

Seeds: TypeAlias = "Tensor | Callable[[Tensor], Tensor]"


@dataclass(frozen=True)
class GradientFactors:
    """The gradients of m examples in the selected parameters, for one output cotangent (a seed) each, or several.

    With one seed an example the axis of the columns is absent everywhere below.

    Args:
        outputs: The model's outputs, ``[m, *output shape]``, without a graph.
        shapes: The shapes of the parameters.
        uses: What each parameter's gradient is made of.
        columns: How many seeds an example has; None when the seeds came without an axis for them.
    """

    outputs: Tensor
    shapes: Mapping[str, tuple[int, ...]]
    uses: Mapping[str, tuple[Use, ...]]
    columns: int | None

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return self.outputs.shape[0]

    def __len__(self) -> int:
        return self.examples

    def rows(self, which: slice) -> GradientFactors:
        """Some of the examples."""
        uses = {name: tuple((view, factor.rows(which)) for view, factor in some) for name, some in self.uses.items()}
        return GradientFactors(self.outputs[which], self.shapes, uses, self.columns)

    def inner(self, other: GradientFactors) -> Tensor:
        """Inner products of the gradients of this batch (q examples) with those of another (m).

        The other batch may have been captured at other weights: then these are no tangent kernels, but the products
        that path sums are made of.

        Args:
            other: Gradients in the same parameters.

        Returns:
            ``[q, m, columns, columns']``, without the axes that are absent.

        Raises:
            InputError: The parameters differ.
        """
        if dict(self.shapes) != dict(other.shapes):
            raise InputError("other: captured in other parameters", "", "capture both with the same params=")
        left_columns, right_columns = self.columns or 1, other.columns or 1
        found = products(self.uses, other.uses, self.shapes)
        if found is None:
            found = self.outputs.new_zeros(self.examples, left_columns, other.examples, right_columns)
        total = found.transpose(1, 2)
        if other.columns is None:
            total = total.squeeze(3)
        return total.squeeze(2) if self.columns is None else total

    def against(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """Inner products of k vectors in parameter space with the gradient of every example.

        Args:
            vectors: For each parameter ``[k, *shape]``; a parameter that is missing counts as zero.

        Returns:
            ``[k, m, columns]``, the last axis absent when ``columns`` is.

        Raises:
            InputError: A name is unknown, or a shape does not fit.
        """
        k = _length(vectors, self.shapes)
        total = self.outputs.new_zeros(k, self.examples, self.columns or 1)
        for name, vector in vectors.items():
            flat = vector.reshape(k, -1)
            for view, factor in self.uses[name]:
                part = vector if view is None else view.gather(flat)
                total += factor.against(part)
        return total.squeeze(2) if self.columns is None else total

    def materialize(self) -> dict[str, Tensor]:
        """The gradients themselves: for each parameter ``[m, columns, *shape]``, without the axis that is absent."""
        found = {name: self._whole(name, lambda factor: factor.materialize(), (self.examples,)) for name in self.shapes}
        return {name: whole.squeeze(1) for name, whole in found.items()} if self.columns is None else found

    def total(self) -> dict[str, Tensor]:
        """The gradients summed over the examples: for each parameter ``[columns, *shape]``, or ``[*shape]``."""
        found = {name: self._whole(name, lambda factor: factor.total(), ()) for name in self.shapes}
        return {name: whole.squeeze(0) for name, whole in found.items()} if self.columns is None else found

    def _whole(self, name: str, make: Callable[..., Tensor], leading: tuple[int, ...]) -> Tensor:
        shape, whole = self.shapes[name], None
        for view, factor in self.uses[name]:
            part = make(factor)
            if view is not None:
                part = view.scatter(part, math.prod(shape)).unflatten(-1, shape)
            whole = part if whole is None else whole + part
        return self.outputs.new_zeros(*leading, self.columns or 1, *shape) if whole is None else whole


def _length(vectors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> int:
    lengths: set[int] = set()
    for name, vector in vectors.items():
        if name not in shapes:
            raise InputError(f"vectors[{name!r}]: no selected parameter", "", f"there are {', '.join(shapes)}")
        if tuple(vector.shape[1:]) != shapes[name] or vector.ndim != len(shapes[name]) + 1:
            raise InputError(
                f"vectors[{name!r}]: shape {tuple(vector.shape)}",
                f"the parameter is {shapes[name]}",
                "give [k, *shape]",
            )
        lengths.add(vector.shape[0])
    if len(lengths) != 1:
        raise InputError(
            f"vectors: lengths {sorted(lengths)}", "", "give the same number of vectors for each parameter"
        )
    return lengths.pop()


@torch.inference_mode(mode=False)
def capture(study: Study, x: Batch, seeds: Seeds, *, weights: Mapping[str, Tensor] | None = None) -> GradientFactors:
    """Captures the gradients of ``seed . output`` of every example of a batch.

    One forward pass, and one backward pass a column of the seeds, which stops at the outputs of the layers.

    Args:
        study: What ``study`` found out about the model.
        x: A batch of m examples.
        seeds: ``[m, *output shape]``: one cotangent an example (the loss derivatives, for instance); or with columns
            ``[m, columns, *output shape]``; or a function that makes either from the outputs, which come without a
            graph.
        weights: Parameters by name to use instead of the model's own; the model is not changed.

    Returns:
        The factors.

    Raises:
        InputError: The examples are unlike those studied, or the seeds do not fit.

    Example:
        >>> from pkverify.network.layers import study
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
        >>> gradients = capture(study(model, x), x, torch.ones(2, 1, dtype=torch.float64))
        >>> gradients.inner(gradients)
        tensor([[ 5., 11.],
                [11., 25.]], dtype=torch.float64)
    """
    passed = _passed(study, x, weights, study.layouts)
    return _factors(study, passed, seeds)


@torch.inference_mode(mode=False)
def capture_at_first_sight(
    seen: Glimpse, x: Batch, seeds: Seeds, *, weights: Mapping[str, Tensor] | None = None
) -> GradientFactors | None:
    """Captures gradients in a pass that completes the study of the model as well.

    Args:
        seen: What the model showed on the first example of the batch.
        x: As for ``capture``; two examples or more.
        seeds: As for ``capture``.
        weights: As for ``capture``; those of the glimpse.

    Returns:
        The factors; None when the study needs more than this pass.

    Raises:
        InputError: As ``study`` and ``capture``.
    """
    passed = _passed(seen.study, x, weights, None)
    found = seen.confirmed(passed.output.detach(), passed.mode.visits)
    return None if found is None else _factors(found, passed, seeds)


@dataclass(frozen=True)
class _Passed:
    """A batch that went through a model: its output, with its graph, and the calls that were seen."""

    x: Batch
    examples: int
    state: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]
    mode: Interception
    output: Tensor


def _passed(
    study: Study, x: Batch, weights: Mapping[str, Tensor] | None, layouts: tuple[Layout | None, ...] | None
) -> _Passed:
    m = batches.count(x)
    if batches.signature(x) != study.examples_like:
        raise InputError(
            "x: examples of another shape or dtype than those studied", "", "study the model on examples like these"
        )
    x = batches.cast_batch(x, study.dtype, study.device)
    state = study.state(weights)
    leaves = {name: state[name].detach().requires_grad_() for name in study.names if name not in study.loose}
    mode = Interception(leaves, layouts)
    with exact_arithmetic(), torch.enable_grad(), mode:
        y = study.call({**state, **leaves}, x)
    if tuple(y.shape) != (m, *study.output_shape):
        raise InputError(
            f"output: shape {tuple(y.shape)} for {m} examples",
            f"one example gave {study.output_shape}",
            "return a row an example",
        )
    return _Passed(x, m, state, leaves, mode, y)


def _factors(study: Study, passed: _Passed, seeds: Seeds) -> GradientFactors:
    """The factors of a batch that went through the model, by passes back to its layers."""
    m, state, outputs = passed.examples, passed.state, passed.output.detach()
    with exact_arithmetic(), torch.enable_grad():
        seed, columns = _columns(seeds(outputs) if callable(seeds) else seeds, outputs)
        _require_as_studied(study, passed.mode, m)
        uses: dict[str, list[Use]] = {name: [] for name in study.names}
        leaves = tuple(passed.leaves.values())
        for visit, layout, cotangents in _cotangents(study, passed.mode, leaves, passed.output, seed):
            data = layout.rows(visit.data, m)
            spread = layout.rows(cotangents, m, leading=1).movedim(0, 1)
            for role, tracked in visit.parameters.items():
                uses[tracked.name].append((tracked.view, visit.site.factor(role, data, spread)))
        if study.loose:
            general = general_factors(study, state, study.loose, passed.x, seed)
            for name, factor in general.items():
                uses[name].append((None, factor))
    shapes = {name: tuple(state[name].shape) for name in study.names}
    return GradientFactors(outputs, shapes, {name: merged(some) for name, some in uses.items()}, columns)


def _columns(seeds: Tensor, outputs: Tensor) -> tuple[Tensor, int | None]:
    """The seeds with an axis of columns, and their number; None when they came without one."""
    seeds = seeds.detach().to(outputs.device, outputs.dtype)
    if seeds.shape == outputs.shape:
        return seeds.unsqueeze(1), None
    if seeds.ndim == outputs.ndim + 1 and seeds.shape[:1] + seeds.shape[2:] == outputs.shape and seeds.shape[1]:
        return seeds, seeds.shape[1]
    raise InputError(
        f"seeds: shape {tuple(seeds.shape)}",
        f"the outputs are {tuple(outputs.shape)}",
        "give a cotangent an example, or [examples, columns, *output shape]",
    )


def _require_as_studied(study: Study, mode: Interception, m: int) -> None:
    """Every call of the study was met again, in its order and layout."""
    layouts = [layout for layout in study.layouts if layout is not None]
    fitting = mode.calls == len(study.layouts) and all(
        layout.fits(visit.data, m) for layout, visit in zip(layouts, mode.visits, strict=True)
    )
    if not fitting:
        raise _another_way()


def _another_way() -> InputError:
    return InputError(
        "model: the forward pass takes another way for this batch than for its first examples",
        "its layers cannot be told apart any more",
        "capture fewer examples at a time, or study the model on this batch",
    )


def _cotangents(
    study: Study, mode: Interception, leaves: Sequence[Tensor], y: Tensor, seeds: Tensor
) -> list[tuple[Visit, Layout, Tensor]]:
    """The cotangents ``[columns, *output shape of the call]`` of every call that the outputs depend on."""
    layouts = [layout for layout in study.layouts if layout is not None]
    reached = [(visit, layout) for visit, layout in zip(mode.visits, layouts, strict=True) if visit.edge is not None]
    if not y.requires_grad:
        return []
    edges: Sequence[torch.autograd.graph.GradientEdge] = [visit.edge for visit, _ in reached if visit.edge is not None]
    columns = seeds.unbind(1)
    # The parameters themselves are asked for as well: the stand-ins keep gradients from them, unless this batch uses
    # one in a way in which the studied examples did not.
    asked: list[Any] = [*edges, *leaves]
    found: list[Any] = [
        torch.autograd.grad(
            y,
            asked[: None if place == 0 else len(edges)],
            seed,
            retain_graph=place + 1 < len(columns),
            allow_unused=True,
        )
        for place, seed in enumerate(columns)
        if place == 0 or edges
    ]
    if any(gradient is not None for gradient in found[0][len(edges) :]):
        raise _another_way()
    found[0] = found[0][: len(edges)]
    waiting: list[list[Any]] = [list(reversed(cotangents)) for cotangents in found]
    del found
    result: list[tuple[Visit, Layout, Tensor]] = []
    for visit, layout in reached:
        cotangents = [column.pop() for column in waiting]
        if cotangents[0] is None:
            continue
        # Columns lie next to each other within an example: there they are multiplied out without another copy.
        beside = layout.axis + 1
        stacked = torch.stack(cotangents, beside).movedim(beside, 0) if len(columns) > 1 else cotangents[0].unsqueeze(0)
        result.append((visit, layout, stacked))
    return result
