"""Hypothesis strategies for problems: valid by construction, and small when they shrink.

Every flow that comes out exists up to its horizon. The losses are bounded below, so the path is no longer than
``sqrt(T L(w(0)))``, and the formulas are analytic on the whole space: there is no pole to meet on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.expression import Expression, parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel, Model
from pkverify.problem import Dataset, Problem, Regularizer, Vector

# Analytic and of moderate growth, so that drawn flows stay where numbers are easy to read.
SMOOTH_FUNCTIONS = ("tanh", "sin", "cos", "atan", "sigmoid", "softplus", "erf")
KINDS = (
    "linear",
    "deep-linear",
    "mlp",
    "logistic",
    "softmax",
    "expression",
    "regularized",
    "vector",
    "log-probability",
)
_LOSSES = (
    "(y - target)**2/2 + (y - target)**4/10",
    "softplus(y - target) + (y - target)**2/4",
    "log(1 + (y - target)**2)",
)


def numbers(*, largest: int = 2, largest_denominator: int = 5) -> st.SearchStrategy[Fraction]:
    """Small rationals: exact, quick to compute with, and 0 when they shrink.

    Args:
        largest: Bound of the absolute value.
        largest_denominator: Bound of the denominator.

    Example:
        >>> from hypothesis import find
        >>> find(numbers(), lambda value: value >= 1)
        Fraction(1, 1)
    """
    fractions = {
        Fraction(p, q) for q in range(1, largest_denominator + 1) for p in range(-largest * q, largest * q + 1)
    }  # fmt: skip
    # One draw from a list is quicker to make and to shrink than a numerator and a denominator.
    return st.sampled_from(sorted(fractions, key=lambda v: (v.denominator, abs(v), v < 0)))


def vectors(size: int, *, largest: int = 2) -> st.SearchStrategy[Vector]:
    """Rows of so many small rationals."""
    return st.tuples(*(numbers(largest=largest) for _ in range(size)))


def expressions(
    *,
    names: Sequence[str] = ("u", "v", "x"),
    functions: Sequence[str] = SMOOTH_FUNCTIONS,
    largest_size: int = 8,
) -> st.SearchStrategy[Expression]:
    """Formulas of the grammar in the given names: sums, products and functions.

    Args:
        names: The names that may occur; not all of them need to.
        functions: The functions that may occur; the default ones have no poles and no kinks.
        largest_size: Bound of the number of leaves.

    Raises:
        InputError: If there is no name.

    Example:
        >>> from hypothesis import find
        >>> find(expressions(names=("w",)), lambda formula: "w" in formula.names).text
        'w'
    """
    if not names:
        raise InputError("expressions(names=()) has no name", "a formula is one in names", "give one or more names")
    constants = numbers().map(lambda value: f"({value})" if value < 0 or value.denominator > 1 else str(value))
    leaves = st.sampled_from(tuple(names)) | constants

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pairs = st.tuples(inner, inner)
        grown = pairs.map(lambda pair: f"({pair[0]} + {pair[1]})") | pairs.map(lambda pair: f"{pair[0]}*{pair[1]}")
        if functions:
            grown |= st.tuples(st.sampled_from(tuple(functions)), inner).map(lambda pair: f"{pair[0]}({pair[1]})")
        return grown

    return st.recursive(leaves, larger, max_leaves=largest_size).map(lambda text: parse_expression(text, names))


@st.composite
def datasets(
    draw: st.DrawFn,
    *,
    inputs: int = 1,
    outputs: int = 1,
    loss: str = "squared",
    largest_count: int = 3,
) -> Dataset:
    """Training data that suits a loss: numbers, classes 0 and 1, one-hot rows, or no targets.

    Args:
        draw: Given by Hypothesis.
        inputs: Numbers in an input row.
        outputs: Outputs of the model.
        loss: The kind of the loss, which decides on the targets.
        largest_count: Bound of the number of examples; at least one is drawn.

    Example:
        >>> from hypothesis import find
        >>> find(datasets(loss="logistic"), lambda data: len(data) == 2).targets
        ((Fraction(0, 1),), (Fraction(0, 1),))
    """
    count = draw(st.integers(1, largest_count))
    match loss:
        case "logistic":
            target = st.tuples(st.sampled_from((Fraction(0), Fraction(1))))
        case "softmax-cross-entropy":
            rows = [tuple(Fraction(k == chosen) for k in range(outputs)) for chosen in range(outputs)]
            target = st.sampled_from(rows)
        case "nll-log-probability" | "nll-probability":
            target = st.just(())
        case _:
            target = vectors(outputs)
    rows_of = [draw(st.tuples(vectors(inputs), target)) for _ in range(count)]
    return Dataset(tuple(row for row, _ in rows_of), tuple(row for _, row in rows_of))


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    kinds: Collection[str] = KINDS,
    largest_horizon: Fraction = Fraction(3, 2),
    largest_count: int = 3,
    reductions: Sequence[str] = ("sum", "mean"),
) -> Problem:
    """Problems whose flow exists and is analytic: of every kind, scalar and vector, with and without a regulariser.

    Args:
        draw: Given by Hypothesis.
        kinds: Which of ``KINDS`` to draw from.
        largest_horizon: Bound of the horizon.
        largest_count: Bound of the number of examples, and of queries.
        reductions: How losses of examples may be added up.

    Raises:
        InputError: For a kind that there is not.

    Example:
        >>> from hypothesis import find
        >>> smallest = find(problems(kinds=["linear"]), lambda problem: len(problem.data) == 1)
        >>> smallest.data.inputs, smallest.horizon
        (((Fraction(0, 1),),), Fraction(1, 4))
    """
    unknown = sorted({*kinds} - {*KINDS})
    if unknown or not kinds:
        raise InputError(
            f"problems(kinds={list(kinds)})",
            f"{unknown[0]!r} is no kind" if unknown else "there is nothing to draw from",
            f"choose from {', '.join(KINDS)}",
        )
    kind = draw(st.sampled_from([k for k in KINDS if k in kinds]))
    model, loss = draw(_models(kind)), Loss("squared")
    match kind:
        case "logistic":
            loss = Loss("logistic")
        case "softmax":
            loss = Loss("softmax-cross-entropy")
        case "log-probability":
            loss = Loss("nll-log-probability")
        case "expression" | "regularized":
            text = draw(st.none() | st.sampled_from(_LOSSES))
            loss = loss if text is None else Loss("expression", parse_expression(text, ["y", "target"]))
        case _:
            pass
    loss = Loss(loss.kind, loss.value, draw(st.sampled_from(tuple(reductions))))
    data = draw(
        datasets(
            inputs=model.input_count, outputs=model.output_count, loss=loss.kind, largest_count=largest_count
        )
    )  # fmt: skip
    queries = st.none() | st.lists(vectors(model.input_count), min_size=1, max_size=largest_count).map(tuple)
    quarters = st.integers(1, max(1, int(largest_horizon * 4)))
    return Problem(
        model,
        loss,
        data,
        initial=draw(vectors(len(model.params), largest=1)),
        horizon=Fraction(draw(quarters), 4),
        queries=draw(queries),
        regularizer=draw(regularizers(model.params)) if kind == "regularized" else None,
    )


def regularizers(params: Sequence[str]) -> st.SearchStrategy[Regularizer]:
    """Penalties on parameters, bounded below: l2, a quartic, a softplus."""
    first, last = params[0], params[-1]
    texts = (f"{first}**4/10 + ({first} - {last})**2/4", f"softplus({first}) + {last}**2/3")
    strengths = st.sampled_from((Fraction(1), Fraction(2), Fraction(1, 2), Fraction(1, 4)))
    penalties = strengths.map(lambda value: Regularizer(strength=value))
    return penalties | st.sampled_from(texts).map(lambda text: Regularizer(parse_expression(text, list(params))))


@st.composite
def _models(draw: st.DrawFn, kind: str) -> Model:
    match kind:
        case "linear" | "logistic" | "softmax":
            inputs = draw(st.integers(1, 2))
            outputs = draw({"linear": st.integers(1, 2), "softmax": st.integers(2, 3)}.get(kind, st.just(1)))
            return LayeredModel("linear", (inputs, outputs), None, draw(st.booleans()))
        case "deep-linear":
            return LayeredModel("deep-linear", (draw(st.integers(1, 2)), draw(st.integers(1, 2)), 1), None, bias=False)
        case "mlp":
            activation = draw(st.sampled_from(("tanh", "sigmoid", "sin")))
            return LayeredModel("mlp", (1, draw(st.integers(1, 2)), 1), activation, bias=True)
        case "vector":
            return ExpressionModel(("u", "v"), ("x",), (draw(expressions()), draw(expressions())))
        case "log-probability":
            logit = draw(expressions(functions=("tanh", "sin")))
            return ExpressionModel(("u", "v"), ("x",), (parse_expression(f"-softplus({logit.text})", ["u", "v", "x"]),))
        case _:
            return ExpressionModel(("u", "v"), ("x",), (draw(expressions()),))
