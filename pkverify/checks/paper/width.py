"""How far the tangent kernel of a wide network moves while it is trained: less, the wider it is (D6a)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pkverify.evidence import Evidence, Verdict


@dataclass(frozen=True)
class Drift:
    """The experiment: y = n^{-1/2} sum_j v_j tanh(u_j x + c_j), all parameters standard normal, half the squared loss.

    Attributes:
        widths: Numbers of hidden units, each four times the one before.
        seeds: How many starts there are for each width; the median counts.
        horizon: The end of the flow.
        steps: Steps of the classical Runge-Kutta method.
        least_factor: By how much the drift must fall from each width to the next; 2 is what a rate n^{-1/2} gives.
    """

    widths: tuple[int, ...] = (16, 64, 256)
    seeds: int = 9
    horizon: float = 2.0
    steps: int = 60
    least_factor: float = 1.4


DRIFT = Drift()

_INPUTS = np.array([-1.0, 0.25, 0.5, 1.0])
_TARGETS = np.array([-0.5, 0.1, 0.5, 0.75])

Array = NDArray[np.float64]


@cache
def drifts(data: Drift) -> tuple[float, ...]:
    """``|K^p/T - K_0|/|K_0|`` for each width, the median over the starts."""
    return tuple(float(np.median([_drift(width, seed, data) for seed in range(data.seeds)])) for width in data.widths)


def drift_evidence(data: Drift) -> Evidence:
    """Whether ``|K^p/T - K_0|/|K_0|`` falls from width to width, as the constancy in the limit lets one expect."""
    found = drifts(data)
    factors = [wide / narrow for narrow, wide in pairwise(1 / drift for drift in found)]
    falls = min(factors) >= data.least_factor
    shown = ", ".join(f"{drift:.3g} at {width}" for drift, width in zip(found, data.widths, strict=True))
    return Evidence(
        "D6a",
        Verdict.SUPPORTED if falls else Verdict.INCONCLUSIVE,
        "sampling",
        residual=f"{min(factors):.3g}",
        tolerance=f"at least {data.least_factor}",
        message=f"that the tangent kernel hardly moves in a wide network: |K/T - K_0| relative to |K_0| is {shown} "
        f"units (median of {data.seeds} starts); the limit of infinite width is cited, not proved",
    )


def _drift(width: int, seed: int, data: Drift) -> float:
    generator = np.random.default_rng(seed)
    params = generator.standard_normal((3, width))
    first = _kernel(params)
    total = np.zeros_like(first)
    step = data.horizon / data.steps
    for _ in range(data.steps):
        slopes = [_rate(params)]
        slopes.append(_rate(params + step / 2 * slopes[-1]))
        slopes.append(_rate(params + step / 2 * slopes[-1]))
        slopes.append(_rate(params + step * slopes[-1]))
        after = params + step / 6 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3])
        total += step / 2 * (_kernel(params) + _kernel(after))
        params = after
    return float(np.linalg.norm(total / data.horizon - first) / np.linalg.norm(first))


def _gradients(params: Array) -> tuple[Array, Array]:
    """The outputs at the inputs, and their gradients: [input, kind, unit]."""
    u, c, v = params
    hidden = np.tanh(np.outer(_INPUTS, u) + c)
    slope = v * (1 - hidden**2)
    scale = 1 / np.sqrt(len(u))
    gradients = scale * np.stack([slope * _INPUTS[:, None], slope, hidden], axis=1)
    return scale * hidden @ v, gradients


def _rate(params: Array) -> Array:
    outputs, gradients = _gradients(params)
    return np.asarray(-np.tensordot(outputs - _TARGETS, gradients, axes=1))


def _kernel(params: Array) -> Array:
    _, gradients = _gradients(params)
    return np.asarray(np.tensordot(gradients, gradients, axes=((1, 2), (1, 2))))
