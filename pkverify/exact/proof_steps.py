r"""The proof of Theorem 1, step by step, for a model and a loss about which nothing is known.

``prove("P6")`` decides one claim and returns its evidence; ``PROOFS`` lists the claims; ``derivation()`` gives the
twelve steps with their formulas. What *proved* rests on:

* the hypotheses listed with the evidence are assumed, not checked: a theorem about all models has no model to check;
* the step is decided for undefined functions, of d parameters on m examples, for each of the listed small sizes; every
  step treats the terms of its sums alike, so the sizes stand for all, but there is no induction over d and m here;
* derivatives of undefined functions are taken by SymPy, and a second route that takes none by SymPy agrees on concrete
  polynomial models, exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

from pkverify.errors import InputError
from pkverify.evidence import DerivationStep, Evidence, HypothesisEvidence, Verdict
from pkverify.exact import corollary_table as corollaries
from pkverify.exact import proof_table as table
from pkverify.exact.generic_model import GenericModel
from pkverify.exact.proof_check import Step, judge

SCALAR = tuple(GenericModel(d, m) for d, m in sorted(product((1, 2, 3), repeat=2), key=sum))
VECTOR = tuple(GenericModel(d, m, c) for d, m, c in ((1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2), (3, 1, 2), (2, 1, 3)))
# With fewer parameters than outputs the matrix of the path kernel starts out singular in every instance.
AVERAGED = (*SCALAR, *(GenericModel(d, m, 2) for d, m in ((2, 1), (2, 2), (3, 1))))
JOINT = tuple(GenericModel(d, m, loss="joint") for d, m in ((1, 1), (1, 2), (2, 2), (3, 2), (2, 3)))
JOINT_VECTOR = (GenericModel(2, 2, 2, loss="joint"),)
LOG_PROBABILITY = tuple(GenericModel(d, m, loss="log-probability") for d, m in ((1, 1), (2, 2), (3, 3)))
SINGLE_EXAMPLE = tuple(GenericModel(d, query_is_example=True) for d in (1, 2, 3))


@dataclass(frozen=True)
class Proof:
    """How a claim is proved.

    Attributes:
        claim: The claim's id.
        parts: Steps, each group with the models that it is decided on.
        hypotheses: Ids of the hypotheses assumed.
        text: The claim's formula as text.
        latex: The same in LaTeX.
        rests_on: What is used besides the identities, in words; empty where nothing is.
        cited: An argument that is not checked here at all; it is listed among the hypotheses.
    """

    claim: str
    parts: tuple[tuple[tuple[Step, ...], tuple[GenericModel, ...]], ...]
    hypotheses: tuple[str, ...]
    text: str
    latex: str
    rests_on: str = ""
    cited: str = ""


def run_proof(proof: Proof) -> Evidence:
    """Judge every step of a proof.

    Args:
        proof: The steps, on the models to judge them on.

    Returns:
        ``proved`` when every step is; else the verdict of the first that is not, with its witness or the reason.
    """
    start = time.perf_counter()
    verdict, witness = Verdict.PROVED, None
    assumed = [HypothesisEvidence(name, Verdict.NOT_CHECKABLE, "assumed") for name in proof.hypotheses]
    if proof.cited:  # an argument in words is an assumption, too: what is proved is proved given it
        assumed.append(HypothesisEvidence("cited", Verdict.NOT_CHECKABLE, proof.cited))
    message = _scope(proof)
    judgements = (judge(step, models) for steps, models in proof.parts for step in steps)
    failed = next((found for found in judgements if found.verdict is not Verdict.PROVED), None)
    if failed is not None:
        verdict, witness, message = failed.verdict, failed.witness, failed.reason
    elif not any(steps for steps, _ in proof.parts):
        verdict, message = Verdict.INCONCLUSIVE, "the proof has no step"
    return Evidence(
        claim=proof.claim,
        verdict=verdict,
        method="exact",
        hypotheses=tuple(assumed),
        residual="0" if verdict is Verdict.PROVED else None,
        witness=witness,
        message=message,
        route="exact",
        seconds=time.perf_counter() - start,
    )


def prove(claim_id: str) -> Evidence:
    """Prove one claim under its hypotheses.

    Args:
        claim_id: An id in ``PROOFS``.

    Returns:
        The evidence; its hypotheses are marked as assumed.

    Raises:
        InputError: If there is no proof of that claim here.

    Example:
        >>> prove("P9").verdict.value, [h.id for h in prove("P9").hypotheses]
        ('proved', ['H0', 'H3'])
    """
    if claim_id not in PROOFS:
        raise InputError(
            f"no proof of {claim_id!r} from generic functions",
            f"there are proofs of {', '.join(PROOFS)}",
            "ask for one of these",
        )
    return PROOFS[claim_id]()


def derivation(evidence: Mapping[str, Evidence] | None = None) -> tuple[DerivationStep, ...]:
    """The twelve steps of the proof with their formulas and verdicts.

    Args:
        evidence: Evidence found before, by claim; steps that are missing in it are proved now.

    Returns:
        P1 to P12, in order.
    """
    known = evidence or {}
    found = {claim: known[claim] if claim in known else prove(claim) for claim in STEP_IDS}
    return tuple(
        DerivationStep(claim, TABLE[claim].text, TABLE[claim].latex, item.verdict, item.message)
        for claim, item in found.items()
    )


def _scope(proof: Proof) -> str:
    models = {model for _, models in proof.parts for model in models}
    sizes = (
        f"{len(models)} sizes up to d = {max(m.params for m in models)}, m = {max(m.examples for m in models)}"
        if models
        else "no size"
    )
    said = f"arbitrary f and l, {sizes}; confirmed on polynomials"
    return f"{said}. {proof.rests_on}" if proof.rests_on else said


_SHORT_P9 = r"\Bigl(\frac{\int_0^T K^g_t(x,x_i)\,L'_i\,dt}{\int_0^T K^g_t(x,x_i)\,dt}\Bigr)"
_CORE = (table.P3, table.P4, table.P5, table.P6, table.P7, table.P8, corollaries.WHOLE)
_RATIO = (table.P9, table.P10_NAME, table.P11, table.P12)
_EULER_PARTS = "These are the parts of Euler's argument: the error of one step, and how bounds on it add up"
_EULER = (
    "the convergence of Euler's method joins the parts: with H1 each step adds at most eps^2 M/2, the bounds add up to "
    "eps M/(2 Lam) (exp(Lam T) - 1), and that tends to 0 with floor(T/eps) steps (H5); in words here, and "
    "proved formally by T1b_bound and T1b_limit in proofs/GradientDescent.v"
)
_THEOREM = r"f_{w(T)}(x) = f_{w(0)}(x) - \sum_i \int_0^T L'_i\,K^g_t(x,x_i)\,dt"


def _on(
    models: tuple[GenericModel, ...], *groups: tuple[Step, ...]
) -> tuple[tuple[tuple[Step, ...], tuple[GenericModel, ...]], ...]:
    return tuple((group, models) for group in groups)


# Only the first row speaks of the model; the others are about numbers.
_EULER_STEPS = (*_on(SCALAR, table.P2[:1]), *_on(SCALAR[:1], table.P2[1:]))

_PROOFS = (
    Proof(
        "P1",
        _on(SCALAR, table.P1),
        (),
        "(w_{s+1} - w_s)/eps = -grad L(w_s)",
        r"\frac{w_{s+1}-w_s}{\epsilon} = -\nabla_w L(w_s)",
    ),
    Proof(
        "P2",
        _EULER_STEPS,
        ("H1", "H2", "H5"),
        "eps -> 0: dw/dt = -grad L(w(t))",
        r"\epsilon \to 0:\quad \frac{dw}{dt} = -\nabla_w L(w(t))",
        rests_on=_EULER_PARTS,
        cited=_EULER,
    ),
    Proof(
        "P3",
        _on(SCALAR, table.P3),
        ("H0", "H2"),
        "dy/dt = sum_j dy/dw_j dw_j/dt",
        r"\frac{dy}{dt} = \sum_j \frac{\partial y}{\partial w_j}\frac{dw_j}{dt}",
    ),
    Proof(
        "P4",
        _on(SCALAR, table.P4),
        ("H2",),
        "dy/dt = sum_j dy/dw_j (-dL/dw_j)",
        r"\frac{dy}{dt} = \sum_j \frac{\partial y}{\partial w_j}\Bigl(-\frac{\partial L}{\partial w_j}\Bigr)",
    ),
    Proof(
        "P5",
        _on(SCALAR, table.P5),
        ("H0",),
        "dy/dt = sum_j dy/dw_j (-sum_i L'_i dy_i/dw_j)",
        r"\frac{dy}{dt} = \sum_j \frac{\partial y}{\partial w_j}"
        r"\Bigl(-\sum_i L'_i \frac{\partial y_i}{\partial w_j}\Bigr)",
    ),
    Proof(
        "P6",
        _on(SCALAR, table.P6),
        (),
        "dy/dt = -sum_i L'_i sum_j dy/dw_j dy_i/dw_j",
        r"\frac{dy}{dt} = -\sum_i L'_i \sum_j \frac{\partial y}{\partial w_j}\frac{\partial y_i}{\partial w_j}",
    ),
    Proof(
        "P7",
        _on(SCALAR, table.P7),
        (),
        "dy/dt = -sum_i L'_i Kg_t(x, x_i)",
        r"\frac{dy}{dt} = -\sum_i L'_i\,K^g_t(x,x_i)",
    ),
    Proof(
        "P8",
        _on(SCALAR, table.P8),
        ("H0", "H2"),
        "y_T = y_0 - int_0^T sum_i L'_i Kg_t(x, x_i) dt",
        r"y_T = y_0 - \int_0^T \sum_i L'_i\,K^g_t(x,x_i)\,dt",
        "The fundamental theorem: equal at T = 0, and equal derivatives in T",
    ),
    Proof(
        "P9",
        _on(AVERAGED, table.P9),
        ("H0", "H3"),
        "y_T = y_0 - sum_i (N_i / K_i) K_i, with N_i = int_0^T L'_i Kg_t dt, K_i = int_0^T Kg_t dt",
        rf"y_T = y_0 - \sum_i {_SHORT_P9} \int_0^T K^g_t(x,x_i)\,dt",
        "It divides by K_i: H3 is used. Without it the step fails: f = 5w - 9w^2/2 at the query, f_1 = w, "
        "l_1(y) = -log(1 + y), w(0) = 0, T = 3/2 give K_1 = 0 while y_T - y_0 = 1/2",
    ),
    Proof(
        "P10",
        (*_on(AVERAGED, table.P10_NAME), *_on(SCALAR, table.P10_BOUNDS)),
        ("H0", "H3", "H4"),
        "y_T = y_0 - sum_i A_i K_i, with A_i = N_i / K_i between the least and the greatest L'_i",
        rf"y_T = y_0 - \sum_i \overline{{L'_i}} \int_0^T K^g_t(x,x_i)\,dt, \quad \overline{{L'_i}} = {_SHORT_P9}",
        "That an integral keeps the sign of its integrand, and is smaller or greater with it, is used for the bounds",
    ),
    Proof(
        "P11",
        _on(AVERAGED, table.P11),
        ("H3",),
        "y_T = y_0 - sum_i A_i K(x, x_i)",
        r"y_T = y_0 - \sum_i \overline{L'_i}\,K^p(x,x_i)",
    ),
    Proof(
        "P12",
        _on(AVERAGED, table.P12),
        ("H3",),
        "y_T = sum_i a_i K(x, x_i) + b",
        r"y_T = \sum_i a_i\,K(x,x_i) + b,\quad a_i = -\overline{L'_i},\; b = y_0",
    ),
    Proof("T1", _on(SCALAR, *_CORE), ("H0", "H2"), "y_T = y_0 - sum_i int_0^T L'_i Kg_t dt", _THEOREM),
    Proof(
        "T1a",
        _on(SCALAR, *_CORE, *_RATIO),
        ("H0", "H2", "H3"),
        "y_T = sum_i a_i K(x, x_i) + b",
        r"f_{w(T)}(x) = \sum_i a_i(x)\,K(x,x_i) + b(x)",
    ),
    Proof(
        "T1b",
        _EULER_STEPS,
        ("H1", "H2", "H5"),
        "lim_{eps -> 0} y_GD = y_T",
        r"\lim_{\epsilon\to0} f_{w_{\lfloor T/\epsilon\rfloor}}(x) = f_{w(T)}(x)",
        rests_on=_EULER_PARTS,
        cited=f"{_EULER}; f is continuous",
    ),
    Proof(
        "T1c",
        _on(SCALAR, table.P10_BOUNDS),
        ("H0", "H3", "H4"),
        "min_t (-L'_i) <= a_i <= max_t (-L'_i)",
        r"\min_t(-L'_i) \le a_i \le \max_t(-L'_i)",
        "That an integral keeps the sign of its integrand is used",
    ),
    Proof("T1g", _on(SCALAR, corollaries.INITIAL), (), "b = y_0(x), the model at horizon 0", r"b(x) = f_{w(0)}(x)"),
    Proof(
        "T1i",
        (*_on(JOINT, *_CORE), *_on(JOINT_VECTOR, *_CORE)),
        ("H0", "H2"),
        "T1 for a loss Phi(y_1, ..., y_m), with L'_i = dPhi/dy_i",
        _THEOREM + r",\quad L'_i = \frac{\partial \Phi}{\partial y_i}(y_1,\dots,y_m)",
    ),
    Proof(
        "T1k",
        _on(VECTOR, *_CORE),
        ("H0", "H2"),
        "T1 for vector outputs: y_T = y_0 - sum_i int_0^T J(x) J(x_i)^T L'_i dt",
        r"f_{w(T)}(x) = f_{w(0)}(x) - \sum_i \int_0^T J_t(x)\,J_t(x_i)^\top \nabla l_i\,dt",
        "The ratio form for vectors is part of P9 to P12: it multiplies by the inverse of int J(x) J(x_i)^T dt",
    ),
    Proof(
        "D6b",
        _on(SCALAR, corollaries.SEMIDEFINITE),
        ("H0", "H2"),
        "v^T K v = int_0^T |sum_i v_i grad f(x_i)|^2 dt >= 0",
        r"v^\top K v = \int_0^T \Bigl|\sum_i v_i \nabla f_{w(t)}(x_i)\Bigr|^2 dt \ge 0",
        "Semidefinite: strict positivity is another statement",
    ),
    Proof(
        "D7",
        _on(SCALAR, corollaries.DEFINITION_1),
        ("H0",),
        "Kg(x, x') = Kg(x', x), Kg(x, x) = |grad f(x)|^2",
        r"K^g(x,x') = K^g(x',x),\quad K^g(x,x) = |\nabla f(x)|^2",
    ),
    Proof(
        "D8",
        _on(SCALAR, corollaries.DEFINITION_2),
        ("H0", "H2"),
        "K(x, x') = K(x', x), K(x, x) = int_0^T |grad f(x)|^2 dt",
        r"K(x,x') = K(x',x),\quad K(x,x) = \int_0^T |\nabla f_{w(t)}(x)|^2\,dt",
    ),
    Proof(
        "R3d",
        _on(LOG_PROBABILITY, *_CORE, corollaries.LOG_PROBABILITY),
        ("H0", "H2"),
        "y = log p: log p_T(x) = log p_0(x) + sum_i K(x, x_i), all a_i = 1",
        r"\log p_T(x) = \log p_0(x) + \sum_i K(x,x_i)",
        "No kernel is divided by: N_i = -K_i, so that a_i = 1 serves even where K_i = 0",
    ),
    Proof(
        "SE",
        _on(SINGLE_EXAMPLE, corollaries.SINGLE_EXAMPLE),
        ("H0", "H1", "H2"),
        "one example, x = x_1: K = int_{y_0}^{y_T} dy/(-l'(y))",
        r"K(x_1,x_1) = \int_{y_0}^{y_T} \frac{dy}{-l'(y)},\quad a_1 = \frac{y_T-y_0}{K(x_1,x_1)}",
        "It divides by l'(y): where that is not zero at the start, H1 keeps it from zero at every finite time",
    ),
)

TABLE: Mapping[str, Proof] = {proof.claim: proof for proof in _PROOFS}
PROOFS: dict[str, Callable[[], Evidence]] = {proof.claim: partial(run_proof, proof) for proof in _PROOFS}
STEP_IDS = tuple(f"P{number}" for number in range(1, 13))
