"""The table that ties the claims to the theorems of the formal development in ``proofs/``.

It holds names, files and words; the mathematics stands in the sources, and a test holds the two against each other.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from pkverify.claims import claim
from pkverify.errors import InputError
from pkverify.formal import hypotheses as needs
from pkverify.formal.record import Discharge, FormalHypothesis, FormalTheorem, Kind

_PROOFS = (
    FormalTheorem(
        ("T1b", "T1a", "P2"),
        "theorem_1",
        "Theorem1.v",
        "gradient descent ends, as the learning rate goes to 0 at a fixed horizon, in sum a_i K(x, x_i) + b",
        hypotheses=needs.LIMIT,
    ),
    FormalTheorem(
        ("T1a",),
        "theorem_1_flow",
        "Theorem1.v",
        "along the flow of a model that is differentiable everywhere, y_T = sum a_i K(x, x_i) + b",
        hypotheses=needs.LIMIT_OF_FLOW,
    ),
    FormalTheorem(
        ("T1", "P4", "P7", "P8"),
        "T1_identity",
        "Identity.v",
        "the identity y_T = y_0 - sum of the integrals of L'_i K_t(x, x_i), along the flow",
        hypotheses=needs.IDENTITY,
    ),
    FormalTheorem(
        ("T1a", "P9", "P11", "P12"),
        "T1a_ratio",
        "Identity.v",
        "the identity, wherever it holds, in the form sum a_i K(x, x_i) + b",
        hypotheses=needs.RATIO,
    ),
    FormalTheorem(
        ("T1b", "P2"),
        "T1b_limit",
        "GradientDescent.v",
        "descent with a learning rate that goes to 0 ends, at a fixed horizon, where the flow ends",
        hypotheses=needs.LIMIT_OF_DESCENT,
    ),
    FormalTheorem(
        ("T1b", "P2"),
        "T1b_bound",
        "GradientDescent.v",
        "|w_N - w(N eps)| <= eps M/2 (exp(Lambda T) - 1)",
        hypotheses=needs.LIMIT_OF_DESCENT,
    ),
    FormalTheorem(
        ("T1b",),
        "T1b_output_bound",
        "Theorem1.v",
        "how far the output of descent at a finite learning rate is from the flow's",
        hypotheses=needs.OUTPUT_BOUND,
    ),
    FormalTheorem(
        ("T1c", "P10"),
        "T1c_average",
        "Kernel.v",
        "where the tangent kernel keeps its sign, a_i lies between the bounds of - L'_i",
        hypotheses=needs.AVERAGE,
    ),
    FormalTheorem(("T1i",), "T1i", "VectorOutputs.v", "the identity for any differentiable function of the outputs"),
    FormalTheorem(("T1k",), "T1k_identity", "VectorOutputs.v", "the identity in each component of a vector output"),
    FormalTheorem(("P3",), "P3_chain_rule", "Euclidean.v", "the chain rule along a differentiable curve"),
    FormalTheorem(("P5",), "gradient_of_objective", "Identity.v", "the gradient of the loss, example by example"),
    FormalTheorem(("P6",), "P6_exchange", "Gradients.v", "finite sums exchanged"),
    FormalTheorem(
        ("P8",),
        "integral_of_derivative",
        "FundamentalTheorem.v",
        "the fundamental theorem, for a derivative that is integrable and not assumed continuous",
    ),
    FormalTheorem(("D6b",), "D6b", "Kernel.v", "the path kernel is positive semidefinite", hypotheses=needs.KERNEL),
    FormalTheorem(("D7",), "D7_symmetric", "Kernel.v", "the tangent kernel is symmetric"),
    FormalTheorem(("D8",), "D8_symmetric", "Kernel.v", "the path kernel is symmetric"),
    FormalTheorem(("R2a",), "R2a", "Identity.v", "the loss-weighted form, every a_i = -1", hypotheses=needs.IDENTITY),
    FormalTheorem(
        ("R3d",),
        "R3d",
        "Identity.v",
        "log-probability outputs: log p_T = log p_0 + sum K(x, x_i), every a_i the number 1",
        hypotheses=needs.LOG_PROBABILITY,
    ),
    FormalTheorem(
        ("R4a", "T1"),
        "R4a",
        "Identity.v",
        "the identity with a regulariser",
        hypotheses=needs.WITH_REGULARIZER,
    ),
    FormalTheorem(
        ("R5a",), "R5a", "Identity.v", "the identity with a weight in time for each example, and a regulariser"
    ),
    FormalTheorem(("S9a",), "S9a_flow", "Gradients.v", "along the flow dL/dt = - |grad L|^2"),
    FormalTheorem(
        ("E1",), "E1", "FiniteSteps.v", "an exact identity for descent at any learning rate", hypotheses=needs.DESCENT
    ),
    FormalTheorem(
        ("E6",),
        "E6",
        "FiniteSteps.v",
        "the same with any weights of the examples in each step",
        hypotheses=needs.DESCENT_IN_BATCHES,
    ),
    FormalTheorem(
        ("E7",),
        "E7",
        "FiniteSteps.v",
        "the same with a learning rate for each step",
        hypotheses=needs.DESCENT_ON_SCHEDULE,
    ),
    FormalTheorem(
        ("SE",),
        "SE",
        "SingleExample.v",
        "one example: K(x_1, x_1) is the integral of dy / (-L'(y)) from y_0 to y_T",
        hypotheses=needs.SINGLE,
    ),
)

_GUARDS = (
    FormalTheorem(
        ("T1b", "T1a"),
        "hypotheses_can_be_met",
        "Example.v",
        "a linear model meets every hypothesis of theorem_1, and its output moves",
        Kind.GUARD,
    ),
)

_COUNTEREXAMPLES = (
    FormalTheorem(
        ("T1a", "P9"),
        "CE_A",
        "Counterexamples.v",
        "without H3: a path kernel is 0 while the output moves, and no number a_1 serves",
        Kind.COUNTEREXAMPLE,
    ),
    FormalTheorem(
        ("T1c", "P10"),
        "CE_A_no_average",
        "Counterexamples.v",
        "without H4: a_1 > 1 although - L'_1 never exceeds 1",
        Kind.COUNTEREXAMPLE,
    ),
    FormalTheorem(
        ("T1b", "P2"),
        "T1b_needs_tube",
        "Counterexamples.v",
        "without H1: descent stands still at every learning rate while a flow moves",
        Kind.COUNTEREXAMPLE,
    ),
    FormalTheorem(
        ("T1b", "P2"),
        "T1b_needs_horizon",
        "Counterexamples.v",
        "without H5: a fixed number of steps goes nowhere as the learning rate goes to 0",
        Kind.COUNTEREXAMPLE,
    ),
    FormalTheorem(
        ("R2b",),
        "R2b",
        "Counterexamples.v",
        "a loss-weighted path kernel that is not symmetric",
        Kind.COUNTEREXAMPLE,
    ),
    FormalTheorem(
        ("S11",),
        "S11a",
        "Counterexamples.v",
        "a convex problem with a solution that no weight represents",
        Kind.COUNTEREXAMPLE,
    ),
)

_ALL = (*_PROOFS, *_GUARDS, *_COUNTEREXAMPLES)


def formal_theorems() -> tuple[FormalTheorem, ...]:
    """Every theorem of the formal development that a claim refers to: proofs, then guards, then counterexamples.

    Example:
        >>> formal_theorems()[0].name, formal_theorems()[0].file
        ('theorem_1', 'Theorem1.v')
    """
    return _ALL


def formal_theorem(name: str) -> FormalTheorem:
    """The theorem of a name.

    Raises:
        InputError: If there is none; it names the nearest.

    Example:
        >>> [each.id for each in formal_theorem("T1_identity").to_discharge]
        ['H2', 'H0']
    """
    known = {each.name: each for each in _ALL}
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise InputError(
        f"there is no formal theorem {name!r}",
        f"the table has {len(known)} of them",
        f"did you mean {nearest!r}?",
    )


def theorems_of(claim_id: str) -> tuple[FormalTheorem, ...]:
    """The theorems that carry a claim: those that are filed under it first, then those that only touch it.

    Args:
        claim_id: An id of the registry.

    Raises:
        InputError: If the registry has no such claim.

    Example:
        >>> [each.name for each in theorems_of("R2b")], theorems_of("S13")
        (['R2b'], ())
    """
    known = claim(claim_id).id
    return tuple(sorted((each for each in _ALL if known in each.claims), key=lambda each: each.claims.index(known) > 0))


def open_hypotheses(theorem: FormalTheorem, known: Collection[str]) -> tuple[FormalHypothesis, ...]:
    """What is still to be shown of a problem before a theorem speaks of it.

    Args:
        theorem: One of the table.
        known: Ids of what is known of the problem, such as ``H0``, ``H2``, ``H3``, ``M``: each read off the problem, or
            discharged by balls for the query and the examples at hand.

    Returns:
        The hypotheses that neither are known nor follow from others; with none left the theorem holds of the problem.

    Example:
        >>> [each.id for each in open_hypotheses(formal_theorem("theorem_1"), {"H0", "H2", "H5", "M", "Lambda", "rho"})]
        ['H3']
        >>> open_hypotheses(formal_theorem("T1_identity"), {"H0", "H2", "H5"})
        ()
    """
    return tuple(
        each for each in theorem.hypotheses if each.discharge is not Discharge.FOLLOWS and each.id not in known
    )
