"""The formal proof: the theorems of ``proofs/``, the claims they carry, what they need, and how they are re-checked.

There is no mathematics here. ``theorems`` is the table; ``sources`` reads the Coq files and knows whether they are
those whose check was recorded; ``build`` compiles them; ``interval`` writes files in which Coq-Interval proves a
number (it needs the exact route, so it is not loaded with the rest).
"""

from __future__ import annotations

from pkverify.formal.build import ProofBuild, ProofError, build_proofs, coq_version
from pkverify.formal.record import Discharge, FormalHypothesis, FormalTheorem, Kind
from pkverify.formal.sources import ProofState, Standing, formal_statement, proof_state, proofs_folder
from pkverify.formal.theorems import formal_theorem, formal_theorems, open_hypotheses, theorems_of

__all__ = [
    "Discharge",
    "FormalHypothesis",
    "FormalTheorem",
    "Kind",
    "ProofBuild",
    "ProofError",
    "ProofState",
    "Standing",
    "build_proofs",
    "coq_version",
    "formal_statement",
    "formal_theorem",
    "formal_theorems",
    "open_hypotheses",
    "proof_state",
    "proofs_folder",
    "theorems_of",
]
