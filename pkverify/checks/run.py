"""Run the checks: on problems, and on the theorem itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from pkverify.arithmetic.ball import BallDomainError
from pkverify.checks.agreement import disagreement
from pkverify.checks.context import Context
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.claims import CHECKED_IN_GENERAL, CLAIMS, claim
from pkverify.decomposition import Decomposition
from pkverify.errors import FlowError, InputError, UntreatableError
from pkverify.evidence import THEOREM, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.precise.route import MAX_DIGITS, MIN_DIGITS, read_decompositions
from pkverify.problem import Problem
from pkverify.problem_file import write_problem
from pkverify.rational import decimal_text

ROUTES = ("exact", "precise")
# Named by the contract of the command line, and not part of this version.
ABSENT_ROUTES = ("certified", "network")
_SERIES_LIMIT = 400  # pairs of query and example beyond which the tangent kernel's series is left out


def check(
    problems: Iterable[tuple[str, Problem]],
    *,
    digits: int = 30,
    routes: Sequence[str] | None = None,
    claims: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Run:
    """Check problems against the claims that can be checked on them, and prove the general ones.

    Args:
        problems: Names and problems.
        digits: Digits of the precise route.
        routes: Routes to use; all that there are when left out. A route named here that cannot treat a problem makes
            the run inconclusive; one that is only used by default is listed as skipped.
        claims: Claim ids to look at; all when left out.
        seed: Seed of whatever is drawn at random.
        progress: Called with a line before each piece of work.

    Returns:
        The run; ``interrupted`` with what was finished when a KeyboardInterrupt came.

    Raises:
        InputError: For an unknown claim or route, or a problem that is undefined at its start.
    """
    chosen, named = _chosen_routes(routes)
    check_digits(digits)
    for identifier in claims or ():
        claim(identifier)
    wanted = None if claims is None else frozenset(claims)
    finished: list[ProblemRun] = []
    try:
        for name, problem in problems:
            progress(f"checking {name}")
            own = f"{name} (a problem)" if name == THEOREM else name
            finished.append(
                check_problem(own, problem, digits=digits, routes=chosen, named=named, claims=wanted, seed=seed)
            )
        if "exact" in chosen:
            progress("proving the steps of the theorem")
            theorem = prove_theorem(wanted)
            finished += [theorem] if theorem.evidence else []
    except KeyboardInterrupt:
        return Run(tuple(finished), interrupted=True)
    return Run(tuple(finished), holes=_holes(wanted))


def check_problem(
    name: str,
    problem: Problem,
    *,
    digits: int = 30,
    routes: Sequence[str] = ROUTES,
    named: frozenset[str] = frozenset(),
    claims: frozenset[str] | None = None,
    seed: int = 0,
) -> ProblemRun:
    """Check one problem by the given routes; ``named`` are those that the user asked for by name."""
    context = Context(problem, digits, seed)
    evidence: list[Evidence] = []
    decompositions: list[Decomposition] = []
    skipped: dict[str, str] = {}
    refused = dict.fromkeys(sorted(named & set(ABSENT_ROUTES)), "this version has no such route")
    derivation, series, difference = (), {}, None
    if "exact" in routes:
        from pkverify.exact.derivation import derive
        from pkverify.exact.route import decompose_exact, verify_exact, verify_kernels

        derivation = derive(problem).steps
        try:
            decompositions += decompose_exact(problem, digits)
            if claims is None or "T1" in claims:
                evidence.append(replace(verify_exact(problem), route="exact"))
            if claims is None or "D8" in claims:
                evidence.append(verify_kernels(problem))
        except UntreatableError as error:
            (refused if "exact" in named else skipped)["exact"] = error.what
    if "precise" in routes:
        try:
            asked = len(problem.query_inputs) * problem.model.output_count
            decompositions += read_decompositions(context.solution)[:asked]
            series = _series(context)
            evidence += _precise_evidence(context, claims)
        except (FlowError, UntreatableError) as error:
            evidence += _stopped(error, claims)
            if decompositions and isinstance(error, FlowError) and error.hypothesis == "H2":
                difference = f"the exact route has the flow up to the horizon, the precise route: {error.what}"
    difference = difference or disagreement(decompositions, digits)
    if difference is not None:
        evidence = [item for item in evidence if item.claim != "T1"]
        evidence.insert(0, Evidence("T1", Verdict.INCONCLUSIVE, "agreement", message=f"routes disagree: {difference}"))
    return ProblemRun(
        name=name,
        evidence=tuple(evidence),
        decompositions=tuple(decompositions),
        horizon=str(problem.horizon),
        derivation=derivation,
        series=series,
        skipped=skipped,
        refused=refused,
        source=write_problem(problem),
    )


def prove_theorem(claims: frozenset[str] | None = None) -> ProblemRun:
    """The steps of the proof and the general claims, as identities in generic functions."""
    from pkverify.exact.proof_steps import PROOFS, derivation

    evidence = tuple(
        replace(prove(), route="exact")
        for identifier, prove in PROOFS.items()
        if claims is None or identifier in claims
    )
    steps = derivation({item.claim: item for item in evidence}) if claims is None else ()
    return ProblemRun(name=THEOREM, evidence=evidence, derivation=steps)


def _precise_evidence(context: Context, claims: frozenset[str] | None) -> list[Evidence]:
    found: list[Evidence] = []
    for identifier, run_check in PROBLEM_CHECKS.items():
        if claims is None or identifier in claims:
            start = time.perf_counter()
            try:
                items = list(run_check(context))
            except (BallDomainError, OverflowError) as error:
                why = f"not every number that the check needs could be evaluated: {error}"
                items = [Evidence(identifier, Verdict.INCONCLUSIVE, "mpmath", message=why, route="precise")]
            found += [replace(item, seconds=(time.perf_counter() - start) / len(items)) for item in items]
    return found


def _stopped(error: FlowError | UntreatableError, claims: frozenset[str] | None) -> list[Evidence]:
    """What a flow means that ends early or lacks the digits: a hypothesis fails, or nothing is known."""
    message = f"{error.what}: {error.why}"
    identifiers = [i for i in PROBLEM_CHECKS if claims is None or i in claims]
    if isinstance(error, UntreatableError) or not error.hypothesis:
        return [Evidence(i, Verdict.INCONCLUSIVE, "mpmath", message=message, route="precise") for i in identifiers]
    failing = HypothesisEvidence(error.hypothesis, Verdict.SUPPORTED, f"fails: {error.what}")
    return [
        Evidence(i, Verdict.NOT_APPLICABLE, "mpmath", (failing,), message=message, route="precise") for i in identifiers
    ]


def check_digits(digits: int) -> None:
    """Refuse a number of digits that no route gives.

    Raises:
        InputError: If it is out of range.
    """
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        raise InputError(
            f"--digits {digits}",
            f"the routes give {MIN_DIGITS} to {MAX_DIGITS} digits",
            "choose a number in this range",
        )


def _chosen_routes(routes: Sequence[str] | None) -> tuple[tuple[str, ...], frozenset[str]]:
    if routes is None:
        return ROUTES, frozenset()
    for route in routes:
        if route not in ROUTES + ABSENT_ROUTES:
            raise InputError(
                f"--routes {route}",
                f"the routes are {', '.join(ROUTES + ABSENT_ROUTES)}, separated by commas",
                f"did you mean {get_close_matches(route.lower(), ROUTES + ABSENT_ROUTES, n=1, cutoff=0.0)[0]}?",
            )
    if not routes:
        raise InputError(
            "--routes is empty", "a run without a route checks nothing", f"name some of {', '.join(ROUTES)}"
        )
    return tuple(r for r in ROUTES if r in routes), frozenset(routes)


def _holes(claims: frozenset[str] | None) -> tuple[str, ...]:
    """Claims that were asked for, or are to be proved in general, and that nothing here looks at."""
    looked_at = {*PROBLEM_CHECKS, *CHECKED_IN_GENERAL}
    return tuple(i for i in CLAIMS if i not in looked_at and claims is not None and i in claims)


def _series(context: Context) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Samples along the path, for figures: each name holds one row a time; none where doubles cannot hold them."""
    solution = context.solution
    states = [solution.path.params_at(t) for t in context.times]
    exact = solution.system.numbers.fraction
    series = {
        "time": tuple((decimal_text(t, 17),) for t in context.times),
        "params": tuple(tuple(decimal_text(exact(v), 17) for v in state) for state in states),
    }
    samples: dict[str, list[list[list[float]]]] = {}
    try:
        samples["loss_derivatives"] = context.loss_derivatives
        if len(context.outputs) == 1 and len(context.asked) * len(context.problem.data) <= _SERIES_LIMIT:
            samples["tangent_kernel"] = context.tangent_kernels
    except OverflowError:
        return {}
    return series | {n: tuple(tuple(repr(v) for row in at for v in row) for at in s) for n, s in samples.items()}
