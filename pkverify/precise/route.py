"""Decompositions of any problem of the grammar, to any number of digits, with an error estimate.

A problem is solved twice: a *pilot* at few digits, then the main run. The pilot finds blow-ups, kinks and undefined
points cheaply; its distance from the main run measures by how much this flow amplifies local errors, and the same
factor, applied to the main run's own tolerance, is the error estimate. Where the estimate falls short of what was
asked for, the main run becomes the pilot of a finer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import inf

from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.decomposition import Decomposition
from pkverify.errors import FlowError, InputError, UntreatableError
from pkverify.graph import ProblemGraph, compile_problem
from pkverify.precise.flow import RoundingError, integrate, working_bits
from pkverify.precise.solution import Solution, read_solution
from pkverify.precise.system import AugmentedSystem
from pkverify.problem import Problem, Vector
from pkverify.rational import decimal_text, log10_of

MIN_DIGITS, MAX_DIGITS = 5, 1000
_PILOT_DIGITS = 10
_GUARD_DIGITS = 4  # the first main run is this much finer than what is asked for
_MARGIN = 1.0  # the estimate is this many powers of ten above what the pilot suggests
_MAX_RUNS = 5
_SEPARATION = 4  # a path kernel below this many error estimates is not separated from 0
_WEIGHT_DIGITS = 20


def solve_precise(problem: Problem, digits: int, queries: Sequence[Vector] | None = None) -> Solution:
    """Follow the flow and all path integrals to the asked digits.

    Args:
        problem: The problem.
        digits: Each number comes with ``|error| <= 10**(2 - digits) * max(1, |value|)``, by the error estimate.
        queries: Query inputs; the problem's own when left out.

    Returns:
        The solution; its ``error_estimate`` tells how far it got.

    Raises:
        InputError: If the problem is undefined at its start, or the digits are out of range.
        FlowError: If the flow cannot be followed to the horizon.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> solution = solve_precise(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), digits=15)
        >>> round(float(solution.final_outputs[0][0]), 12)  # 2 (1 - 1/e)
        1.264241117657
    """
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        raise InputError(
            f"--digits {digits}",
            f"the precise route gives {MIN_DIGITS} to {MAX_DIGITS} digits",
            "choose a number in this range",
        )
    compiled = compile_problem(problem)
    queries = problem.query_inputs if queries is None else queries
    coarse_digits = float(_PILOT_DIGITS)
    # What the pilot gets wrong by underflow shows in its distance from the main run, which is looked at in balls.
    coarse = _solve_once(problem, compiled, queries, coarse_digits, digits, in_balls=False)
    fine_digits = max(float(digits), coarse_digits) + _GUARD_DIGITS
    missing = 0.0
    for _ in range(_MAX_RUNS):
        fine = _solve_once(problem, compiled, queries, fine_digits, digits)
        amplification = log10_of(_distance(coarse, fine)) + coarse_digits
        fine = replace(fine, log10_error=_MARGIN + max(amplification, 0.0) - fine_digits)
        missing = max(fine.log10_error - (1 - digits), _digits_missing_for_weights(fine))
        if missing <= 0:
            return fine
        coarse, coarse_digits = fine, fine_digits
        fine_digits += max(missing, 3.0) + 2
    raise UntreatableError(
        f"{digits} digits were not reached: about {missing:.0f} are missing after {_MAX_RUNS} runs",
        "the flow amplifies errors too strongly", "ask for fewer digits or a shorter horizon",
    )  # fmt: skip


def decompose_precise(problem: Problem, digits: int) -> tuple[Decomposition, ...]:
    """One decomposition for each query and output, query by query.

    Args:
        problem: The problem.
        digits: Digits asked for.

    Returns:
        The decompositions; see ``Decomposition`` for the fields.

    Raises:
        InputError, FlowError: As ``solve_precise``.
    """
    return read_decompositions(solve_precise(problem, digits))


def read_decompositions(solution: Solution) -> tuple[Decomposition, ...]:
    """The decompositions of a solution, as decimal strings."""
    outputs = range(len(solution.initial_outputs[0]))
    return tuple(_decomposition(solution, q, c) for q in range(len(solution.queries)) for c in outputs)


def _solve_once(
    problem: Problem,
    compiled: ProblemGraph,
    queries: Sequence[Vector],
    local_digits: float,
    digits: int,
    *,
    in_balls: bool = True,
) -> Solution:
    """One run; with more bits where the start may be a singular point, or where rounding gets into the way."""
    bits, last = working_bits(local_digits), Exception()
    for extra in (0, 100, 400, 1600):
        try:
            system = AugmentedSystem(problem, compiled, FixedPoint(bits + extra), queries)
            path = integrate(system, problem.initial, problem.horizon, local_digits, in_balls=in_balls)
        except (DomainError, RoundingError) as error:
            last = error
        else:
            return read_solution(system, path, queries, digits)
    if isinstance(last, RoundingError):
        raise FlowError(
            "values on the path are too large, or cancel too much, to be computed", hypothesis="", time=0.0,
            why=f"{bits + 1600} bits leave too few right ones", fix="rescale the problem, or write it otherwise",
        )  # fmt: skip
    raise InputError(
        f"the model or the loss is undefined at the start, or too close to it: {last.function} at {last.argument}",
        "the flow needs the gradient of the loss at w(0), and the prediction there",
        "change [flow] initial or the data",
    )


def _distance(coarse: Solution, fine: Solution) -> Fraction:
    """The largest difference between two solutions, relative to max(1, |value|)."""
    pairs = zip(coarse.numbers(), fine.numbers(), strict=True)
    return max(abs(a - b) / max(Fraction(1), abs(b)) for a, b in pairs)


def _digits_missing_for_weights(solution: Solution) -> float:
    """How many more digits the worst-conditioned weight needs.

    A path kernel within the error estimate of 0 (and not 0 exactly) asks for more digits, too, up to
    ``_WEIGHT_DIGITS`` more than the run was asked for: after that its weight is reported absent.
    """
    missing = -inf
    for q, examples in enumerate(solution.path_kernels):
        for i, kernel in enumerate(examples):
            if len(kernel) > 1 or not solution.kernel_vanishes(q, i, 0, 0):
                lost = log10_of(_lost_in_weight(solution, q, i))
                missing = max(missing, solution.log10_error + lost - (1 - solution.digits))
    return min(missing, solution.digits + _WEIGHT_DIGITS + solution.log10_error)


def _lost_in_weight(solution: Solution, q: int, i: int) -> Fraction:
    """By what factor errors grow, relative to max(1, |value|), from kernel and contribution to the weight.

    0 where a matrix is not told apart from a singular one: more digits would seldom help.
    """
    kernel, contribution = solution.path_kernels[q][i], solution.contributions[q][i]
    one, size = Fraction(1), len(contribution)
    if size == 1:
        divisor = max(abs(kernel[0][0]), solution.error_estimate)
        quotient = abs(contribution[0]) / divisor
        # d(c / K) = (dc + (c / K) dK) / K, held against max(1, |c / K|)
        return max(one, divisor) * (1 + quotient) / (max(one, quotient) * divisor)
    threshold = _threshold(solution, kernel)
    weight = _solve_linear(kernel, contribution, threshold)
    columns = [_solve_linear(kernel, [Fraction(k == r) for r in range(size)], threshold) for k in range(size)]
    if weight is None:
        return Fraction(0)
    # |da| <= |inverse of K| (|dc| + |dK| |a|)
    errors = [
        max(one, abs(c)) + sum(max(one, abs(k)) * abs(a) for k, a in zip(row, weight, strict=True))
        for row, c in zip(kernel, contribution, strict=True)
    ]
    grown = [sum(abs(c[r]) * e for c, e in zip(columns, errors, strict=True) if c is not None) for r in range(size)]
    return max(g / max(one, abs(a)) for g, a in zip(grown, weight, strict=True))


def _decomposition(solution: Solution, q: int, c: int) -> Decomposition:
    digits, kernels = solution.digits, solution.path_kernels[q]

    def text(value: Fraction) -> str:
        return decimal_text(value, digits)

    scalar = len(solution.initial_outputs[q]) == 1
    weights: list[str | tuple[str, ...] | None] = []
    absent: dict[int, str] = {}
    for i in range(len(kernels)):
        found = kernel_weight(solution, q, i)
        if isinstance(found, str):
            weights.append(None)
            absent[i] = found
        else:
            weights.append(text(found[0]) if scalar else tuple(text(v) for v in found))
    return Decomposition(
        route="precise",
        digits=digits,
        query=solution.queries[q],
        output=c,
        initial_output=text(solution.initial_outputs[q][c]),
        final_output=text(solution.final_outputs[q][c]),
        contributions=tuple(text(example[c]) for example in solution.contributions[q]),
        regularizer_term=text(solution.regularizer_terms[q][c]),
        residual=decimal_text(solution.residual(q, c), 5),
        path_kernel=tuple(text(k[0][0]) for k in kernels)
        if scalar
        else tuple(tuple(text(v) for v in k[c]) for k in kernels),
        weights=tuple(weights),
        weights_absent=absent,
        error_estimate=decimal_text(solution.error_estimate, 1),
        horizon=solution.system.problem.horizon,
    )


def kernel_weight(solution: Solution, q: int, i: int) -> tuple[Fraction, ...] | str:
    """The weight ``a_i`` of an example at a query, or the reason why there is none.

    With several outputs it is the vector that solves ``path_kernel a = contribution``.
    """
    kernel, contribution = solution.path_kernels[q][i], solution.contributions[q][i]
    outputs = range(len(kernel))
    if all(solution.kernel_vanishes(q, i, a, b) for a in outputs for b in outputs):
        return "K = 0 exactly: the tangent kernel is identically zero, so any number serves as a_i"
    largest = max(abs(v) for row in kernel for v in row)
    separation = _SEPARATION * solution.error_estimate * max(Fraction(1), largest)
    scalar = len(contribution) == 1
    if scalar and largest <= separation:
        return f"K is not separated from 0: |K| <= {decimal_text(separation, 1)}"
    solved = _solve_linear(kernel, contribution, separation if scalar else _threshold(solution, kernel))
    if solved is None:
        return "the matrix K is singular, or not separated from a singular one"
    if solution.log10_error + log10_of(_lost_in_weight(solution, q, i)) > 2 - solution.digits:
        return f"K is not separated from 0 well enough for {solution.digits} digits of a_i"
    return solved


def _threshold(solution: Solution, kernel: Sequence[Sequence[Fraction]]) -> Fraction:
    """A pivot that is not above this is not told apart from 0."""
    largest = max(abs(v) for row in kernel for v in row)
    return 1000 * _SEPARATION * solution.error_estimate * max(Fraction(1), largest)


def _solve_linear(
    matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction], threshold: Fraction
) -> tuple[Fraction, ...] | None:
    """Gaussian elimination with full row pivoting; None where a pivot is not above the threshold."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda r: abs(rows[r][column]))
        if abs(rows[pivot][column]) <= threshold:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for r in range(size):
            if r != column:
                factor = rows[r][column] / rows[column][column]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[column], strict=True)]
    return tuple(row[size] / row[k] for k, row in enumerate(rows))
