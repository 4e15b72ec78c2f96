"""The paper as data: every checkable claim, what it needs to be true, and where it stands.

A file holds the claims of one part of the paper in a tuple ``CLAIMS``; to add a part, add it to ``PARTS``. Verdicts
are not kept here: they come from checks, so that the registry cannot agree with them by construction. ``Claim.status``
is what is expected of an audit (``pkverify.checks.paper``), which never reads it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pkverify.claims import beyond, closed_forms, connections, definitions, discussion, proof, remarks, theorem
from pkverify.claims.hypotheses import HYPOTHESES
from pkverify.claims.record import Anchor, Claim, Hypothesis, Status, by_id
from pkverify.errors import InputError

__all__ = ["CHECKED_IN_GENERAL", "CLAIMS", "HYPOTHESES", "PARTS", "Anchor", "Claim", "Hypothesis", "Status", "claim"]

# In the order of the paper, then what goes beyond it.
PARTS: Mapping[str, tuple[Claim, ...]] = {
    "theorem": theorem.CLAIMS,
    "proof": proof.CLAIMS,
    "definitions": definitions.CLAIMS,
    "remarks": remarks.CLAIMS,
    "connections": connections.CLAIMS,
    "discussion": discussion.CLAIMS,
    "beyond": beyond.CLAIMS,
    "closed_forms": closed_forms.CLAIMS,
}

CLAIMS: dict[str, Claim] = by_id(tuple(each for part in PARTS.values() for each in part))

# Proved for a model about which nothing is known, and so not in need of a problem.
CHECKED_IN_GENERAL = (
    *(f"P{number}" for number in range(1, 13)),
    *("T1", "T1a", "T1b", "T1c", "T1g", "T1i", "T1k", "D6b", "D7", "D8", "R3d", "SE"),
)


def claim(claim_id: str) -> Claim:
    """The claim with an id.

    Args:
        claim_id: An id such as ``"T1"``; case matters.

    Raises:
        InputError: If there is no such claim; it names the nearest id.

    Example:
        >>> claim("P9").hypotheses_needed
        ('H0', 'H3')
    """
    if claim_id in CLAIMS:
        return CLAIMS[claim_id]
    raise InputError(
        f"there is no claim {claim_id!r}",
        f"the registry has {len(CLAIMS)} claims, from {next(iter(CLAIMS))} to {next(reversed(CLAIMS))}",
        f"did you mean {_nearest(claim_id)!r}? `pkverify claims` lists them all",
    )


def _nearest(claim_id: str) -> str:
    folded = {known.casefold(): known for known in reversed(CLAIMS)}
    return folded[difflib.get_close_matches(claim_id.casefold(), folded, n=1, cutoff=0.0)[0]]
