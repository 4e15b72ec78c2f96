"""How Sphinx builds the documentation: strictly, and without a network."""

from importlib.metadata import version as installed_version
from pathlib import Path
from runpy import run_path

from sphinx.application import Sphinx

project = "pkverify"
author = "The pkverify authors"
copyright = "2026, The pkverify authors"  # noqa: A001 (Sphinx's name for it)
release = version = installed_version("pkverify")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "pkverify"

# Every reference to a name of our own must lead somewhere, except to type variables, which no page describes. Names of
# Python and of other libraries are left as they are: to follow them takes their inventories, and those take a network.
nitpicky = True
# Other people's names, type variables, and records that are described where they are returned.
nitpick_ignore_regex = [
    ("py:.*", r"(?!pkverify).*|.*\.T"),
    ("py:class", r"pkverify\.(network|precise|certified)\..*"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of a record are described once, with the record


def setup(app: Sphinx) -> None:
    """Draw the figures of the gallery, and write the page of claims, before the pages are read."""
    here = Path(__file__).parent
    app.connect("builder-inited", lambda _: run_path(str(here / "gallery" / "run.py"))["draw_figures"]())
    app.connect("builder-inited", lambda _: run_path(str(here / "claims_page.py"))["write_claims"]())
