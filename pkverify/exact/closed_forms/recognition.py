"""Which loss, and which features: decided by identities, never by how a formula happens to be written."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from pkverify.exact.algebra import fraction, rational
from pkverify.exact.closed_forms.record import Expr
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector


def squared_scale(formulas: Formulas) -> Fraction | None:
    """The factor c with ``L' = c (y - target)`` for each example, the mean's 1/m included; None for other losses."""
    if len(formulas.loss_symbols) != 1 or not formulas.problem.data.targets[0]:
        return None
    y, target = formulas.loss_symbols[0], sp.Dummy("target", real=True)
    (slope,) = formulas.loss_slopes([target])
    scale = sp.diff(slope, y).xreplace({y: sp.Integer(0), target: sp.Integer(0)})
    if not scale.is_Rational or scale <= 0 or not is_identity(slope, scale * (y - target)):
        return None
    return fraction(scale)


def single_slope(formulas: Formulas) -> Expr | None:
    """``L'`` of the only example as a function of its only output (``loss_symbols``), or None."""
    problem = formulas.problem
    if len(problem.data) != 1 or len(formulas.loss_symbols) != 1:
        return None
    return formulas.loss_slopes([rational(value) for value in problem.data.targets[0]])[0]


def features(formulas: Formulas, templates: list[Expr], points: list[Vector]) -> list[Fraction] | None:
    """The rational numbers phi with ``slope_j(x) = phi_j(x) template_j`` for every parameter and point, or None.

    Args:
        formulas: The problem.
        templates: For each parameter what its slope is a multiple of.
        points: The inputs.

    Returns:
        phi, point by point and parameter by parameter, flattened.
    """
    found: list[Fraction] = []
    origin = {symbol: sp.Integer(1) for symbol in formulas.params}
    for point in points:
        (output,) = formulas.outputs(point)
        for slope, template in zip(formulas.slopes(output), templates, strict=True):
            ratio = sp.radsimp(sp.expand((slope / template).xreplace(origin)))
            if not ratio.is_Rational or not is_identity(slope, ratio * template):
                return None
            found.append(fraction(ratio))
    return found


def linear_features(formulas: Formulas, level: Expr, offset: Expr) -> list[Fraction] | None:
    """The rational features phi with ``level = offset + sum_j w_j phi_j``, or None."""
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    slopes = [sp.diff(level, symbol).xreplace(origin) for symbol in formulas.params]
    if not all(slope.is_Rational for slope in slopes):
        return None
    line = sp.Add(offset, *(w * slope for w, slope in zip(formulas.params, slopes, strict=True)))
    return [fraction(slope) for slope in slopes] if is_identity(level, line) else None


def anchored(antiderivative: Expr, variable: Expr, start: Expr) -> Expr:
    """The antiderivative that is 0 at ``start``, with every logarithm's argument scaled to be 1 there.

    Scaling the argument changes a logarithm by a constant, which an antiderivative may: log(s - 2) on s < 2 becomes
    log((s - 2)/(s0 - 2)), which is real.

    Example:
        >>> s = sp.Symbol("s")
        >>> anchored(sp.log(s - 2) + s, s, sp.Integer(1))
        s + log(2 - s) - 1
    """
    scaled = antiderivative.replace(sp.log, lambda inner: sp.log(inner / inner.subs(variable, start)))
    return scaled - scaled.subs(variable, start)
