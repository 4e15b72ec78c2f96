"""The definitions of the two kernels, and what is said of kernel machines and gradient descent around Theorem 1."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

_MACHINES = "2, kernel machines"
_BEFORE = "2, before Definition 1"

CLAIMS = (
    Claim(
        "D1",
        "kernel machine",
        r"A kernel machine is a model $y = g\bigl(\sum_i a_i K(x, x_i) + b\bigr)$ with learned numbers $a_i$, $b$.",
        (),
        (),
        (),
        Anchor(_MACHINES, "A kernel machine is a model of the form"),
        r"In Theorem 1 $a_i$ and $b$ are functions of the query, and $g$ is the identity.",
        status=Status.DEFINITION,
    ),
    Claim(
        "D1b",
        "weights linear in the targets",
        r"Typically $a_i$ is a linear function of $y_i^*$.",
        ("in supervised learning",),
        (),
        ("D1",),
        Anchor(_MACHINES, "is typically a linear function of"),
        r"Kernel ridge regression: $a = (K + \lambda I)^{-1} y^*$, linear in all targets together. The weights of a "
        r"path kernel are affine in the targets for a linear model, and in general not.",
        status=Status.DEFINITION,
    ),
    Claim(
        "D1c",
        "names, and what is stored",
        r"Kernel machines are also known as support vector machines; they store a subset of the examples $x_i$.",
        (),
        (),
        ("D1",),
        Anchor("1; 2, kernel machines", "also known as support vector machines"),
        r"A path kernel machine keeps every example with $L'_i \ne 0$ at some time.",
        status=Status.NOT_CHECKABLE,
    ),
    Claim(
        "D1d",
        "a kernel machine is a network with one hidden layer",
        r"$g\bigl(\sum_i a_i K(x, x_i) + b\bigr)$ is a network with hidden units $K(\cdot, x_i)$ and output weights "
        r"$a_i$.",
        (),
        (),
        ("D1",),
        Anchor(_MACHINES, "with the kernel as the nonlinearity"),
    ),
    Claim(
        "D1e",
        "Gaussian kernels and radial basis functions",
        r"With $K(x, x') = e^{-\gamma |x - x'|^2}$ a kernel machine is a radial basis function network.",
        (),
        (),
        ("D1d",),
        Anchor(_MACHINES, "Gaussian kernel machine is a radial basis function network"),
        "The converse does not hold: such a network may have centres that are no examples.",
    ),
    Claim(
        "D1f",
        "depth can be exponentially more compact",
        r"The alternating sum-product tree on $n = 4^i$ variables has $n - 1$ nodes; as a sum of products it needs "
        r"$2^{\sqrt n - 1}$ of them.",
        (),
        (),
        (),
        Anchor(_MACHINES, "exponentially more compactly than a shallow one"),
        "One of the families that the paper cites, for 'some functions'.",
    ),
    Claim(
        "D3",
        "gradient descent",
        r"$w_{s+1} = w_s - \epsilon \nabla_w L(w_s)$ with $L = \sum_i L(y_i^*, y_i)$.",
        (),
        (),
        (),
        Anchor("2, gradient descent", "gradient descent repeatedly modifies the model's parameters"),
        "All examples at every step.",
        status=Status.DEFINITION,
    ),
    Claim(
        "D4",
        "termination",
        r"Gradient descent terminates where $\nabla_w L = 0$, and the loss is then at an optimum or a saddle point.",
        (),
        (),
        ("D3",),
        Anchor("2, gradient descent", "process terminates when the gradient is zero"),
        r"On a quadratic $w_s - w^* = (1 - \epsilon\lambda)^s (w_0 - w^*)$, which is never 0 for $\epsilon\lambda = "
        r"1/10$.",
        status=Status.IMPRECISE,
        repaired=r"Where descent stops moving $\nabla_w L = 0$. It need never do so, nor need such a point exist "
        r"(separable logistic regression); and the point may be a maximum or an inflection.",
    ),
    Claim(
        "D5a",
        "path kernel, as introduced",
        r"$K(x, x') = \int_{c(t)} \nabla_w y(x) \cdot \nabla_w y(x')\,dt$, an integral over time.",
        (r"$\epsilon$ is infinitesimal",),
        (),
        (),
        Anchor("2, gradient descent", "over the path taken by the parameters"),
        r"Not a property of the curve: at speed $\eta$ a linear model has $T x x'/\eta$ on the same curve; with $w = "
        r"v^3$ the tangent kernel becomes $9 v^4 x x'$.",
        status=Status.DEFINITION,
    ),
    Claim(
        "D5b",
        "similar variation, higher weight",
        r"The more similarly the model varies at $x$ and $x'$, the greater $K(x, x')$.",
        ("intuitively",),
        (),
        ("D5a",),
        Anchor("2, gradient descent", "The more similar the variation"),
        r"For $y = w x$: $K(1, 1) = T$ and $K(1, 10) = 10\,T$.",
        status=Status.IMPRECISE,
        repaired=r"The inner product of gradients measures their sizes and their angle; for gradients of one size it "
        r"orders by the angle.",
    ),
    Claim(
        "Fig1",
        "greater kernel, more influence",
        r"If $K(x, x_1) > K(x, x_2)$, example 1 has the greater influence on the output at $x$, all else being equal.",
        ("all else being equal",),
        ("H0", "H2"),
        ("D5a",),
        Anchor("2, Figure 1", "all else being equal"),
        r"False when 'all else' means the loss derivatives $L'_i(t)$, equal at all times.",
        status=Status.IMPRECISE,
        repaired=r"With equal positive weights $a_1 = a_2$ the contributions $a_i K(x, x_i)$ are ordered as the "
        r"kernels.",
    ),
    Claim(
        "D6a",
        "the neural tangent kernel is the integrand",
        r"For a multilayer perceptron $K^g_{f,w(t)}(x, x')$ is its (empirical) neural tangent kernel at $w(t)$.",
        (),
        ("H0",),
        ("D7", "D8"),
        Anchor(_BEFORE, "The neural tangent kernel is the integrand"),
        "The tangent kernel of the network at hand, which moves in training; that of infinite width is its limit, and "
        "does not move.",
    ),
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
        "D6c",
        "the path kernel is an inner product",
        r"$K(x, x') = \langle \phi(x), \phi(x') \rangle$ with $\phi(x) = (t \mapsto \nabla f_{w(t)}(x))$ in "
        r"$L^2([0, T]; \mathbb{R}^d)$.",
        (),
        ("H0", "H2"),
        ("D8",),
        Anchor(_BEFORE, "equivalent to a dot product in a derived feature space"),
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
        status=Status.DEFINITION,
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
        status=Status.DEFINITION,
    ),
    Claim(
        "D9",
        "the neighbourhood of the path",
        r"The kernel measures the similarity of the model at $x$ and $x'$ in the neighbourhood of the path $w(t)$.",
        (),
        ("H0", "H2"),
        ("D8",),
        Anchor("1", "in the neighborhood of the path"),
        "Only gradients on the path enter; for steps of finite size, on the segments between its points.",
        status=Status.DEFINITION,
    ),
)
