"""Metamorphic relations: a problem changed in a known way, and how its decomposition must change.

They judge code for which nobody has reference numbers: run it on both problems and compare. Each relation is a theorem;
``RELATIONS`` states it. Numbers are intervals, so that certified balls, decimals with an error bound and plain floats
go through the same comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pkverify.losses import loss_names
from pkverify.problem import Dataset, Problem, Vector
from pkverify.testing.comparison import FIELDS, Numbers, affine, by_example, unchanged, with_zero_output
from pkverify.testing.formulas import combination, formulas, rewritten, times

_ZERO = Fraction(0)
_COSINE, _SINE, _SHIFT = Fraction(3, 5), Fraction(4, 5), Fraction(1, 3)
_FASTER = Fraction(3)
_SLOPE, _OFFSET, _MIX = Fraction(-2), Fraction(1, 2), Fraction(1, 3)


@dataclass(frozen=True)
class Related:
    """A changed problem, and what its numbers are, given those of the problem that it was made of."""

    problem: Problem
    expected: Callable[[Numbers], Numbers]


@dataclass(frozen=True)
class Relation:
    """A way to change a problem.

    Attributes:
        statement: What is changed, what changes with it, and why.
        apply: The changed problem, or None where there is nothing to change.
    """

    statement: str
    apply: Callable[[Problem], Related | None]


def _reversed_examples(problem: Problem) -> Related | None:
    if len(problem.data) < 2:
        return None
    order = range(len(problem.data))[::-1]
    changed = replace(problem, data=_picked(problem, order), queries=problem.query_inputs)
    return Related(changed, lambda numbers: by_example(numbers, order))


def _first_query(problem: Problem) -> Related | None:
    if len(problem.query_inputs) < 2:
        return None

    def expected(numbers: Numbers) -> Numbers:
        return Numbers(*(getattr(numbers, name)[:1] for name in FIELDS))

    return Related(replace(problem, queries=problem.query_inputs[:1]), expected)


def _as_formulas(problem: Problem) -> Related | None:
    return Related(rewritten(formulas(problem)), unchanged)


def _rotated(problem: Problem) -> Related | None:
    matrix = rotation(len(problem.initial))
    moved = [w - _SHIFT for w in problem.initial]
    initial = tuple(sum((row[k] * w for row, w in zip(matrix, moved, strict=True)), _ZERO) for k in range(len(moved)))
    return Related(with_params(problem, matrix, [_SHIFT] * len(moved), initial), unchanged)


def _scaled_params(problem: Problem) -> Related | None:
    size = len(problem.initial)
    matrix = [[Fraction(2) if i == k else _ZERO for k in range(size)] for i in range(size)]
    changed = with_params(problem, matrix, [_ZERO] * size, tuple(w / 2 for w in problem.initial))
    return Related(replace(changed, horizon=problem.horizon / 4), unchanged)


def _faster(problem: Problem) -> Related | None:
    told = formulas(problem)
    names = loss_names("y", problem.model.output_count), loss_names("target", told.target_count)
    penalty = told.penalty()
    changed = rewritten(
        told,
        loss=times(_FASTER, told.loss(*names)),
        penalty=None if penalty is None else times(_FASTER, penalty),
        horizon=problem.horizon / _FASTER,
    )
    return Related(changed, lambda numbers: by_example(numbers, range(len(problem.data)), kernels=1 / _FASTER))


def _affine_output(problem: Problem) -> Related | None:
    count = problem.model.output_count
    # Lower triangular, so that its inverse is read off: y'_0 = a y_0 + b, and y'_k = a y_k + c y_0 + b.
    matrix = [[_SLOPE if k == j else _MIX if j == 0 else _ZERO for j in range(count)] for k in range(count)]
    first = [[1 / _SLOPE if j == 0 else _ZERO for j in range(count)]]
    inverse = first + [
        [1 / _SLOPE if k == j else -_MIX / _SLOPE**2 if j == 0 else _ZERO for j in range(count)]
        for k in range(1, count)
    ]
    told = formulas(problem)
    back = [
        combination(row, [f"({name} + ({-_OFFSET}))" for name in loss_names("y", count)]) for row in inverse
    ]  # fmt: skip
    changed = rewritten(
        told,
        outputs=[combination(row, [f"({text})" for text in told.outputs()], _OFFSET) for row in matrix],
        loss=told.loss(back, loss_names("target", told.target_count)),
    )
    return Related(changed, lambda numbers: affine(numbers, matrix, _OFFSET))


def _doubled(problem: Problem) -> Related | None:
    count = len(problem.data)
    twice = (*range(count), *range(count))
    data = _picked(problem, twice)
    halves = [Fraction(1, 2)] * (2 * count)
    if problem.loss.reduction == "mean":
        changed = replace(problem, data=data, queries=problem.query_inputs)
        return Related(changed, lambda numbers: by_example(numbers, twice, contributions=halves))
    told = formulas(problem)
    penalty = told.penalty()
    changed = rewritten(
        told, data=data, horizon=problem.horizon / 2, penalty=None if penalty is None else times(Fraction(2), penalty)
    )
    return Related(
        changed, lambda numbers: by_example(numbers, twice, contributions=halves, kernels=Fraction(1, 2))
    )  # fmt: skip


def _two_halves(problem: Problem) -> Related | None:
    count, outputs = len(problem.data), problem.model.output_count
    told = formulas(problem)
    whose = (0, *range(count))
    weights = [Fraction(1, 2), Fraction(1, 2), *[Fraction(1)] * (count - 1)]
    # One more output, which is 0, makes room for one more target: the weight of the example.
    rows = tuple(
        (*problem.data.targets[i], *[_ZERO] * (outputs - told.target_count), weight)
        for i, weight in zip(whose, weights, strict=True)
    )
    names = loss_names("y", outputs + 1), loss_names("target", outputs + 1)
    of_one = told.loss(names[0][:-1], names[1][: told.target_count])
    changed = rewritten(
        told,
        outputs=[*told.outputs(), "0"],
        loss=times(problem.example_scale, f"({of_one})*{names[1][-1]}"),
        reduction="sum",
        data=Dataset(tuple(problem.data.inputs[i] for i in whose), rows),
    )
    return Related(changed, lambda numbers: with_zero_output(by_example(numbers, whose, contributions=weights)))


def _rest_as_penalty(problem: Problem, kept: Sequence[int]) -> Related | None:
    others = [i for i in range(len(problem.data)) if i not in kept]
    if not others or not kept:
        return None
    told = formulas(problem)
    penalty = told.penalty()
    terms = [] if penalty is None else [penalty]
    for i in others:
        outputs = told.outputs(inputs=[f"({v})" for v in problem.data.inputs[i]])
        of_one = told.loss(outputs, [f"({v})" for v in problem.data.targets[i]])
        terms.append(times(problem.example_scale, of_one))
    names = loss_names("y", problem.model.output_count), loss_names("target", told.target_count)
    changed = rewritten(
        told,
        loss=times(problem.example_scale, told.loss(*names)),
        reduction="sum",
        penalty=" + ".join(terms),
        data=_picked(problem, kept),
    )

    def expected(numbers: Numbers) -> Numbers:
        moved = tuple(
            tuple(sum((row[i] for i in others), term) for row, term in zip(rows, terms, strict=True))
            for rows, terms in zip(numbers.contributions, numbers.regularizer_term, strict=True)
        )
        return replace(by_example(numbers, kept), regularizer_term=moved)

    return Related(changed, expected)


def rotation(size: int) -> list[list[Fraction]]:
    """A rational orthogonal matrix: pairs of parameters turned by the angle of 3/5 and 4/5; an odd last one negated."""
    matrix = [[_ZERO] * size for _ in range(size)]
    for k in range(0, size - 1, 2):
        matrix[k][k], matrix[k][k + 1] = _COSINE, -_SINE
        matrix[k + 1][k], matrix[k + 1][k + 1] = _SINE, _COSINE
    if size % 2:
        matrix[-1][-1] = Fraction(-1)
    return matrix


def with_params(
    problem: Problem, matrix: Sequence[Sequence[Fraction]], shift: Sequence[Fraction], initial: Vector
) -> Problem:
    """The problem in parameters ``v``, where ``w = matrix v + shift``, from the initial ``v`` that is given."""
    told = formulas(problem)
    new = [f"({combination(row, told.params, c)})" for row, c in zip(matrix, shift, strict=True)]
    return rewritten(told, outputs=told.outputs(new), penalty=told.penalty(new), initial=initial)


def _picked(problem: Problem, examples: Sequence[int]) -> Dataset:
    data = problem.data
    return replace(
        data, inputs=tuple(data.inputs[i] for i in examples), targets=tuple(data.targets[i] for i in examples)
    )  # fmt: skip


RELATIONS: dict[str, Relation] = {
    "examples in reverse": Relation(
        "The order of the examples means nothing: contributions and path kernels come in the new order.",
        _reversed_examples,
    ),
    "the first query alone": Relation("A prediction does not depend on which others are asked for.", _first_query),
    "written as formulas": Relation(
        "A built-in model, loss or penalty is the formula that it stands for: nothing changes.", _as_formulas
    ),
    "parameters rotated and shifted": Relation(
        "An isometry w = Q v + c of the parameters keeps gradient flow and inner products of gradients, so nothing"
        " changes.",
        _rotated,
    ),
    "parameters halved": Relation(
        "With w = 2 v gradients double: the path is run through in a quarter of the time, with four times the tangent"
        " kernel, and nothing else changes.",
        _scaled_params,
    ),
    "time rescaled": Relation(
        "Three times the loss and the penalty, for a third of the time: the same path, the same contributions, a third"
        " of each path kernel.",
        _faster,
    ),
    "outputs mapped": Relation(
        "Outputs A y + b under the loss of the old outputs: the same path; parts are multiplied by A, path kernels by A"
        " on both sides, and b is added to the initial and the final output.",
        _affine_output,
    ),
    "every example twice": Relation(
        "Twice every example is twice the loss: for half of the time (or at once, where the loss is a mean) the same"
        " path. Each copy has half of the contribution.",
        _doubled,
    ),
    "one example as two halves": Relation(
        "An example is the same as two copies of half its weight: each has half of its contribution, and the whole of"
        " its path kernel.",
        _two_halves,
    ),
    "all but the first example as a penalty": Relation(
        "Along one path contributions add up over a union of training sets: the loss of a part, moved into the penalty,"
        " takes its contributions along into the regularizer term, and leaves the others as they are.",
        lambda problem: _rest_as_penalty(problem, range(1)),
    ),
    "the first example as a penalty": Relation(
        "As before, with the other part of the training set.",
        lambda problem: _rest_as_penalty(problem, range(1, len(problem.data))),
    ),
}
