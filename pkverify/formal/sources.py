"""Where the sources of the formal development are, what they say, and whether they are the ones that were checked."""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pkverify.errors import InputError
from pkverify.formal.record import FormalTheorem

RECORD = "checked.sha256"
PROJECT = "_CoqProject"
ASSUMPTIONS = "Assumptions.v"

# What takes something on trust, or tells Coq to: none of it may stand outside of a comment.
FORBIDDEN = (
    "Admitted", "admit", "give_up", "Axiom", "Axioms", "Parameter", "Parameters", "Conjecture", "Guarded",
    "bypass_check", "Unset", "Declare", "Primitive", "Register",
)  # fmt: skip

_SENTENCE = re.compile(r"^(?:Theorem|Lemma|Corollary)\s+(\w+)\b.*?(?=^Proof\.)", re.DOTALL | re.MULTILINE)


class Standing(enum.Enum):
    """What may be said of the proofs on this machine."""

    CHECKED_NOW = "re-checked now"
    RECORDED = "shipped with a recorded hash, not re-checked here"
    DIFFERENT = "sources differ from the recorded hash"


@dataclass(frozen=True)
class ProofState:
    """How the sources stand to the ones whose check was recorded.

    Attributes:
        standing: In one word.
        files: Paths of the sources that differ, are missing or are new, relative to the folder of the proofs.
    """

    standing: Standing
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.standing.value}: {', '.join(self.files)}" if self.files else self.standing.value


def proofs_folder() -> Path:
    """The folder of the proofs: beside the package in a source checkout, within it in an installation.

    Raises:
        InputError: If there is none.

    Example:
        >>> (proofs_folder() / "Theorem1.v").is_file()
        True
    """
    package = Path(__file__).parent.parent
    for folder in (package / "proofs", package.parent / "proofs"):
        if (folder / PROJECT).is_file():
            return folder
    raise InputError(
        f"the folder of the proofs is neither {package / 'proofs'} nor {package.parent / 'proofs'}",
        "the formal development is text that ships with pkverify, and it is not there",
        "install pkverify again, or work in a source checkout",
    )


def theory_files(folder: Path) -> tuple[str, ...]:
    """The files that ``_CoqProject`` lists, in an order in which they compile."""
    return tuple(line for line in _text(folder / PROJECT).splitlines() if line.endswith(".v"))


def generated_files(folder: Path) -> tuple[str, ...]:
    """The generated files, which rest on more assumptions and on which nothing rests."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in (folder / "generated").glob("*.v")))


def recorded_files(folder: Path) -> tuple[str, ...]:
    """All that a check depends on: what the record lists."""
    lists = ("assumptions.txt", "generated/assumptions.txt")
    return (PROJECT, *theory_files(folder), ASSUMPTIONS, *generated_files(folder), *lists)


def formal_statement(theorem: FormalTheorem, folder: Path | None = None) -> str:
    """The statement of a theorem, verbatim from its source, up to its proof.

    Args:
        theorem: One of the table.
        folder: The folder of the proofs; found when left out.

    Raises:
        InputError: If the source does not state it.

    Example:
        >>> from pkverify.formal.theorems import formal_theorem
        >>> print(formal_statement(formal_theorem("D7_symmetric")))
        Theorem D7_symmetric (P : problem) (v : Vec (dim P)) (x x' : Input P) :
          tangent_kernel P v x x' = tangent_kernel P v x' x.
    """
    path = (folder or proofs_folder()) / theorem.file
    for match in _SENTENCE.finditer(_text(path)):
        if match[1] == theorem.name:
            return match[0].rstrip()
    raise InputError(
        f"{path}: no theorem {theorem.name}",
        "the table of formal theorems names it there",
        "restore the sources of the proofs",
    )


def without_comments(source: str) -> str:
    """A Coq source with its comments blanked out, nested ones too; every line keeps its number.

    Example:
        >>> without_comments("Qed. (* an (* old *) Axiom *) Check x.").split()
        ['Qed.', 'Check', 'x.']
    """
    depth, out = 0, list[str]()
    for token in re.split(r"(\(\*|\*\)|\n)", source):
        if token == "(*":
            depth += 1
        elif token == "*)" and depth:
            depth -= 1
        elif token == "\n" or not depth:
            out.append(token)
    return "".join(out)


def forbidden_words(source: str) -> tuple[tuple[int, str], ...]:
    r"""What a Coq source takes on trust: line and word, comments left out.

    Example:
        >>> forbidden_words("Lemma a : True. (* no Axiom *)\nAdmitted.")
        ((2, 'Admitted'),)
    """
    pattern = re.compile(rf"\b(?:{'|'.join(FORBIDDEN)})\b")
    lines = without_comments(source).split("\n")
    return tuple((number, match[0]) for number, line in enumerate(lines, 1) for match in pattern.finditer(line))


def proof_state(folder: Path | None = None) -> ProofState:
    """Whether the sources are those whose check was recorded; nothing is compiled.

    Args:
        folder: The folder of the proofs; found when left out.

    Returns:
        ``RECORDED`` or ``DIFFERENT``: what was re-checked now is known to :func:`build_proofs` alone.
    """
    folder = folder or proofs_folder()
    record = folder / RECORD
    if not record.is_file():
        return ProofState(Standing.DIFFERENT, (RECORD,))
    recorded = {name: digest for digest, name in (line.split() for line in _text(record).splitlines())}
    names = sorted({*recorded, *recorded_files(folder)})
    different = tuple(name for name in names if recorded.get(name) != digest_of(folder / name))
    return ProofState(Standing.DIFFERENT if different else Standing.RECORDED, different)


def digest_of(path: Path) -> str | None:
    """The SHA-256 of a file, or None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
