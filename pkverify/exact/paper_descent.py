"""Where gradient descent does not tend to the flow: the limit of the theorem without a Lipschitz gradient, and after T.

The arguments are elementary and hold for every small step; what they need of numbers is proved here, exactly or by
balls, and some runs of gradient descent are made in balls besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import Ball, BallAlgebra, BallDomainError, is_positive, real, sign, to_decimal
from pkverify.arithmetic.ball import working_precision as precision
from pkverify.exact.algebra import rational
from pkverify.exact.identity import is_identity
from pkverify.exact.paper_demonstration import Demonstration, is_zero, sign_of, text_of

Expr = Any

_FIRST_TRAP = 9  # from here on the term 2/u is too small to open a trap


def error_of_linear_model(
    eps: Fraction = Fraction(1, 1000), rate: Fraction = Fraction(2), horizon: Fraction = Fraction(1)
) -> Demonstration:
    """w' = -S (w - p) from the distance 1: the error of descent against its first term and its bound (P2).

    Descent is at (1 - eps S)^s, the flow at exp(-S t). The first term of the difference is eps S^2 T exp(-S T)/2, and
    Euler's bound is eps M/(2 Lam) (exp(Lam T) - 1) with Lam = S, M = S^2.
    """
    with precision(256):
        step, slope, end = real(eps), real(rate), real(horizon)
        left = 1 - step * slope
        descent = real(1)
        for _ in range(int(horizon / eps)):
            descent = descent * left
        error = (-slope * end).exp() - descent
        first = step * slope * slope * end * (-slope * end).exp() / 2
        bound = step * slope / 2 * ((slope * end).exp() - 1)
        facts = (
            ("the error is within 2 % of its first term", is_positive(first / 50 - abs(error - first))),
            ("the error is below Euler's bound", is_positive(bound - abs(error))),
        )
        return Demonstration(facts, (("error", to_decimal(error, 8) or ""), ("first term", to_decimal(first, 8) or "")))


@dataclass(frozen=True)
class Ripple:
    """CE-B: f = w^2 sin(1/w) + slope w (0 at 0), loss l(y) = y: differentiable everywhere, not C^1 at 0.

    Attributes:
        slope: The derivative at 0.
        start: The initial weight.
        horizon: The end of the flow.
    """

    slope: Fraction = Fraction(1, 2)
    start: Fraction = Fraction(0)
    horizon: Fraction = Fraction(1)


def descent_is_trapped(data: Ripple) -> Demonstration:
    """Descent stays within O(sqrt eps) of 0, so its limit is f(0) = 0; the formula on the path w = 0 says otherwise.

    With w = -1/u or 1/u the derivative is g = 2 sin(u)/u - cos(u) + slope. Below 0, in the trap |u - 2 pi n| <= 1, g is
    negative and descent turns back; above 0, in |u - (2n + 1) pi| <= 2, g is positive and it turns back too. No step is
    as long as 2 eps, so none jumps over traps that are wider: the trap below spans 2/((2 pi n)^2 - 1), the one above
    4/(((2n + 1) pi)^2 - 4). Hence |w_s| <= 1/(2 pi n - 1) for all s, for the largest n with (2 pi n)^2 - 1 <= 1/eps.
    """
    w, u = sp.Symbol("w", real=True), sp.Symbol("u", positive=True)
    slope, first = rational(data.slope), 2 * sp.pi * _FIRST_TRAP - 1
    model = w**2 * sp.sin(1 / w) + slope * w
    gradient = 2 * sp.sin(u) / u - sp.cos(u) + slope
    both_sides = all(is_identity(sp.diff(model, w).subs(w, s / u), gradient) for s in (-1, 1))
    value = -data.horizon * data.slope**2
    wide = 2 * ((2 * sp.pi * _FIRST_TRAP) ** 2 - 1) - ((2 * _FIRST_TRAP + 1) * sp.pi) ** 2 + 4
    facts = (
        ("w(0) = 0, where the derivative is the slope since |f(w) - slope w| <= w^2", data.start == 0),
        ("the derivative is 2 sin(u)/u - cos(u) + slope at w = 1/u and at w = -1/u", both_sides),
        ("g < 0 in every trap below 0", sign_of(sp.cos(1) - slope - 2 / first) > 0),
        ("g > 0 in every trap above 0", sign_of(slope + sp.cos(2) - 2 / first) > 0),
        ("|g| < 2 between the traps", sign_of(1 - sp.Abs(slope) - 2 / first) > 0),
        ("the trap above is the wider one", sign_of(wide) > 0),
        ("the formula on the limit path gives another value than f(0) = 0", value != 0),
    )
    runs = [(f"w_GD(1) at eps = 1e-{k}", _ripple_run(data, k)) for k in (2, 3)]
    return Demonstration(facts, (("lim y_GD", "0"), ("y_0 - int L' K_t dt on w = 0", str(value)), *runs))


def _ripple_run(data: Ripple, power: int) -> str:
    """Gradient descent with step ``10**-power``: its last point, enclosed."""
    eps, steps = Fraction(1, 10**power), int(data.horizon * 10**power)
    with precision(400 + 4 * steps):  # a step multiplies an error by up to 1 + eps/w^2, that is by about 2
        point, slope, step = real(data.start), real(data.slope), real(eps)
        for _ in range(steps):
            if point == 0:
                gradient = slope
            elif sign(point) == 0:
                return "not settled"
            else:
                gradient = 2 * point * (1 / point).sin() - (1 / point).cos() + slope
            point = point - step * gradient
        return to_decimal(point, 10) or "not settled"


@dataclass(frozen=True)
class SquareRoot:
    """CE-C: f = w, loss with l'(y) = -sqrt|y|: continuously differentiable, not Lipschitz at 0.

    Attributes:
        start: The initial weight, negative.
        horizon: The end of the flow.
    """

    start: Fraction = Fraction(-1)
    horizon: Fraction = Fraction(3)


def limit_does_not_exist(data: SquareRoot) -> Demonstration:
    """Along one sequence of steps descent stops at 0 for ever, along another it ends above a positive number.

    With w = -(eps u)^2 a step is u^2 -> u^2 - u below 0, and u^2 -> u^2 + u above (w = (eps u)^2). Backwards:
    v = (1 + sqrt(1 + 4 u^2))/2 goes to u, so that U_0 = 0, U_{n+1} = (1 + sqrt(1 + 4 U_n^2))/2 gives steps
    eps_k = sqrt|w_0| / U_k after k of which descent stands at 0 exactly. From V_0 = 1/2 in place of U_0 = 0 descent
    crosses 0 with u = 1/2 above, has u > 1 two steps later, and from then on u grows by 1/(1 + sqrt 2) a step at least.
    Both U_k and V_k grow by 1/2 a step at least, so that 0 is reached, or crossed, by the time 2 sqrt|w_0|.
    """
    if data.start >= 0:
        return Demonstration((("w(0) < 0", False),))
    u = sp.Symbol("u", positive=True)
    root = sp.sqrt(rational(-data.start))
    before = (1 + sp.sqrt(1 + 4 * u**2)) / 2
    second = root * (sp.sqrt(5) - 1) / 2  # eps_2 = sqrt|w_0| / U_2; the first step leads to -eps_2^2
    once = rational(data.start) + second * root
    after = sp.sqrt(u**2 + u) - u
    late = rational(data.horizon) - 2 * root
    facts = (
        ("the step before leads to u: v^2 - v = u^2", is_identity(before**2 - before, u**2)),
        ("U_{n+1} >= U_n + 1/2", is_identity((2 * before - 1) ** 2 - (2 * u) ** 2, sp.Integer(1))),
        ("w_1 = 0 with eps_1 = sqrt|w_0|", is_zero(rational(data.start) + root * root)),
        ("w_2 = 0 with eps_2 = sqrt|w_0| (sqrt 5 - 1)/2", is_identity(once, -(second**2))),
        ("u > 1 two steps after u = 1/2", sign_of(sp.Rational(3, 4) + sp.sqrt(sp.Rational(3, 4)) - 1) > 0),
        ("u grows by 1/(1 + sqrt(1 + 1/u))", is_identity(after * (sp.sqrt(u**2 + u) + u), u)),
        ("T is later than 2 sqrt|w_0|", sign_of(late) > 0),
    )
    above = (late / (1 + sp.sqrt(2))) ** 2
    levels = _ball_levels(160)
    shown = [(f"eps_{k}", _scaled(data, levels[k])) for k in (1, 2, 3, 160)]
    runs = [(f"w_GD at eps = 1e-{k}", _root_run(data, k)) for k in (2, 3)]
    limits = (("limit along eps_k", "0"), ("lower limit along the other sequence, at least", text_of(above, 6)))
    return Demonstration(facts, (*limits, *shown, *runs))


def _ball_levels(count: int) -> list[Ball]:
    with precision(256):
        levels = [real(0)]
        for _ in range(count):
            levels.append((1 + (1 + 4 * levels[-1] * levels[-1]).sqrt()) / 2)
        return levels


def _scaled(data: SquareRoot, level: Ball) -> str:
    with precision(256):
        return to_decimal(BallAlgebra().call("sqrt", real(-data.start)) / level, 12) or "not settled"


def _root_run(data: SquareRoot, power: int) -> str:
    """Gradient descent with step ``10**-power``: its last point, enclosed."""
    with precision(300):
        point, step = real(data.start), real(Fraction(1, 10**power))
        for _ in range(int(data.horizon * 10**power)):
            if sign(point) == 0:
                return "not settled"
            point = point + step * abs(point).sqrt()
        return to_decimal(point, 10) or "not settled"


@dataclass(frozen=True)
class Ridge:
    """CE-D: L = r^2 (r - 2)^2/4 + 1 - cos(theta) in the plane, in polar coordinates; the output is L and l(y) = y.

    Attributes:
        radius: Where training starts: on the ridge.
        angle: The angle there.
    """

    radius: Fraction = Fraction(1)
    angle: Fraction = Fraction(1)


def ridge_is_left(data: Ridge) -> Demonstration:
    """The flow stays on the ridge r = 1 and tends to a saddle; descent, for every small step, leaves it for r = 2.

    A step is along the tangent, so that it moves outwards: r_1^2 = r^2 + (eps sin(theta)/r)^2 where L_r = 0. Between 1
    and 2 the radial part of the step is outwards as well, so that r grows until it comes to 2, and theta shrinks; the
    only point at which both come to rest with r > 1 is r = 2, theta = 0.
    """
    r, theta, eps = sp.symbols("r theta eps", positive=True)
    loss = r**2 * (r - 2) ** 2 / 4 + 1 - sp.cos(theta)
    radial, angular = sp.diff(loss, r), sp.diff(loss, theta) / r
    start = {r: rational(data.radius), theta: rational(data.angle)}
    after = (r - eps * radial) ** 2 + (eps * angular) ** 2
    outward = (after - r**2).subs(start)
    end = {theta: 0, r: start[r]}
    facts = (
        ("L_r = 0 at the start, for every angle: the flow keeps its radius", is_zero(radial.subs(r, start[r]))),
        ("a step leads outwards", is_identity(outward, eps**2 * sp.sin(start[theta]) ** 2 / start[r] ** 2)
         and sign_of(sp.sin(start[theta])) != 0),
        ("-L_r = r (r - 1)(2 - r) is positive between 1 and 2", is_identity(-radial, r * (r - 1) * (2 - r))),
        ("the angle moves towards 0, as sin(theta)/r^2", is_identity(angular / r, sp.sin(theta) / r**2)),
        ("the flow's limit has loss 1/4", is_zero(loss.subs(end) - sp.Rational(1, 4))),
        ("descent with eps = 1/10 ends with L < 4e-16", _descends(data, 10, 60)),
        ("descent with eps = 1/100 ends with L < 4e-16", _descends(data, 100, 60)),
    )  # fmt: skip
    values = [(f"|r - 1| at T = 3, eps = 1/{n}", _distance(data, n)) for n in (10, 100, 1000)]
    return Demonstration(facts, (("L, flow", "1/4"), ("L, descent", "0"), *values))


def _ridge_run(data: Ridge, inverse: int, steps: int) -> tuple[Ball, Ball]:
    """Radius and angle after some steps of size 1/inverse, in balls; Cartesian steps, told in polar coordinates."""
    radius, angle, eps = real(data.radius), real(data.angle), real(Fraction(1, inverse))
    for _ in range(steps):
        inward = radius - eps * radius * (radius - 1) * (radius - 2)
        aside = -eps * angle.sin() / radius
        if not is_positive(inward):
            raise BallDomainError("the step may pass through the origin")
        radius, angle = (inward * inward + aside * aside).sqrt(), angle + (aside / inward).atan()
    return radius, angle


def _descends(data: Ridge, inverse: int, horizon: int) -> bool:
    with precision(256):
        try:
            radius, angle = _ridge_run(data, inverse, horizon * inverse)
        except BallDomainError:
            return False
        gap = radius * (radius - 2)
        loss = gap * gap / 4 + 1 - angle.cos()
        return is_positive(real(Fraction(4, 10**16)) - loss)


def _distance(data: Ridge, inverse: int) -> str:
    with precision(256):
        try:
            radius, _ = _ridge_run(data, inverse, 3 * inverse)
        except BallDomainError:
            return "not settled"
        return to_decimal(abs(radius - 1), 10) or "not settled"
