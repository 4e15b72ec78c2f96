"""What the steps of the proof take for granted: differentiability at a point, and integrals that exist."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import BallAlgebra, real, to_decimal, working_precision
from pkverify.exact.algebra import rational
from pkverify.exact.identity import is_identity
from pkverify.exact.paper_demonstration import Demonstration, is_zero

Expr = Any


def partial_derivatives_only(direction: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))) -> Demonstration:
    """CE-P3: f = w_1^2 w_2/(w_1^2 + w_2^2), f(0) = 0, along a straight path through 0 (P3)."""
    s, u, v = sp.symbols("s u v", real=True)
    model = u**2 * v / (u**2 + v**2)
    a, b = map(rational, direction)
    along = sp.cancel(model.subs({u: a * s, v: b * s}, simultaneous=True)) if a or b else sp.Integer(0)
    rate = sp.diff(along, s)
    return Demonstration(
        (
            ("df/dw_1 = 0 at 0, since f(s, 0) = 0", is_zero(model.subs(v, 0))),
            ("df/dw_2 = 0 at 0, since f(0, s) = 0", is_zero(model.subs(u, 0))),
            ("f(s a) is linear in s with another slope than 0", is_identity(along, rate * s)
             and bool(rate.is_Rational) and rate != 0),
        ),
        (("d/ds f(s a) at 0", str(rate)), ("sum_j df/dw_j a_j", "0")),
    )  # fmt: skip


def kernel_is_not_integrable(
    frequency: Fraction = Fraction(1), terms: tuple[int, ...] = (100, 10_000)
) -> Demonstration:
    """CE-P8: the loss -w moves w = t; the query's model is w^2 sin(c/w^2), differentiable everywhere (P8).

    At t_k^2 = c/(pi/2 + k pi) the output is (-1)^k t_k^2, so that its variation is at least the sum over k of
    t_k^2 + t_{k+1}^2. This is at least 2c/(pi (k + 3/2)), and the harmonic series diverges: the tangent kernel, whose
    absolute value has that variation as its integral, is not integrable near 0.
    """
    t, k = sp.symbols("t k", positive=True)
    c = rational(frequency)
    model = t**2 * sp.sin(c / t**2)
    kernel = 2 * t * sp.sin(c / t**2) - 2 * c / t * sp.cos(c / t**2)
    top, following = (c / (sp.pi / 2 + (k + shift) * sp.pi) for shift in (0, 1))
    excess = top + following - 2 * c / (sp.pi * (k + sp.Rational(3, 2)))
    facts = (
        ("K_t = dy/dt", is_identity(sp.diff(model, t), kernel)),
        ("w = t is the flow of the loss -w", is_identity(sp.diff(t, t), sp.Integer(1))),
        ("t_k^2 + t_(k+1)^2 - 2c/(pi (k + 3/2)) = c/(pi (k + 1/2)(k + 3/2)), which is positive", frequency > 0
         and is_identity(excess, c / (sp.pi * (k + sp.Rational(1, 2)) * (k + sp.Rational(3, 2))))),
    )  # fmt: skip
    with working_precision(128):
        scale = real(frequency) / BallAlgebra().pi()
        values = []
        for count in terms:
            # The sum of t_k^2 + t_{k+1}^2 telescopes into twice the sum less its two ends.
            inner = sum((Fraction(2, 2 * n + 1) for n in range(1, count)), Fraction(0)) if count <= 200 else None
            total = 2 * real(inner) if inner is not None else _double_sum(count)
            total = scale * (total + real(Fraction(2)) + real(Fraction(2, 2 * count + 1)))
            values.append((f"variation over {count} terms, more than", to_decimal(total, 4) or "not settled"))
    return Demonstration(facts, tuple(values))


def _double_sum(count: int) -> Any:
    total = real(0)
    for n in range(1, count):
        total = total + 2 / real(2 * n + 1)
    return 2 * total
