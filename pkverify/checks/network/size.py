"""Which problems are of real size, and so for the network route alone, and which claims it looks at. Loads no torch."""

from __future__ import annotations

from pkverify.problem import Problem

REAL_SIZE = 15_000  # parameters times examples
# What the network route looks at; the checks themselves load torch.
NETWORK_CLAIMS = ("T1", "T1b", "T1c", "T1k", "SE", "R3d", "S9a", "E1", "E9")


def of_real_size(problem: Problem) -> bool:
    """Whether a problem is too large for the routes that compute with formulas or with many digits.

    Example:
        >>> from pkverify.cases import case_problems
        >>> any(of_real_size(problem) for case in ("linear", "mlp", "xent") for _, problem in case_problems(case))
        False
    """
    return len(problem.initial) * len(problem.data) > REAL_SIZE
