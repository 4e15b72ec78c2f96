"""The gallery's pages: what they print is what comes out, and what they show is drawn."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "gallery"


def load() -> ModuleType:
    specification = importlib.util.spec_from_file_location("gallery_run", FOLDER / "run.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


GALLERY = load()
PAGES: list[Path] = GALLERY.pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_says_and_has_the_figures_that_it_shows(page: Path) -> None:
    namespace, difference = GALLERY.execute(page)

    assert difference == ""
    shown = {image.removeprefix(f"{page.stem}-") for image in GALLERY.images(page)}
    assert shown
    assert shown <= set(namespace["pictures"])


def test_a_page_that_says_something_else_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text(
        "# A page\n\n```pycon\n>>> x = 1\n\n```\n\nwords\n\n```pycon\n>>> x + 1\n3\n\n```\n", encoding="utf-8"
    )

    _, difference = GALLERY.execute(page)

    assert 'wrong.md", line 11' in difference
    assert "Got:\n    2" in difference


def test_every_page_is_in_the_index_and_every_block_ends_with_an_empty_line() -> None:
    index = (FOLDER / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"\n{page.stem}\n" in index
        assert GALLERY.session(page).count(">>>") == page.read_text(encoding="utf-8").count(">>>") > 3
        assert "```\n" not in GALLERY.session(page)
