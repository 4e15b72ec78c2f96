"""Do the routes agree? Decompositions of one prediction, compared number by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from pkverify.decomposition import BallNumber, Decomposition

# A place among the numbers of a decomposition: the field, the example, the entry of a vector.
_Place = tuple[str, int, int]


def disagreement(decompositions: Sequence[Decomposition]) -> str | None:
    """The first number on which two routes differ by more than their error bounds allow, or None.

    A ball bounds the error of its midpoint by its radius. A decimal stands for
    ``|error| <= 10**(2 - digits) * max(1, |value|)`` or for its own error estimate, whichever is larger.

    Args:
        decompositions: Of one problem, over all routes.
    """
    by_place: dict[tuple[object, int], list[Decomposition]] = {}
    for item in decompositions:
        by_place.setdefault((item.query, item.output), []).append(item)
    for items in by_place.values():
        for left, right in combinations(items, 2):
            for name, a, b in _paired(left, right):
                if abs(Fraction(a) - Fraction(b)) > _bound(left, name, a) + _bound(right, name, b):
                    where = f"query ({', '.join(map(str, left.query))}), output {left.output}"
                    return f"{_named(name)} at {where}: {left.route} {a}, {right.route} {b}"
    return None


def _paired(left: Decomposition, right: Decomposition) -> Iterable[tuple[_Place, str, str]]:
    for name in ("initial_output", "final_output", "regularizer_term"):
        yield (name, -1, 0), getattr(left, name), getattr(right, name)
    for name in ("contributions", "path_kernel", "weights"):
        for i, (a, b) in enumerate(zip(getattr(left, name), getattr(right, name), strict=True)):
            if a is None or b is None:
                continue  # one route may know that a kernel vanishes where the other only cannot separate it from 0
            for k, (x, y) in enumerate(zip(_entries(a), _entries(b), strict=True)):
                yield (name, i, k), x, y


def _bound(item: Decomposition, place: _Place, number: str) -> Fraction:
    if isinstance(number, BallNumber):
        return Fraction(number.rad)
    relative = Fraction(10) ** (2 - item.digits)
    if item.route != "network":
        return relative * max(Fraction(1), abs(Fraction(number)))
    estimate = max(relative, Fraction(item.error_estimate or 0))
    name, example, _ = place
    if name != "weights":
        return estimate * max(Fraction(1), abs(Fraction(number)))
    # d(c / K) = (dc + (c / K) dK) / K: doubles have no digits to spare for a small K, as the precise route has.
    kernels = [abs(Fraction(value)) for value in _entries(item.path_kernel[example])]
    sizes = max(Fraction(1), abs(Fraction(number))) * max(Fraction(1), *kernels)
    return 4 * estimate * sizes * len(kernels) / min((k for k in kernels if k), default=Fraction(1))


def _entries(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _named(place: _Place) -> str:
    name, example, _ = place
    return name if example < 0 else f"{name}[{example}]"
