"""The remarks after Theorem 1, and what follows from them."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim

CLAIMS = (
    Claim(
        "R3d",
        "log-probability output",
        r"If the output is $y = \log p$ and the loss $-\sum_i y_i$, then $L'_i = -1$, every $a_i = 1$, and "
        r"$\log p_T(x) = \log p_0(x) + \sum_i K(x, x_i)$.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor("", ""),
        "A kernel expansion with constant weights around the initial model, for every model trained by negative "
        "log likelihood. "
        "No kernel is divided by: where one is 0, the factor 1 still serves.",
    ),
)
