"""The proof of Theorem 1, one claim for each of its displayed steps."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

_PROOF = "2, proof of Theorem 1"
_RATE = r"\frac{dy}{dt} = "
_PARTIAL = r"\frac{\partial y}{\partial w_j}"
_RATIO = r"\frac{\int_0^T K^g_t(x, x_i)\,L'_i\,dt}{\int_0^T K^g_t(x, x_i)\,dt}"

CLAIMS = (
    Claim(
        "P1",
        "gradient descent rewritten",
        r"$\frac{w_{s+1} - w_s}{\epsilon} = -\nabla_w L(w_s)$",
        (),
        (),
        (),
        Anchor(_PROOF, "which can also be written as"),
    ),
    Claim(
        "P2",
        "descent becomes a flow",
        r"As $\epsilon \to 0$ the steps become $\frac{dw}{dt} = -\nabla_w L(w(t))$.",
        (r"$\epsilon \to 0$",),
        ("H1", "H2", "H5"),
        ("P1",),
        Anchor(_PROOF, "becomes the differential equation"),
        r"For a linear model the first error is $|w_0 - p|\,\epsilon S^2 T e^{-ST}/2$, with $S = \sum x_i^2$ and "
        r"$p$ the least-squares solution.",
        status=Status.HOLDS_UNDER,
    ),
    Claim(
        "P3",
        "chain rule in time",
        rf"${_RATE}\sum_j {_PARTIAL}\frac{{dw_j}}{{dt}}$",
        (r"$y$ is differentiable",),
        ("H0", "H2"),
        (),
        Anchor(_PROOF, "for any differentiable function of the weights"),
        "Differentiable in the sense of Frechet; partial derivatives alone are not enough.",
    ),
    Claim(
        "P4",
        "flow substituted",
        rf"${_RATE}\sum_j {_PARTIAL}\Bigl(-\frac{{\partial L}}{{\partial w_j}}\Bigr)$",
        (),
        ("H2",),
        ("P3",),
        Anchor(_PROOF, "by its gradient descent expression"),
    ),
    Claim(
        "P5",
        "chain rule in the loss",
        rf"${_RATE}\sum_j {_PARTIAL}\Bigl(-\sum_i L'_i \frac{{\partial y_i}}{{\partial w_j}}\Bigr)$",
        ("the loss is a sum over examples",),
        ("H0",),
        ("P4",),
        Anchor(_PROOF, "the chain rule of differentiation"),
        "That the loss is a sum is not needed: see T1i.",
    ),
    Claim(
        "P6",
        "finite sums exchanged",
        rf"${_RATE}-\sum_i L'_i \sum_j {_PARTIAL}\frac{{\partial y_i}}{{\partial w_j}}$",
        (),
        (),
        ("P5",),
        Anchor(_PROOF, "Rearranging terms"),
    ),
    Claim(
        "P7",
        "Definition 1 inserted",
        rf"${_RATE}-\sum_i L'_i\,K^g_t(x, x_i)$",
        (),
        (),
        ("P6", "D7"),
        Anchor(_PROOF, "the loss derivative for the ith output"),
    ),
    Claim(
        "P8",
        "integrated over the path",
        r"$y_T = y_0 - \int_0^T \sum_i L'_i\,K^g_t(x, x_i)\,dt$",
        (),
        ("H0", "H2"),
        ("P7",),
        Anchor(_PROOF, "the initial model, prior to gradient descent"),
        "An integral over time, not a line integral. For a model that is only differentiable the integral may "
        "exist only as an improper one.",
        status=Status.HOLDS_UNDER,
    ),
    Claim(
        "P9",
        "multiplied and divided by the path kernel",
        rf"$y_T = y_0 - \sum_i \Bigl({_RATIO}\Bigr) \int_0^T K^g_t(x, x_i)\,dt$",
        (),
        ("H0", "H3"),
        ("P8",),
        Anchor(_PROOF, "Multiplying and dividing by"),
        "Computer algebra cancels the two integrals without a word, and the condition with them; here the "
        "division is kept until it is justified.",
        status=Status.FALSE,
        repaired=("It holds under H3: the integral that is divided by must not be 0."),
    ),
    Claim(
        "P10",
        "weighted average named",
        rf"$y_T = y_0 - \sum_i \overline{{L'_i}} \int_0^T K^g_t(x, x_i)\,dt$ with $\overline{{L'_i}} = {_RATIO}$, and "
        r"$\min_t L'_i \le \overline{L'_i} \le \max_t L'_i$.",
        (),
        ("H0", "H3", "H4"),
        ("P9",),
        Anchor(_PROOF, "weighted by similarity to x"),
        "The name needs H3; that it is an average, within the range of what is averaged, needs H4.",
        status=Status.FALSE,
        repaired=("The name has a meaning under H3; that it is an average needs H4."),
    ),
    Claim(
        "P11",
        "Definition 2 inserted",
        r"$y_T = y_0 - \sum_i \overline{L'_i}\,K^p(x, x_i)$",
        (),
        ("H3",),
        ("P10", "D8"),
        Anchor(_PROOF, "Applying this and"),
        status=Status.HOLDS_UNDER,
    ),
    Claim(
        "P12",
        "weights and b named",
        r"$y_T = \sum_i a_i\,K(x, x_i) + b$ with $a_i = -\overline{L'_i}$, $b = y_0$",
        (),
        ("H3",),
        ("P11",),
        Anchor(_PROOF, "Thus"),
        r"Both $a_i$ and $b$ are functions of the query $x$.",
        status=Status.HOLDS_UNDER,
    ),
)
