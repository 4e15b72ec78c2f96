"""Holding an adapter against every relation, and shrinking what fails."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import copysign, inf, isfinite, nan
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from torch import Tensor

from pkverify.errors import InputError
from pkverify.testing.conform.adapter import Adapter, NotApplicable, Scores, WrongScores, quantity_of, scores_of
from pkverify.testing.conform.larger import SIZES, larger_task
from pkverify.testing.conform.reference import OTHER, QUANTITIES, change, reference
from pkverify.testing.conform.relations import RELATIONS, TOLERANCE, Measured, Relation, Subject
from pkverify.testing.conform.report import FAILS, HOLDS, NOT_APPLICABLE, UNDECIDED, ConformanceReport, Finding, Run
from pkverify.testing.conform.shrink import smallest
from pkverify.testing.conform.spec import Spec, specs, task_of
from pkverify.testing.conform.task import CONVOLUTION, FEATURES, LOSSES, MEAN, MINIBATCHES, MOMENTUM, Task

FITS = 1e-6
"""How near scores must be to a quantity, relatively, to be called that without being told."""

_RUNS = "runs"
# Relations that compare with the quantity, and say nothing where it is not known.
_OF_THE_QUANTITY = ("agreement", "completeness", "scale of the loss", "scale of the outputs")


KINDS = (
    (MINIBATCHES,),
    (MINIBATCHES, MEAN),
    (MOMENTUM,),
    (MINIBATCHES, MEAN, MOMENTUM),
    (CONVOLUTION,),
)
"""Runs beyond plain descent; of each kind there are a larger task and small ones."""

# The larger tasks of these kinds are for the relations that are about the runs themselves.
_OF_THE_RUN = ("agreement", "completeness", "batches and momentum")


@dataclass
class _Trials:
    """The tasks of a check."""

    larger: list[Task]
    runs: list[Task]
    small: list[Task]
    specs: list[Spec]
    known: dict[Task, Scores]

    @property
    def all(self) -> list[Task]:
        return [*self.larger, *self.small]

    def of(self, relation: Relation) -> list[Task]:
        return [*self.larger, *self.runs, *self.small] if relation.name in _OF_THE_RUN else self.all


def check(
    adapter: Adapter | Callable[[Task], Any],
    *,
    quantity: str | None = None,
    relations: Collection[str] | None = None,
    features: Collection[str] = FEATURES,
    examples: int = 10,
    seconds: float = 10.0,
) -> ConformanceReport:
    """Does somebody's attribution code compute what it says, and does that add up?

    The scores are compared with a reference, certified in balls where the network is a perceptron, and with themselves
    under changes of the task that right scores follow. Each relation that fails is shown on the smallest task that was
    found for it.

    Args:
        adapter: An adapter, or a function from a ``Task`` to scores ``[q, m]``.
        quantity: What the scores are, a name in ``QUANTITIES``; the adapter's own word when left out, and found out
            where it has none.
        relations: Names of the relations to check; all of them when left out.
        features: What runs may have beyond plain descent of a perceptron, of ``FEATURES``; those that the adapter does
            not claim to handle are left out anyway.
        examples: How many small plain tasks are drawn, always the same ones; a fifth as many for each further kind of
            run; and larger ones besides.
        seconds: How long to look for a smaller failing task, for each relation that fails.

    Returns:
        The report.

    Raises:
        InputError: For a quantity, a relation or a feature that there is not.

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
    adapter = replace(adapter, quantity=chosen)
    strange = sorted({*features} - {*FEATURES})
    if strange:
        raise InputError(f"features: there is no {strange[0]!r}", "", f"choose from {', '.join(FEATURES)}")
    unknown = sorted({*(relations or ())} - {relation.name for relation in RELATIONS})
    if unknown:
        names = ", ".join(relation.name for relation in RELATIONS)
        raise InputError(f"relations: there is no {unknown[0]!r}", "", f"choose from {names}")
    wanted = [relation for relation in RELATIONS if relations is None or relation.name in relations]
    trials = _trials(adapter, examples, [kind for kind in KINDS if {*kind} <= {*features}])
    runs = _runs(adapter, trials, seconds)
    if not trials.all:
        return _nothing(adapter, chosen, runs)
    if chosen == OTHER.name:
        subject = Subject(adapter, OTHER, known=trials.known)
        findings = (runs, *(_finding(subject, relation, trials, seconds, known=False) for relation in wanted))
        return _report(subject, trials, findings, nan, OTHER.name, features)
    scored = [(task, trials.known[task].values) for task in trials.all]
    some = scored[len(trials.larger) :][:6] or scored
    if chosen is None:
        name, params = _nearest(adapter, some)
        nearest = name if params == ("*",) else f"{name} of the last layer"
    else:
        name, params, nearest = chosen, adapter.params, chosen
    fit, scale = _fit(adapter, scored, name, params)
    if chosen is not None and fit > FITS:
        other, of = _nearest(adapter, some)
        nearest = other if of == adapter.params else f"{other} of {'all' if of == ('*',) else 'the last'} layers"
    # A scale means something only where the scores fit; else it would make the error look smaller than it is.
    if fit > FITS:
        scale = copysign(1.0, scale) if isfinite(scale) else 1.0
    cannot = adapter.cannot if chosen else {**(adapter.cannot or {}), **_all_but_plain(adapter)}
    held = replace(adapter, quantity=name, params=params, cannot=cannot)
    subject = Subject(held, QUANTITIES[name], 1.0 if QUANTITIES[name].adds_up else scale, trials.known)
    known = chosen is not None or fit <= FITS
    findings = (runs, *(_finding(subject, relation, trials, seconds, known=known) for relation in wanted))
    fit = _error(subject, trials.larger or trials.runs or trials.small)
    return _report(subject, trials, findings, fit, nearest, features, declared=chosen is not None)


def _all_but_plain(adapter: Adapter) -> dict[str, str]:
    """What was not tried before the quantity was found out is not tried afterwards."""
    reasons = {name: adapter.refuses((name,)).partition(": ")[2] for name in FEATURES}
    return {name: reason for name, reason in reasons.items() if reason}


def _report(
    subject: Subject,
    trials: _Trials,
    findings: tuple[Finding, ...],
    fit: float,
    nearest: str,
    features: Collection[str],
    *,
    declared: bool = True,
) -> ConformanceReport:
    adapter, quantity = subject.adapter, subject.quantity
    agreed = [finding for finding in findings if finding.relation == "agreement"]
    told = _run_table(subject, trials, features) if agreed and quantity is not OTHER else ()
    return ConformanceReport(
        adapter.name,
        adapter.version,
        quantity.name,
        adapter.formula or quantity.formula,
        declared,
        fit,
        nearest,
        subject.scale,
        adapter.params,
        _completeness(subject, trials.larger),
        findings,
        adapter.note,
        _held_against(subject, trials) if agreed else "",
        told,
    )


def _held_against(subject: Subject, trials: _Trials) -> str:
    """What the scores were compared with."""
    if subject.quantity is OTHER:
        return ""
    tasks = [*trials.larger, *trials.runs, *trials.small]
    radii = [radius for radius in map(subject.radius, tasks) if radius is not None]
    if not radii:
        return "float64, one gradient at a time"
    text = f"certified balls of radius {max(radii):.0e} or less on {len(radii)} of {len(tasks)} tasks"
    return text if len(radii) == len(tasks) else f"{text}; float64, one gradient at a time, on the others"


def _run_table(subject: Subject, trials: _Trials, features: Collection[str]) -> tuple[Run, ...]:
    """The larger tasks one by one, and the kinds of runs that are none of the adapter's business."""
    found: list[Run] = []
    for task in (*trials.larger, *trials.runs):
        radius = subject.radius(task)
        found.append(
            Run(
                _name_of(task.features),
                task.kind,
                HOLDS if _agrees(subject, task) else FAILS,
                _error(subject, [task]),
                _completeness(subject, [task]),
                "float64" if radius is None else f"certified, radius {radius:.0e}",
            )
        )
    tried = {run.name for run in found}
    for kind in (kind for kind in KINDS if {*kind} <= {*features} and _name_of(kind) not in tried):
        reason = subject.adapter.refuses(kind)
        if reason:
            found.append(Run(_name_of(kind), "", NOT_APPLICABLE, nan, None, "", reason))
    return tuple(found)


def _agrees(subject: Subject, task: Task) -> bool:
    return (
        subject.miss(subject.scores(task), subject.wanted(task), task, radius=subject.radius(task) or 0.0) <= TOLERANCE
    )


def _name_of(features: Collection[str]) -> str:
    return ", ".join(features) or "all examples"


def _trials(adapter: Adapter, examples: int, kinds: list[tuple[str, ...]]) -> _Trials:
    """Plain tasks, and those of the kinds that the adapter claims to handle."""
    losses = [kind for kind in LOSSES if kind in adapter.losses]
    handled = [kind for kind in kinds if not adapter.refuses(kind)]
    drawn = _drawn(adapter, examples, ())
    for kind in handled:
        # The first draw is all zeros, and of that the plain ones have enough.
        drawn += _drawn(adapter, max(1, examples // 5) + 1, kind)[1:]
    kept = list(dict.fromkeys(drawn))
    runs = [larger_task(losses[k % len(losses)], features=kind) for k, kind in enumerate(handled)]
    return _Trials([larger_task(loss) for loss in losses], runs, [task_of(s) for s in kept], kept, {})


def _drawn(adapter: Adapter, examples: int, features: tuple[str, ...]) -> list[Spec]:
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
    @given(specs(kinds=adapter.losses, features=features))
    def collect(spec: Spec) -> None:
        drawn.append(spec)

    collect()
    return drawn


def _runs(adapter: Adapter, trials: _Trials, seconds: float) -> Finding:
    """Whether the adapter returns numbers of the right shape; tasks on which it does not are left out from here on."""
    statement = "a task gives numbers [q, m]"
    errors: list[str] = []
    reasons: list[str] = []
    good: list[list[Task]] = [[], [], []]
    for which, tasks in enumerate((trials.larger, trials.runs, trials.small)):
        for task in tasks:
            try:
                found = trials.known[task] = scores_of(adapter, task)
                if not bool(torch.isfinite(found.values).all()):
                    raise WrongScores("some scores are no finite numbers")
                good[which].append(task)
            except NotApplicable as reason:
                reasons.append(str(reason))
            except WrongScores as error:
                errors.append(str(error))
    trials.larger, trials.runs, trials.small = good
    count = sum(map(len, good)) + len(errors)
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
    formula = adapter.formula or quantity_of(name).formula
    return ConformanceReport(
        adapter.name, adapter.version, name, formula, chosen is not None, nan, name, nan, adapter.params, None, (runs,),
        adapter.note,
    )  # fmt: skip


def _nearest(adapter: Adapter, scored: list[tuple[Task, Tensor]]) -> tuple[str, tuple[str, ...]]:
    """The quantity and the parameters that the scores are nearest to."""
    fits = {
        (name, params): _fit(adapter, scored, name, params)[0]
        for params in dict.fromkeys((adapter.params, ("*",), ("{last}.*",)))
        for name in QUANTITIES
    }
    return min(fits, key=lambda key: fits[key])


def _fit(
    adapter: Adapter, scored: list[tuple[Task, Tensor]], name: str, params: tuple[str, ...]
) -> tuple[float, float]:
    """The misfit after the best common scale, and that scale."""
    globs = replace(adapter, params=params)
    found = torch.cat([scores.flatten() for _, scores in scored])
    wanted = torch.cat([reference(task, QUANTITIES[name], globs.params_of(task)).flatten() for task, _ in scored])
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
    if relation.name in (subject.adapter.cannot or {}):
        reason = (subject.adapter.cannot or {})[relation.name]
        return Finding(relation.name, claim, relation.statement, NOT_APPLICABLE, 0.0, TOLERANCE, 0, reason)
    measured = [_measure(subject, relation, task) for task in trials.of(relation)]
    found = [m for m in measured if isinstance(m, Measured)]
    if not found:
        reason = next((m for m in measured if isinstance(m, str)), "")
        return Finding(relation.name, claim, relation.statement, NOT_APPLICABLE, 0.0, TOLERANCE, 0, reason)
    size = max(m.miss for m in found)
    if size <= TOLERANCE:
        return Finding(relation.name, claim, relation.statement, HOLDS, size, TOLERANCE, len(found))
    note = next((m.note for m in sorted(found, key=lambda m: -m.miss) if m.note and m.miss > TOLERANCE), "")
    if relation.name == "agreement":
        size = _error(subject, [*trials.larger, *trials.runs] or trials.small)
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
        return f"no small task fails; a larger one does: {SIZES}"
    spec = smallest(start, fails, seconds)
    lines = [spec.text()]
    if subject is not None:
        task = task_of(spec)
        try:
            lines.append(f"scores {scores_of(adapter, task).values.tolist()}")
        except (NotApplicable, WrongScores) as error:
            lines.append(f"scores: {error}")
        if subject.quantity is not OTHER:
            lines.append(f"reference {subject.wanted(task).tolist()}")
    return "\n".join(lines)
