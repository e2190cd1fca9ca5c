"""``results.json``, ``results.md`` and ``results.html`` of a comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_text
from lvtune.evaluation.metrics import imitation, is_less_better, metric_name, unit_of
from lvtune.experiments.score_figures import Point, target_against_source
from lvtune.viz import page
from lvtune.viz.page import cell, escape, group, row

FIGURE = "target-source.png"
_INTERVAL = "Mean and 95 % interval (Student's t) over seeds; of one seed there is no interval. "
_AHEAD = "Ahead: target less that of the first variant at as many pictures, seed by seed."


def write_comparison(values: Mapping[str, Any], out: Path) -> None:
    """Writes the three files and, where source and target were scored, ``target-source.png``.

    Args:
        values: what :func:`lvtune.experiments.comparing.compare` returns.
        out: folder.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    write_text(out / "results.json", json.dumps(values, indent=1))
    points = points_of_summary(values)
    drawn = None
    if len(points) > 1:
        labels = {name: f"{name} {metric_name(values['main'], values, name)}" for name in ("source", "target")}
        title = f"{values['base']} on {values['target_name']}"
        drawn = target_against_source(points, out / FIGURE, size="trained parameters", title=title, **labels)
    write_text(out / "results.md", markdown(values))
    write_text(out / "results.html", html(values, drawn))


def points_of_summary(values: Mapping[str, Any]) -> list[Point]:
    """A point a line (each variant at its best learning rate), and the base alone; by mean over the seeds."""
    lines = [one for one in values["summary"] if one["best"] and one["source"] and one["target"]]
    several = len({one["shots"] for one in lines}) > 1
    points = []
    if lines:
        points.append(Point("base alone", "base alone", lines[0]["source_before"], lines[0]["target_before"], 0))
    for one in lines:
        name = f"{one['label']}, {one['shots']}" if several else one["label"]
        points.append(Point(name, one["label"], one["source"]["mean"], one["target"]["mean"], one["parameters"]))
    return points


COSTS = ("trained", "share of base", "file MB", "peak MB", "GPU MB", "s/step")


def _also(values: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for line in values["summary"] for name in line["also"]))


def told(values: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, str]:
    """Head to cell of a line of the summary: which it is, scores, then what ``COSTS`` names."""
    lr = "own" if line["lr"] is None else f"{line['lr']:g}"
    rivals = [one for one in values["summary"] if (one["label"], one["shots"]) == (line["label"], line["shots"])]
    cells = {
        "variant": line["label"],
        "shots": str(line["shots"]),
        "lr": f"{lr} (best)" if len(rivals) > 1 and line["best"] else lr,
        "seeds": str(len(line["seeds"])),
        "target": _spread(line["target"], 2),
        "ahead": _spread(line["ahead"], 2, sign=True),
        **{name: _spread(line["also"].get(name), 2) for name in _also(values)},
        "source, on": _spread(line["source"], 2),
        "source, off": _spread(line["source_off"], 2, False),
        "kept, on": _spread(line["retention_on"], 1, scale=100),
        "kept, off": _spread(line["retention_off"], 1, False, scale=100),
        "gap closed": _spread(line["gap_closed"], 1, scale=100),
        "trained": f"{line['parameters']:,}",
        "share of base": f"{100 * line['share_of_base']:.2f} %",
        "file MB": f"{line['bytes'] / 1e6:.2f}",
        "peak MB": _spread(line["peak_memory_mb"], 0, False),
        "GPU MB": _spread(line["peak_device_memory_mb"], 0, False),
        "s/step": _spread(line["seconds_per_step"], 3, False),
    }
    has_gpu = any(one["peak_device_memory_mb"] for one in values["summary"])
    return cells if has_gpu else {name: text for name, text in cells.items() if name != "GPU MB"}


def _spread(
    found: Mapping[str, Any] | None, digits: int, interval: bool = True, scale: float = 1, sign: bool = False
) -> str:
    if found is None:
        return page.NONE
    text = f"{scale * found['mean']:{'+' if sign else ''}.{digits}f}"
    return text + (f" ± {scale * found['half']:.{digits}f}" if interval and found["half"] is not None else "")


def markdown(values: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    rows = [told(values, line) for line in values["summary"]]
    parts = [f"# {_title(values)}", _words(values)]
    if rows:
        cells = [[text.replace("|", "\\|") for text in one.values()] for one in rows]
        lines = [list(rows[0]), ["---"] * len(rows[0]), *cells]
        parts.append("\n".join(f"| {' | '.join(one)} |" for one in lines))
    parts += [f"{name} failed: {'; '.join(why.values())}" for name, why in values["failed"].items()]
    return "\n\n".join(parts) + "\n"


def html(values: Mapping[str, Any], drawn: Path | None) -> str:
    """The page."""
    imitated = imitation({"target_name": values.get("target_name")})
    note = f'<p class="note"><b>{escape(imitated[0])}.</b> {escape(imitated[1])}</p>' if imitated else ""
    failed = "".join(f"<li>{escape(n)}: {escape('; '.join(why.values()))}</li>" for n, why in values["failed"].items())
    body = [
        f'<header><p class="eyebrow">lvtune compare</p><h1>{escape(_title(values))}</h1></header>{note}',
        page.section("Scores", escape(_words(values)), _table(values, lambda name: name not in COSTS)),
        page.section("Target against source", "Each variant by its mean, adapter on; up and to the right is better.",
                     _picture(drawn)),
        page.section("Costs", "Memory is that of tuning, of the process and of the GPU where there is one.",
                     _table(values, lambda name: name in ("variant", "lr", *COSTS))),
        page.section("Cells that failed", "", f"<ul>{failed}</ul>" if failed else ""),
        page.section("Every run", "", _runs(values["cells"])),
        page.section("Versions", "", page.facts((name, escape(text)) for name, text in values["versions"].items())),
    ]  # fmt: skip
    return page.page(f"lvtune: {_title(values)}", body)


def _table(values: Mapping[str, Any], is_shown: Callable[[str], bool]) -> str:
    """Some of the columns of `told`; lines of one number of pictures together."""
    rows, head, shots = [], [], None
    for line in values["summary"]:
        cells = {name: text for name, text in told(values, line).items() if is_shown(name) and name != "shots"}
        head = list(cells)
        if line["shots"] != shots:
            shots = line["shots"]
            rows.append(group(f"{shots} annotated pictures", len(head)))
        rows.append(row(cell(escape(text)) for text in cells.values()))
    return page.table(head, rows) if rows else ""


def _title(values: Mapping[str, Any]) -> str:
    return f"{values['base']} on {values['domain']}: {len({one['label'] for one in values['summary']})} variants"


def _words(values: Mapping[str, Any]) -> str:
    if not values["summary"]:
        return "No cell was finished."
    first = values["summary"][0]
    before = [f"{side} {first[f'{side}_before']:.2f}" for side in ("target", "source") if first[f"{side}_before"]]
    also = values["cells"][0]["also"]
    before += [f"{name} {side['before']:.2f}" for name, side in also.items() if side["before"] is not None]
    names = [f"{side}: {values[f'{side}_name']}" for side in ("target", "source") if values[f"{side}_name"]]
    main = values["main"]
    unit = "percent" if unit_of(main) == "%" else f"{unit_of(main)}, less is better"
    alone = f"the base alone: {', '.join(before)}" if before else "the base alone predicts other key points: no score"
    less = " Below 0 is better." if is_less_better(main) else ""
    return f"{'; '.join(names)}. {metric_name(main, values)}, {unit}; {alone}. {_INTERVAL}{_AHEAD}{less}"


def _runs(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = ("label", "shots", "seed", "lr", "steps", "target", "source", "source_off")
    shown = [row([cell(escape(_plain(one[name]))) for name in names]) for one in rows]
    return page.table([name.replace("_", ", ") for name in names], shown)


def _plain(value: Any) -> str:
    return page.NONE if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _picture(drawn: Path | None) -> str:
    if drawn is None:
        return ""
    import cv2

    image = cv2.imdecode(np.fromfile(drawn, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise LvtuneError(f"{drawn}, which cannot be read", "the figure just drawn", "run lvtune compare again")
    return page.picture(image[..., ::-1], "target score over source score")
