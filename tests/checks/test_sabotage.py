"""The sabotage matrix: wrong decompositions, each of which must meet a check that does not accept it.

A row spoils a sound solution in one way and names the claim whose check must notice. Many rows keep the sum intact, so
that the residual alone would not do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from pkverify.checks.context import Context
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.evidence import Verdict
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel
from pkverify.precise.flow import Path, Segment
from pkverify.precise.route import solve_precise
from pkverify.precise.solution import Solution, gradient_at, values_at
from pkverify.problem import Dataset, Problem, Regularizer
from pkverify.problem_file import parse_problem

Sabotage = Callable[[Context], Context]

DIGITS = 30
TINY = Fraction(1, 10**20)
HALF = Fraction(1, 2)

_SQUARED, _LINE = 'loss.kind = "squared"', 'model = {kind = "linear", bias = true}'
_EXAMPLES = 'data = {x = ["1", "-1/2", "2"], y = ["6/5", "1/3", "1/2"]}\nquery.x = ["3/2", "-1"]'
_FORMULA = 'kind = "expression", inputs = ["x"], output'
TEXTS = {
    "line": f'{_LINE}\n{_SQUARED}\n{_EXAMPLES}\nflow = {{initial = ["1/5", "-1/10"], horizon = "1"}}',
    "ridge": f"""{_LINE}\n{_SQUARED}\n{_EXAMPLES}\nflow = {{initial = ["1/5", "-1/10"], horizon = "1"}}
        regularizer = {{kind = "l2", strength = "1/3"}}""",
    "logistic": f"""{_LINE}\nloss.kind = "logistic"\ndata = {{x = ["1", "-1/2", "2"], y = [1, 0, 1]}}
        query.x = ["3/2", "-1"]\nflow = {{initial = ["1/5", "-1/10"], horizon = "1"}}""",
    "tanh": f"""model = {{kind = "mlp", layers = [1, 1, 1], activation = "tanh", bias = true}}
        {_SQUARED}\n{_EXAMPLES}
        flow = {{initial = ["1/2", "1/10", "-2/5", "1/5"], horizon = 1}}""",
    "product": f"""model = {{{_FORMULA} = "u*v*x", params = ["u", "v"]}}\n{_SQUARED}\n{_EXAMPLES}
        flow = {{initial = ["9/10", "1/5"], horizon = 1}}""",
    "quadratic": f"""model = {{{_FORMULA} = "w*x + w**2*x**2/2", params = ["w"]}}\n{_SQUARED}\n{_EXAMPLES}
        flow = {{initial = ["7/10"], horizon = "1/2"}}""",
    "one example": f"""model = {{{_FORMULA} = "w*x + w**2*x**2/2", params = ["w"]}}\n{_SQUARED}
        data = {{x = [1], y = [2]}}\nquery.x = [2]\nflow = {{initial = ["1/2"], horizon = 1}}""",
    "two outputs": f"""model = {{{_FORMULA} = ["u*x + v", "u*v*x + u**2"], params = ["u", "v"]}}\n{_SQUARED}
        data = {{x = [1, "-1/2"], y = [[1, 0], ["1/3", 1]]}}\nquery.x = ["3/2"]
        flow = {{initial = ["1/2", "1/5"], horizon = "1/2"}}""",
    "log-probability": f"""model = {{{_FORMULA} = "-softplus(-w*x)", params = ["w"]}}
        loss.kind = "nll-log-probability"\ndata.x = ["3/2", "-1/2"]\nquery.x = ["1/2"]
        flow = {{initial = ["-1/5"], horizon = 2}}""",
}  # fmt: skip
PROBLEMS: dict[str, Problem] = {name: parse_problem(text) for name, text in TEXTS.items()}


# A sound solution of each problem, and what may be done to it.


@cache
def sound(name: str) -> Context:
    context = Context(PROBLEMS[name], DIGITS)
    assert context.solution.digits == DIGITS
    return context


def with_solution(problem: Problem, solution: Solution) -> Context:
    context = Context(problem, DIGITS)
    context.__dict__["solution"] = solution
    return context


def spoiled(context: Context, **fields: Any) -> Context:
    return with_solution(context.problem, replace(context.solution, **fields))


def put(nested: Any, place: Sequence[int], change: Callable[[Fraction], Fraction]) -> Any:
    """Nested tuples with one number changed."""
    if not place:
        return change(nested)
    first, *rest = place
    return tuple(put(v, rest, change) if k == first else v for k, v in enumerate(nested))


def each(nested: Any, change: Callable[[Any], Fraction]) -> Any:
    return tuple(each(v, change) for v in nested) if isinstance(nested, tuple) else change(nested)


def changed(field: str, place: Sequence[int], change: Callable[[Fraction], Fraction]) -> Sabotage:
    """One number of the solution changed."""
    return lambda context: spoiled(context, **{field: put(getattr(context.solution, field), place, change)})


def changed_all(field: str, change: Callable[[Fraction], Fraction]) -> Sabotage:
    return lambda context: spoiled(context, **{field: each(getattr(context.solution, field), change)})


def exchanged(field: str, one: Sequence[int], other: Sequence[int]) -> Sabotage:
    """Two entries of a field exchanged; they may be whole rows."""

    def exchange(context: Context) -> Context:
        whole = getattr(context.solution, field)
        first, second = whole, whole
        for k in one:
            first = first[k]
        for k in other:
            second = second[k]
        assert first != second, "a sabotage that changes nothing"
        return spoiled(context, **{field: put(put(whole, one, lambda _: second), other, lambda _: first)})

    return exchange


def hidden(sabotage: Sabotage, into: str) -> Sabotage:
    """A sabotage after which one field is adjusted until every residual is exactly 0."""

    def hide(context: Context) -> Context:
        spoiled_context = sabotage(context)
        solution = spoiled_context.solution
        whole = getattr(solution, into)
        for q in range(len(solution.queries)):
            for c in context.outputs:
                residual = solution.residual(q, c)
                place = (q, 0, c) if into == "contributions" else (q, c)
                sign = -1 if into == "final_outputs" else 1
                whole = put(whole, place, lambda v, extra=sign * residual: v + extra)
        adjusted = spoiled(spoiled_context, **{into: whole})
        assert not any(adjusted.solution.residual(q, c) for q in context.asked for c in context.outputs)
        return adjusted

    return hide


def solution_of(**fields: Any) -> Sabotage:
    """The solution of another problem, handed in for this one."""

    def graft(context: Context) -> Context:
        other = replace(context.problem, **{k: v(context.problem) if callable(v) else v for k, v in fields.items()})
        return with_solution(context.problem, solve_precise(other, DIGITS, context.queries))

    return graft


def weighted_sum(context: Context, states: Sequence[tuple[Sequence[int], Fraction]]) -> dict[str, Any]:
    """Contributions and path kernels as sums over states with weights, instead of integrals along the path."""
    solution, outputs = context.solution, context.outputs
    system, exact = solution.system, solution.system.numbers.fraction
    examples = range(system.example_count)
    kernels: dict[tuple[int, int, int, int], Fraction] = {}
    parts: dict[tuple[int, int, int], Fraction] = {}
    for state, weight in states:
        rows = {*examples, *system.query_rows}
        jacobians = {
            r: [[exact(v) for v in gradient_at(system, state, r, f)] for f in system.rows[r].jacobian] for r in rows
        }
        slopes = [[exact(v) for v in values_at(system, state, i, system.compiled.loss_derivatives)] for i in examples]
        for q, row in enumerate(system.query_rows):
            for i in examples:
                for c in outputs:
                    for o in outputs:
                        kernel = sum(a * b for a, b in zip(jacobians[row][c], jacobians[i][o], strict=True)) * weight
                        kernels[q, i, c, o] = kernels.get((q, i, c, o), Fraction(0)) + kernel
                        parts[q, i, c] = parts.get((q, i, c), Fraction(0)) - slopes[i][o] * kernel
    queries = range(len(solution.queries))
    return {
        "contributions": tuple(tuple(tuple(parts[q, i, c] for c in outputs) for i in examples) for q in queries),
        "path_kernels": tuple(
            tuple(tuple(tuple(kernels[q, i, c, o] for o in outputs) for c in outputs) for i in examples)
            for q in queries
        ),
    }


def frozen_at(*parts: Fraction | int) -> Sabotage:
    """Kernels and loss derivatives taken at some parts of the horizon only, each for an equal time."""

    def freeze(context: Context) -> Context:
        horizon, path = context.problem.horizon, context.solution.path
        states = [(path.params_at(horizon * part), horizon / len(parts)) for part in parts]
        return spoiled(context, **weighted_sum(context, states))

    return freeze


def descent(steps: int) -> Sabotage:
    """Gradient descent, its path a polygon and its contributions sums over the steps, in place of the flow."""

    def descend(context: Context) -> Context:
        system, numbers = context.solution.system, context.solution.system.numbers
        rate = context.problem.horizon / steps
        state, segments, states = [numbers.number(v) for v in context.problem.initial], list[Segment](), []
        for k in range(steps):
            total = [numbers.zero] * len(state)
            for i in range(system.example_count):
                total = [
                    a + b for a, b in zip(total, gradient_at(system, state, i, system.rows[i].gradient), strict=True)
                ]
            moves = [-numbers.multiply(numbers.number(rate), g) for g in total]
            segments.append(Segment(k * rate, rate, rate, tuple(zip(state, moves, strict=True))))
            states.append((state, rate))
            state = [w + m for w, m in zip(state, moves, strict=True)]
        final = [values_at(system, state, row, system.compiled.outputs) for row in system.query_rows]
        return spoiled(
            context,
            path=Path(numbers, segments, tuple(state)),
            final_outputs=each(tuple(map(tuple, final)), numbers.fraction),
            **weighted_sum(context, states),
        )

    return descend


def other_problem(**fields: Any) -> Sabotage:
    """The solution as it is, judged for another problem."""
    return lambda context: with_solution(replace(context.problem, **fields), context.solution)


def both(first: Sabotage, second: Sabotage) -> Sabotage:
    return lambda context: second(first(context))


# Small changes, by name.


def doubled(value: Fraction) -> Fraction:
    return 2 * value


def negated(value: Fraction) -> Fraction:
    return -value


def zeroed(_: Fraction) -> Fraction:
    return Fraction(0)


def nudged(value: Fraction) -> Fraction:
    return value + TINY


def final_weights_turned(context: Context) -> Context:
    """The path ends elsewhere than its last step does."""
    path = context.solution.path
    return spoiled(context, path=replace(path, final=path.final[::-1]))


def transposed(context: Context) -> Context:
    kernels = context.solution.path_kernels
    turned = tuple(tuple(tuple(zip(*kernel, strict=True)) for kernel in row) for row in kernels)
    assert turned != kernels
    return spoiled(context, path_kernels=turned)


def loss_weighted(context: Context) -> Context:
    """The loss derivative inside the kernel (remark 2 of the paper): that one is not symmetric."""
    rows = context.solution.contributions
    return spoiled(context, path_kernels=tuple(tuple((example,) for example in row) for row in rows))


def gram_with(entry: Callable[[Fraction], Fraction], *, diagonal: bool) -> Sabotage:
    """The Gram matrix of the training inputs with its diagonal or all other entries changed."""

    def change(context: Context) -> Context:
        kernels, examples = context.solution.path_kernels, range(len(context.problem.data))
        for i in examples:
            query = context.query_of(i)
            assert query is not None
            for j in examples:
                kernels = put(kernels, (query, j, 0, 0), entry) if (i == j) is diagonal else kernels
        return spoiled(context, path_kernels=kernels)

    return change


def weight_times(factor: Fraction | int, query: int, example: int) -> Sabotage:
    return changed("contributions", (query, example, 0), lambda v: v * factor)


def targets_turned(problem: Problem) -> Dataset:
    first, *rest = problem.data.targets
    return Dataset(problem.data.inputs, (*rest, first))


def inputs_turned(problem: Problem) -> Dataset:
    first, *rest = problem.data.inputs
    return Dataset((*rest, first), problem.data.targets)


def targets_moved(problem: Problem) -> Dataset:
    moved = tuple((row[0] + TINY, *row[1:]) for row in problem.data.targets)
    return Dataset(problem.data.inputs, moved)


def initial(*values: str) -> Sabotage:
    return solution_of(initial=tuple(map(Fraction, values)))


def horizon_times(factor: Fraction | int) -> Sabotage:
    return solution_of(horizon=lambda problem: problem.horizon * factor)


def l2(strength: Fraction) -> Sabotage:
    return solution_of(regularizer=Regularizer(strength=strength))


def few_digits(context: Context) -> Solution:
    return solve_precise(context.problem, 10, context.queries)


def expression_loss(text: str) -> Loss:
    return Loss("expression", parse_expression(text, ["y", "target"]))


def model_of(output: str) -> Any:
    return lambda problem: ExpressionModel(
        problem.model.params, ("x",), (parse_expression(output, [*problem.model.params, "x"]),)
    )


NO_HALF = expression_loss("(y - target)**2")
TILTED = expression_loss("(y - target)**2/2 + (y - target)**4/10**20")
MEAN = Loss("squared", reduction="mean")
ALL_DOUBLED = changed_all("contributions", doubled)

# Claim, problem, what was done to the solution.
ROWS: dict[str, tuple[str, str, Sabotage]] = {
    # T1: one number of the decomposition.
    "sign of a contribution": ("T1", "line", changed("contributions", (0, 1, 0), negated)),
    "signs of all contributions": ("T1", "line", changed_all("contributions", negated)),
    "factor 2": ("T1", "line", ALL_DOUBLED),
    "factor 1/2": ("T1", "line", changed_all("contributions", lambda v: v / 2)),
    "dropped example": ("T1", "line", changed("contributions", (1, 2, 0), zeroed)),
    "dropped regularizer": ("T1", "ridge", changed_all("regularizer_terms", zeroed)),
    "regularizer with the wrong sign": ("T1", "ridge", changed_all("regularizer_terms", negated)),
    "initial output nudged": ("T1", "tanh", changed("initial_outputs", (0, 0), nudged)),
    "final output nudged": ("T1", "tanh", changed("final_outputs", (1, 0), nudged)),
    "contribution nudged": ("T1", "tanh", changed("contributions", (1, 2, 0), nudged)),
    "path kernel nudged": ("T1", "tanh", changed("path_kernels", (1, 2, 0, 0), nudged)),
    "regularizer term nudged": ("T1", "ridge", changed("regularizer_terms", (1, 0), nudged)),
    "initial output of another query": ("T1", "line", exchanged("initial_outputs", (0,), (1,))),
    "final output of another query": ("T1", "line", exchanged("final_outputs", (0,), (1,))),
    "initial output left out": ("T1", "line", changed_all("initial_outputs", zeroed)),
    "contributions of another query": ("T1", "tanh", exchanged("contributions", (0,), (1,))),
    "contributions of another output": ("T1k", "two outputs", exchanged("contributions", (0, 0, 0), (0, 0, 1))),
    # T1: the residual stays 0 or hardly moves, and only the second route sees it.
    "contributions exchanged": ("T1", "tanh", exchanged("contributions", (0, 0), (0, 1))),
    "contributions exchanged, logistic": ("T1", "logistic", exchanged("contributions", (0, 0), (0, 2))),
    "a nudge from one contribution to another": (
        "T1", "tanh",
        both(changed("contributions", (0, 0, 0), nudged), changed("contributions", (0, 1, 0), lambda v: v - TINY)),
    ),
    "final output made from a wrong sum": ("T1", "line", hidden(ALL_DOUBLED, "final_outputs")),
    "initial output made from a wrong sum": ("T1", "line", hidden(ALL_DOUBLED, "initial_outputs")),
    "final output nudged, and the residual spread": (
        "T1", "tanh", hidden(changed("final_outputs", (0, 0), nudged), "contributions"),
    ),
    "regularizer in a contribution": ("T1", "ridge", hidden(changed_all("regularizer_terms", zeroed), "contributions")),
    "dropped example in another": ("T1", "line", hidden(changed("contributions", (0, 2, 0), zeroed), "contributions")),
    "initial output of another query, hidden": (
        "T1", "line", hidden(exchanged("initial_outputs", (0,), (1,)), "contributions"),
    ),
    "path kernel of another example": ("T1", "tanh", exchanged("path_kernels", (0, 0), (0, 1))),
    "path kernel of another query": ("T1", "tanh", exchanged("path_kernels", (0, 0), (1, 0))),
    "path kernel transposed": ("T1k", "two outputs", transposed),
    "path kernels zero": ("T1", "line", changed_all("path_kernels", zeroed)),
    # T1: the wrong integral.
    "final weights for the path": ("T1", "quadratic", frozen_at(1)),
    "initial weights for the path": ("T1", "quadratic", frozen_at(0)),
    "initial weights for the path, hidden": ("T1", "quadratic", hidden(frozen_at(0), "final_outputs")),
    "both ends for the path": ("T1", "quadratic", frozen_at(0, 1)),
    "eight midpoints for the path": ("T1", "quadratic", frozen_at(*(Fraction(2 * k + 1, 16) for k in range(8)))),
    "descent for the flow": ("T1", "line", descent(8)),
    "descent for the flow, hidden": ("T1", "line", hidden(descent(8), "contributions")),
    "descent with many steps, hidden": ("T1", "quadratic", hidden(descent(64), "final_outputs")),
    # T1: the right solution of another problem.
    "half the horizon": ("T1", "tanh", horizon_times(HALF)),
    "twice the horizon": ("T1", "tanh", horizon_times(2)),
    "a slightly longer horizon": ("T1", "tanh", horizon_times(1 + TINY)),
    "other initial weights": ("T1", "line", initial("1/5", "0")),
    "other initial weights with the same initial outputs": ("T1", "product", initial("9/50", "1")),
    "final weights exchanged, with the same final outputs": ("T1", "product", final_weights_turned),
    "targets shifted": ("T1", "line", solution_of(data=targets_turned)),
    "targets nudged": ("T1", "line", solution_of(data=targets_moved)),
    "inputs shifted": ("T1", "line", solution_of(data=inputs_turned)),
    "mean for sum": ("T1", "line", solution_of(loss=MEAN)),
    "sum for mean": ("T1", "line", other_problem(loss=MEAN)),
    "squares without the half": ("T1", "line", solution_of(loss=NO_HALF)),
    "a loss that is hardly another": ("T1", "line", solution_of(loss=TILTED)),
    "squares for logistic": ("T1", "logistic", solution_of(loss=Loss("squared"))),
    "logistic for squares": ("T1", "logistic", other_problem(loss=Loss("squared"))),
    "flow without the regularizer": ("T1", "ridge", solution_of(regularizer=None)),
    "flow with the negative regularizer": ("T1", "ridge", l2(Fraction(-1, 3))),
    "flow with a slight regularizer": ("T1", "line", l2(TINY)),
    "another model": ("T1", "product", solution_of(model=model_of("(u + v)*x"))),
    "a model that is hardly another": ("T1", "product", solution_of(model=model_of("u*v*x + u**2*x/10**20"))),
    "a solution of few digits": ("T1", "tanh", lambda context: with_solution(context.problem, few_digits(context))),
    # T1a: the ratio form.
    "T1a: contributions of the wrong sign": ("T1a", "line", changed_all("contributions", negated)),
    "T1a: contribution nudged": ("T1a", "tanh", changed("contributions", (0, 1, 0), nudged)),
    "T1a: path kernel of another example": ("T1a", "tanh", exchanged("path_kernels", (0, 0), (0, 1))),
    "T1a: regularizer left out": ("T1a", "ridge", changed_all("regularizer_terms", zeroed)),
    "T1a: singular matrix kernel": ("T1a", "two outputs", exchanged("path_kernels", (0, 0, 0), (0, 1, 0))),
    # T1b: the limit of gradient descent.
    "T1b: wrong limit": ("T1b", "line", changed("final_outputs", (0, 0), lambda v: v + Fraction(1, 1000))),
    "T1b: limit at another horizon": ("T1b", "line", horizon_times(HALF)),
    "T1b: limit of another loss": ("T1b", "logistic", solution_of(loss=Loss("squared"))),
    "T1b: limit of the mean": ("T1b", "tanh", solution_of(loss=MEAN)),
    "T1b: limit from other weights": ("T1b", "product", initial("9/50", "1")),
    "T1b: limit without the regularizer": ("T1b", "ridge", solution_of(regularizer=None)),
    "T1b: limit of descent with 64 steps": ("T1b", "line", descent(64)),
    # T1c: the weight as an average.
    "T1c: weight above the range": ("T1c", "line", weight_times(4, 0, 0)),
    "T1c: weight below the range": ("T1c", "logistic", weight_times(Fraction(1, 4), 1, 1)),
    "T1c: weight of the other sign": ("T1c", "line", changed_all("contributions", negated)),
    "T1c: weight of another example": ("T1c", "line", exchanged("contributions", (0, 0), (0, 1))),
    # T1g: the initial term.
    "T1g: b of other weights": ("T1g", "line", initial("1/5", "0")),
    "T1g: b of the final weights": (
        "T1g", "line", lambda context: spoiled(context, initial_outputs=context.solution.final_outputs),
    ),
    "T1g: b of another query": ("T1g", "tanh", exchanged("initial_outputs", (0,), (1,))),
    "T1g: b nudged": ("T1g", "tanh", changed("initial_outputs", (1, 0), nudged)),
    # The kernel.
    "D6b: negative diagonal": ("D6b", "tanh", gram_with(negated, diagonal=True)),
    "D6b: large off the diagonal": ("D6b", "tanh", gram_with(lambda v: 40 * v, diagonal=False)),
    "D6b: kernel of the wrong sign": ("D6b", "two outputs", changed_all("path_kernels", negated)),
    "D7: one entry nudged": ("D7", "tanh", changed("path_kernels", (2, 1, 0, 0), nudged)),
    "D7: loss derivative in the kernel": ("D7", "line", loss_weighted),
    "D7: blocks transposed": ("D7", "two outputs", exchanged("path_kernels", (1, 1, 0, 1), (1, 1, 0, 0))),
    "D8: kernel of the final weights": ("D8", "tanh", frozen_at(1)),
    "D8: kernel of the initial weights": ("D8", "tanh", frozen_at(0)),
    "D8: kernel not integrated": ("D8", "quadratic", changed_all("path_kernels", doubled)),
    "D8: kernel nudged": ("D8", "tanh", changed("path_kernels", (0, 2, 0, 0), nudged)),
    "D8: kernel transposed": ("D8", "two outputs", transposed),
    "D8: kernel over another time": ("D8", "tanh", horizon_times(2)),
    # One example.
    "SE: another loss": ("SE", "one example", other_problem(loss=NO_HALF)),
    "SE: kernel nudged": ("SE", "one example", changed("path_kernels", (1, 0, 0, 0), lambda v: v + 10**3 * TINY)),
    "SE: final output nudged": ("SE", "one example", changed("final_outputs", (1, 0), nudged)),
    "SE: kernel of the other query": ("SE", "one example", exchanged("path_kernels", (0,), (1,))),
    # Log-probabilities.
    "R3d: weights 1.0000000001": (
        "R3d", "log-probability", changed_all("contributions", lambda v: v * Fraction("1.0000000001")),
    ),
    "R3d: a weight of -1": ("R3d", "log-probability", changed("contributions", (0, 0, 0), negated)),
    "R3d: weights exchanged": ("R3d", "log-probability", exchanged("contributions", (0, 0), (0, 1))),
    "R3d: kernel nudged": ("R3d", "log-probability", changed("path_kernels", (0, 1, 0, 0), nudged)),
}  # fmt: skip


def verdict_of(claim: str, context: Context) -> Verdict:
    (found,) = PROBLEM_CHECKS[claim](context)
    assert found.claim == claim
    return found.verdict


@pytest.mark.parametrize(("claim", "name"), sorted({(claim, name) for claim, name, _ in ROWS.values()}))
def test_sound_solutions_are_accepted(claim: str, name: str) -> None:
    assert verdict_of(claim, sound(name)).holds


@pytest.mark.parametrize("row", ROWS)
def test_spoiled_solutions_are_not_accepted(row: str) -> None:
    claim, name, sabotage = ROWS[row]
    context = sabotage(sound(name))
    assert context.solution != sound(name).solution or context.problem != sound(name).problem

    assert verdict_of(claim, context) is Verdict.INCONCLUSIVE  # an estimate refutes nothing
