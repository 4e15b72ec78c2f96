"""Tiles and their sum: any cut gives the split of one process, and what is not of one job is never added."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pkverify.errors import InputError
from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.decompose import decompose
from pkverify.network.distributed import manifest
from pkverify.network.distributed.job import read_inputs, run_job
from pkverify.network.distributed.merge import Merged, merge
from pkverify.network.distributed.scale import Cut, plan
from pkverify.network.distributed.target import Target, load_queries
from pkverify.network.distributed.tiles import Layout, all_tiles, chains
from pkverify.network.identity import identity
from pkverify.network.record import read_path
from tests.network.distributed.cases import CUT, LOSS, QUERY, X, Y, target, written
from tests.network.training_cases import OPTIMIZERS, mlp, seeded, train


def run(folder: Path, out: str, cut: Cut = CUT, kind: str = "mlp", **options: Any) -> Merged:
    merged = run_job(folder / "run", target(kind), folder / "queries.safetensors", folder / out, cut=cut, **options)
    assert merged is not None
    return merged


def agrees(folder: Path, merged: Merged, kind: str = "mlp") -> None:
    """With the split and the identity of one process, each computed by its own."""
    trained, query = target(kind), load_queries(folder / "queries.safetensors")
    path = read_path(folder / "run", trained.model, loss=LOSS, x=trained.x, y=Y)
    one, many = decompose(path, query), NetworkDecomposition.load(merged.file)
    scale = float(one.contributions.abs().max())

    assert merged.holds
    assert merged.relative_residual <= 1e-11
    assert merged.proof_residual <= 1e-11
    for name in ("contributions", "regularizer_term", "initial_momentum_term", "residual"):
        assert float((getattr(one, name) - getattr(many, name)).abs().max()) <= 1e-12 * scale
    for name in ("initial_output", "final_output"):
        assert float((getattr(one, name) - getattr(many, name)).abs().max()) <= 1e-14
    assert len(many.nodes) == path.step_count
    proof = load_file(merged.proof)["residual"]
    assert float((proof - identity(path, query).residual).abs().max()) <= 1e-14 * scale


SLOW = pytest.mark.slow


DEFAULT = (("sgd decay", "mlp"), ("adamw", "mlp"), ("momentum", "transformer"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=() if (name, kind) in DEFAULT else SLOW)
        for name in OPTIMIZERS
        for kind in ("mlp", "transformer")
    ],
)
def test_tiles_add_up_to_the_split(name: str, kind: str, tmp_path: Path) -> None:
    agrees(tmp_path, run(written(tmp_path, name, kind), "out", kind=kind), kind)


@SLOW
@pytest.mark.parametrize("name", ["sgd decay", "momentum"])
@pytest.mark.parametrize("cut", [Cut(1, 23, 4), Cut(3, 5, 1), Cut(1, 1, 3)], ids=["queries", "examples", "all"])
def test_any_cut_agrees(name: str, cut: Cut, tmp_path: Path) -> None:
    folder = written(tmp_path, name)
    one, other = (NetworkDecomposition.load(run(folder, out, c).file) for out, c in (("a", Cut(3, 23, 4)), ("b", cut)))

    scale = float(one.contributions.abs().max())
    assert float((one.contributions - other.contributions).abs().max()) <= 1e-13 * scale


def test_clipping_and_points_apart_are_tiled(tmp_path: Path) -> None:
    train(OPTIMIZERS["adam"], epochs=1, to=tmp_path / "run", every=2, clip_norm=0.5)
    save_file({"x": QUERY}, tmp_path / "queries.safetensors")

    agrees(tmp_path, run(tmp_path, "out", Cut(2, 12, 1)))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = written(tmp_path_factory.mktemp("done"))
    run(folder, "out")
    return folder


def file(name: str) -> Callable[[Path], Path]:
    return lambda out: out / name


def altered(out: Path) -> None:
    tile = out / "tiles" / "split-q00000-e00001-r00000.safetensors"
    data = bytearray(tile.read_bytes())
    data[-3] ^= 1
    tile.write_bytes(data)


def of_another_job(out: Path) -> None:
    record = out / "tiles" / "proof-q00000-r00000.json"
    record.write_text(json.dumps(json.loads(record.read_bytes()) | {"job": "0" * 64}))


def renamed(out: Path) -> None:
    for ending in (".json", ".safetensors"):
        shutil.copy(
            out / f"tiles/split-q00000-e00000-r00000{ending}", out / f"tiles/split-q00001-e00000-r00000{ending}"
        )


def edited(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    job = json.loads((out / "job.json").read_bytes())
    change(job)
    (out / "job.json").write_text(json.dumps(job, indent=1, sort_keys=True) + "\n")


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("tile missing", lambda out: (out / "tiles/split-q00000-e00000-r00001.json").unlink(), "e00000-r00001: is missing"),
    ("numbers missing", lambda out: (out / "tiles/proof-q00000-r00000.safetensors").unlink(), "r00000: is missing"),
    ("tile altered", altered, "e00001-r00000.safetensors: is damaged"),
    ("tile torn", lambda out: (out / "tiles/proof-q00000-r00001.safetensors").write_bytes(b"123"), "is damaged"),
    ("record torn", lambda out: (out / "tiles/proof-q00000-r00001.json").write_bytes(b'{"job"'), "is damaged"),
    ("of another job", of_another_job, "belongs to another job"),
    ("of another place", renamed, "belongs to another job"),
    ("manifest torn", lambda out: (out / "job.json").write_bytes(b'{"schema": '), "job.json: is damaged"),
    ("manifest missing", lambda out: (out / "job.json").unlink(), "job.json: is missing"),
    ("manifest cut otherwise", lambda out: edited(out, lambda j: j["layout"].update(query_block=3)), "another job"),
    ("inputs swapped", lambda out: edited(out, lambda j: j["inputs"].update(queries="0")), "another job"),
    ("manifest empty", lambda out: edited(out, lambda j: j.pop("layout")), "job.json: is damaged"),
    ("schema", lambda out: edited(out, lambda j: j.update(schema="pkverify.decomposition-job/9")), "schema"),
    ("torch", lambda out: edited(out, lambda j: j["versions"].update(torch="1.0")), "was made with torch 1.0"),
    ("pkverify", lambda out: edited(out, lambda j: j["versions"].update(pkverify="0")), "was made with pkverify 0"),
]


@pytest.mark.parametrize(("damage", "message"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_what_is_damaged_or_foreign_is_not_merged(
    damage: Callable[[Path], object], message: str, done: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(done / "out", out, ignore=shutil.ignore_patterns("decomposition*", "proof.s*", "result*"))
    damage(out)

    with pytest.raises(InputError) as caught:
        merge(out)

    assert message in caught.value.what
    assert sorted(f.name for f in out.iterdir() if f.is_file()) in (["job.json"], [])


def test_a_sound_folder_is_merged_again_to_the_same_bytes(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done / "out", out, ignore=shutil.ignore_patterns("decomposition*", "proof.s*", "result*"))

    merge(out)

    for name in ("decomposition.safetensors", "proof.safetensors", "result.json"):
        assert (out / name).read_bytes() == (done / "out" / name).read_bytes()


def test_a_job_is_not_begun_twice_nor_gone_on_with_for_others(done: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a job already"):
        run(done, "out")

    save_file({"x": QUERY + 1}, tmp_path / "others.safetensors")
    with pytest.raises(InputError, match="begun with another queries"):
        run_job(done / "run", target(), tmp_path / "others.safetensors", done / "out", resume=True)
    other = Target(seeded(mlp), LOSS, X + 1, Y)
    with pytest.raises(InputError, match="begun with another x"):
        run_job(done / "run", other, done / "queries.safetensors", done / "out", resume=True)


def test_targets_of_another_run_are_found_by_the_proof(done: Path, tmp_path: Path) -> None:
    other = Target(seeded(mlp), LOSS, X, (Y + 1) % 3)

    with pytest.raises(InputError, match="the gradient of the named examples is not the one"):
        run_job(done / "run", other, done / "queries.safetensors", tmp_path / "out")


def test_an_unfinished_path_is_refused(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "run", tmp_path / "run")
    steps = tmp_path / "run" / "steps.jsonl"
    steps.write_bytes(b"".join(steps.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(InputError, match="its last weights are not known"):
        run_job(tmp_path / "run", target(), done / "queries.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_hash_of_a_job_covers_all_of_it(done: Path) -> None:
    job = manifest.read_job(done / "out")
    others = [
        manifest.Job({**job.inputs, "x": "0"}, job.versions, job.layout, job.threads),
        manifest.Job(job.inputs, {**job.versions, "torch": "0"}, job.layout, job.threads),
        manifest.Job(job.inputs, job.versions, Layout(3, 23, 4, 3, 12, 2, 3, chained=True), job.threads),
        manifest.Job(job.inputs, job.versions, job.layout, job.threads + 1),
    ]

    assert len({job.fingerprint, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize("chained", [True, False])
def test_chains_hold_each_cell_once(chained: bool) -> None:
    layout = Layout(5, 7, 6, 2, 3, 4, 4, chained)

    tiles = [one for chain in chains(layout) for one in chain]

    for kind, times in (("split", 1), ("proof", 1)):
        cells = [
            (q, e, p) for t in tiles if t.kind == kind for q in t.queries for e in t.examples for p in t.points
        ]  # fmt: skip
        assert len(cells) == len(set(cells)) == 5 * 7 * 6 * times
    assert len({t.name for t in all_tiles(layout)}) == len(tiles)
    assert all(len(chain) == (2 if chained else 1) for chain in chains(layout))


def test_a_plan_keeps_its_promises(done: Path) -> None:
    inputs = read_inputs(done / "run", target(), done / "queries.safetensors")
    assert torch.equal(load_queries(done / "queries.safetensors"), QUERY)  # type: ignore[arg-type]

    roomy, shared = plan(inputs, folder=done / "run"), plan(inputs, ranks=2)
    tight = plan(inputs, memory=roomy.bytes_per_rank - 1)

    assert (roomy.layout.query_block, roomy.layout.example_block) == (3, 23)
    assert len(shared.layout.query_blocks("split")) >= 2
    assert tight.bytes_per_rank < roomy.bytes_per_rank
    assert roomy.disk_read > sum(f.stat().st_size for f in (done / "run" / "points").iterdir())
    assert "3 queries x 23 examples x 3 outputs" in str(roomy)
    with pytest.raises(InputError, match="max-memory"):
        plan(inputs, memory=1000)
