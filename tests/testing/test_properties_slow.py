"""The laws of decompositions on tens of thousands of problems: run with ``-m slow``.

Each part draws from a seed of its own, so that a run may be interrupted, taken up at ``...relations[17]``, or spread
over several machines. A problem that fails is shrunk and shown; put it into the folder ``hard_problems``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pkverify.certified.route import decompose_certified
from pkverify.checks.agreement import disagreement
from pkverify.errors import UntreatableError
from pkverify.exact.route import decompose_exact
from pkverify.network.decompose import decompose
from pkverify.network.route import decompose_network
from pkverify.precise.route import decompose_precise
from pkverify.problem import Problem
from pkverify.testing.comparison import mismatch, numbers_of
from pkverify.testing.networks import TrainingRun, training_runs
from pkverify.testing.properties import identity_gap
from pkverify.testing.relations import RELATIONS
from pkverify.testing.strategies import problems

pytestmark = pytest.mark.slow

WIDEST = Fraction(1, 10**5)
EXAMPLES = 500
PARTS = range(40)  # 20 000 problems for the certified and the precise route
NETWORK_PARTS = range(8)  # of a tenth as many, since one takes ten times as long

_CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def tried(part: int, examples: int, strategy: st.SearchStrategy[Any], judge: Callable[..., None]) -> None:
    """Judge so many draws of a part."""
    chosen = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=_CHECKS, print_blob=True,
        phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    seed(part)(chosen(given(strategy)(judge)))()


@pytest.mark.parametrize("part", PARTS)
def test_the_identity_the_agreement_and_the_relations(part: int) -> None:
    def judge(drawn: tuple[Problem, str]) -> None:
        problem, name = drawn
        certified, precise = decompose_certified(problem, 12), decompose_precise(problem, 20)
        assert identity_gap(numbers_of(certified), widest=WIDEST) is None
        assert identity_gap(numbers_of(precise), widest=WIDEST) is None
        assert disagreement([*certified, *precise]) is None
        related = RELATIONS[name].apply(problem)
        if related is not None:
            found = numbers_of(decompose_certified(related.problem, 12))
            assert mismatch(found, related.expected(numbers_of(precise))) is None

    tried(part, EXAMPLES, st.tuples(problems(), st.sampled_from(sorted(RELATIONS))), judge)


@pytest.mark.parametrize("part", NETWORK_PARTS)
def test_the_network_route(part: int) -> None:
    def judge(problem: Problem) -> None:
        found = decompose_network(problem, digits=8)
        assert identity_gap(numbers_of(found), widest=WIDEST) is None
        assert disagreement([*decompose_certified(problem, 12), *found]) is None

    tried(part, EXAMPLES // 10, problems(), judge)


@pytest.mark.parametrize("part", NETWORK_PARTS)
def test_relations_on_the_network_route(part: int) -> None:
    def judge(drawn: tuple[Problem, str]) -> None:
        problem, name = drawn
        related = RELATIONS[name].apply(problem)
        if related is not None:
            found = numbers_of(decompose_network(related.problem, digits=8))
            assert mismatch(found, related.expected(numbers_of(decompose_network(problem, digits=8)))) is None

    drawn = st.tuples(problems(), st.sampled_from(sorted(RELATIONS)))
    tried(part, EXAMPLES // 10, drawn, judge)


@pytest.mark.parametrize("part", NETWORK_PARTS)
def test_closed_forms(part: int) -> None:
    def judge(problem: Problem) -> None:
        with suppress(UntreatableError):  # no closed form
            found = decompose_exact(problem, 20)
            assert identity_gap(numbers_of(found), widest=WIDEST) is None
            assert disagreement([*decompose_certified(problem, 15), *found]) is None

    tried(part, EXAMPLES // 10, problems(), judge)


@pytest.mark.parametrize("part", NETWORK_PARTS)
def test_training_runs(part: int) -> None:
    def judge(run: TrainingRun) -> None:
        recorded = run.record()
        found = decompose(recorded.path, recorded.queries)
        sizes = found.contributions.abs().sum(1) + found.initial_output.abs() + found.regularizer_term.abs()
        # torch's GELU cancels in its tail: outputs of 1e-5, rounded like those of 1, count as not converged, at 1e-16.
        assert all(each.error < 1e-14 for each in found.unconverged)
        assert float((found.residual.abs() / sizes.clamp(min=1.0)).max()) < 1e-11

    tried(part, EXAMPLES // 10, training_runs(largest_rate=4.0), judge)
