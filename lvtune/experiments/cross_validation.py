"""Choosing w and lambda 3 of ``text-contrast`` by cross-validation on the source alone.

The paper (Lee et al., WACV 2023) tells of 10-fold cross-validation, yet its w differs from target to target although
the source is the same, so the target had a say in it. Here nothing of the target but its sentences is used.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from lvtune.adapters.factory import create_adapter
from lvtune.api.job import Job, objective_context, prepare, training_data
from lvtune.api.recipe import TEXT_ONLY, Recipe
from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_text
from lvtune.domains import Split
from lvtune.evaluation.metrics import goodness
from lvtune.evaluation.split_scoring import score_split
from lvtune.hub.starts import warm_start
from lvtune.patcher.attaching import attach
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES, objective_config

Say = Callable[[str], None]
FILE = "select.json"


@dataclass(frozen=True)
class SelectOptions:
    """What is tried."""

    w: tuple[float, ...] = field(default=(0.9, 0.8, 0.6, 0.4), metadata={"at_least": 0, "at_most": 1})
    """Values of w to try; by default those of the paper."""
    weight: tuple[float, ...] = field(default=(1.0, 0.1, 0.01, 0.001), metadata={"at_least": 0})
    """Weights of the contrast (lambda 3) to try; by default those of the paper."""
    folds: int = field(default=10, metadata={"at_least": 2})
    """Number of parts of the source pictures. Each part is the test part once, and trained on otherwise."""
    by: Literal["random", "category"] = "random"
    """Folds at random, or of whole categories such as FreiHAND's backgrounds, so that the test part looks like none of
    the others. Pictures of the same pose are always in one fold."""
    search: Literal["turns", "grid"] = "turns"
    """turns: first w with the recipe's weight, then the weight with the best w. grid: all pairs."""


def select(
    recipe: Recipe | dict[str, Any], options: SelectOptions | None = None, *, say: Say = lambda text: None
) -> dict[str, Any]:
    """Tunes and scores on folds of the source, and chooses what scores best.

    What was run is kept in ``select.json`` of the recipe's folder after each run; started again, it goes on from there.

    Args:
        recipe: as for :func:`lvtune.adapt`; it trains on the source (``text_only``) with objective text-contrast.
        options: what is tried.
        say: told what is being done.

    Returns:
        ``chosen`` (w and weight), ``main`` (the name of the score), ``tried``: each with ``w``, ``weight``,
        ``mean``, ``deviation`` and ``folds`` (the scores); ``train`` (name of the source split).

    Raises:
        LvtuneError: another objective; fewer poses or categories than folds; as for :func:`lvtune.adapt`.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe)
    options = options or SelectOptions()
    recipe = replace(recipe, text_only=True, objective=recipe.objective or TEXT_ONLY)
    if recipe.objective != TEXT_ONLY:
        raise LvtuneError(f"select for objective {recipe.objective}", f"{TEXT_ONLY}, whose w and weight are chosen",
                          f"leave --objective out, or choose {TEXT_ONLY}")  # fmt: skip
    job = prepare(recipe)
    run = _Runs(job, folds_of(job.train, options, recipe.seed), options, say)
    first = job.recipe.objective_options.get("weight", job.objective.config.weight)
    pairs = [(w, float(first)) for w in options.w]
    if options.search == "grid":
        pairs = [(w, weight) for w in options.w for weight in options.weight]
    best = max((run.quality(pair), pair) for pair in pairs)[1]
    if options.search == "turns":
        best = max((run.quality(pair), pair) for pair in [best, *((best[0], weight) for weight in options.weight)])[1]
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
    """Rows of each fold; rows with the same key points are never in two.

    Raises:
        LvtuneError: fewer poses, or categories, than folds.
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
        raise LvtuneError(f"{options.folds} folds of {len(names)} {what} in {split.name}", f"no more folds than {what}",
                          f"give --select.folds {max(2, len(names))}")  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[name]: i % options.folds for i, name in enumerate(order)}
    folds = np.array([fold_of[group] for group in groups])
    return [np.flatnonzero(folds == i) for i in range(options.folds)]


class _Runs:
    """One run for each pair and fold, kept in a file as they are done."""

    def __init__(self, job: Job, folds: Sequence[np.ndarray], options: SelectOptions, say: Say) -> None:
        self.job, self.folds, self.say, self.main = job, folds, say, ""
        told = [job.recipe.to_dict() | {"out": None}, job.train.table.fingerprint, options.folds, options.by]
        self.key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        self.file = job.recipe.folder / FILE
        self.done: dict[str, dict[str, Any]] = {}
        if self.file.is_file():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.done = kept["runs"] if kept.get("key") == self.key else {}

    def mean(self, pair: tuple[float, float]) -> float:
        """Mean score of a pair over the folds."""
        return statistics.fmean(self.scores(pair))

    def quality(self, pair: tuple[float, float]) -> float:
        """Mean score of a pair; of an error its negative, so that more is better."""
        mean = self.mean(pair)
        return goodness(self.main, mean)

    def scores(self, pair: tuple[float, float]) -> list[float]:
        """Score of a pair on each fold."""
        found = []
        for number in range(len(self.folds)):
            name = f"{pair[0]:g} {pair[1]:g} {number}"
            if name not in self.done:
                self.say(f"w {pair[0]:g}, weight {pair[1]:g}, fold {number + 1} of {len(self.folds)}")
                self.done[name] = self.run(pair, number)
                write_text(self.file, json.dumps({"key": self.key, "runs": self.done}, indent=1))
            self.main = self.done[name]["main"]
            found.append(self.done[name]["score"])
        return found

    def run(self, pair: tuple[float, float], number: int) -> dict[str, Any]:
        """Tunes on all folds but one and scores that one."""
        job, held = self.job, self.folds[number]
        rest = np.setdiff1d(np.arange(len(job.train.table)), held)
        part, test = (job.train.with_table(job.train.table.select(rows)) for rows in (rest, held))
        recipe = replace(
            job.recipe,
            objective_options={**job.recipe.objective_options, "w": pair[0], "weight": pair[1]},
        )
        made = OBJECTIVES.get(recipe.objective)(objective_config(recipe.objective, recipe.objective_options))
        made.prepare(objective_context(recipe, job.base, job.domain, part))
        adapter = create_adapter(
            recipe.method, job.base, domain=job.domain.name, skeleton=part.table.skeleton, bank=job.adapter.bank,
            seed=recipe.seed, **recipe.method_options,
        )  # fmt: skip
        begun = warm_start(adapter.to(job.base.device), job.base, recipe.start)
        own = replace(job, recipe=recipe, train=part, adapter=adapter, objective=made, warm_start=begun)
        tune(job.base, adapter, training_data(own), made, own.options, seed=recipe.seed, device=recipe.device)
        options = recipe.evaluate
        with attach(job.base, adapter, name="selected"):
            scores = score_split(job.base, test, skeleton=adapter.skeleton, category=None, flip_test=options.flip_test,
                                 batch_size=options.batch_size)  # fmt: skip
        return {"score": float(scores.headline()[scores.main]), "main": scores.main}

    def tried(self) -> list[dict[str, Any]]:
        """Every pair that all folds were run of, in the order tried."""
        pairs = dict.fromkeys(tuple(map(float, name.split()[:2])) for name in self.done)
        rows = []
        for w, weight in pairs:
            scores = self.scores((w, weight))
            mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
            rows.append({"w": w, "weight": weight, "mean": mean, "deviation": deviation, "folds": scores})
        return rows
