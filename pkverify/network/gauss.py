"""Gauss-Legendre rules on [0, 1], and how far a rule is from converged, judged from its own nodes."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

LEVELS = (4, 6, 8, 12, 16, 24, 32)
"""Numbers of nodes that are tried, in this order."""


@cache
def gauss_rule(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1].

    Args:
        count: The number of nodes; polynomials of degree below ``2 * count`` are integrated exactly.

    Returns:
        The nodes, rising, and the weights, which sum to 1.

    Example:
        >>> nodes, weights = gauss_rule(2)
        >>> round(sum(w * u**3 for u, w in zip(nodes, weights)), 15)
        0.25
    """
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple(float(u) for u in (nodes + 1) / 2), tuple(float(w) for w in weights / 2)


@cache
def _analysis(count: int) -> Tensor:
    """The matrix ``[count, count]`` from values at the nodes to coefficients of Legendre polynomials."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    degrees = np.arange(count)
    basis = np.polynomial.legendre.legvander(nodes, count - 1)
    return torch.from_numpy(((2 * degrees + 1) / 2)[:, None] * (basis * weights[:, None]).T)


def tails(values: Tensor) -> tuple[Tensor, Tensor]:
    """The last Legendre coefficients of functions, and an estimate (no bound) of the error of the Gauss rule on them.

    The coefficients of an analytic function fall geometrically or faster, and a rule with ``n`` nodes errs by about the
    coefficient of degree ``2 n``. So the fall among the coefficients that the nodes give is carried on to that degree;
    where the fall grows steeper, as it does on short segments, that is far too much.

    Args:
        values: Values at the nodes, ``[..., n]``, with ``n >= 4``.

    Returns:
        The larger of the last two coefficients, and the estimate, both ``[...]`` in the units of the values.

    Example:
        >>> nodes = torch.tensor(gauss_rule(8)[0], dtype=torch.float64)
        >>> float(tails(nodes.exp())[1]) < 1e-13 < float(tails((nodes - 0.4).abs())[1])
        True
    """
    count = values.shape[-1]
    sizes = (values @ _analysis(count).to(values).T).abs()
    last = sizes[..., -2:].amax(-1)
    before = sizes[..., -4:-2].amax(-1)
    ratio = torch.where(before > last, last / before, torch.ones_like(last))
    return last, last * ratio ** ((count + 1) / 2)
