"""The definitions of the two kernels, and what is said of them around Theorem 1."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim

CLAIMS = (
    Claim(
        "D6b",
        "the path kernel is positive semidefinite",
        r"$v^\top K v = \int_0^T \bigl|\sum_i v_i \nabla f_{w(t)}(x_i)\bigr|^2 dt \ge 0$ for the Gram matrix $K$ "
        r"of any points.",
        ("a sum of positive definite kernels is positive definite",),
        ("H0", "H2"),
        ("D7", "D8"),
        Anchor("2, before Definition 1", "is also a positive definite kernel"),
        "It is strictly positive where the tangent kernel is so at one time of the path, and also in cases where "
        "the tangent kernel never is.",
    ),
    Claim(
        "D7",
        "tangent kernel",
        r"$K^g_{f,v}(x, x') = \nabla_w f_w(x) \cdot \nabla_w f_w(x')$, gradients at $v$; it is symmetric, and "
        r"$K^g(x, x) = |\nabla_w f_w(x)|^2$.",
        (),
        ("H0",),
        (),
        Anchor("2, Definition 1", "with the gradients taken at v"),
    ),
    Claim(
        "D8",
        "path kernel",
        r"$K^p_{f,c}(x, x') = \int_0^T K^g_{f,w(t)}(x, x')\,dt$; it is symmetric, and $K^p(x, x) = \int_0^T "
        r"|\nabla_w f_{w(t)}(x)|^2\,dt$.",
        (),
        ("H0", "H2"),
        ("D7",),
        Anchor("2, Definition 2", "curve c(t) in parameter space"),
        "It depends on how fast the curve is run through, not on the curve alone.",
    ),
)
