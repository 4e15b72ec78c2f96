"""A run for the terminal: first the verdict, then the claims, then who contributed what to each prediction."""

from __future__ import annotations

from decimal import Decimal, localcontext
from io import StringIO
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pkverify.decomposition import BallNumber, Decomposition
from pkverify.evidence import THEOREM, Evidence, ProblemRun, Run, Verdict

_COLOURS = {
    Verdict.PROVED: "green",
    Verdict.CERTIFIED: "green",
    Verdict.SUPPORTED: "cyan",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.REFUTED: "bold red",
}
_MOST_TELLING = ("certified", "precise", "exact", "network")  # of these the first that a run has is shown
_SHOWN_DIGITS = 18
_SHOWN_ROWS = 12
_SHOWN_TABLES = 2


def run_text(run: Run, *, colour: bool = False, width: int = 120) -> str:
    """The run as text.

    Args:
        run: The run.
        colour: Whether to use terminal colours.
        width: Columns.
    """
    buffer = StringIO()
    console = Console(
        file=buffer, force_terminal=colour, no_color=not colour, width=width, highlight=False, emoji=False
    )
    _banner(console, run)
    for problem in run.problems:
        _problem(console, problem)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _banner(console: Console, run: Run) -> None:
    verdict = run.verdict
    counts: dict[str, int] = {}
    for problem in run.problems:
        for found in problem.verdicts.values():
            counts[found.value] = counts.get(found.value, 0) + 1
    console.print(f"verdict: {verdict.value}", style=_COLOURS.get(verdict, ""))
    total = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
    problems = sum(problem.name != THEOREM for problem in run.problems)
    console.print(f"{problems} problem{'s' if problems != 1 else ''}; claims: {total or 'none'}")
    if run.interrupted:
        console.print("interrupted: what follows was finished before the interruption", style="yellow")
    if run.holes:
        console.print(f"holes (claims without a check): {', '.join(run.holes)}", style="yellow")


def _problem(console: Console, problem: ProblemRun) -> None:
    console.print()
    horizon = "" if problem.horizon is None else f"   (horizon {problem.horizon})"
    console.rule(escape(problem.name + horizon), align="left")
    for routes, what in ((problem.refused, "refused"), (problem.skipped, "skipped")):
        for route, reason in routes.items():
            style = "yellow" if what == "refused" else "dim"
            console.print(f"route {route} {what}: {reason}", style=style, soft_wrap=True, markup=False)
    _claims(console, [item for item in problem.evidence if item.verdict.judged])
    outside = [item for item in problem.evidence if not item.verdict.judged]
    for verdict, items in groupby(sorted(outside, key=lambda item: item.verdict.value), key=lambda item: item.verdict):
        for message, same in groupby(items, key=lambda item: item.message):
            line = f"{verdict.value}: {', '.join(i.claim for i in same)} ({message})"
            console.print(line, style="dim", soft_wrap=True, markup=False)
    if problem.name != THEOREM:
        _decompositions(console, problem.decompositions)


def _claims(console: Console, items: list[Evidence]) -> None:
    if not items:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("claim", "verdict", "residual", "tolerance", "how", ""):
        table.add_column(name, overflow="fold")
    for item in items:
        how = f"{item.route} ({item.method})" if item.route and item.method != item.route else item.method
        colour = _COLOURS.get(item.verdict, "")
        verdict = f"[{colour}]{item.verdict.value}[/]" if colour else item.verdict.value
        table.add_row(item.claim, verdict, item.residual or "", item.tolerance or "", how, escape(_remark(item)))
    console.print(table)


def _remark(item: Evidence) -> str:
    """What stands behind a verdict: hypotheses that were assumed and not checked, the message, the witness."""
    assumed = [h.id for h in item.hypotheses if h.verdict is Verdict.NOT_CHECKABLE]
    parts = [f"under {', '.join(assumed)}"] if assumed else []
    parts += [item.message] if item.message else []
    parts += [f"witness: {item.witness}"] if item.witness else []
    return "; ".join(parts)


def _decompositions(console: Console, items: tuple[Decomposition, ...]) -> None:
    """The contributions at the first queries, their sum and the residual below them."""
    route = min((item.route for item in items), key=_MOST_TELLING.index, default="")
    best = [item for item in items if item.route == route]
    for item in best[:_SHOWN_TABLES]:
        _decomposition(console, item)
    if len(best) > _SHOWN_TABLES:
        console.print(f"... {len(best) - _SHOWN_TABLES} more predictions in --format json", style="dim")


def _decomposition(console: Console, item: Decomposition) -> None:
    query = ", ".join(map(str, item.query))
    console.print()
    console.print(
        f"prediction at x = ({query}), output {item.output}, in its units  [{item.route}, {item.digits} digits]",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=False)
    table.add_column("")
    for name in ("contribution", "path kernel", "weight a_i"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_row("initial output b(x)", _short(item.initial_output), "", "")
    largest = sorted(range(len(item.contributions)), key=lambda i: -abs(Decimal(item.contributions[i])))[:_SHOWN_ROWS]
    for i in sorted(largest):
        kernel, weight = item.path_kernel[i], item.weights[i]
        table.add_row(
            f"example {i + 1}",
            _short(item.contributions[i]),
            _short(kernel) if isinstance(kernel, str) else "(row)",
            _short(weight) if isinstance(weight, str) else "none" if weight is None else "(vector)",
        )
    if len(item.contributions) > _SHOWN_ROWS:
        table.add_row(f"... {len(item.contributions) - _SHOWN_ROWS} smaller ones", "", "", "")
    if item.regularizer_term != "0":
        table.add_row("regularizer", _short(item.regularizer_term), "", "")
    table.add_section()
    with localcontext(prec=item.digits + 10):
        total = sum(map(Decimal, item.contributions), Decimal(item.initial_output) + Decimal(item.regularizer_term))
        table.add_row("sum", _short(str(+total)), "", "")
    table.add_row("final output", _short(item.final_output), "", "")
    residual = item.residual
    with localcontext(prec=3):
        shown = f"{+Decimal(residual)} ± {residual.rad}" if isinstance(residual, BallNumber) else residual
    table.add_row("residual", shown, "", "")
    console.print(table)
    for i, reason in item.weights_absent.items():
        console.print(f"no weight for example {i + 1}: {reason}", style="dim", soft_wrap=True, markup=False)


def _short(number: str) -> str:
    """A number with at most so many digits, rounded as a decimal."""
    with localcontext(prec=_SHOWN_DIGITS):
        return str(+Decimal(number))
