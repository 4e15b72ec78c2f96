"""y = tanh(g) or sigmoid(g) with g linear in w, one example, squared loss: time is an elementary function of y.

Along the flow z = g(x_1) obeys z' = q h'(z) (y* - h(z)), so that the time is an integral of a rational function of y:

    q t = int dy / (h'^2 (y* - y)),      h' = 1 - y^2 for tanh, y (1 - y) for the sigmoid,

which SymPy integrates after a partial fraction expansion. It has no inverse in elementary functions: z is found from
G(z) = t. A query whose own z is that of the example, or its mirror image, has the path kernel log(r_0/r_T), r = y* - y;
for another one the kernel is an integral.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.closed_forms.recognition import anchored, linear_features, squared_scale
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas, target_value
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector

_Y = sp.Symbol("y", real=True)

# The ratio of a query's argument to the example's has a numerator and denominator up to this: they become exponents
# of one exponential in the proof, and its polynomials get too long.
_LARGEST_RATIO = 12


@dataclass(frozen=True)
class _Squash:
    """A function h: its name, its slope as a polynomial in its value, its slope at 0, and where it tends to."""

    name: str
    slope: Expr
    steepness: Expr
    lowest: int

    def value(self, z: Expr) -> Expr:
        """h(z)."""
        return sp.tanh(z) if self.name == "tanh" else 1 / (1 + sp.exp(-z))

    def inverse(self, y: Expr) -> Expr:
        """The z with h(z) = y, infinite where there is none."""
        if y <= self.lowest:
            return -sp.oo
        if y >= 1:
            return sp.oo
        return sp.log((1 + y) / (1 - y)) / 2 if self.name == "tanh" else sp.log(y / (1 - y))


_SQUASHES = (
    _Squash("tanh", 1 - _Y**2, sp.Integer(1), -1),
    _Squash("sigmoid", _Y * (1 - _Y), sp.Rational(1, 4), 0),
)


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow, if the model is tanh or sigmoid of a linear function, with one example and the squared loss."""
    problem = formulas.problem
    scale = squared_scale(formulas)
    if scale is None or problem.regularizer is not None or len(problem.data) != 1 or problem.model.output_count != 1:
        return None
    for squash in _SQUASHES:
        phi = _features(formulas, squash, problem.data.inputs[0])
        if phi is None or not any(phi):
            continue
        for point in problem.query_inputs:
            query = _features(formulas, squash, point)
            ratio = _dot(query, phi) / _dot(phi, phi) if query is not None else None
            if ratio is None or max(abs(ratio.numerator), ratio.denominator) > _LARGEST_RATIO:
                return None
        return _flow(formulas, squash, phi, scale)
    return None


def _features(formulas: Formulas, squash: _Squash, point: Vector) -> list[Fraction] | None:
    """phi with output = h(w . phi): the slopes at w = 0, if the output is then that."""
    (output,) = formulas.outputs(point)
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    level = sp.Add(*(w * sp.diff(output, w).xreplace(origin) / squash.steepness for w in formulas.params))
    found = linear_features(formulas, level, sp.Integer(0))
    if found is None:
        return None
    # The third derivative of h at 0 is -2 h'(0)^2: cheap, and spares the proof exponents that are far apart.
    for w, part in zip(formulas.params, found, strict=True):
        third = sp.diff(output, w, 3).xreplace(origin)
        if third != -2 * squash.steepness**2 * rational(part) ** 3:
            return None
    return found if is_identity(output, squash.value(level)) else None


def time_integral(slope: Expr, target: Expr) -> Expr:
    """SymPy's integral of 1/(slope^2 (target - y)) in y, from its partial fractions.

    Example:
        >>> found = time_integral(1 - _Y**2, sp.Integer(0))
        >>> sp.cancel(found.diff(_Y) * _Y * (1 - _Y**2) ** 2)
        -1
    """
    parts = sp.apart(1 / (slope**2 * (target - _Y)), _Y)
    return sp.Add(*(sp.integrate(part, _Y) for part in sp.Add.make_args(parts)))


def _flow(formulas: Formulas, squash: _Squash, phi: list[Fraction], scale: Fraction) -> ClosedForm:
    z, time = sp.Symbol("z", real=True), sp.Symbol("t", real=True)
    size = _dot(phi, phi)
    strength, target = rational(scale * size), rational(target_value(formulas.problem, 0))
    begin = rational(_dot(phi, list(formulas.problem.initial)))
    path = tuple(w + rational(part / size) * (z - begin) for w, part in zip(formulas.start, phi, strict=True))
    value, first = squash.value(z), squash.value(begin)
    elapsed = anchored(time_integral(squash.slope, target), _Y, first).xreplace({_Y: value}) / strength

    def primitive(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        if integrand.kind == "contribution":
            output = formulas.along(formulas.outputs(integrand.query)[0], path)
            return output - output.xreplace({z: begin})
        query = _features(formulas, squash, integrand.query)
        return None if query is None else _kernel(query)

    def _kernel(query: list[Fraction]) -> Expr | None:
        ratio = _dot(query, phi) / size
        if ratio == 0:
            return sp.Integer(0)
        if abs(ratio) != 1 or rational(_dot(query, list(formulas.problem.initial))) != rational(ratio) * begin:
            return None
        # h' is even, so that the kernel is odd in the query.
        return -rational(ratio / scale) * sp.log((target - value) / (target - first))

    return ClosedForm(
        f"{squash.name}, one example",
        z,
        begin,
        strength * squash.slope.xreplace({_Y: value}) * (target - value),
        path,
        elapsed,
        squash.inverse(target),
        primitive,
        time,
        meaning=f"the argument of {squash.name} at the example",
    )


def _dot(left: list[Fraction], right: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))
