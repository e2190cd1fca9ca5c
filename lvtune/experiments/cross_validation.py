"""Chooses w and lambda 3 of ``text-contrast`` by cross-validation on the source alone.

The paper (Lee et al., WACV 2023) reports 10-fold cross-validation. Its w differs between targets although the source is
the same, so the target must have been used. Here only the sentences of the target are used.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from lvtune.adapters.adapter import Adapter
from lvtune.adapters.factory import create_adapter
from lvtune.api.job import Job, objective_context, prepare, training_data
from lvtune.api.recipe import TEXT_ONLY, Recipe
from lvtune.api.recipe_inputs import recipe_files
from lvtune.api.run_marks import run_key
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_text
from lvtune.core.strict_json import read_json
from lvtune.core.text import shell_word
from lvtune.domains import Split
from lvtune.evaluation.metrics import goodness
from lvtune.evaluation.split_scoring import score_split
from lvtune.hub.starts import warm_start
from lvtune.patcher.attaching import attach
from lvtune.storage.output_folder import check_output, input_folders
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES, objective_config

Say = Callable[[str], None]
Pair = tuple[float, float]
"""w and the weight of the contrast."""
FILE = "select.json"


@dataclass(frozen=True)
class SelectOptions:
    """Values to try, and how."""

    w: tuple[float, ...] = field(default=(0.9, 0.8, 0.6, 0.4), metadata={"at_least": 0, "at_most": 1})
    """Values of w to try; the defaults are those of the paper."""
    weight: tuple[float, ...] = field(default=(1.0, 0.1, 0.01, 0.001), metadata={"at_least": 0})
    """Weights of the contrast (lambda 3) to try; the defaults are those of the paper."""
    folds: int = field(default=10, metadata={"at_least": 2})
    """Number of parts of the source pictures. Each part is used once for testing, and otherwise for training."""
    by: Literal["random", "category"] = "random"
    """Folds at random, or of whole categories such as FreiHAND's backgrounds, so that the test part looks like none of
    the others. Pictures of the same pose are always in one fold."""
    search: Literal["turns", "grid"] = "turns"
    """turns: first w with the recipe's weight, then the weight with the best w. grid: all pairs."""


def select(
    recipe: Recipe | dict[str, Any], options: SelectOptions | None = None, *, say: Say = lambda text: None
) -> dict[str, Any]:
    """Tunes and scores on folds of the source, and chooses the pair with the best mean score.

    ``select.json`` in the recipe's folder keeps every run, so that a stopped search continues.

    Args:
        recipe: as for :func:`lvtune.adapt`; it trains on the source (``text_only``) with the objective text-contrast.
        options: values to try.
        say: receives a line of progress.

    Returns:
        ``chosen`` (``w`` and ``weight``), ``main`` (key of the score), ``tried`` (each pair's ``w``, ``weight``,
        ``mean``, ``deviation`` and ``folds``, the scores), ``train`` (name of the source split), ``folds`` and ``by``.

    Raises:
        LvtuneError: the recipe has another objective; there are fewer poses or categories than folds; or as for
            :func:`lvtune.adapt`.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe)
    options = options or SelectOptions()
    recipe = replace(recipe, text_only=True, objective=recipe.objective or TEXT_ONLY)
    if recipe.objective != TEXT_ONLY:
        raise UsageError(f"select for objective {recipe.objective}", f"{TEXT_ONLY}, whose w and weight are chosen",
                         f"leave --objective out, or choose {TEXT_ONLY}")  # fmt: skip
    check_output(recipe.folder, [recipe.folder / FILE], folders=input_folders(recipe.data), files=recipe_files(recipe))
    job = prepare(recipe)
    run = _Runs(job, folds_of(job.train, options, recipe.seed), options, say)
    weight = objective_config(TEXT_ONLY, job.recipe.objective_options).weight
    pairs = [(w, float(weight)) for w in options.w]
    if options.search == "grid":
        pairs = [(w, weight) for w in options.w for weight in options.weight]
    best = run.best(pairs)
    if options.search == "turns":
        best = run.best([best, *((best[0], weight) for weight in options.weight)])
    values = {
        "chosen": {"w": best[0], "weight": best[1]},
        "main": run.main,
        "tried": run.tried(),
        "train": job.train.name,
        "folds": options.folds,
        "by": options.by,
    }
    write_text(job.recipe.folder / FILE, json.dumps({**values, "runs": run.done, "key": run.key}, indent=1))
    return values


def folds_of(split: Split, options: SelectOptions, seed: int) -> list[np.ndarray]:
    """Returns the rows of each fold; rows with the same key points are always in one fold, unless folded by category.

    Raises:
        LvtuneError: there are fewer poses, or categories, than folds.
    """
    table = split.table
    if options.by == "category":
        groups = [str(name) for name in table.column("category")]
    else:
        points = np.ascontiguousarray(table.column("keypoints"))
        groups = [hashlib.sha256(row.tobytes()).hexdigest() for row in points]
    names = sorted(set(groups))
    if len(names) < options.folds:
        what = "categories" if options.by == "category" else "poses"
        raise UsageError(f"{options.folds} folds of {len(names)} {what} in {split.name}", f"no more folds than {what}",
                         f"give --select.folds {max(2, len(names))}")  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[name]: i % options.folds for i, name in enumerate(order)}
    folds = np.array([fold_of[group] for group in groups])
    return [np.flatnonzero(folds == i) for i in range(options.folds)]


class _Runs:
    """Runs each pair on each fold, and keeps the scores in a file."""

    def __init__(self, job: Job, folds: Sequence[np.ndarray], options: SelectOptions, say: Say) -> None:
        self.job, self.folds, self.say, self.main = job, folds, say, ""
        identity = [run_key(job, fingerprint(job.base)), options.folds, options.by]
        self.key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        self.file = job.recipe.folder / FILE
        self.done: dict[str, dict[str, Any]] = {}
        if self.file.is_file():
            kept = read_json(self.file, error=DataError, fix=f"remove it: rm {shell_word(self.file)}")
            is_same = isinstance(kept, dict) and kept.get("key") == self.key and isinstance(kept.get("runs"), dict)
            self.done = kept["runs"] if is_same else {}
            if not is_same:
                say(f"note: {self.file} is of other data or options: its runs are not used")

    def best(self, pairs: Sequence[Pair]) -> Pair:
        """Returns the pair with the best mean score; errors (px, mm) are better the lower they are."""
        means = [(goodness(self.main, mean), pair) for pair in pairs for mean in [statistics.fmean(self.scores(pair))]]
        return max(means)[1]

    def scores(self, pair: Pair) -> list[float]:
        """Returns the score of a pair on each fold."""
        scores = []
        for number in range(len(self.folds)):
            name = f"{pair[0]:g} {pair[1]:g} {number}"
            if name not in self.done:
                self.say(f"w {pair[0]:g}, weight {pair[1]:g}, fold {number + 1} of {len(self.folds)}")
                self.done[name] = self.run(pair, number)
                write_text(self.file, json.dumps({"key": self.key, "runs": self.done}, indent=1))
            self.main = self.done[name]["main"]
            scores.append(self.done[name]["score"])
        return scores

    def run(self, pair: Pair, number: int) -> dict[str, Any]:
        """Tunes on all folds but one, and scores on that one."""
        job, test_rows = self.job, self.folds[number]
        train_rows = np.setdiff1d(np.arange(len(job.train.table)), test_rows)
        part, test = (job.train.with_table(job.train.table.select(rows)) for rows in (train_rows, test_rows))
        recipe = replace(
            job.recipe,
            objective_options={**job.recipe.objective_options, "w": pair[0], "weight": pair[1]},
        )
        objective = OBJECTIVES.get(TEXT_ONLY)(objective_config(TEXT_ONLY, recipe.objective_options))
        objective.prepare(objective_context(recipe, job.base, job.domain, part))
        adapter = create_adapter(
            recipe.method, job.base, domain=job.domain.name, skeleton=part.table.skeleton,
            bank=cast(Adapter, job.adapter).bank, seed=recipe.seed, **recipe.method_options,
        )  # fmt: skip
        start = warm_start(adapter.to(job.base.device), job.base, recipe.start)
        own = replace(job, recipe=recipe, train=part, adapter=adapter, objective=objective, warm_start=start)
        tune(job.base, adapter, training_data(own), objective, own.options, seed=recipe.seed, device=recipe.device)
        options = recipe.evaluate
        with attach(job.base, adapter, name="selected"):
            scores = score_split(job.base, test, skeleton=adapter.skeleton, category=None, flip_test=options.flip_test,
                                 batch_size=options.batch_size)  # fmt: skip
        score = scores.headline()[scores.main]
        if score is None:
            raise DataError(f"fold {number + 1} of {test.name} without a score ({scores.main})", "labelled pictures",
                            "use fewer folds: --select.folds")  # fmt: skip
        return {"score": float(score), "main": scores.main}

    def tried(self) -> list[dict[str, Any]]:
        """Returns every pair with its scores, in the order tried."""
        pairs = dict.fromkeys(tuple(map(float, name.split()[:2])) for name in self.done)
        rows = []
        for w, weight in pairs:
            scores = self.scores((w, weight))
            mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
            rows.append({"w": w, "weight": weight, "mean": mean, "deviation": deviation, "folds": scores})
        return rows
