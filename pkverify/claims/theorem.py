"""Theorem 1 and what its wording contains: the identity, the ratio form, the average, the limit, and its extensions."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim

_THEOREM = "2, Theorem 1"
_DIFFERENTIABLE = (r"$f$ is differentiable in $w$", r"$L$ is differentiable", r"$\epsilon \to 0$")

CLAIMS = (
    Claim(
        "T1",
        "integral identity",
        r"$f_{w(T)}(x) = f_{w(0)}(x) - \sum_i \int_0^T L'_i(t)\,K^g_t(x, x_i)\,dt$",
        _DIFFERENTIABLE,
        ("H0", "H2"),
        ("P3", "P4", "P5", "P6", "P7", "P8"),
        Anchor(_THEOREM, "path taken by the parameters during gradient descent"),
        "The core of the theorem: no kernel is divided by, so it holds wherever the flow does.",
    ),
    Claim(
        "T1a",
        "ratio form",
        r"There are numbers $a_i(x)$ with $f_{w(T)}(x) = \sum_i a_i(x)\,K(x, x_i) + b(x)$, "
        r"$a_i = -\int_0^T L'_i K^g_t\,dt \big/ \int_0^T K^g_t\,dt$.",
        _DIFFERENTIABLE,
        ("H0", "H2", "H3"),
        ("T1", "P9", "P10", "P11", "P12"),
        Anchor(_THEOREM),
        "False without H3: the path kernel can vanish while the output moves.",
    ),
    Claim(
        "T1b",
        "limit of gradient descent",
        r"$\lim_{\epsilon \to 0} f_{w_{\lfloor T/\epsilon \rfloor}}(x)$ exists and equals $f_{w(T)}(x)$; the "
        r"parameters are within "
        r"$\frac{\epsilon M}{2\Lambda}(e^{\Lambda T} - 1)$, with $\Lambda$ and $M$ Lipschitz constants of $\nabla "
        r"L$ and of $w'$ near the path.",
        _DIFFERENTIABLE,
        ("H1", "H2", "H5"),
        ("P1", "P2"),
        Anchor("2, proof", "the gradient descent equation"),
        "Differentiability alone is not enough: then the limit need not exist, or need not be the flow's value.",
    ),
    Claim(
        "T1c",
        "the weight is an average",
        r"$a_i$ lies between the least and the greatest value of $-L'_i(t)$ on $[0, T]$.",
        _DIFFERENTIABLE,
        ("H0", "H3", "H4"),
        ("P10",),
        Anchor(_THEOREM, "weighted by the corresponding tangent kernel"),
        r"At $x = x_i$ the tangent kernel is a squared length and H4 holds; elsewhere it may change sign, and then "
        r"$a_i$ may be any number.",
    ),
    Claim(
        "T1g",
        "b is the initial model",
        r"$b(x) = f_{w(0)}(x)$",
        (),
        (),
        (),
        Anchor(_THEOREM, "b is the initial model"),
        r"It depends on $x$: it is a function, not a number.",
    ),
    Claim(
        "T1i",
        "the loss need not be a sum",
        r"The identity holds for any loss $\Phi(y_1, \dots, y_m)$ that is continuously differentiable, with $L'_i "
        r"= \partial\Phi/\partial y_i$.",
        ("the loss is a sum over examples",),
        ("H0", "H2"),
        ("T1",),
        Anchor("2, proof", "additivity of the loss"),
    ),
    Claim(
        "T1k",
        "vector outputs",
        r"$f_{w(T)}(x) = f_{w(0)}(x) - \sum_i \int_0^T J_t(x) J_t(x_i)^\top \nabla l_i(t)\,dt$",
        ("only minor changes",),
        ("H0", "H2"),
        ("T1",),
        Anchor("2, before Definition 1", "with only minor changes"),
        "The kernel becomes a matrix. The ratio form then needs its integral to be invertible, which is never so "
        "for softmax probabilities.",
    ),
)
