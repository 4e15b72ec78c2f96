"""Theorem 1 and what its wording contains: the identity, the ratio form, the average, the limit, and its extensions."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

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
        status=Status.HOLDS_UNDER,
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
        status=Status.FALSE,
        repaired=(r"It holds under H3. Without it the undivided sum of T1 holds: no kernel is divided by there."),
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
        status=Status.FALSE,
        repaired=(
            r"With a locally Lipschitz gradient, a flow on $[0, T]$ and a fixed $T$ the limit exists and is the flow's "
            r"value."
        ),
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
        status=Status.FALSE,
        repaired=(
            r"Under H4 the quotient is an average, within the range of what is averaged; always so at $x = x_i$."
        ),
    ),
    Claim(
        "T1d",
        "the final model",
        r"Trained to the end, $T \to \infty$, the factors $a_i(x)$ and $K(x, x_i)$ of the final model are finite "
        r"numbers.",
        ("the final model $y$",),
        ("H0", "H2", "H3", "H5"),
        ("T1a",),
        Anchor("2, proof of Theorem 1", "Then for the final model"),
        r"In a linear model $K = T\,x \cdot x_i$ diverges and $a_i$ tends to the residual of least squares.",
        status=Status.FALSE,
        repaired=(
            r"At every finite $T$; in the limit their sum $\sum_i a_i K$ converges with the flow, and $T$ has to be "
            r"given with every $K$."
        ),
    ),
    Claim(
        "T1e",
        "order of the limits",
        r"Gradient descent trained to the end tends, as $\epsilon \to 0$, to what the flow tends to as $T \to \infty$.",
        (r"$\epsilon \to 0$", "the final model $y$"),
        ("H1", "H2", "H5"),
        ("T1b",),
        Anchor("2, Theorem 1", "by gradient descent with differentiable loss function"),
        "Not discussed in the paper; a flow that ends in a saddle is left by descent with every small step.",
        status=Status.FALSE,
        repaired="For a fixed $T$; also to the end, where the flow comes into the basin of an isolated stable minimum.",
    ),
    Claim(
        "T1f",
        "the flow reaches the horizon",
        r"$w'(t) = -\nabla L(w(t))$, $w(0) = w_0$ has a solution on $[0, T]$ whatever $T$ is.",
        _DIFFERENTIABLE,
        ("H1", "H2"),
        (),
        Anchor("2, proof of Theorem 1", "This is known as a gradient flow"),
        "Not discussed in the paper. A loss that is bounded below keeps the flow from blowing up.",
        status=Status.FALSE,
        repaired=r"Under H1 on the whole space with $L$ bounded below, since then $|w_T - w_0|^2 \le T (L_0 - L_T)$; "
        r"else it is to be assumed (H2).",
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
        "T1h",
        "the weights are those of the formula",
        r"$a_i(x)$ is defined by its formula; at one query other numbers with the same $\sum_i a_i(x) K(x, x_i)$ "
        r"exist.",
        ("$L$ is differentiable",),
        ("H0", "H3"),
        ("T1a",),
        Anchor("2, Theorem 1", "is the average"),
        "The paper claims no uniqueness.",
        status=Status.DEFINITION,
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
        status=Status.HOLDS_UNDER,
    ),
    Claim(
        "T1j",
        "inputs may be anything",
        r"The identity holds for inputs $x_i$ of any kind: each is only a name for a function $w \mapsto f_w(x_i)$.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor("2, before Definition 1", "can be arbitrary structures"),
        r"For a lookup table $f_w(x) = w_x$ the path kernel is $T$ at equal inputs and 0 at others: nothing is learned "
        r"about an unseen $x$.",
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
        status=Status.IMPRECISE,
        repaired=(
            r"The integral identity holds with the matrix kernel $J_t(x) J_t(x_i)^\top$; weights need its integral to "
            r"be invertible."
        ),
    ),
    Claim(
        "M1",
        "the form alone says nothing",
        r"Any function is $\sum_i a_i(x) K(x, x_i) + b(x)$ for any $K$ without zeros, if $a_i$ and $b$ may depend on "
        r"$x$; and every $f_T$ is $a_1 K(x, x_1)$ with a number $a_1$ for the kernel $K(x, x') = f_T(x) f_T(x')$.",
        (),
        (),
        (),
        Anchor("", ""),
        "A warning that the paper does not give: the content of Theorem 1 is in the weights and the kernel that it "
        "names.",
    ),
    Claim(
        "M2",
        "every such model is a kernel machine",
        r"There are numbers $a_i$ and $b$, the same for all queries, with $f_{w(T)}(x) = \sum_i a_i K(x, x_i) + b$ for "
        r"the model's own path kernel.",
        ("the model is learned by gradient descent",),
        ("H0", "H2", "H3"),
        ("T1a",),
        Anchor("Title, abstract, 3", "deep networks are in fact kernel machines"),
        "Remark 1 grants that the weights and $b$ depend on the query.",
        status=Status.FALSE,
        repaired=r"With weights and $b$ that depend on $x$ (T1a); with numbers $a_i$, and $b = y_0(x)$, where the "
        r"model is linear in $w$, or its output a log-probability (R3d), or the tangent kernel a product "
        r"$k(t)\kappa(x, x_i)$.",
    ),
)
