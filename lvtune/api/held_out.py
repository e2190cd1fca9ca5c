"""Shows how far the held-out frames are while a run on own data goes on: the error in pixels, and a few pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_atomically
from lvtune.domains.own_domain import is_own_data
from lvtune.evaluation.inference import predict_split
from lvtune.training.watch import Watch

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.domains import Split

MOST = 24
"""Held-out instances that are looked at."""
PROGRESS_FILE = "progress.png"
"""The sheet of pictures, in the folder of the run."""


def held_out_watch(job: Job, folder: Path) -> Watch | None:
    """Makes a watch of the test frames of own data; it decides nothing. None for other domains and other tasks.

    Args:
        job: prepared.
        folder: of the run, which gets ``PROGRESS_FILE``; a sheet of an earlier run is removed.
    """
    file = folder / PROGRESS_FILE
    if is_first_process():
        file.unlink(missing_ok=True)
    if not is_own_data(job.recipe.domain) or job.test.task != "pose2d" or job.recipe.text_only:
        return None
    held_out = _HeldOut(job, file)
    return Watch(held_out.error, held_out.draw if job.recipe.train.progress_frames else None)


def is_first_process() -> bool:
    """Returns True in the process of a launch that writes files."""
    return os.environ.get("RANK", "0") == "0"


class _HeldOut:
    """The frames that are looked at, and the last predictions for them."""

    def __init__(self, job: Job, file: Path) -> None:
        self.job, self.file = job, file
        self.frames: Split = job.test.first(min(MOST, len(job.test.table)))
        truth = np.asarray(self.frames.table.column("keypoints"), float)
        self.labels = np.where(truth[..., 2:] > 0, truth[..., :2], np.nan)  # (N, K, 2)
        self.points = self.labels
        count = min(job.recipe.train.progress_frames, len(self.labels))
        self.shown = np.unique(np.linspace(0, len(self.labels) - 1, count).round().astype(int)).tolist()
        self.sheet = None

    def error(self) -> tuple[float, float]:
        """Returns (mean, median) error of the labelled points in pixels of the picture."""
        job = self.job
        self.points, _ = predict_split(
            job.base, self.frames, flip_test=False, category=job.category, skeleton=job.adapter.skeleton
        )
        distance = np.linalg.norm(self.points - self.labels, axis=-1)
        distance = distance[np.isfinite(distance)]
        return (float(distance.mean()), float(np.median(distance))) if len(distance) else (0.0, 0.0)

    def draw(self, step: int) -> str:
        """Adds the frames as they are now to the sheet; returns what is to be said of it."""
        import cv2

        from lvtune.viz.progress_sheet import ProgressSheet

        if not is_first_process():
            return ""
        if self.sheet is None:
            boxes = np.asarray(self.frames.table.column("bbox"), float)[self.shown]
            images = [self.frames.picture(i) for i in self.shown]
            self.sheet = ProgressSheet(images, list(self.labels[self.shown]), list(boxes))
        sheet = self.sheet.add(f"step {step}", list(self.points[self.shown]))
        try:
            write_atomically(self.file, cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())
        except LvtuneError as error:  # a run is not lost for a picture
            return f"no {self.file.name}: {error}"
        return f"drawn in {self.file}"
