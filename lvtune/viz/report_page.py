"""``report.html``: what one adaptation did, on a page that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lvtune.core.files import write_text
from lvtune.evaluation.metrics import imitation, main_of, meaning_of, without_nulls
from lvtune.viz.curves import Level, Series, line_chart, smooth
from lvtune.viz.earlier_table import earlier_table
from lvtune.viz.keep_curve import keep_curve
from lvtune.viz.page import Cell, Picture, RowGroup, Table, change, is_number, number, percent, picture, render_page
from lvtune.viz.report_scores import gain_of, gap_figure, keypoints_of, score_table, shared_table
from lvtune.viz.score_words import Report, is_less_better, name_of, score, title_of, unit_of

Pictures = Sequence[tuple[str, np.ndarray, np.ndarray]]
Figures = Sequence[tuple[str, np.ndarray]]
Fact = tuple[str, str, str]
"""Name, value, and how it is shown: ``code``, ``up``, ``down``, or plain."""


def write_report(
    report: Report,
    path: Path | str,
    pictures: Pictures = (),
    figures: Figures = (),
    looked: Pictures = (),
    *,
    worst: Pictures = (),
) -> Path:
    """Writes the page atomically.

    Args:
        report: ``report.json``. Parts that it lacks, or that are None, are left out or shown with a reason.
            ``decisions`` is a list of tables ``what``, ``value`` and ``why``; ``notes`` a list of sentences.
        path: of the page.
        pictures: (caption, RGB uint8 before, RGB uint8 after), skeletons drawn.
        figures: (caption, RGB uint8) of what the objective read.
        looked: like ``pictures``, of the user's own pictures without labels.
        worst: (caption, RGB uint8 with the labels, RGB uint8 with the prediction) of the largest errors.

    Raises:
        LvtuneError: the file cannot be written.
    """
    return write_text(path, render(report, pictures, figures, looked, worst=worst))


def render(
    report: Report,
    pictures: Pictures = (),
    figures: Figures = (),
    looked: Pictures = (),
    *,
    worst: Pictures = (),
) -> str:
    """Returns the page as text; see :func:`write_report`."""
    main, scores, warning = main_of(report), score_table(report), imitation(report)
    kept = "Kept: source score with the adapter on, or taken off again, divided by the score of the base alone."
    return render_page(
        "report.html.j2",
        title=_title(report),
        names=" · ".join(f"{w}: {report[f'{w}_name']}" for w in ("target", "source") if report.get(f"{w}_name")),
        warning=warning,
        tiles=_tiles(report),
        gain=gain_of(report),
        gap=gap_figure(report),
        gap_text=f"{title_of(main, report)} on the test split.",
        scores=scores.table,
        scores_text=" ".join(["On the test split.", meaning_of(report), kept]),
        missing=scores.missing,
        shared=shared_table(report),
        earlier=earlier_table(report.get("after")),
        decisions=_decisions(report.get("decisions") or []),
        notes=[str(note) for note in report.get("notes") or []],
        pictures=_pairs(pictures),
        pictures_text=_pictures_text(main, warning),
        looked=_pairs(looked),
        worst=_pairs(worst, ("labels", "prediction")),
        figures=[(caption, picture(image, caption)) for caption, image in figures],
        kept=keep_curve(report.get("keep")),
        charts=_charts(report),
        charts_text=_charts_text(report),
        progress=report.get("progress") or "",
        keypoints=keypoints_of(report),
        adapter=_adapter(report),
        base=_base(report),
        recipe=_recipe(report.get("recipe") or {}),
    )


def _title(report: Report) -> str:
    recipe, base = report.get("recipe") or {}, report.get("base") or {}
    method = (report.get("adapter") or {}).get("method") or recipe.get("method")
    title = f"{method or 'adapter'} on {base.get('name') or recipe.get('base') or 'a base'}"
    return title + (f" for {recipe['domain']}" if recipe.get("domain") else "")


def _tiles(report: Report) -> list[dict[str, str]]:
    kept, adapter, main = report.get("retention") or {}, report.get("adapter") or {}, main_of(report)
    name = name_of(main, report)
    tiles = [*_gained(report)]
    if is_number(report.get("gap_closed")):
        tiles.append(("Gap closed", percent(report["gap_closed"]), f"between target and source {name}"))
    if is_number(kept.get("on")):
        tiles.append(("Kept, adapter on", percent(kept["on"]), f"of the source {name}"))
    if is_number(kept.get("off")):
        identical = ", bit-identical" if report.get("source_off_identical") else ""
        tiles.append(("Kept, adapter off", percent(kept["off"]), f"of the source {name}{identical}"))
    if is_number(adapter.get("parameters")):
        share = adapter.get("share_of_base")
        words = f"parameters, {percent(share)} of the base" if is_number(share) else "parameters"
        tiles.append(("Adapter", number(adapter["parameters"], 0), words))
    return [dict(zip(("name", "value", "text"), tile, strict=True)) for tile in tiles]


def _gained(report: Report) -> list[tuple[str, str, str]]:
    main = main_of(report)
    before, after = (score(report, "target", when, main) for when in ("before", "after_on"))
    if after is None:
        return []
    name, unit = name_of(main, report), unit_of(main)
    if before is None:
        why = (report.get("reasons") or {}).get("target.before") or "the base alone was not scored"
        return [(f"Target {name}", f"{number(after)} {unit}", f"no score before: {why}")]
    title = "Change of the error" if is_less_better(main) else "Points gained"
    return [(title, change(before, after).text, f"target {name}, {number(before)} → {number(after)} {unit}")]


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> Table | None:
    """Builds the table of what was decided for the user, and why."""
    rows = [[Cell(_plain(one.get(key))) for key in ("what", "value", "why")] for one in decisions]
    return Table(["what", "value", "why"], [RowGroup("", rows)], "words") if rows else None


def _plain(value: Any) -> str:
    if value is None:
        return "not given"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pictures_text(main: str, warning: tuple[str, str] | None) -> str:
    colours = "Left side orange, right side blue, middle green."
    if main == "auc@50":
        colours = "Each finger has its colour. Beside it the hand in space, in mm; grey is the label."
    chosen = (
        "Test pictures with the predicted key points. They were sorted by how far the key points moved; we show some "
        "from the most to the least moved, better or worse."
    )
    return " ".join([chosen, colours, f"The pictures are {warning[0].lower()}." if warning else ""]).strip()


def _pairs(
    pictures: Pictures, titles: tuple[str, str] = ("base alone", "adapter on")
) -> list[tuple[str, list[Picture]]]:
    return [
        (caption, [picture(image, f"{caption}, {words}", words) for image, words in pair])
        for caption, before, after in pictures
        for pair in [((before, titles[0]), (after, titles[1]))]
    ]


def _charts(report: Report) -> list[Markup]:
    curves, main = report.get("curves") or {}, main_of(report)
    loss = curves.get("loss") or []
    steps = curves.get("steps") or list(range(1, len(loss) + 1))
    lines = [Series(steps, loss, "faint"), Series(steps, smooth(loss, max(1, len(loss) // 40)))]
    empty = curves.get("empty_loss")
    floor = [] if empty is None else [Level(empty, "an empty answer")]
    charts = [line_chart("Loss", lines, y_label="loss", levels=floor)]
    active = [100 * share for share in curves.get("active_negatives") or []]
    lines = [Series(steps, active, "faint"), Series(steps, smooth(active, max(1, len(active) // 40)))]
    charts.append(line_chart("Active negatives", lines, y_label="% of the batch"))
    val = curves.get("val") or []
    val_steps = curves.get("val_steps") or list(range(1, len(val) + 1))
    before = score(report, "target", "before", main)
    levels = [] if before is None else [Level(before, "test score, base alone")]
    title = f"Validation {name_of(main)}"
    charts.append(line_chart(title, [Series(val_steps, val, "dots")], y_label=title_of(main), levels=levels))
    watched = Series(curves.get("px_steps") or [], curves.get("px_mean") or [], "dots")
    charts.append(line_chart("Mean error on held-out frames", [watched], y_label="pixels"))
    return [chart for chart in charts if chart]


def _charts_text(report: Report) -> str:
    objective = (report.get("recipe") or {}).get("objective")
    loss = f"The loss is that of the objective {objective}" if objective else "The loss is that of the objective"
    found = f"{loss}; it has no unit. Faint: each step. Bold: running mean."
    active = report.get("active_negatives")
    return f"{found} {active_text(active)}" if active else found


def active_text(active: Mapping[str, float]) -> str:
    """Says how many negatives a contrast moved (``mean``, ``first``, ``last``)."""
    first, last = (percent(active[part]) for part in ("first", "last"))
    return f"The contrast moved {percent(active['mean'])} of its negatives (at first {first}, at last {last})."


def _adapter(report: Report) -> list[Fact]:
    adapter, seconds = report.get("adapter") or {}, report.get("seconds") or {}
    facts: list[Fact] = []
    if adapter.get("method"):
        facts.append(("method", adapter["method"], ""))
    if is_number(adapter.get("parameters")):
        share = adapter.get("share_of_base")
        words = f" ({percent(share)} of the base)" if is_number(share) else ""
        facts.append(("trained parameters", number(adapter["parameters"], 0) + words, ""))
    if is_number(adapter.get("bytes")):
        facts.append(("adapter file", f"{number(adapter['bytes'] / 1e6, 2)} MB", ""))
    known = {name: value for name, value in seconds.items() if is_number(value)}
    if known:
        parts = ", ".join(f"{name} {number(value)} s" for name, value in known.items())
        facts.append(("time", f"{parts}; together {number(sum(known.values()))} s", ""))
    for key, words in (("peak_memory_mb", "peak memory"), ("peak_device_memory_mb", "peak memory of the GPU")):
        if is_number(report.get(key)):
            facts.append((words, f"{number(report[key], 0)} MB", ""))
    return facts


def _base(report: Report) -> list[Fact]:
    base = report.get("base") or {}
    versions = {name: value for name, value in (report.get("versions") or {}).items() if value is not None}
    before, after = base.get("fingerprint_before"), base.get("fingerprint_after")
    facts: list[Fact] = [("name", base["name"], "")] if base.get("name") else []
    facts += [(f"fingerprint {when}", value, "code") for when, value in (("before", before), ("after", after)) if value]
    if before and after:
        same = before == after
        words = "✓ identical, bit for bit" if same else "✗ the base has changed"
        facts.append(("verdict", words, "up" if same else "down"))
    identical = report.get("source_off_identical")
    if identical is not None:
        words = "bit-identical to those before" if identical else "NOT those of before"
        facts.append(("source predictions, adapter off", words, ""))
    if report.get("seed") is not None:
        facts.append(("seed", str(report["seed"]), ""))
    if versions:
        facts.append(("versions", ", ".join(f"{name} {value}" for name, value in versions.items()), ""))
    return facts


def _recipe(recipe: Mapping[str, Any]) -> str:
    if not recipe:
        return ""
    import yaml

    return yaml.safe_dump(without_nulls(recipe), sort_keys=False, allow_unicode=True, width=100)
