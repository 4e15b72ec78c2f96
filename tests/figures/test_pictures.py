"""The drawings: that they say what the data says, the same each time, for every reader and in every page."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

import pytest

from pkverify.errors import InputError
from pkverify.evidence import ProblemRun, Run
from pkverify.figures import FIGURES, Picture, picture, plot, report_figures
from pkverify.figures.images import ImageContribution, ImageContributions
from pkverify.figures.orders import WidthDrift
from pkverify.figures.style import DARK, drawing, new_figure, svg_bytes
from tests.figures.cases import HAND, case_run, large

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

WIDTH = WidthDrift((16, 64, 256), (0.2, 0.1, 0.05), 9)
NAMES = ("bent", "mlp-product-unbalanced", "xent-softmax", "xent-oring")


@pytest.fixture(scope="module")
def pictures() -> dict[tuple[str, str], Picture]:
    found = {(name, each.name): each for name in NAMES for each in report_figures(case_run(name))}
    return found | {("", "width"): picture(WIDTH)}


def test_every_kind_of_figure_is_drawn(pictures: dict[tuple[str, str], Picture]) -> None:
    assert {kind for _, kind in pictures} == set(FIGURES)


def test_every_picture_is_whole(pictures: dict[tuple[str, str], Picture]) -> None:
    for (_, kind), each in pictures.items():
        root = ET.fromstring(each.svg)  # noqa: S314 - our own
        text = each.svg.decode()
        assert root.tag.endswith("svg")
        assert (root.get("role"), root.get("aria-label")) == ("img", each.alt)
        assert each.name == kind
        assert min(len(each.caption), len(each.alt)) > 40
        assert "nan" not in text.replace(each.alt, "")
        assert len(each.svg) < 60_000


def test_nothing_is_loaded_from_outside_and_no_text_needs_a_font(pictures: dict[tuple[str, str], Picture]) -> None:
    for each in pictures.values():
        text = each.svg.decode()
        references = re.findall(r'(?:href="|url\()([^")]*)', text)
        assert all(reference.startswith("#") for reference in references)
        assert "<text" not in text
        assert re.findall(r'https?://[^" ]*', text) == ["http://www.w3.org/2000/svg"]


def test_ids_are_unique_in_a_page_of_all_pictures(pictures: dict[tuple[str, str], Picture]) -> None:
    page = "".join(each.svg.decode() for each in pictures.values())
    ids = re.findall(r' id="([^"]*)"', page)

    assert len(ids) == len(set(ids)) > len(pictures)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', page)) <= set(ids)


def test_every_colour_has_a_dark_one(pictures: dict[tuple[str, str], Picture]) -> None:
    assert len({*DARK, *DARK.values()}) == 2 * len(DARK)
    for each in pictures.values():
        style, drawn = re.fullmatch(rb".*<style>(.*)</style>(.*)", each.svg, re.DOTALL).groups()  # type: ignore[union-attr]
        used = set(re.findall(rb"(fill|stroke): (#[0-9a-f]{6})", drawn))
        assert {colour.decode() for _, colour in used} <= set(DARK)
        for name, colour in used:
            assert b'[style*="' + name + b": " + colour + b'"]{' in style


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("light", [colour for colour in DARK if colour not in {"#cfd6dd", "#fffffe"}])
def test_colours_can_be_read_on_their_paper(light: str) -> None:
    for colour, paper in ((light, "#ffffff"), (DARK[light], DARK["#fffffe"])):
        high, low = sorted((luminance(colour), luminance(paper)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_bytes_are_the_same_each_time_and_in_a_new_process(pictures: dict[tuple[str, str], Picture]) -> None:
    assert report_figures(case_run("bent")) == tuple(each for (name, _), each in pictures.items() if name == "bent")
    code = (
        "import sys; from tests.figures.test_pictures import WIDTH; from pkverify.figures import picture;"
        "sys.stdout.buffer.write(picture(WIDTH).svg)"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert again.stdout == pictures["", "width"].svg


def test_a_picture_for_latex_is_drawn_only_if_asked_for(pictures: dict[tuple[str, str], Picture]) -> None:
    both = picture(WIDTH, png=True)

    assert both._replace(png=b"") == pictures["", "width"]
    assert both.png.startswith(b"\x89PNG")
    assert both.png == picture(WIDTH, png=True).png
    assert {bool(each.png) for each in report_figures(case_run("bent"), png=True)} == {True}


def test_settings_of_the_user_change_nothing(pictures: dict[tuple[str, str], Picture]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only some tests need it

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert picture(WIDTH) == pictures["", "width"]
        assert mpl.rcParams["font.size"] == 30


def test_a_description_is_text_whatever_it_says() -> None:
    with drawing():
        figure = new_figure(1)

    svg = svg_bytes(figure, '"><script>alert(1)</script> & \u202e')

    assert ET.fromstring(svg).get("aria-label") == '"><script>alert(1)</script> & \u202e'  # noqa: S314 - our own


def test_what_no_figure_can_show_is_left_out() -> None:
    run = replace(case_run("bent"), series={**case_run("bent").series, "weight_kernel": (("1e999",),) * 161})

    names = [each.name for each in report_figures(run)]

    assert "weights" not in names
    assert "waterfall" in names


# Drawings that say what the data says.


def test_the_bars_of_a_waterfall_are_its_steps() -> None:
    axes = plot(HAND).axes[0]
    bars = cast("list[Rectangle]", axes.patches)

    assert [list(bar.get_bbox().intervalx) for bar in bars] == [[0.5, 0], [0, 2], [2, 0.5], [0.5, 1.25]]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["initial output b", "regularizer", "example 1", "example 2", "example 3", "final output $y_T$"]


@pytest.mark.parametrize("count", [1, 5, 6, 7, 60])
def test_no_two_texts_of_a_kernel_machine_overlap(count: int) -> None:
    figure = plot(large(count), "kernel-machine")
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]

    whole = figure.bbox
    assert all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1 for b in boxes)
    assert not [(a, b) for k, a in enumerate(boxes) for b in boxes[k + 1 :] if a.overlaps(b)]


def test_the_curve_of_a_weight_is_drawn_in_two_parts() -> None:
    axes = plot(case_run("bent"), "weights").axes[0]

    curve = next(line for line in axes.lines if len(line.get_xdata()) > 100)  # type: ignore[arg-type]
    assert axes.get_xlabel() == "input $x$"
    assert sum(value != value for value in curve.get_ydata()) == 1  # type: ignore[union-attr] # noqa: PLR0124


def test_a_plane_has_one_scale_in_both_directions() -> None:
    axes = plot(case_run("mlp-product-unbalanced"), "path").axes[0]

    assert axes.get_aspect() == 1
    width, height = (high - low for low, high in (axes.get_xlim(), axes.get_ylim()))
    assert width == pytest.approx(height)


def test_images_are_cells_of_their_pixels_framed_by_what_they_did() -> None:
    up = ImageContribution("a 4", 1.5, ((0.0, 1.0), (0.5, 0.0)))
    shown = ImageContributions(((1.0, 0.0), (0.0, 0.0)), "logit of 4", (up, replace(up, contribution=-0.25)), 9)

    with drawing():
        query, first, second, *empty = shown.draw().axes

    assert [axes.get_title("center") for axes in (query, first, second)] == ["query", "a 4\n+1.5", "a 4\n\u22120.25"]
    boxes = [path.get_extents() for shades in first.collections for path in shades.get_paths()]
    assert {(box.x0, box.y0, box.x1, box.y1) for box in boxes} == {
        (1.5, 0.5, 2.5, 1.5),
        (0.5, 1.5, 1.5, 2.5),
    }  # the pixels that are not blank: upper right, lower left
    assert [shades.get_alpha() for shades in first.collections] == [0.45, 0.9]
    assert not any(axes.axison for axes in empty)
    assert "2 of 9" in shown.caption
    assert "a 4 1.5, a 4 \u22120.25" in shown.alt
    assert picture(shown).svg == picture(shown).svg


# From Python.


def test_one_figure_of_a_run_or_of_its_problem() -> None:
    run = case_run("bent")

    assert plot(Run((run,)), "weights").axes[0].get_ylabel() == plot(run, "weights").axes[0].get_ylabel()


@pytest.mark.parametrize(
    ("record", "name", "what"),
    [
        (HAND, "weights", "figure 'weights' is not known"),
        (HAND, "", "figure '' is not known"),
        (ProblemRun("empty", ()), "gramm", "figure 'gramm' is not known"),
        (ProblemRun("empty", ()), "gram", "there is no figure 'gram' of empty"),
        (Run(()), "gram", "a run of 0 problems"),
        (Run((ProblemRun("a", ()), ProblemRun("b", ()))), "gram", "a run of 2 problems"),
    ],
)
def test_a_figure_that_there_is_not(record, name: str, what: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        plot(record, name)

    assert what in str(caught.value)


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys, pkverify.figures as f; assert 'matplotlib' not in sys.modules; f.picture; print('light')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert run.stdout == "light\n"
