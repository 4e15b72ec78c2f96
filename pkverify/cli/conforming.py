"""The command on other people's attributions: conform."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from pkverify.cli.app import Output, app
from pkverify.cli.output import check_folder, emit, progress


@app.command
def conform(
    adapter: Annotated[
        str,
        Parameter(
            help="captum, dattri, explaind, neural-tangents, trak, torch.func, pkverify, or package.module:function"
        ),
    ],
    /,
    *,
    quantity: Annotated[str | None, Parameter(help="which quantity the scores are; found out when left out")] = None,
    examples: Annotated[int, Parameter(help="tasks tried for each relation")] = 10,
    format: Annotated[Literal["text", "json"], Parameter(help="how to print it")] = "text",  # noqa: A002
    output: Output = None,
) -> int:
    """Does somebody else's attribution add up? Its scores are held against others and against what must not matter.

    Exit codes: 0 it conforms, 1 it does not, 2 not installed or bad input, 3 undecided.
    """
    from pkverify.testing.conform import peers

    check_folder(output)
    progress(f"trying {adapter}")
    reports = peers.conform(adapter, quantity=quantity, examples=examples)
    text = peers.as_json(reports) if format == "json" else peers.as_text(reports)
    emit(f"{text.rstrip()}\n".encode(), output)
    return peers.exit_code(reports)
