"""What is said after the remarks: linear models, perceptrons, Hopfield networks, and small learning rates."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

_AFTER = "2, after the remarks"

CLAIMS = (
    Claim(
        "L1",
        "linear models",
        r"For $y = w \cdot x$ the path kernel is the dot product $x \cdot x'$.",
        ("linear model",),
        ("H2",),
        ("D8",),
        Anchor(_AFTER, "the path kernel reduces to the dot product"),
        r"Behind an output function, as in $\sigma(w \cdot x)$, it is no multiple of the dot product.",
        status=Status.IMPRECISE,
        repaired=r"$K = T\,x \cdot x'$; with a bias $T\,(x \cdot x' + 1)$, with features $T\,\phi(x) \cdot \phi(x')$.",
    ),
    Claim(
        "L2",
        "the perceptron",
        r"From $w = 0$ the perceptron rule gives $w \cdot x = \sum_i n_i y_i\, x_i \cdot x$ at any step size, "
        r"$n_i$ counting the "
        r"updates by example $i$.",
        (),
        (),
        (),
        Anchor(_AFTER, "a single-layer perceptron is a kernel machine"),
        "It is no instance of Theorem 1, which asks for a differentiable loss and all examples at every step; a "
        "generalisation of it are the identities over steps (E1, E6), not the limit.",
    ),
    Claim(
        "L3",
        "Hopfield networks as nearest neighbours",
        r"A Hopfield network recalls the stored pattern $\xi$ with the least Hamming distance $d_H(x, \xi)$ to "
        r"the query $x$.",
        (),
        (),
        (),
        Anchor(_AFTER, "Hopfield networks, a predecessor of many current deep architectures"),
        "The report that is cited sets the Hopfield network against another one that computes Hamming distances.",
        status=Status.FALSE,
        repaired=r"For patterns of $\pm 1$, $x \cdot \xi = n - 2 d_H(x, \xi)$: picking the largest dot product "
        r"is the nearest "
        r"neighbour. Hopfield's recall may end in another pattern, stored or not.",
    ),
    Claim(
        "L4",
        "small learning rates in practice",
        r"$\epsilon$ has to be so small for descent not to diverge that the smooth curve is generally a good "
        r"approximation.",
        (),
        ("H1", "H5"),
        (),
        Anchor(_AFTER, "has to be quite small in order to avoid divergence"),
        r"The limit $2/\lambda_{\max}$ is one of stability, not of accuracy.",
        status=Status.IMPRECISE,
        repaired=r"On $w^2/2$ every $\epsilon < 2$ converges, and for $1 < \epsilon < 2$ with a change of sign "
        r"at every step, which "
        r"the flow never makes. How good the curve is in practice is a matter of experience.",
    ),
    Claim(
        "L5",
        "outside of small learning rates",
        r"To what extent models learned with a finite $\epsilon$ are kernel machines is an open question.",
        (),
        (),
        (),
        Anchor(_AFTER, "it remains an open question to what extent"),
        status=Status.NOT_CHECKABLE,
        repaired=r"The identity of Theorem 1 is exact at every $\epsilon$ with the gradient at the query "
        r"averaged over each step; that "
        r"kernel is not symmetric.",
    ),
)
