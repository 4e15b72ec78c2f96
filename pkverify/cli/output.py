"""What a command writes: to stdout or, whole, to a file; progress and complaints to stderr."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pkverify.errors import InputError

if TYPE_CHECKING:
    from pkverify.cli.app import Format
    from pkverify.evidence import Run

_BAR_WIDTH = 20


def progress(line: str) -> None:
    """One line of progress, in place of the one before; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="" if not line else "\r", file=sys.stderr, flush=True)


class Bar:
    """Progress over so many pieces of work: a bar, the stage, and the time left; nothing where nobody watches.

    Args:
        total: How many times it will be called, about.
    """

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._begun = 0
        self._start = time.monotonic()

    def __call__(self, stage: str) -> None:
        """A new piece of work begins."""
        done, self._begun = min(self._begun, self._total), self._begun + 1
        filled = _BAR_WIDTH * done // self._total
        spent = time.monotonic() - self._start
        left = f", about {_clock(spent * (self._total - done) / done)} left" if done else ""
        progress(f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{self._total} {stage}{left}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def complain(text: str) -> None:
    """A message on stderr."""
    progress("")  # a line of progress may stand where the message is to go
    print(text.rstrip("\n"), file=sys.stderr)


PAGES = frozenset({".html", ".pdf", ".tex", ".md"})


def leave_stdout() -> None:
    """After its reader left, as in `pkverify claims | head`: point stdout elsewhere, so that no flush complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line() -> str:
    """The command that is running, as one would type it; what no report can hold is spelt out."""
    return printable(shlex.join(["pkverify", *sys.argv[1:]]))


def printable(text: str) -> str:
    """A text without control characters, or bytes that are no text: they are spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def rendered(run: Run, form: Format | None, output: Path | None, text: Callable[[bool], str] | None = None) -> bytes:
    """The run in the format asked for; ``text`` says it, in colour or not, where a run has words of its own."""
    form = form or {".json": "json", ".xml": "junit"}.get(output.suffix if output else "", "text")  # type: ignore[assignment]
    if form == "json":
        from pkverify.report.records import run_json

        return run_json(run, command_line())
    if form == "junit":
        from pkverify.report.junit import run_junit

        return run_junit(run)
    from pkverify.report.text import run_text

    colour = output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return (run_text(run, colour=colour) if text is None else text(colour)).encode()


def emit(content: bytes, path: Path | None) -> None:
    """Write to stdout, or to a file in one piece: a file is there whole, or as it was before."""
    progress("")
    if path is None:
        try:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        except BrokenPipeError:
            leave_stdout()  # and let the verdict be the exit code
        return
    from pkverify.report.files import write_whole

    write_whole(path, content)


def check_folder(path: Path | None) -> None:
    """Refuse a file that cannot be written; before a long run, and not after it."""
    if path is not None and not path.parent.is_dir():
        raise InputError(f"cannot write {path}", f"there is no folder {path.parent}", "make it, or name another file")


def check_run_output(path: Path | None, instead: str) -> None:
    """Refuse to write a run's text under the name of a page; ``instead`` is the command that writes pages."""
    check_folder(path)
    if path is not None and path.suffix in PAGES:
        raise InputError(
            f"cannot write {path}", f"-o writes text, JSON or JUnit XML, and no {path.suffix} page", instead
        )
