"""Commands on problems: check, verify, report, derive, init, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

import pkverify
from pkverify.cli import targets as problem_targets
from pkverify.cli.app import Output, RunFormat, Target, app
from pkverify.cli.output import Bar, check_folder, check_run_output, command_line, emit, progress, rendered
from pkverify.errors import InputError, UntreatableError

if TYPE_CHECKING:
    from pkverify.problem import Problem

Device = Literal["auto", "cpu", "cuda"]


@app.command
def check(
    *targets: Target,
    routes: Annotated[
        str | None, Parameter(help="routes to use, separated by commas: exact, precise, certified, network")
    ] = None,
    digits: Annotated[
        int | None,
        Parameter(
            help="precise route (30 when left out): |error| <= 10^(2-D) max(1, |value|); "
            "certified route (20): radius <= 10^-D max(1, |value|)"
        ),
    ] = None,
    claims: Annotated[str | None, Parameter(help="claim ids, separated by commas; all when left out")] = None,
    device: Annotated[Device, Parameter(help="where the network route computes")] = "auto",
    seed: int = 0,
    format: RunFormat = None,  # noqa: A002
    output: Output = None,
    certificate: Annotated[
        Path | None, Parameter(help="write what pkverify verify needs to check the certified route again")
    ] = None,
) -> int:
    """Verify the theorem on problems: cases (linear, mlp, xent) or problem files."""
    from pkverify.checks.run import check as run_checks

    if not targets:
        raise InputError(
            "nothing to check",
            "a run without a problem never passes",
            "name a case (linear, mlp, xent) or a problem file",
        )
    check_run_output(output, f"pkverify report {' '.join(targets)} -o {output}")
    check_folder(certificate)
    problems = [pair for target in targets for pair in problem_targets.resolve(target)]
    if certificate is not None and len(problems) != 1:
        raise InputError(
            f"--certificate {certificate} with {len(problems)} problems",
            "a certificate is that of one problem",
            "name one problem file",
        )
    run = run_checks(
        problems, digits=digits, routes=split(routes), claims=split(claims), seed=seed, device=device,
        progress=Bar(len(problems) + 1),
    )  # fmt: skip
    emit(rendered(run, format, output), output)
    if certificate is not None:  # after the run is told, which a refusal must not lose
        _write_certificate(problems[0][1], digits, certificate)
    return run.exit_code


def _write_certificate(problem: Problem, digits: int | None, path: Path) -> None:
    """Write a certificate that the verifier was seen to accept.

    Where its bounds are coarser than ours it gets wider balls of a finer run, still within the digits asked for.
    """
    from pkverify.certified.certificate import certificate_text
    from pkverify.certified.enclosure import enclose
    from pkverify.certified.verifier import verify_certificate
    from pkverify.checks.run import CERTIFIED_DIGITS

    progress(f"writing {path}")
    wanted, complaint = CERTIFIED_DIGITS if digits is None else digits, ""
    for more, slack in ((0, 4), (5, 1000), (15, 10**6)):
        text = certificate_text(enclose(problem, wanted + more), slack)
        verdict = verify_certificate(text)
        if verdict.exit_code == 0:
            emit(text.encode() + b"\n", path)
            return
        complaint = verdict.message
    raise UntreatableError(
        f"no certificate is written to {path}", f"the verifier does not accept it: {complaint}",
        "use a shorter horizon, or fewer digits",
    )  # fmt: skip


@app.command
def verify(certificate: Annotated[Path, Parameter(help="a certificate that check --certificate wrote")], /) -> int:
    """Check a certificate again, with a small program that shares nothing with the one that wrote it.

    Exit codes: 0 accepted, 1 rejected, 2 unreadable.
    """
    from pkverify.certified.verifier import main as verify_file

    return verify_file([str(certificate)])


@app.command
def report(
    target: Annotated[
        str,
        Parameter(help="RUN.json (never run again), or what check takes (checked first)", allow_leading_hyphen=True),
    ],
    *,
    output: Annotated[Path, Parameter(name=["-o", "--output"], help=".html, .md, .tex or .pdf")],
) -> int:
    """Make a report of a run: verdicts, hypotheses, derivation, decompositions and figures.

    Of a case or a problem file it is checked first, and its run is kept beside the report, as JSON.
    """
    from pkverify.report.files import report_format, write_report
    from pkverify.report.read import read_record, read_run
    from pkverify.report.records import run_json

    check_folder(output)
    report_format(output)
    if Path(target).suffix == ".json":
        saved = Path(target)
        try:
            text = saved.read_bytes()
        except OSError as error:
            raise InputError(f"{target}: {error.strerror}", "a saved run is read from here", "name a file") from None
    else:
        from pkverify.checks.run import check as run_checks

        saved = output.with_suffix(".json")
        problems = list(problem_targets.resolve(target))
        made = run_checks(problems, progress=Bar(len(problems) + 1))
        text = run_json(made, command_line())
        emit(text, saved)
    live = read_run(text, str(saved))
    progress(f"writing {output}")
    write_report(read_record(text, str(saved)), live, output)
    progress("")
    return live.exit_code


@app.command
def derive(
    target: Target,
    *,
    format: Annotated[Literal["text", "latex"], Parameter(help="how to print it")] = "text",  # noqa: A002
    output: Output = None,
) -> int:
    """Print the derivation of the decomposition, step by step, with closed forms where there are any."""
    derive_problem = pkverify.derive
    parts: list[str] = []
    for name, problem in problem_targets.resolve(target):
        progress(f"deriving {name}")
        derivation = derive_problem(problem)
        parts.append(derivation.latex() if format == "latex" else f"{name}\n{'=' * len(name)}\n{derivation}\n")
    emit("\n".join(parts).encode(), output)
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
        emit(TEMPLATE.encode(), None)
        return 0
    if path.exists():
        raise InputError(f"{path} exists", "it would be overwritten", "name another file, or remove it first")
    emit(TEMPLATE.encode(), path)
    print(f"wrote {path}; next: pkverify check {path}", file=sys.stderr)
    return 0


# What is not needed until it is asked for: the package, and what for.
_OPTIONAL = {
    "gmpy2": "mpmath's integers, sooner: extra fast",
    "typst": "reports as PDF: extra pdf",
    "hypothesis": "the testing kit: extra test",
    "captum": "conform captum: extra conform",
    "dattri": "conform dattri: extra conform",
    "pandas": "decompositions as data frames",
}


@app.command
def doctor() -> int:
    """Print versions, devices, and what is installed and what is missing."""
    from importlib import metadata

    from pkverify.formal import coq_version, proof_state
    from pkverify.network.device import resolve_device
    from pkverify.report.records import environment

    lines = [f"{name:14} {version}" for name, version in environment().items()]
    for name, purpose in _OPTIONAL.items():
        try:
            lines.append(f"{name:14} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name:14} not installed ({purpose})")
    coq = coq_version() or "not installed (pkverify proofs)"
    lines.append(f"{'coq':14} {coq}; the formal proof is {proof_state()}")
    lines.append(f"{'device':14} {resolve_device('auto')}")
    emit("".join(f"{line}\n" for line in lines).encode(), None)
    return 0


def split(text: str | None) -> list[str] | None:
    """The parts of a list that is separated by commas."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
