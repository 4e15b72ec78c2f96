"""Logistic regression on one example, seen through three outputs: the logit, the probability, its logarithm.

All three descend -log sigmoid(z) with z linear in w, and so share the flow: z' = q/(1 + e^z) for q = |grad z|^2,
solved by z + e^z = q t + z_0 + e^(z_0), that is z = A - W(e^A). The kernels differ, since the output does:

* logit: the tangent kernel is constant, and K(x, x_1) is T times it;
* probability: K(x_1, x_1) = (p_T^2 - p_0^2)/2, and a rational integral in e^(z/b) for a query with z(x) = (a/b) z(x_1);
* log-probability: L' = -1, so K(x, x_1) is the change of the query's log-probability (remark R3d).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.checked import RejectedError, checked_antiderivative
from pkverify.exact.closed_forms.recognition import linear_features, single_slope
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas, target_value
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector

# Ratios a/b of query to example up to this size; the roots of larger ones have no use for a reader.
_LARGEST_RATIO = 3


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow of a logit under the logistic loss, or of a (log-)probability under its negative log-likelihood."""
    slope = single_slope(formulas)
    if slope is None or formulas.problem.regularizer is not None:
        return None
    (y,) = formulas.loss_symbols
    (output,) = formulas.training_outputs[0]
    targets = formulas.problem.data.targets[0]
    if targets:
        target = target_value(formulas.problem, 0)
        if target not in {0, 1} or not is_identity(slope, 1 / (1 + sp.exp(-y)) - rational(target)):
            return None
        return _flow(formulas, _logit, 1 if target == 1 else -1)
    if is_identity(slope, -1 / y):
        return _flow(formulas, _logit_of_probability, 1)
    if is_identity(slope, sp.Integer(-1)) and not output.is_polynomial(*formulas.params):
        return _flow(formulas, _logit_of_log_probability, 1)
    return None


# From an output to its logit: the slopes are given, and whether the output is that function of it is then decided.

Reader = Callable[[Formulas, Vector], "list[Fraction] | None"]


def _logit(formulas: Formulas, point: Vector) -> list[Fraction] | None:
    return linear_features(formulas, formulas.outputs(point)[0], sp.Integer(0))


def _logit_of_probability(formulas: Formulas, point: Vector) -> list[Fraction] | None:
    (output,) = formulas.outputs(point)
    return _sigmoid_features(formulas, output, output, 4)


def _logit_of_log_probability(formulas: Formulas, point: Vector) -> list[Fraction] | None:
    (output,) = formulas.outputs(point)
    return _sigmoid_features(formulas, sp.exp(output), output, 2)


_SUFFIXES: tuple[tuple[Reader, str], ...] = (
    (_logit, ""),
    (_logit_of_probability, ", output p"),
    (_logit_of_log_probability, ", output log p"),
)


def _sigmoid_features(formulas: Formulas, probability: Expr, output: Expr, steepness: int) -> list[Fraction] | None:
    """phi with probability = sigmoid(w . phi); ``steepness`` is 1 over the output's slope by the logit at 0."""
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    level = sp.Add(*(w * steepness * sp.diff(output, w).xreplace(origin) for w in formulas.params))
    found = linear_features(formulas, level, sp.Integer(0))
    return found if found is not None and is_identity(probability, 1 / (1 + sp.exp(-level))) else None


def _flow(formulas: Formulas, reader: Reader, sign: int) -> ClosedForm | None:
    problem = formulas.problem
    phi = reader(formulas, problem.data.inputs[0])
    queries = [reader(formulas, point) for point in problem.query_inputs]
    if phi is None or any(query is None for query in queries) or not any(phi):
        return None
    z, time = sp.Symbol("z", real=True), sp.Symbol("t", real=True)
    strength = rational(sum((part**2 for part in phi), Fraction(0)))
    logit = sum((part * w for part, w in zip(phi, problem.initial, strict=True)), Fraction(0))
    begin = rational(sign * logit)
    level = strength * time + begin + sp.exp(begin)
    path = tuple(
        w + sign * rational(part) * (z - begin) / strength for w, part in zip(formulas.start, phi, strict=True)
    )
    elapsed = (z + sp.exp(z) - begin - sp.exp(begin)) / strength

    def primitive(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        change = _change(formulas, path, integrand, {z: begin})
        if integrand.kind == "contribution":
            return change
        if reader is _logit:
            return integrand.expression * elapsed
        if reader is _logit_of_log_probability:
            return change
        return _probability_kernel(reader(formulas, integrand.query), phi, formulas.start, z, begin)

    return ClosedForm(
        "logistic, one example" + next(suffix for known, suffix in _SUFFIXES if known is reader),
        z,
        begin,
        strength / (1 + sp.exp(z)),
        path,
        elapsed,
        sp.oo,
        primitive,
        time,
        explicit=level - sp.LambertW(sp.exp(level)),
        meaning="the logit of the observed class at the example",
    )


def _change(formulas: Formulas, path: tuple[Expr, ...], integrand: Integrand, begin: dict[Expr, Expr]) -> Expr:
    """With one example, what it contributes is all that happens: the change of the query's output."""
    output = formulas.along(formulas.outputs(integrand.query)[integrand.output], path)
    return output - output.xreplace(begin)


@cache
def probability_integral(above: int, below: int) -> tuple[Expr, Expr] | None:
    """SymPy's integral of r s^a/(1 + s^a)^2 s^b/(1 + s^b) b/s in s = e^(z/b), for r = a/b; None if it fails its checks.

    It is the integral of r sigmoid'(r z) sigmoid(z) in z.

    Example:
        >>> found, s = probability_integral(1, 1)
        >>> sp.simplify(found.diff(s) - s / (1 + s) ** 3)
        0
    """
    s = sp.Symbol("s", positive=True)
    integrand = sp.cancel(above * s**above / (1 + s**above) ** 2 * s**below / (1 + s**below) / s)
    try:
        found = checked_antiderivative(integrand, s, {s: (Fraction(1, 8), Fraction(8))})
    except RejectedError:
        return None
    return (found.expression, s) if found.proved else None


def _probability_kernel(
    query: list[Fraction] | None, phi: list[Fraction], start: tuple[Expr, ...], z: Expr, begin: Expr
) -> Expr | None:
    """K(x, x_1) for outputs p, where the query's logit is a small rational multiple of the example's all along."""
    if query is None:
        return None
    strength = sum((part**2 for part in phi), Fraction(0))
    ratio = sum((a * b for a, b in zip(query, phi, strict=True)), Fraction(0)) / strength
    logit = sp.Add(*(rational(part) * w for part, w in zip(query, start, strict=True)))
    if ratio == 0:
        return sp.Integer(0)
    if logit != rational(ratio) * begin or max(abs(ratio.numerator), ratio.denominator) > _LARGEST_RATIO:
        return None
    # sigmoid' is even, so that the kernel is odd in the ratio.
    found = probability_integral(abs(ratio.numerator), ratio.denominator)
    if found is None:
        return None
    whole, s = found
    ends = [whole.xreplace({s: sp.exp(end / ratio.denominator)}) for end in (z, begin)]
    return sp.sign(rational(ratio)) * (ends[0] - ends[1])
