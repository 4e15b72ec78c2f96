from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from pkverify.cases import NETWORKS, case_networks, case_problems
from pkverify.checks.network.size import of_real_size
from pkverify.checks.network.table import NETWORK_CHECKS, network_evidence
from pkverify.checks.network.training import observed_orders
from pkverify.claims import CLAIMS
from pkverify.evidence import Evidence, Verdict
from pkverify.network import study as module
from pkverify.network.flow import Trajectory
from pkverify.network.objective import Objective
from pkverify.network.study import AverageRange, LossRate, NetworkStudy
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

TANH = dict(case_problems("mlp"))["mlp-tanh-two-inputs"]
LINE = dict(case_problems("linear"))["linear-intercept"]
SOFTMAX = dict(case_problems("xent"))["xent-softmax"]
RELU = parse_problem("""
model = {kind = "mlp", layers = [1, 2, 1], activation = "relu", bias = true}
loss = {kind = "squared"}
data = {x = [[1], [2]], y = [1, 3]}
flow = {initial = [1, "1/2", 1, 1, "1/2", "1/3", 0], horizon = "1/2"}
query = {x = [[3]]}
""")


def verdict_of(claim: str, study: NetworkStudy) -> Evidence:
    (evidence,) = NETWORK_CHECKS[claim](study)
    assert evidence.claim == claim
    assert evidence.route == "network"
    return evidence


# On the networks of real size everything that applies is supported.


@pytest.mark.parametrize("case", NETWORKS)
def test_networks_of_real_size(case: str) -> None:
    ((_, problem),) = case_networks(case)
    found = {item.claim: item for item in network_evidence(problem)}

    assert found.keys() == NETWORK_CHECKS.keys()
    aside = {"linear": {"T1k", "R3d"}, "mlp": {"T1k", "R3d"}, "xent": {"T1c"}}[case]
    assert {c for c, item in found.items() if item.verdict is Verdict.NOT_APPLICABLE} == aside
    assert {c for c, item in found.items() if item.verdict is Verdict.SUPPORTED} == found.keys() - aside


def test_claims_are_registered() -> None:
    assert NETWORK_CHECKS.keys() <= CLAIMS.keys()


def test_small_problems_are_asked_for_the_identity_alone() -> None:
    assert not of_real_size(TANH)
    assert [item.claim for item in network_evidence(TANH)] == ["T1", "T1k"]
    assert [item.claim for item in network_evidence(TANH, claims={"T1"})] == ["T1"]
    assert network_evidence(TANH, claims={"E9"}) == ()


SOUND: list[tuple[str, Problem]] = [
    *((claim, TANH) for claim in ("T1", "T1b", "T1c", "SE", "S9a", "E1", "E9")),
    *((claim, SOFTMAX) for claim in ("T1", "T1k", "T1b", "R3d", "SE", "S9a", "E1", "E9")),
    *((claim, LINE) for claim in ("T1", "T1b", "T1c", "SE", "S9a", "E1", "E9")),
    *((claim, RELU) for claim in ("S9a", "E1", "E9")),
    ("E1", dict(case_problems("linear"))["linear-ridge"]),
]


@pytest.mark.parametrize(("claim", "problem"), SOUND)
def test_sound_problems_are_supported(claim: str, problem: Problem) -> None:
    evidence = verdict_of(claim, NetworkStudy(problem))

    assert evidence.verdict is Verdict.SUPPORTED
    assert evidence.message


# Targets that are probabilities, and name no class.
HALVES = tuple((Fraction(1, 2), *(Fraction(1, 2 * (len(r) - 1)),) * (len(r) - 1)) for r in SOFTMAX.data.targets)
BLURRED = replace(SOFTMAX, data=replace(SOFTMAX.data, targets=HALVES))

ASIDE: list[tuple[str, Problem, str]] = [
    ("T1k", TANH, "one output"), ("T1c", SOFTMAX, "vector"), ("R3d", TANH, "log-probability"), ("T1b", RELU, "kinks"),
    ("SE", dict(case_problems("linear"))["linear-ridge"], "no regulariser"),
    ("R3d", BLURRED, "observed"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "problem", "why"), ASIDE)
def test_other_problems_are_left_aside(claim: str, problem: Problem, why: str) -> None:
    evidence = verdict_of(claim, NetworkStudy(problem))

    assert evidence.verdict is Verdict.NOT_APPLICABLE
    assert why in evidence.message


def test_observed_orders() -> None:
    assert observed_orders([1.0, 0.25, 0.0625]) == pytest.approx([2.0])
    assert observed_orders([1.0, 0.5, 0.0]) == [-1.0]


# Sabotage: a row a way to be wrong, and the claims that must see it.


def other_loss(study: NetworkStudy) -> None:
    """The flow of another loss, decomposed as if it were that of this one."""
    told = study.told
    assert told.y is not None
    wrong = Objective(told.module, told.criterion, told.x, told.y + 0.01, torch.float64, torch.device("cpu"))
    study.__dict__["trajectory"] = replace(study.trajectory, objective=wrong)


def other_model(study: NetworkStudy) -> None:
    trajectory = study.trajectory
    study.__dict__["trajectory"] = replace(trajectory, states=tuple(s * 1.01 for s in trajectory.states))


def exchanged_examples(_study: NetworkStudy, patch: pytest.MonkeyPatch) -> None:
    """Two examples' terms exchanged, everywhere: every sum stays as it is."""
    original = module.rates

    def wrong(*arguments: object, **options: object) -> object:
        found = original(*arguments, **options)  # pyright: ignore[reportArgumentType]
        return replace(found, contributions=found.contributions.roll(1, 2))

    patch.setattr(module, "rates", wrong)


def reversed_time(study: NetworkStudy) -> None:
    trajectory = study.trajectory
    study.__dict__["trajectory"] = replace(
        trajectory, states=trajectory.states[::-1], rows=tuple(torch.zeros_like(rows) for rows in trajectory.rows)
    )


def shortened(study: NetworkStudy) -> None:
    """The path up to 9/10 of the time taken for the whole."""
    trajectory: Trajectory = study.trajectory
    study.__dict__["trajectory"] = replace(trajectory, times=tuple(t * 1.1 for t in trajectory.times))


STUDY_SABOTAGES: list[tuple[str, Callable[[NetworkStudy], None], Problem]] = [
    ("T1", other_loss, TANH), ("T1", other_model, TANH), ("T1", reversed_time, TANH), ("T1", shortened, TANH),
    ("T1k", other_loss, SOFTMAX), ("T1k", shortened, SOFTMAX), ("T1b", other_model, TANH), ("T1b", shortened, TANH),
    ("T1b", reversed_time, LINE), ("S9a", reversed_time, TANH), ("S9a", shortened, TANH), ("S9a", other_loss, TANH),
    ("R3d", shortened, SOFTMAX), ("E9", reversed_time, TANH),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "spoil", "problem"), STUDY_SABOTAGES)
def test_a_wrong_flow_supports_nothing(claim: str, spoil: Callable[[NetworkStudy], None], problem: Problem) -> None:
    study = NetworkStudy(problem)
    spoil(study)

    assert verdict_of(claim, study).verdict is Verdict.INCONCLUSIVE


def test_exchanged_examples_are_seen_though_the_sum_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    study = NetworkStudy(TANH)
    assert study.worst_residual() < 1e-7
    exchanged_examples(study, monkeypatch)
    evidence = verdict_of("T1", study)

    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "single terms" in evidence.message


# What is measured, replaced by what a broken measurement would give.
MEASURED: list[tuple[str, str, object]] = [
    ("T1", "worst_residual", 1e-3),
    ("T1", "rate_gap", 1e-6),
    ("T1", "path_gap", 0.1),
    ("T1b", "descent_errors", [(0.1, 1e-2), (0.05, 2.5e-3), (0.025, 6.25e-4), (0.0125, 1.6e-4)]),
    ("T1b", "descent_errors", [(0.1, 1e-2), (0.05, 1e-2), (0.025, 1e-2), (0.0125, 1e-2)]),
    ("T1b", "descent_errors", [(0.1, 1e-2), (0.05, 7e-3), (0.025, 5e-3), (0.0125, 3.5e-3)]),
    ("T1c", "averages", [AverageRange(0, 0, 1.5, 0.0, 1.0, 1e-3, one_sign=True)]),
    ("T1c", "averages", [AverageRange(0, 0, 0.5, 0.0, 1.0, 0.0, one_sign=True),
                         AverageRange(0, 1, -0.1, 0.0, 1.0, 1e-3, one_sign=True)]),
    ("SE", "single_example", (1.0, 1.001)),
    ("SE", "single_example", (float("nan"), 1.0)),
    ("S9a", "loss_rates", [LossRate(0.1, -1.0, -1.01, -1.01)]),
    ("S9a", "loss_rates", [LossRate(0.1, -1.0, -1.0, -1.0001)]),
    ("S9a", "losses", [1.0, 0.5, 0.6]),
    ("E1", "descent_identity", (1e-6, 0.1, 1.0)),
    ("E9", "norm_bounds", [(1.0, 2.0), (2.1, 2.0)]),
    ("R3d", "log_probability", (1e-3, 0.0, 1.0)),
    ("R3d", "log_probability", (0.0, 1e-2, 1.0)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "method", "value"), MEASURED, ids=[f"{c}-{m}-{k}" for k, (c, m, _) in enumerate(MEASURED)]
)
def test_bad_measurements_support_nothing(
    claim: str, method: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = NetworkStudy(SOFTMAX if claim == "R3d" else TANH)
    monkeypatch.setattr(study, method, lambda *_: value)

    assert verdict_of(claim, study).verdict is Verdict.INCONCLUSIVE


def test_nothing_is_claimed_where_every_kernel_changes_its_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    study = NetworkStudy(TANH)
    monkeypatch.setattr(study, "averages", lambda: [AverageRange(0, 0, 20.0, 0.0, 1.0, 0.0, one_sign=False)])

    assert verdict_of("T1c", study).verdict is Verdict.NOT_APPLICABLE
