"""The theorems of the formal proof that carry a claim, as lines of text."""

from __future__ import annotations

from pkverify.formal import proof_state, theorems_of


def formal_rows(claim: str) -> list[tuple[str, str]]:
    """Name and text of each line: the theorems, what the first of them needs, and how the formal proof stands.

    Args:
        claim: The claim's id.

    Returns:
        The lines; none where no theorem carries the claim.

    Example:
        >>> formal_rows("P3")[0]
        ('formal', 'proof: P3_chain_rule (Euclidean.v): the chain rule along a differentiable curve')
        >>> formal_rows("S1")
        []
    """
    theorems = theorems_of(claim)
    if not theorems:
        return []
    rows = [("formal", f"{each.kind.value}: {each.name} ({each.file}): {each.meaning}") for each in theorems]
    needed = dict.fromkeys(h.id for h in theorems[0].hypotheses)
    rows += [("", f"{theorems[0].name} needs {', '.join(needed)}")] if needed else []
    return [*rows, ("", f"the formal proof is {proof_state()}")]
