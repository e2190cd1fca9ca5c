"""The results table of a comparison, as texts for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from lvtune.evaluation.metrics import ahead_words
from lvtune.experiments.base_variants import base_words, bases_of
from lvtune.experiments.learning_curve import words_of
from lvtune.experiments.result_rows import NOT_RECORDED
from lvtune.viz.score_words import is_less_better, title_of, unit_of

Row = dict[str, str]
"""Head of a column to the text of the cell; the text is empty where the column does not apply."""
NO_SCORE = "no score"
COSTS = ("trained parameters", "share of base (%)", "file (MB)", "peak memory (MB)", "GPU memory (MB)", "s per step")
VARIANT, SHOTS, RATE, AHEAD = "variant", "shots", "learning rate", "ahead"
BASE_ALONE = "base alone"
NONE_TUNED = "0"
"""Number of shots in rows without tuning."""
_INTERVAL = "Mean ± half the 95 % interval (Student's t) over the seeds; one seed has no interval."
_OWN_RATE = 'Learning rate "own": the default of the method.'
_KEPT = "Kept: source score divided by the base's own, with the adapter on and taken off again."


def score_rows(values: Mapping[str, Any]) -> list[Row]:
    """Builds one row per line of the summary, after those of the base and of each warm start alone.

    Args:
        values: what :func:`lvtune.experiments.comparing.compare` returns.
    """
    rows = [*_rows_before_tuning(values), *(_score_row(values, line) for line in values["summary"])]
    empty = [name for name in _heads(rows) if all(row.get(name, "") in ("", NO_SCORE) for row in rows)]
    heads = [name for name in _heads(rows) if name not in empty]
    return [{name: row.get(name, "") for name in heads} for row in rows]


def cost_rows(values: Mapping[str, Any]) -> list[Row]:
    """Builds the table of costs, one row per line of the summary."""
    has_gpu = any(one["peak_device_memory_mb"] for one in values["summary"])
    rows = []
    for line in values["summary"]:
        cells = [
            f"{line['parameters']:,}",
            f"{100 * line['share_of_base']:.2f}",
            f"{line['bytes'] / 1e6:.2f}",
            spread_text(line["peak_memory_mb"], 0, False),
            spread_text(line["peak_device_memory_mb"], 0, False),
            spread_text(line["seconds_per_step"], 3, False),
        ]
        costs = {name: text for name, text in zip(COSTS, cells, strict=True) if has_gpu or name != "GPU memory (MB)"}
        rows.append({VARIANT: line["label"], SHOTS: str(line["shots"]), RATE: _rate(values, line), **costs})
    return rows


def start_rows(values: Mapping[str, Any]) -> list[Row]:
    """Builds the table of warm starts: where each variant began, and which part of the gain comes from there."""
    if not values["summary"]:
        return []
    unit = _points(values)
    heads = (f"from the start ({unit})", f"from tuning on your pictures ({unit})", f"gained together ({unit})")
    rows = []
    for line in values["summary"]:
        gains = [line.get(name) for name in ("gained_at_start", "gained_by_tuning", "gained")]
        words = [spread_text(gain, 2, sign=True) for gain in gains]
        if start_name(line) == start_name({"start": None}):
            words = ["0.00", words[2], words[2]]
        elif line.get("at_start") is None:
            words = ["start not scored", "start not scored", words[2]]
        rows.append({
            VARIANT: line["label"], SHOTS: str(line["shots"]), RATE: _rate(values, line),
            "tuning began at": start_name(line), **dict(zip(heads, words, strict=True)),
        })  # fmt: skip
    return rows


def start_name(line: Mapping[str, Any]) -> str:
    """Returns the words for where the tuning of a row or a line of the summary began."""
    name = line.get("start", NOT_RECORDED)
    return "the base's own answer" if name is None else str(name)


def title_text(values: Mapping[str, Any]) -> str:
    """Returns the title of the comparison."""
    return f"{values['base']} on {values['domain']}: {len({one['label'] for one in values['summary']})} variants"


def introduction(values: Mapping[str, Any]) -> str:
    """Returns the sentences above the table: the data, the score, and how to read the columns."""
    if not values["summary"]:
        return "No run was finished."
    names = [f"{side}: {values[f'{side}_name']}" for side in ("target", "source") if values[f"{side}_name"]]
    parts = [
        f"{'; '.join(names)}." if names else "", f"Score: {title_of(values['main'], values)}.", _INTERVAL,
        ahead_words(values["main"]),
    ]  # fmt: skip
    if is_less_better(values["main"]):
        parts.append("The score is an error: lower is better.")
    if any(line["lr"] is None for line in values["summary"]):
        parts.append(_OWN_RATE)
    if any(line["source"] for line in values["summary"]):
        parts.append(_KEPT)
    return " ".join(filter(None, parts))


def missing_columns(values: Mapping[str, Any]) -> list[str]:
    """Returns one line for each part of the table that is left out or has gaps, with the reason."""
    lines, summary = [], values["summary"]
    columns = {name for row in score_rows(values) for name, value in row.items() if value not in ("", None)}
    if summary and not any(name.startswith("source") for name in columns):
        why = "the source was not scored in every run" if values["source_name"] else "the domain has no source pictures"
        lines.append(f"There are no columns for the source, because {why}.")
    if any(NO_SCORE in row.values() for row in score_rows(values)):
        lines.append(f"{NO_SCORE}: at least one run of the line lacks this score; its report.html says why.")
    return lines


def markdown(values: Mapping[str, Any]) -> str:
    """Returns ``results.md``: the scores, where tuning began, and the costs."""
    parts = [f"# {title_text(values)}", introduction(values), *missing_columns(values)]
    for heading, rows in (
        ("", score_rows(values) if values["summary"] else []),
        ("## Where tuning began", start_rows(values)),
        ("## Costs", cost_rows(values)),
    ):
        if rows:
            parts += [heading] * bool(heading) + [_markdown_table(rows)]
    if values.get("curve"):
        parts += ["## Learning curve", *words_of(values["curve"], unit_of(values["main"]))]
    parts += [f"{name} failed: {'; '.join(why.values())}" for name, why in values["failed"].items()]
    return "\n\n".join(parts) + "\n"


def _markdown_table(rows: Sequence[Row]) -> str:
    heads = list(rows[0])
    cells = [[row[name].replace("|", "\\|") for name in heads] for row in rows]
    return "\n".join(f"| {' | '.join(one)} |" for one in (heads, ["---"] * len(heads), *cells))


def spread_text(
    found: Mapping[str, Any] | None, digits: int, interval: bool = True, scale: float = 1, sign: bool = False
) -> str:
    """Returns a mean, with half the width of its interval where it has one."""
    if found is None:
        return NO_SCORE
    text = f"{scale * found['mean']:{'+' if sign else ''}.{digits}f}"
    return text + (f" ± {scale * found['half']:.{digits}f}" if interval and found["half"] is not None else "")


def _score_row(values: Mapping[str, Any], line: Mapping[str, Any]) -> Row:
    unit = unit_of(values["main"])
    ahead = spread_text(line["ahead"], 2, sign=True) if line["ahead"] else "the first variant"
    if line["ahead"] is None and not _is_first(values, line):
        ahead = "no common seed"
    return {
        VARIANT: line["label"],
        SHOTS: str(line["shots"]),
        RATE: _rate(values, line),
        "seeds": str(len(line["seeds"])),
        f"target ({unit})": spread_text(line["target"], 2),
        f"{AHEAD} ({_points(values)})": ahead,
        **{f"{name} ({unit})": spread_text(line["also"].get(name), 2) for name in _also(values)},
        f"source, adapter on ({unit})": spread_text(line["source"], 2),
        f"source, adapter off ({unit})": spread_text(line["source_off"], 2, False),
        "kept, adapter on (%)": spread_text(line["retention_on"], 1, scale=100),
        "kept, adapter off (%)": spread_text(line["retention_off"], 1, False, scale=100),
        "gap closed (%)": spread_text(line["gap_closed"], 1, scale=100),
    }


def _is_first(values: Mapping[str, Any], line: Mapping[str, Any]) -> bool:
    """Returns True for the line that the others of as many shots are compared with."""
    return line is next(one for one in values["summary"] if one["shots"] == line["shots"] and one["best"])


def _rows_before_tuning(values: Mapping[str, Any]) -> list[Row]:
    """Builds the rows of the base alone and of each warm start alone, which depend on neither seed nor shots."""
    if not values["summary"]:
        return []
    unit, bases = unit_of(values["main"]), bases_of(values["cells"])
    rows = []
    for (base, weights), first in bases.items():
        label = BASE_ALONE if len(bases) == 1 else f"{BASE_ALONE} ({base_words(base, weights)})"
        rows.append({
            VARIANT: label, SHOTS: NONE_TUNED, f"target ({unit})": _number(first["target_before"]),
            **{f"{name} ({unit})": _number(found["before"]) for name, found in first["also"].items()},
            f"source, adapter on ({unit})": "",
            f"source, adapter off ({unit})": _number(first["source_before"]),
        })  # fmt: skip
    scored: dict[tuple[str, str], list[float]] = {}
    for row in values["cells"]:
        if row.get("at_start") is not None:
            scored.setdefault((row["method"], start_name(row)), []).append(row["at_start"])
    rows += [
        {VARIANT: f"start alone ({method}): {name}", SHOTS: NONE_TUNED, f"target ({unit})": _number(fmean(scores))}
        for (method, name), scores in scored.items()
    ]
    return rows


def _number(value: float | None) -> str:
    return NO_SCORE if value is None else f"{value:.2f}"


def _heads(rows: Iterable[Row]) -> list[str]:
    """Heads of all columns, in the order of the longest row."""
    return list(dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row))


def _also(values: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for line in values["summary"] for name in line["also"]))


def _rate(values: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    rate = "own" if line["lr"] is None else f"{line['lr']:g}"
    rivals = [one for one in values["summary"] if (one["label"], one["shots"]) == (line["label"], line["shots"])]
    return f"{rate} (best)" if len(rivals) > 1 and line["best"] else rate


def _points(values: Mapping[str, Any]) -> str:
    """Returns the unit of a difference of two scores."""
    unit = unit_of(values["main"])
    return "points" if unit == "%" else unit
