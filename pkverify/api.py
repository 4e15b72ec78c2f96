"""The verbs of the Python interface: decompose, check, derive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pkverify.checks.run import ABSENT_ROUTES, ROUTES, check_digits
from pkverify.checks.run import check as _check
from pkverify.decomposition import Decomposition
from pkverify.errors import InputError, UntreatableError
from pkverify.evidence import Run
from pkverify.problem import Problem

if TYPE_CHECKING:
    from pkverify.exact.derivation import Derivation


def decompose(problem: Problem, *, route: str = "precise", digits: int = 30) -> tuple[Decomposition, ...]:
    """Split every prediction of a problem over its training examples.

    Args:
        problem: The problem.
        route: ``"precise"`` (any problem, any number of digits) or ``"exact"`` (closed forms, where there is one).
        digits: Digits asked for; on the precise route ``|error| <= 10**(2 - digits) * max(1, |value|)``.

    Returns:
        One decomposition for each query and output, query by query.

    Raises:
        InputError: For an unknown route, digits out of range, or a problem that is undefined at its start.
        FlowError: If the flow cannot be followed to the horizon.
        UntreatableError: If the exact route knows no closed form.

    Example:
        One example, y = w x from w = 0 towards 2, for one unit of time: y_T = 2 (1 - 1/e) at x = 1.

        >>> import pkverify as pk
        >>> problem = pk.parse_problem('''
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... ''')
        >>> (d,) = pk.decompose(problem, digits=15)
        >>> d.final_output, d.path_kernel
        ('1.26424111765712', ('1.00000000000000',))
    """
    check_digits(digits)
    if route == "precise":
        from pkverify.precise.route import decompose_precise

        return decompose_precise(problem, digits)
    if route == "exact":
        from pkverify.exact.route import decompose_exact

        return decompose_exact(problem, digits)
    if route in ABSENT_ROUTES:
        raise UntreatableError(f"route {route}", "this version has no such route", f"use one of {', '.join(ROUTES)}")
    raise InputError(f"route {route!r}", f"the routes are {', '.join(ROUTES)}", "name one of them")


def check(
    problem: Problem | Sequence[Problem],
    *,
    digits: int = 30,
    routes: Sequence[str] | None = None,
    claims: Sequence[str] | None = None,
    seed: int = 0,
) -> Run:
    """Check the theorem on one problem or several.

    Args:
        problem: The problem, or several.
        digits: Digits of the precise route.
        routes: Routes to use; all when left out.
        claims: Claim ids; all when left out.
        seed: Seed of whatever is drawn at random.

    Returns:
        The run; ``run.verdict`` is the weakest over its claims.

    Raises:
        InputError: For an unknown claim or route, or a problem that is undefined at its start.
    """
    problems = [problem] if isinstance(problem, Problem) else list(problem)
    named = [(item.title or f"problem {number}", item) for number, item in enumerate(problems, start=1)]
    return _check(named, digits=digits, routes=routes, claims=claims, seed=seed)


def derive(problem: Problem) -> Derivation:
    """The derivation of the decomposition for a problem, line by line, with closed forms where there are any.

    Args:
        problem: The problem.

    Returns:
        The derivation; it prints as text, and as LaTeX in a notebook.
    """
    from pkverify.exact.derivation import derive as derive_exact

    return derive_exact(problem)
