"""The bare page that a report is written on: styles, and pieces of HTML with every foreign word escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

import cv2
import numpy as np

NONE = "–"


def escape(text: object) -> str:
    """Foreign words as HTML shows them."""
    return html.escape(str(text), quote=True)


def page(title: str, body: Iterable[str]) -> str:
    """A whole page that loads nothing and runs nothing, wherever it is opened."""
    style = files("lvtune.viz").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, words: str, *parts: str) -> str:
    """A card with a heading; empty where it has nothing to show."""
    inside = "\n".join(part for part in parts if part)
    lead = f"<p>{words}</p>" if words else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{lead}\n{inside}\n</section>" if inside else ""


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table; the rows are `row` and `group`."""
    cells = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    body = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def row(cells: Iterable[str]) -> str:
    """A row of cells made by `cell`."""
    return f"<tr>{''.join(cells)}</tr>"


def group(words: str, columns: int) -> str:
    """A row that heads the rows after it."""
    return f'<tr class="group"><td colspan="{columns}">{escape(words)}</td></tr>'


def cell(inside: str, kind: str = "") -> str:
    """A cell; ``inside`` is HTML."""
    return f'<td class="{kind}">{inside}</td>' if kind else f"<td>{inside}</td>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values; the values are HTML."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    return f"<dl>{inside}</dl>" if inside else ""


def number(value: float | None, digits: int = 1) -> str:
    """A number, or a dash where there is none."""
    return NONE if not _is_number(value) else f"{value:,.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{number(100 * share, digits)} %" if _is_number(share) else NONE


def change(before: float | None, after: float | None, less_is_better: bool = False) -> str:
    """The signed difference, green where it grew and red where it fell; the other way round for errors."""
    if not (_is_number(before) and _is_number(after)):
        return NONE
    difference = round(after - before, 1)
    better = -difference if less_is_better else difference
    kind = "up" if better > 0 else "down" if better < 0 else "dim"
    return f'<span class="{kind}">{"+" if difference > 0 else ""}{number(difference + 0.0)}</span>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def picture(image: np.ndarray, words: str) -> str:
    """An RGB uint8 picture (H, W, 3) inside the page itself."""
    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    text = base64.b64encode(data.tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{text}" alt="{escape(words)}">'
