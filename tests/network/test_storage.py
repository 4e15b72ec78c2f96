"""A path on disk: read again, resumed after a kill, and any altered file refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn, optim

from pkverify.errors import InputError
from pkverify.network.decompose import decompose
from pkverify.network.path import TrainingPath
from pkverify.network.record import read_path, record
from tests.network.training_cases import BATCH, EXAMPLES, OPTIMIZERS, Run, data, mlp, relu_net, seeded, train

X, Y, QUERY = data()
LOSS = nn.CrossEntropyLoss()


def read(folder: Path, **options: object) -> TrainingPath:
    return read_path(folder, seeded(mlp, seed=99), **({"loss": LOSS, "x": X, "y": Y} | options))  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return train(OPTIMIZERS["adam"], epochs=1, to=tmp_path / "run")


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop centered", "adagrad"])
def test_a_path_from_disk_is_the_path(name: str, every: int, tmp_path: Path) -> None:
    run = train(OPTIMIZERS[name], epochs=1, to=tmp_path / "run", every=every)

    live, found = decompose(run.path, run.query), decompose(read(tmp_path / "run"), run.query)

    assert found.relative_residual <= 1e-11
    assert torch.equal(live.contributions, found.contributions)


def test_a_point_is_a_plain_safetensors_file(run: Run, tmp_path: Path) -> None:
    tensors = load_file(tmp_path / "run" / "points" / "00000001.safetensors")

    assert torch.equal(tensors["weights/0.weight"], run.named(run.weights[1])["0.weight"])
    assert "exp_avg_sq/0.weight" in tensors


def test_points_are_copies(run: Run) -> None:
    memory = train(OPTIMIZERS["adam"], epochs=1).path

    pointers = {memory.weights(point).data_ptr() for point in range(memory.step_count + 1)}
    assert len(pointers) == memory.step_count + 1
    assert not pointers & {p.data_ptr() for p in run.model.parameters()}


def continued(
    folder: Path, upto: int, *, start: int = 0, state: dict[str, object] | None = None, every: int = 1
) -> dict[str, object]:
    """Steps ``start`` to ``upto`` of one long run; what a checkpoint would hold is taken in and given back."""
    model = seeded(mlp)
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    if state:
        model.load_state_dict(state["model"])  # type: ignore[arg-type]
        optimizer.load_state_dict(kept(state["optimizer"]))  # type: ignore[arg-type]
    with record(model, optimizer, loss=LOSS, x=X, y=Y, to=folder, resume=bool(state), every=every) as path:
        for number in range(start, upto):
            indices = (torch.arange(BATCH) + 2 * number) % EXAMPLES
            path.batch(indices)
            optimizer.zero_grad()
            LOSS(model(X[indices]), Y[indices]).backward()
            optimizer.step()
    clone = {name: t.clone() for name, t in model.state_dict().items()}
    return {"model": clone, "optimizer": kept(optimizer.state_dict())}


def kept(state: dict[str, object]) -> dict[str, object]:
    return copy.deepcopy(state)


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    continued(tmp_path / "whole", 6)
    checkpoint = continued(tmp_path / "killed", 3)
    later = tmp_path / "killed" / "steps.jsonl"
    # Two more steps after the checkpoint, of which the kill tore the last line; and no last weights.
    continued(tmp_path / "killed", 5, start=3, state=checkpoint)
    lines = later.read_bytes().splitlines(keepends=True)
    later.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])

    continued(tmp_path / "killed", 6, start=3, state=checkpoint)

    whole, resumed = (decompose(read(tmp_path / name), QUERY) for name in ("whole", "killed"))
    assert resumed.relative_residual <= 1e-11
    assert torch.equal(whole.contributions, resumed.contributions)


def test_a_path_may_go_on_between_two_points(tmp_path: Path) -> None:
    continued(tmp_path / "whole", 7, every=3)
    checkpoint = continued(tmp_path / "parts", 4, every=3)
    continued(tmp_path / "parts", 7, start=4, state=checkpoint, every=3)

    whole, resumed = (decompose(read(tmp_path / name), QUERY) for name in ("whole", "parts"))
    assert resumed.relative_residual <= 1e-11
    assert torch.equal(whole.contributions, resumed.contributions)


def test_a_killed_run_is_not_whole(run: Run, tmp_path: Path) -> None:
    assert run.path.step_count == 4
    log = tmp_path / "run" / "steps.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(InputError, match="its last weights are not known"):
        decompose(read(tmp_path / "run"), QUERY)


@pytest.mark.parametrize("what", ["fresh optimiser", "other weights", "other optimiser", "other every"])
def test_a_path_goes_on_only_as_it_was(what: str, tmp_path: Path) -> None:
    state = continued(tmp_path / "run", 3)
    model = seeded(mlp)
    model.load_state_dict(state["model"])  # type: ignore[arg-type]
    if what == "other weights":
        nn.init.zeros_(model[0].bias)  # type: ignore[index, arg-type]
    optimizer = (optim.AdamW if what == "other optimiser" else optim.Adam)(model.parameters(), lr=0.03)
    message = {
        "fresh optimiser": "its state is not the one after the step",
        "other weights": "no point of the path has the weights",
    }.get(what, "was recorded with Adam, every=1")

    with (
        pytest.raises(InputError, match=message),
        record(
            model,
            optimizer,
            loss=LOSS,
            x=X,
            y=Y,
            to=tmp_path / "run",
            resume=True,
            every=2 if what == "other every" else 1,
        ),
    ):
        pytest.fail("the block was entered")


def test_a_second_run_does_not_overwrite_the_first(run: Run, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="holds a path already"),
        record(run.model, run.optimizer, loss=LOSS, x=X, y=Y, to=tmp_path / "run"),
    ):
        pytest.fail("the block was entered")


def change_byte(folder: Path) -> None:
    file = folder / "points" / "00000001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def exchange(folder: Path) -> None:
    one, other = (folder / "points" / f"0000000{n}.safetensors" for n in (1, 2))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def other_schema(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": "pkverify.training-path/0"}))


def other_batch(folder: Path) -> None:
    log = folder / "steps.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[1]["batches"], lines[2]["batches"] = lines[2]["batches"], lines[1]["batches"]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))


ALTERED = {
    "a changed byte": (change_byte, "00000001.safetensors: is not as it was recorded"),
    "two points exchanged": (exchange, "is not as it was recorded"),
    "a missing point": (lambda f: (f / "points" / "00000002.safetensors").unlink(), "00000002.safetensors: is missing"),
    "no last weights": (lambda f: (f / "points" / "final.safetensors").unlink(), "final.safetensors: is missing"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "holds no recorded path"),
    "another schema": (other_schema, "schema 'pkverify.training-path/0'"),
    "batches exchanged": (other_batch, "the gradient of the named examples is not the one"),
}


@pytest.mark.parametrize("name", ALTERED)
@pytest.mark.usefixtures("run")
def test_altered_files_are_refused(name: str, tmp_path: Path) -> None:
    spoil, message = ALTERED[name]
    spoil(tmp_path / "run")

    with pytest.raises(InputError, match=message):
        decompose(read(tmp_path / "run"), QUERY)


@pytest.mark.usefixtures("run")
def test_another_model_or_other_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model: .* was \["):
        read_path(tmp_path / "run", seeded(relu_net), loss=LOSS, x=X, y=Y)
    with pytest.raises(InputError, match="x: 22 examples, and the run had 23"):
        read(tmp_path / "run", x=X[1:], y=Y[1:])
