"""Predicts the pictures that a user wants to see in the report, before and after; they are not scored."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.prediction.pose import Pose

_LONGEST = 840


def looked(job: Job) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns (file name, RGB uint8 before, RGB uint8 with the adapter on) of ``recipe.look``, each picture whole.

    Raises:
        LvtuneError: a picture that is missing or broken.
    """
    if not job.recipe.look:
        return []
    before, after = (_drawn(job, adapter) for adapter in (None, job.adapter))
    return [(Path(file).name, image, after[file]) for file, image in before.items()]


def _drawn(job: Job, adapter: Any) -> dict[str, np.ndarray]:
    from lvtune.api.predicting import predict

    options = job.recipe.evaluate
    # these pictures have no annotated category
    category = None if adapter is None or options.category in ("own", "shuffled") else options.category
    poses = predict(
        job.recipe.look, base=job.base, adapter=adapter, category=category, ranker=options.ranker,
        flip_test=options.flip_test, batch_size=options.batch_size, device=job.recipe.device,
    )  # fmt: skip
    return {file: _sheet(file, list(found)) for file, found in groupby(poses, lambda pose: pose.image)}


def _sheet(file: str, poses: list[Pose]) -> np.ndarray:
    import cv2

    from lvtune.data.images import read_image
    from lvtune.prediction.hand_results import draw_all

    drawn = draw_all(read_image(Path(file)), poses)
    shrink = min(1, _LONGEST / max(drawn.shape[:2]))
    return cv2.resize(drawn, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else drawn
