"""Examples for the definitions of the paper and what is said around them, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.generic_model import TIME, GenericModel
from pkverify.exact.identity import is_identity
from pkverify.exact.paper_demonstration import Demonstration, is_integral, is_zero, sign_of, solves, text_of

Expr = Any

_T = sp.Symbol("t", positive=True)


def linear_weights_are_affine() -> Demonstration:
    """Kernel ridge weights are linear in the targets; those of a linear model's path are affine in them (D1b)."""
    k11, k12, k22, lam, y1, y2, z1, z2, s = sp.symbols("k11 k12 k22 lam y1 y2 z1 z2 s", real=True)
    gram = sp.Matrix([[k11 + lam, k12], [k12, k22 + lam]])
    first, second = (gram.adjugate() * sp.Matrix(v) / gram.det() for v in ([y1, y2], [z1, z2]))
    both = gram.adjugate() * sp.Matrix([y1 + s * z1, y2 + s * z2]) / gram.det()
    linear = all(is_identity(b, f + s * g) for b, f, g in zip(both, first, second, strict=True))
    # y = w x: the closed form of the weights, from K = T x x' and the path of T1d.
    x1, x2, w0, horizon = sp.symbols("x1 x2 w0 T", positive=True)
    total = x1**2 + x2**2
    best = (x1 * y1 + x2 * y2) / total
    decay = (1 - sp.exp(-total * horizon)) / (total * horizon)
    weight = y1 - x1 * (best + (w0 - best) * decay)
    affine = all(is_zero(sp.diff(weight, a, b)) for a in (y1, y2) for b in (y1, y2))
    return Demonstration((
        ("(K + lam I)^{-1} y* is linear in y*", linear),
        ("the path weights of y = w x are affine in y*", affine),
    ))  # fmt: skip


@dataclass(frozen=True)
class Product:
    """y = u v x, one example at 1 with half the squared loss, u = v at the start, and three equally spaced targets."""

    start: Fraction = Fraction(1, 2)
    horizon: Fraction = Fraction(1)
    targets: tuple[Fraction, Fraction, Fraction] = (Fraction(1), Fraction(2), Fraction(3))


def product_weights_are_not_affine(data: Product) -> Demonstration:
    """The path weights of y = u v x as a function of the target: their second difference is not 0 (D1b)."""
    y, u0 = sp.symbols("y u0", positive=True)
    p = y / (1 + (y / u0**2 - 1) * sp.exp(-2 * y * _T))
    kernel = -sp.log(1 / (1 + (p - u0**2) / (y - p)))  # ln((y - p_0)/(y - p))
    at = {u0: rational(data.start), _T: rational(data.horizon)}
    facts = [
        # u' = (y - p) v and v' = (y - p) u, so that u = v stays and p = u^2 has p' = 2 p (y - p).
        ("p = u v solves p' = 2 p (y - p)", solves([p], [2 * p * (y - p)], [u0**2], _T)),
        ("K = integral of u^2 + v^2 = 2 p", is_identity(sp.diff(kernel, _T), 2 * p) and is_zero(kernel.subs(_T, 0))),
    ]
    weights = [((p - u0**2) / kernel).subs(at).subs(y, rational(target)) for target in data.targets]
    low, middle, high = data.targets
    difference = weights[0] - 2 * weights[1] + weights[2]
    facts += [
        ("the targets are equally spaced", low + high == 2 * middle and low != middle),
        ("the second difference is not 0", sign_of(difference) != 0),
    ]
    values = [(f"a({target})", text_of(weight)) for target, weight in zip(data.targets, weights, strict=True)]
    return Demonstration(tuple(facts), (*values, ("second difference", text_of(difference))))


def machine_as_network() -> Demonstration:
    """g(sum a_i K(x, x_i) + b) is a network with one hidden layer of units K(., x_i) (D1d), and D1e for Gaussians."""
    x, b, gamma = sp.symbols("x b gamma", real=True)
    centres, weights = sp.symbols("c1:4", real=True), sp.symbols("a1:4", real=True)
    outer, kernel = sp.Function("g"), sp.Function("K")
    machine = outer(sum((a * kernel(x, c) for a, c in zip(weights, centres, strict=True)), b))
    hidden = [kernel(x, c) for c in centres]
    network = outer(sp.Matrix(weights).dot(sp.Matrix(hidden)) + b)
    gaussian = [sp.exp(-gamma * (x - c) ** 2) for c in centres]
    radial = [sp.exp(-gamma * r**2).subs(r, x - c) for r in [sp.Symbol("r")] for c in centres]
    return Demonstration((
        ("hidden units K(x, x_i), output weights a_i, bias b, output function g", is_identity(machine, network)),
        ("a Gaussian unit is a radial basis function around x_i",
         all(is_identity(*pair) for pair in zip(gaussian, radial, strict=True))),
    ))  # fmt: skip


@dataclass(frozen=True)
class RadialBasis:
    """A radial basis network with one centre at ``centre``, of width 1, and a Gaussian kernel machine on -1 and 1."""

    centre: Fraction = Fraction(0)
    rate: Fraction = Fraction(1, 2)
    examples: tuple[Fraction, Fraction] = (Fraction(1), Fraction(-1))
    kernel_rate: Fraction = Fraction(1)
    points: tuple[Fraction, ...] = (Fraction(0), Fraction(1, 2), Fraction(1), Fraction(-3, 2))


def radial_basis_network_is_no_machine(data: RadialBasis) -> Demonstration:
    """Not every radial basis network is a kernel machine on the training points: the converse of D1e."""

    def bump(x: Fraction, centre: Fraction, rate: Fraction) -> Expr:
        return sp.exp(-rational(rate * (x - centre) ** 2))

    rows = [
        [*(bump(x, c, data.kernel_rate) for c in data.examples), sp.Integer(1), bump(x, data.centre, data.rate)]
        for x in data.points
    ]
    determinant = sp.Matrix(rows).det(method="berkowitz")
    return Demonstration(
        (("the unit is outside the span of the kernels and 1: collocation determinant not 0",
          sign_of(determinant) != 0),),
        (("determinant", text_of(determinant)),),
    )  # fmt: skip


def sum_product_counts(sizes: tuple[int, ...] = (4, 16, 64)) -> Demonstration:
    """The monomials of the alternating sum-product tree on n = 4^i variables: 2^(sqrt n - 1), from n - 1 nodes (D1f).

    Two polynomials in different variables: a product has as many monomials as both numbers multiplied, a sum as many
    as both added. A shallow network (a sum of products of variables) needs a product for each monomial.
    """
    k = sp.Symbol("k", positive=True)
    step = is_identity(2 * (2 ** (k - 1)) ** 2, 2 ** (2 * k - 1))
    counts = {n: len(_alternating(0, n)) for n in sizes}
    return Demonstration(
        (
            *((f"{2 ** (round(n**0.5) - 1)} monomials for n = {n}", count == 2 ** (round(n**0.5) - 1))
              for n, count in counts.items()),
            ("a product level and a sum level turn 2^(k - 1) into 2^(2k - 1)", step),
        ),
        tuple((f"monomials, n = {n}", str(count)) for n, count in counts.items()),
    )  # fmt: skip


def _alternating(first: int, size: int) -> set[frozenset[int]]:
    """The monomials of the tree on variables ``first`` ...: products of two at the bottom, then sums, and so on."""
    if size == 1:
        return {frozenset({first})}
    half = size // 2
    left, right = _alternating(first, half), _alternating(first + half, half)
    is_product = size.bit_length() % 2 == 0  # sizes 2, 8, 32: the lowest level multiplies
    return {a | b for a in left for b in right} if is_product else left | right


def critical_points(rate: Fraction = Fraction(1, 10)) -> Demonstration:
    """Descent need not terminate, and a critical point need be neither minimum nor saddle in the usual sense (D4)."""
    s, w, gap, margin = (sp.Symbol(name, real=True) for name in ("s", "w", "d", "z"))
    factor = 1 - rational(rate)
    logistic = sp.log(1 + sp.exp(-margin))
    slope = -sp.exp(-margin) / (1 + sp.exp(-margin))
    return Demonstration((
        ("w_{s+1} - w* = (1 - eps lam)(w_s - w*): never 0 unless it starts so", factor != 0 and is_identity(
            gap * factor ** (s + 1), gap * factor**s - rational(rate) * (gap * factor**s))),
        ("cos(w) has a critical point at 0, a maximum", is_zero(sp.diff(sp.cos(w), w).subs(w, 0))
         and sign_of(sp.diff(sp.cos(w), w, 2).subs(w, 0)) < 0),
        ("w^3 has one that is neither maximum, minimum nor saddle: an inflection",
         is_zero(sp.diff(w**3, w).subs(w, 0)) and is_zero(sp.diff(w**3, w, 2).subs(w, 0))
         and sign_of(sp.diff(w**3, w, 3).subs(w, 0)) > 0),
        ("log(1 + e^-z), one separable example, has slope -e^-z/(1 + e^-z), which is negative everywhere",
         is_identity(sp.diff(logistic, margin), slope)),
    ), (("(w_s - w*)/(w_0 - w*)", f"({factor})^s"), ("cos''(0)", "-1"), ("(w^3)' at 0", "0")))  # fmt: skip


def descent_rests_where_the_gradient_vanishes() -> Demonstration:
    """A step of descent changes nothing exactly where the gradient is 0 (D4)."""
    w, eps, slope = sp.symbols("w eps g", real=True)
    step = is_identity((w - eps * slope) - w, -eps * slope)
    return Demonstration((("w_{s+1} - w_s = -eps grad L, which is 0 for grad L = 0 only", step),))


def kernel_is_no_property_of_the_curve() -> Demonstration:
    """The path kernel depends on the speed along the curve and on how the model is parametrised (D5a, D8)."""
    x, z, v, speed, horizon = sp.symbols("x z v eta T", positive=True)
    kernel = sp.diff(v * x, v) * sp.diff(v * z, v)
    primitive = _T * kernel
    return Demonstration((
        # What takes the time T at speed 1 takes T/eta at speed eta.
        ("y = w x at speed eta: K = T x x'/eta on the same curve", is_integral(primitive, kernel, _T)
         and is_identity(primitive.subs(_T, horizon / speed), horizon * x * z / speed)),
        ("with w = v^3 the tangent kernel is 9 v^4 x x' in place of x x'", is_identity(
            sp.diff(v**3 * x, v) * sp.diff(v**3 * z, v), 9 * v**4 * kernel)),
    ))  # fmt: skip


def identical_inputs_weigh_less(other: Fraction = Fraction(10)) -> Demonstration:
    """y = w x: the input 10 has ten times the kernel with 1 that 1 has with itself (D5b)."""
    x, z = sp.Symbol("x"), sp.Symbol("z")
    kernel = _T * x * z
    own, far = (kernel.subs({x: 1, z: rational(v)}) for v in (Fraction(1), other))
    return Demonstration(
        (
            ("K = T x x'", is_integral(kernel, x * z, _T)),
            ("the gradients at 1 and at 1 are the same, those at 1 and at the other input are not", other != 1),
            ("K(1, other) > K(1, 1)", bool(sp.cancel((far - own) / _T) > 0)),
        ),
        (("K(1, 1)", "T"), (f"K(1, {other})", f"{other} T")),
    )


def gradients_of_one_size(size: int = 3) -> Demonstration:
    """|g - h|^2 = |g|^2 + |h|^2 - 2 g.h: for gradients of one size the kernel orders by their distance (D5b)."""
    g, h = (sp.Matrix(sp.symbols(f"{name}1:{size + 1}", real=True)) for name in "gh")
    gap = g - h
    return Demonstration((
        ("g.h = (|g|^2 + |h|^2 - |g - h|^2)/2", is_identity(g.dot(h), (g.dot(g) + h.dot(h) - gap.dot(gap)) / 2)),
    ))  # fmt: skip


@dataclass(frozen=True)
class TwoTasks:
    """Fig1: f(x_1) = w_1, f(x_2) = w_2, both targets 1, w_0 = 0; the query's model is c w_1^2 + w_2 - d w_2^2."""

    horizon: Fraction = Fraction(1)
    targets: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    curvatures: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1, 2))


def greater_kernel_less_influence(data: TwoTasks) -> Demonstration:
    """The greater path kernel goes with the smaller contribution, with equal loss derivatives throughout (Fig1)."""
    first, second = map(rational, data.targets)
    c, d = map(rational, data.curvatures)
    decay = sp.exp(-_T)
    w1, w2 = first * (1 - decay), second * (1 - decay)
    slopes = [w1 - first, w2 - second]
    rates = [2 * c * w1, 1 - 2 * d * w2]
    kernels = [2 * c * first * (_T - 1 + decay), _T - 2 * d * second * (_T - 1 + decay)]
    square = (1 - decay) ** 2 / 2
    parts = [2 * c * first**2 * square, second * (1 - decay) - 2 * d * second**2 * square]
    at = {_T: rational(data.horizon)}
    k1, k2, c1, c2 = (each.subs(at) for each in (*kernels, *parts))
    facts = (
        ("the path solves the flow", solves([w1, w2], [-s for s in slopes], [sp.Integer(0)] * 2, _T)),
        ("the loss derivatives are equal at all times", is_identity(*slopes)),
        ("the kernels are integrated", all(map(is_integral, kernels, rates, (_T, _T)))),
        ("the contributions are integrated", all(
            is_integral(p, -s * r, _T) for p, s, r in zip(parts, slopes, rates, strict=True))),
        ("K_1 > K_2", sign_of(k1 - k2) > 0),
        ("contribution 1 < contribution 2", sign_of(c2 - c1) > 0),
    )  # fmt: skip
    names = ("K_1", "K_2", "contribution 1", "contribution 2")
    return Demonstration(facts, tuple(zip(names, map(text_of, (k1, k2, c1, c2)), strict=True)))


def equal_weights_follow_the_kernel() -> Demonstration:
    """With equal positive weights the greater kernel has the greater contribution (Fig1)."""
    a, k1, k2 = sp.symbols("a k1 k2", real=True)
    return Demonstration((("a K_1 - a K_2 = a (K_1 - K_2)", is_identity(a * k1 - a * k2, a * (k1 - k2))),))


def empirical_tangent_kernel() -> Demonstration:
    """A tanh network: the layer-by-layer formula of the tangent kernel is the inner product of gradients (D6a)."""
    x, z, bias = sp.symbols("x z b", real=True)
    u, c, v = (sp.symbols(f"{name}1:3", real=True) for name in "ucv")
    params = (*u, *c, *v, bias)

    def output(point: Expr) -> Expr:
        return sp.Add(*(vj * sp.tanh(uj * point + cj) for vj, uj, cj in zip(v, u, c, strict=True))) + bias

    def slope(point: Expr, j: int) -> Expr:
        return 1 - sp.tanh(u[j] * point + c[j]) ** 2

    gradients = sp.Add(*(sp.diff(output(x), p) * sp.diff(output(z), p) for p in params))
    layers = 1 + sp.Add(*(
        sp.tanh(u[j] * x + c[j]) * sp.tanh(u[j] * z + c[j]) + v[j] ** 2 * slope(x, j) * slope(z, j) * (x * z + 1)
        for j in range(2)
    ))  # fmt: skip
    return Demonstration((("the tangent kernel of a tanh network, in both forms", is_identity(gradients, layers)),))


@dataclass(frozen=True)
class OneWeight:
    """f = exp(w x), one example at 1 with the loss -ln y, so that w = start + t; and the inputs of a Gram matrix."""

    inputs: tuple[Fraction, ...] = (Fraction(1), Fraction(2), Fraction(3))
    start: Fraction = Fraction(0)
    horizon: Fraction = Fraction(1)


def strict_from_singular(data: OneWeight) -> Demonstration:
    """The tangent kernel has rank 1 at every time, the path kernel of three inputs is positive definite (D6b)."""
    x, z, w, s = (sp.Symbol(name, real=True) for name in ("x", "z", "w", "s"))
    points, start, end = ([rational(v) for v in data.inputs], rational(data.start), rational(data.horizon))
    gradient = sp.diff(sp.exp(w * x), w)
    flow = sp.exp(-w) * sp.diff(sp.exp(w), w)  # -L' df/dw at the example 1, where L' = -1/y
    path = start + _T
    tangent = gradient * gradient.subs(x, z)
    primitive = x * z * sp.exp((x + z) * start) * (sp.exp((x + z) * _T) - 1) / (x + z)
    gram = sp.Matrix(len(points), len(points), lambda i, j: primitive.subs({x: points[i], z: points[j], _T: end}))
    minors = [gram[:n, :n].det(method="berkowitz") for n in range(1, len(points) + 1)]
    rank_one = all(
        is_zero(tangent.subs({x: a, z: a}) * tangent.subs({x: b, z: b})
                - tangent.subs({x: a, z: b}, simultaneous=True) * tangent.subs({x: b, z: a}, simultaneous=True))
        for a, b in combinations(points, 2)
    )  # fmt: skip
    facts = (
        ("w = w_0 + t solves w' = 1", solves([path], [flow.subs(w, path)], [start], _T)),
        ("K is the integral of the tangent kernel", is_integral(
            primitive.subs(_T, s), tangent.subs(w, start + s), s)),
        ("all 2 x 2 minors of the tangent kernel are 0 at every time", rank_one),
        ("all leading minors of the path kernel are positive", all(sign_of(minor) > 0 for minor in minors)),
    )  # fmt: skip
    return Demonstration(facts, (("rank of K_t", "1"), ("det K", text_of(minors[-1]))))


def rank_of_linear_model() -> Demonstration:
    """y = w x: the path kernel of two inputs has determinant 0 (D6b)."""
    a, b = sp.symbols("a b", real=True)
    gram = sp.Matrix([[_T * a * a, _T * a * b], [_T * b * a, _T * b * b]])
    return Demonstration((("det K = 0 for y = w x at two inputs", is_zero(gram.det())),))


def feature_space(sizes: tuple[int, ...] = (1, 2, 3)) -> Demonstration:
    """The path kernel is an inner product: phi(x) = (t -> grad f_{w(t)}(x)) in L^2([0, T]; R^d) (D6c)."""
    facts = []
    for d in sizes:
        model = GenericModel(params=d)
        features = [model.gradient(each[0], TIME) for each in (model.query(TIME), model.example(0, TIME))]
        product = sp.Matrix(features[0]).dot(sp.Matrix(features[1]))
        facts.append((f"<phi(x)(t), phi(x')(t)> is the tangent kernel, d = {d}", is_identity(
            product, model.kernel_formula(0, 0, 0, TIME))))  # fmt: skip
    return Demonstration(tuple(facts))


def off_the_path() -> Demonstration:
    """w_1 x + w_2^2 h(x) and w_1 x have the same kernels on a path with w_2 = 0, and differ all around it (D9)."""
    x, z, w1, w2 = sp.symbols("x z w1 w2", real=True)
    bump = sp.Function("h")
    models = [w1 * x, w1 * x + w2**2 * bump(x)]
    kernels = [sp.Add(*(sp.diff(m, w) * sp.diff(m.subs(x, z), w) for w in (w1, w2))) for m in models]
    rate = sp.diff(models[1], w2)
    return Demonstration((
        ("the tangent kernels agree where w_2 = 0", is_identity(kernels[0], kernels[1].subs(w2, 0))),
        ("w_2 = 0 stays so: df/dw_2 = 0 there", is_zero(rate.subs(w2, 0))),
        ("they differ where w_2 is not 0", not is_identity(*kernels)),
    ))  # fmt: skip
