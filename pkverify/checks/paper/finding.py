"""What an audit finds out about one claim of the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pkverify.claims.record import Status
from pkverify.evidence import Evidence, Verdict


@dataclass(frozen=True)
class Witness:
    """A counterexample: a model, data and numbers that a reader can check.

    Attributes:
        id: Such as ``"CE-A"``.
        statement: What it refutes or shows imprecise, in words.
        lacks: The hypothesis whose absence it shows, by id or in words.
        setting: The model, the data, the flow, in one line.
        values: The numbers, by name, as text: exact ones as closed forms, others with their digits.
        problem: The name of a problem file under ``cases/counterexamples``, where the grammar can say it; else empty.
    """

    id: str
    statement: str
    lacks: str
    setting: str
    values: tuple[tuple[str, str], ...]
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.setting}: " + ", ".join(f"{name} = {value}" for name, value in self.values)


@dataclass(frozen=True)
class Finding:
    """What was established about a claim, computed anew and never read from the registry.

    Attributes:
        claim: The claim's id.
        status: The status that the check established.
        evidence: For the claim as printed: ``refuted`` (with its witness) for a false one; ``proved`` or ``supported``
            for one that holds; ``not-checkable`` for definitions, words and opinions, with the reason; ``inconclusive``
            where the check did not come out.
        repaired: Evidence for what holds instead, or None.
        witnesses: Counterexamples.
    """

    claim: str
    status: Status
    evidence: Evidence
    repaired: Evidence | None = None
    witnesses: tuple[Witness, ...] = ()

    def __post_init__(self) -> None:
        refuted = self.evidence.verdict is Verdict.REFUTED
        if (self.status is Status.FALSE) != refuted:
            raise ValueError(f"{self.claim}: a false claim is a refuted one, and only that")
        if self.status in {Status.HOLDS, Status.HOLDS_UNDER} and not self.evidence.verdict.holds:
            raise ValueError(f"{self.claim}: {self.status.value}, but its evidence is {self.evidence.verdict.value}")
        if self.status is Status.IMPRECISE and not self.witnesses:
            raise ValueError(f"{self.claim}: imprecise, but nothing shows it")


Audit = Callable[[], Finding]
