"""The closed form of a gradient flow: a path in one variable, and the time at which it gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pkverify.problem import Vector

Expr = Any

Kind = Literal["kernel", "contribution", "regularizer"]


@dataclass(frozen=True)
class Integrand:
    """What is integrated over time: one path kernel, one contribution, or the regulariser's term.

    Attributes:
        kind: Which of the three.
        expression: The integrand along the path, in the progress variable.
        query: The query input.
        output: The query's output, from 0.
        example: The example, from 0; -1 for the regulariser.
        other: The example's output, from 0, for a kernel; -1 otherwise.
    """

    kind: Kind
    expression: Expr
    query: Vector
    output: int
    example: int = -1
    other: int = -1


@dataclass(frozen=True)
class ClosedForm:
    """A gradient flow in closed form, for the numbers of one problem.

    The weights are functions of one *progress* variable s, whose rate s' = g(s) has an antiderivative G of 1/g: the
    path is at s at the time G(s). Where G can be inverted, ``explicit`` says how; where not, G(s) = t is the closed
    form. A flow that is explicit in time has s = t, g = 1, G = t.

    Every field is a claim to be proved, not to be trusted; :mod:`pkverify.exact.proof` proves each.

    Attributes:
        family: The family's name.
        progress: The symbol s.
        start: Its value at time 0.
        rate: g(s).
        params: The parameters, as functions of s.
        elapsed: G(s), with G(start) = 0; an unevaluated integral where it is not elementary.
        limit: Where s tends as time goes to infinity (possibly an infinity); None where that has no closed form.
        primitive: For an integrand its antiderivative over time along the path, as a function of s that is 0 at
            ``start``; None where no closed form is known.
        explicit: s as a function of ``time``, where there is one.
        time: The symbol of time.
        meaning: What the progress variable is, in words.
    """

    family: str
    progress: Expr
    start: Expr
    rate: Expr
    params: tuple[Expr, ...]
    elapsed: Expr
    limit: Expr | None
    primitive: Callable[[Integrand], Expr | None]
    time: Expr
    explicit: Expr | None = None
    meaning: str = "the time"

    @property
    def is_explicit_in_time(self) -> bool:
        """Whether the progress variable is time itself."""
        return self.progress == self.time
