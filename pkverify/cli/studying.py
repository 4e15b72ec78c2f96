"""Commands on the paper itself: paper, claims, proofs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pkverify.cli import targets as problem_targets
from pkverify.cli.app import Output, RunFormat, app
from pkverify.cli.output import Bar, check_folder, check_run_output, command_line, emit, progress, rendered


@app.command
def paper(
    *claims: Annotated[str, Parameter(help="claim ids, such as T1a or P9; all when left out")],
    format: RunFormat = None,  # noqa: A002
    output: Output = None,
    report: Annotated[
        Path | None, Parameter(help="also write an annotated companion to the paper: .html, .md, .tex or .pdf")
    ] = None,
    search: Annotated[
        str | None, Parameter(help="look for a counterexample to the claims in this problem", allow_leading_hyphen=True)
    ] = None,
    digits: Annotated[int, Parameter(help="digits of a counterexample that is searched for")] = 30,
) -> int:
    """Audit the paper: every claim as printed, its verdict and its counterexample.

    Exit code 0 when every claim comes out as the registry says (a false one is expected to be refuted), 1 when one
    comes out otherwise, 3 for holes and undecided claims. With --search: 1 when a counterexample is found, else 0.
    """
    check_run_output(output, f"pkverify paper --report {output}")
    check_folder(report)
    if search is not None:
        from pkverify.checks.search import search_run
        from pkverify.report.search import search_text

        found = search_run(problem_targets.resolve(search), claims, digits=digits, progress=progress)
        emit(rendered(found.run(), format, output, lambda _: search_text(found)), output)
        return found.exit_code
    from pkverify.checks.paper.table import audit_paper
    from pkverify.claims import CLAIMS
    from pkverify.report.paper import paper_text

    audited = audit_paper(claims or None, progress=Bar(len(claims) or len(CLAIMS)))
    if report is not None:
        from pkverify.report.files import write_report

        progress(f"writing {report}")
        write_report(audited.run(), audited.run(), report, command=command_line())
    emit(rendered(audited.run(), format, output, lambda colour: paper_text(audited, colour=colour)), output)
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
    emit(text.encode(), None)
    return 0


@app.command
def proofs() -> int:
    """Build the formal proofs with Coq, and hold what they rest on against the recorded assumptions.

    Exit codes: 0 all of it stands, 1 it does not, 3 Coq is not here: then it says what is known of the sources.
    """
    from pkverify.formal import build_proofs, coq_version, proof_state

    if coq_version() is None:
        emit(f"the formal proof is {proof_state()}; install coq and libcoq-coquelicot to check it\n".encode(), None)
        return 3
    bar: list[Bar] = []

    def show(file: str, _: int, total: int) -> None:
        bar[:] = bar or [Bar(total)]
        bar[0](f"compiling {file}")

    build = build_proofs(show)
    lines = [
        f"{len(build.files)} files {build.standing.value}, with {build.coq}, in {build.seconds:.0f} s",
        "the theorems rest on " + ", ".join(build.assumptions),
    ]
    if build.generated_assumptions:
        lines.append("the generated enclosures rest on " + ", ".join(build.generated_assumptions))
    emit(("\n".join(lines) + "\n").encode(), None)
    return 0
