"""The checks, by claim: what runs on a problem, and what is proved of the theorem in general."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pkverify.checks.average import check_average
from pkverify.checks.context import Context
from pkverify.checks.descent import check_descent
from pkverify.checks.identity import (
    check_identity,
    check_initial_term,
    check_log_probability,
    check_ratio_form,
    check_vector_output,
)
from pkverify.checks.kernel import check_path_integral, check_semidefinite, check_single_example, check_symmetric
from pkverify.evidence import Evidence

Check = Callable[[Context], Iterator[Evidence]]

# Checks on a problem, in the order in which they are reported. All rest on the precise route.
PROBLEM_CHECKS: Mapping[str, Check] = {
    "T1": check_identity,
    "T1a": check_ratio_form,
    "T1b": check_descent,
    "T1c": check_average,
    "T1g": check_initial_term,
    "T1k": check_vector_output,
    "SE": check_single_example,
    "R3d": check_log_probability,
    "D6b": check_semidefinite,
    "D7": check_symmetric,
    "D8": check_path_integral,
}
