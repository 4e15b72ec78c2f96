"""How every figure looks: its colours in light and in dark, its text, and its bytes.

A figure is drawn in the light colours, on no background. The SVG carries a style sheet that puts the dark colours in
their place where the reader prefers them; a program that knows no such rules shows the light ones. Colours are those
of Okabe and Ito, darkened for white paper and lightened for dark screens, so that they are told apart with every kind
of colour vision; what they say is said by dashes, markers or words as well.

This is the only file that imports matplotlib, and only when a figure is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from html import escape
from io import BytesIO
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Light -> dark. No two light colours are equal, so that each is found again in the SVG.
INK, MUTED, FAINT, PAPER = "#1b1f24", "#59636e", "#cfd6dd", "#fffffe"
BLUE, ORANGE, GREEN, PURPLE = "#0069a8", "#c04a00", "#00785a", "#8b4a9f"
DARK = {
    INK: "#e8edf2",
    MUTED: "#a3aeb9",
    FAINT: "#3d4650",
    PAPER: "#15191e",
    BLUE: "#5cb8f0",
    ORANGE: "#ff9a5a",
    GREEN: "#3fd0a2",
    PURPLE: "#d9a0ea",
}
POSITIVE, NEGATIVE = BLUE, ORANGE
SERIES = ((BLUE, "-", "o"), (ORANGE, (0, (5, 2)), "s"), (GREEN, (0, (1, 1.2)), "^"), (PURPLE, (0, (6, 2, 1, 2)), "D"))

WIDTH = 6.0  # inches: a column of text
SMALL, MIDDLE = 8.5, 9.5  # points

_DOTS = 200  # an inch

_SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": MIDDLE,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": MIDDLE,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib, so it is the same everywhere
    "font.size": MIDDLE,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "mathtext.fontset": "dejavusans",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "pkverify",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": SMALL,
}


@contextmanager
def drawing() -> Generator[None]:
    """Draw and save inside: matplotlib's own defaults and ours, whatever the user's settings are."""
    import matplotlib as mpl  # noqa: PLC0415 - most runs draw nothing

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure that belongs to nobody: no window, no global list of figures.

    Args:
        height: In inches.
        width: In inches.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - most runs draw nothing

    return Figure(figsize=(width, height), layout="constrained")


def canvas(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure for a diagram: one pair of axes, not drawn, with inches as units and the origin at the lower left."""
    figure = new_figure(height, width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def number(value: float, digits: int = 4) -> str:
    """A number for a reader, with so many significant digits and a minus sign of the right length.

    Example:
        >>> number(-1.23456), number(0.0), number(5.3666e-39, 2), number(1234567.0)
        ('\u22121.235', '0', '5.4e\u221239', '1.235e+06')
    """
    return minus(f"{value:.{digits}g}" if isfinite(value) else str(value))


def minus(text: str) -> str:
    """A number in text with a minus sign in place of each hyphen."""
    return text.replace("-", "\u2212")


def svg_bytes(figure: Figure, description: str) -> bytes:
    """A figure as SVG: text as shapes, both colour schemes, nothing loaded from outside, the same bytes each time.

    Args:
        figure: The figure, drawn inside ``drawing``.
        description: What it shows, in words, for readers who do not see it.

    Returns:
        An ``svg`` element in UTF-8. Its ids begin with a digest of the figure, so that several fit into one page.
    """
    buffer = BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with drawing():
        figure.savefig(buffer, format="svg", metadata=nothing)  # type: ignore[arg-type] - None leaves an entry out
    return _finished(buffer.getvalue().decode(), description).encode()


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG in the light colours on white, for what cannot read SVG: the same bytes for the same libraries.

    Args:
        figure: The figure, drawn inside ``drawing``.
    """
    buffer = BytesIO()
    with drawing():
        figure.savefig(buffer, format="png", dpi=_DOTS, facecolor="#ffffff", metadata={"Software": None})  # type: ignore[arg-type] - as above
    return buffer.getvalue()


# From what matplotlib writes to what a page holds: half of the bytes, and no difference to be seen.

_GLYPH = re.compile(r'<path id="([^"]+)" d="([^"]*)" transform="scale\(0\.015625\)"/>')
_USELESS = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<g[^>]*/>", re.DOTALL)


def _finished(text: str, description: str) -> str:
    text = _USELESS.sub("", text[text.index("<svg ") :])
    text = _GLYPH.sub(lambda m: f'<path id="{m[1]}" d="{_path(m[2], 1 / 32, 0)}" transform="scale(.5)"/>', text)
    # A marker has its colours where it is used, too, and only there do other colours reach it.
    text = re.sub(r'(<path id="[^"]+" d="[^"]*") style="[^"]*"/>', r"\1/>", text)
    text = re.sub(r' d="([^"]*)"', lambda m: f' d="{_path(m[1], 1.0, 1)}"', text)
    text = re.sub(r"(?<![#\w])-?\d+\.\d{3,}", lambda m: _rounded(float(m.group()), 2), text)
    text = re.sub(r'(<use [^>]*)transform="translate\((\S+) (\S+)\)"/>', r'\1x="\2" y="\3"/>', text)
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text, digest = _with_short_ids(re.sub(r"\s*\n\s*", "\n", text))
    head, rest = text.split(">", 1)
    return f'{head} id="{digest}" role="img" aria-label="{escape(description)}">\n{_style_sheet(rest, digest)}{rest}'


def _path(commands: str, scale: float, decimals: int) -> str:
    """The commands of a path without the blanks between them, their numbers scaled and rounded."""
    commands = re.sub(r"-?[\d.]+(?:e-?\d+)?", lambda m: _rounded(scale * float(m.group()), decimals), commands)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", commands.strip())


def _rounded(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _style_sheet(text: str, digest: str) -> str:
    """The dark colours, for those properties and colours that occur; inline styles need the emphasis to give way."""
    rules = [
        f'#{digest} [style*="{name}: {light}"]{{{name}:{dark}!important}}'
        for light, dark in DARK.items()
        for name in ("fill", "stroke")
        if f"{name}: {light}" in text
    ]
    always = f"#{digest} *{{stroke-linejoin:round;stroke-linecap:butt}}"
    return f"<style>{always}@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"


def _with_short_ids(text: str) -> tuple[str, str]:
    """Ids that something refers to, renamed with a digest of the figure; all others go. Also that digest."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    digest = f"f{sha256(text.encode()).hexdigest()[:6]}"
    names = {name: f"{digest}-{place}" for place, name in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", text)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda m: m[1] + names[m[2]], text), digest
