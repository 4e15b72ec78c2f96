"""Every relation holds on problems that nobody chose; what is nearly a relation is told from one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkverify.certified.route import decompose_certified
from pkverify.checks.context import Context
from pkverify.precise.route import decompose_precise
from pkverify.problem import Dataset, Problem
from pkverify.problem_file import parse_problem
from pkverify.testing.comparison import (
    Interval,
    Numbers,
    affine,
    by_example,
    contributions_only,
    mismatch,
    numbers_of,
    unchanged,
)
from pkverify.testing.formulas import formulas, rewritten, times
from pkverify.testing.relations import RELATIONS, Related, rotation, with_params
from pkverify.testing.sabotage import MISTAKES, Split, true_split
from pkverify.testing.strategies import problems

ONE = Fraction(1)
DIGITS = 10

PENALISED = parse_problem("""
model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*tanh(v*x) + v/3"}
loss.kind = "squared"
regularizer.value = "u**2/5 + u*v/7"
data = {x = [1, "-1/2"], y = [2, "1/3"]}
flow = {initial = ["1/2", "-3/4"], horizon = "3/4"}
query.x = [2, "1/3"]
""")
CLASSES = parse_problem("""
model = {kind = "linear"}
loss.kind = "softmax-cross-entropy"
data = {x = [[1], ["-1/2"], [2]], y = [[1, 0], [0, 1], [0, 1]]}
flow = {initial = ["1/2", 0, "-1/3", 1], horizon = "3/4"}
query.x = [["1/3"], [-1]]
""")
FIXED = {"penalised": PENALISED, "classes": CLASSES}


@cache  # the fixed problems come again and again
def certified(problem: Problem) -> Numbers:
    return numbers_of(decompose_certified(problem, DIGITS))


def precise(problem: Problem) -> Numbers:
    return numbers_of(decompose_precise(problem, DIGITS + 2))


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=5)
@given(problem=problems(), swapped=st.booleans())
def test_a_relation_holds_from_one_route_to_another(name: str, problem: Problem, *, swapped: bool) -> None:
    related = RELATIONS[name].apply(problem)
    if related is not None:
        first, second = (precise, certified) if swapped else (certified, precise)
        assert mismatch(second(related.problem), related.expected(first(problem))) is None


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("problem", FIXED)
def test_a_relation_changes_what_it_says(name: str, problem: str) -> None:
    related = RELATIONS[name].apply(FIXED[problem])
    assert related is not None
    assert related.problem != FIXED[problem]
    assert mismatch(certified(related.problem), related.expected(certified(FIXED[problem]))) is None


@pytest.mark.parametrize(
    "name", ["examples in reverse", "the first query alone", "all but the first example as a penalty"]
)
def test_a_relation_says_where_there_is_nothing_to_change(name: str) -> None:
    alone = replace(PENALISED, data=Dataset(((ONE,),), ((ONE,),)), queries=((ONE,),))
    assert RELATIONS[name].apply(alone) is None


# What is nearly a relation: the change, or what is said to follow from it, is a little wrong.


def said(name: str, wrong: Callable[[Problem, Numbers], Numbers]) -> Callable[[Problem], Related]:
    """A true change with a wrong consequence."""

    def apply(problem: Problem) -> Related:
        related = RELATIONS[name].apply(problem)
        assert related is not None
        return Related(related.problem, lambda numbers: wrong(problem, numbers))

    return apply


def done(name: str, spoil: Callable[[Problem], Problem]) -> Callable[[Problem], Related]:
    """A true consequence of another change."""

    def apply(problem: Problem) -> Related:
        related = RELATIONS[name].apply(problem)
        assert related is not None
        return Related(spoil(related.problem), related.expected)

    return apply


def sheared(problem: Problem) -> Related:
    size = len(problem.initial)
    matrix = [[ONE if k == i or (i, k) == (0, 1) else Fraction(0) for k in range(size)] for i in range(size)]
    initial = (problem.initial[0] - problem.initial[1], *problem.initial[1:])
    return Related(with_params(problem, matrix, [Fraction(0)] * size, initial), unchanged)


def turned_without_its_start(problem: Problem) -> Related:
    matrix = rotation(len(problem.initial))
    return Related(with_params(problem, matrix, [Fraction(0)] * len(matrix), problem.initial), unchanged)


def louder(problem: Problem) -> Related:
    told = formulas(problem)
    names = (["y"], ["target"]) if problem.model.output_count == 1 else (["y0", "y1"], ["target0", "target1"])
    return Related(rewritten(told, loss=times(Fraction(101, 100), told.loss(*names))), unchanged)


def everyone(problem: Problem) -> range:
    return range(len(problem.data))


def twice(problem: Problem) -> tuple[int, ...]:
    return (*everyone(problem), *everyone(problem))


def longer(problem: Problem) -> Problem:
    return replace(problem, horizon=problem.horizon * Fraction(101, 100))


def halves(count: int) -> list[Fraction]:
    return [Fraction(1, 2)] * count


FALSE: dict[str, Callable[[Problem], Related]] = {
    "reversed examples, same contributions": said("examples in reverse", lambda _, n: n),
    "the other query": said(
        "the first query alone", lambda _, n: Numbers(*(getattr(n, f)[1:] for f in Numbers.__dataclass_fields__))
    ),
    "formulas of a longer flow": done("written as formulas", longer),
    "sheared parameters": sheared,
    "rotated parameters from the old start": turned_without_its_start,
    "halved parameters, the whole time": done("parameters halved", lambda p: replace(p, horizon=p.horizon * 4)),
    "time rescaled, path kernels kept": said("time rescaled", lambda _, n: n),
    "time rescaled, contributions rescaled": said(
        "time rescaled",
        lambda p, n: by_example(n, everyone(p), contributions=[ONE / 3] * len(p.data), kernels=ONE / 3),
    ),
    "a louder loss": louder,
    "mapped outputs, numbers kept": said("outputs mapped", lambda _, n: n),
    "mapped outputs, path kernels mapped on one side": said(
        "outputs mapped", lambda p, n: replace(mapped(p, n), path_kernel=one_sided(p, n).path_kernel)
    ),
    "mapped outputs, the offset among the contributions": said(
        "outputs mapped", lambda p, n: shifted(mapped(p, n), Fraction(1, 2))
    ),
    "mapped outputs without the offset": said("outputs mapped", lambda p, n: affine(n, matrix_of(p), Fraction(0))),
    "every example twice, whole contributions": said(
        "every example twice", lambda p, n: by_example(n, twice(p), kernels=ONE / 2)
    ),
    "every example twice, for the whole time": done("every example twice", lambda p: replace(p, horizon=p.horizon * 2)),
    "every example twice, whole path kernels": said(
        "every example twice", lambda p, n: by_example(n, twice(p), contributions=halves(2 * len(p.data)))
    ),
    "two whole copies": said("one example as two halves", lambda p, n: by_example(n, (0, *everyone(p)))),
    "two halves with half path kernels": said(
        "one example as two halves",
        lambda p, n: by_example(n, (0, *everyone(p)), contributions=halves(len(p.data) + 1), kernels=ONE / 2),
    ),
    "parts trained apart": done("all but the first example as a penalty", lambda p: replace(p, regularizer=None)),
    "a part without the others' contributions in the penalty": said(
        "all but the first example as a penalty", lambda _, n: by_example(n, range(1))
    ),
    "the other part's contributions": said(
        "all but the first example as a penalty", lambda _, n: by_example(n, range(1, 2))
    ),
    "the whole for a part": said("the first example as a penalty", lambda _, n: n),
}


def matrix_of(problem: Problem) -> list[list[Fraction]]:
    count = problem.model.output_count
    return [
        [Fraction(-2) if k == j else ONE / 3 if j == 0 else Fraction(0) for j in range(count)] for k in range(count)
    ]


def mapped(problem: Problem, numbers: Numbers) -> Numbers:
    return affine(numbers, matrix_of(problem), Fraction(1, 2))


def one_sided(problem: Problem, numbers: Numbers) -> Numbers:
    return by_example(numbers, everyone(problem), kernels=Fraction(-2))


def shifted(numbers: Numbers, by: Fraction) -> Numbers:
    rows = numbers.contributions
    moved = tuple(tuple((row[0] + Interval(by, by), *row[1:]) for row in query) for query in rows)
    return replace(numbers, contributions=moved)


def test_there_are_more_false_relations_than_true_ones() -> None:
    assert len(FALSE) > len(RELATIONS)


@pytest.mark.parametrize("name", FALSE)
@pytest.mark.parametrize("problem", FIXED)
def test_what_is_no_relation_is_told_apart(name: str, problem: str) -> None:
    related = FALSE[name](FIXED[problem])
    assert mismatch(certified(related.problem), related.expected(certified(FIXED[problem]))) is not None


# The relations judge code that gives contributions alone, as floats.


def peer(mistake: str | None) -> Callable[[Problem], list[list[list[float]]]]:
    """Somebody else's contributions, in floats, right or wrong."""

    def compute(problem: Problem) -> list[list[list[float]]]:
        context = Context(problem, DIGITS + 4)
        split: Split = true_split(context.solution)[: len(context.asked)]
        if mistake is not None:
            split = MISTAKES[mistake](split, context)
        return [[[float(value) for value in row] for row in rows] for rows in split]

    return compute


def breaks(compute: Callable[[Problem], Sequence[Sequence[Sequence[float]]]], name: str, problem: Problem) -> bool:
    """Whether a function's numbers contradict a relation."""
    related = RELATIONS[name].apply(problem)
    assert related is not None
    found, base = contributions_only(compute(related.problem)), contributions_only(compute(problem))
    expected = related.expected(base)
    return mismatch(found, expected, tolerance=Fraction(1, 10**8), fields=("contributions",)) is not None


@pytest.mark.parametrize("name", RELATIONS)
def test_right_contributions_of_others_break_no_relation(name: str) -> None:
    assert not breaks(peer(None), name, PENALISED)


@pytest.mark.parametrize(
    ("mistake", "relation"),
    [
        ("the last example dropped", "examples in reverse"),
        ("the first example of the wrong sign", "examples in reverse"),
        ("spread evenly", "all but the first example as a penalty"),
        ("a hundredth moved to another example", "the first example as a penalty"),
        ("another query's", "the first query alone"),
        ("regularizer shared among the examples", "the first example as a penalty"),
        ("left-endpoint sum, forced to add up", "examples in reverse"),
    ],
)
def test_mistakes_of_others_break_a_relation(mistake: str, relation: str) -> None:
    assert breaks(peer(mistake), relation, PENALISED)


def test_comparisons_name_the_first_number_that_is_off() -> None:
    right, wrong = contributions_only([[[1.0, 2.0]]]), contributions_only([[[1.0, 2.5]]])
    assert mismatch(wrong, right) == "contributions[0][0][1] is 2.5, expected is 2"
    assert mismatch(wrong, right, tolerance=Fraction(1, 4)) is None
    assert mismatch(wrong, right, fields=("final_output",)) is None
    assert mismatch(contributions_only([[[1.0]]]), right) == "contributions: 1 numbers, expected are 2"


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises((ValueError, OverflowError), match=r"NaN|nan"):
        contributions_only([[[float("nan")]]])
