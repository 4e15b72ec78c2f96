"""The records of the registry: what a claim says, what it needs, and where it stands in the paper."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Status(enum.Enum):
    """How a statement of the paper stands, as printed; an audit establishes it anew, and compares."""

    HOLDS = "holds"
    HOLDS_UNDER = "holds under hypotheses"
    FALSE = "false as printed"
    IMPRECISE = "imprecise"
    DEFINITION = "definition"
    NOT_CHECKABLE = "not checkable"


@dataclass(frozen=True)
class Hypothesis:
    """A condition that claims may need.

    Attributes:
        id: ``H0`` ... ``H5``.
        title: A few words.
        statement: The condition; mathematics in LaTeX between dollar signs.
    """

    id: str
    title: str
    statement: str


@dataclass(frozen=True)
class Anchor:
    """Where a claim stands in the paper.

    Attributes:
        section: Section of the paper, and the place in it; empty for a claim that the paper does not make.
        quote: A few of its words; empty where there are only formulas.
    """

    section: str
    quote: str = ""

    def __str__(self) -> str:
        if not self.section:
            return "does not say it"
        return f'section {self.section}: "{self.quote}"' if self.quote else f"section {self.section}"


@dataclass(frozen=True)
class Claim:
    """One checkable statement.

    Attributes:
        id: The id by which code, reports and proofs name it.
        title: A few words.
        statement: What is claimed; mathematics in LaTeX between dollar signs.
        hypotheses_stated: What the paper assumes for it, in words.
        hypotheses_needed: Ids of the hypotheses that it needs to be true.
        uses: Ids of the claims that its proof uses.
        anchor: Where it stands in the paper.
        remark: What a reader should know besides; may be empty.
        status: How the statement stands as printed.
        repaired: What holds instead of a statement that is false or imprecise as printed; may be empty.
    """

    id: str
    title: str
    statement: str
    hypotheses_stated: tuple[str, ...]
    hypotheses_needed: tuple[str, ...]
    uses: tuple[str, ...]
    anchor: Anchor
    remark: str = ""
    status: Status = Status.HOLDS
    repaired: str = ""


def by_id(claims: tuple[Claim, ...]) -> dict[str, Claim]:
    """Claims under their ids.

    Raises:
        ValueError: If an id is taken twice.

    Example:
        >>> by_id(())
        {}
    """
    table: dict[str, Claim] = {}
    for each in claims:
        if each.id in table:
            raise ValueError(f"two claims are called {each.id}")
        table[each.id] = each
    return table
