"""What reports say in words: the meaning of a verdict, its colour, and what the paper assumes."""

from __future__ import annotations

from pkverify.report.document import Mark

# From the strongest to the weakest, then those outside the order.
MEANINGS: dict[str, str] = {
    "proved": "an exact identity, or a theorem checked by a machine, under the hypotheses listed with it",
    "certified": "ball arithmetic encloses the residual in a small ball that contains 0, or shows a hypothesis",
    "supported": "numbers only: the residual lies within a tolerance that was fixed before the run",
    "inconclusive": "it could not be decided; the message says what is missing",
    "refuted": "false, with a witness that is itself exact or certified",
    "not-applicable": "a hypothesis of the claim fails for this problem, or the claim is about another kind of problem",
    "not-checkable": "words, history, opinion, or a definition: nothing to check, and never counted as a pass",
}

HEADLINES: dict[str, str] = {
    "proved": "Everything that was looked at is proved.",
    "certified": "Everything that was looked at holds; the weakest evidence is certified.",
    "supported": "Everything that was looked at holds; the weakest evidence is numeric, within its tolerance.",
    "inconclusive": "Not everything could be decided, so this run is no pass.",
    "refuted": "At least one claim is refuted, with a witness.",
}

_TONES = {
    "proved": "good",
    "certified": "good",
    "supported": "fair",
    "inconclusive": "open",
    "refuted": "bad",
    "holds": "good",
    "holds under hypotheses": "fair",
    "imprecise": "open",
    "false as printed": "bad",
}

# What the paper says where pkverify names a hypothesis; Theorem 1 and its proof assume no more than this.
STATED: dict[str, str] = {
    "H0": "“differentiable”, without continuity of the derivative",
    "H1": "not stated; differentiability is taken to be enough",
    "H2": "not stated; the gradient flow is taken to exist",
    "H3": "not stated; the path kernel is divided by",
    "H4": "not stated; the quotient is called an average",
    "H5": "$\\epsilon \\to 0$, with no word on the horizon",
}


def mark(word: str) -> Mark:
    """The verdict or status as a coloured word.

    Example:
        >>> mark("refuted")
        Mark(word='refuted', tone='bad')
    """
    return Mark(word, _TONES.get(word, "outside"))
