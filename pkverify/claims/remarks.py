"""The remarks after Theorem 1, and what follows from them."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim, Status

_ONE, _TWO, _THREE = "2, Remark 1", "2, Remark 2", "2, Remark 3"
_FOUR, _FIVE = "2, Remark 4", "2, Remark 5"

CLAIMS = (
    Claim(
        "R1a",
        "weights and constant depend on the query",
        r"In $y = \sum_i a_i K(x, x_i) + b$ of Theorem 1 the $a_i$ and $b$ are functions of $x$.",
        (),
        ("H0", "H2", "H3"),
        ("T1a",),
        Anchor(_ONE, "the ai's and b depend on x"),
        "So the result is no kernel machine in the usual sense, where they are numbers.",
        repaired=r"They need not depend on $x$ everywhere: where $K^g_t(x, x_i) = k(t)\,\kappa(x, x_i)$, as in "
        r"models linear in "
        r"$w$, and where $L'_i$ is constant, $a_i$ does not. $b = y_0(x)$ does so still.",
    ),
    Claim(
        "R1b",
        "greater sensitivity, greater weight",
        r"If $-L'_i(t) > -L'_j(t)$ at every time, then $a_i \ge a_j$: examples to which the loss is more "
        r"sensitive weigh more, "
        r"as in support vector machines and perceptrons.",
        (),
        ("H0", "H2", "H3"),
        ("T1a",),
        Anchor(_ONE, "examples that the loss is more sensitive to"),
        r"The average is weighted by $K^g_t(x, x_i)$, which has its own course for every example. In a support "
        r"vector machine "
        r"the weight carries the sign of $y^*_i$; here $a_i$ is minus an average of $L'_i$, and depends on which "
        r"output is "
        r"decomposed: probability, logit, or log probability.",
        status=Status.FALSE,
        repaired=r"Under H4, $a_i$ lies between the least and the greatest value of $-L'_i$ on the path.",
    ),
    Claim(
        "R1c",
        "final model = prior + learned",
        r"$f_{w(T)}(x)$ is $f_{w(0)}(x)$ plus the part learned by gradient descent, $-\sum_i \int_0^T L'_i "
        r"K^g_t(x, x_i)\,dt$.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor(_ONE, "the sum of the prior model and the model learned"),
    ),
    Claim(
        "R1d",
        "the query enters only through kernels",
        r"Besides $b$, the prediction at $x$ depends on $x$ only through kernels $K(x, x_i)$.",
        (),
        ("H0", "H2"),
        ("P8",),
        Anchor(_ONE, "entering the latter only through kernels"),
        status=Status.IMPRECISE,
        repaired=r"It depends on $x$ only through the courses $t \mapsto K^g_t(x, x_i)$. The path kernels, their "
        r"integrals, do not "
        r"determine it: two queries may share them all, and $b$, and have different predictions.",
    ),
    Claim(
        "R1e",
        "training points enter only through kernels",
        r"The training outputs solve $y' = -G_t L'(y)$ with $G_t = (K^g_t(x_i, x_j))_{ij}$, so that the data "
        r"enter only through "
        r"$t \mapsto G_t$ and $y(0)$.",
        (),
        ("H0", "H1", "H2"),
        ("P7",),
        Anchor(_ONE, "the training data points also enter"),
        r"$G_t$ at later times is not determined by $G_0$: it has to be given as a whole.",
        status=Status.HOLDS_UNDER,
    ),
    Claim(
        "R2a",
        "loss-weighted form",
        r"$f_{w(T)}(x) = b - \sum_i K^{lp}(x, x_i)$ with $K^{lp}(x, x_i) = \int_0^T L'_i K^g_t(x, x_i)\,dt$: "
        r"every $a_i = -1$.",
        (),
        ("H0", "H2"),
        ("P8",),
        Anchor(_TWO, "equally well be proved using the loss-weighted path kernel"),
        "Nothing is divided by, so that H3 is not needed: the form to rely on.",
    ),
    Claim(
        "R2b",
        "the loss-weighted path kernel is a kernel",
        r"$K^{lp}$ is a kernel: a symmetric, positive semidefinite function of two points.",
        (),
        ("H0", "H2"),
        (),
        Anchor(_TWO, "in which case"),
        r"Its second argument must carry a target. It is neither symmetric nor of one sign on the diagonal.",
        status=Status.FALSE,
        repaired=r"The identity with $a_i = -1$ holds (R2a); as a kernel take $K^p$, or output and loss as in R3d.",
    ),
    Claim(
        "R3a",
        "least squares",
        r"In least-squares regression $L'(y^*_i, y_i) = y_i - y^*_i$.",
        (),
        (),
        (),
        Anchor(_THREE, "In least-squares regression"),
        status=Status.IMPRECISE,
        repaired=r"For the loss $\frac12 (y - y^*)^2$; for $(y - y^*)^2$ it is twice that.",
    ),
    Claim(
        "R3b",
        "cross-entropy",
        r"With the output $p_i$, the probability of the class observed, and the loss $-\sum_i \ln p_i$: $L'_i = "
        r"-1/p_i$.",
        (),
        (),
        (),
        Anchor(_THREE, "loss derivative for the ith output is"),
        r"A data point is then the pair $(x_i, y^*_i)$. With one output $p(1|x)$ for both classes, class 0 has "
        r"$+1/(1-p)$; with "
        r"the logit as the output it is $\sigma(z) - y^*$. The split into kernels and weights depends on that choice.",
    ),
    Claim(
        "R3c",
        "joint distribution",
        r"Under negative log likelihood with $p_i$ the probability of the data point, $L'_i = -1/p_i$.",
        (),
        (),
        (),
        Anchor(_THREE, "modeling a joint distribution by minimizing negative log likelihood"),
        r"$f_w$ must be a normalised density, whatever $w$ is.",
    ),
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
    Claim(
        "R4a",
        "the regulariser's term",
        r"With a penalty $R(w)$, $y_T = y_0 - \int_0^T \nabla y \cdot \nabla R\,dt - \sum_i \int_0^T L'_i "
        r"K^g_t(x, x_i)\,dt$.",
        (),
        ("H0", "H2"),
        ("P8",),
        Anchor(_FOUR, "Adding a regularization term"),
        r"$R$ must be continuously differentiable. The $dt$ is missing in print.",
    ),
    Claim(
        "R4b",
        "only b changes",
        r"A penalty changes nothing but $b$: path, kernels $K$ and weights $a_i$ are those without it.",
        (),
        ("H0", "H2"),
        (),
        Anchor(_FOUR, "simply adds"),
        r"The word `simply' may be read otherwise: as a formula on the new path it is right (R4a).",
        status=Status.IMPRECISE,
        repaired=r"The term is added to $b$ along the path of the penalised flow; $K$ and $a_i$ are those of "
        r"that path, too.",
    ),
    Claim(
        "R5a",
        "stochastic gradient descent by an indicator",
        r"For minibatches it suffices to multiply each term of the sum by an indicator $I_i(t)$.",
        (),
        ("H0", "H2"),
        ("T1i",),
        Anchor(_FIVE, "multiply each term in the summation over data points"),
        status=Status.IMPRECISE,
        repaired=r"Right for an indicator that is a fixed measurable function of time, and at every step of the "
        r"discrete "
        r"recursion. Drawn anew at each step, the limit $\epsilon \to 0$ is deterministic, with $I_i$ replaced "
        r"by $B/m$.",
    ),
    Claim(
        "R5b",
        "the only change is stochastic integrals",
        r"The only change is that path kernel $\int I_i K^g_t\,dt$ and average loss derivative are stochastic "
        r"integrals.",
        (),
        ("H0", "H2"),
        (),
        Anchor(_FIVE, "The only change this causes in the result"),
        r"At a finite step there is a second-order term with the Hessian of $f$ besides, whose mean does not vanish.",
        status=Status.FALSE,
        repaired=r"$I_i$ belongs to $L'_i$: inside $K$ it makes $K(x_i, x_j) \ne K(x_j, x_i)$. With gradients "
        r"averaged over the "
        r"steps the sum is exact at every step size.",
    ),
    Claim(
        "R5c",
        "indicators are 0 or 1",
        r"$I_i(t) \in \{0, 1\}$ says whether example $i$ is in the subsample.",
        (),
        (),
        (),
        Anchor(_FIVE, "is included in the subsample at time t"),
        status=Status.IMPRECISE,
        repaired=r"Drawn with replacement, the multiplicity $n_i$ takes its place; to estimate the gradient of "
        r"the sum it needs the "
        r"factor $m/B$.",
    ),
    Claim(
        "R5d",
        "further variants of gradient descent",
        r"Theorem 1 or a similar result, $y = \sum_i a_i K(x, x_i) + b$, is likely to hold for further variants.",
        (),
        (),
        (),
        Anchor(_FIVE, "proving this remains an open problem"),
        status=Status.NOT_CHECKABLE,
        repaired=r"For heavy ball at any step size: the gradient at the query, averaged over each step, with the "
        r"pulls of step $r$ "
        r"counted $\beta^{s-r}$ at step $s$, makes the sum exact.",
    ),
)
