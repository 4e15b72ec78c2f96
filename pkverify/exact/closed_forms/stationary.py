"""The flow that starts at a critical point of the loss and stays there."""

from __future__ import annotations

import sympy as sp

from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas, initial_values
from pkverify.exact.identity import is_identity


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The constant path, if the gradient of the loss is exactly zero at the start; None otherwise.

    Nothing moves, and still each path kernel is T times the tangent kernel: the contributions, which may be different
    from 0 one by one, add up to 0.
    """
    start = initial_values(formulas)
    try:
        if not all(is_identity(part.xreplace(start), sp.Integer(0)) for part in formulas.gradient):
            return None
    except ZeroDivisionError:
        return None
    time = sp.Symbol("t", real=True)

    def primitive(integrand: Integrand) -> Expr:
        return integrand.expression * time

    return ClosedForm(
        "stationary", time, sp.Integer(0), sp.Integer(1), formulas.start, time, sp.oo, primitive, time, explicit=time
    )
