"""A problem: a model, a loss, training data, where the flow starts and ends, and the queries. All of it exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from typing import TypeVar

from pkverify.errors import InputError
from pkverify.expression import Algebra, Expression
from pkverify.losses import Loss
from pkverify.models import Model, l2_penalty
from pkverify.rational import parse_rational

T = TypeVar("T")
Vector = tuple[Fraction, ...]

_SHOWN = 8  # rows and numbers in a notebook


@dataclass(frozen=True)
class Regularizer:
    """A penalty on the parameters: a formula in their names, or ``strength/2 * |params|^2``.

    Raises:
        InputError: Unless exactly one of the two is given.

    Example:
        >>> Regularizer(strength=Fraction(1, 5)).value is None
        True
    """

    value: Expression | None = None
    strength: Fraction | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.strength is None):
            raise InputError(
                "[regularizer] needs either value or strength",
                "it is a formula or an l2 penalty",
                "give one of the two",
            )
        if self.strength is not None:
            object.__setattr__(self, "strength", parse_rational(self.strength))

    def build(self, algebra: Algebra[T], names: Sequence[str], params: Sequence[T]) -> T:
        """The penalty over an algebra."""
        if self.value is not None:
            return self.value.build(algebra, dict(zip(names, params, strict=True)))
        assert self.strength is not None
        return l2_penalty(algebra, params, self.strength)


@dataclass(frozen=True)
class Dataset:
    """Training examples.

    Numbers of any kind that ``parse_rational`` reads become exact, so that no binary float gets in.

    Attributes:
        inputs: One row an example.
        targets: One row an example; rows are empty for a loss without targets.
        classes: Names of the classes where the targets are one-hot rows of a named column, in the order of the outputs.

    Raises:
        InputError: For an entry that is no number.

    Example:
        >>> Dataset(((Fraction(1),),), ((Fraction(1, 3),),)).targets
        ((Fraction(1, 3),),)
    """

    inputs: tuple[Vector, ...]
    targets: tuple[Vector, ...]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _exact_rows("[data] x", self.inputs))
        object.__setattr__(self, "targets", _exact_rows("[data] y", self.targets))
        object.__setattr__(self, "classes", tuple(self.classes))

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Problem:
    """Everything the theorem speaks of, checked on construction.

    Attributes:
        model: ``f_w(x)``.
        loss: The loss of one example, and how examples are added up.
        data: The training examples.
        initial: The initial parameters ``w(0)``, in the order of ``model.params``.
        horizon: The end of the gradient flow, greater than 0.
        queries: The inputs whose outputs are decomposed; None stands for the training inputs.
        regularizer: An optional penalty on the parameters, added to the loss.
        title: A name for reports.

    Raises:
        InputError: If sizes or names do not fit, the data is empty, or the horizon is not positive.

    Example:
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> one = Fraction(1)
        >>> line, data = LayeredModel("linear", (1, 1), None, False), Dataset(((one,),), ((2 * one,),))
        >>> problem = Problem(line, Loss("squared"), data, initial=(one,), horizon=one)
        >>> problem.query_inputs
        ((Fraction(1, 1),),)
    """

    model: Model
    loss: Loss
    data: Dataset
    initial: Vector
    horizon: Fraction
    queries: tuple[Vector, ...] | None = None
    regularizer: Regularizer | None = None
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", _exact_rows("[flow] initial", (self.initial,))[0])
        object.__setattr__(self, "horizon", _exact("[flow] horizon", self.horizon))
        if self.queries is not None:
            object.__setattr__(self, "queries", _exact_rows("[query] x", self.queries))
        inputs, outputs, params = self.model.input_count, self.model.output_count, self.model.params
        if not self.data.inputs:
            raise InputError("[data] x is empty", "the theorem needs at least one training example", "add a row to x")
        for place, rows in (("[data] x", self.data.inputs), ("[query] x", self.queries or ())):
            _check_rows(place, rows, inputs, "inputs of the model")
        if self.queries is not None and not self.queries:
            raise InputError(
                "[query] x is empty", "there is nothing to decompose", "add a row, or leave the section out"
            )
        if len(self.data.targets) != len(self.data.inputs):
            raise InputError(
                f"[data] y has {len(self.data.targets)} rows and x has {len(self.data.inputs)}",
                "every example has one target row",
                "make them equally long",
            )
        targets = self.loss.target_count(outputs)
        if targets == 0 and any(self.data.targets):
            raise InputError(
                f"[data] y is given, and the loss {self.loss.kind} has no target", "it would be ignored", "remove y"
            )
        if targets > 0 and not any(self.data.targets):
            raise InputError("[data] y is missing", f"the loss {self.loss.kind} compares outputs with targets", "add y")
        _check_rows(
            "[data] y", self.data.targets, targets, f"targets of the loss {self.loss.kind} on {outputs} output(s)"
        )
        self._check_class_targets(outputs)
        self._check_regularizer_names()
        if len(self.initial) != len(params):
            raise InputError(
                f"[flow] initial has {len(self.initial)} numbers and the model has {len(params)} parameters",
                f"the parameters are {', '.join(params[:12])}{', ...' if len(params) > 12 else ''}",
                f"give {len(params)} numbers in this order",
            )
        if self.horizon <= 0:
            raise InputError(
                f"[flow] horizon is {self.horizon}",
                "the flow runs from time 0 to the horizon",
                "give a positive number",
            )

    def _check_regularizer_names(self) -> None:
        formula = self.regularizer.value if self.regularizer is not None else None
        unknown = sorted(formula.names - {*self.model.params}) if formula is not None else []
        if unknown:
            raise InputError(
                f"[regularizer] value uses {unknown[0]!r}",
                "a penalty is a function of the parameters",
                "use their names",
            )

    def _check_class_targets(self, outputs: int) -> None:
        if self.data.classes and len(self.data.classes) != outputs:
            raise InputError(
                f"[data] has {len(self.data.classes)} classes and the model {outputs} output(s)",
                f"the classes are {', '.join(self.data.classes[:12])}",
                "give the model one output per class",
            )
        if self.loss.kind == "logistic" and any(row[0] not in (0, 1) for row in self.data.targets):
            raise InputError(
                "[data] y has a value other than 0 and 1",
                "the logistic loss needs classes 0 and 1",
                "recode the targets",
            )
        if self.loss.kind == "softmax-cross-entropy" and any(
            sum(row) != 1 or min(row) < 0 for row in self.data.targets
        ):
            raise InputError(
                "[data] y has a row that is no probability vector",
                "the softmax loss needs one-hot rows (or probabilities)",
                "give for example [1, 0, 0]",
            )

    @property
    def query_inputs(self) -> tuple[Vector, ...]:
        """The inputs whose outputs are decomposed."""
        return self.data.inputs if self.queries is None else self.queries

    @property
    def example_scale(self) -> Fraction:
        """The factor of each example's loss in the total loss: 1 for the sum, 1/m for the mean."""
        return Fraction(1, len(self.data)) if self.loss.reduction == "mean" else Fraction(1)

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        model, loss, data = self.model, self.loss, self.data
        pairs = [_row(x) + (f" \u2192 {_row(y)}" if y else "") for x, y in zip(data.inputs, data.targets, strict=True)]
        start = [f"{name} = {value}" for name, value in zip(model.params, self.initial, strict=True)]
        sizes = ((len(model.params), "parameter"), (model.input_count, "input"), (model.output_count, "output"))
        queries = "the training inputs" if self.queries is None else _some([_row(x) for x in self.queries], "; ")
        rows = [
            ("model", ", ".join([model.kind, *(_counted(count, name) for count, name in sizes)])),
            ("loss", f"{loss.kind}, the {loss.reduction} over the examples"),
            ("regularizer", _penalty_text(self.regularizer)),
            (_counted(len(data), "example"), _some(pairs, "; ")),
            ("initial parameters", _some(start, ", ")),
            ("horizon", str(self.horizon)),
            ("queries", queries),
        ]
        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows if text)
        return f"<table><caption>{escape(self.title or 'Problem')}</caption><tbody>{body}</tbody></table>"


def _exact(place: str, value: object) -> Fraction:
    try:
        return parse_rational(value)
    except InputError as error:
        raise error.located(place) from None


def _exact_rows(place: str, rows: Sequence[Sequence[object]]) -> tuple[Vector, ...]:
    return tuple(tuple(_exact(place, value) for value in row) for row in rows)


def _check_rows(place: str, rows: Sequence[Vector], width: int, meaning: str) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise InputError(
                f"{place}, row {number} has {len(row)} number(s)",
                f"there are {width} {meaning}",
                f"give {width} in each row",
            )


def _penalty_text(penalty: Regularizer | None) -> str:
    if penalty is None:
        return ""
    return penalty.value.text if penalty.value is not None else f"({penalty.strength})/2 |params|^2"


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _row(numbers: Vector) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"({_some([str(v) for v in numbers], ', ')})"


def _some(parts: Sequence[str], separator: str) -> str:
    """The first parts of a list, and how many more there are."""
    more = len(parts) - _SHOWN
    return separator.join([*parts[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
