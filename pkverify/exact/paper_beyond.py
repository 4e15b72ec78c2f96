"""The identities in unknown functions that the exact extensions rest on, each decided by SymPy's polynomials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from pkverify.exact.identity import is_identity

Expr = Any

_T, _S, _RATE, _DEGREE, _STRENGTH = sp.symbols("t s gamma k lambda", positive=True)
_SIZES = (1, 2, 3)


def damping_is_undone(weight: str) -> bool:
    """Whether ``q = p (q_0 - int_0^t G/p ds)`` obeys ``q' = (p'/p) q - G`` for an unknown G.

    Args:
        weight: ``"exponential"`` for ``p = exp(-gamma t)``, ``"cubic"`` for ``p = t^-3``, ``"homogeneous"`` for
            ``p = exp(-k lambda t)``.

    Example:
        >>> damping_is_undone("exponential"), damping_is_undone("cubic")
        (True, True)
    """
    build: dict[str, Callable[[Expr], Expr]] = {
        "exponential": lambda t: sp.exp(-_RATE * t),
        "cubic": lambda t: t**-3,
        "homogeneous": lambda t: sp.exp(-_DEGREE * _STRENGTH * t),
    }
    p, pull, start = build[weight], sp.Function("G"), sp.Symbol("q0")
    q = p(_T) * (start - sp.Integral(pull(_S) / p(_S), (_S, 0, _T)))
    return is_identity(q.diff(_T), p(_T).diff(_T) / p(_T) * q - pull(_T))


def natural_kernel_is_invariant() -> bool:
    """Whether ``J (J^T F J)^-1 J^T = F^-1`` for symmetric F and any J, both 2 x 2 and with unknown entries."""
    a, b, d, *entries = sp.symbols("a b d j11 j12 j21 j22")
    fisher, jacobian = sp.Matrix([[a, b], [b, d]]), sp.Matrix(2, 2, entries)
    moved = jacobian * _inverse(jacobian.T * fisher * jacobian) * jacobian.T
    return all(is_identity(left, right) for left, right in zip(moved, _inverse(fisher), strict=True))


def stationary_points_are_kernel_machines() -> bool:
    """Whether Euler's relation and a vanishing gradient give the kernel machine: up to 3 parameters and examples."""
    found: list[bool] = []
    for d in _SIZES:
        for m in _SIZES:
            slopes = sp.symbols(f"f1:{d + 1}")
            pulls = sp.symbols(f"l1:{m + 1}")
            gradients = [sp.symbols(f"g{i}_1:{d + 1}") for i in range(m)]
            point = [-sp.Add(*(pulls[i] * gradients[i][j] for i in range(m))) / _STRENGTH for j in range(d)]
            output = sp.Add(*(w * f for w, f in zip(point, slopes, strict=True))) / _DEGREE
            machine = -sp.Add(*(
                pulls[i] * sp.Add(*(f * g for f, g in zip(slopes, gradients[i], strict=True))) for i in range(m)
            )) / (_DEGREE * _STRENGTH)  # fmt: skip
            found.append(is_identity(output, machine))
    return all(found)


def midpoint_is_exact_for_quadratics() -> bool:
    """Whether ``f(w + d) - f(w) = grad f(w + d/2) . d`` for every quadratic f of up to 3 parameters."""
    found: list[bool] = []
    for size in _SIZES:
        w, d = sp.symbols(f"w1:{size + 1}"), sp.symbols(f"d1:{size + 1}")
        terms = [sp.Symbol(f"q{i}{j}") * w[i] * w[j] for i in range(size) for j in range(i + 1)]
        f = sp.Add(*terms, *(sp.Symbol(f"p{i}") * w[i] for i in range(size)), sp.Symbol("c"))
        moved = f.subs({a: a + b for a, b in zip(w, d, strict=True)}, simultaneous=True)
        middle = {a: a + b / 2 for a, b in zip(w, d, strict=True)}
        slope = sp.Add(*(f.diff(a).subs(middle, simultaneous=True) * b for a, b in zip(w, d, strict=True)))
        found.append(is_identity(moved - f, slope))
    return all(found)


def squares_bound_products() -> bool:
    """Lagrange's identity ``|a|^2 |b|^2 - (a.b)^2 = sum_{i<j} (a_i b_j - a_j b_i)^2`` for up to 3 components."""
    found: list[bool] = []
    for size in _SIZES:
        a, b = sp.symbols(f"a1:{size + 1}"), sp.symbols(f"b1:{size + 1}")
        left = sp.Add(*(v**2 for v in a)) * sp.Add(*(v**2 for v in b))
        product = sp.Add(*(u * v for u, v in zip(a, b, strict=True))) ** 2
        squares = sp.Add(*((a[i] * b[j] - a[j] * b[i]) ** 2 for j in range(size) for i in range(j)))
        found.append(is_identity(left - product, squares))
    return all(found)


def _inverse(matrix: Expr) -> Expr:
    """The inverse of a 2 x 2 matrix by its formula, so that nothing is simplified on the way."""
    a, b, c, d = matrix
    return sp.Matrix([[d, -b], [-c, a]]) / (a * d - b * c)
