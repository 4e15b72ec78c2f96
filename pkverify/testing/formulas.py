"""Problems written out as formulas, so that parameters, outputs and losses can be replaced by others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pkverify.expression import Expression, parse_expression
from pkverify.losses import Loss, loss_names
from pkverify.models import ExpressionModel
from pkverify.problem import Dataset, Problem, Regularizer, Vector


class TextAlgebra:
    """An algebra of texts: a formula built over it is the text of that formula.

    Example:
        >>> parse_expression("2*w + tanh(x)", ["w", "x"]).build(TextAlgebra(), {"w": "(a - b)", "x": "x"})
        '(2*(a - b) + tanh(x))'
    """

    def number(self, value: Fraction) -> str:
        return str(value) if value >= 0 and value.denominator == 1 else f"({value})"

    def pi(self) -> str:
        return "pi"

    def add(self, terms: Sequence[str]) -> str:
        return terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"

    def multiply(self, left: str, right: str) -> str:
        return f"{left}*{right}"

    def divide(self, left: str, right: str) -> str:
        return f"({left})/({right})"

    def power(self, base: str, exponent: Fraction) -> str:
        return f"({base})**({exponent})"

    def call(self, function: str, argument: str) -> str:
        return f"{function}({argument})"


_TEXT = TextAlgebra()


@dataclass(frozen=True)
class Formulas:
    """A problem whose model, loss and penalty are texts in the names of parameters, inputs, outputs and targets.

    Attributes:
        problem: Where they come from.
        params: Names ``p1``, ``p2``, ...
        inputs: Names ``x1``, ``x2``, ...
    """

    problem: Problem
    params: tuple[str, ...]
    inputs: tuple[str, ...]

    def outputs(self, params: Sequence[str] | None = None, inputs: Sequence[str] | None = None) -> list[str]:
        """The outputs of the model, with texts in the places of parameters and inputs."""
        return self.problem.model.build(_TEXT, params or self.params, inputs or self.inputs)

    def loss(self, outputs: Sequence[str], targets: Sequence[str]) -> str:
        """The loss of one example, without the factor of the mean."""
        return self.problem.loss.build(_TEXT, outputs, targets)

    def penalty(self, params: Sequence[str] | None = None) -> str | None:
        """The penalty, or None."""
        penalty = self.problem.regularizer
        return None if penalty is None else penalty.build(_TEXT, self.problem.model.params, params or self.params)

    @property
    def target_count(self) -> int:
        """How many numbers stand in a row of targets."""
        return len(self.problem.data.targets[0])


def formulas(problem: Problem) -> Formulas:
    """A problem in formulas.

    Args:
        problem: Any problem.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> told = formulas(parse_problem('''
        ... model = {kind = "linear"}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0, 0], horizon = 1}
        ... '''))
        >>> told.outputs(), told.loss(["y"], ["target"])
        (['(p1*x1 + p2)'], '(1/2)*((y + (-1)*target))**(2)')
    """
    model = problem.model
    return Formulas(
        problem,
        tuple(f"p{k + 1}" for k in range(len(model.params))),
        tuple(f"x{k + 1}" for k in range(model.input_count)),
    )


def rewritten(  # noqa: PLR0913 - the parts of a problem
    told: Formulas,
    *,
    outputs: Sequence[str] | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    penalty: str | None = None,
    data: Dataset | None = None,
    initial: Vector | None = None,
    horizon: Fraction | None = None,
    queries: tuple[Vector, ...] | None = None,
) -> Problem:
    """A problem put together from formulas; what is left out is as it was.

    Args:
        told: The formulas of the problem to begin with.
        outputs: The model's outputs, in the names of parameters and inputs.
        loss: The loss of one example, in ``y``, ``target`` (one output), or ``y0``, ``target0``, ... (several).
        reduction: How the examples are added up.
        penalty: The regulariser.
        data: Training examples.
        initial: Initial parameters.
        horizon: The horizon.
        queries: The queries; the same inputs as before when left out, also where they were the training inputs.

    Raises:
        InputError: If the parts do not fit.
    """
    problem = told.problem
    texts = told.outputs() if outputs is None else list(outputs)
    names = (*loss_names("y", len(texts)), *loss_names("target", max(len(texts), told.target_count)))
    if loss is None:
        loss = told.loss(loss_names("y", len(texts)), loss_names("target", told.target_count))
    given = told.penalty() if penalty is None else penalty
    return Problem(
        ExpressionModel(told.params, told.inputs, tuple(_read(t, (*told.params, *told.inputs)) for t in texts)),
        Loss("expression", _read(loss, names), problem.loss.reduction if reduction is None else reduction),
        problem.data if data is None else data,
        initial=problem.initial if initial is None else initial,
        horizon=problem.horizon if horizon is None else horizon,
        queries=problem.query_inputs if queries is None else queries,
        regularizer=None if given is None else Regularizer(_read(given, told.params)),
        title=problem.title,
    )


def times(factor: Fraction, text: str) -> str:
    """The text of a product with a number."""
    return _TEXT.multiply(_TEXT.number(factor), f"({text})")


def combination(factors: Sequence[Fraction], names: Sequence[str], constant: Fraction = Fraction(0)) -> str:
    """The text of ``sum_k factors[k] names[k] + constant``; terms with the factor 0 are left out.

    Example:
        >>> combination([Fraction(3, 5), Fraction(0)], ["u", "v"], Fraction(-1))
        '((3/5)*u + (-1))'
    """
    terms = [_TEXT.multiply(_TEXT.number(f), n) for f, n in zip(factors, names, strict=True) if f]
    return _TEXT.add([*terms, _TEXT.number(constant)] if constant or not terms else terms)


def _read(text: str, names: Sequence[str]) -> Expression:
    return parse_expression(text, names)
