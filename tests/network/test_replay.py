"""What a path in memory does not keep of the optimiser's statistics, made again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkverify.network import storage
from pkverify.network.decompose import decompose
from pkverify.network.identity import identity
from pkverify.network.replay import passed, passed_back
from tests.network.training_cases import OPTIMIZERS, train

DIVIDING = ["adam", "amsgrad", "adamax", "radam", "adagrad", "rmsprop centered"]
CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3, 16])
def spacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in memory keep whole states at every so many points."""
    monkeypatch.setattr(storage, "_FARTHEST", request.param)


@pytest.mark.usefixtures("spacing")
@pytest.mark.parametrize("name", DIVIDING)
def test_the_split_of_a_path_in_memory_is_that_of_the_path_on_disk(name: str, tmp_path: Path) -> None:
    memory, disk = train(OPTIMIZERS[name]), train(OPTIMIZERS[name], to=tmp_path)

    live, kept = decompose(memory.path, memory.query), decompose(disk.path, disk.query)

    assert float((live.contributions - kept.contributions).abs().max()) <= 1e-12 * float(kept.contributions.abs().max())
    assert live.relative_residual <= 1e-11
    assert identity(memory.path, memory.query).relative_residual <= 1e-13


@pytest.mark.usefixtures("spacing")
@pytest.mark.parametrize("name", DIVIDING)
def test_statistics_are_those_of_the_run(name: str, tmp_path: Path) -> None:
    path, disk = train(OPTIMIZERS[name]).path, train(OPTIMIZERS[name], to=tmp_path).path
    moments, whole = list(path.moments()), path.points

    # Parts that begin and end between two states, as those of several processes do.
    parts = [place for part in (whole[:2], whole[2:7], whole[7:]) for place in passed(path, part, moments, CPU)]

    for place, point in zip(parts, whole, strict=True):
        stored = disk.store.point(point)
        assert torch.equal(place.weights, stored["weights"])
        assert place.statistics.keys() == stored.keys() - {"weights"}
        for entry, tensor in place.statistics.items():
            torch.testing.assert_close(tensor, stored[entry], rtol=1e-13, atol=1e-20)
    back = [place.number for place in passed_back(path, whole[2:7], moments, CPU)]
    assert back == [6, 5, 4, 3, 2]


def test_the_state_is_kept_now_and_then_and_more_often_for_large_models(monkeypatch: pytest.MonkeyPatch) -> None:
    path = train(OPTIMIZERS["adam"]).path
    monkeypatch.setattr(storage, "_FARTHEST", 3)
    some = train(OPTIMIZERS["adam"]).path

    assert all(set(path.store.point(point)) == {"weights"} for point in path.points)  # the first state is empty
    assert [point for point in some.points if len(some.store.point(point)) > 1] == [3, 6]
    assert storage.MemoryStore(10**6).spacing < 16
    assert storage.MemoryStore(10**8).spacing == 1


def test_rows_for_weights_share_no_memory() -> None:
    store, like = storage.MemoryStore(5), torch.zeros(1, dtype=torch.float64)
    rows = [store.room(like, 200_000) for _ in range(20)]  # blocks of 4, 4, 8, 16 rows

    for place, row in enumerate(rows):
        assert row is not None
        row.fill_(place)

    assert [float(row.mean()) for row in rows if row is not None] == list(range(20))
