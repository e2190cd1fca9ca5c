"""Scores on the key points that base and adapter share, where they do not predict the same ones.

People's own data often have some key points that the base knows (shoulders, hips) and some that it does not (eyes).
Then neither can be scored on all of the other's pictures, but on what they share both can: what tuning gained on the
target, and what the source keeps with the adapter on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.data.mixed import MixedTable
from lvtune.data.skeletons import Skeleton
from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.pck import pck
from lvtune.evaluation.pixel_errors import distances, pixel_errors

if TYPE_CHECKING:
    from lvtune.api.job import Job
    from lvtune.domains import Split
    from lvtune.evaluation.task import Scores

LEAST = 2
"""Shared key points from which on they are scored."""
FIGURES = ("pck@0.2", "pck@0.5", "px_mean", "px_median", "px_rms")


class SharedPoints:
    """Usage: ``before()`` with the bare base, ``on()`` with the adapter attached; ``to_dict()`` then has both.

    Both take the scores of whole splits that are known: their predictions are used, and nothing is predicted twice.

    Args:
        job: prepared.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.names: dict[str, list[str]] = {}
        """Side (``target``, ``source``) to the key points that are scored."""
        self._splits: dict[str, Split] = {}
        self._found: dict[str, dict[str, dict[str, float | None]]] = {}
        own, base = job.adapter.skeleton.keypoints, job.base.skeleton.keypoints
        for side, split in (("target", job.test), ("source", job.source)):
            if own == base or split is None or split.task != "pose2d" or isinstance(split.table, MixedTable):
                continue
            names = [name for name in split.table.skeleton.keypoints if name in own and name in base]
            if len(names) >= LEAST:
                self.names[side], self._splits[side], self._found[side] = names, split, {}

    def before(self, known: Mapping[str, Scores | None]) -> None:
        """Scores the bare base; ``known``: side to its scores, None where the base cannot be scored on all of it."""
        self._score("before", self.job.base.skeleton, known)

    def on(self, known: Mapping[str, Scores | None]) -> None:
        """Scores with the adapter attached; ``known`` likewise."""
        self._score("after_on", self.job.adapter.skeleton, known)

    def to_dict(self) -> dict[str, Any]:
        """Side to ``keypoints`` (names), ``before`` and ``after_on`` (score to number); empty where all are shared."""
        return {side: {"keypoints": names} | self._found[side] for side, names in self.names.items()}

    def _score(self, when: str, predicted: Skeleton, known: Mapping[str, Scores | None]) -> None:
        job = self.job
        for side, split in self._splits.items():
            whole = known.get(side)
            if whole is not None:
                points, scores = whole.keypoints, whole.scores
            else:
                # the source is no category of the target domain: it gets the mean sentence
                is_read = when == "after_on" and side == "target"
                points, scores = predict_split(
                    job.base, split, skeleton=predicted, category=job.category if is_read else None,
                    flip_test=job.recipe.evaluate.flip_test, batch_size=job.recipe.evaluate.batch_size,
                )  # fmt: skip
            self._found[side][when] = shared_scores(split, predicted, points, scores, self.names[side])


def shared_scores(
    split: Split, predicted: Skeleton, points: np.ndarray, scores: np.ndarray, names: list[str]
) -> dict[str, float | None]:
    """Returns PCK in percent and errors in pixels on some key points.

    Args:
        split: N labelled instances.
        predicted: the K key points of the predictions.
        points: (N, K, 2) in picture pixels.
        scores: (N, K).
        names: key points that labels and predictions have; PCK is normalised by what is among them (torso, head, box).
    """
    table: Any = split.table
    theirs = [predicted.keypoints.index(name) for name in names]
    ours = [table.skeleton.keypoints.index(name) for name in names]
    truth = table.column("keypoints")[:, ours]
    labels, visible = truth[..., :2], truth[..., 2]
    kind = Skeleton("shared", tuple(names), tuple(table.skeleton.sigmas[i] for i in ours))
    found = pck(points[:, theirs], labels, visible, kind, boxes=table.column("bbox"))
    found |= pixel_errors(distances(points[:, theirs], labels, visible), scores[:, theirs], names)
    return {name: found[name] for name in FIGURES}
