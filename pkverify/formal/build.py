"""Building the proofs: Coq compiles every file afresh, and what they rest on is held against the recorded lists."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pkverify.errors import PkverifyError, UntreatableError
from pkverify.formal.sources import (
    ASSUMPTIONS,
    Standing,
    forbidden_words,
    generated_files,
    proofs_folder,
    recorded_files,
    theory_files,
)

COQC = "coqc"
_SECONDS = 900
_MOST_OUTPUT = 1500

Progress = Callable[[str, int, int], None]


class ProofError(PkverifyError):
    """The proofs do not stand as they should: one does not compile, or something is taken on trust."""

    exit_code = 1


@dataclass(frozen=True)
class ProofBuild:
    """What a build found; there is a record only if all of it stands.

    Attributes:
        files: The files that were compiled, in order.
        assumptions: What the theorems rest on, sorted.
        generated_assumptions: What the generated files rest on; empty where they were left out.
        coq: The version of Coq.
        seconds: How long it took.
    """

    files: tuple[str, ...]
    assumptions: tuple[str, ...]
    generated_assumptions: tuple[str, ...]
    coq: str
    seconds: float

    @property
    def standing(self) -> Standing:
        """What this build allows to be said."""
        return Standing.CHECKED_NOW


def coq_version() -> str | None:
    """The version of the Coq that is at hand, or None without one."""
    if shutil.which(COQC) is None:
        return None
    run = _run_coq(["--version"], Path.cwd(), 60)
    found = re.search(r"version\s+(\S+)", run.stdout)
    return found[1] if run.returncode == 0 and found else None


def build_proofs(
    progress: Progress | None = None, *, folder: Path | None = None, with_generated: bool = True
) -> ProofBuild:
    """Compile every proof afresh in a scratch folder, and hold the assumptions against the recorded lists.

    Args:
        progress: Called before each file with its name, how many are done, and how many there are.
        folder: The folder of the proofs; found when left out. Nothing is written into it.
        with_generated: Whether the generated files are compiled, too; they need Coq-Interval.

    Returns:
        What was compiled and what it rests on. There is no record of a build that failed.

    Raises:
        UntreatableError: Without Coq.
        ProofError: If a file does not compile, takes something on trust, or rests on an assumption that is not in
            the recorded list.
    """
    version = coq_version()
    if version is None:
        raise UntreatableError(
            f"the proofs cannot be checked here: there is no {COQC}",
            "a proof is re-checked by compiling it with Coq",
            "on Debian: apt-get install coq libcoq-coquelicot libcoq-interval",
        )
    folder = folder or proofs_folder()
    begin = time.perf_counter()
    theory, generated = theory_files(folder), generated_files(folder) if with_generated else ()
    _refuse_trust(folder, (*theory, ASSUMPTIONS, *generated))
    order = (*theory, ASSUMPTIONS, *generated)
    printed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="pkverify-proofs-") as name:
        scratch = Path(name)
        for each in recorded_files(folder):
            (scratch / each).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / each, scratch / each)
        for done, each in enumerate(order):
            if progress is not None:
                progress(each, done, len(order))
            printed[each] = compile_file(each, scratch)
    if progress is not None:
        progress("", len(order), len(order))
    found = _compared(printed[ASSUMPTIONS], folder / "assumptions.txt", "the theorems")
    more: tuple[str, ...] = ()
    if generated:
        text = "".join(printed[each] for each in generated)
        more = _compared(text, folder / "generated" / "assumptions.txt", "the generated files")
    return ProofBuild(order, found, more, version, time.perf_counter() - begin)


def compile_file(file: str, folder: Path) -> str:
    """Compile one file of a folder of proofs whose earlier files are compiled, and return what Coq printed.

    Raises:
        ProofError: If it does not compile, with Coq's own words.
    """
    try:
        run = _run_coq(["-Q", ".", "PathKernel", "-w", "-ambiguous-paths", file], folder, _SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"{file} was not compiled after {_SECONDS} seconds", "", "try a faster machine") from error
    if run.returncode:
        words = run.stderr.strip()
        missing = "Cannot find a physical path" in words
        raise ProofError(
            f"{file} does not compile: {words[:_MOST_OUTPUT]}",
            "Coq does not accept it as a proof" if not missing else "a library that it needs is not installed",
            "on Debian: apt-get install coq libcoq-coquelicot libcoq-interval" if missing else "restore the source",
        )
    return run.stdout


def axioms_printed(text: str) -> tuple[str, ...]:
    r"""The names of the axioms in what ``Print Assumptions`` printed, sorted.

    Example:
        >>> axioms_printed("Axioms:\nb : Prop\na\n  : nat ->\n    nat\nClosed under the global context\n")
        ('a', 'b')
    """
    names: set[str] = set()
    for line in text.splitlines():
        if line and not line.startswith((" ", "Axioms:", "Closed under")):
            names.add(line.split(":")[0].split()[0])
    return tuple(sorted(names))


def _run_coq(arguments: list[str], folder: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - Coq is whatever the user has put on the path, and gets nothing but its own files
        [COQC, *arguments], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )


def _compared(printed: str, allowed: Path, what: str) -> tuple[str, ...]:
    names, listed = axioms_printed(printed), tuple(sorted(allowed.read_text(encoding="utf-8").split()))
    extra, gone = sorted({*names} - {*listed}), sorted({*listed} - {*names})
    if extra:
        raise ProofError(
            f"{what} rest on more than {allowed.name} lists: {', '.join(extra)}",
            "what is assumed is not proved",
            f"prove it; or, where it may be assumed, write it into {allowed}",
        )
    if gone:
        raise ProofError(
            f"{what} do not rest on all that {allowed.name} lists: {', '.join(gone)} is not used",
            "the list says what the theorems rest on, no more and no less; or not all of them were printed",
            f"print the assumptions of every theorem; or take what is not used out of {allowed}",
        )
    return names


def _refuse_trust(folder: Path, files: tuple[str, ...]) -> None:
    for file in files:
        for line, word in forbidden_words((folder / file).read_text(encoding="utf-8")):
            raise ProofError(
                f"{file}, line {line}: {word}",
                "a development with it takes something on trust",
                "prove what it stands for",
            )
