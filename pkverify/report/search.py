"""What a search for counterexamples came to, for the terminal."""

from __future__ import annotations

from pkverify.checks.search import Searched
from pkverify.errors import PkverifyError


def search_text(searched: Searched) -> str:
    """The search as text: for each problem and claim the witness, or that there was none."""
    lines: list[str] = []
    for name, _, claim, witness in searched.found:
        if isinstance(witness, PkverifyError):
            lines += [f"{name}: {claim}: not searched: {witness.what}: {witness.why}", ""]
            continue
        if witness is None:
            lines += [f"{name}: {claim}: no counterexample on the queries looked at (which proves nothing)", ""]
            continue
        lines.append(f"{name}: {claim}: {witness.message}")
        lines += [f"  {key:<16} {value}" for key, value in witness.values]
        lines += [f"  {'lacks':<16} {witness.lacks}"] if witness.lacks else []
        lines.append("")
    return "\n".join(lines)
