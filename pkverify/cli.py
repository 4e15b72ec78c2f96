"""The command line: parse, call, print, exit code. No mathematics."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

import pkverify
from pkverify.errors import InputError, PkverifyError

if TYPE_CHECKING:
    from pkverify.evidence import Run
    from pkverify.problem import Problem

EXIT_BUG, EXIT_INTERRUPTED, EXIT_USAGE = 70, 130, 2
Format = Literal["text", "json", "junit"]

app = App(
    name="pkverify",
    help="Verify the path-kernel decomposition of models trained by gradient descent.\n\n"
    "Exit codes: 0 everything holds, 1 something is refuted, 2 bad input, 3 inconclusive, 70 a bug, 130 interrupted. "
    "-vv shows tracebacks.",
    version=pkverify.__version__,
    help_format="plaintext",
    result_action="return_value",
)
Targets = Annotated[
    tuple[str, ...], Parameter(help="linear, mlp, xent, FILE.toml, - (stdin), or package.module:problem")
]


@app.command
def check(
    *targets: Annotated[
        str,
        Parameter(help="linear, mlp, xent, FILE.toml, - (stdin), or package.module:problem", allow_leading_hyphen=True),
    ],
    routes: Annotated[str | None, Parameter(help="routes to use, separated by commas: exact, precise")] = None,
    digits: Annotated[int, Parameter(help="digits of the precise route: |error| <= 10^(2-D) max(1, |value|)")] = 30,
    claims: Annotated[str | None, Parameter(help="claim ids, separated by commas; all when left out")] = None,
    seed: int = 0,
    format: Annotated[Format | None, Parameter(help="text unless -o names another: .json, .xml")] = None,  # noqa: A002
    output: Annotated[Path | None, Parameter(name=["-o", "--output"], help="write here instead of to stdout")] = None,
) -> int:
    """Verify the theorem on problems: cases (linear, mlp, xent) or problem files."""
    from pkverify.checks.run import check as run_checks

    if not targets:
        raise InputError(
            "nothing to check",
            "a run without a problem never passes",
            "name a case (linear, mlp, xent) or a problem file",
        )
    _check_folder(output)
    problems = [pair for target in targets for pair in _resolve(target)]
    run = run_checks(
        problems, digits=digits, routes=_split(routes), claims=_split(claims), seed=seed, progress=_progress
    )  # fmt: skip
    _emit(_render(run, format, output), output)
    return run.exit_code


@app.command
def derive(
    target: Annotated[
        str,
        Parameter(help="linear, mlp, xent, FILE.toml, - (stdin), or package.module:problem", allow_leading_hyphen=True),
    ],
    *,
    format: Annotated[Literal["text", "latex"], Parameter(help="how to print it")] = "text",  # noqa: A002
    output: Annotated[Path | None, Parameter(name=["-o", "--output"], help="write here instead of to stdout")] = None,
) -> int:
    """Print the derivation of the decomposition, step by step, with closed forms where there are any."""
    derive_problem = pkverify.derive
    parts: list[str] = []
    for name, problem in _resolve(target):
        _progress(f"deriving {name}")
        derivation = derive_problem(problem)
        parts.append(derivation.latex() if format == "latex" else f"{name}\n{'=' * len(name)}\n{derivation}\n")
    _emit("\n".join(parts).encode(), output)
    return 0


@app.command
def paper(
    *claims: Annotated[str, Parameter(help="claim ids, such as T1a or P9; all when left out")],
    format: Annotated[Format | None, Parameter(help="text unless -o names another: .json, .xml")] = None,  # noqa: A002
    output: Annotated[Path | None, Parameter(name=["-o", "--output"], help="write here instead of to stdout")] = None,
    search: Annotated[
        str | None, Parameter(help="look for a counterexample to the claims in this problem", allow_leading_hyphen=True)
    ] = None,
    digits: Annotated[int, Parameter(help="digits of a counterexample that is searched for")] = 30,
) -> int:
    """Audit the paper: every claim as printed, its verdict and its counterexample.

    Exit code 0 when every claim comes out as the registry says (a false one is expected to be refuted), 1 when one
    comes out otherwise, 3 for holes and undecided claims. With --search: 1 when a counterexample is found, else 0.
    """
    if search is not None:
        from pkverify.checks.search import search_run
        from pkverify.report.search import search_text

        found = search_run(_resolve(search), claims, digits=digits, progress=_progress)
        _emit(_render(found.run(), format, output, lambda _: search_text(found)), output)
        return found.exit_code
    from pkverify.checks.paper.table import audit_paper
    from pkverify.report.paper import paper_text

    audited = audit_paper(claims or None, progress=_progress)
    _emit(_render(audited.run(), format, output, lambda colour: paper_text(audited, colour=colour)), output)
    return audited.exit_code


@app.command
def claims(identifier: Annotated[str | None, Parameter(help="a claim id, such as T1 or P9")] = None, /) -> int:
    """List the claims, or explain one: its statement, its hypotheses, where it stands in the paper."""
    from pkverify.claims import CLAIMS, claim

    if identifier is None:
        text = "".join(f"{item.id:5} {item.title}\n" for item in CLAIMS.values())
    else:
        item = claim(identifier)
        from pkverify.report.paper import claim_text

        text = claim_text(item)
    _emit(text.encode(), None)
    return 0


@app.command
def init(
    path: Annotated[Path, Parameter(help="the file to write; - for stdout", allow_leading_hyphen=True)] = Path(
        "problem.toml"
    ),
    /,
) -> int:
    """Write a commented problem file to start from."""
    from pkverify.problem_file import TEMPLATE

    if str(path) == "-":
        _emit(TEMPLATE.encode(), None)
        return 0
    if path.exists():
        raise InputError(f"{path} exists", "it would be overwritten", "name another file, or remove it first")
    _emit(TEMPLATE.encode(), path)
    print(f"wrote {path}; next: pkverify check {path}", file=sys.stderr)
    return 0


@app.command
def doctor() -> int:
    """Print versions, and what is installed and what is missing."""
    from pkverify.report.records import environment

    _emit("".join(f"{name:14} {version}\n" for name, version in environment().items()).encode(), None)
    return 0


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = [a for a in sys.argv[1:] if a != "-vv"]
    verbose = len(arguments) < len(sys.argv) - 1
    try:
        code = app(arguments, exit_on_error=True, print_error=True)
        sys.stdout.flush()
    except PkverifyError as error:
        _complain(traceback.format_exc() if verbose else f"pkverify: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        _complain("pkverify: interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        code = 0
    except Exception as error:  # noqa: BLE001 - the last resort: whatever arrives here is a bug, and is said to be one
        _complain(
            traceback.format_exc()
            if verbose
            else f"pkverify: a bug in pkverify: {type(error).__name__}: {error}\n"
            "  fix  run again with -vv and report the traceback with the problem file"
        )
        code = EXIT_BUG
    sys.exit(code)


def _complain(text: str) -> None:
    _progress("")  # a line of progress may stand where the message is to go
    print(text.rstrip("\n"), file=sys.stderr)


def _leave_stdout() -> None:
    """After its reader left, as in `pkverify claims | head`: point stdout elsewhere, so that no flush complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _resolve(target: str) -> Iterable[tuple[str, Problem]]:
    """The problems that a target names."""
    from pkverify.cases import CASES, case_problems
    from pkverify.problem_file import read_problem

    if target in CASES:
        return [(f"{target}/{name}", problem) for name, problem in case_problems(target)]
    module, colon, attribute = target.partition(":")
    if colon and not Path(target).exists():
        return [(target, _imported(target, module, attribute))]
    if target.isalnum() and not Path(target).exists():
        nearest = difflib.get_close_matches(target.lower(), CASES, n=1)
        raise InputError(
            f"{target}: no such case, and no such file",
            f"the cases are {', '.join(CASES)}",
            f"did you mean {nearest[0]}?" if nearest else "name a case, or a problem file",
        )
    # A file's name may hold what no report can: control characters, or bytes that are no text.
    name = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in target)
    return [("stdin" if target == "-" else name, read_problem(target))]


def _imported(target: str, module: str, attribute: str) -> Problem:
    """A problem from the user's own Python code."""
    from pkverify.problem import Problem

    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
        problem = found() if callable(found) else found
    except PkverifyError:
        raise
    except Exception as error:
        raise InputError(
            f"{target}: {type(error).__name__}: {error}",
            "package.module:name is imported from Python's path, and called if it is a function",
            "check the module and the name",
        ) from error
    finally:
        sys.path.pop(0)
    if not isinstance(problem, Problem):
        raise InputError(
            f"{target} is a {type(problem).__name__}",
            "a pkverify Problem is needed",
            "name a Problem, or a function that returns one",
        )
    return problem


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="" if not line else "\r", file=sys.stderr, flush=True)


def _render(run: Run, form: Format | None, output: Path | None, text: Callable[[bool], str] | None = None) -> bytes:
    """The run in the format asked for; ``text`` says it, in colour or not, where a run has words of its own."""
    form = form or {".json": "json", ".xml": "junit"}.get(output.suffix if output else "", "text")  # type: ignore[assignment]
    if form == "json":
        from pkverify.report.records import run_json

        return run_json(run)
    if form == "junit":
        from pkverify.report.junit import run_junit

        return run_junit(run)
    from pkverify.report.text import run_text

    colour = output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return (run_text(run, colour=colour) if text is None else text(colour)).encode()


def _emit(content: bytes, path: Path | None) -> None:
    """Write to stdout, or to a file in one piece: a file is there whole, or as it was before."""
    _progress("")
    if path is None:
        try:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        except BrokenPipeError:
            _leave_stdout()  # and let the verdict be the exit code
        return
    _check_folder(path)
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


def _check_folder(path: Path | None) -> None:
    """Refuse a file that cannot be written; before a long run, and not after it."""
    if path is not None and not path.parent.is_dir():
        raise InputError(f"cannot write {path}", f"there is no folder {path.parent}", "make it, or name another file")
