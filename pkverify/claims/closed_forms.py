"""Laws and closed forms that the paper does not state, against which every route is tested."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim

CLAIMS = (
    Claim(
        "SE",
        "single-example law",
        r"With one training example and $x = x_1$, for every model: $K(x_1, x_1) = \int_{y_0}^{y_T} "
        r"\frac{dy}{-l'(y)}$ and "
        r"$a_1 = (y_T - y_0)/K(x_1, x_1)$, provided $l'(y_0) \ne 0$.",
        (),
        ("H0", "H1", "H2"),
        ("T1",),
        Anchor("", ""),
        r"$dy/dt = -l'(y)\,K^g_t$, so that $K^g_t\,dt = dy/(-l'(y))$. If the gradient at $x_1$ is zero at the "
        r"start, nothing moves and $K = 0$.",
    ),
)
