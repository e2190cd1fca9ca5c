"""Turns figures of matplotlib into SVG for a page: the same bytes each time, readable on light and on dark.

Lines and markers keep their colours. Text, grid and background take the colours of the page around them, so that one
figure serves both colour schemes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, DIM, GRID, CARD = "#1b1c1d", "#5d5e5f", "#dadbdc", "#fdfefd"
"""Colours of text, ticks, grid lines and background. In a page each is replaced by the page's own."""
_VARIABLES = {INK: "--ink", DIM: "--dim", GRID: "--line", CARD: "--card"}
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_CLASS = "lv-"
"""Beginning of the group ids (``set_gid``) that become CSS classes."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelcolor": DIM,
    "axes.edgecolor": DIM,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "xtick.color": DIM,
    "ytick.color": DIM,
}


@contextmanager
def page_style() -> Iterator[None]:
    """Sets matplotlib's options for figures of a page; foreign words with a ``$`` stay as they are."""
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        # the browser has the letters that matplotlib's font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of ``width`` x ``height`` inches and its axes; call it within :func:`page_style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def inline_svg(figure: Figure, label: str) -> Markup:
    """Returns a figure as an ``<svg>`` element for a page; call it within :func:`page_style`.

    Args:
        figure: drawn with the colours of this module, and of :mod:`lvtune.viz.colours` for data.
        label: says what the figure shows, for screen readers; different for each figure of a page.
    """
    from matplotlib import rc_context

    data = io.StringIO()
    without = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.hashsalt": label}):
        figure.savefig(data, format="svg", transparent=True, metadata=without)
    root = ElementTree.fromstring(data.getvalue())
    _clean(root)
    root.attrib |= {"class": "figure", "role": "img", "aria-label": label}
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    # matplotlib and ElementTree have escaped every text of the figure
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(root: ElementTree.Element) -> None:
    """Makes a figure fit into a page: no namespaces, no style sheet, no unused ids, and the page's own colours."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', ElementTree.tostring(root, encoding="unicode")))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}style", f"{_SVG}metadata"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        for name in [name for name in element.attrib if name.startswith("{")]:
            element.attrib[name.removeprefix(_XLINK)] = element.attrib.pop(name)
        for colour, variable in _VARIABLES.items():
            if colour in element.attrib.get("style", ""):
                element.attrib["style"] = element.attrib["style"].replace(colour, f"var({variable})")
        own = element.attrib.get("id")
        if own is not None and own not in used:
            del element.attrib["id"]
            if own.startswith(_CLASS):
                element.attrib["class"] = own.removeprefix(_CLASS)
