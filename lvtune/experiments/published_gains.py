"""Computes gains and claims of a publication from the figures of its table, as published and as found here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.experiments.published_tables import Row, Table

KINDS = ("reference", "ours")
"""Figures as published, and as found here."""
_AGREES = 0.0101
"""Two figures with two decimals each may differ by so much through rounding."""


def gain_of(table: Table, row: Row, lines: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Returns ``reference`` and ``ours``: column to the row's figure minus that of its ``gain_over``.

    Args:
        table: the table of the row.
        row: a row; without ``gain_over`` it has no gains.
        lines: name of each row to its figures, see :func:`lvtune.experiments.reproducing.reproduce`.
    """
    over = lines.get(row.facts.gain_over)
    if over is None:
        return {kind: dict.fromkeys(table.columns) for kind in KINDS}
    own = lines[row.name]
    return {kind: {name: _difference(own, over, kind, name) for name in table.columns} for kind in KINDS}


def claims_of(table: Table, lines: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns each claim with its figures.

    Returns:
        ``name``, ``title``, ``column``, ``row``, ``over``, ``printed`` (in the publication's text), ``reference`` (the
        same from the published table), ``ours`` (from runs here) and ``agrees`` (the published table has what the text
        claims, up to rounding; None where it lacks a figure).
    """
    found = []
    for name, claim in table.claims.items():
        own, over = lines[claim.row], lines[claim.over]
        figures = {kind: _difference(own, over, kind, claim.column) for kind in KINDS}
        computed = figures["reference"]
        agrees = None if computed is None else abs(computed - claim.printed) <= _AGREES
        found.append({"name": name} | vars(claim) | figures | {"agrees": agrees})
    return found


def _difference(own: Mapping[str, Any], over: Mapping[str, Any], kind: str, column: str) -> float | None:
    one, other = own[kind][column], over[kind][column]
    return None if one is None or other is None else one - other
