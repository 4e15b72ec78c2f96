"""Run the pages of the gallery: their code against the output that they print, and their figures into files.

``python docs/gallery/run.py`` draws the figures; Sphinx calls ``draw_figures`` before it reads the pages, and the tests
call ``execute``. In a page, blocks marked ``pycon`` are one session, and an image ``figures/PAGE-NAME.svg`` is the
figure NAME of the session's ``pictures``.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]]+\]\(figures/([^)]+)\.svg\)")


def pages() -> list[Path]:
    """The pages of the gallery."""
    return sorted(page for page in FOLDER.glob("*.md") if page.stem != "index")


def session(page: Path) -> str:
    """The code of a page with its printed output; lines stand where they stand in the page."""
    text = page.read_text(encoding="utf-8")
    kept = [""] * text.count("\n")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        lines = block[1].splitlines()
        kept[first : first + len(lines)] = lines
    return "\n".join(kept) + "\n"


def execute(page: Path) -> tuple[dict[str, Any], str]:
    """Run a page.

    Returns:
        What its session defines, and what it prints otherwise than the page says (empty: nothing).
    """
    namespace: dict[str, Any] = {}
    test = doctest.DocTestParser().get_doctest(session(page), namespace, page.name, str(page), 0)
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append, clear_globs=False)
    return test.globs, "".join(report)


def images(page: Path) -> list[str]:
    """The figures that a page shows, by file name without its end."""
    return _IMAGE.findall(page.read_text(encoding="utf-8"))


def draw_figures(folder: Path = FOLDER / "figures") -> list[Path]:
    """Run every page and write the figures that it shows.

    Raises:
        RuntimeError: If a page prints something else than it says, or shows a figure that its session has not.
    """
    written: list[Path] = []
    folder.mkdir(exist_ok=True)
    for page in pages():
        namespace, difference = execute(page)
        if difference:
            raise RuntimeError(difference)
        pictures = namespace.get("pictures", {})
        for image in images(page):
            name = image.removeprefix(f"{page.stem}-")
            if name not in pictures:
                raise RuntimeError(f"{page.name} shows {image}, and its session has {', '.join(pictures) or 'none'}")
            path = folder / f"{image}.svg"
            path.write_bytes(pictures[name].svg)
            written.append(path)
    return written


if __name__ == "__main__":
    draw_figures()
