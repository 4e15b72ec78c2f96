"""y = exp(g) with g linear in w, one example, squared loss: z = g(x_1) obeys z' = q e^z (y* - e^z).

For a query with g(x) = g_0(x) + r (z - z_0) and r = a/b the path kernel is an integral of s^(a-1)/(y* - s^b) in
s = e^(z/b): an incomplete beta function, elementary for each r.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.closed_forms.rational_powers import primitive as rational_primitive
from pkverify.exact.closed_forms.recognition import linear_features, squared_scale
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas, target_value
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow, if the model is the exponential of a linear function, with one example and the squared loss."""
    problem = formulas.problem
    scale = squared_scale(formulas)
    if scale is None or problem.regularizer is not None or len(problem.data) != 1:
        return None
    phi = _features(formulas, problem.data.inputs[0])
    queries = {point: _features(formulas, point) for point in problem.query_inputs}
    if phi is None or not any(phi) or any(query is None for query in queries.values()):
        return None
    z, time = sp.Symbol("z", real=True), sp.Symbol("t", real=True)
    size = sum((part**2 for part in phi), Fraction(0))
    strength, target = rational(scale * size), rational(target_value(problem, 0))
    begin = sp.Add(*(rational(part) * w for part, w in zip(phi, formulas.start, strict=True)))
    path = tuple(w + rational(part / size) * (z - begin) for w, part in zip(formulas.start, phi, strict=True))
    # dz/(e^z (y* - e^z)) = dy/(y^2 (y* - y)) in y = e^z.
    y = sp.Symbol("y", positive=True)
    whole = rational_primitive(-2, 1, target, y, sp.exp(begin))
    assert whole is not None

    def primitive(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        if integrand.kind == "contribution":
            output = formulas.along(formulas.outputs(integrand.query)[0], path)
            return output - output.xreplace({z: begin})
        query = queries.get(integrand.query) or _features(formulas, integrand.query)
        return None if query is None else _kernel(query)

    def _kernel(query: list[Fraction]) -> Expr | None:
        ratio = sum((a * b for a, b in zip(query, phi, strict=True)), Fraction(0)) / size
        offset = (
            sp.Add(*(rational(part) * w for part, w in zip(query, formulas.start, strict=True)))
            - rational(ratio) * begin
        )
        above, below = ratio.numerator, ratio.denominator
        s = sp.Symbol("s", positive=True)
        found = rational_primitive(above - 1, below, target, s, sp.exp(begin / below))
        if found is None:
            return None
        return rational(ratio / scale) * below * sp.exp(offset) * found.xreplace({s: sp.exp(z / below)})

    explicit = None
    if target > 0:
        # u = y*/y - 1 obeys u e^u = u_0 e^(u_0 - q y*^2 t) with u > -1: the principal branch.
        gap = target * sp.exp(-begin) - 1
        explicit = sp.log(target / (1 + sp.LambertW(gap * sp.exp(gap - strength * target**2 * time))))
    return ClosedForm(
        "exp, one example",
        z,
        begin,
        strength * sp.exp(z) * (target - sp.exp(z)),
        path,
        whole.xreplace({y: sp.exp(z)}) / strength,
        sp.log(target) if target > 0 else -sp.oo,
        primitive,
        time,
        explicit=explicit,
        meaning="the logarithm of the output at the example",
    )


def _features(formulas: Formulas, point: Vector) -> list[Fraction] | None:
    """phi with output = exp(w . phi): the slopes at w = 0, if the output is then that."""
    (output,) = formulas.outputs(point) if formulas.problem.model.output_count == 1 else (None,)
    if output is None:
        return None
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    level = sp.Add(*(w * sp.diff(output, w).xreplace(origin) for w in formulas.params))
    found = linear_features(formulas, level, sp.Integer(0))
    return found if found is not None and is_identity(output, sp.exp(level)) else None
