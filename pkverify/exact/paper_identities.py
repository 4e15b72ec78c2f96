"""Short identities behind the audits of the remarks, the connections and the discussion, decided over symbols.

A sum over parameters, examples or steps is decided at several small sizes; every term of it is treated alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

import sympy as sp

from pkverify.exact.identity import is_identity

Expr = Any

_SIZES = ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2))


def _rational(value: Fraction) -> Expr:
    return sp.Rational(value.numerator, value.denominator)


def _symbols(stem: str, *counts: int) -> Any:
    if len(counts) == 1:
        return sp.symbols(f"{stem}1:{counts[0] + 1}", real=True)
    return tuple(_symbols(f"{stem}{k}_", *counts[1:]) for k in range(1, counts[0] + 1))


def _dot(left: Sequence[Expr], right: Sequence[Expr]) -> Expr:
    return sp.Add(*(a * b for a, b in zip(left, right, strict=True)))


# Remarks.


def separable_weight_is_free_of_the_query() -> bool:
    """With ``K_t(x, x_i) = k(t) kappa``, the ratio of the two integrals does not contain kappa."""
    kappa, numerator, denominator = sp.symbols("kappa N k", nonzero=True)
    return is_identity((kappa * numerator) / (kappa * denominator), numerator / denominator)


def squared_loss_slope(factor: Fraction) -> Expr:
    """The derivative by y of ``factor (y - t)^2``, divided by the error ``y - t``."""
    y, target = sp.symbols("y t")
    slope = sp.diff(_rational(factor) * (y - target) ** 2, y)
    return sp.cancel(slope / (y - target))


def is_residual(factor: Fraction) -> bool:
    """Whether the derivative of ``factor (y - t)^2`` is ``y - t``."""
    return is_identity(squared_loss_slope(factor), sp.Integer(1))


def negative_log_slopes() -> bool:
    """``d(-log p)/dp = -1/p``, for class 0 with ``p = p(1|x)`` it is ``+1/(1 - p)``, for a logit ``p - target``."""
    p = sp.Symbol("p", positive=True)
    z, target = sp.symbols("z t", real=True)
    sigmoid = 1 / (1 + sp.exp(-z))
    return (
        is_identity(sp.diff(-sp.log(p), p), -1 / p)
        and is_identity(sp.diff(-sp.log(1 - p), p), 1 / (1 - p))
        and is_identity(sp.diff(sp.log(1 + sp.exp(z)) - target * z, z), sigmoid - target)
    )


def softmax_observed_slopes(classes: int = 3) -> bool:
    """By chain rule through ``p_c``: ``(-1/p_c) dp_c/dz = softmax - onehot``, the slope of the loss by the logits."""
    logits = _symbols("z", classes)
    partition = sp.Add(*(sp.exp(z) for z in logits))
    observed = sp.exp(logits[0]) / partition
    loss = sp.log(partition) - logits[0]
    return all(is_identity(-sp.diff(observed, z) / observed, sp.diff(loss, z)) for z in logits)


def regularizer_splits_off() -> bool:
    """With ``w' = -sum l'_i h_i - r``: ``g.w' = -sum l'_i g.h_i - g.r``, term by term what Remark 4 says."""
    for d, m in _SIZES:
        g, r, slopes, h = _symbols("g", d), _symbols("r", d), _symbols("s", m), _symbols("h", m, d)
        velocity = [-sp.Add(*(slopes[i] * h[i][j] for i in range(m))) - r[j] for j in range(d)]
        kernels = sp.Add(*(slopes[i] * _dot(g, h[i]) for i in range(m)))
        if not is_identity(_dot(g, velocity), -kernels - _dot(g, r)):
            return False
    return True


def sampling_variance_recursion() -> bool:
    """``V = eps (1 - (1 - eps)^(2 s))/(2 - eps)`` solves ``V -> (1 - eps)^2 V + eps^2`` from 0."""
    eps, decay = sp.symbols("eps q")

    def variance(power: Expr) -> Expr:
        return eps * (1 - power) / (2 - eps)

    step = is_identity((1 - eps) ** 2 * variance(decay) + eps**2, variance(decay * (1 - eps) ** 2))
    return step and is_identity(variance(sp.Integer(1)), sp.Integer(0))


# Connections.


def linear_kernel_is_scaled_dot_product(*, bias: bool) -> bool:
    """The path kernel of ``w.x`` over a time T is ``T x.x'``; with a bias, ``T (x.x' + 1)``."""
    horizon, time, offset = sp.symbols("T t c", real=True)
    for d in (1, 2, 3):
        w, left, right = _symbols("w", d), _symbols("x", d), _symbols("z", d)
        params = [*w, offset] if bias else list(w)

        def gradient(x: Sequence[Expr], w: Sequence[Expr] = w, params: Sequence[Expr] = params) -> list[Expr]:
            return [sp.diff(_dot(w, x) + (offset if bias else 0), p) for p in params]

        kernel = sp.integrate(_dot(gradient(left), gradient(right)), (time, 0, horizon))
        if not is_identity(kernel, horizon * (_dot(left, right) + (1 if bias else 0))):
            return False
    return True


def perceptron_step() -> bool:
    """If ``w = sum n_i y_i x_i``, an update by ``eta y_k x_k`` gives the same with ``n_k + eta``; so does no update."""
    for d, m in _SIZES:
        eta = sp.Symbol("eta")
        counts, labels, points = _symbols("n", m), _symbols("y", m), _symbols("x", m, d)
        for k in range(m):
            grown = [count + (eta if i == k else 0) for i, count in enumerate(counts)]
            for j in range(d):
                before = sp.Add(*(counts[i] * labels[i] * points[i][j] for i in range(m)))
                after = sp.Add(*(grown[i] * labels[i] * points[i][j] for i in range(m)))
                if not is_identity(before + eta * labels[k] * points[k][j], after):
                    return False
    return True


# Discussion.


def squared_distance_from_kernel() -> bool:
    """``|g|^2 + |h|^2 - 2 g.h = |g - h|^2``: the integrand of ``K(x,x) + K(z,z) - 2 K(x,z)``."""
    for d in (1, 2, 3):
        g, h = _symbols("g", d), _symbols("h", d)
        gap = [a - b for a, b in zip(g, h, strict=True)]
        if not is_identity(_dot(g, g) + _dot(h, h) - 2 * _dot(g, h), _dot(gap, gap)):
            return False
    return True


def loss_falls_along_flow() -> bool:
    """``dL/dt = grad L . w' = -|grad L|^2``, and with ``grad L = sum l'_i h_i`` it is ``-l'^T G l'``."""
    for d, m in _SIZES:
        slopes, h = _symbols("s", m), _symbols("h", m, d)
        gradient = [sp.Add(*(slopes[i] * h[i][j] for i in range(m))) for j in range(d)]
        form = sp.Add(*(slopes[i] * slopes[j] * _dot(h[i], h[j]) for i in range(m) for j in range(m)))
        if not is_identity(_dot(gradient, [-g for g in gradient]), -form):
            return False
    return True


def quadratic_step() -> bool:
    """A step on ``c w^2/2`` changes it by ``-eps g^2 (1 - eps c/2)``, g = c w: downwards where 0 < eps < 2/c."""
    w, eps, curvature = sp.symbols("w eps c", real=True)
    slope = curvature * w
    change = curvature * (w - eps * slope) ** 2 / 2 - curvature * w**2 / 2
    return is_identity(change, -eps * slope**2 * (1 - eps * curvature / 2))


def exponential_loss_weight() -> bool:
    """For ``exp(-y F)`` the slope times ``-y`` is ``exp(-y F)`` when ``y^2 = 1``: the example weight of AdaBoost."""
    score = sp.Symbol("F", real=True)
    return all(
        is_identity(-label * sp.diff(sp.exp(-label * score), score), sp.exp(-label * score))
        for label in (sp.Integer(1), sp.Integer(-1))
    )


def product_step() -> bool:
    """``f = u v``: a step along ``-r grad f`` changes f by ``-eps r |grad f|^2 + eps^2 r^2 u v``."""
    u, v, eps, r = sp.symbols("u v eps r")
    after = (u - eps * r * v) * (v - eps * r * u)
    return is_identity(after - u * v, -eps * r * (u**2 + v**2) + eps**2 * r**2 * u * v)


def stationary_representation() -> bool:
    """``lam w = -sum l'_i h_i`` and Euler's ``k f = w.g`` give ``f = -(1/(k lam)) sum l'_i g.h_i``."""
    lam, degree = sp.symbols("lam k", positive=True)
    for d, m in _SIZES:
        g, slopes, h = _symbols("g", d), _symbols("s", m), _symbols("h", m, d)
        weights = [-sp.Add(*(slopes[i] * h[i][j] for i in range(m))) / lam for j in range(d)]
        expansion = -sp.Add(*(slopes[i] * _dot(g, h[i]) for i in range(m))) / (degree * lam)
        if not is_identity(_dot(weights, g) / degree, expansion):
            return False
    return True


def location_density_gradient_integrates_to_zero() -> bool:
    """For N(mu, 1): ``dp/dmu = -dp/dx``, whose integral over the line is the difference of the two limits 0 of p."""
    x, mu = sp.symbols("x mu", real=True)
    density = sp.exp(-((x - mu) ** 2) / 2) / sp.sqrt(2 * sp.pi)
    limits = [sp.limit(density.subs(mu, 0), x, end) for end in (sp.oo, -sp.oo)]
    return is_identity(sp.diff(density, mu), -sp.diff(density, x)) and limits == [0, 0]


def discrete_gradients_sum_to_zero(classes: int = 3) -> bool:
    """The gradients of the probabilities of a softmax sum to 0, and so do their kernels."""
    logits = _symbols("z", classes)
    partition = sp.Add(*(sp.exp(z) for z in logits))
    return all(
        is_identity(sp.Add(*(sp.diff(sp.exp(z) / partition, other) for z in logits)), sp.Integer(0)) for other in logits
    )


def shift_invariant_convolution(size: int = 4, width: int = 2) -> bool:
    """Circular convolution, square, sum over all places: a shift of the input changes nothing, for all weights."""
    w, x = _symbols("w", width), _symbols("x", size)
    scale = sp.Symbol("v")

    def output(values: Sequence[Expr]) -> Expr:
        places = (sp.Add(*(w[k] * values[(p + k) % size] for k in range(width))) for p in range(size))
        return scale * sp.Add(*(place**2 for place in places))

    return is_identity(output(x), output([*x[1:], x[0]]))


def permutation_invariant_attention(tokens: int = 3) -> bool:
    """Attention without positions, averaged over the tokens: their order changes nothing, for all weights."""
    query, key, value = sp.symbols("q k v", real=True)
    x = _symbols("x", tokens)

    def output(values: Sequence[Expr]) -> Expr:
        total: Expr = sp.Integer(0)
        for a in values:
            scores = [sp.exp(query * key * a * b) for b in values]
            total += sp.Add(*(s * value * b for s, b in zip(scores, values, strict=True))) / sp.Add(*scores)
        return total / tokens

    whole = output(x)
    return all(is_identity(whole, output(order)) for order in list(permutations(x))[1:])


def logistic_slope_never_vanishes() -> bool:
    """``d softplus(-w)/dw = -1/(1 + e^w)``: a quotient with numerator -1, 0 nowhere."""
    w = sp.Symbol("w", real=True)
    return is_identity(sp.diff(sp.log(1 + sp.exp(-w)), w) * (1 + sp.exp(w)), sp.Integer(-1))


def sine_maxima_share_their_gradient() -> bool:
    """``A sin(w x + phi)``: at every maximum, where sin = 1 and cos = 0, the gradient in (A, w, phi) is (1, 0, 0)."""
    a, w, phi, x = sp.symbols("A w phi x", real=True)
    inner = w * x + phi
    gradient = [sp.diff(a * sp.sin(inner), p) for p in (a, w, phi)]
    at_maximum = [g.subs({sp.sin(inner): 1, sp.cos(inner): 0}) for g in gradient]
    return all(is_identity(g, sp.Integer(n)) for g, n in zip(at_maximum, (1, 0, 0), strict=True))


def quadratic_flow_tends_to_minimiser() -> bool:
    """``w = p + (w_0 - p) e^(-S t)`` solves ``w' = -S (w - p)``, starts at w_0, and tends to p where S > 0."""
    rate = sp.Symbol("S", positive=True)
    time, start, best = sp.symbols("t w_0 p", real=True)
    w = best + (start - best) * sp.exp(-rate * time)
    return (
        is_identity(sp.diff(w, time), -rate * (w - best))
        and is_identity(w.subs(time, 0), start)
        and sp.limit(sp.exp(-rate * time), time, sp.oo) == 0
    )
