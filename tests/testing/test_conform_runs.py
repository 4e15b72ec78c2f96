"""What an adapter does not claim is not held against it; steps, devices and quantities that are not the plain ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.testing import conform
from pkverify.testing.adapters import own, torch_func
from pkverify.testing.conform.planted import planted
from pkverify.testing.conform.reference import QUANTITIES, reference
from pkverify.testing.conform.task import CONVOLUTION, MEAN, MINIBATCHES, MOMENTUM

if TYPE_CHECKING:
    from pkverify.testing.conform.task import Task


def exact_loss(task: Task) -> Tensor:
    return reference(task, QUANTITIES["exact-loss"])


def cosines(task: Task) -> Tensor:
    """Cosines of gradients at the last weights: no quantity of the list, and symmetric in all that it should be."""
    query, train = (
        torch_func.loss_gradients(task, task.checkpoints[-1], x, y)
        for x, y in ((task.x_query, task.y_query), (task.x, task.y))
    )
    sizes = query.norm(dim=1)[:, None] * train.norm(dim=1) + 1e-300
    return query @ train.T / sizes


def test_what_an_adapter_does_not_claim_is_named_with_its_reason() -> None:
    adapter = conform.Adapter("plain", exact_loss, "exact-loss", cannot={MOMENTUM: "its steps have no memory"})
    report = conform.check(adapter, relations=["agreement"], features=[MINIBATCHES, MEAN, MOMENTUM], examples=1)
    runs = {run.name: run for run in report.runs}

    assert report.exit_code == 0, report.text()
    assert runs["minibatches"].verdict == "holds"
    assert (runs["momentum"].verdict, runs["momentum"].note) == ("not applicable", "momentum: its steps have no memory")
    assert "not applicable: momentum: its steps have no memory" in report.text()


def test_an_exact_split_that_says_nothing_of_its_steps_is_tried_on_plain_ones() -> None:
    def knows_only_all_examples(task: Task) -> Tensor:
        assert not {MINIBATCHES, MEAN, MOMENTUM} & {*task.features}
        return exact_loss(task)

    report = conform.check(
        knows_only_all_examples, quantity="exact-loss", relations=["agreement", "batches and momentum"], examples=1
    )
    verdicts = {run.name: run.verdict for run in report.runs}

    assert report.exit_code == 0, report.text()
    assert verdicts["convolution"] == "holds"
    assert {verdicts[name] for name in ("minibatches", "momentum")} == {"not applicable"}
    assert report.finding("batches and momentum").verdict == "not applicable"


def test_a_relation_that_an_adapter_does_not_claim_is_not_tried() -> None:
    (noisy,) = (wrong.adapter for wrong in planted() if wrong.adapter.name == "dropout left on")
    excused = conform.Adapter(noisy.name, noisy.scores, "left-endpoint", cannot={"repeated": "it draws masks"})
    report = conform.check(excused, relations=["repeated"], features=(), examples=1, seconds=0.1)

    assert (report.finding("repeated").verdict, report.finding("repeated").note) == ("not applicable", "it draws masks")


def test_a_forgotten_momentum_is_shown_on_a_run_that_has_one() -> None:
    (wrong,) = (wrong for wrong in planted() if wrong.adapter.name == "momentum forgotten")
    report = conform.check(
        wrong.adapter, relations=["batches and momentum"], features=[MOMENTUM], examples=3, seconds=3
    )  # fmt: skip
    case = report.finding("batches and momentum").case

    assert ", momentum " in case
    assert "contradicts claim E1" in report.text()


def test_convolutions_are_shrunk_and_shown() -> None:
    def first_layer_left_out(task: Task) -> Tensor:
        params = ("*",) if CONVOLUTION not in task.features else (f"{task.last_layer}.*",)
        return reference(task, QUANTITIES["left-endpoint"], params)

    report = conform.check(
        first_layer_left_out, quantity="left-endpoint", relations=["agreement"], features=[CONVOLUTION], examples=2,
        seconds=1,
    )  # fmt: skip

    case = report.finding("agreement").case

    assert report.exit_code == 1
    assert case.startswith("1 x 2 x 3 images - ")
    assert "channels by 2 x 2 kernels" in case
    assert [run.verdict for run in report.runs] == ["holds", "holds", "fails"]


def test_scores_of_another_quantity_are_held_to_what_holds_for_any() -> None:
    adapter = conform.Adapter("cosines", cosines, "other", formula="cos(grad l(z; w_S), grad l(i; w_S))")
    report = conform.check(
        adapter,
        relations=["agreement", "completeness", "order of examples", "duplicate", "orthogonal", "scale of the loss"],
        features=(),
        examples=2,
    )
    verdicts = {finding.relation: finding.verdict for finding in report.findings}

    assert report.exit_code == 0, report.text()
    assert [verdicts[name] for name in ("agreement", "completeness", "scale of the loss")] == ["not applicable"] * 3
    assert [verdicts[name] for name in ("order of examples", "duplicate", "orthogonal")] == ["holds"] * 3
    assert adapter.formula in report.text()
    assert not report.runs


def test_other_scores_that_depend_on_the_order_are_caught() -> None:
    def counted(task: Task) -> Tensor:
        return cosines(task) * torch.arange(1, len(task.x) + 1)

    report = conform.check(
        conform.Adapter("counted", counted, "other"), relations=["order of examples"], features=(), examples=2,
        seconds=0.1,
    )  # fmt: skip

    assert report.exit_code == 1


# Where it is computed.


def test_scores_that_depend_on_the_number_of_threads_are_caught() -> None:
    def by_threads(task: Task) -> Tensor:
        return reference(task, QUANTITIES["left-endpoint"]) * (1 + 1e-6 * torch.get_num_threads())

    before = torch.get_num_threads()
    report = conform.check(
        by_threads, quantity="left-endpoint", relations=["threads"], features=(), examples=1, seconds=0.1
    )  # fmt: skip

    assert report.finding("threads").verdict == "fails"
    assert report.finding("threads").size > 1e-7
    assert torch.get_num_threads() == before


def test_an_adapter_for_the_cpu_alone_is_not_asked_for_a_gpu() -> None:
    adapter = conform.Adapter("cosines", cosines, "other")
    report = conform.check(adapter, relations=["device"], features=(), examples=1, seconds=0)

    assert (report.finding("device").verdict, report.finding("device").note) == (
        "not applicable",
        "it is for the CPU alone",
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("adapter", [*own.adapters(), *torch_func.adapters()], ids=lambda a: a.name)
def test_the_gpu_gives_the_same_scores(adapter: conform.Adapter) -> None:
    report = conform.check(adapter, relations=["device"], examples=3)

    assert report.finding("device").verdict == "holds", report.text()


def test_a_quantity_must_be_known() -> None:
    with pytest.raises(InputError, match="left-endpoint"):
        conform.Adapter("wrong", exact_loss, "others")
