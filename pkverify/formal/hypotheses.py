"""The hypotheses of the formal theorems, each with the words of its Coq statement and how a problem meets it."""

from __future__ import annotations

from pkverify.formal.record import Discharge, FormalHypothesis

_HORIZON = FormalHypothesis(
    "H5",
    "0 <= T",
    "the horizon is a number that stays fixed, and is not negative",
    Discharge.PROBLEM,
    "a problem has one horizon, a positive rational",
)

_FLOW = FormalHypothesis(
    "H2",
    "(forall t, 0 < t < T -> is_derive w t (opp (G t)))",
    "the flow exists up to the horizon",
    Discharge.BALLS,
    "a tube around the path, from time 0 to the horizon, in which a solution is proved to exist",
)

_SMOOTH = FormalHypothesis(
    "H0",
    "(forall t, 0 < t < T -> differentiable_at P x (w t))",
    "the outputs at the query and at the examples, and the losses, are differentiable at every point of the path",
    Discharge.BALLS,
    "every operation of the model and of the loss is analytic on the enclosure of its argument: no kink, no pole",
)

_CONTINUOUS = FormalHypothesis(
    "H0",
    "continuous_on 0 T (fun t => output P (w t) x)",
    "the output at the query is continuous along the closed path",
    Discharge.FOLLOWS,
    "a flow on the closed interval and a model that is differentiable there",
)

_INTEGRABLE = FormalHypothesis(
    "H0",
    "ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T",
    "each L'_i K_t(x, x_i) is Riemann integrable",
    Discharge.FOLLOWS,
    "analytic operations along a continuous path: the integrand is continuous",
)


def _gradient(objective: str) -> FormalHypothesis:
    return FormalHypothesis(
        "H2",
        f"(forall t, 0 < t < T -> is_grad {objective} (w t) (G t))",
        "it is the flow of the loss: what is descended is its gradient",
        Discharge.FOLLOWS,
        "the field that is integrated is the gradient by the chain rule (P5) wherever H0 holds",
    )


IDENTITY = (_HORIZON, _FLOW, _gradient("(total_loss P)"), _SMOOTH, _CONTINUOUS, _INTEGRABLE)

WITH_REGULARIZER = (
    _HORIZON,
    _FLOW,
    _gradient("(fun v => total_loss P v + reg v)"),
    _SMOOTH,
    FormalHypothesis(
        "H0",
        "(forall t, 0 < t < T -> is_grad reg (w t) (grad_reg (w t)))",
        "the regulariser is differentiable at every point of the path",
        Discharge.BALLS,
        "every operation of the regulariser is analytic on the enclosure of its argument",
    ),
    _CONTINUOUS,
    _INTEGRABLE,
    FormalHypothesis(
        "H0",
        "ex_RInt (fun t => dot (grad_output P (w t) x) (grad_reg (w t))) 0 T",
        "the regulariser's term is Riemann integrable",
        Discharge.FOLLOWS,
        "analytic operations along a continuous path: the integrand is continuous",
    ),
)

LOG_PROBABILITY = (
    FormalHypothesis(
        "H0",
        "(forall y u, loss P y u = - u)",
        "the loss is minus the output, a log-probability",
        Discharge.PROBLEM,
        "the loss of the problem is nll-log-probability",
    ),
    FormalHypothesis(
        "H0",
        "(forall y u, loss_derivative P y u = -1)",
        "its derivative is -1",
        Discharge.PROBLEM,
        "the loss of the problem is nll-log-probability",
    ),
    *IDENTITY[:-1],
    FormalHypothesis(
        "H0",
        "ex_RInt (fun t => tangent_kernel P (w t) x (example P i)) 0 T",
        "each K_t(x, x_i) is Riemann integrable",
        Discharge.FOLLOWS,
        "analytic operations along a continuous path: the integrand is continuous",
    ),
)

RATIO = (
    FormalHypothesis(
        "T1",
        "output P (w T) x = output P (w 0) x - sum (size P) (fun i => loss_weighted_kernel P w T x i)",
        "the identity",
        Discharge.THEOREM,
        "T1_identity",
    ),
    FormalHypothesis(
        "H3",
        "path_kernel P w T x (example P i) = 0 -> loss_weighted_kernel P w T x i = 0",
        "no path kernel vanishes, unless the loss-weighted one vanishes with it",
        Discharge.BALLS,
        "the enclosure of each path kernel excludes 0, or its tangent kernel is identically 0",
    ),
)

AVERAGE = (
    _HORIZON,
    FormalHypothesis(
        "H4",
        "s = 1 \\/ s = -1",
        "the sign is 1 or -1",
        Discharge.FOLLOWS,
        "it is the sign in the next line",
    ),
    FormalHypothesis(
        "H4",
        "(forall t, 0 < t < T -> 0 <= s * tangent_kernel P (w t) x (example P i))",
        "the tangent kernel K_t(x, x_i) keeps one sign s along the path",
        Discharge.BALLS,
        "its enclosures over pieces of time that cover the whole path have one sign",
    ),
    FormalHypothesis(
        "bounds",
        "(forall t, 0 < t < T -> lo <= - dloss P (w t) i <= hi)",
        "two numbers between which - L'_i stays",
        Discharge.BALLS,
        "its enclosures over pieces of time that cover the whole path",
    ),
    FormalHypothesis(
        "H3",
        "path_kernel P w T x (example P i) <> 0",
        "the path kernel does not vanish",
        Discharge.BALLS,
        "its enclosure excludes 0",
    ),
    FormalHypothesis(
        "H0",
        "ex_RInt (fun t => tangent_kernel P (w t) x (example P i)) 0 T",
        "K_t(x, x_i) is Riemann integrable",
        Discharge.FOLLOWS,
        "H0 and H2: the integrand is continuous",
    ),
    FormalHypothesis(
        _INTEGRABLE.id,
        _INTEGRABLE.formal,
        _INTEGRABLE.meaning,
        Discharge.FOLLOWS,
        "H0 and H2: the integrand is continuous",
    ),
)

_FLOW_ON_CLOSED = FormalHypothesis(
    "H2",
    "(forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t))))",
    "the flow exists up to the horizon, its ends included",
    Discharge.BALLS,
    "a tube around the path, a little beyond both ends, in which a solution is proved to exist",
)

_CLOSE = (
    FormalHypothesis(
        "M",
        "(forall t, 0 <= t <= T -> norm (grad_loss P (w t)) <= M)",
        "a bound M on |grad L| along the path",
        Discharge.BALLS,
        "the enclosure of the gradient over pieces of time that cover the whole path",
    ),
    FormalHypothesis(
        "Lambda",
        "norm (minus (grad_loss P v) (grad_loss P (w t))) <= Lam * norm (minus v (w t))",
        "grad L has the Lipschitz constant Lambda in the tube of radius rho, as seen from the path",
        Discharge.BALLS,
        "a bound on the norm of the Hessian of L on balls of radius rho around the path",
    ),
    FormalHypothesis(
        "Lambda",
        "0 <= Lam",
        "Lambda is not negative",
        Discharge.FOLLOWS,
        "it is a bound on a norm",
    ),
    FormalHypothesis(
        "rho",
        "0 < rho",
        "the radius of the tube",
        Discharge.BALLS,
        "a positive number, within which the model stays analytic",
    ),
)

_SMOOTH_EVERYWHERE = (
    FormalHypothesis(
        "H0",
        "(forall v z, is_grad (fun u => output P u z) v (grad_output P v z))",
        "the outputs are differentiable at all weights",
        Discharge.PROBLEM,
        "the model is made of operations that are differentiable everywhere",
    ),
    FormalHypothesis(
        "H0",
        "(forall y u, is_derive (loss P y) u (loss_derivative P y u))",
        "the losses are differentiable at all outputs",
        Discharge.PROBLEM,
        "the loss is made of operations that are differentiable everywhere",
    ),
)

LIMIT = (
    FormalHypothesis("H5", "0 < T", "the horizon stays fixed", Discharge.PROBLEM, "a problem has one horizon"),
    *_SMOOTH_EVERYWHERE,
    _FLOW_ON_CLOSED,
    *_CLOSE,
    _INTEGRABLE,
    FormalHypothesis(
        "H3",
        "path_kernel P w T x (example P i) <> 0",
        "no path kernel vanishes",
        Discharge.BALLS,
        "the enclosure of each excludes 0",
    ),
)

# The same for a field G that need not be a gradient; here the hypotheses are those of a section of the source.
LIMIT_OF_DESCENT = (
    FormalHypothesis(
        "H5", "Hypothesis HT : 0 < T.", "the horizon stays fixed", Discharge.PROBLEM, "a problem has one horizon"
    ),
    FormalHypothesis(
        "H2",
        "Hypothesis H2 : forall t, 0 <= t <= T -> is_derive w t (opp (G (w t))).",
        _FLOW_ON_CLOSED.meaning,
        Discharge.BALLS,
        _FLOW_ON_CLOSED.by,
    ),
    FormalHypothesis(
        "M",
        "Hypothesis speed : forall t, 0 <= t <= T -> norm (G (w t)) <= M.",
        _CLOSE[0].meaning,
        Discharge.BALLS,
        _CLOSE[0].by,
    ),
    FormalHypothesis(
        "Lambda",
        "norm (minus (G v) (G (w t))) <= Lam * norm (minus v (w t)).",
        _CLOSE[1].meaning,
        Discharge.BALLS,
        _CLOSE[1].by,
    ),
    FormalHypothesis("rho", "Hypothesis Hrho : 0 < rho.", _CLOSE[3].meaning, Discharge.BALLS, _CLOSE[3].by),
)

LIMIT_OF_FLOW = tuple(each for each in LIMIT if each.id not in {"M", "Lambda", "rho"})

OUTPUT_BOUND = (
    FormalHypothesis("H5", "0 < T", "the horizon stays fixed", Discharge.PROBLEM, "a problem has one horizon"),
    _FLOW_ON_CLOSED,
    *_CLOSE,
    FormalHypothesis(
        "F",
        "Rabs (output P v x - output P (w T) x) <= F * norm (minus v (w T))",
        "a Lipschitz constant F of the output at the query, around the end of the path",
        Discharge.BALLS,
        "a bound on the gradient of the output on the ball of radius 2 rho around the end",
    ),
    FormalHypothesis("F", "0 <= F", "F is not negative", Discharge.FOLLOWS, "it is a bound on a norm"),
    FormalHypothesis("eps", "0 < eps", "the learning rate is positive", Discharge.PROBLEM, "it is given"),
    FormalHypothesis("eps", "M * eps <= rho", "one step stays in the tube", Discharge.BALLS, "both sides, in balls"),
    FormalHypothesis(
        "eps",
        "eps * M / 2 * (exp (Lam * T) - 1) <= rho",
        "descent stays in the tube",
        Discharge.BALLS,
        "both sides, in balls",
    ),
)

KERNEL = (
    _HORIZON,
    FormalHypothesis(
        "H0",
        "ex_RInt (fun t => tangent_kernel P (w t) (z i) (z j)) 0 T",
        "the tangent kernels are integrable along the path",
        Discharge.FOLLOWS,
        "H0 and H2: the integrand is continuous",
    ),
)


def _descent(step: str) -> tuple[FormalHypothesis, ...]:
    return (
        FormalHypothesis(
            "D3", step, "the steps of the descent", Discharge.PROBLEM, "the steps that were taken, exactly"
        ),
        FormalHypothesis(
            "H0",
            "is_grad (fun v => output P v x)",
            "the output at the query is differentiable on the segments between the steps",
            Discharge.BALLS,
            "every operation of the model is analytic on the enclosure of its argument over each segment",
        ),
        FormalHypothesis(
            "H0",
            "ex_RInt (fun u => dot (grad_output P (segment (w s) (w (s + 1)%nat) u) x)",
            "its gradient is integrable along each segment",
            Discharge.FOLLOWS,
            "analytic operations along a segment: the integrand is continuous",
        ),
    )


DESCENT = _descent("w (s + 1)%nat = minus (w s) (scal eps (grad_loss P (w s)))")
DESCENT_IN_BATCHES = _descent("w (s + 1)%nat = minus (w s) (vsum (size P)")
DESCENT_ON_SCHEDULE = _descent("w (s + 1)%nat = minus (w s) (scal (eps s) (grad_loss P (w s)))")

SINGLE = (
    FormalHypothesis(
        "SE",
        "size P = 1%nat",
        "one example, and the query is that example",
        Discharge.PROBLEM,
        "the data of the problem",
    ),
    _HORIZON,
    _FLOW_ON_CLOSED,
    FormalHypothesis(
        "H0",
        "(forall t, 0 <= t <= T -> is_grad (fun v => output P v x1) (w t) (grad_output P (w t) x1))",
        "the output is differentiable at every point of the path",
        Discharge.BALLS,
        "every operation of the model is analytic on the enclosure of its argument",
    ),
    FormalHypothesis(
        "H0",
        "(forall t, 0 <= t <= T -> continuous (fun s => tangent_kernel P (w s) x1 x1) t)",
        "the tangent kernel is continuous along the path",
        Discharge.FOLLOWS,
        "analytic operations along a continuous path",
    ),
    FormalHypothesis(
        "H0",
        "(forall t, 0 <= t <= T -> continuous dl (y t))",
        "the loss derivative is continuous at the outputs",
        Discharge.BALLS,
        "every operation of the loss is analytic on the enclosure of its argument",
    ),
    FormalHypothesis(
        "H1",
        "(forall t, 0 <= t <= T -> dl (y t) <> 0)",
        "the loss derivative does not vanish along the path",
        Discharge.BALLS,
        "the enclosure of L' over pieces of time that cover the whole path excludes 0",
    ),
)
