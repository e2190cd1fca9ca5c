"""Builds the results of a comparison: one row per run, and one summary line per variant with mean and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lvtune.evaluation.intervals import difference, spread_of
from lvtune.evaluation.metrics import goodness, is_less_better

FIGURES = ("target", "source", "source_off", "retention_on", "retention_off", "gap_closed", "gained", "at_start",
           "gained_at_start", "gained_by_tuning", "seconds_per_step", "peak_memory_mb",
           "peak_device_memory_mb")  # fmt: skip
"""Figures of a row that the summary has mean and interval of."""
NOT_RECORDED = "not recorded"
"""In place of the start's name in rows of reports that do not say where tuning began."""
_WHEN = ("before", "after_on", "after_off")
_COMMON = ("label", "method", "main", "shots", "lr", "parameters", "share_of_base", "bytes", "target_before",
           "source_before")  # fmt: skip


def row_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of a ``report.json``; scores are in the unit of the main score, shares from 0 to 1.

    Returns:
        ``pictures`` (tuned on; None where the report does not say), ``parameters``, ``share_of_base`` (share),
        ``bytes``, ``peak_memory_mb``, ``peak_device_memory_mb`` (None without a GPU), ``steps``, ``seconds`` (of
        tuning), ``seconds_per_step``, ``main`` (key of the main score),
        ``target`` and ``source`` (with the adapter on), ``source_off``, ``target_before``, ``source_before``,
        ``retention_on`` and ``retention_off`` (shares), ``gained``, ``gap_closed`` (share), ``target_name``,
        ``source_name``, ``scores`` (all scores of target and source), ``off_checked`` (number of persons whose
        predictions show that the base is as before; None: all), ``also`` (domain to its score before and with the
        adapter on), ``start`` (name of the warm start; None: the base's own answer), ``at_start`` (target score of the
        start alone), ``gained_at_start`` and ``gained_by_tuning`` (the two parts of the gain; None where the start
        alone was not scored).
    """
    main, adapter, seconds = report["main"], report["adapter"], report["seconds"]
    target, source = report["target"], report["source"]
    kept = report.get("retention") or {}
    score = lambda side, when: ((side or {}).get(when) or {}).get(main)  # noqa: E731
    return {
        "pictures": (report.get("few") or {}).get("pictures"),
        "parameters": adapter["parameters"],
        "share_of_base": adapter["share_of_base"],
        "bytes": adapter["bytes"],
        "peak_memory_mb": report["peak_memory_mb"],
        "peak_device_memory_mb": report["peak_device_memory_mb"],
        "steps": len(report["curves"]["steps"]),
        "seconds": seconds["tune"],
        "seconds_per_step": report["seconds_per_step"],
        "main": main,
        "scoring": report.get("scoring"),
        "target": score(target, "after_on"),
        "source": score(source, "after_on"),
        "source_off": score(source, "after_off"),
        "target_before": score(target, "before"),
        "source_before": score(source, "before"),
        "retention_on": kept.get("on"),
        "retention_off": kept.get("off"),
        "gained": report.get("gained"),
        "gap_closed": report.get("gap_closed"),
        "target_name": report.get("target_name"),
        "source_name": report.get("source_name"),
        "scores": {side: {w: report[side].get(w) for w in _WHEN} for side in ("target", "source") if report.get(side)},
        "off_checked": report.get("source_off_checked"),
        "also": {
            name: {"before": score(side, "before"), "on": score(side, "after_on")}
            for name, side in (report.get("also") or {}).items()
        },
        **_start_of(report, score(target, "before"), score(target, "after_on")),
    }


def _start_of(report: Mapping[str, Any], before: float | None, after: float | None) -> dict[str, Any]:
    """Returns where tuning began, and the gain's two parts; a higher gain is better for errors too."""
    if "start" not in report:
        return {"start": NOT_RECORDED, "at_start": None, "gained_at_start": None, "gained_by_tuning": None}
    start = report["start"] or {}
    is_used = bool(start.get("kept"))
    reached = (start.get("target") or {}).get(report["main"]) if is_used else None
    sign = -1 if is_less_better(report["main"]) else 1
    gain = lambda low, high: None if None in (low, high) else sign * (high - low)  # noqa: E731
    return {
        "start": start.get("name") if is_used else None,
        "at_start": reached,
        "gained_at_start": gain(before, reached),
        "gained_by_tuning": gain(reached, after),
    }


def summary_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns one line for the runs that differ in the seed alone.

    Returns:
        Each line has ``label``, ``method``, ``shots``, ``lr``, ``seeds``, ``parameters``, ``share_of_base``,
        ``bytes``, ``start``; for each of ``FIGURES`` and each of ``also`` the mean, half the width of the 95 %
        interval and n; ``best`` (True if no other learning rate of the same variant and shots has a better mean target
        score); and ``ahead``, the target score minus the first variant's with the same shots and the same seed (of an
        error the first variant's minus it, so that more is better), each variant at its best learning rate.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["shots"], row["label"], row["lr"]), []).append(row)
    lines = [_line(runs) for runs in groups.values()]
    for line in lines:
        rivals = [other for other in lines if (other["shots"], other["label"]) == (line["shots"], line["label"])]
        line["best"] = all(_goodness(line) >= _goodness(other) for other in rivals)
    for line in lines:
        first = next(other for other in lines if other["shots"] == line["shots"] and other["best"])
        mine, theirs = (_by_seed(groups[_key(one)]) for one in (line, first))
        pair = (theirs, mine) if is_less_better(line["main"]) else (mine, theirs)
        apart = None if line is first else difference(*pair)
        line["ahead"] = None if apart is None else asdict(apart)
    return lines


def _goodness(line: Mapping[str, Any]) -> float:
    return goodness(line["main"], line["target"]["mean"] if line["target"] else None)


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["shots"], line["label"], line["lr"]


def _by_seed(runs: Sequence[Mapping[str, Any]]) -> dict[int, float | None]:
    return {run["seed"]: run["target"] for run in runs}


def _line(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    line: dict[str, Any] = {name: first[name] for name in _COMMON} | {"seeds": [run["seed"] for run in runs]}
    starts = list(dict.fromkeys(run.get("start", NOT_RECORDED) for run in runs))
    line["start"] = starts[0] if len(starts) == 1 else ", ".join(name or "the base's own answer" for name in starts)
    for name in FIGURES:
        line[name] = _spread([run.get(name) for run in runs])
    line["also"] = {name: _spread([(run["also"].get(name) or {}).get("on") for run in runs]) for name in first["also"]}
    return line


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    found = spread_of(values)
    return None if found is None else asdict(found)
