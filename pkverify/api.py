"""The verbs of the Python interface: decompose, check, derive, report, plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pkverify.checks.run import CERTIFIED_DIGITS, PRECISE_DIGITS, ROUTES, check_digits
from pkverify.checks.run import check as _check
from pkverify.decomposition import Decomposition
from pkverify.errors import InputError
from pkverify.evidence import Run
from pkverify.problem import Problem

if TYPE_CHECKING:
    from pkverify.exact.derivation import Derivation
    from pkverify.figures import Figure


def decompose(problem: Problem, *, route: str = "precise", digits: int | None = None) -> tuple[Decomposition, ...]:
    """Split every prediction of a problem over its training examples.

    Args:
        problem: The problem.
        route: ``"precise"`` (any problem, any number of digits), ``"exact"`` (closed forms, where there is one),
            ``"certified"`` (balls, each number with ``.mid`` and ``.rad``) or ``"network"`` (float64, by torch).
        digits: Digits asked for: 30 on the precise route, ``|error| <= 10**(2 - digits) * max(1, |value|)``; 20 on the
            certified route, ``radius <= 10**-digits * max(1, |value|)``; not used by the network route.

    Returns:
        One decomposition for each query and output, query by query.

    Raises:
        InputError: For an unknown route, digits out of range, or a problem that is undefined at its start.
        FlowError: If the flow cannot be followed to the horizon.
        UntreatableError: If the exact route knows no closed form, or a ball stays too wide.

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
    if digits is not None:
        check_digits(digits)
    wanted = PRECISE_DIGITS if digits is None else digits
    if route == "precise":
        from pkverify.precise.route import decompose_precise

        return decompose_precise(problem, wanted)
    if route == "exact":
        from pkverify.exact.route import decompose_exact

        return decompose_exact(problem, wanted)
    if route == "certified":
        from pkverify.certified.route import decompose_certified

        return decompose_certified(problem, CERTIFIED_DIGITS if digits is None else digits)
    if route == "network":
        from pkverify.network.route import decompose_network

        return decompose_network(problem)
    raise InputError(f"route {route!r}", f"the routes are {', '.join(ROUTES)}", "name one of them")


def check(
    problem: Problem | Sequence[Problem],
    *,
    digits: int | None = None,
    routes: Sequence[str] | None = None,
    claims: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Run:
    """Check the theorem on one problem or several.

    Args:
        problem: The problem, or several.
        digits: Digits of the precise and of the certified route; 30 and 20 when left out.
        routes: Routes to use; all when left out.
        claims: Claim ids; all when left out.
        seed: Seed of whatever is drawn at random.
        device: Where the network route computes: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Returns:
        The run; ``run.verdict`` is the weakest over its claims.

    Raises:
        InputError: For an unknown claim or route, or a problem that is undefined at its start.
    """
    problems = [problem] if isinstance(problem, Problem) else list(problem)
    named = [(item.title or f"problem {number}", item) for number, item in enumerate(problems, start=1)]
    return _check(named, digits=digits, routes=routes, claims=claims, seed=seed, device=device)


def derive(problem: Problem) -> Derivation:
    """The derivation of the decomposition for a problem, line by line, with closed forms where there are any.

    Args:
        problem: The problem.

    Returns:
        The derivation; it prints as text, and as LaTeX in a notebook.
    """
    from pkverify.exact.derivation import derive as derive_exact

    return derive_exact(problem)


def report(run: Run, path: str | Path) -> None:
    """Write a report of a run: verdicts, hypotheses, derivation, decompositions and figures.

    Args:
        run: The run.
        path: Where to; the ending names the format: ``.html`` (one file, nothing loaded from outside), ``.md``,
            ``.tex`` or ``.pdf`` (needs the extra ``pdf``). Figures of ``.md`` and ``.tex`` lie in a folder beside it.

    Raises:
        InputError: For another ending, a folder that does not exist, or without typst for ``.pdf``.
    """
    from pkverify.report.files import write_report

    write_report(run, run, Path(path))


def plot(record: Decomposition | Run, name: str = "waterfall") -> Figure:
    """Draw one figure of a decomposition or of a run.

    Args:
        record: A decomposition, or a run of one problem.
        name: Which figure: a key of ``pkverify.figures.FIGURES``; of a decomposition ``"waterfall"`` or
            ``"kernel-machine"``.

    Returns:
        A matplotlib figure, which a notebook shows and ``savefig`` writes.

    Raises:
        InputError: For a name that does not exist, or a figure that the record has no numbers for.
    """
    from pkverify.figures import plot as draw

    return draw(record, name)
