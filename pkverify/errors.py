"""Errors that tell the user what is wrong, why, and how to mend it."""

from __future__ import annotations


class PkverifyError(Exception):
    """A failure with a cause and a remedy: one line for what, one for why, one for the fix.

    Args:
        what: What is wrong, naming the argument, the file and the key.
        why: Why that is a fault.
        fix: What to change.
    """

    exit_code = 70

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why  {self.why}")
        if self.fix:
            lines.append(f"  fix  {self.fix}")
        return "\n".join(lines)


class InputError(PkverifyError):
    """The input is unusable as it stands: a bad file, key, number, expression or argument."""

    exit_code = 2

    def located(self, where: str) -> InputError:
        """The same error with the place (file, section, key) in front of its first line."""
        return InputError(f"{where}: {self.what}", self.why, self.fix)


class UntreatableError(PkverifyError):
    """A sound problem that this route cannot treat; asked for by name, the run ends with exit code 3."""

    exit_code = 3


class FlowError(PkverifyError):
    """The gradient flow could not be followed up to the horizon.

    Args:
        what: One line for what happened.
        hypothesis: The hypothesis that fails (``"H2"``: the flow exists; ``"H0"``: the model is differentiable
            along it), or an empty string when only the budget ran out and nothing is known.
        time: The time reached, in the problem's units.
        why: The cause.
        fix: The remedy.
    """

    exit_code = 3

    def __init__(self, what: str, *, hypothesis: str, time: float, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.hypothesis = hypothesis
        self.time = time
