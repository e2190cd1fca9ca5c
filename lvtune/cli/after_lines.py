"""The lines that say what a run after an earlier adapter has kept and learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.cli.output import number, table
from lvtune.evaluation.metrics import metric_name, unit_of


def after_lines(after: Mapping[str, Any] | None) -> list[str]:
    """Returns a table with a row for each domain, and what is to be said below; nothing without ``--after``.

    Args:
        after: the part ``after`` of a report.
    """
    if not after:
        return []
    metric, new = after["metric"], after["new"]
    rows = [[one["domain"], one["before"], one["after"], _signed(_lost(one))] for one in after["domains"]]
    rows.append([f"{new['domain']} (new)", new["before"], new["after"], _signed(new["gained"])])
    head = [metric_name(metric), "earlier adapter", "now", "change"]
    lines = ["", table(head, rows)]
    if after["forgetting"] is not None:
        unit = "points" if unit_of(metric) == "%" else unit_of(metric)
        lines.append(
            f"forgotten: {number(float(after['forgetting']))} {unit} on average over the earlier domains"
            f" ({after['objective']})"
        )
    lines += [f"not scored: {name} ({why})" for name, why in after["missing"].items()]
    return [*lines, ""]


def _lost(one: Mapping[str, Any]) -> float | None:
    return None if one["forgetting"] is None else -one["forgetting"]


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.2f}"
