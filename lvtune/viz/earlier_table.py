"""The report's table of the domains that an adapter knew before it learnt a further one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.viz.page import Cell, RowGroup, Table, change, is_number, number
from lvtune.viz.score_words import is_less_better, title_of


def earlier_table(after: Mapping[str, Any] | None) -> Table | None:
    """Builds a table with a row for each domain: with the earlier adapter, now, and the change.

    Args:
        after: the part ``after`` of a report; None: the adapter went on from none.
    """
    if not after:
        return None
    metric, new = after["metric"], after["new"]
    pairs = [(one["domain"], one) for one in after["domains"]] + [(f"{new['domain']} (new)", new)]
    rows = [[Cell(name), *_scores(one, is_less_better(metric))] for name, one in pairs]
    rows += [[Cell(name), Cell(f"not scored: {why}", "missing"), Cell(""), Cell("")]
             for name, why in after["missing"].items()]  # fmt: skip
    return Table([title_of(metric), "earlier adapter", "now", "change"], [RowGroup("", rows)])


def _scores(one: Mapping[str, Any], less: bool) -> list[Cell]:
    before, now = one["before"], one["after"]
    return [_cell(before), _cell(now, "strong"), change(before, now, less)]


def _cell(value: Any, kind: str = "") -> Cell:
    return Cell(number(value), kind) if is_number(value) else Cell("no score", "missing")
