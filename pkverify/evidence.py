"""What a run found: verdicts, evidence for each claim, and the run as a whole."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pkverify.decomposition import Decomposition, drawer

_LONGEST = 200  # characters of a sentence in a notebook's table
THEOREM = "theorem"  # the name under which evidence stands that is tied to no problem


class Verdict(enum.Enum):
    """What may be said of a claim, from the strongest to the weakest; the last two stand outside the order."""

    PROVED = "proved"
    CERTIFIED = "certified"
    SUPPORTED = "supported"
    INCONCLUSIVE = "inconclusive"
    REFUTED = "refuted"
    NOT_APPLICABLE = "not-applicable"
    NOT_CHECKABLE = "not-checkable"

    @property
    def holds(self) -> bool:
        """Whether the claim counts as holding."""
        return self in _HOLDING

    @property
    def judged(self) -> bool:
        """Whether the verdict takes part in the order, and so in the verdict of a run."""
        return self in _ORDER


_HOLDING = frozenset({Verdict.PROVED, Verdict.CERTIFIED, Verdict.SUPPORTED})
# refuted < inconclusive < supported < certified < proved
_ORDER = (Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.SUPPORTED, Verdict.CERTIFIED, Verdict.PROVED)


def weakest(verdicts: Iterable[Verdict]) -> Verdict:
    """The weakest verdict that takes part in the order; ``inconclusive`` when there is none: an empty run never passes.

    Example:
        >>> weakest([Verdict.PROVED, Verdict.SUPPORTED, Verdict.NOT_APPLICABLE]).value
        'supported'
        >>> weakest([]).value
        'inconclusive'
    """
    return min((v for v in verdicts if v.judged), key=_ORDER.index, default=Verdict.INCONCLUSIVE)


def combine_routes(verdicts: Iterable[Verdict]) -> Verdict:
    """One claim seen by several routes: refuted if any route refutes, else the strongest that some route reached."""
    seen = list(verdicts)
    judged = [v for v in seen if v.judged]
    if Verdict.REFUTED in judged:
        return Verdict.REFUTED
    if judged:
        return max(judged, key=_ORDER.index)
    return Verdict.NOT_APPLICABLE if Verdict.NOT_APPLICABLE in seen else Verdict.NOT_CHECKABLE


@dataclass(frozen=True)
class HypothesisEvidence:
    """What is known of one hypothesis (``H0`` ... ``H5``) for the problem at hand."""

    id: str
    verdict: Verdict
    message: str = ""


@dataclass(frozen=True)
class Evidence:
    """What one check found about one claim.

    Attributes:
        claim: The claim's id, such as ``"T1"``.
        verdict: What may be said of it.
        method: How: ``exact``, ``mpmath``, ``ball``, ``formal``, ``sampling``, ...
        hypotheses: The hypotheses used, each with what is known of it.
        residual: Left side minus right side, as text with all its digits; ``"0"`` for an exact identity.
        bound: A rigorous bound on the error of the residual, or an error estimate where ``method`` is numeric.
        tolerance: What the residual was held against, fixed before the run.
        witness: For ``refuted``: what refutes it, small enough to check by hand where it can be.
        message: One sentence for the reader.
        route: The route that found it, or an empty string.
        seconds: How long the check took; not written to JSON, where it would differ from run to run.
        form: ``"as-printed"`` where a claim was judged as the paper prints it, ``"repaired"`` for what holds instead;
            empty where it was judged under the hypotheses that it needs.
        status: For a claim as printed: how it stands, as the audit established it.
        expected: For a claim as printed: how it stands by the registry.
        repaired: Evidence for what holds instead of a claim as printed.
    """

    claim: str
    verdict: Verdict
    method: str
    hypotheses: tuple[HypothesisEvidence, ...] = ()
    residual: str | None = None
    bound: str | None = None
    tolerance: str | None = None
    witness: str | None = None
    message: str = ""
    route: str = ""
    seconds: float = 0.0
    form: str = ""
    status: str = ""
    expected: str = ""
    repaired: Evidence | None = None

    def __post_init__(self) -> None:
        if self.verdict is Verdict.REFUTED and not self.witness:
            raise ValueError(f"{self.claim}: a refutation must carry its witness")
        if self.verdict is Verdict.CERTIFIED and self.bound is None:
            raise ValueError(f"{self.claim}: a certified verdict must carry its bound")
        if self.verdict is Verdict.SUPPORTED and self.tolerance is None:
            raise ValueError(f"{self.claim}: a supported verdict must carry the tolerance fixed before the run")
        if self.verdict in {Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.NOT_CHECKABLE} and not self.message:
            raise ValueError(f"{self.claim}: {self.verdict.value} must say why")


@dataclass(frozen=True)
class DerivationStep:
    """One line of a derivation: the claim it instantiates, its formula in LaTeX and as text, and its verdict."""

    claim: str
    text: str
    latex: str
    verdict: Verdict
    message: str = ""


@dataclass(frozen=True)
class ProblemRun:
    """All that was found on one problem (or, under the name ``theorem``, on none in particular).

    Attributes:
        name: The file or case problem it was read from.
        evidence: What each check found, in the order in which they ran.
        decompositions: Of the asked queries, route by route.
        horizon: The end of the flow, as text.
        derivation: The derivation for this problem.
        series: Samples along the path, by name: one row a time.
        skipped: Routes used by default that cannot treat the problem, with the reason.
        refused: The same for routes that were asked for by name: they make the run inconclusive.
        source: The problem as a problem file.
    """

    name: str
    evidence: tuple[Evidence, ...]
    decompositions: tuple[Decomposition, ...] = ()
    horizon: str | None = None
    derivation: tuple[DerivationStep, ...] = ()
    series: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict[str, "tuple[tuple[str, ...], ...]"])
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    source: str = ""

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """For each claim, the verdict over the routes that looked at it."""
        by_claim: dict[str, list[Verdict]] = {}
        for item in self.evidence:
            by_claim.setdefault(item.claim, []).append(item.verdict)
        return {claim: combine_routes(seen) for claim, seen in by_claim.items()}


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run.

    Attributes:
        problems: What was found, problem by problem.
        holes: Ids of claims that have no check.
        interrupted: Whether the run was stopped before its end; what was finished is kept.
    """

    problems: tuple[ProblemRun, ...]
    holes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def verdict(self) -> Verdict:
        """The weakest over all claims of all problems; ``inconclusive`` when nothing was judged or there is a hole."""
        verdict = weakest(v for problem in self.problems for v in problem.verdicts.values())
        looked_at = [problem for problem in self.problems if problem.evidence and problem.name != THEOREM]
        nothing_holds = bool(looked_at) and not any(v.holds for problem in looked_at for v in problem.verdicts.values())
        refused = any(problem.refused for problem in self.problems)
        if verdict.holds and (self.holes or refused or nothing_holds):
            return Verdict.INCONCLUSIVE
        return verdict

    @property
    def exit_code(self) -> int:
        """0 everything holds, 1 something is refuted, 3 inconclusive or holes, 130 interrupted."""
        if self.interrupted:
            return 130
        if self.verdict is Verdict.REFUTED:
            return 1
        return 0 if self.verdict.holds else 3

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict.value}{' (interrupted)' if self.interrupted else ''}"]
        lines += [f"holes: {', '.join(self.holes)}"] if self.holes else []
        for problem in self.problems:
            lines.append(problem.name)
            lines += [f"  {claim:<6} {verdict.value}" for claim, verdict in problem.verdicts.items()]
        return "\n".join(lines)

    def plot(self, name: str = "waterfall") -> Any:
        """Draw one figure of a run of one problem: a key of ``pkverify.figures.FIGURES``; a matplotlib figure.

        Raises:
            InputError: For a name that does not exist, or a figure that the run has no numbers for.
        """
        return drawer()(self, name)

    def _repr_html_(self) -> str:
        """The verdict, what is missing, and a table for each problem: for notebooks."""
        parts = [f"<p><strong>verdict: {self.verdict.value}</strong>{' (interrupted)' if self.interrupted else ''}</p>"]
        parts += [f"<p>holes (claims without a check): {escape(', '.join(self.holes))}</p>"] if self.holes else []
        return f"<div>{''.join([*parts, *map(_problem_html, self.problems)])}</div>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - Jupyter's
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _problem_html(problem: ProblemRun) -> str:
    """The claims of one problem, with what its strongest evidence says."""
    left_out = {**problem.refused, **problem.skipped}
    notes = "".join(f"<p>route {escape(route)} left out: {escape(reason)}</p>" for route, reason in left_out.items())
    said = {(item.claim, item.verdict): item for item in reversed(problem.evidence)}
    rows = "".join(
        f"<tr><th>{escape(claim)}</th><td>{verdict.value}</td>"
        f"<td>{escape(_shown(said.get((claim, verdict))))}</td></tr>"
        for claim, verdict in problem.verdicts.items()
    )
    head = "<thead><tr><th>claim</th><th>verdict</th><th>because</th></tr></thead>"
    return f"{notes}<table><caption>{escape(problem.name)}</caption>{head}<tbody>{rows}</tbody></table>"


def _shown(item: Evidence | None) -> str:
    """The sentence of a piece of evidence, cut where it is long."""
    text = item.message if item is not None else ""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"
