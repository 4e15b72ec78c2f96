"""The command on other people's attributions: conform."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from cyclopts import Parameter

from pkverify.cli.app import Output, app
from pkverify.cli.output import check_folder, emit, progress
from pkverify.errors import InputError


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
    check_folder(output)
    if find_spec("hypothesis") is None:
        raise InputError(
            "conform needs hypothesis, which is not installed",
            "it draws the tasks and shrinks those that fail",
            "pip install -c constraints.txt -e '.[conform]'",
        )
    from pkverify.testing.conform import peers

    progress(f"trying {adapter}")
    reports = peers.conform(adapter, quantity=quantity, examples=examples)
    text = peers.as_json(reports) if format == "json" else peers.as_text(reports)
    emit(f"{text.rstrip()}\n".encode(), output)
    return peers.exit_code(reports)
