"""What several test files share: Hypothesis profiles, and the command line run in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# Tests run side by side, one on each core. Threads of torch's own would wait for each other, at five times the time.
# It must stand here before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadlines, since a busy machine is no fault; in CI the same examples every time.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

LINE = """
model = {kind = "linear", bias = false}
loss.kind = "squared"
data = {x = [1, 2], y = [1, 3]}
flow = {initial = [0], horizon = 1}
query.x = ["3/2"]
"""


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own working directory, with the problem ``line.toml`` in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.toml").write_text(LINE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The command line, called with its arguments in ``folder``."""
    from pkverify.cli import main  # noqa: PLC0415 - most tests do without it

    assert Path.cwd() == folder

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["pkverify", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capfd.readouterr()
        return Result(int(caught.value.code or 0), captured.out, captured.err)

    return run
