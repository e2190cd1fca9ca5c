"""Numbers the poses of a video: the stage between the estimator and the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lvtune.core.text import counted
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.pose import FramePoses, Pose
from lvtune.tracks.tracker import Tracker, TrackOptions

SURE = 0.2
"""Key points with a lower score are not compared."""


class Tracking:
    """A stage that gives each pose its :attr:`lvtune.Pose.track`.

    Poses of different skeletons are never the same animal.

    Args:
        options: how.
    """

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self._trackers: dict[str, Tracker] = {}
        self._ids: dict[tuple[str, int], int] = {}
        self.frames: dict[int, int] = {}
        """Number to the frames in which it was seen."""
        self.too_many = 0
        """Poses beyond the known number of individuals, left out."""

    def process(self, result: FramePoses) -> FramePoses:
        """Numbers the poses of the next frame."""
        numbers = self._numbers(result)
        kept = [replace(pose, track=number) for pose, number in zip(result, numbers, strict=True) if number is not None]
        self.too_many += len(result) - len(kept)
        self._count(kept)
        return FramePoses(
            result.frame, kept, marks=result.marks,
            heatmaps=[h for h, number in zip(result.heatmaps, numbers, strict=False) if number is not None],
        )  # fmt: skip

    def replay(self, result: FramePoses) -> None:
        """Goes on as if it had numbered the frame."""
        self._numbers(result)
        self._count(result)

    def notes(self) -> list[str]:
        """Returns what the user must know."""
        if not self.frames:
            return []
        shown = ", ".join(f"{number} in {counted(count, 'frame')}" for number, count in sorted(self.frames.items())[:4])
        more = ", ..." if len(self.frames) > 4 else ""
        notes = [f"tracks: {len(self.frames)} ({shown}{more})"]
        if self.too_many:
            notes.append(
                f"{counted(self.too_many, 'pose')} left out: more than --individuals {self.options.individuals}"
            )
        return notes

    def _count(self, poses: Sequence[Pose]) -> None:
        for pose in poses:
            if pose.track is not None:
                self.frames[pose.track] = self.frames.get(pose.track, 0) + 1

    def _numbers(self, result: FramePoses) -> list[int | None]:
        time = result.frame.time
        time = float(result.frame.index) if time is None else time
        numbers: list[int | None] = [None] * len(result)
        for skeleton in {pose.skeleton.name: pose.skeleton for pose in result}.values():
            places = [i for i, pose in enumerate(result) if pose.skeleton.name == skeleton.name]
            for i, number in zip(places, self._update(time, skeleton, [result[i] for i in places]), strict=True):
                if number is not None:
                    numbers[i] = self._ids.setdefault((skeleton.name, number), len(self._ids) + 1)
        for name, tracker in self._trackers.items():
            if all(pose.skeleton.name != name for pose in result):
                tracker.update(time, np.zeros((0, 4)), np.zeros((0, 0, 2)), np.zeros(0))
        return numbers

    def _update(self, time: float, skeleton: Skeleton, poses: Sequence[Pose]) -> list[int | None]:
        tracker = self._trackers.get(skeleton.name)
        if tracker is None:
            tracker = self._trackers[skeleton.name] = Tracker(skeleton.sigmas, self.options)
        points = np.stack([np.where((pose.peaks >= SURE)[:, None], pose.keypoints, np.nan) for pose in poses])
        boxes = np.array([pose.bbox for pose in poses], float)
        scores = np.array([pose.box_score * float(np.mean(pose.peaks)) for pose in poses])
        return tracker.update(time, boxes, points, scores)
