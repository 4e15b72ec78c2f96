"""What the documentation tells people to type works: its commands and its Python, in a fresh folder."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pkverify.claims import CLAIMS, HYPOTHESES

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/getting-started.md", "docs/how-to/bring-your-own-problem.md")
# Whole cases and the whole audit take a while; other tests run them.
LONG = ("linear", "mlp", "xent")
Command = Callable[..., Any]


def commands(page: str) -> list[list[str]]:
    """The pkverify commands of a page, in order, without their comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ") and "pkverify " in line]
    parts = [part for line in lines for part in shlex.split(line, comments=True) if part]
    found: list[list[str]] = [[]]
    for part in parts:
        if part in {"pkverify", "&&", "pip"}:
            found.append([])
        else:
            found[-1].append(part)
    starts = ("init", "check", "derive", "claims", "report", "verify")
    return [c for c in found if c and c[0] in starts and not {*c} & {*LONG}]


def blocks(page: str) -> Iterator[str]:
    yield from re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work(command: Command, page: str) -> None:
    listed = commands(page)
    assert any(c[0] == "check" for c in listed)
    for arguments in listed:
        result = command(*arguments)
        assert result.code == 0, (arguments, result.err)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_works(command: Command, page: str) -> None:
    for name in ("problem.toml", "mine.toml"):
        assert command("init", name).code == 0
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    known: dict[str, Any] = {
        "model": model, "optimizer": torch.optim.Adam(model.parameters(), lr=0.01), "criterion": nn.CrossEntropyLoss(),
        "x_train": torch.randn(6, 3, dtype=torch.float64), "y_train": torch.tensor([0, 1, 0, 1, 1, 0]),
        "x_query": torch.randn(2, 3, dtype=torch.float64),
        "batches": [torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])] * 2,
    }  # fmt: skip
    listed = list(blocks(page))
    assert listed
    for block in listed:
        exec(compile(block, page, "exec"), known)  # noqa: S102 - our own pages
    if "d" in known and hasattr(known["d"], "relative_residual"):
        assert known["d"].relative_residual < 1e-11


def test_the_page_of_claims_has_them_all(tmp_path: Path) -> None:
    page = tmp_path / "claims.md"
    runpy.run_path(str(ROOT / "docs" / "claims_page.py"))["write_claims"](page)
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]

    assert {row.split("**")[1] for row in rows if "**" in row} == set(CLAIMS)
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows[-len(HYPOTHESES) :]} == set(HYPOTHESES)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows if "**" in row)
