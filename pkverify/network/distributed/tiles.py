"""Into which tiles a decomposition is cut, and in which order those that depend on each other are taken.

The contributions are a sum over the steps of tables (queries x examples). A tile is a block of queries, a block of
examples and a range of points of the path. Blocks are independent. Ranges are so only for plain gradient descent;
where the optimiser has a memory, a tile hands on what a unit of the buffer does to its queries, to the range before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["split", "proof"]


@dataclass(frozen=True)
class Layout:
    """The cut.

    Attributes:
        queries: q.
        examples: m.
        points: Points of the path, the last weights not counted.
        query_block: Queries in a tile.
        example_block: Examples in a tile.
        point_block: Points in a tile.
        proof_block: Queries in a tile of the proof, which makes the steps again and needs no block of examples.
        chained: Whether a tile needs what the next range (for the proof: the range before) has left.
    """

    queries: int
    examples: int
    points: int
    query_block: int
    example_block: int
    point_block: int
    proof_block: int
    chained: bool

    def query_blocks(self, kind: Kind) -> list[range]:
        """The blocks of queries of the split or of the proof."""
        return blocks(self.queries, self.query_block if kind == "split" else self.proof_block)

    @property
    def example_blocks(self) -> list[range]:
        """The blocks of examples."""
        return blocks(self.examples, self.example_block)

    @property
    def ranges(self) -> list[range]:
        """The ranges of points."""
        return blocks(self.points, self.point_block)


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes:
        kind: Of the split, or of its proof.
        queries: Its queries.
        examples: Its examples; all of them in a proof.
        points: Its points.
        name: What its files are called.
    """

    kind: Kind
    queries: range
    examples: range
    points: range
    name: str


def blocks(total: int, size: int) -> list[range]:
    """``range(total)`` in blocks of a size, the last one shorter.

    Args:
        total: How many.
        size: How many in a block.

    Returns:
        The blocks.

    Example:
        >>> blocks(5, 2)
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(first, min(first + size, total)) for first in range(0, total, size)]


def tile(layout: Layout, kind: Kind, query: int, example: int, place: int) -> Tile:
    """One tile, by the numbers of its blocks.

    Example:
        >>> tile(Layout(2, 3, 4, 1, 3, 2, 2, True), "split", 1, 0, 1).name
        'split-q00001-e00000-r00001'
    """
    middle = f"-e{example:05d}" if kind == "split" else ""
    return Tile(
        kind,
        layout.query_blocks(kind)[query],
        layout.example_blocks[example] if kind == "split" else range(layout.examples),
        layout.ranges[place],
        f"{kind}-q{query:05d}{middle}-r{place:05d}",
    )


def chains(layout: Layout) -> list[tuple[Tile, ...]]:
    """All tiles, in chains that one process takes in their order; any two chains are independent.

    The split goes from the last range to the first, since what the queries feel is carried back; the proof from the
    first to the last, since it makes the momentum again. Its chains come first: they are the longest.

    Args:
        layout: The cut.

    Returns:
        The chains.

    Example:
        >>> [[t.name for t in chain] for chain in chains(Layout(1, 3, 2, 1, 3, 1, 1, True))][1]
        ['split-q00000-e00000-r00001', 'split-q00000-e00000-r00000']
    """
    places = list(range(len(layout.ranges)))
    found = [
        tuple(tile(layout, "proof", query, 0, place) for place in places)
        for query in range(len(layout.query_blocks("proof")))
    ]
    found += [
        tuple(tile(layout, "split", query, example, place) for place in reversed(places))
        for query in range(len(layout.query_blocks("split")))
        for example in range(len(layout.example_blocks))
    ]
    return found if layout.chained else [(one,) for chain in found for one in chain]


def all_tiles(layout: Layout) -> Iterator[Tile]:
    """All tiles of a cut."""
    for chain in chains(layout):
        yield from chain
