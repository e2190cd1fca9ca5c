"""Compares ways to learn domains one after the other: the matrix step x domain of each (``compare --in-a-row``).

The first step is the same for all ways: an adapter is tuned on the first domain. Each further step goes on from the
adapter of the step before (``lvtune adapt --after``), and all domains and the source are scored after it. ``separate``
tunes one adapter on each domain instead. Pictures are routed by their known domain: each adapter is scored on its own,
the base alone on what has no adapter, so nothing is forgotten by construction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.api.recipe_inputs import recipe_files
from lvtune.api.report_data import environment
from lvtune.api.run_marks import MarkReader
from lvtune.api.score_cache import ScoreCache
from lvtune.config.tables import merge
from lvtune.core.errors import UsageError
from lvtune.core.files import write_text
from lvtune.core.processes import world_size
from lvtune.domains import get_domain
from lvtune.evaluation.intervals import spread_of
from lvtune.evaluation.metrics import is_less_better
from lvtune.experiments.cell_runner import CELL_FILE, Say, failure_of, forget_failures, run_cells
from lvtune.experiments.cells import ALL, Cell, Variant, variants_of
from lvtune.experiments.report_file import read_report
from lvtune.experiments.row_figures import FIGURES, mean_matrix, mean_of, row_figures
from lvtune.experiments.row_table import markdown_of_row
from lvtune.experiments.row_ways import WAYS, Way, ways_of
from lvtune.storage.output_folder import check_output, input_folders

RESULT_FILES = ("in-a-row.json", "in-a-row.md")
METHOD = "vlpose-light"
OUT = Path("lvtune-out") / "in-a-row"


def compare_in_a_row(
    domains: Sequence[str],
    recipe: Mapping[str, Any] | None = None,
    *,
    ways: str = WAYS,
    method: str = METHOD,
    seeds: Sequence[int] = (0,),
    out: str | Path = OUT,
    dry_run: bool = False,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Runs every step that has not been run, and writes ``in-a-row.json`` and ``in-a-row.md``.

    Args:
        domains: names, in the order in which they are learnt.
        recipe: nested options of a recipe that all runs share.
        ways: see :func:`lvtune.experiments.row_ways.ways_of`.
        method: one method, with options after a colon; see :func:`lvtune.experiments.cells.variants_of`.
        seeds: of the chains.
        out: folder of the comparison.
        dry_run: list the runs; run and write nothing.
        say: receives a line of progress.

    Returns:
        ``out``, ``domains``, ``metric``, ``method``, ``seeds``, ``pretrained`` (``domains``: scores of the base alone,
        ``source``), ``ways``, ``failed`` (name of a run to the three parts of its error), ``shared``, ``versions``.
        Each way has ``label``, ``column``, ``seeds``, ``matrix`` (mean over the seeds), ``source`` (for each step),
        ``matrices`` (by seed), and ``figures`` (key to ``mean``, ``half`` of the 95 % interval, ``n``). With
        ``dry_run`` ``out`` and ``cells``.

    Raises:
        LvtuneError: fewer than two domains, one twice, or unknown; unknown ways or options; a folder with other runs.
    """
    chains = _Chains(list(domains), dict(recipe or {}), method, Path(out))
    compared = ways_of(ways)
    if world_size() > 1:
        raise UsageError("--in-a-row in several processes", "one process: each step needs the one before",
                         "start it without a launcher")  # fmt: skip
    if dry_run:
        cells = [one for seed in seeds for way in compared for one in chains.planned(way, seed)]
        return {"out": str(out), "cells": list({one["name"]: one for one in cells}.values())}
    chains.check_out()
    forget_failures(Path(out))
    # one seed after the other, so that an interrupted comparison has complete seeds
    found = {(way.label, seed): chains.run(way, seed, say) for seed in seeds for way in compared}
    values = _values(chains, compared, seeds, found)
    write_text(Path(out) / RESULT_FILES[0], json.dumps(values, indent=1))
    write_text(Path(out) / RESULT_FILES[1], markdown_of_row(values))
    return values


class _Chains:
    """Makes and runs the steps; runs that ways share are run once."""

    def __init__(self, domains: list[str], shared: dict[str, Any], method: str, out: Path) -> None:
        if len(domains) < 2 or len(set(domains)) < len(domains):
            given = f"{', '.join(domains) or 'no domain'} in a row"
            raise UsageError(given, "two or more different domains",
                             "such as --in-a-row demo-art/sketch,demo-art/cartoon")  # fmt: skip
        for name in domains:
            get_domain(name)
        variants = variants_of(method)
        if len(variants) > 1:
            raise UsageError(f"{len(variants)} methods in a row", "one method", "such as --methods lora")
        self.variant = variants[0]
        self.domains, self.out, self.failed = domains, out, {}
        self.shared = merge(shared, self.variant.changes, Recipe)
        self.cache, self.reader = ScoreCache(), MarkReader()
        self.reports: dict[str, dict[str, Any] | None] = {}
        self.cell(None, 0, 0, None)  # what is wrong with the options is told now

    def cell(self, way: Way | None, seed: int, step: int, before: Cell | None) -> Cell:
        """One run: of a way's step after the cell ``before``, or of a domain by itself."""
        is_own = way is None or way.objective is None
        name = f"{_slug('alone' if is_own or way is None else way.label)}-{seed}-{step + 1}"
        folder = self.out / "cells" / name
        later = self.domains[step + 1 :] if not is_own or step == 0 else []
        own: dict[str, Any] = {
            "domain": self.domains[step], "seed": seed, "out": str(folder), "evaluate": {"also": tuple(later)}
        }  # fmt: skip
        if not is_own and way is not None and before is not None:
            start = {"after": str(before.folder), "start": str(before.folder)}
            own |= {**start, "objective": way.objective, "objective_options": dict(way.options)}
        recipe = Recipe.from_dict(merge(self.shared, own, Recipe))
        variant = Variant("alone" if way is None or is_own else way.label, dict(self.variant.changes))
        return Cell(variant, ALL, seed, None, folder, recipe)

    def planned(self, way: Way, seed: int) -> list[dict[str, Any]]:
        """The runs of a way, and which of them are finished."""
        found = []
        for step, domain in enumerate(self.domains):
            is_own = way.objective is None or step == 0
            name = f"{_slug('alone' if is_own else way.label)}-{seed}-{step + 1}"
            finished = (self.out / "cells" / name / CELL_FILE).is_file()
            found.append({"name": name, "way": "all" if step == 0 else way.label, "domain": domain, "seed": seed,
                          "finished": finished})  # fmt: skip
        return found

    def run(self, way: Way, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]] | None:
        """Runs the steps of a way; returns their reports, None if one failed."""
        reports, before = [], None
        for step in range(len(self.domains)):
            before = self.cell(way if step else None, seed, step, before)
            report = self._report(before, say)
            if report is None:
                return None
            reports.append(report)
        return reports

    def _report(self, cell: Cell, say: Callable[[str], None]) -> dict[str, Any] | None:
        if cell.name not in self.reports:
            say(f"in a row: {cell.name} ({cell.recipe.domain})")
            row = run_cells([cell], say, cache=self.cache, reader=self.reader)[cell.name]
            if row is None:
                self.failed[cell.name] = failure_of(cell)
            self.reports[cell.name] = None if row is None else read_report(cell.folder / "report.json")
        return self.reports[cell.name]

    def check_out(self) -> None:
        """Raises a UsageError where the results would be written over an input."""
        recipe = self.cell(None, 0, 0, None).recipe
        files = [self.out / name for name in RESULT_FILES]
        check_output(self.out, files, folders=input_folders(recipe.data), files=recipe_files(recipe))


def _values(
    chains: _Chains,
    ways: Sequence[Way],
    seeds: Sequence[int],
    found: Mapping[tuple[str, int], list[dict[str, Any]] | None],
) -> dict[str, Any]:
    firsts = [reports[0] for reports in found.values() if reports is not None]
    metric = firsts[0]["main"] if firsts else "pck@0.2"
    base = _base_scores(firsts[0], chains.domains, metric) if firsts else [None] * len(chains.domains)
    lines = []
    for way in ways:
        done = {seed: reports for seed in seeds if (reports := found[way.label, seed]) is not None}
        lines.append(_way_values(way, done, chains.domains, base, metric))
    return {
        "out": str(chains.out), "domains": chains.domains, "metric": metric, "method": chains.variant.label,
        "seeds": list(seeds), "pretrained": {"domains": base, "source": _source(firsts[0], "before", metric)
                                             if firsts else None},
        "source_name": firsts[0].get("source_name") if firsts else None, "ways": lines, "failed": chains.failed,
        "shared": chains.shared, "versions": environment(),
    }  # fmt: skip


def _way_values(
    way: Way,
    done: Mapping[int, list[dict[str, Any]]],
    domains: Sequence[str],
    base: Sequence[float | None],
    metric: str,
) -> dict[str, Any]:
    matrices = {seed: _matrix(way, reports, domains, base, metric) for seed, reports in done.items()}
    # one adapter for each domain: pictures of the source have none, and the base alone answers
    when = "after_on" if way.objective else "before"
    sources = {seed: [_source(report, when, metric) for report in reports] for seed, reports in done.items()}
    chosen = [
        row_figures(matrix, is_less_better(metric)) | {"source": sources[seed][-1]} for seed, matrix in matrices.items()
    ]
    spreads = {name: spread_of([one[name] for one in chosen]) for name in FIGURES}
    return {
        "label": way.label, "column": way.column, "seeds": list(done), "matrix": mean_matrix(list(matrices.values())),
        "source": [mean_of(steps) for steps in zip(*sources.values(), strict=True)],
        "matrices": {str(seed): matrix for seed, matrix in matrices.items()},
        "figures": {name: None if spread is None else asdict(spread) for name, spread in spreads.items()},
    }  # fmt: skip


def _matrix(
    way: Way, reports: Sequence[dict[str, Any]], domains: Sequence[str], base: Sequence[float | None], metric: str
) -> list[list[float | None]]:
    """Scores (T, T): row i after step i, column j of domain j."""
    own = [_score(report["target"], "after_on", metric) for report in reports]
    if way.objective is None:
        # a domain that is not learnt yet has no adapter: the base alone answers
        return [[own[j] if j <= i else base[j] for j in range(len(domains))] for i in range(len(domains))]
    rows = []
    for i, report in enumerate(reports):
        earlier = {one["domain"]: one["after"] for one in (report.get("after") or {}).get("domains", [])}
        later = {name: _score(side, "after_on", metric) for name, side in report["also"].items()}
        rows.append([own[i] if j == i else (earlier if j < i else later).get(name) for j, name in enumerate(domains)])
    return rows


def _base_scores(first: Mapping[str, Any], domains: Sequence[str], metric: str) -> list[float | None]:
    also = [_score(first["also"].get(name), "before", metric) for name in domains[1:]]
    return [_score(first["target"], "before", metric), *also]


def _source(report: Mapping[str, Any], when: str, metric: str) -> float | None:
    return _score(report.get("source"), when, metric)


def _score(side: Mapping[str, Any] | None, when: str, metric: str) -> float | None:
    return ((side or {}).get(when) or {}).get(metric)


def _slug(label: str) -> str:
    return "".join(c if c.isalnum() or c in "._=" else "-" for c in label).strip("-")
