"""What ``report.json`` says of a run: scores, history and recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvtune.api.as_tuned import TUNED_ON, names_to_keep
from lvtune.api.report_data import active_negatives, box_statistics, environment, scores_table
from lvtune.api.report_pictures import worst

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.api.scoring import Scoring
    from lvtune.training.history import History


def values_of(job: Job, scoring: Scoring, history: History, seconds: dict[str, float]) -> dict[str, Any]:
    """The parts of ``report.json`` that follow from scores, history and recipe."""
    trained = sum(p.numel() for p in job.adapter.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in job.base.model.parameters())
    also = {
        name: {"name": job.also[name].name} | {when: s and s.headline() for when, s in vars(one).items()}
        for name, one in scoring.also.items()
    }
    steps = len(history.steps)
    table = scores_table(vars(scoring.target), vars(scoring.source))
    return {
        **table,
        "reasons": scoring.reasons(),
        "shared": scoring.shared.to_dict(),
        "worst": worst(job, scoring.target.after_on),
        "boxes": box_statistics(job.train),
        TUNED_ON: names_to_keep(job.recipe, job.train),
        "also": also,
        "source_off_identical": scoring.is_identical,
        "source_off_checked": scoring.off_checked,
        "target_name": job.test.name,
        "source_name": None if job.source is None else job.source.name,
        "adapter": {"method": job.recipe.method, "parameters": trained, "share_of_base": trained / whole},
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "seconds_per_step": round(history.seconds / steps, 4) if steps else None,
        "peak_lr": history.lr,
        "step": None if history.division is None else history.division.to_dict(),
        "recipe": job.recipe.to_dict(),
        "seed": job.recipe.seed,
        "versions": environment(),
        "notes": list(dict.fromkeys([
            *job.table_notes, *job.objective.notes,
            *((table["scoring"]["target"] or {}).get("notes", [])),
        ])),
        "curves": {
            "steps": history.steps, "loss": history.loss, "val_steps": history.val_steps, "val": history.val,
            "px_steps": history.px_steps, "px_mean": history.px_mean, "empty_loss": history.empty_loss,
            "active_negatives": history.active_negatives,
        },
        "active_negatives": active_negatives(history.active_negatives),
    }  # fmt: skip
