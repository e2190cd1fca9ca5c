"""What an adapter file says of its tuning, and the state that is saved where a loss is no number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.earlier_scores import chain_values
from lvtune.api.grow_choice import grown_from
from lvtune.api.report_data import box_statistics, confidence_of
from lvtune.bases.fingerprint import fingerprints
from lvtune.core.errors import TrainingError
from lvtune.core.processes import is_main
from lvtune.core.text import shell_word
from lvtune.storage.adapter_config import shareable
from lvtune.storage.store import save_adapter

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.api.scoring import Scoring
    from lvtune.api.start_choice import WarmStartCheck
    from lvtune.training.history import History
    from lvtune.training.step_guard import NotFiniteError

LAST_GOOD = "last-good"
"""Folder, within the run's, of the last state whose loss was finite."""


def training_of(job: Job, start: WarmStartCheck, history: History, scoring: Scoring) -> dict[str, Any]:
    """Returns what the adapter file says of its tuning: recipe, data, start, and how sure it was on the target."""
    begun = start.to_dict() or {}
    return {
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "steps": len(history.steps),
        "data_fingerprint": job.train.table.fingerprint,
        "boxes": box_statistics(job.train),
        "confidence": confidence_of(scoring.target.after_on),
        **grown_from(job),
        **chain_values(job),
        **shareable({"start": begun["name"] if begun.get("kept") else "none"}),
    }


def keep_last_good(job: Job, folder: Path, error: NotFiniteError) -> TrainingError:
    """Saves the last state whose loss was finite, and returns the error with its place in it."""
    if error.state is None:
        return TrainingError(error.given, error.expected, f"{error.fix}; no state is kept: none was better")
    place = folder / LAST_GOOD
    kept = f"the adapter after step {error.step}, whose loss was finite, is kept in {shell_word(place)}"
    if is_main():
        job.adapter.load_state_dict(error.state)
        recipe = {"recipe": job.recipe.to_dict(), "seed": job.recipe.seed, "steps": error.step}
        save_adapter(job.adapter, place, job.base, prints=fingerprints(job.base.model), training=recipe)
    return TrainingError(error.given, error.expected, f"{error.fix}; {kept}")
