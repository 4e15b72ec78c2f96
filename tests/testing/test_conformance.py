"""Right scores pass, each mistake is found by the relation that is there for it, and the reports say what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pkverify.claims import CLAIMS
from pkverify.errors import InputError
from pkverify.testing import conform
from pkverify.testing.adapters import own, torch_func
from pkverify.testing.conform.adapter import WrongScores, scores_of
from pkverify.testing.conform.check import KINDS
from pkverify.testing.conform.larger import larger_task
from pkverify.testing.conform.peers import PEERS, adapters_of, as_json, as_text, exit_code
from pkverify.testing.conform.peers import conform as conform_peer
from pkverify.testing.conform.planted import Planted, planted
from pkverify.testing.conform.reference import QUANTITIES, reference
from pkverify.testing.conform.relations import RELATIONS
from pkverify.testing.conform.report import table
from pkverify.testing.conform.shrink import simpler, smallest
from pkverify.testing.conform.spec import Spec, specs, task_of
from pkverify.testing.conform.task import FEATURES
from tests.testing.conform_cases import LINEAR, ONE

if TYPE_CHECKING:
    from pkverify.testing.conform.task import Task


def test_claims_of_the_relations_exist() -> None:
    known = {*CLAIMS}
    named = {relation.claim for relation in RELATIONS if relation.claim}

    assert named | {quantity.claim for quantity in QUANTITIES.values()} <= known


# Right numbers pass.

RIGHT = [*torch_func.adapters(), *own.adapters()]


@pytest.mark.parametrize("adapter", RIGHT, ids=[a.name for a in RIGHT])
def test_right_numbers_agree(adapter: conform.Adapter) -> None:
    report = conform.check(adapter, relations=["agreement", "completeness"], examples=1)

    assert report.verdict == "conforms", report.text()
    assert report.fit < 1e-13
    assert abs(report.scale - 1) < 1e-12
    # All kinds of runs, the perceptrons among them against balls.
    assert [run.name for run in report.runs] == ["all examples", "all examples", *map(", ".join, KINDS)]
    assert all(run.verdict == "holds" and run.fit < 1e-13 for run in report.runs)
    assert [run.reference.partition(",")[0] for run in report.runs] == [*["certified"] * 6, "float64"]
    assert "certified balls of radius" in report.held_against
    assert all(run.name in report.text() for run in report.runs)


def test_right_numbers_keep_every_relation() -> None:
    report = conform.check(torch_func.adapters()[0], examples=2, features=["momentum"])
    silent = {"completeness", "batches and momentum", "device"}

    assert report.exit_code == 0, report.text()
    assert {f.verdict for f in report.findings if f.relation not in silent} == {"holds"}


@pytest.mark.slow
@pytest.mark.parametrize("adapter", RIGHT, ids=[a.name for a in RIGHT])
def test_right_numbers_keep_every_relation_on_many_tasks(adapter: conform.Adapter) -> None:
    report = conform.check(adapter, examples=60)

    assert report.exit_code == 0, report.text()


# Wrong ones do not.

WRONG = planted()


@pytest.mark.parametrize("wrong", WRONG, ids=[w.adapter.name for w in WRONG])
def test_planted_mistakes_are_found(wrong: Planted) -> None:
    known = wrong.relation != "runs"
    report = conform.check(
        wrong.adapter,
        relations=[wrong.relation] if known else [],
        features=wrong.features,
        examples=1 if wrong.features else 4,
        seconds=0.2,
    )
    finding = report.finding(wrong.relation)

    assert report.exit_code == 1
    assert finding.verdict == "fails"
    assert wrong.note in finding.note
    assert finding.case
    assert finding.size > finding.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=[w.adapter.name for w in WRONG])
def test_planted_mistakes_are_found_among_all_relations(wrong: Planted) -> None:
    report = conform.check(wrong.adapter, examples=6, seconds=2)

    assert report.finding(wrong.relation).verdict == "fails", report.text()


def test_a_residual_hidden_in_one_example_adds_up_and_is_found_all_the_same() -> None:
    (forced,) = (w.adapter for w in WRONG if w.adapter.name == "forced to add up")
    report = conform.check(forced, relations=["completeness", "agreement"], examples=2, seconds=0.1)

    assert [f.verdict for f in report.findings] == ["holds", "fails", "holds"]


# Whose numbers they are.


@pytest.mark.parametrize("name", QUANTITIES)
def test_the_quantity_is_found_out_with_its_sign_and_scale(name: str) -> None:
    def nameless(task: Task) -> Tensor:
        return -2.5 * reference(task, QUANTITIES[name])

    report = conform.check(nameless, relations=["agreement"], features=(), examples=2, seconds=0.1)

    assert report.quantity == name
    assert not report.declared
    # An exact split has one scale, and a sum that is 2.5 times too large is not one.
    exact = QUANTITIES[name].adds_up
    assert report.verdict == ("does not conform" if exact else "conforms")
    assert report.scale == (1.0 if exact else pytest.approx(-2.5))


def test_the_last_layer_alone_is_found_out() -> None:
    def nameless(task: Task) -> Tensor:
        return reference(task, QUANTITIES["left-endpoint"], (f"{task.last_layer}.*",))

    report = conform.check(nameless, relations=["agreement"], features=(), examples=3)

    assert (report.quantity, report.params, report.verdict) == ("left-endpoint", ("{last}.*",), "conforms")


def test_scores_that_fit_nothing_are_undecided_until_it_is_said_what_they_are() -> None:
    def distances(task: Task) -> Tensor:
        return torch.cdist(task.x_query, task.x)

    report = conform.check(
        distances, relations=["agreement", "order of examples"], features=(), examples=2, seconds=0.1
    )
    said = conform.check(
        distances, quantity="path-kernel", relations=["agreement"], features=(), examples=2, seconds=0.1
    )

    assert (report.exit_code, report.finding("agreement").verdict) == (3, "undecided")
    assert (said.exit_code, said.finding("agreement").verdict) == (1, "fails")


def test_a_peer_that_handles_none_of_it_is_undecided() -> None:
    def nothing(_: Task) -> Tensor:
        raise conform.NotApplicable("no perceptrons")

    report = conform.check(nothing, examples=2)

    assert (report.exit_code, report.findings[0].note) == (3, "no perceptrons")


# What it looks like.


def test_reports_say_what_failed_where_and_which_claim() -> None:
    (wrong,) = (w.adapter for w in WRONG if w.adapter.name == "last layer's bias dropped")
    report = conform.check(wrong, relations=["every bias"], features=(), examples=6, seconds=5)
    text, plain = as_text([report]), json.loads(as_json([report]))

    assert "last layer's bias dropped: does not conform" in text
    assert "they are the scores without the last layer's bias" in text
    assert "contradicts claim D7" in text
    # The case is shrunk to one example, one query and one step.
    assert "with biases" in report.finding("every bias").case
    assert report.finding("every bias").case.count("],") <= 3
    assert plain[0]["verdict"] == "does not conform"
    assert plain[0]["findings"][1]["relation"] == "every bias"
    assert "| last layer's bias dropped |" in table([report])


def test_exit_codes_put_the_worst_first() -> None:
    good = conform.check(torch_func.adapters()[0], relations=["repeated"], features=(), examples=1)
    bad = replace(good, findings=(replace(good.findings[0], verdict="fails"),))
    unsure = replace(good, findings=(replace(good.findings[0], verdict="undecided"),))

    assert [exit_code(r) for r in ([good], [good, unsure], [unsure, bad], [bad, good])] == [0, 3, 1, 1]


def test_a_finding_that_there_is_not_is_no_finding() -> None:
    good = conform.check(torch_func.adapters()[0], relations=["repeated"], features=(), examples=1)

    with pytest.raises(KeyError):
        good.finding("agreement")


# Shrinking, and what an adapter cannot do to the suite.


def test_simpler_tasks_are_tasks() -> None:
    classes = replace(LINEAR, kind="cross-entropy", y=((ONE,),) * 3, y_query=((ONE,),) * 2)
    stepped = replace(classes, batches=((0, 2), (1,), (2, 1)), mean=True, momentum=ONE / 2)
    for spec in (LINEAR, classes, stepped):
        for candidate in simpler(spec):
            assert len(task_of(candidate).checkpoints) == len(candidate.rates) + 1


def test_shrinking_ends_at_a_task_that_fails() -> None:
    found = smallest(LINEAR, lambda spec: len(spec.x) > 1 and spec.bias, 20)

    assert (len(found.x), len(found.x_query), found.widths, found.rates) == (2, 1, (1, 1), (ONE / 32,))
    assert set(found.weights) == {Fraction(0)}


def test_tasks_that_are_drawn_can_be_trained() -> None:
    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from([(), FEATURES[:3], FEATURES]).flatmap(lambda features: specs(features=features)))
    def trained(spec: Spec) -> None:
        task = task_of(spec)
        assert all(bool(torch.isfinite(w).all()) for point in task.checkpoints for w in point.values())
        assert spec.text().count("\n") == 4

    trained()


def test_an_adapter_works_on_a_copy() -> None:
    def spoil(task: Task) -> Tensor:
        task.x.zero_()
        task.checkpoints[0]["0.weight"].zero_()
        torch.set_default_dtype(torch.float16)
        return torch.zeros(len(task.x_query), len(task.x))

    task = larger_task("squared")
    found = scores_of(conform.Adapter("spoil", spoil), task)

    assert found.moved == ("x", "checkpoints[0]")
    assert float(task.x.abs().max()) > 0
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (torch.zeros(3), "the shape is"),
        ([[1.0]], "the shape is"),
        ("scores", "TypeError|ValueError|RuntimeError"),
        (None, "TypeError|RuntimeError"),
    ],
    ids=["shape", "lists", "text", "nothing"],
)
def test_what_is_no_score_is_refused(returned: object, complaint: str) -> None:
    with pytest.raises(WrongScores, match=complaint):
        scores_of(conform.Adapter("wrong", lambda _: returned), larger_task("squared"))


# Bad input.


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("captain", "there is no adapter"),
        ("no.such.module:f", "cannot be imported"),
        ("math:nothing", "has no 'nothing'"),
        ("math:pi", "is no function"),
    ],
)
def test_names_that_are_none_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        adapters_of(name)
    assert caught.value.exit_code == 2


def test_unknown_quantities_relations_and_losses_are_refused() -> None:
    with pytest.raises(InputError, match="quantity"):
        conform.check(lambda _: 0, quantity="influence")
    with pytest.raises(InputError, match="relations"):
        conform.check(lambda _: 0, relations=["beauty"])
    with pytest.raises(InputError, match="features"):
        conform.check(lambda _: 0, features=["dropout"])
    with pytest.raises(InputError, match="quantity"):
        conform.Adapter("wrong", lambda _: 0, "influence")
    with pytest.raises(InputError, match="losses"):
        conform.Adapter("wrong", lambda _: 0, losses=("hinge",))


def test_a_function_of_a_user_is_found_by_its_module() -> None:
    (report,) = conform_peer(
        "pkverify.testing.adapters.torch_func:path_kernel", quantity="path-kernel", examples=1, seconds=0.1
    )

    assert (report.name.rpartition(":")[2], report.exit_code) == ("path_kernel", 0)


def test_every_peer_says_what_installs_it() -> None:
    assert all(peer.install.startswith("pip install") for peer in PEERS.values())
