"""Holding an adapter against every relation, and shrinking what fails."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import copysign, inf, isfinite, nan
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from pkverify.errors import InputError
from pkverify.testing.conform.adapter import Adapter, NotApplicable, WrongScores, scores_of
from pkverify.testing.conform.reference import QUANTITIES, change, reference
from pkverify.testing.conform.relations import RELATIONS, TOLERANCE, Measured, Relation, Subject
from pkverify.testing.conform.report import FAILS, HOLDS, NOT_APPLICABLE, UNDECIDED, ConformanceReport, Finding
from pkverify.testing.conform.shrink import smallest
from pkverify.testing.conform.task import LOSSES, Spec, Task, larger_task, specs, task_of

FITS = 1e-6
"""How near scores must be to a quantity, relatively, to be called that without being told."""

_RUNS = "runs"
# Relations that compare with the quantity, and say nothing where it is not known.
_OF_THE_QUANTITY = ("agreement", "completeness", "scale of the loss", "scale of the outputs")


@dataclass
class _Trials:
    """The tasks of a check."""

    larger: list[Task]
    small: list[Task]
    specs: list[Spec]

    @property
    def all(self) -> list[Task]:
        return [*self.larger, *self.small]


def check(
    adapter: Adapter | Callable[[Task], Any],
    *,
    quantity: str | None = None,
    relations: Collection[str] | None = None,
    examples: int = 10,
    seconds: float = 10.0,
) -> ConformanceReport:
    """Does somebody's attribution code compute what it says, and does that add up?

    The scores are compared with a brute-force reference, and with themselves under changes of the task that right
    scores follow. Each relation that fails is shown on the smallest task that was found for it.

    Args:
        adapter: An adapter, or a function from a ``Task`` to scores ``[q, m]``.
        quantity: What the scores are, a name in ``QUANTITIES``; the adapter's own word when left out, and found out
            where it has none.
        relations: Names of the relations to check; all of them when left out.
        examples: How many small tasks are drawn, always the same ones; two larger ones are tried besides.
        seconds: How long to look for a smaller failing task, for each relation that fails.

    Returns:
        The report.

    Raises:
        InputError: For a quantity or a relation that there is not.

    Example:
        >>> from pkverify.testing.conform.check import check
        >>> from pkverify.testing.conform.reference import QUANTITIES, reference
        >>> report = check(lambda task: 2 * reference(task, QUANTITIES["left-endpoint"]), examples=2)
        >>> report.verdict, report.quantity, round(report.scale, 9)
        ('conforms', 'left-endpoint', 2.0)
    """
    if not isinstance(adapter, Adapter):
        adapter = Adapter(getattr(adapter, "__name__", type(adapter).__name__), adapter, quantity)
    chosen = quantity or adapter.quantity
    if chosen is not None and chosen not in QUANTITIES:
        raise InputError(f"quantity: there is no {chosen!r}", "", f"choose from {', '.join(QUANTITIES)}")
    unknown = sorted({*(relations or ())} - {relation.name for relation in RELATIONS})
    if unknown:
        names = ", ".join(relation.name for relation in RELATIONS)
        raise InputError(f"relations: there is no {unknown[0]!r}", "", f"choose from {names}")
    wanted = [relation for relation in RELATIONS if relations is None or relation.name in relations]
    trials = _trials(adapter, examples)
    runs = _runs(adapter, trials, seconds)
    if not trials.all:
        return _nothing(adapter, chosen, runs)
    if chosen is None:
        name, params = _nearest(adapter, trials)
        nearest = name if params == ("*",) else f"{name} of the last layer"
    else:
        name, params, nearest = chosen, adapter.params, chosen
    fit, scale = _fit(adapter, trials.all, name, params)
    if chosen is not None and fit > FITS:
        other, of = _nearest(adapter, trials)
        nearest = other if of == adapter.params else f"{other} of {'all' if of == ('*',) else 'the last'} layers"
    # A scale means something only where the scores fit; else it would make the error look smaller than it is.
    if fit > FITS:
        scale = copysign(1.0, scale) if isfinite(scale) else 1.0
    held = Adapter(adapter.name, adapter.scores, name, adapter.version, params, adapter.losses, adapter.any_examples)
    subject = Subject(held, QUANTITIES[name], 1.0 if QUANTITIES[name].adds_up else scale)
    known = chosen is not None or fit <= FITS
    findings = [runs, *(_finding(subject, relation, trials, seconds, known=known) for relation in wanted)]
    return ConformanceReport(
        adapter.name,
        adapter.version,
        name,
        QUANTITIES[name].formula,
        chosen is not None,
        _error(subject, trials.larger or trials.small),
        nearest,
        subject.scale,
        params,
        _completeness(subject, trials.larger),
        tuple(findings),
        adapter.note,
    )


def _trials(adapter: Adapter, examples: int) -> _Trials:
    drawn: list[Spec] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given],
    )
    @given(specs(kinds=adapter.losses))
    def collect(spec: Spec) -> None:
        drawn.append(spec)

    collect()
    kept = list(dict.fromkeys(drawn))
    return _Trials([larger_task(kind) for kind in LOSSES if kind in adapter.losses], [task_of(s) for s in kept], kept)


def _runs(adapter: Adapter, trials: _Trials, seconds: float) -> Finding:
    """Whether the adapter returns numbers of the right shape; tasks on which it does not are left out from here on."""
    statement = "a task gives numbers [q, m]"
    errors: list[str] = []
    reasons: list[str] = []
    good: list[list[Task]] = [[], []]
    for which, tasks in enumerate((trials.larger, trials.small)):
        for task in tasks:
            try:
                found = scores_of(adapter, task)
                if not bool(torch.isfinite(found.values).all()):
                    raise WrongScores("some scores are no finite numbers")
                good[which].append(task)
            except NotApplicable as reason:
                reasons.append(str(reason))
            except WrongScores as error:
                errors.append(str(error))
    trials.larger, trials.small = good
    count = len(trials.all) + len(errors)
    if not errors:
        if not count:
            return Finding(_RUNS, "", statement, NOT_APPLICABLE, 0.0, 0.0, 0, reasons[0] if reasons else "no task")
        return Finding(_RUNS, "", statement, HOLDS, 0.0, 0.0, count)

    def fails(spec: Spec) -> bool:
        try:
            return not bool(torch.isfinite(scores_of(adapter, task_of(spec)).values).all())
        except NotApplicable:
            return False
        except WrongScores:
            return True

    case = _case(adapter, fails, trials, seconds)
    note = f"{len(errors)} of {count} tasks: {errors[0]}"
    return Finding(_RUNS, "E1", statement, FAILS, len(errors) / count, 0.0, count, note, case)


def _nothing(adapter: Adapter, chosen: str | None, runs: Finding) -> ConformanceReport:
    name = chosen or "left-endpoint"
    formula = QUANTITIES[name].formula
    return ConformanceReport(
        adapter.name, adapter.version, name, formula, chosen is not None, nan, name, nan, adapter.params, None, (runs,),
        adapter.note,
    )  # fmt: skip


def _nearest(adapter: Adapter, trials: _Trials) -> tuple[str, tuple[str, ...]]:
    """The quantity and the parameters that the scores are nearest to."""
    some = trials.small[:6] or trials.larger
    fits = {
        (name, params): _fit(adapter, some, name, params)[0]
        for params in dict.fromkeys((adapter.params, ("*",), ("{last}.*",)))
        for name in QUANTITIES
    }
    return min(fits, key=lambda key: fits[key])


def _fit(adapter: Adapter, tasks: list[Task], name: str, params: tuple[str, ...]) -> tuple[float, float]:
    """The misfit after the best common scale, and that scale."""
    globs = Adapter("", adapter.scores, params=params)
    pairs = [
        (scores_of(adapter, task).values, reference(task, QUANTITIES[name], globs.params_of(task))) for task in tasks
    ]
    found = torch.cat([one.flatten() for one, _ in pairs])
    wanted = torch.cat([two.flatten() for _, two in pairs])
    size = float(wanted @ wanted)
    if not size:
        return inf, 1.0
    scale = float(found @ wanted) / size
    return (float((found - scale * wanted).norm() / (abs(scale) * wanted.norm())) if scale else inf), scale


def _error(subject: Subject, tasks: list[Task]) -> float:
    missed = wanted = 0.0
    for task in tasks:
        right = subject.wanted(task)
        missed += float(((subject.scores(task) - right) ** 2).sum())
        wanted += float((right**2).sum())
    return (missed / wanted) ** 0.5 if wanted else missed**0.5


def _completeness(subject: Subject, tasks: list[Task]) -> float | None:
    """How far the sums are from the change; left-endpoint sums, which miss it, stand for its negative."""
    quantity = subject.quantity
    if quantity.train != "loss" or quantity.query == "outputs" or subject.adapter.params != ("*",) or not tasks:
        return None
    sign = 1.0 if quantity.adds_up else -1.0
    missed = [
        (float((sign * subject.scores(task).sum(1) / subject.scale - change(task, quantity)).norm()), task)
        for task in tasks
    ]
    return max(miss / float(change(task, quantity).norm()) for miss, task in missed)


def _measure(subject: Subject, relation: Relation, task: Task) -> Measured | str:
    """What a relation comes to on a task, or why it says nothing there."""
    try:
        return relation.measure(subject, task)
    except NotApplicable as reason:
        return str(reason)
    except WrongScores as error:
        return Measured(inf, str(error))


def _finding(subject: Subject, relation: Relation, trials: _Trials, seconds: float, *, known: bool) -> Finding:
    claim = relation.claim or subject.quantity.claim
    measured = [_measure(subject, relation, task) for task in trials.all]
    found = [m for m in measured if isinstance(m, Measured)]
    if not found:
        reason = next((m for m in measured if isinstance(m, str)), "")
        return Finding(relation.name, claim, relation.statement, NOT_APPLICABLE, 0.0, TOLERANCE, 0, reason)
    size = max(m.miss for m in found)
    if size <= TOLERANCE:
        return Finding(relation.name, claim, relation.statement, HOLDS, size, TOLERANCE, len(found))
    note = next((m.note for m in sorted(found, key=lambda m: -m.miss) if m.note and m.miss > TOLERANCE), "")
    if relation.name == "agreement":
        size = _error(subject, trials.larger or trials.small)
    if not known and relation.name in _OF_THE_QUANTITY and not note.startswith("they are"):
        note = "no quantity fits; say which one is meant"
        return Finding(relation.name, claim, relation.statement, UNDECIDED, size, TOLERANCE, len(found), note)

    def fails(spec: Spec) -> bool:
        # A subject of its own: what it remembers is never asked for again.
        one = _measure(replace(subject, known={}, mistakes={}), relation, task_of(spec))
        return isinstance(one, Measured) and one.miss > TOLERANCE

    case = _case(subject.adapter, fails, trials, seconds, subject)
    return Finding(relation.name, claim, relation.statement, FAILS, size, TOLERANCE, len(found), note, case)


def _case(
    adapter: Adapter,
    fails: Callable[[Spec], bool],
    trials: _Trials,
    seconds: float,
    subject: Subject | None = None,
) -> str:
    """The smallest failing task that is found, as text, with its scores where there are any."""
    start = next((spec for spec in sorted(trials.specs, key=lambda s: s.size) if fails(spec)), None)
    if start is None:
        return "no small task fails; the larger one does: 8 - 16 - 3 tanh, 12 examples, 5 queries, 4 steps"
    spec = smallest(start, fails, seconds)
    lines = [spec.text()]
    if subject is not None:
        task = task_of(spec)
        try:
            lines.append(f"scores {scores_of(adapter, task).values.tolist()}")
        except (NotApplicable, WrongScores) as error:
            lines.append(f"scores: {error}")
        lines.append(f"reference {subject.wanted(task).tolist()}")
    return "\n".join(lines)
