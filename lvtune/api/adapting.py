"""The main job: recipe -> base -> adapter -> patcher -> loop -> adapter file -> report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.few_shot import FewShotGuard
from lvtune.api.held_out import held_out_watch
from lvtune.api.job import Job, prepare, training_data
from lvtune.api.memory import peak_device_memory_mb, peak_memory_mb, reset_peak_memory
from lvtune.api.recipe import Recipe
from lvtune.api.report_data import environment, pictures, scores_table
from lvtune.api.scoring import Measured, Scoring
from lvtune.api.start_choice import WarmStartCheck
from lvtune.bases.fingerprint import fingerprint
from lvtune.core.errors import LvtuneError
from lvtune.patcher.attaching import attach
from lvtune.storage.store import save_adapter
from lvtune.training.loop import History, tune

if TYPE_CHECKING:
    from lvtune.api.score_cache import ScoreCache
    from lvtune.config.options import TrainOptions

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


def adapt(
    recipe: Recipe | dict[str, Any] | None = None,
    *,
    say: Say = lambda text: None,
    known: ScoreCache | None = None,
) -> AdaptReport:
    """Tunes an adapter, scores it on target and source, restores the base and writes folder and report.

    Args:
        recipe: a :class:`lvtune.Recipe`, its dictionary, or None for the default job.
        say: told what is being done, for a progress line.
        known: what earlier runs on this base and domain worked out; see :class:`lvtune.api.score_cache.ScoreCache`.

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
    scoring, start, few = Scoring(job, print_before, known), WarmStartCheck(job), FewShotGuard(job)

    say("scoring the base")
    started = time.perf_counter()
    scoring.before()
    seconds["evaluate"] += time.perf_counter() - started

    for note in (*few.warnings, *job.objective.notes):
        say(f"note: {note}")
    say(f"tuning {recipe.method} on {few.pictures} pictures: {job.train.name}")
    reset_peak_memory()
    started = time.perf_counter()
    start.check()
    if start.note:
        say(start.note)
    for decision in job.decisions:
        say(decision.line())
    few.check()
    if few.guarded is not None:
        say(few.decision.line())
    history = _tune(job, folder, few.options)
    few.keep()
    seconds["tune"] = max(history.seconds, time.perf_counter() - started)
    peak = {"peak_memory_mb": peak_memory_mb(), "peak_device_memory_mb": peak_device_memory_mb()}

    say("scoring with the adapter on and off")
    started = time.perf_counter()
    with attach(job.base, job.adapter, name="adapted"):
        scoring.on()
    print_after = fingerprint(job.base)
    scoring.off(print_after)
    seconds["evaluate"] += time.perf_counter() - started

    values = _values(job, scoring, history, seconds) | peak
    values["shots"], values["few"] = job.recipe.data.shots, few.to_dict()
    values["start"] = start.to_dict()
    values["decisions"] = [d.to_dict() for d in (*job.decisions, start.decision, few.decision)]
    values["notes"] += [start.note] * bool(start.note)
    values["notes"] += [note for note in few.notes if note not in values["notes"]]
    values["base"] = {"name": job.base.name, "fingerprint_before": print_before, "fingerprint_after": print_after}
    _write(job, folder, values, scoring.target)
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


def _tune(job: Job, folder: Path, options: TrainOptions) -> History:
    """The loop, with a checkpoint in the folder if the recipe asks for one; it goes when the run is done."""
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
        watch=held_out_watch(job),
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return history


def _values(job: Job, scoring: Scoring, history: History, seconds: dict[str, float]) -> dict[str, Any]:
    share = sum(p.numel() for p in job.adapter.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in job.base.model.parameters())
    also = {
        name: {"name": job.also[name].name} | {when: s and s.headline() for when, s in vars(one).items()}
        for name, one in scoring.also.items()
    }
    steps = len(history.steps)
    return {
        **scores_table(vars(scoring.target), vars(scoring.source)),
        "also": also,
        "source_off_identical": scoring.is_identical,
        "source_off_checked": scoring.off_checked,
        "target_name": job.test.name,
        "source_name": None if job.source is None else job.source.name,
        "adapter": {"method": job.recipe.method, "parameters": share, "share_of_base": share / whole},
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "seconds_per_step": round(history.seconds / steps, 4) if steps else None,
        "peak_lr": history.lr,
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "versions": environment(),
        "notes": [*job.train.table.notes, *job.test.table.notes, *job.objective.notes],
        "curves": {
            "steps": history.steps,
            "loss": history.loss,
            "val_steps": history.val_steps,
            "val": history.val,
            "px_steps": history.px_steps,
            "px_mean": history.px_mean,
            "empty_loss": history.empty_loss,
        },
    }


def _write(job: Job, folder: Path, values: dict[str, Any], target: Measured) -> None:
    from lvtune.api.language_figures import figures_of_job
    from lvtune.api.look_pictures import looked
    from lvtune.core.files import write_text
    from lvtune.hub.card import Publication, model_card
    from lvtune.storage.adapter_config import shareable
    from lvtune.storage.store import adapter_config
    from lvtune.viz.before_after import write_before_after
    from lvtune.viz.report_page import write_report

    training = {
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "steps": len(values["curves"]["steps"]),
        "data_fingerprint": job.train.table.fingerprint,
        **shareable({"start": values["start"]["name"] if (values["start"] or {}).get("kept") else "none"}),
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
    write_report(values, folder / "report.html", pairs, figures_of_job(job), looked(job))
