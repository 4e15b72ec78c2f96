"""A report and its figures on disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pkverify.errors import InputError
from pkverify.evidence import ProblemRun, Run
from pkverify.figures import report_figures
from pkverify.report.document import ReportFigure
from pkverify.report.records import RunRecord
from pkverify.report.render import FORMATS, Format, figure_files, render

ClaimOf = Callable[[ProblemRun], str]


def write_report(run: Run | RunRecord, live: Run, path: Path, *, command: str = "") -> None:
    """Write a report, and beside it the figures that its format does not hold.

    Args:
        run: What the report says: a run, or the record of a saved one, which keeps its own environment.
        live: The same as a run, to draw from.
        path: The report; its ending names the format.
        command: The command that made the run, if it is not saved with it.

    Raises:
        InputError: For a format that there is not, or a folder that cannot be written to.
    """
    form = report_format(path)
    is_audit = any(item.form for problem in live.problems for item in problem.evidence)
    figures = drawn_figures(live.problems, png=form == "tex", by_claim=is_audit)
    folder = f"{path.stem}-figures"
    files = figure_files(form, figures)
    if files and form == "tex" and not all(c.isascii() and (c.isalnum() or c in " ._-") for c in folder):
        raise InputError(
            f"{path}: LaTeX may not find figures in {folder}", "its file names are letters, digits, . _ and -",
            "choose another name",
        )  # fmt: skip
    content = render(run, form, figures=figures, folder=folder if files else "", command=command)
    write_whole(path, content)
    for name, picture in files.items():
        (path.parent / folder).mkdir(exist_ok=True)
        write_whole(path.parent / folder / name, picture)


def report_format(path: Path) -> Format:
    """The format that the ending of a file names.

    Raises:
        InputError: For another ending.
    """
    form = path.suffix.removeprefix(".")
    for known in FORMATS:
        if form == known:
            return known
    raise InputError(f"{path}: no format of a report", f"there are .{', .'.join(FORMATS)}", "name such a file")


def drawn_figures(problems: Sequence[ProblemRun], *, png: bool = False, by_claim: bool = False) -> list[ReportFigure]:
    """All figures of a run, each named after the place of its problem.

    Args:
        problems: What was found, problem by problem.
        png: Whether to draw them as PNG, too.
        by_claim: Whether they belong to claims, as in the audit of the paper, and not to problems.
    """
    found: list[ReportFigure] = []
    for number, problem in enumerate(problems, start=1):
        for figure in report_figures(problem, png=png):
            claim = ""
            if by_claim and problem.evidence:
                claim = "D6a" if figure.name == "width" else problem.evidence[0].claim
            found.append(
                ReportFigure(
                    f"p{number}-{figure.name}", figure.caption, figure.alt, figure.svg, figure.png,
                    problem="" if claim else problem.name, claim=claim,
                )
            )  # fmt: skip
    return found


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one piece: it is there whole, or as it was before.

    Raises:
        InputError: If it cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}", f"there is no folder {path.parent}", "make it, or name another file")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a device or a pipe is not to be replaced
        else:
            _replace(path.resolve(), content)
    except OSError as error:
        raise InputError(
            f"cannot write {path}", error.strerror or str(error), "name a file in a folder that can be written to"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.close()
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
