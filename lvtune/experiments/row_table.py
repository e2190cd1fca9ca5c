"""The tables of domains that are learnt one after the other, in Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.evaluation.metrics import metric_name, unit_of
from lvtune.experiments.row_figures import FIGURES

BASE_ALONE = "base alone"
PRETRAINED = "pretrained"
"""Column of the base alone, named as in the published tables of PoseAdapt, like those of the ways."""
Table = tuple[list[str], list[list[str]]]
"""Head and rows."""


def figures_table(values: Mapping[str, Any]) -> Table:
    """Returns the table with a column for each way: each domain after the last step, then the figures.

    Args:
        values: what :func:`lvtune.experiments.in_a_row.compare_in_a_row` returns.
    """
    ways, base = values["ways"], values["pretrained"]
    known = [one for one in base["domains"] if one is not None]
    whole = sum(known) / len(known) if len(known) == len(base["domains"]) and known else None
    head = [metric_name(values["metric"]), PRETRAINED, *(way["column"] for way in ways)]
    rows = [
        [name, _text(base["domains"][j]), *(_text(way["matrix"][-1][j] if way["matrix"] else None) for way in ways)]
        for j, name in enumerate(values["domains"])
    ]
    for key, name in FIGURES.items():
        before = {"final": whole, "source": base["source"]}.get(key)
        rows.append([name, _text(before), *(_spread(way["figures"][key]) for way in ways)])
    return head, rows


def matrix_table(values: Mapping[str, Any], way: Mapping[str, Any]) -> Table:
    """Returns the matrix of one way: a row for each step, a column for each domain, and the source."""
    base, domains = values["pretrained"], values["domains"]
    rows = [[BASE_ALONE, *map(_text, base["domains"]), _text(base["source"])]]
    for step, scores in enumerate(way["matrix"]):
        source = way["source"][step] if way["source"] else None
        rows.append([f"{step + 1}. after {domains[step]}", *map(_text, scores), _text(source)])
    return ["step", *domains, "source"], rows


def notes_of(values: Mapping[str, Any]) -> list[str]:
    """Returns what is to be said below the tables."""
    unit = unit_of(values["metric"])
    seeds = ", ".join(map(str, values["seeds"]))
    lines = [
        f"Scores: {metric_name(values['metric'])}{' in percent' if unit == '%' else ''}; mean over the seeds ({seeds})"
        " ± half of the 95 % interval.",
        "Backward transfer: the last score minus that just after learning, mean over the earlier domains. Forgetting: "
        "the best score since learning minus the last one; above 0 is a loss.",
        "Steps in which a domain is not learnt yet show how the adapter does on it without it. One adapter each: "
        "pictures go to the adapter of their known domain, and to the base alone where there is none yet.",
    ]
    for way in values["ways"]:
        if len(way["seeds"]) < len(values["seeds"]):
            lines.append(f"{way['column']}: {len(way['seeds'])} of {len(values['seeds'])} seeds are complete.")
    lines += [f"{name} failed: {'; '.join(why.values())}" for name, why in values["failed"].items()]
    return lines


def markdown_of_row(values: Mapping[str, Any]) -> str:
    """Returns ``in-a-row.md``."""
    parts = [f"# Domains in a row: {', '.join(values['domains'])}", f"Method: {values['method']}.",
             _markdown(figures_table(values))]  # fmt: skip
    for way in values["ways"]:
        if way["matrix"]:
            parts += [f"## {way['column']}", _markdown(matrix_table(values, way))]
    return "\n\n".join([*parts, *notes_of(values)]) + "\n"


def _markdown(found: Table) -> str:
    head, rows = found
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _spread(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:.2f}" + ("" if figure["half"] is None else f" ± {figure['half']:.2f}")
