"""Do the routes agree? Two decompositions of one prediction, compared number by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext

from pkverify.decomposition import Decomposition


def disagreement(decompositions: Sequence[Decomposition], digits: int) -> str | None:
    """The first number on which two routes differ by more than their error bounds allow, or None.

    Both stand for ``|error| <= 10**(2 - digits) * max(1, |value|)``; a difference beyond twice that is a bug.

    Args:
        decompositions: Of one problem, over all routes.
        digits: The digits of the least precise one.
    """
    by_place: dict[tuple[object, int], list[Decomposition]] = {}
    for item in decompositions:
        by_place.setdefault((item.query, item.output), []).append(item)
    for (query, output), items in by_place.items():
        for other in items[1:]:
            for name, left, right in _paired(items[0], other):
                if _differ(left, right, digits):
                    where = ", ".join(map(str, query)) if isinstance(query, tuple) else str(query)
                    return f"{name} at query ({where}), output {output}: {items[0].route} {left}, {other.route} {right}"
    return None


def _paired(left: Decomposition, right: Decomposition) -> Iterable[tuple[str, str, str]]:
    yield "initial_output", left.initial_output, right.initial_output
    yield "final_output", left.final_output, right.final_output
    yield "regularizer_term", left.regularizer_term, right.regularizer_term
    for name in ("contributions", "path_kernel", "weights"):
        for i, (a, b) in enumerate(zip(getattr(left, name), getattr(right, name), strict=True)):
            if a is None or b is None:
                continue  # one route may know that a kernel vanishes where the other only cannot separate it from 0
            for x, y in zip(*((v,) if isinstance(v, str) else v for v in (a, b)), strict=True):
                yield f"{name}[{i}]", x, y


def _differ(left: str, right: str, digits: int) -> bool:
    with localcontext(prec=digits + 20):
        a, b = Decimal(left), Decimal(right)
        return abs(a - b) > 2 * Decimal(10) ** (2 - digits) * max(Decimal(1), abs(a))
