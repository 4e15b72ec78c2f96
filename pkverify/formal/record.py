"""The records of the formal proof: a theorem of ``proofs/``, and what has to be known before it speaks of a problem."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Discharge(enum.Enum):
    """How a hypothesis of a theorem is discharged for one problem, by a program that only has the problem's numbers."""

    PROBLEM = "read off the problem as it is posed"
    BALLS = "by balls: a certified enclosure along the path"
    FOLLOWS = "follows from the other hypotheses"
    THEOREM = "by another theorem of the development"


class Kind(enum.Enum):
    """What a theorem says of its claims."""

    PROOF = "proof"
    COUNTEREXAMPLE = "counterexample"
    GUARD = "the hypotheses can be met"


@dataclass(frozen=True)
class FormalHypothesis:
    """One hypothesis of a theorem.

    Attributes:
        id: ``H0`` ... ``H5``, or the id of a claim, as in the registry; ``M``, ``Lambda``, ``rho``, ``F``, ``eps`` and
            ``bounds`` for the numbers that a theorem takes.
        formal: The words of the Coq statement that say it.
        meaning: The same in words.
        discharge: How it is discharged for one problem.
        by: What has to be shown for that, in words.
    """

    id: str
    formal: str
    meaning: str
    discharge: Discharge
    by: str


@dataclass(frozen=True)
class FormalTheorem:
    """One theorem of the formal development.

    Attributes:
        claims: Ids of the claims it carries, the one it is filed under first.
        name: Its name in Coq.
        file: The file that proves it.
        meaning: What it says, in words.
        kind: Whether it proves its claims, refutes them as printed, or shows that hypotheses can be met.
        hypotheses: What it needs; empty where it is a statement about one concrete model, or about any model at all.
    """

    claims: tuple[str, ...]
    name: str
    file: str
    meaning: str
    kind: Kind = Kind.PROOF
    hypotheses: tuple[FormalHypothesis, ...] = ()

    @property
    def claim(self) -> str:
        """The claim it is filed under."""
        return self.claims[0]

    @property
    def to_discharge(self) -> tuple[FormalHypothesis, ...]:
        """The hypotheses that balls have to discharge before the theorem speaks of a problem."""
        return tuple(each for each in self.hypotheses if each.discharge is Discharge.BALLS)
