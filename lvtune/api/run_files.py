"""Writes what a run leaves behind: the adapter with its scores, the card, the report, and pictures before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.report_pictures import before_after, worst_pictures
from lvtune.storage.adapter_file import TENSORS_FILE
from lvtune.storage.run_folder import swapped_in
from lvtune.storage.store import save_adapter

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.api.scoring import Measured

SCORED = ("source", "target", "source_name", "target_name", "gap_closed", "retention", "main", "scoring")
"""Values of the report that the adapter's file holds too."""


def write_run(
    job: Job, folder: Path, values: dict[str, Any], target: Measured, *, prints: dict[str, str], more: dict[str, Any]
) -> list[Path]:
    """Writes the files of a run, all of them or none.

    Args:
        job: with the tuned adapter.
        folder: of the run.
        values: of the report; the size of the adapter's file is added.
        target: its predictions before and after, which are drawn.
        prints: fingerprints of the base.
        more: further entries of the adapter's configuration, such as ``training``.

    Returns:
        The pictures before and after, if they were drawn.
    """
    from lvtune.api.language_figures import figures_of_job
    from lvtune.api.look_pictures import looked
    from lvtune.core.files import write_text
    from lvtune.hub.card import Publication, model_card
    from lvtune.storage.store import adapter_config
    from lvtune.viz.before_after import write_before_after
    from lvtune.viz.report_page import write_report

    parts = {"metrics": {name: values[name] for name in SCORED}} | more
    config = adapter_config(job.adapter, job.base, prints=prints, **parts)
    with swapped_in(folder) as place:
        save_adapter(job.adapter, place, job.base, prints=prints, **parts)
        values["adapter"]["bytes"] = (place / TENSORS_FILE).stat().st_size
        pairs = before_after(job, target.before, target.after_on)
        shown = write_before_after(pairs, place)
        at = Publication(picture=None if shown is None else shown.name)
        write_text(place / "README.md", model_card(config, values, at))
        write_text(place / "report.json", json.dumps(values, indent=1))
        far = worst_pictures(job, target.after_on)
        write_report(values, place / "report.html", pairs, figures_of_job(job), looked(job), worst=far)
    return [] if shown is None else [folder / shown.name]
