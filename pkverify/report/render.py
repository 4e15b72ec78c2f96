"""A run in the format asked for. A report computes nothing: a saved run and a live one give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pkverify.errors import InputError
from pkverify.evidence import Run
from pkverify.report.audit import audit_document, is_audit
from pkverify.report.content import run_document
from pkverify.report.document import Document, ReportFigure
from pkverify.report.html import html
from pkverify.report.markdown import markdown
from pkverify.report.pdf import pdf
from pkverify.report.records import RunRecord, run_record
from pkverify.report.tex import tex

Format = Literal["html", "md", "tex", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(
    run: Run | RunRecord,
    form: Format,
    *,
    figures: Sequence[ReportFigure] = (),
    folder: str = "",
    command: str = "",
) -> bytes:
    """The report on a run, or on an audit of the paper.

    Args:
        run: The run; as ``read_record`` read it, it keeps the environment in which it was made.
        form: ``html`` (one file, nothing loaded from outside), ``md``, ``tex`` or ``pdf``.
        figures: Figures, each with the problem or the claim that it belongs to.
        folder: For ``md`` and ``tex``, which hold no drawings: where ``figure_files`` are put, seen from the report.
        command: The command that made the run; a saved run may have its own.

    Returns:
        The file; the same bytes for the same run, figures and environment.

    Raises:
        InputError: For another format, for two figures of one name, or where the ``typst`` package is missing for
            ``pdf``.

    Example:
        >>> page = render(Run(()), "md").decode()
        >>> page.splitlines()[0], "Nothing was looked at" in page
        ('# The theorem, step by step', True)
    """
    if form not in FORMATS:
        raise InputError(f"report format {form!r}", f"there are {', '.join(FORMATS)}", "name one of them")
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise InputError("two figures have one name", "their files would be one", "give each its own")
    document = document_of(run, figures, command)
    if form == "html":
        return html(document)
    if form == "md":
        return markdown(document, folder)
    if form == "tex":
        return tex(document, folder)
    return pdf(document)


def document_of(run: Run | RunRecord, figures: Sequence[ReportFigure] = (), command: str = "") -> Document:
    """The report before it has a format."""
    record = run_record(run, command) if isinstance(run, Run) else run
    return audit_document(record, figures) if is_audit(record) else run_document(record, figures)


def figure_files(form: Format, figures: Sequence[ReportFigure]) -> dict[str, bytes]:
    """The files that a report in this format shows from its folder, by name; none where it holds its figures itself."""
    if form == "md":
        return {f"{figure.name}.svg": figure.svg for figure in figures}
    if form == "tex":
        return {f"{figure.name}.png": figure.png for figure in figures if figure.png}
    return {}
