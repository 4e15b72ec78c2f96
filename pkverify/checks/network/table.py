"""The checks of the network route, by claim, and how they are run on one problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from pkverify.checks.network.identity import (
    check_discrete_identity,
    check_identity,
    check_log_probability,
    check_single_example,
    check_vector_output,
)
from pkverify.checks.network.size import of_real_size
from pkverify.checks.network.training import (
    check_average,
    check_descent,
    check_loss_decreases,
    check_norm_bound,
)
from pkverify.evidence import Evidence
from pkverify.network.study import NetworkStudy
from pkverify.problem import Problem

NetworkCheck = Callable[[NetworkStudy], Iterator[Evidence]]

NETWORK_CHECKS: Mapping[str, NetworkCheck] = {
    "T1": check_identity,
    "T1b": check_descent,
    "T1c": check_average,
    "T1k": check_vector_output,
    "SE": check_single_example,
    "R3d": check_log_probability,
    "S9a": check_loss_decreases,
    "E1": check_discrete_identity,
    "E9": check_norm_bound,
}

_IDENTITY = ("T1", "T1k")  # what a small problem is asked here: its other claims have sharper routes


def network_evidence(
    problem: Problem, *, claims: Collection[str] | None = None, device: str = "cpu"
) -> tuple[Evidence, ...]:
    """What the network route finds on a problem: all its checks on one of real size, the identity on a small one.

    Args:
        problem: The problem.
        claims: Claim ids to look at; all when left out.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError, FlowError, UntreatableError: As ``gradient_flow`` and ``torch_problem``.
    """
    study, found = NetworkStudy(problem, device), list[Evidence]()
    asked = NETWORK_CHECKS if of_real_size(problem) else _IDENTITY
    for identifier in asked:
        if claims is None or identifier in claims:
            start = time.perf_counter()
            items = list(NETWORK_CHECKS[identifier](study))
            found += [replace(item, seconds=(time.perf_counter() - start) / len(items)) for item in items]
    return tuple(found)
