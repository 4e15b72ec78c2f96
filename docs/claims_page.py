"""The page of all claims, written from the registry when the documentation is built."""

from __future__ import annotations

import re
from pathlib import Path

from pkverify.claims import CLAIMS, HYPOTHESES
from pkverify.claims.record import Claim
from pkverify.formal import theorems_of

PAGE = Path(__file__).parent / "claims.md"
_MATH = re.compile(r"\$[^$]*\$")


def write_claims(page: Path = PAGE) -> None:
    """Write the page; what stands there already is left alone if it is the same."""
    text = claims_text()
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def claims_text() -> str:
    """The page, in MyST Markdown."""
    rows = "\n".join(map(_row, CLAIMS.values()))
    hypotheses = "\n".join(f"| {h.id} | {_cell(h.title)} | {_cell(h.statement)} |" for h in HYPOTHESES.values())
    return f"""# All claims

Every checkable statement of the paper, as the registry has it: what it says, how it stands as printed, the hypotheses
that it needs, what holds instead, and the theorems of the [formal proof](formal-proof.md) that carry it. `pkverify
claims ID` explains one, `pkverify paper ID` judges it anew.

| claim | statement | as printed | needs | instead | formal |
|---|---|---|---|---|---|
{rows}

## Hypotheses

| | | |
|---|---|---|
{hypotheses}
"""


def _row(claim: Claim) -> str:
    theorems = ", ".join(f"`{theorem.name}`" for theorem in theorems_of(claim.id))
    cells = (
        f"**{claim.id}** {_cell(claim.title)}", _cell(claim.statement), claim.status.value,
        ", ".join(claim.hypotheses_needed), _cell(claim.repaired or ""), theorems,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text for a cell of a table: one line, and no bar that would end it, within formulas neither."""
    joined = " ".join(text.split())
    in_math = _MATH.sub(lambda found: found.group().replace("\\|", "\\Vert ").replace("|", "\\vert "), joined)
    return in_math.replace("|", "\\|") if "|" in in_math else in_math
