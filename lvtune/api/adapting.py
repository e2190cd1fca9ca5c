"""The main job: recipe -> base -> adapter -> patcher -> loop -> adapter file -> report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.job import Job, prepare, training_data
from lvtune.api.report import environment, peak_memory_mb, pictures, scores_table
from lvtune.errors import LvtuneError
from lvtune.evaluation.evaluate import Scores, score_split
from lvtune.hub.fingerprint import fingerprint
from lvtune.hub.store import save_adapter
from lvtune.patcher import attach, attached
from lvtune.recipe import Recipe
from lvtune.training.loop import History, tune

if TYPE_CHECKING:
    from lvtune.domains import Split

Say = Any
"""Callable that is told in a few words what is being done."""


@dataclass
class AdaptReport:
    """What :func:`adapt` did; :meth:`to_dict` is ``report.json``."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """``source``, ``target``, ``gap_closed``, ``retention``, ``adapter``, ``base``, ``seconds`` ..."""
        return self.values


@dataclass
class _Measured:
    """Scores of one split before, with the adapter on, and with it off again."""

    before: Scores | None = None
    after_on: Scores | None = None
    after_off: Scores | None = None


def adapt(recipe: Recipe | dict[str, Any] | None = None, *, say: Say = lambda text: None) -> AdaptReport:
    """Tunes an adapter, scores it on target and source, restores the base and writes folder and report.

    Args:
        recipe: a :class:`lvtune.Recipe`, its dictionary, or None for the default job.
        say: told what is being done, for a progress line.

    Raises:
        LvtuneError: anything in the recipe that does not exist or does not fit; an unwritable folder.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    existed = recipe.folder.exists()
    folder = _writable(recipe.folder)
    started = time.perf_counter()
    say(f"loading {recipe.base} and {recipe.domain}")
    try:
        job = prepare(recipe)
    except BaseException:
        if not existed:
            folder.rmdir()
        raise
    seconds = {"load": time.perf_counter() - started, "tune": 0.0, "evaluate": 0.0}
    print_before = fingerprint(job.base)
    target, source = _Measured(), _Measured()

    say("scoring the base")
    started = time.perf_counter()
    _measure(job, target, source, "before")
    seconds["evaluate"] += time.perf_counter() - started

    for note in job.objective.notes:
        say(f"note: {note}")
    say(f"tuning {recipe.method} on {len(job.train.table)} persons: {job.train.name}")
    history = _tune(job, folder)
    seconds["tune"] = history.seconds

    say("scoring with the adapter on and off")
    started = time.perf_counter()
    with attach(job.base, job.adapter, name="adapted"):
        _measure(job, target, source, "after_on")
    _measure(job, target, source, "after_off")
    seconds["evaluate"] += time.perf_counter() - started

    values = _values(job, target, source, history, seconds)
    values["base"] = {
        "name": job.base.name,
        "fingerprint_before": print_before,
        "fingerprint_after": fingerprint(job.base),
    }
    _write(job, folder, values, target)
    return AdaptReport(folder, values)


def _writable(folder: Path) -> Path:
    """Makes the folder now: a run of minutes must not end in "permission denied"."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".lvtune-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise LvtuneError(
            f"output folder {folder} ({error.strerror or error})", "a folder that can be written",
            "choose another with --out DIR",
        ) from error  # fmt: skip
    return folder


def _tune(job: Job, folder: Path) -> History:
    """The loop, with a checkpoint in the folder if the recipe asks for one; it goes when the run is done."""
    options = job.recipe.train
    checkpoint = folder / "checkpoint.safetensors" if options.checkpoint_every else None
    history = tune(
        job.base,
        job.adapter,
        training_data(job),
        job.objective,
        options,
        seed=job.recipe.seed,
        device=job.recipe.device,
        checkpoint=checkpoint,
        key=json.dumps(job.recipe.to_dict(), sort_keys=True),
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return history


def _measure(job: Job, target: _Measured, source: _Measured, when: str) -> None:
    """Scores target and source as things stand now; without the adapter only where the base can predict them."""
    is_on = when == "after_on"
    skeleton = job.adapter.skeleton if is_on else job.base.skeleton
    for split, measured in ((job.test, target), (job.source, source)):
        if split is None or split.table.skeleton.keypoints != skeleton.keypoints:
            continue
        setattr(measured, when, _score(job, split, skeleton, on_source=split is job.source))


def _score(job: Job, split: Split, skeleton: Any, on_source: bool) -> Scores:
    options = job.recipe.evaluate
    # the source is no category of the target domain: it is read with the mean sentence
    is_read = attached(job.base) and not on_source
    return score_split(
        job.base,
        split,
        skeleton=skeleton,
        prompt=job.prompt if is_read else None,
        flip_test=options.flip_test,
        batch_size=options.batch_size,
    )


def _values(
    job: Job, target: _Measured, source: _Measured, history: History, seconds: dict[str, float]
) -> dict[str, Any]:
    share = sum(p.numel() for p in job.adapter.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in job.base.model.parameters())
    same = None
    if source.before is not None and source.after_off is not None:
        same = bool(np.array_equal(source.before.keypoints, source.after_off.keypoints)) and bool(
            np.array_equal(source.before.scores, source.after_off.scores)
        )
    return {
        **scores_table(vars(target), vars(source)),
        "source_off_identical": same,
        "target_name": job.test.name,
        "source_name": None if job.source is None else job.source.name,
        "adapter": {"method": job.recipe.method, "parameters": share, "share_of_base": share / whole},
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_memory_mb": peak_memory_mb(),
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "versions": environment(),
        "notes": [*job.train.table.notes, *job.test.table.notes, *job.objective.notes],
        "curves": {"steps": history.steps, "loss": history.loss, "val_steps": history.val_steps, "val": history.val},
    }


def _write(job: Job, folder: Path, values: dict[str, Any], target: _Measured) -> None:
    from lvtune.api.language_figures import figures_of_job
    from lvtune.hub.atomic import write_text
    from lvtune.hub.card import Publication, model_card
    from lvtune.hub.store import adapter_config
    from lvtune.viz.before_after import write_before_after
    from lvtune.viz.report import write_report

    training = {
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "steps": len(values["curves"]["steps"]),
        "data_fingerprint": job.train.table.fingerprint,
    }
    scored = ("source", "target", "source_name", "target_name", "gap_closed", "retention")
    metrics = {name: values[name] for name in scored}
    save_adapter(job.adapter, folder, job.base, training=training, metrics=metrics)
    values["adapter"]["bytes"] = (folder / "adapter_model.safetensors").stat().st_size
    config = adapter_config(job.adapter, job.base, training=training, metrics=metrics)
    pairs = pictures(job, target.before, target.after_on)
    shown = write_before_after(pairs, folder)
    at = Publication(picture=None if shown is None else shown.name)
    write_text(folder / "README.md", model_card(config, values, at))
    write_text(folder / "report.json", json.dumps(values, indent=1))
    write_report(values, folder / "report.html", pairs, figures_of_job(job))
