"""Where a query's output has a kink along a straight line of weights: ReLU and its kin, clamps, absolute values, pools.

Between two kinks the gradient is an analytic function of the position on the line, and Gauss nodes converge; across one
they do not. A kink is where a *decision* changes: which side of a threshold, or which entry of a pool is the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from pkverify.network.layers.batches import Batch, mapped
from pkverify.network.training import ModelFunction, Params

_BISECTIONS = 52  # a cell halved so often is narrower than the rounding of its ends
_PAIR_BUDGET = 2**24  # words of weights in one vectorised pass
_NEAR = 0.25  # of a margin: how near to zero a parabola must come for its lowest place to be looked at
_ROUNDS = 8  # changes of one decision inside one cell that are followed

Found = tuple[Tensor, Tensor | None]
"""Decisions, and how far each is from changing; None where that is not a smooth function."""
Decide = Callable[[tuple[Any, ...], Mapping[str, Any]], Found]


def _about(z: Tensor, thresholds: Sequence[float]) -> Found:
    """On which side of each threshold, as one number, and the distance to the nearest."""
    side, margin = torch.zeros_like(z, dtype=torch.int16), torch.full_like(z, torch.inf)
    for threshold in thresholds:
        side = side + (z > threshold).to(torch.int16)
        margin = torch.minimum(margin, (z - threshold).abs())
    return side, margin


def _sides(*thresholds: float) -> Decide:
    """Decisions of a function of one tensor that bends at fixed thresholds."""
    return lambda args, kwargs: _about(args[0] if args else kwargs["input"], thresholds)


def _between(low: str, high: str, default: tuple[float | None, float | None]) -> Decide:
    """Decisions of a clamp, whose thresholds are its arguments."""

    def decide(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
        named = dict(zip(("input", low, high), args, strict=False)) | dict(kwargs)
        bounds = [named.get(key, other) for key, other in zip((low, high), default, strict=True)]
        return _about(named["input"], [bound for bound in bounds if bound is not None])

    return decide


def _shrink(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    z, *rest = args
    bound = rest[0] if rest else kwargs.get("lambd", 0.5)
    return _about(z, (-bound, bound))


def _threshold(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    z, *rest = args
    return _about(z, (rest[0] if rest else kwargs["threshold"],))


def _larger(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    left, *rest = args
    return _about(left - (rest[0] if rest else kwargs["other"]), (0.0,))


def _pool(dimensions: int, *, adaptive: bool = False) -> Decide:
    function = getattr(F, f"{'adaptive_' if adaptive else ''}max_pool{dimensions}d")

    def decide(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
        return function(*args, **{**kwargs, "return_indices": True})[1], None

    return decide


def _extreme(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    others = [*args[1:], *kwargs.values()]
    if any(isinstance(other, Tensor) for other in others):
        return _larger(args, kwargs)
    z, place = args[0], next((o for o in others if isinstance(o, int) and not isinstance(o, bool)), None)
    return (z.reshape(-1).argmax(0) if place is None else z.argmax(place)), None


def _least(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    if any(isinstance(other, Tensor) for other in (*args[1:], *kwargs.values())):
        return _larger(args, kwargs)
    return _extreme((-args[0], *args[1:]), kwargs)


_AT_ZERO = ("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "selu", "selu_", "celu", "celu_")
_DECISIONS: dict[str, Decide] = {
    **dict.fromkeys((*_AT_ZERO, "abs", "absolute", "abs_"), _sides(0.0)),
    "relu6": _sides(0.0, 6.0),
    **dict.fromkeys(("hardswish", "hardsigmoid", "hardswish_", "hardsigmoid_"), _sides(-3.0, 3.0)),
    **dict.fromkeys(("hardtanh", "hardtanh_"), _between("min_val", "max_val", (-1.0, 1.0))),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _between("min", "max", (None, None))),
    **dict.fromkeys(("clamp_min", "clamp_min_"), _between("min", "max", (None, None))),
    **dict.fromkeys(("clamp_max", "clamp_max_"), _between("max", "min", (None, None))),
    **dict.fromkeys(("hardshrink", "softshrink"), _shrink),
    **dict.fromkeys(("threshold", "threshold_", "_threshold"), _threshold),
    **dict.fromkeys(("maximum", "minimum"), _larger),
    **dict.fromkeys(("max", "amax"), _extreme),
    **dict.fromkeys(("min", "amin"), _least),
    **{f"max_pool{n}d": _pool(n) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": _pool(n, adaptive=True) for n in (1, 2, 3)},
}


class _Watch(TorchFunctionMode):
    """Collects the decisions of all functions that bend, while a model is called."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[Tensor] = []
        self.margins: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        decide = _DECISIONS.get(getattr(func, "__name__", ""))
        if decide is not None:
            first = args[0] if args else (kwargs or {}).get("input")
            if isinstance(first, Tensor) and first.is_floating_point():
                made, margin = decide(args, kwargs or {})
                self.decisions.append(made.reshape(-1).long())
                far = torch.full_like(self.decisions[-1], torch.inf, dtype=first.dtype)
                self.margins.append(far if margin is None else margin.reshape(-1))
        return func(*args, **(kwargs or {}))


def decisions(function: ModelFunction, params: Params, x: Batch) -> Tensor:
    """All decisions of a model on a batch, ``[entries]``; empty for a model without kinks.

    Example:
        >>> model = ModelFunction(torch.nn.ReLU(), [])
        >>> decisions(model, {}, torch.tensor([[-1.0, 2.0]])).tolist()
        [0, 1]
    """
    return _watched(function, params, x)[0]


def _watched(function: ModelFunction, params: Params, x: Batch) -> tuple[Tensor, Tensor]:
    with _Watch() as watch:
        function.raw(params, x)
    if not watch.decisions:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0)
    return torch.cat(watch.decisions), torch.cat(watch.margins)


class Line:
    """A straight line of weights, ``start + u * change`` for u in [0, 1], and the queries that are followed along it.

    Args:
        function: The model.
        start: Weights ``[d]`` at ``u = 0``.
        change: Their change ``[d]``.
        x: The queries.
    """

    def __init__(self, function: ModelFunction, start: Tensor, change: Tensor, x: Batch) -> None:
        self.function = function
        self.start = start
        self.change = change
        self.x = x

    def params(self, u: Tensor | float) -> Params:
        """The parameters at a position."""
        return self.function.unflatten(self.start + u * self.change)

    def mapped(self, one: Callable[..., Any], queries: Tensor, *columns: Tensor) -> list[Any]:
        """``one(x, *columns)`` for many queries by position, vectorised in passes that fit the budget."""
        size = max(1, _PAIR_BUDGET // max(1, self.start.numel()))
        found: list[Any] = []
        for first in range(0, len(queries), size):
            some = slice(first, first + size)
            places = queries[some]
            tensors: list[Tensor] = []
            mapped(self.x, lambda t, places=places, tensors=tensors: (tensors.append(t[places]), t)[1])

            def call(parts: list[Tensor], *rest: Tensor) -> Any:
                remaining = iter(parts)
                return one(mapped(self.x, lambda _: next(remaining).unsqueeze(0)), *rest)

            found.append(vmap(call)(tensors, *(column[some] for column in columns)))
        return found

    def decided(self, queries: Tensor, u: float) -> tuple[Tensor, Tensor]:
        """Decisions and margins ``[queries, entries]`` at one position, where all queries share the weights."""
        params = self.params(u)
        tensors: list[Tensor] = []
        mapped(self.x, lambda t: (tensors.append(t[queries]), t)[1])

        def one(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
            remaining = iter(parts)
            return _watched(self.function, params, mapped(self.x, lambda _: next(remaining).unsqueeze(0)))

        with torch.no_grad():
            return vmap(one)(tensors)

    def _hidden(self, queries: Tensor, grid: Tensor, seen: Tensor, margins: Tensor) -> tuple[Tensor, ...]:
        """Brackets of decisions that change and change back between three neighbouring places of the grid.

        Args:
            queries: Which queries.
            grid: The places ``[n]``.
            seen: Decisions ``[queries, n, entries]``.
            margins: How far each is from changing, of the same shape.

        Returns:
            Query, entry, low end, high end, decision at the low end and at the high end, two rows a bump.
        """
        before, here, after = margins[:, :-2], margins[:, 1:-1], margins[:, 2:]
        bend, slope = (before + after) / 2 - here, (after - before) / 2
        steady = (seen[:, :-2] == seen[:, 1:-1]) & (seen[:, 1:-1] == seen[:, 2:])
        low_point = -slope / (2 * bend)
        near = (bend > 0) & (low_point.abs() <= 1) & (here - slope**2 / (4 * bend) <= _NEAR * here)
        which, cell, entry = (steady & near).nonzero(as_tuple=True)
        shift = low_point[which, cell, entry]
        at = grid[cell + 1] + shift * (grid[1] - grid[0])
        usual = seen[which, cell + 1, entry]
        other = self._entry(queries[which], at, entry) if len(which) else usual
        bump = other != usual
        which, cell, entry, at, usual, other = (t[bump] for t in (which, cell, entry, at, usual, other))
        start = torch.where(shift[bump] < 0, grid[cell], grid[cell + 1])
        end = torch.where(shift[bump] < 0, grid[cell + 1], grid[cell + 2])
        pairs = ((which, which), (entry, entry), (start, at), (at, end), (usual, other), (other, usual))
        return tuple(torch.cat(pair) for pair in pairs)

    def _entry(self, queries: Tensor, at: Tensor, entries: Tensor) -> Tensor:
        def one(x: Batch, u: Tensor, entry: Tensor) -> Tensor:
            return decisions(self.function, self.params(u), x).gather(0, entry[None])[0]

        with torch.no_grad():
            return torch.cat(self.mapped(one, queries, at, entries))

    def kinks(self, queries: Tensor, cells: int, most: int) -> list[list[float]]:
        """The positions of the kinks of some queries.

        A unit that crosses its threshold and comes back inside one cell shows at no end of it. So wherever a parabola
        through three neighbouring margins comes near zero, its lowest place is looked at too.

        Args:
            queries: Which queries.
            cells: Into how many cells the line is cut for the search.
            most: Look for no more, once so many are found.

        Returns:
            For each of them its kinks, rising.
        """
        grid = torch.linspace(0, 1, cells + 1, dtype=self.start.dtype, device=self.start.device)
        seen, margins = (
            torch.stack(parts, 1) for parts in zip(*(self.decided(queries, float(u)) for u in grid), strict=True)
        )
        which, cell, entry = (seen[:, :-1] != seen[:, 1:]).nonzero(as_tuple=True)
        low, high = grid[cell], grid[cell + 1]
        left, right = seen[which, cell, entry], seen[which, cell + 1, entry]
        hidden = self._hidden(queries, grid, seen, margins)
        which, entry = torch.cat([which, hidden[0]]), torch.cat([entry, hidden[1]])
        low, high = torch.cat([low, hidden[2]]), torch.cat([high, hidden[3]])
        left, right = torch.cat([left, hidden[4]]), torch.cat([right, hidden[5]])
        found: list[list[float]] = [[] for _ in range(len(queries))]
        for _ in range(_ROUNDS):
            if not len(which) or sum(map(len, found)) > most:
                break
            which, entry, low, high = which[:most], entry[:most], low[:most], high[:most]
            left, right = left[:most], right[:most]
            lower, upper = low.clone(), high.clone()
            for _ in range(_BISECTIONS):
                middle = (lower + upper) / 2
                same = self._entry(queries[which], middle, entry) == left
                lower, upper = torch.where(same, middle, lower), torch.where(same, upper, middle)
            for place, position in zip(which.tolist(), ((lower + upper) / 2).tolist(), strict=True):
                found[place].append(position)
            # A pool may pass through a third entry inside the cell: its decision is followed until it is the right one.
            now = self._entry(queries[which], upper, entry)
            more = (now != right) & (upper < high)
            which, entry, low, high = which[more], entry[more], upper[more], high[more]
            left, right = now[more], right[more]
        return [_distinct(positions) for positions in found]


def _distinct(positions: Sequence[float]) -> list[float]:
    distinct: list[float] = []
    for position in sorted(positions):
        if 0.0 < position < 1.0 and (not distinct or position - distinct[-1] > 1e-15):
            distinct.append(position)
    return distinct
