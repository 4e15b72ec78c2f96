"""Hopfield networks in integers: Hebb's weights, a diagonal of zeros, units updated one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

Pattern = tuple[int, ...]


@dataclass(frozen=True)
class Recall:
    """Stored patterns of -1 and 1, and a query.

    Attributes:
        stored: The patterns.
        query: Where the recall starts.
    """

    stored: tuple[Pattern, ...]
    query: Pattern

    @property
    def distances(self) -> tuple[int, ...]:
        """Hamming distances of the query to the stored patterns."""
        return tuple(hamming(self.query, pattern) for pattern in self.stored)

    @property
    def nearest(self) -> Pattern | None:
        """The nearest stored pattern, or None where two are equally near."""
        best = [p for p in self.stored if hamming(p, self.query) == min(self.distances)]
        return best[0] if len(best) == 1 else None

    def recalled(self, order: Sequence[int] | None = None) -> Pattern:
        """Where the network comes to rest from the query; ties keep the state.

        The energy falls with every flip, so that it rests after finitely many.
        """
        state, size = list(self.query), len(self.query)
        order = range(size) if order is None else order
        while True:
            before = tuple(state)
            for i in order:
                field = sum(p[i] * p[j] * state[j] for p in self.stored for j in range(size) if j != i)
                state[i] = 1 if field > 0 else -1 if field < 0 else state[i]
            if tuple(state) == before:
                return before

    def is_stable(self, pattern: Pattern) -> bool:
        """Whether a pattern is at rest."""
        return Recall(self.stored, pattern).recalled() == pattern

    def every_order(self) -> set[Pattern]:
        """What is recalled, over all orders of the units that are repeated in every sweep."""
        return {self.recalled(order) for order in permutations(range(len(self.query)))}


def hamming(left: Pattern, right: Pattern) -> int:
    """How many entries differ."""
    return sum(a != b for a, b in zip(left, right, strict=True))


def dot_product_is_hamming_distance() -> bool:
    """``x_i z_i = 1 - 2 [x_i != z_i]`` for each of the four pairs of signs, and so ``x.z = n - 2 d_H`` for every n."""
    return all(a * b == 1 - 2 * (a != b) for a, b in product((-1, 1), repeat=2))
