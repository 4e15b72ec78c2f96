"""The discussion: superposition, features, architectures, storage, boosting, densities, convex problems."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

_SEC = "3"

CLAIMS = (
    Claim(
        "S1",
        "weights as a superposition of examples",
        r"The weights $w_T$ are a superposition of the examples, each represented by the model's gradient at it.",
        (),
        ("H0", "H2"),
        ("P4", "P5"),
        Anchor(_SEC, "super-position of the training examples in gradient space"),
        status=Status.IMPRECISE,
        repaired=r"$w_T = w_0 - \sum_i \int_0^T L'_i \nabla f_{w(t)}(x_i)\,dt$: $w_0$ belongs to it, and an "
        r"example is a path of "
        r"gradients, not one vector. For gradient descent the sum over steps is exact at any $\epsilon$.",
    ),
    Claim(
        "S2",
        "the output as a weighted sum of matches",
        r"Applying the learned model is equivalent to outputting $\sum_i a_i K(x, x_i)$.",
        (),
        ("H0", "H2", "H3"),
        ("T1a",),
        Anchor("3, Figure 2", "outputting a weighted sum of the results"),
        status=Status.IMPRECISE,
        repaired=r"$b = y_0(x)$ belongs to it, and the $a_i$ depend on $x$.",
    ),
    Claim(
        "S2b",
        "the space for comparisons",
        r"The path kernel gives a distance, $D^2 = K(x,x) + K(z,z) - 2K(x,z) = \int_0^T |\nabla f_t(x) - \nabla "
        r"f_t(z)|^2\,dt$.",
        (),
        ("H0", "H2"),
        ("D6b",),
        Anchor(_SEC, "what the exact space for these comparisons should be"),
        r"That comparisons should be made in this space is advice, not a statement.",
    ),
    Claim(
        "S3",
        "brittleness away from the data",
        r"That deep models degrade as the query moves away from the data is what is expected of $\sum_i a_i K(x, "
        r"x_i)$.",
        (),
        (),
        (),
        Anchor(_SEC, "what is expected of kernel estimators"),
        r"It does not follow from the theorem: $y = wx$ has the same relative error $e^{-T}$ at every distance. Of the "
        r"observation that deep networks and kernel machines perform alike nothing is checked here.",
        status=Status.NOT_CHECKABLE,
    ),
    Claim(
        "S4",
        "predefined features",
        r"The features $\nabla_w f$ are predefined, and all that gradient descent does is select among them.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor(_SEC, "All that gradient descent does is select features"),
        status=Status.IMPRECISE,
        repaired=r"They are gradients of a predefined function at weights that depend on the labels; with other "
        r"labels the same "
        r"model has another kernel, not a multiple of the first.",
    ),
    Claim(
        "S5",
        "convolution and translation invariance",
        r"The path kernel of a convolutional network is invariant under translations: $K(Sx, x') = K(x, x')$.",
        (),
        ("H0", "H2"),
        (),
        Anchor(_SEC, "kernels with translation invariance or selective attention"),
        status=Status.IMPRECISE,
        repaired=r"If $f_w(Sx) = f_w(x)$ for all $w$, as with circular convolution and global pooling, then "
        r"$K^g$, $K^p$ and $a_i$ are "
        r"invariant. With a dense layer on top, or padding by zeros, they are not.",
    ),
    Claim(
        "S6",
        "kernels with selective attention",
        r"Kernels $K$ with selective attention are directly obtainable from transformers.",
        (),
        (),
        (),
        Anchor(_SEC, "kernels with translation invariance or selective attention"),
        status=Status.NOT_CHECKABLE,
        repaired=r"Pooled attention without positions does not depend on the order of the tokens for any $w$, "
        r"and so neither does $K$.",
    ),
    Claim(
        "S7",
        "maxima of a sine",
        r"The maxima of a sine are close in gradient space: $D^2 = K(x,x) + K(z,z) - 2K(x,z)$ is small for any "
        r"two of them.",
        (),
        ("H0", "H2"),
        ("S2b",),
        Anchor(_SEC, "maxima of a sine wave are all close in gradient space"),
        r"For $\sin(wx)$ alone the gradient at a maximum is 0, and with it distance and similarity. The "
        r"derivatives are by "
        r"the weights, not by the input.",
        status=Status.IMPRECISE,
        repaired=r"For $A \sin(wx + \phi)$ at one $w$ all maxima have the gradient $(1, 0, 0)$; for the path "
        r"kernel this needs a "
        r"frequency that is not trained.",
    ),
    Claim(
        "S7e",
        "the curse of dimensionality",
        r"Path kernels combat the curse of dimensionality, since derivatives are built into $K$.",
        (),
        (),
        (),
        Anchor(_SEC, "combat the curse of dimensionality"),
        status=Status.NOT_CHECKABLE,
    ),
    Claim(
        "S8",
        "storage and matching",
        r"No Gram matrix is needed, all examples are stored in the weights, and storage and matching time do not "
        r"depend on $m$.",
        (),
        (),
        (),
        Anchor(_SEC, "storage space and matching time are independent"),
        status=Status.IMPRECISE,
        repaired=r"Evaluating $f_w$ takes $d$ numbers whatever $m$ is; the kernel form itself takes $m$ kernels "
        r"along the path. With "
        r"$d < m$ the weights cannot hold generic targets.",
    ),
    Claim(
        "S9a",
        "every round decreases the loss",
        r"Each step of gradient descent decreases the loss: $L(w_{s+1}) < L(w_s)$.",
        (),
        ("H1",),
        ("P5",),
        Anchor(_SEC, "each round (gradient descent step) decreases the loss"),
        r"The paper assumes small learning rates elsewhere (L4); how small is not said there either.",
        status=Status.FALSE,
        repaired=r"Along the flow $dL/dt = -L'^\top G L' = -|\nabla L|^2$. A step does it if $0 < \epsilon < "
        r"2/\Lambda$ with "
        r"$\Lambda$ a Lipschitz constant of $\nabla L$, and $\nabla L \ne 0$.",
    ),
    Claim(
        "S9b",
        "examples weighted by loss derivatives",
        r"In each round the examples are weighted by the loss derivatives: $\nabla L = \sum_i L'_i \nabla f(x_i)$.",
        (),
        ("H0",),
        ("P5",),
        Anchor(_SEC, "weighted by the corresponding loss derivatives"),
        r"For the loss $e^{-yF}$ they are the example weights of AdaBoost.",
    ),
    Claim(
        "S9c",
        "weak and strong learners",
        r"Each round adds the tangent kernel machine $h$ with weight $\epsilon$: $f_{s+1} = f_s + \epsilon h_s$.",
        (),
        ("H0",),
        ("P7",),
        Anchor(_SEC, "tangent kernel machines as the weak learner"),
        status=Status.IMPRECISE,
        repaired=r"To first order in $\epsilon$: for $f = uv$ a step adds $\epsilon h + \epsilon^2 r^2 uv$. "
        r"Exact with the averaged "
        r"gradient of E1.",
    ),
    Claim(
        "S9d",
        "line search and gradient boosting",
        r"With $\epsilon$ from a line search gradient descent is similar to gradient boosting.",
        (),
        (),
        (),
        Anchor(_SEC, "gradient descent is similar to gradient boosting"),
        status=Status.NOT_CHECKABLE,
    ),
    Claim(
        "S10",
        "probabilistic models as density estimates",
        r"Every probabilistic model learned by gradient descent is a kernel density estimate $\frac1m \sum_i "
        r"K(x, x_i)$.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor(_SEC, "a form of kernel density estimation"),
        r"$\int \nabla p\,dx = 0$ (derivative under the integral), so that $\int K(x, x_i)\,dx = 0$ where a "
        r"density estimate has 1; in "
        r"discrete models, Bayesian networks among them, the sums are 0.",
        status=Status.FALSE,
        repaired=r"$\log p_T(x) = \log p_0(x) + \sum_i K(x, x_i)$ with $\log p$ as the output (R3d).",
    ),
    Claim(
        "S11",
        "solutions of convex problems",
        r"The solution of every convex problem is a kernel machine $\sum_i a_i K(x, x_i) + b$ whatever the "
        r"optimiser, since, being "
        r"unique, it is the one that gradient descent obtains.",
        (),
        ("H0", "H1"),
        ("T1a",),
        Anchor(_SEC, "the solution of every convex learning problem"),
        r"Solutions may be many, none, on the edge of a constraint, or at a kink of the loss; and one solution "
        r"has many expansions.",
        status=Status.FALSE,
        repaired=r"For a strictly convex problem without constraints whose minimum is attained the flow tends to "
        r"its minimiser; the "
        r"expansion is that of Theorem 1 as $T \to \infty$, and depends on $w_0$.",
    ),
    Claim(
        "S12",
        "nonconvex models and other optimisers",
        r"Whether $y = \sum_i a_i K(x, x_i) + b$ extends to models not learned by gradients is an open question.",
        (),
        (),
        (),
        Anchor(_SEC, "nonconvex models learned by non-gradient-based techniques"),
        status=Status.NOT_CHECKABLE,
        repaired=r"At every stationary point of $\sum_i l_i + \frac{\lambda}{2}|w|^2$, $f$ homogeneous of degree "
        r"$k$ in $w$: $f(x) = "
        r"-\frac{1}{k\lambda} \sum_i L'_i K^g_w(x, x_i)$.",
    ),
    Claim(
        "S13",
        "outlook",
        r"The view of $y$ as a kernel machine makes deep networks interpretable, carries knowledge over to "
        r"kernels, and should lead to "
        r"better algorithms and use of hardware.",
        (),
        (),
        (),
        Anchor("Abstract, 1 and 3", "This improved understanding should lead to better learning algorithms."),
        "Opinion and outlook, also where superposition in vision, quantum computing and radio is recalled, and where "
        "kernels are said to have used knowledge only in a weak sense before.",
        status=Status.NOT_CHECKABLE,
    ),
)
