"""The families of problems whose gradient flow has a closed form, a module a family."""

from __future__ import annotations

from pkverify.errors import UntreatableError
from pkverify.exact.closed_forms import (
    affine,
    bernoulli,
    diagonal,
    exponential,
    logistic,
    separable,
    squashed,
    stationary,
)
from pkverify.exact.closed_forms.record import ClosedForm, Integrand
from pkverify.exact.formulas import Formulas

__all__ = ["FAMILIES", "ClosedForm", "Integrand", "find"]

# In the order of trial: the first that fits has the simplest form.
FAMILIES = (stationary, affine, separable, logistic, exponential, bernoulli, squashed, diagonal)

# No closed form here has a kink, and SymPy's derivatives of these are no functions.
_NOT_SMOOTH = ("relu", "abs")


def find(formulas: Formulas) -> ClosedForm:
    """The closed form of a problem's flow.

    Raises:
        UntreatableError: If no family fits.
    """
    problem = formulas.problem
    expressions = [
        *getattr(problem.model, "outputs", ()),
        problem.loss.value,
        problem.regularizer and problem.regularizer.value,
    ]
    used = {
        step.value for expression in expressions if expression for step in expression.steps if step.operation == "call"
    }
    used.add(getattr(problem.model, "activation", None))
    if kinks := used & set(_NOT_SMOOTH):
        raise UntreatableError(
            f"no closed form: the problem uses {', '.join(sorted(map(str, kinks)))}",
            "the closed forms are of smooth models",
            "use the precise or the certified route",
        )
    for family in FAMILIES:
        form = family.recognise(formulas)
        if form is not None:
            return form
    raise UntreatableError(
        "no closed form: none of the families of the exact route fits the problem",
        "they are: a start at a critical point; a loss gradient affine in the parameters; products of scalars and "
        "powers of one weight under the squared loss; one logit that all examples share, or softmax over two classes; "
        "exp(w x), tanh(w x), sigmoid(w x) and diagonal quadratic forms on one example",
        "use the precise or the certified route",
    )
