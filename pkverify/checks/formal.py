"""From balls to a formal theorem: where they discharge every hypothesis of it, it speaks of the problem at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.formal import Standing, formal_theorem, open_hypotheses, proof_state
from pkverify.problem import Problem

# What the certified evidence for a claim discharges, beside H0 and H2, which the enclosure itself does. A field that is
# analytic around the closed path carries the flow a little beyond both its ends, as T1b needs.
_DISCHARGED: Mapping[str, frozenset[str]] = {
    "T1": frozenset(),
    "T1a": frozenset({"T1", "H3"}),
    "T1b": frozenset({"M", "Lambda", "rho"}),
    "T1c": frozenset({"H3", "H4", "bounds"}),
}

# What holds of the path kernel along any path on which the tangent kernels can be integrated, as H0 and H2 ensure.
_OF_ANY_PATH: Mapping[str, str] = {"D6b": "D6b", "D7": "D8_symmetric"}


def formal_evidence(
    problem: Problem, found: Iterable[Evidence], claims: frozenset[str] | None = None
) -> list[Evidence]:
    """What the formal development proves of a problem, given what balls have proved of its hypotheses.

    Args:
        problem: The problem.
        found: The evidence of the certified route.
        claims: Claim ids to look at; all when left out.

    Returns:
        ``proved``, method ``formal``, for each claim whose theorem has no hypothesis left open; nothing for a model
        with several outputs, or where the sources of the proofs are not those that were checked.
    """
    state = proof_state()
    if problem.model.output_count > 1 or state.standing is Standing.DIFFERENT:
        return []
    certified = {item.claim: item for item in found if item.verdict is Verdict.CERTIFIED}
    theorems = {
        "T1": "R4a" if problem.regularizer is not None else "T1_identity",
        "T1a": "T1a_ratio",
        "T1b": "T1b_limit",
        "T1c": "T1c_average",
    }
    if problem.regularizer is not None:
        del theorems["T1a"]  # its identity has no term of a regulariser
    proved: list[Evidence] = []
    for claim, name in {**theorems, **_OF_ANY_PATH}.items():
        item, theorem = certified.get("T1" if claim in _OF_ANY_PATH else claim), formal_theorem(name)
        if item is None or not (claims is None or claim in claims):
            continue
        known = {"H0", "H2", "H5"} | _DISCHARGED.get(claim, frozenset()) - ({"T1"} - certified.keys())
        if open_hypotheses(theorem, known):
            continue
        fixed = HypothesisEvidence("H5", Verdict.PROVED, f"the horizon is {problem.horizon}")
        stated = {hypothesis.id for hypothesis in item.hypotheses}
        proved.append(
            Evidence(
                claim, Verdict.PROVED, "formal", (*item.hypotheses, *((fixed,) if "H5" not in stated else ())),
                residual="0" if claim in _OF_ANY_PATH else item.residual,
                bound=None if claim in _OF_ANY_PATH else item.bound, route="certified",
                message=f"{name} ({theorem.file}): {theorem.meaning}; balls discharge its hypotheses ({item.message}); "
                f"{state}",
            )
        )  # fmt: skip
    return proved
