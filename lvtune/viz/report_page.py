"""``report.html``: what an adaptation did, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import write_text
from lvtune.evaluation.metrics import LESS_IS_BETTER, MEANING, METRICS, PER_JOINT, imitation, main_of, without_nulls
from lvtune.viz import page
from lvtune.viz.curves import Level, Series, gap_bar, line_chart, pair_of_bars, smooth
from lvtune.viz.page import cell, change, escape, number, percent, row

Pictures = Sequence[tuple[str, np.ndarray, np.ndarray]]
Figures = Sequence[tuple[str, np.ndarray]]


def write_report(
    report: Mapping[str, Any],
    path: Path | str,
    pictures: Pictures = (),
    figures: Figures = (),
    looked: Pictures = (),
) -> Path:
    """Writes the page in one step.

    Args:
        report: ``report.json``, with ``curves`` (``steps``, ``loss``, ``val_steps``, ``val``); what it lacks
            or holds as None is left out or shown as a dash.
        path: of the page.
        pictures: (caption, RGB uint8 before, RGB uint8 after), skeletons drawn.
        figures: (caption, RGB uint8) of what the objective read.
        looked: as ``pictures``, of such as nobody annotated.

    Raises:
        LvtuneError: the place cannot be written.
    """
    return write_text(path, render(report, pictures, figures, looked))


def render(report: Mapping[str, Any], pictures: Pictures = (), figures: Figures = (), looked: Pictures = ()) -> str:
    """The page as text; see `write_report`."""
    recipe = report.get("recipe") or {}
    method, base = (
        (report.get("adapter") or {}).get("method") or recipe.get("method"),
        report.get("base") or {},
    )
    title = f"{method or 'adapter'} on {base.get('name') or recipe.get('base') or 'a base'}"
    title += f" for {recipe['domain']}" if recipe.get("domain") else ""
    body = [
        _head(report, title),
        _tiles(report),
        _gap(report),
        _scores(report),
        _pictures(report, pictures),
        _looked(looked),
        _figures(figures),
        _decisions(report.get("decisions") or []),
        _curves(report),
        _joints(report),
        _adapter(report),
        _base(report),
        _recipe(recipe),
        _notes(report.get("notes") or []),
    ]
    return page.page(f"lvtune: {title}", body)


def _score(report: Mapping[str, Any], where: str, when: str, metric: str | None = None) -> float | None:
    return ((report.get(where) or {}).get(when) or {}).get(metric or main_of(report))


def _head(report: Mapping[str, Any], title: str) -> str:
    names = [
        f"{where}: {escape(report[f'{where}_name'])}" for where in ("target", "source") if report.get(f"{where}_name")
    ]
    imitated = imitation(report)
    note = f'<p class="note"><b>{imitated[0]}.</b> {escape(imitated[1])}</p>' if imitated else ""
    return (
        f'<header><p class="eyebrow">lvtune report</p><h1>{escape(title)}</h1><p>{" · ".join(names)}</p></header>{note}'
    )


def _tiles(report: Mapping[str, Any]) -> str:
    before, after = _score(report, "target", "before"), _score(report, "target", "after_on")
    kept, adapter = report.get("retention") or {}, report.get("adapter") or {}
    gap, name = report.get("gap_closed"), METRICS[main_of(report)]
    identical = " · bit-identical" if report.get("source_off_identical") else ""
    tiles = [
        ("Points gained", change(before, after), f"target {name}, {number(before)} → {number(after)} %"),
        ("Gap closed", percent(gap), f"between target and source {name}") if gap is not None else None,
        ("Kept, adapter on", percent(kept.get("on")), f"of source {name}") if kept.get("on") is not None else None,
        ("Kept, adapter off", percent(kept.get("off")), f"of source {name}{identical}")
        if kept.get("off") is not None
        else None,
        (
            "Adapter",
            number(adapter.get("parameters"), 0),
            f"parameters, {percent(adapter.get('share_of_base'))} of the base",
        ),
    ]
    shown = [
        f'<div class="tile"><span class="name">{title}</span><b>{value}</b><span>{words}</span></div>'
        for title, value, words in filter(None, tiles)
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _gap(report: Mapping[str, Any]) -> str:
    scores = [_score(report, *at) for at in (("target", "before"), ("target", "after_on"), ("source", "before"))]
    svg = "" if None in scores else gap_bar(*scores)
    svg = f'<div class="wide gap">{svg}</div>' if svg else ""
    return page.section("The gap", f"{METRICS[main_of(report)]} in percent, on the test split.", svg)


def _scores(report: Mapping[str, Any]) -> str:
    head = ["", "before", "adapter on", "change", "adapter off", "kept, on", "kept, off"]
    rows: list[str] = []
    for where in ("target", "source"):
        found = [
            (key, [_score(report, where, when, key) for when in ("before", "after_on", "after_off")]) for key in METRICS
        ]
        found = [(key, values) for key, values in found if any(value is not None for value in values)]
        title = report.get(f"{where}_name")
        words = f"{where.capitalize()}: {title}" if title else where.capitalize()
        rows.append(page.group(words if found else f"{words} – not scored", len(head)))
        for key, (before, on, off) in found:
            less = key in LESS_IS_BETTER
            kept = [
                percent(value / before) if where == "source" and before and value is not None and not less else ""
                for value in (on, off)
            ]
            cells = [cell(METRICS[key]), cell(number(before)), cell(number(on), "strong")]
            cells.append(cell(change(before, on, less)))
            rows.append(row([*cells, cell(number(off)), *map(cell, kept)]))
    words = (
        f"In percent or mm, on the test split. {MEANING[main_of(report)]} "
        "Kept: source score after adapting over the score before, with the adapter on and taken off again."
    )
    return page.section("Scores", words, page.table(head, rows))


def _pictures(report: Mapping[str, Any], pictures: Pictures) -> str:
    sides = "left side orange, right side blue, middle green"
    if main_of(report) == "auc@50":
        sides = "each finger in its colour, and in space beside it, in grey the truth"
    words, imitated = f"Test pictures with the predicted skeletons: {sides}.", imitation(report)
    words += f" The pictures are {imitated[0].lower()}." if imitated else ""
    return page.section("Before and after", words, _pairs(pictures))


def _looked(pictures: Pictures) -> str:
    words = "Beside the domain's data, not tuned on, not scored; each whole picture was taken for one person or hand."
    return page.section("Pictures asked for", words, _pairs(pictures))


def _pairs(pictures: Pictures) -> str:
    shown = []
    for caption, before, after in pictures:
        sides = "".join(
            f"<div>{page.picture(image, f'{caption}, {words}')}{words}</div>"
            for image, words in ((before, "before"), (after, "adapter on"))
        )
        shown.append(f'<figure><figcaption>{escape(caption)}</figcaption><div class="pair">{sides}</div></figure>')
    return f'<div class="pairs">{"".join(shown)}</div>' if shown else ""


def _figures(figures: Figures) -> str:
    shown = [
        f"<figure><figcaption>{escape(caption)}</figcaption>{page.picture(image, caption)}</figure>"
        for caption, image in figures
    ]
    return page.section("Pictures and sentences", "As the joint encoder sees them.", "".join(shown))


def _decisions(decisions: Sequence[Mapping[str, str]]) -> str:
    """What the tool chose for the user, one row per choice."""
    rows = [row([cell(escape(line[name])) for name in ("what", "value", "why")]) for line in decisions]
    words = "Each of these can be set; see <code>lvtune adapt --help</code>."
    table = page.table(["choice", "value", "reason"], rows) if rows else ""
    return page.section("What was decided for you", words if rows else "", table)


def _curves(report: Mapping[str, Any]) -> str:
    curves = report.get("curves") or {}
    loss = curves.get("loss") or []
    steps = curves.get("steps") or list(range(1, len(loss) + 1))
    smoothed = smooth(loss, max(1, len(loss) // 40))
    empty = curves.get("empty_loss")
    floor = [] if empty is None else [Level(empty, "an empty answer")]
    charts = [line_chart("Loss", [Series(steps, loss, "faint"), Series(steps, smoothed)], levels=floor)]
    val = curves.get("val") or []
    val_steps = curves.get("val_steps") or list(range(1, len(val) + 1))
    before = _score(report, "target", "before")
    levels = [] if before is None else [Level(before, "test score before")]
    title = f"Validation {METRICS[main_of(report)]}, %"
    charts.append(line_chart(title, [Series(val_steps, val, "dots")], levels=levels))
    watched = Series(curves.get("px_steps") or [], curves.get("px_mean") or [], "dots")
    charts.append(line_chart("Mean error on held-out frames, pixels", [watched]))
    inside = "".join(f"<div>{chart}</div>" for chart in charts if chart)
    return page.section("While tuning", "", f'<div class="charts">{inside}</div>' if inside else "")


def _joints(report: Mapping[str, Any]) -> str:
    target, (told, less) = report.get("target") or {}, PER_JOINT[main_of(report)]
    before, on = (
        (target.get("per_joint") or {}).get(when) or (target.get(when) or {}).get("per_joint") or {}
        for when in ("before", "after_on")
    )
    rows = []
    for name in dict.fromkeys([*before, *on]):
        old, new = before.get(name), on.get(name)
        cells = [cell(escape(name.replace("_", " "))), cell(pair_of_bars(old, new), "bar"), cell(number(old))]
        rows.append(row([*cells, cell(number(new), "strong"), cell(change(old, new, less))]))
    words = f"Target {told}; grey before, blue with the adapter on."
    head = ["key point", "", "before", "adapter on", "change"]
    return page.section("Key points", words, page.table(head, rows) if rows else "")


def _adapter(report: Mapping[str, Any]) -> str:
    adapter, seconds = report.get("adapter") or {}, report.get("seconds") or {}
    pairs = []
    if adapter.get("method"):
        pairs.append(("method", escape(adapter["method"])))
    if adapter.get("parameters") is not None:
        share = percent(adapter.get("share_of_base"))
        pairs.append(("parameters", f"{number(adapter['parameters'], 0)} ({share} of the base)"))
    if adapter.get("bytes") is not None:
        pairs.append(("file", f"{number(adapter['bytes'] / 1e6, 2)} MB"))
    if seconds:
        known = {name: value for name, value in seconds.items() if value is not None}
        parts = ", ".join(f"{escape(name)} {number(value)}" for name, value in known.items())
        pairs.append(("seconds", f"{parts}; together {number(sum(known.values()))}"))
    if report.get("peak_memory_mb") is not None:
        pairs.append(("peak memory", f"{number(report['peak_memory_mb'], 0)} MB"))
    return page.section("Adapter and cost", "", page.facts(pairs))


def _base(report: Mapping[str, Any]) -> str:
    base = report.get("base") or {}
    versions = {name: value for name, value in (report.get("versions") or {}).items() if value is not None}
    before, after = base.get("fingerprint_before"), base.get("fingerprint_after")
    pairs = [("name", escape(base["name"]))] if base.get("name") else []
    for when, value in (("fingerprint before", before), ("fingerprint after", after)):
        if value:
            pairs.append((when, f"<code>{escape(value)}</code>"))
    if before and after:
        same = before == after
        words = "✓ identical, bit for bit" if same else "✗ the base has changed"
        pairs.append(("verdict", f'<span class="badge {"up" if same else "down"}">{words}</span>'))
    identical = report.get("source_off_identical")
    if identical is not None:
        pairs.append(
            (
                "source predictions, adapter off",
                "bit-identical to before" if identical else "NOT those of before",
            )
        )
    if report.get("seed") is not None:
        pairs.append(("seed", escape(report["seed"])))
    if versions:
        pairs.append(("versions", ", ".join(f"{escape(name)} {escape(value)}" for name, value in versions.items())))
    words = "sha256 over names, types, shapes and bytes of all parameters and buffers of the frozen estimator."
    return page.section("Base", words, page.facts(pairs))


def _recipe(recipe: Mapping[str, Any]) -> str:
    if not recipe:
        return ""
    import yaml

    text = yaml.safe_dump(without_nulls(recipe), sort_keys=False, allow_unicode=True, width=100)
    words = "Without options left to their defaults. In a file, <code>lvtune adapt --config FILE</code> runs it."
    return page.section("Recipe", words, f"<pre>{escape(text)}</pre>")


def _notes(notes: Iterable[str]) -> str:
    inside = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return page.section("Notes on the data", "", f"<ul>{inside}</ul>" if inside else "")
