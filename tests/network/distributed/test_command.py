"""The commands: plan, decompose and merge on a recorded run, on one process and under torchrun."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pkverify.cli.networking  # pyright: ignore[reportUnusedImport] # noqa: F401 - its commands register with the app
from pkverify import cli
from pkverify.network.attribution import NetworkDecomposition
from tests.network.distributed.cases import written

MODEL = "tests.network.distributed.cases:as_tuple"
ROOT = Path(__file__).parents[3]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pkverify", "network", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        assert isinstance(code, int)
        said, complaint = capfd.readouterr()
        return code, said, complaint

    return called


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("command"), "sgd")


def inputs(folder: Path) -> tuple[object, ...]:
    return folder / "run", "--queries", folder / "queries.safetensors", "--model", MODEL


def test_a_plan_says_what_it_will_take(call: Call, folder: Path) -> None:
    code, said, _ = call("plan", *inputs(folder), "--ranks", 2, "--max-memory", "1 GB")

    assert code == 0
    for word in ("3 queries x 23 examples x 3 outputs", "independent", "of 1 GB", "read", "operations", "time", "none"):
        assert word in said
    assert not (folder / "out").exists()


def test_decompose_and_merge(call: Call, folder: Path) -> None:
    out = folder / "out"
    code, said, _ = call("decompose", *inputs(folder), "-o", out, "--query-block", 2)
    assert code == 0
    assert "adds up" in said
    assert NetworkDecomposition.load(out / "decomposition.safetensors").relative_residual <= 1e-11
    first = (out / "decomposition.safetensors").read_bytes()

    assert call("merge", out)[0] == 0
    assert call("decompose", *inputs(folder), "-o", out, "--resume")[0] == 0
    assert (out / "decomposition.safetensors").read_bytes() == first
    code, _, complaint = call("decompose", *inputs(folder), "-o", out)
    assert code == 2
    assert "give --resume" in complaint


WRONG = [
    (("--model", "nonsense"), "names no function"),
    (("--model", "no.such.module:f"), "No module named"),
    (("--model", "tests.network.distributed.cases:mlp"), "returns"),
    (("--query-block", "0"), "--query-block 0"),
    (("--max-memory", "much"), "'much' is no size"),
    (("--queries", "no-such-file"), "cannot be read as safetensors"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[w[1] for w in WRONG])
def test_bad_input_is_named(options: tuple[str, str], message: str, call: Call, folder: Path) -> None:
    given = {
        "--queries": str(folder / "queries.safetensors"), "--model": MODEL, "-o": str(folder / "bad"),
    } | {options[0]: options[1]}  # fmt: skip

    code, _, complaint = call("decompose", folder / "run", *(part for pair in given.items() for part in pair))

    assert code == 2
    assert message in complaint
    assert not (folder / "bad").exists()


@pytest.mark.parametrize("missing", ["run", "merge"])
def test_a_folder_without_a_path_or_a_job_is_named(missing: str, call: Call, folder: Path) -> None:
    arguments = ("merge", folder) if missing == "merge" else ("plan", folder, *inputs(folder)[1:])

    code, _, complaint = call(*arguments)

    assert code == 2
    assert ("job.json: is missing" if missing == "merge" else "holds no recorded path") in complaint


@pytest.mark.slow
def test_torchrun(folder: Path) -> None:
    out = folder / "torchrun"
    code = "import pkverify.cli.networking, pkverify.cli; pkverify.cli.main()"
    script = folder / "run_pkverify.py"
    script.write_text(code, encoding="ascii")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(script), "network", "decompose", *map(str, inputs(folder)), "-o", str(out)]

    ended = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "adds up" in ended.stdout
