"""Recording inside a DistributedDataParallel loop, against the same run of the same global batches on one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pkverify.errors import InputError
from pkverify.network.distributed.ranks import unwrapped
from tests.network.distributed.cases import TOKENS, X, alone, batches, parallel, sharded
from tests.network.distributed.processes import together
from tests.network.training_cases import OPTIMIZERS


def check(found: dict[str, Any], kind: str, name: str, world: int = 2, **options: int) -> None:
    expected = alone(world, name, kind, **options)
    scale = float(expected["split"].abs().max())

    assert found["residual"] <= 1e-11
    assert found["proof"] <= 1e-11
    assert float((found["split"] - expected["split"]).abs().max()) <= 1e-12 * scale
    assert float((found["regularizer"] - expected["regularizer"]).abs().max()) <= 1e-12 * scale


SLOW = pytest.mark.slow
CASES = [
    pytest.param("sgd", "mlp", id="sgd"),
    pytest.param("momentum", "mlp", id="momentum"),
    pytest.param("adam", "mlp", id="adam"),
    pytest.param("adamw", "transformer", id="adamw transformer"),
    *(
        pytest.param(name, kind, marks=SLOW, id=f"{name} {kind} slow")
        for name in OPTIMIZERS
        for kind in ("mlp", "transformer")
    ),
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_split_is_that_of_one_process(name: str, kind: str, tmp_path: Path) -> None:
    first, second = together(parallel, tmp_path, 2, name, kind, None, {})

    check(first, kind, name)
    assert second is None  # only rank 0 keeps parameters


def test_a_folder_is_written_once_and_read_by_all(tmp_path: Path) -> None:
    found = together(parallel, tmp_path, 2, "adam", "mlp", tmp_path / "run", {"every": 2})

    for one in found:
        check(one, "mlp", "adam")
    assert torch.equal(found[0]["split"], found[1]["split"])
    points = sorted(file.name for file in (tmp_path / "run" / "points").iterdir())
    assert points == ["00000000.safetensors", "00000001.safetensors", "final.safetensors"]


def test_an_example_that_pads_a_sampler_counts_twice(tmp_path: Path) -> None:
    (first, _) = together(parallel, tmp_path, 2, "sgd", "mlp", None, {"epochs": 1})

    named = torch.cat([indices for step in first["batches"] for indices, _ in step])
    counts = named.bincount(minlength=len(X))
    assert counts.sum() == len(X) + 1
    assert counts.max() == 2
    assert {weight for step in first["batches"] for _, weight in step} == {0.5}
    assert named.tolist() == [
        i for pair in zip(batches(0, 2, 1), batches(1, 2, 1), strict=True) for mine in pair for i in mine
    ]


def test_passes_are_accumulated_on_each_rank(tmp_path: Path) -> None:
    first, _ = together(parallel, tmp_path, 2, "momentum", "mlp", None, {"passes": 3, "epochs": 2})

    check(first, "mlp", "momentum", passes=3, epochs=2)
    assert len(first["batches"][0]) == 6


@pytest.mark.parametrize("leaver", [0, 1])
def test_a_rank_without_batches_leaves(leaver: int, tmp_path: Path) -> None:
    options = {"uneven": 1, "leaver": leaver}
    found = together(parallel, tmp_path, 2, "adamw", "mlp", tmp_path / "run", options)

    for one in found:
        assert one["residual"] <= 1e-11
        assert one["proof"] <= 1e-11
        assert [len(step) for step in one["batches"]] == [2, 2, 1]
        assert one["batches"][-1][0][1] == 0.5  # the mean is still over both
    assert torch.equal(found[0]["weights"], found[1]["weights"])


WRONG = [
    ({"uneven": 1, "leaver": 0}, "rank 0 has no batches any more"),
    ({"uneven": 1, "wrong": "join"}, "joins uneven inputs, and the recording does not"),
    ({"wrong": "x"}, "x: 9 examples on rank 0, and 10 examples on rank 1"),
    ({"wrong": "batch"}, "step 0: the gradient is not the one of the named examples"),
    ({"wrong": "sync"}, "step 0: the gradient is not the one of the named examples"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=["rank 0 leaves", "join", "x", "batch", "sync"])
def test_what_would_not_add_up_is_refused_on_all_ranks(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    found = together(parallel, tmp_path, 2, "adam", "mlp", None, options)

    for one in found:
        assert isinstance(one, InputError)
        assert message in one.what
    if options.get("wrong") == "sync":
        assert "not averaged over the ranks" in found[0].why


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_four_processes(name: str, kind: str, tmp_path: Path) -> None:
    (first, *_) = together(parallel, tmp_path, 4, name, kind, None, {"epochs": 2}, world=4)

    check(first, kind, name, world=4, epochs=2)


def test_a_model_sharded_by_fsdp2_is_refused_on_all_ranks(tmp_path: Path) -> None:
    for one in together(sharded, tmp_path, 2):
        assert isinstance(one, InputError)
        assert "sharded over the ranks (FSDPModule)" in one.what


def test_sharded_parameters_are_refused_by_name() -> None:
    class DTensor(torch.nn.Parameter):  # the name is what is looked for: the real one needs a group
        pass

    model = torch.nn.Embedding(TOKENS, 2)
    model.weight = DTensor(torch.zeros(TOKENS, 2))

    with pytest.raises(InputError, match=r"weight is sharded over the ranks \(DTensor\)"):
        unwrapped(model)
