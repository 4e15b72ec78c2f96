"""The search for counterexamples to T1a, T1c and R1b on a problem of one's own.

The path does not depend on the query. So the flow is followed once, and a whole grid of queries is looked at in
doubles; what looks like a counterexample is then refined and confirmed on the precise route, and at last put to the
certified route. Where balls prove it, it is a refutation of the claim as printed; else it stays a witness to look at,
with error estimates.

Limits: one output; queries on a line, the input itself or the lines through pairs of known inputs; zeros of the path
kernel at which it changes sign, and not more than one between two points of the grid. That nothing was found proves
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations

import numpy as np

from pkverify.checks.certify import proved_order, proved_outside, proved_zero
from pkverify.checks.scan import CLEAR, Scan, absolute_range, lines, range_of, typical_size, weights_of
from pkverify.errors import FlowError, InputError, PkverifyError, UntreatableError
from pkverify.evidence import Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.precise.route import solve_precise
from pkverify.precise.solution import Solution
from pkverify.problem import Problem, Vector
from pkverify.problem_file import write_problem
from pkverify.rational import decimal_text

SEARCHED = ("T1a", "T1c", "R1b")
_ROUGH = 1e-9  # below this, relative to the largest, a double says nothing of a sign


@dataclass(frozen=True)
class Counterexample:
    """A query at which a claim fails.

    Attributes:
        claim: The claim's id.
        query: The query, exact; for a zero of the kernel, the zero rounded to the asked digits.
        examples: Numbers of the examples concerned, from 1.
        values: What is seen there, by name.
        lacks: The hypothesis that fails, or an empty string.
        message: What this means, in a sentence.
        is_certified: Whether balls prove it; what they prove is the last of the values.
    """

    claim: str
    query: Vector
    examples: tuple[int, ...]
    values: tuple[tuple[str, str], ...]
    lacks: str
    message: str
    is_certified: bool = False

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.values)


@dataclass(frozen=True)
class Searched:
    """What a search through problems came to: for each problem and claim the counterexample, None, or why not."""

    found: tuple[tuple[str, Problem, str, Counterexample | PkverifyError | None], ...]

    @property
    def exit_code(self) -> int:
        """1 where a counterexample was found, 3 where a problem could not be searched, else 0."""
        if any(isinstance(witness, Counterexample) for *_, witness in self.found):
            return 1
        return 3 if any(isinstance(witness, PkverifyError) for *_, witness in self.found) else 0

    def run(self) -> Run:
        """The search as a run: what balls prove refutes a claim as printed, an estimate refutes nothing."""
        problems: dict[str, tuple[Problem, list[Evidence]]] = {}
        for name, problem, claim, witness in self.found:
            problems.setdefault(name, (problem, []))[1].append(_evidence(claim, witness))
        return Run(tuple(
            ProblemRun(name, tuple(evidence), horizon=str(problem.horizon), source=write_problem(problem))
            for name, (problem, evidence) in problems.items()
        ))  # fmt: skip


def search(problem: Problem, claim_id: str, digits: int = 30) -> Counterexample | None:
    """Look for a query at which a claim fails on a problem.

    Args:
        problem: The problem; its own queries are left aside.
        claim_id: ``"T1a"`` (a path kernel that vanishes while its example contributes), ``"T1c"`` (a weight outside
            the range of ``-L'_i``) or ``"R1b"`` (the example with the greater loss derivative has the lesser weight).
        digits: Digits of the witness.

    Returns:
        The sharpest counterexample found, confirmed on the precise route, and certified where balls can, or None.

    Raises:
        InputError: For a claim that is not searched for, or digits out of range.
        UntreatableError: For a model with several outputs.
        FlowError: If the flow cannot be followed.
    """
    if claim_id not in SEARCHED:
        raise InputError(
            f"no search for a counterexample to {claim_id!r}",
            "a search looks at queries, and only some claims fail at a query",
            f"name one of {', '.join(SEARCHED)}",
        )
    if problem.model.output_count > 1:
        raise UntreatableError(
            "a search on a model with several outputs", "the path kernel is a matrix there", "take one output of it"
        )
    finders = {"T1a": _vanishing_kernels, "T1c": _weights_outside, "R1b": _weights_out_of_order}
    with np.errstate(all="ignore"):  # a query may lie outside the model's domain: it becomes NaN, and is passed over
        return next(finders[claim_id](Scan(problem), digits), None)


def _certified(found: Counterexample, proved: str | None) -> Counterexample:
    """The same counterexample; certified, where something is proved."""
    return found if proved is None else replace(found, values=(*found.values, ("proved", proved)), is_certified=True)


def search_run(
    problems: Iterable[tuple[str, Problem]],
    claims: Sequence[str] = (),
    *,
    digits: int = 30,
    progress: Callable[[str], None] = lambda _: None,
) -> Searched:
    """Search every problem for counterexamples to the claims; to all that are searched for when left out."""
    found: list[tuple[str, Problem, str, Counterexample | PkverifyError | None]] = []
    for name, problem in problems:
        for claim in claims or SEARCHED:
            progress(f"searching {name} for a counterexample to {claim}")
            try:
                found.append((name, problem, claim, search(problem, claim, digits)))
            except (UntreatableError, FlowError) as error:  # one problem that cannot be searched loses no other
                found.append((name, problem, claim, error))
    return Searched(tuple(found))


def _vanishing_kernels(scan: Scan, digits: int) -> Iterator[Counterexample]:
    """T1a: sign changes of K(., x_i) at which the example's contribution is not 0, the greatest contribution first."""
    candidates: list[tuple[float, int, Vector, Vector]] = []
    for line in lines(scan.problem):
        queries, array = scan.grid(line)
        for i, tangent in enumerate(scan.tangent_kernels(array)):
            kernel = tangent @ scan.weights
            contribution = -tangent @ (scan.weights * scan.slopes[i])
            scale = typical_size(kernel)
            larger = np.maximum(np.abs(kernel[:-1]), np.abs(kernel[1:]))
            crossed = np.flatnonzero((kernel[:-1] * kernel[1:] <= 0) & (larger > _ROUGH * scale))
            candidates += [(float(abs(contribution[k])), i, queries[k], queries[k + 1]) for k in crossed]
    largest = max((size for size, *_ in candidates), default=0.0)
    for size, i, low, high in sorted(candidates, key=lambda item: -item[0]):
        if size > 1e-6 * largest:
            witness = _zero(scan, i, low, high, digits)
            if witness is not None:
                yield witness


def _zero(scan: Scan, i: int, low: Vector, high: Vector, digits: int) -> Counterexample | None:
    """The zero of K(., x_i) between two queries, to so many digits, if the example contributes there."""
    problem = scan.problem

    def at(place: Fraction) -> Vector:
        return tuple(a + place * (b - a) for a, b in zip(low, high, strict=True))

    def kernels(places: Sequence[Fraction]) -> list[Fraction]:
        solution = _solved(problem, digits + 4, [at(p) for p in places])
        return [solution.path_kernels[q][i][0][0] for q in range(len(places))] if solution is not None else []

    left, right = Fraction(0), Fraction(1)
    # A few bisections in doubles, then secants on the precise route, always inside the bracket.
    for _ in range(40):
        middle = (left + right) / 2
        points = np.array([[float(v) for v in at(p)] for p in (left, middle)])
        a, b = scan.tangent_kernels(points)[i] @ scan.weights
        left, right = (left, middle) if a * b <= 0 else (middle, right)
    spread = Fraction(1, 2**30)
    ends = (max(Fraction(0), left - spread), min(Fraction(1), right + spread))
    places, grain = list(ends), 10 ** (digits + 6)
    values = kernels(places)
    if not values or values[0] * values[1] > 0:
        return None
    for _ in range(6):
        p, q, a, b = places[-2], places[-1], values[-2], values[-1]
        if b in {a, 0}:
            break
        step = q - b * (q - p) / (b - a)
        new = Fraction(round(min(max(step, ends[0]), ends[1]) * grain), grain)
        found = kernels([new]) if new not in places else []
        if not found:
            break
        places.append(new)
        values += found
    return _confirmed_zero(scan, i, at, places[-1], digits)


def _confirmed_zero(
    scan: Scan, i: int, at: Callable[[Fraction], Vector], place: Fraction, digits: int
) -> Counterexample | None:
    """The witness, if K has opposite signs on its two sides and the example contributes, beyond the error estimates."""
    width = Fraction(1, 10 ** (digits - 2))
    problem = scan.problem
    solution = _solved(problem, digits + 4, [at(place - width), at(place + width), at(place)])
    if solution is None:
        return None
    below, above, kernel = (solution.path_kernels[q][i][0][0] for q in range(3))
    before, after, contribution = (solution.contributions[q][i][0] for q in range(3))
    error = solution.error_estimate
    # Where K and the contribution vanish together, as on a linear model, any number serves as the weight.
    vanishes = abs(contribution) <= 1000 * (abs(after - before) + error)
    if below * above >= 0 or min(abs(below), abs(above)) <= 4 * error or vanishes:
        return None
    moved = solution.final_outputs[2][0] - solution.initial_outputs[2][0]
    size = max(abs(v) for v in at(place)) or Fraction(1)
    shown = max(1, digits - 3)
    query = tuple(Fraction(decimal_text(v, shown)) for v in at(place))
    values = (
        ("x", _plain(query, shown)),
        (f"K(x, x_{i + 1})", f"{decimal_text(kernel, 3)}, of opposite signs within {decimal_text(width * size, 1)}"),
        (f"a_{i + 1} K(x, x_{i + 1})", decimal_text(contribution, shown)),
        ("y_T - b", decimal_text(moved, shown)),
        ("error estimate", decimal_text(error, 1)),
    )
    alone = len(problem.data) == 1
    message = (
        "the prediction moves where the only kernel is 0: no number serves as a_1"
        if alone
        else f"example {i + 1} contributes where its kernel is 0: its weight does not exist"
    )
    found = Counterexample("T1a", query, (i + 1,), values, "H3", message)
    return _certified(found, proved_zero(problem, i, at(place - width), at(place + width), digits + 4))


def _weights_outside(scan: Scan, digits: int) -> Iterator[Counterexample]:
    """T1c: the weight that is furthest outside the range of -L'_i, at a query where the kernel is not small."""
    candidates: list[tuple[float, int, Vector]] = []
    for line in lines(scan.problem):
        queries, array = scan.grid(line)
        for i, tangent in enumerate(scan.tangent_kernels(array)):
            kernel, weight = weights_of(scan, tangent, i)
            low, high, slack = range_of(scan, i)
            excess = np.maximum(low - weight, weight - high)
            usable = np.isfinite(weight) & (np.abs(kernel) > 0.01 * typical_size(kernel)) & (excess > slack)
            candidates += [(float(excess[k]), i, queries[k]) for k in np.flatnonzero(usable)]
    for _, i, query in sorted(candidates, key=lambda item: -item[0])[:3]:
        solution = _solved(scan.problem, digits, [query])
        if solution is None:
            continue
        kernel, contribution = solution.path_kernels[0][i][0][0], solution.contributions[0][i][0]
        weight, (low, high, slack) = contribution / kernel, range_of(scan, i)
        if abs(kernel) > 1000 * solution.error_estimate and not low - slack <= float(weight) <= high + slack:
            values = (
                ("x", _plain(query, digits)),
                (f"a_{i + 1}", decimal_text(weight, digits - 3)),
                (f"range of -L'_{i + 1}", f"[{low:.8g}, {high:.8g}]"),
                (f"K(x, x_{i + 1})", decimal_text(kernel, digits - 3)),
                ("error estimate", decimal_text(solution.error_estimate, 1)),
            )
            message = f"a_{i + 1} is no average of -L'_{i + 1}: the tangent kernel changes sign along the path"
            found = Counterexample("T1c", query, (i + 1,), values, "H4", message)
            yield _certified(found, proved_outside(scan.problem, i, query))


def _weights_out_of_order(scan: Scan, digits: int) -> Iterator[Counterexample]:
    """R1b: |L'_i| > |L'_j| at all times and |a_i| < |a_j|; first where both weights are averages."""
    examples = range(len(scan.problem.data))
    ordered = [
        (i, j) for i, j in permutations(examples, 2) if np.all(np.abs(scan.slopes[i]) > np.abs(scan.slopes[j]) + _ROUGH)
    ]
    candidates: list[tuple[bool, float, int, int, Vector]] = []
    for line in lines(scan.problem) if ordered else ():
        queries, array = scan.grid(line)
        tangents = scan.tangent_kernels(array)
        weights = [weights_of(scan, tangent, i) for i, tangent in enumerate(tangents)]
        one_sign = [np.all(t >= 0, axis=1) | np.all(t <= 0, axis=1) for t in tangents]
        for i, j in ordered:
            (kernel_i, a), (kernel_j, b) = weights[i], weights[j]
            large = (np.abs(kernel_i) > 0.01 * typical_size(kernel_i)) & (
                np.abs(kernel_j) > 0.01 * typical_size(kernel_j)
            )
            lead = np.abs(b) - np.abs(a)
            usable = large & np.isfinite(lead) & (lead > CLEAR * np.abs(b))
            candidates += [
                (bool(one_sign[i][k] and one_sign[j][k]), float(lead[k] / abs(b[k])), i, j, queries[k])
                for k in np.flatnonzero(usable)
            ]
    for averages, _, i, j, query in sorted(candidates, key=lambda item: (-item[0], -item[1]))[:3]:
        solution = _solved(scan.problem, digits, [query])
        if solution is None:
            continue
        kernels = [solution.path_kernels[0][k][0][0] for k in (i, j)]
        parts = [solution.contributions[0][k][0] for k in (i, j)]
        if min(map(abs, kernels)) > 1000 * solution.error_estimate and abs(parts[0] * kernels[1]) < abs(
            parts[1] * kernels[0]
        ):
            shown = (decimal_text(part / kernel, digits - 3) for part, kernel in zip(parts, kernels, strict=True))
            values = (
                ("x", _plain(query, digits)),
                *((f"a_{k + 1}", text) for k, text in zip((i, j), shown, strict=True)),
                *((f"range of |L'_{k + 1}|", absolute_range(scan, k)) for k in (i, j)),
                ("error estimate", decimal_text(solution.error_estimate, 1)),
            )
            message = (
                f"the loss is more sensitive to example {i + 1} than to {j + 1} at all times, and its weight is smaller"
                + ("; both weights are averages" if averages else "; a tangent kernel changes sign")
            )
            found = Counterexample("R1b", query, (i + 1, j + 1), values, "", message)
            yield _certified(found, proved_order(scan.problem, (i, j), query))


def _solved(problem: Problem, digits: int, queries: Sequence[Vector]) -> Solution | None:
    """The precise solution, or None where the model is undefined at a query, or meets a kink that is not crossed."""
    try:
        return solve_precise(problem, digits, queries)
    except PkverifyError:
        return None


def _plain(query: Vector, digits: int) -> str:
    texts = [str(v) if len(str(v)) <= 12 else decimal_text(v, digits) for v in query]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _evidence(claim: str, witness: Counterexample | PkverifyError | None) -> Evidence:
    if isinstance(witness, PkverifyError):
        message = f"not searched: {witness.what}: {witness.why}"
        return Evidence(claim, Verdict.INCONCLUSIVE, "search", message=message, route="precise")
    if witness is None:
        message = "no counterexample on the queries looked at, which proves nothing"
        return Evidence(claim, Verdict.INCONCLUSIVE, "search", message=message, route="precise")
    if witness.is_certified:
        lacking = (HypothesisEvidence(witness.lacks, Verdict.CERTIFIED, "fails"),) if witness.lacks else ()
        message = f"as printed the claim fails here: {witness.message}"
        return Evidence(
            claim, Verdict.REFUTED, "ball", lacking, witness=str(witness), message=message, route="certified"
        )  # fmt: skip
    failing = (HypothesisEvidence(witness.lacks, Verdict.SUPPORTED, f"fails: {witness}"),) if witness.lacks else ()
    verdict = Verdict.NOT_APPLICABLE if witness.lacks else Verdict.INCONCLUSIVE
    message = f"{witness.message}: by estimates, which refute nothing"
    return Evidence(claim, verdict, "search", failing, witness=str(witness), message=message, route="precise")
