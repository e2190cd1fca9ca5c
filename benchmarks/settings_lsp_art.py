"""One setting of one method on lsp-art, scored on its validation photographs: which settings suit few pictures.

    python benchmarks/settings_lsp_art.py LSPET/ vlpose-light --lr 2.5e-4
    python benchmarks/settings_lsp_art.py LSPET/ full --lr 2e-4 --steps 100 --data.shots 60

Takes the folder of LSPET, a method and any option of ``lvtune adapt``. Tunes on ``lsp-art/seen`` (370 photographs, each
under one of ten filters, or ``--data.shots`` of them). Scores the 100 validation photographs, each under all ten (1,000
pictures, read with their own category's sentence, no flip test), and the same photographs unfiltered. The four held-out
filters and the test photographs are not read. Prints one line: PCK@0.2 before and with the adapter on.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

from lvtune.api.job import prepare, training_data
from lvtune.cli.adapt import parser, recipe_of
from lvtune.config.options import DataOptions
from lvtune.domains import get_domain
from lvtune.domains.lsp_art import SEEN
from lvtune.evaluation.split_scoring import score_split
from lvtune.patcher.attaching import attach
from lvtune.training.loop import tune

METRIC = "pck@0.2"


def turned(data: DataOptions, by: int):
    """The validation photographs, the i-th under filter i + ``by``."""
    return replace(get_domain("lsp-art"), categories=SEEN[by:] + SEEN[:by]).open("val", data)


def scores(base, views, source):
    """Means over the views, and of the photographs as they are."""
    found = [score_split(base, view, flip_test=False).values[METRIC] for view in views]
    return statistics.mean(found), score_split(base, source, category=None, flip_test=False).values[METRIC]


def main() -> None:
    """Tunes and prints the line."""
    arguments = sys.argv[1:]
    if len(arguments) < 2 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return
    folder, method, *rest = arguments
    argv = ["--domain", "lsp-art/seen", "--data.data", folder, "--evaluate.split", "val", "--method", method, *rest]
    job = prepare(recipe_of(parser(argv, "").parse(argv)))
    views = [turned(job.recipe.data, by) for by in range(len(SEEN))]
    before = scores(job.base, views, job.source)
    started = time.perf_counter()
    options = {"seed": job.recipe.seed, "device": job.recipe.device}
    history = tune(job.base, job.adapter, training_data(job), job.objective, job.options, **options)
    seconds = time.perf_counter() - started
    with attach(job.base, job.adapter, name="tuned"):
        after = scores(job.base, views, job.source)
    print(
        f"{' '.join(arguments[1:])}: {len(history.steps)} steps; target {before[0]:.1f} -> {after[0]:.1f} "
        f"({after[0] - before[0]:+.2f}); source {before[1]:.1f} -> {after[1]:.1f}; {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
