"""What is told of the cells of a comparison: a row a run, and mean and interval over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lvtune.evaluation.intervals import difference, spread_of
from lvtune.evaluation.metrics import goodness

FIGURES = ("target", "source", "source_off", "retention_on", "retention_off", "gap_closed", "gained",
           "seconds_per_step", "peak_memory_mb", "peak_device_memory_mb")  # fmt: skip
"""Of a row, of which the summary has mean and interval."""


def row_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a ``report.json``.

    Returns:
        ``parameters``, ``share_of_base``, ``bytes``, ``peak_memory_mb``, ``peak_device_memory_mb`` (None without a
        GPU), ``steps``, ``seconds`` (of tuning), ``seconds_per_step``, ``main`` (name of the score told), ``target``
        and ``source`` (with the adapter on), ``source_off``, ``target_before``, ``source_before``, ``retention_on`` and
        ``retention_off`` (shares), ``gained``, ``gap_closed`` (share), ``target_name``, ``source_name``, ``scores``
        (all scores of target and source), ``off_checked`` (persons by whose predictions ``source_off`` is known to be
        as before; None: all) and ``also`` (domain to its score before and with the adapter on).
    """
    main, adapter, seconds = report["main"], report["adapter"], report["seconds"]

    def score(side: Mapping[str, Any] | None, when: str) -> float | None:
        return ((side or {}).get(when) or {}).get(main)

    target, source = report["target"], report["source"]
    kept = report.get("retention") or {}
    return {
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
    }


_WHEN = ("before", "after_on", "after_off")


def summary_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs that differ in the seed alone as one line.

    Returns:
        Of each line ``label``, ``method``, ``shots``, ``lr``, ``seeds``, ``parameters``, ``share_of_base``, ``bytes``,
        for each of ``FIGURES`` and each of ``also`` its mean, half the width of the 95 % interval and n; ``best``,
        whether no other learning rate of the same variant and shots has a better mean target; and ``ahead``, the target
        less that of the first variant at the same shots, seed by seed (each at its best learning rate); of an error
        below 0 where it is better.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["shots"], row["label"], row["lr"]), []).append(row)
    lines = [_line(runs) for runs in groups.values()]
    for line in lines:
        rivals = [other for other in lines if (other["shots"], other["label"]) == (line["shots"], line["label"])]
        line["best"] = all(_mean(line) >= _mean(other) for other in rivals)
    for line in lines:
        first = next(other for other in lines if other["shots"] == line["shots"] and other["best"])
        mine, theirs = (_by_seed(groups[_key(one)]) for one in (line, first))
        apart = None if line is first else difference(mine, theirs)
        line["ahead"] = None if apart is None else asdict(apart)
    return lines


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["shots"], line["label"], line["lr"]


def _mean(line: Mapping[str, Any]) -> float:
    """The mean target score; of an error its negative, so that more is better."""
    return goodness(line["main"], line["target"]["mean"] if line["target"] else None)


def _by_seed(runs: Sequence[Mapping[str, Any]]) -> dict[int, float | None]:
    return {run["seed"]: run["target"] for run in runs}


def _line(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    same = (
        "label",
        "method",
        "main",
        "shots",
        "lr",
        "parameters",
        "share_of_base",
        "bytes",
        "target_before",
        "source_before",
    )
    line: dict[str, Any] = {name: first[name] for name in same} | {"seeds": [run["seed"] for run in runs]}
    for name in FIGURES:
        line[name] = _told([run.get(name) for run in runs])
    line["also"] = {name: _told([(run["also"].get(name) or {}).get("on") for run in runs]) for name in first["also"]}
    return line


def _told(values: Sequence[float | None]) -> dict[str, Any] | None:
    found = spread_of(values)
    return None if found is None else asdict(found)
