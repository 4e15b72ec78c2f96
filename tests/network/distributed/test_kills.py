"""kill -9 of a rank, and of the whole job, and resumed: the bytes of an undisturbed run, and no tile computed twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.network.distributed.cases import decomposed, written
from tests.network.distributed.processes import start

TILES = 10  # two ranges of a proof, and of two blocks of queries by two of examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = written(tmp_path_factory.mktemp("job"))
    whole(made, "undisturbed", "1", world=1)
    return made


def whole(folder: Path, out: str, attempt: str, world: int = 2) -> None:
    processes = [start(decomposed, rank, world, folder, out, attempt) for rank in range(world)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * world


def standing(out: Path) -> dict[str, tuple[int, int]]:
    """When each tile that counts was written."""
    records = {file.stem for file in out.glob("tiles/*.json")}
    return {
        name: (
            (out / "tiles" / f"{name}.json").stat().st_mtime_ns,
            (out / "tiles" / f"{name}.safetensors").stat().st_mtime_ns,
        )
        for name in records
    }


def same(folder: Path, out: str) -> bool:
    names = ("decomposition.safetensors", "proof.safetensors", "job.json", "result.json")
    return all((folder / out / n).read_bytes() == (folder / "undisturbed" / n).read_bytes() for n in names)


def killed_and_resumed(folder: Path, seed: int, *, everybody: bool) -> None:
    draw = random.Random(seed)  # noqa: S311 - when a process is killed is no secret
    out, after = f"killed-{seed}-{everybody}", draw.randrange(TILES - 1)
    processes = [start(decomposed, rank, 2, folder, out, "1") for rank in range(2)]
    until = time.monotonic() + 60
    while len(standing(folder / out)) < after and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(draw.uniform(0.0, 0.02))
    victims = processes if everybody else [draw.choice(processes)]
    for process in victims:
        process.kill()
        process.join()
    if not everybody:
        # Its chain is missing; the other takes what it can, and then it is ended, as torchrun does.
        time.sleep(draw.uniform(0.0, 0.5))
        for process in processes:
            process.kill()
            process.join()
    before = standing(folder / out)

    whole(folder, out, "2")

    assert same(folder, out)
    assert {name: standing(folder / out)[name] for name in before} == before
    assert list((folder / out / "carry").iterdir()) == []


@pytest.mark.parametrize(("seed", "everybody"), [(1, True), (2, False), (3, True)])
def test_a_killed_job_goes_on(folder: Path, seed: int, everybody: bool) -> None:
    killed_and_resumed(folder, seed, everybody=everybody)


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [True, False], ids=["job", "rank"])
@pytest.mark.parametrize("seed", range(10, 40))
def test_killed_at_thirty_moments(folder: Path, seed: int, everybody: bool) -> None:
    killed_and_resumed(folder, seed, everybody=everybody)


def test_a_half_written_tile_is_computed_again(folder: Path) -> None:
    whole(folder, "half", "1", world=1)
    tile = folder / "half" / "tiles" / "split-q00000-e00000-r00000"
    tile.with_suffix(".json").unlink()
    data = tile.with_suffix(".safetensors").read_bytes()
    tile.with_suffix(".safetensors").write_bytes(data[:-8])
    (folder / "half" / "tiles" / "split-q00001-e00000-r00000.json.part").write_bytes(b"{")
    # What it begins with is gone as well, as after any finished chain: the tile before has to be there again.
    tile.with_name("split-q00000-e00000-r00001").with_suffix(".json").unlink()

    whole(folder, "half", "2", world=1)

    assert same(folder, "half")
