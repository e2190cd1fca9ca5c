"""Fills the Jinja2 templates of the pages, and formats numbers, tables and pictures for them.

Jinja2 escapes every text that goes into a template. The only HTML made in Python is the SVG of
:mod:`lvtune.viz.svg_figures`.
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import cv2
import numpy as np

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    kind: str = ""
    """CSS class: ``strong``; ``up`` or ``down`` for better or worse; ``dim``; ``missing``."""


@dataclass(frozen=True)
class RowGroup:
    """Rows of a table under a common heading."""

    title: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    head: Sequence[str]
    groups: Sequence[RowGroup]
    kind: str = ""
    """CSS class: ``words`` for cells of text, which are left-aligned and broken into lines."""


@dataclass(frozen=True)
class Picture:
    """A picture of a page with the texts above and below it."""

    url: str
    """``data:`` URL of the JPEG."""
    text: str
    """Alternative text, for readers who do not see the picture."""
    below: str = ""


def render_page(template: str, **values: Any) -> str:
    """Returns a page that loads nothing and runs nothing, wherever it is opened.

    Args:
        template: file in ``lvtune/viz/templates``.
        values: variables of the template; a variable that is missing is an error of the caller.
    """
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def is_number(value: object) -> TypeGuard[float]:
    """Returns True for a finite int or float; a bool is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float, digits: int = 1) -> str:
    """Returns a number with thousands separators and a proper minus sign."""
    return f"{value:,.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """Returns a share as a percentage: 0.5 gives ``50.0 %``."""
    return f"{number(100 * share, digits)} %"


def signed(difference: float, digits: int = 1) -> str:
    """Returns a difference with its sign; a difference that rounds to zero has none."""
    rounded = round(difference, digits) + 0.0
    return ("+" if rounded > 0 else "") + number(rounded, digits)


def change(before: float | None, after: float | None, less_is_better: bool = False) -> Cell:
    """Returns the signed difference, marked as better or worse; an empty cell if one of the values is missing."""
    if not (is_number(before) and is_number(after)):
        return Cell("")
    difference = round(after - before, 1)
    better = -difference if less_is_better else difference
    return Cell(signed(difference), "up" if better > 0 else "down" if better < 0 else "dim")


def picture(image: np.ndarray, text: str, below: str = "") -> Picture:
    """Returns an RGB uint8 picture (H, W, 3) as a JPEG inside the page."""
    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    encoded = base64.b64encode(data.tobytes()).decode()
    return Picture(f"data:image/jpeg;base64,{encoded}", text, below)
