"""The command line: parse, call, print, exit code. No mathematics.

``app`` holds the commands, which live in the modules beside this one; each imports what it needs when it runs, so that
``--help`` stays quick.
"""

from __future__ import annotations

import sys
import traceback

from pkverify.cli import checking, conforming, networking, studying
from pkverify.cli.app import app
from pkverify.cli.output import complain, leave_stdout
from pkverify.errors import PkverifyError

EXIT_BUG, EXIT_INTERRUPTED = 70, 130

__all__ = ["app", "checking", "conforming", "main", "networking", "studying"]


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = [a for a in sys.argv[1:] if a != "-vv"]
    verbose = len(arguments) < len(sys.argv) - 1
    try:
        code = app(arguments, exit_on_error=True, print_error=True)
        sys.stdout.flush()
    except PkverifyError as error:
        complain(traceback.format_exc() if verbose else f"pkverify: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        complain("pkverify: interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        leave_stdout()
        code = 0
    except Exception as error:  # noqa: BLE001 - the last resort: whatever arrives here is a bug, and is said to be one
        complain(
            traceback.format_exc()
            if verbose
            else f"pkverify: a bug in pkverify: {type(error).__name__}: {error}\n"
            "  fix  run again with -vv and report the traceback with the problem file"
        )
        code = EXIT_BUG
    sys.exit(code)
