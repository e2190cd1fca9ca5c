"""Shows how far the held-out frames are while a run on own data goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvtune.api.own_defaults import CUSTOM
from lvtune.evaluation.inference import predict_split
from lvtune.training.watch import Watch

if TYPE_CHECKING:
    from lvtune.api.job import Job

MOST = 24
"""Held-out instances that are looked at."""


def held_out_watch(job: Job) -> Watch | None:
    """Makes a watch of the test frames of own data; it decides nothing. None for other domains and other tasks."""
    if job.domain.name.partition("/")[0] != CUSTOM or job.test.task != "pose2d" or job.recipe.text_only:
        return None
    frames = job.test.first(min(MOST, len(job.test.table)))

    def error() -> tuple[float, float]:
        points, _ = predict_split(
            job.base, frames, flip_test=False, category=job.category, skeleton=job.adapter.skeleton
        )
        truth = np.asarray(frames.table.column("keypoints"))
        seen = truth[..., 2] > 0
        distance = np.linalg.norm(points - truth[..., :2], axis=-1)[seen]
        return (float(distance.mean()), float(np.median(distance))) if len(distance) else (0.0, 0.0)

    return Watch(error)
