"""The application that the commands register with, and the parameters that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

import pkverify

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

_TARGET_HELP = "linear, mlp, xent, FILE.toml, - (stdin), or package.module:problem"
Target = Annotated[str, Parameter(help=_TARGET_HELP, allow_leading_hyphen=True)]
Output = Annotated[Path | None, Parameter(name=["-o", "--output"], help="write here instead of to stdout")]
RunFormat = Annotated[Format | None, Parameter(help="text unless -o names another: .json, .xml")]
