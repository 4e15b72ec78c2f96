"""The record that every route produces: one prediction, split over the training examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class Decomposition:
    """The decomposition ``y_T(x) = y_0(x) + regularizer term + sum_i contributions[i]`` of one output at one query.

    Numbers are decimal strings with all the digits that the route stands for, in the units of the output; the exact
    route adds their closed forms. The residual is reported as it came out and never distributed into the contributions.

    Attributes:
        route: The route that made it: ``exact``, ``precise``, ``certified`` or ``network``.
        digits: Decimal digits asked for.
        query: The query input.
        output: Which output of the model, from 0.
        initial_output: ``y_0(x)``, the paper's ``b`` (before any regulariser).
        final_output: ``y_T(x)``, evaluated from the final weights and not from the sum.
        contributions: For each example ``-integral L'_i K_t(x, x_i) dt``.
        regularizer_term: ``-integral grad f(x) . grad R dt`` (Remark 4); ``"0"`` without a regulariser.
        residual: ``final_output - (initial_output + regularizer_term + sum contributions)``.
        path_kernel: For each example ``integral K_t(x, x_i) dt``; with several outputs, the row over the other output.
        weights: For each example ``a_i``, so that ``contributions[i] = a_i path_kernel[i]`` (with several outputs the
            vector ``a_i`` with ``contributions[i] = path_kernel[i] . a_i``); None where there is none.
        weights_absent: For each example without a weight, by position, the reason.
        error_estimate: An estimate (no bound) of the largest error among the numbers above, relative to
            ``max(1, |value|)``; None on the exact route.
        horizon: The end of the flow.
        closed_form: Closed forms as text, by field name; empty where there are none.

    Source: Theorem 1, Definitions 1 and 2, Remark 4 of the paper.
    """

    route: str
    digits: int
    query: tuple[Fraction, ...]
    output: int
    initial_output: str
    final_output: str
    contributions: tuple[str, ...]
    regularizer_term: str
    residual: str
    path_kernel: tuple[str, ...] | tuple[tuple[str, ...], ...]
    weights: tuple[str | tuple[str, ...] | None, ...]
    horizon: Fraction
    weights_absent: Mapping[int, str] = field(default_factory=dict[int, str])
    error_estimate: str | None = None
    closed_form: Mapping[str, str | tuple[str | None, ...]] = field(
        default_factory=dict[str, "str | tuple[str | None, ...]"]
    )
