"""What must hold of every decomposition: each property as a function that says where it fails, or None.

The functions take numbers from any route, or from anybody, and use no other part of the package to judge them than
exact rationals. Laws that need the path of the flow, or a closed form, take these as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from pkverify.testing.comparison import Interval, Numbers

_ZERO = Fraction(0)


def identity_gap(numbers: Numbers, *, widest: Fraction | None = None) -> str | None:
    """Where ``final = initial + regularizer term + sum of contributions`` (T1) cannot be true, or None.

    Args:
        numbers: The decomposition.
        widest: What the sum's interval may be wide, relative to ``max(1, |final output|)``: without a bound, intervals
            that are wide enough satisfy everything.

    Example:
        >>> one, two = (((Interval(Fraction(k), Fraction(k)),),) for k in (1, 2))
        >>> identity_gap(Numbers(one, two, one, (one,), (one,)))
        'query 0, output 0: the parts add up to 3, the final output is 2'
    """
    for q, finals in enumerate(numbers.final_output):
        for c, final in enumerate(finals):
            parts = (numbers.initial_output[q][c], numbers.regularizer_term[q][c], *numbers.contributions[q][c])
            total = sum(parts[1:], parts[0])
            where = f"query {q}, output {c}"
            if total.gap(final):
                return f"{where}: the parts add up to {_middle(total):.12g}, the final output is {_middle(final):.12g}"
            scale = max(Fraction(1), abs(final.upper), *(abs(part.upper) for part in parts))
            if widest is not None and (width := total.upper - total.lower) > widest * scale:
                return f"{where}: the interval of the sum is {float(width):.2g} wide"
    return None


def kernel_gap(numbers: Numbers) -> str | None:
    """Where the path kernel between the training inputs is not symmetric, or not positive semidefinite, or None.

    Both are laws of path kernels of gradient flow (D8, D6b), with all outputs of all examples as rows.

    Args:
        numbers: A decomposition at the training inputs, in their order.
    """
    size, outputs = len(numbers.path_kernel), len(numbers.path_kernel[0])
    places = [(i, c) for i in range(size) for c in range(outputs)]
    gram = [[numbers.path_kernel[q][c][i][k] for i, k in places] for q, c in places]
    for a, row in enumerate(gram):
        for b in range(a):
            if gap := row[b].gap(gram[b][a]):
                return f"K{places[a]}{places[b]} and K{places[b]}{places[a]} are {float(gap):.2g} apart"
    # The midpoints are off by no more than half the width; by Gershgorin that moves an eigenvalue by a row's sum.
    room = max(sum((v.upper - v.lower for v in row), _ZERO) for row in gram)
    middle = [[_midpoint(gram[max(a, b)][min(a, b)]) for b in range(len(gram))] for a in range(len(gram))]
    pivot = negative_pivot(middle, room)
    return None if pivot is None else f"the Gram matrix has a negative eigenvalue: pivot {float(pivot):.3g}"


def negative_pivot(matrix: Sequence[Sequence[Fraction]], room: Fraction) -> Fraction | None:
    """The first negative pivot of ``matrix + room * identity`` by exact elimination, or None.

    Args:
        matrix: Symmetric.
        room: What an eigenvalue may be negative by; with 0 a zero pivot ends the elimination where its row is zero.

    Example:
        >>> one, two = Fraction(1), Fraction(2)
        >>> negative_pivot([[one, two], [two, one]], Fraction(0)), negative_pivot([[one, one], [one, one]], Fraction(0))
        (Fraction(-3, 1), None)
    """
    rest = [[v + (room if a == b else _ZERO) for b, v in enumerate(row)] for a, row in enumerate(matrix)]
    while rest:
        pivot, *above = rest[0]
        if pivot < 0:
            return pivot
        if pivot == 0:
            if any(above):  # the 2 x 2 minor of such an entry is negative
                return -abs(next(v for v in above if v))
            rest = [row[1:] for row in rest[1:]]
        else:
            rest = [[v - row[0] * top / pivot for v, top in zip(row[1:], above, strict=True)] for row in rest[1:]]
    return None


def log_probability_gap(numbers: Numbers, scale: Fraction) -> str | None:
    """Where, for outputs ``log p`` under the loss ``-log p``, a contribution is not its path kernel (R3d), or None.

    Args:
        numbers: The decomposition, of one output.
        scale: The factor of an example's loss: 1, or 1/m for a mean.
    """
    for q, (split, kernels) in enumerate(zip(numbers.contributions, numbers.path_kernel, strict=True)):
        for i, (contribution, kernel) in enumerate(zip(split[0], kernels[0], strict=True)):
            if contribution.gap(kernel[0].times(scale)):
                return (
                    f"query {q}, example {i}: the contribution is {_middle(contribution):.12g},"
                    f" the path kernel {_middle(kernel[0]):.12g}"
                )
    return None


def reach_gap(numbers: Numbers, loss_fall: Interval) -> str | None:
    """Where a training output moved farther than ``(y_T - y_0)^2 <= K(x, x) (L_0 - L_T)`` (E9) allows, or None.

    Args:
        numbers: A decomposition at the training inputs, in their order.
        loss_fall: By what the whole loss, penalty included, fell.
    """
    for q, finals in enumerate(numbers.final_output):
        for c, final in enumerate(finals):
            change = final + numbers.initial_output[q][c].times(Fraction(-1))
            least = _ZERO if change.lower <= 0 <= change.upper else min(abs(change.lower), abs(change.upper))
            most = max(_ZERO, numbers.path_kernel[q][c][q][c].upper) * max(_ZERO, loss_fall.upper)
            if least**2 > most:
                return f"example {q}, output {c}: it moved by {float(least):.6g}, and at most {float(most) ** 0.5:.6g}"
    return None


def rise(losses: Sequence[Interval]) -> int | None:
    """The first place in a row of losses along the flow that is larger than the one before, or None.

    Example:
        >>> rise([Interval(Fraction(k), Fraction(k)) for k in (3, 2, 2, 4)])
        3
    """
    later = enumerate(pairwise(losses), start=1)
    return next((k for k, (before, after) in later if after.lower > before.upper), None)


def _midpoint(number: Interval) -> Fraction:
    return (number.lower + number.upper) / 2


def _middle(number: Interval) -> float:
    return float(_midpoint(number))
