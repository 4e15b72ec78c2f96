"""The hypotheses that the claims need, whether or not the paper states them."""

from __future__ import annotations

from pkverify.claims.record import Hypothesis

_ALL = (
    Hypothesis(
        "H0",
        "differentiable along the path",
        r"$f_w(x)$ and every $f_w(x_i)$ are continuously differentiable in $w$ near the path, and each loss is "
        r"continuously "
        r"differentiable in the output.",
    ),
    Hypothesis("H1", "locally Lipschitz gradient", r"$\nabla L$ is locally Lipschitz in $w$."),
    Hypothesis(
        "H2",
        "the flow exists",
        r"$w'(t) = -\nabla L(w(t))$, $w(0) = w_0$ has a solution on all of $[0, T]$. It follows from H1 on the "
        r"whole space when "
        r"$L$ is bounded below.",
    ),
    Hypothesis(
        "H3",
        "path kernel not zero",
        r"$K(x, x_i) \ne 0$ for every example $i$; for vector outputs the matrix $\int_0^T J_t(x) J_t(x_i)^\top "
        r"dt$ is invertible. "
        r"Where $K(x, x_i)$ and $\int_0^T L'_i K^g_t(x, x_i)\,dt$ are both 0, any number may serve as $a_i$.",
    ),
    Hypothesis(
        "H4",
        "tangent kernel of one sign",
        r"$t \mapsto K^g_t(x, x_i)$ does not change sign on $[0, T]$, for every example $i$.",
    ),
    Hypothesis(
        "H5",
        "fixed horizon",
        r"$T$ is finite and stays fixed while $\epsilon \to 0$: gradient descent makes $\lfloor T/\epsilon "
        r"\rfloor$ steps.",
    ),
)

HYPOTHESES: dict[str, Hypothesis] = {hypothesis.id: hypothesis for hypothesis in _ALL}
