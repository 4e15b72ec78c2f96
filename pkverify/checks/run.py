"""Run the checks: on problems, and on the theorem itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from pkverify.arithmetic.ball import BallDomainError
from pkverify.certified.enclosure import enclose
from pkverify.certified.route import read_enclosure
from pkverify.checks.agreement import disagreement
from pkverify.checks.certified import CERTIFIED_CHECKS, certified_evidence
from pkverify.checks.context import Context
from pkverify.checks.formal import formal_evidence
from pkverify.checks.network.size import NETWORK_CLAIMS, of_real_size
from pkverify.checks.series import series as series_of
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.claims import CHECKED_IN_GENERAL, CLAIMS, claim
from pkverify.decomposition import Decomposition
from pkverify.errors import FlowError, InputError, UntreatableError
from pkverify.evidence import THEOREM, DerivationStep, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.precise.route import MAX_DIGITS, MIN_DIGITS, read_decompositions
from pkverify.problem import Problem
from pkverify.problem_file import write_problem

ROUTES = ("exact", "precise", "certified", "network")
PRECISE_DIGITS, CERTIFIED_DIGITS = 30, 20  # where no number of digits is asked for


def check(
    problems: Iterable[tuple[str, Problem]],
    *,
    digits: int | None = None,
    routes: Sequence[str] | None = None,
    claims: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> Run:
    """Check problems against the claims that can be checked on them, and prove the general ones.

    Args:
        problems: Names and problems.
        digits: Digits of the precise and of the certified route; 30 and 20 when left out.
        routes: Routes to use; all that there are when left out. A route named here that cannot treat a problem makes
            the run inconclusive; one that is only used by default is listed as skipped.
        claims: Claim ids to look at; all when left out.
        seed: Seed of whatever is drawn at random.
        device: Where the network route computes: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        progress: Called with a line before each piece of work.

    Returns:
        The run; ``interrupted`` with what was finished when a KeyboardInterrupt came.

    Raises:
        InputError: For an unknown claim or route, or a problem that is undefined at its start.
    """
    chosen, named = _chosen_routes(routes)
    if digits is not None:
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
                check_problem(
                    own, problem, digits=digits, routes=chosen, named=named, claims=wanted, seed=seed, device=device
                )
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
    digits: int | None = None,
    routes: Sequence[str] = ROUTES,
    named: frozenset[str] = frozenset(),
    claims: frozenset[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> ProblemRun:
    """Check one problem by the given routes; ``named`` are those that the user asked for by name."""
    judged = _Judged(problem, digits, seed, device, named, claims)
    for route in routes:
        if route != "network" and of_real_size(problem):
            size = f"{len(problem.initial)} parameters and {len(problem.data)} examples"
            judged.cannot(route, f"a problem of real size ({size}) is for the network route")
        else:
            judged.by[route]()
    difference = judged.contradiction or disagreement(judged.decompositions)
    evidence = judged.evidence
    if difference is not None:
        evidence = [item for item in evidence if item.claim != "T1"]
        evidence.insert(0, Evidence("T1", Verdict.INCONCLUSIVE, "agreement", message=f"routes disagree: {difference}"))
    return ProblemRun(
        name=name,
        evidence=tuple(evidence),
        decompositions=tuple(judged.decompositions),
        horizon=str(problem.horizon),
        derivation=judged.derivation,
        series=judged.series,
        skipped=judged.skipped,
        refused=judged.refused,
        source=write_problem(problem),
    )


class _Judged:
    """What the routes find on one problem; each adds to it what it has."""

    def __init__(
        self,
        problem: Problem,
        digits: int | None,
        seed: int,
        device: str,
        named: frozenset[str],
        claims: frozenset[str] | None,
    ) -> None:
        self.problem, self.claims, self.named, self.device = problem, claims, named, device
        self.context = Context(problem, PRECISE_DIGITS if digits is None else digits, seed)
        self.certified_digits = CERTIFIED_DIGITS if digits is None else digits
        self.evidence: list[Evidence] = []
        self.decompositions: list[Decomposition] = []
        self.derivation: tuple[DerivationStep, ...] = ()
        self.series: Mapping[str, tuple[tuple[str, ...], ...]] = {}
        self.skipped: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.contradiction: str | None = None
        self.by: dict[str, Callable[[], None]] = {
            "exact": self._exactly,
            "precise": self._precisely,
            "certified": self._in_balls,
            "network": self._in_doubles,
        }

    def _exactly(self) -> None:
        from pkverify.exact.derivation import derive
        from pkverify.exact.route import decompose_exact, verify_exact, verify_kernels

        self.derivation = derive(self.problem).steps
        try:
            self.decompositions += decompose_exact(self.problem, self.context.digits)
            if self._wants("T1"):
                self.evidence.append(replace(verify_exact(self.problem), route="exact"))
            if self._wants("D8"):
                self.evidence.append(verify_kernels(self.problem))
        except UntreatableError as error:
            self.cannot("exact", error.what)

    def _precisely(self) -> None:
        context = self.context
        try:
            asked = len(self.problem.query_inputs) * self.problem.model.output_count
            self.decompositions += read_decompositions(context.solution)[:asked]
            self.series = series_of(context)
            self.evidence += _precise_evidence(context, self.claims)
        except (FlowError, UntreatableError) as error:
            self.evidence += _stopped(error, self.claims)
            if self.decompositions and isinstance(error, FlowError) and error.hypothesis == "H2":
                self.contradiction = f"the exact route has the flow up to the horizon, the precise route: {error.what}"

    def _in_balls(self) -> None:
        try:
            enclosure = enclose(self.problem, self.certified_digits)
        except (FlowError, UntreatableError) as error:
            self.cannot("certified", f"{error.what}: {error.why}")
            return
        self.decompositions += read_enclosure(enclosure)
        found = certified_evidence(enclosure, self.claims)
        # Balls that exclude what must be so are no open question, which a weaker route might close: something is wrong.
        wrong = next((item for item in found if item.verdict is Verdict.INCONCLUSIVE), None)
        if wrong is not None:
            self.contradiction = f"the certified route, {wrong.claim}: {wrong.message}"
        self.evidence += [*found, *formal_evidence(self.problem, found, self.claims)]

    def _in_doubles(self) -> None:
        from pkverify.checks.network.table import network_evidence
        from pkverify.network.route import decompose_network

        try:
            if not of_real_size(self.problem):
                self.decompositions += decompose_network(self.problem, device=self.device)
            self.evidence += network_evidence(self.problem, claims=self.claims, device=self.device)
        except (FlowError, UntreatableError) as error:
            self.cannot("network", f"{error.what}: {error.why}")

    def _wants(self, identifier: str) -> bool:
        return self.claims is None or identifier in self.claims

    def cannot(self, route: str, why: str) -> None:
        """Note that a route does not treat the problem: refused where it was asked for by name, else skipped."""
        (self.refused if route in self.named else self.skipped)[route] = why


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
        if route not in ROUTES:
            raise InputError(
                f"--routes {route}",
                f"the routes are {', '.join(ROUTES)}, separated by commas",
                f"did you mean {get_close_matches(route.lower(), ROUTES, n=1, cutoff=0.0)[0]}?",
            )
    if not routes:
        raise InputError(
            "--routes is empty", "a run without a route checks nothing", f"name some of {', '.join(ROUTES)}"
        )
    return tuple(r for r in ROUTES if r in routes), frozenset(routes)


def _holes(claims: frozenset[str] | None) -> tuple[str, ...]:
    """Claims that were asked for, or are to be proved in general, and that nothing here looks at."""
    looked_at = {*PROBLEM_CHECKS, *CERTIFIED_CHECKS, *NETWORK_CLAIMS, *CHECKED_IN_GENERAL}
    return tuple(i for i in CLAIMS if i not in looked_at and claims is not None and i in claims)
