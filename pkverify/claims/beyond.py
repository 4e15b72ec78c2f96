"""What the paper leaves open and what can be said exactly: any learning rate, any optimiser, any stationary point."""

from __future__ import annotations

from pkverify.claims.record import Anchor, Claim

_NOWHERE = Anchor("", "")
_OPEN = Anchor("2, after the remarks", "it remains an open question to what extent")
_VARIANTS = Anchor("2, Remark 5", "further variants of gradient descent")

CLAIMS = (
    Claim(
        "E1",
        "exact at any learning rate",
        r"For gradient descent with any $\epsilon$: $y_S - y_0 = -\epsilon \sum_s \sum_i L'_i(s)\, \bar g_s(x) \cdot "
        r"\nabla f_s(x_i)$, with $\bar g_s(x) = \int_0^1 \nabla f_{w_s + u(w_{s+1} - w_s)}(x)\,du$ the gradient "
        r"averaged over the step.",
        (),
        ("H0",),
        ("P3",),
        _OPEN,
        r"With the gradient at the left end instead, the sum misses by $\epsilon^2 \sum_s \int_0^1 (1-u)\, g_s^\top "
        r"\nabla^2 f\, g_s\,du$ exactly, $g_s = \nabla L(w_s)$. The kernel is not symmetric.",
    ),
    Claim(
        "E2",
        "exact with momentum",
        r"For $v_{s+1} = \beta v_s - \epsilon g_s$, $w_{s+1} = w_s + v_{s+1}$: $y_S - y_0 = \sum_s \beta^{s+1} "
        r"\bar g_s(x) \cdot v_0 - \epsilon \sum_r \sum_i L'_i(r) \bigl[\sum_{s \ge r} \beta^{s-r} \bar g_s(x)\bigr] "
        r"\cdot \nabla f_r(x_i)$.",
        (),
        ("H0",),
        ("P3",),
        _VARIANTS,
        r"Nesterov's method: the same, with $L'_i$ and $\nabla f_r(x_i)$ taken at the point looked ahead to.",
    ),
    Claim(
        "E2c",
        "the heavy ball in continuous time",
        r"For $w'' + \gamma w' = -\nabla L(w)$: $y_T - y_0 = \int_0^T e^{-\gamma t} \nabla f_t(x)\,dt \cdot w'(0) - "
        r"\sum_i \int_0^T L'_i(s) \int_s^T e^{-\gamma(t-s)} \nabla f_t(x) \cdot \nabla f_s(x_i)\,dt\,ds$.",
        (),
        ("H0",),
        ("P3",),
        _VARIANTS,
        r"The kernel is not symmetric; its symmetric part $\frac12 \int\int e^{-\gamma|t-s|} \nabla f_t \cdot \nabla "
        r"f_s$ is positive semidefinite.",
    ),
    Claim(
        "E2d",
        "Nesterov's method in continuous time",
        r"For $w'' + \frac{3}{t} w' = -\nabla L(w)$, $w'(0) = 0$: $y_T - y_0 = -\sum_i \int_0^T L'_i(s) \int_s^T "
        r"(s/t)^3\, \nabla f_t(x) \cdot \nabla f_s(x_i)\,dt\,ds$.",
        (),
        ("H0",),
        ("P3",),
        _VARIANTS,
    ),
    Claim(
        "E3",
        "preconditioned descent",
        r"For $w' = -P_t \nabla L(w)$: $y_T - y_0 = -\sum_i \int_0^T L'_i\, \nabla f_t(x)^\top P_t \nabla "
        r"f_t(x_i)\,dt$; "
        r"with steps $w_{s+1} - w_s = -\epsilon P_s \nabla L(w_s)$ the same with $\bar g_s(x)^\top P_s \nabla "
        r"f_s(x_i)$. The kernel is positive semidefinite when every $P_t$ is.",
        (),
        ("H0",),
        ("P3",),
        _VARIANTS,
        r"With $P = F^{-1}$, $F$ the Fisher matrix (natural gradient), the kernel does not depend on how the "
        r"parameters are chosen: $J F_v^{-1} J^\top = F_w^{-1}$ for $F_v = J^\top F_w J$.",
    ),
    Claim(
        "E3a",
        "Adam and AdamW",
        r"$y_S - y_0 = -\epsilon \sum_r \sum_i L'_i(r) \Bigl[\sum_{s \ge r} \frac{(1-\beta_1) \beta_1^{s-r}}"
        r"{1-\beta_1^{s+1}}\, \bar g_s(x)^\top P_s\Bigr] \nabla f_r(x_i)$, "
        r"$P_s = \mathrm{diag}(1/(\sqrt{\hat v_s} + \delta))$; AdamW's decay adds $-\epsilon\lambda \sum_s \bar "
        r"g_s(x) \cdot w_s$ to $b$.",
        (),
        ("H0",),
        ("P3",),
        _VARIANTS,
        r"$P_s$ depends on the labels, so the split is one of what happened, not of what would have happened.",
    ),
    Claim(
        "E4",
        "weight decay of a homogeneous model",
        r"If $f_{cw} = c^k f_w$ for $c > 0$ and the penalty is $\frac{\lambda}{2}|w|^2$: $y_T = e^{-k\lambda T} y_0 "
        r"- \sum_i "
        r"\int_0^T e^{-k\lambda(T-t)} L'_i K^g_t(x, x_i)\,dt$.",
        (),
        ("H0", "H2"),
        ("T1",),
        Anchor("2, Remark 4", "Adding a regularization term"),
        r"The initial model is forgotten; in Remark 4 both $b$ and the rest may diverge as $T \to \infty$.",
    ),
    Claim(
        "E5",
        "matrix kernel",
        r"For vector outputs: $y_T - y_0 = -\sum_i \int_0^T J_t(x) J_t(x_i)^\top \nabla l_i\,dt$, and with steps of "
        r"any "
        r"size $-\epsilon \sum_s \sum_i \bar J_s(x) J_s(x_i)^\top \nabla l_i(s)$.",
        (),
        ("H0", "H2"),
        ("T1k", "E1"),
        Anchor("2, before Definition 1", "with only minor changes"),
    ),
    Claim(
        "E6",
        "stochastic gradient descent",
        r"With $n_i(s)$ copies of example $i$ in the batch of $B$ at step $s$ and the batch mean scaled to the sum of "
        r"$m$ losses: $y_S - y_0 = -\epsilon \frac{m}{B} \sum_s \sum_i n_i(s) L'_i(s)\, \bar g_s(x) \cdot \nabla "
        r"f_s(x_i)$, for every sequence of batches.",
        (),
        ("H0",),
        ("E1",),
        Anchor("2, Remark 5", "stochastic gradient descent"),
    ),
    Claim(
        "E7",
        "learning-rate schedules",
        r"With $\epsilon_s$ for $\epsilon$ inside the sum E1 stays exact; for $w' = -\eta(t) \nabla L(w)$: "
        r"$y_T - y_0 = -\sum_i \int_0^T \eta(t) L'_i K^g_t(x, x_i)\,dt$, which is T1 at the horizon $\tau = \int_0^T "
        r"\eta\,dt$.",
        (),
        ("H0",),
        ("T1", "E1"),
        _NOWHERE,
    ),
    Claim(
        "E8",
        "kinks",
        r"For a path-differentiable $f$, such as a ReLU network, T1 and E1 hold with any selection from its "
        r"conservative field $D_f$: $\frac{d}{dt} f_{w(t)}(x) = v \cdot w'(t)$ for every $v \in D_f$ and "
        r"almost every $t$.",
        (),
        (),
        ("T1", "E1"),
        _NOWHERE,
        r"The chain rule is that of Bolte and Pauwels (2019, arXiv:1909.10300), cited. Steps must be split where they "
        r"cross a kink: a quadrature across it misses. The flow itself need not be unique.",
    ),
    Claim(
        "E9",
        "how far a prediction can move",
        r"$(y_T(x) - y_0(x))^2 \le K^p(x, x)\,(L(w_0) - L(w_T))$; more generally $y_T - y_0$ lies in the reproducing "
        r"kernel Hilbert space of $K^p$, with squared norm at most $\int_0^T |w'|^2\,dt$.",
        (),
        ("H0", "H2"),
        ("P3", "D6b"),
        _NOWHERE,
        "True where the ratio form is not: no kernel is divided by.",
    ),
    Claim(
        "E11",
        "implicit midpoint",
        r"For $w_{s+1} = w_s - \epsilon \nabla L\bigl(\tfrac12(w_s + w_{s+1})\bigr)$ and $f$ quadratic in $w$: "
        r"$y_S - y_0 = -\epsilon \sum_s \sum_i L'_i K^g(x, x_i)$, all taken at the midpoints: exact at any $\epsilon$, "
        r"with a kernel that is symmetric and positive semidefinite.",
        (),
        ("H0",),
        ("E1",),
        _OPEN,
    ),
    Claim(
        "E12",
        "any stationary point, by any method",
        r"If $f_{cw} = c^k f_w$ for $c > 0$ and $w_*$ is a stationary point of $\sum_i l_i + \frac{\lambda}{2}|w|^2$: "
        r"$f_{w_*}(x) = -\frac{1}{k\lambda} \sum_i L'_i K^g_{w_*}(x, x_i)$, a kernel machine with constant weights and "
        r"$b = 0$.",
        (),
        ("H0",),
        (),
        Anchor("3, before the last paragraph", "nonconvex models learned by non-gradient-based techniques"),
        "The kernel is the tangent kernel at the end, not the path kernel.",
    ),
)
