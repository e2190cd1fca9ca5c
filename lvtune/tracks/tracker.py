"""Gives every pose of a video the id of its animal or person: poses and boxes are matched from frame to frame.

The assignment is scipy's (Hungarian method). Similarity is the mean of OKS and IoU. An animal that was seen in the last
frame is matched before one that was lost; a lost one keeps its id for ``max_gap`` seconds. Nothing is predicted for
frames in which an animal is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.tracks.similarity import box_overlap, pose_similarity

_SLACK_SECONDS = 0.1
"""In this time an animal may move by as much as the sigmas of OKS allow for a labeller's error."""
_SEEN_NOW = 1e-9


@dataclass(frozen=True)
class TrackOptions:
    """How ids are given."""

    max_gap: float = field(default=1.0, metadata={"at_least": 0})
    """Seconds for which an animal that is not seen keeps its id."""
    min_similarity: float = field(default=0.1, metadata={"at_least": 0, "at_most": 1})
    """Mean of OKS and IoU below which a pose is no continuation of a track."""
    individuals: int | None = field(default=None, metadata={"at_least": 1})
    """How many animals or persons there are, where you know it: there are never more ids, and a lost one is found again
    after any time. None: as many as are seen."""


@dataclass
class Track:
    """One animal, as it was last seen."""

    number: int
    """Id, from 1."""
    time: float
    """Seconds."""
    box: np.ndarray
    """(4,) x, y, width, height."""
    keypoints: np.ndarray
    """(K, 2); NaN where a key point was not sure."""
    velocity: np.ndarray
    """(2,) pixels a second."""

    def place(self, time: float) -> np.ndarray:
        """Returns how far (2,) the animal has probably gone until ``time``: half as fast as it was, up to 0.2 s."""
        return self.velocity * min(time - self.time, 0.2) * 0.5 if self.time < time else np.zeros(2)


class Tracker:
    """Gives ids, frame by frame.

    Args:
        sigmas: (K,) of the skeleton.
        options: how.

    Raises:
        UsageError: scipy is missing.
    """

    def __init__(self, sigmas: Sequence[float], options: TrackOptions | None = None) -> None:
        self._assign = _assignment()
        self._sigmas, self._options = np.asarray(sigmas, float), options or TrackOptions()
        self._tracks: list[Track] = []
        self._last = -np.inf
        self._count = 0

    def update(self, time: float, boxes: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> list[int | None]:
        """Returns the id of each pose of the next frame; None for one too many, where the number is known.

        Args:
            time: of the frame, in seconds; later than that of the frame before.
            boxes: (N, 4) x, y, width, height in pixels.
            keypoints: (N, K, 2) in pixels; NaN where a key point is not sure.
            scores: (N,) of the poses; the better ones are kept where there are too many.
        """
        ids: list[int | None] = [None] * len(boxes)
        alive = [t for t in self._tracks if self._options.individuals or time - t.time <= self._options.max_gap]
        fresh = [t for t in alive if t.time >= self._last - _SEEN_NOW]
        lost = [t for t in alive if t.time < self._last - _SEEN_NOW]
        for group in (fresh, lost):
            free = [i for i, one in enumerate(ids) if one is None]
            for i, track in self._match(group, free, time, boxes, keypoints):
                ids[i] = self._see(track, time, boxes[i], keypoints[i])
        self._tracks = alive
        for i in sorted((i for i, one in enumerate(ids) if one is None), key=lambda i: -scores[i]):
            ids[i] = self._begin(time, boxes[i], keypoints[i])
        self._last = time
        return ids

    def _match(
        self, tracks: list[Track], free: list[int], time: float, boxes: np.ndarray, keypoints: np.ndarray
    ) -> list[tuple[int, Track]]:
        """Pairs of pose and track with the largest total similarity."""
        if not tracks or not free:
            return []
        moved = np.stack([track.place(time) for track in tracks])
        before = np.stack([track.keypoints for track in tracks]) + moved[:, None]
        old = np.stack([track.box for track in tracks])
        old[:, :2] += moved
        slack = 1 + np.array([time - track.time for track in tracks]) / _SLACK_SECONDS
        overlap = box_overlap(old, boxes[free])
        points = pose_similarity(before, keypoints[free], old[:, 2:].prod(-1), self._sigmas, slack)
        similar = np.where(np.isfinite(points), (points + overlap) / 2, overlap)
        allowed = similar >= self._options.min_similarity
        rows, columns = self._assign(np.where(allowed, similar, -1.0), maximize=True)
        return [(free[c], tracks[r]) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]

    def _see(self, track: Track, time: float, box: np.ndarray, keypoints: np.ndarray) -> int:
        step = max(time - track.time, 1e-6)
        moved = (box[:2] + box[2:] / 2 - track.box[:2] - track.box[2:] / 2) / step
        keep = 0.5 ** (step / 0.05)  # what was measured 50 ms ago counts half
        track.velocity = keep * track.velocity + (1 - keep) * moved
        track.time, track.box, track.keypoints = time, np.array(box, float), np.array(keypoints, float)
        return track.number

    def _begin(self, time: float, box: np.ndarray, keypoints: np.ndarray) -> int | None:
        """A new id; where all are given, that of the lost animal which is nearest; None: nobody is lost."""
        if self._options.individuals is not None and self._count >= self._options.individuals:
            lost = [track for track in self._tracks if track.time < time - _SEEN_NOW]
            if not lost:
                return None
            centre = box[:2] + box[2:] / 2
            near = min(lost, key=lambda track: float(np.hypot(*(track.box[:2] + track.box[2:] / 2 - centre))))
            near.velocity = np.zeros(2)
            near.box, near.time = np.array(box, float), time
            return self._see(near, time, box, keypoints)
        self._count += 1
        track = Track(self._count, time, np.array(box, float), np.array(keypoints, float), np.zeros(2))
        self._tracks.append(track)
        return track.number

    def state(self) -> dict[str, Any]:
        """Returns all that the next frame needs, in JSON types."""
        tracks = [
            [t.number, t.time, t.box.tolist(), [_without_nan(p) for p in t.keypoints], t.velocity.tolist()]
            for t in self._tracks
        ]
        return {"tracks": tracks, "last": self._last if np.isfinite(self._last) else None, "count": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state` returned."""
        self._count, last = int(state["count"]), state["last"]
        self._last = -np.inf if last is None else float(last)
        self._tracks = [
            Track(number, time, np.array(box, float), np.array(points, float), np.array(velocity, float))
            for number, time, box, points, velocity in state["tracks"]
        ]


def _without_nan(point: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in point]


def _assignment() -> Any:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise UsageError(
            "tracks without the library scipy", "the extra `video`", 'type pip install "lvtune[video]"'
        ) from None
    return linear_sum_assignment
