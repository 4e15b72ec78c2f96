"""Reports: a run as text, HTML, Markdown, LaTeX, PDF, JSON or JUnit XML; nothing here computes mathematics.

``pkverify.report(run, "run.html")`` writes one. The package carries the name of its verb, and once a part of it is
loaded, ``pkverify.report`` is the package: so it can be called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pkverify.evidence import Run


class _Verb(ModuleType):
    """A package that can be called."""

    def __call__(self, run: Run, path: str | Path) -> None:
        """Write a report of a run, as ``pkverify.api.report`` does."""
        from pkverify.report.files import write_report  # noqa: PLC0415 - it loads every format

        write_report(run, run, Path(path))


sys.modules[__name__].__class__ = _Verb
