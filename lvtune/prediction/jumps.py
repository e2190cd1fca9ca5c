"""Finds poses of a video that jump further than an animal moves from one frame to the next, and looks at them again.

An estimator may take the head for the tail in a single frame, most of all where the crop lies badly. The frame before
says where the crop should lie. What is found there replaces the pose only if it does not jump; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import Pose
from lvtune.prediction.search_windows import overlap

FAR = 0.45
"""A pose jumps if a sure point moves by more than this share of the box's longer side."""
SURE = 0.2
"""Points with a lower score may lie anywhere."""
LEAST = 0.6
"""What is found again must have this share of the score."""

LookAt = Callable[[Frame, Sequence[Pose]], list[Pose]]
"""Predicts a frame around the points of poses; as many poses, or fewer."""


def distance(before: Pose, now: Pose) -> float:
    """Returns how far the farthest point that is sure in both moves, as a share of the box's longer side before."""
    sure = (np.asarray(before.scores) >= SURE) & (np.asarray(now.scores) >= SURE)
    moved = np.hypot(*(np.asarray(now.keypoints) - np.asarray(before.keypoints)).T)
    return float(moved[sure].max(initial=0.0)) / max(1.0, *before.bbox[2:])


def nearest(pose: Pose, others: Sequence[Pose]) -> Pose | None:
    """Returns the pose of another frame that is probably the same animal; None: none overlaps."""
    found = max(others, key=lambda other: overlap(other.bbox, pose.bbox), default=None)
    return found if found is not None and overlap(found.bbox, pose.bbox) > 0 else None


def without_jumps(
    frames: Sequence[Frame], poses: Sequence[Sequence[Pose]], last: Sequence[Pose], look_at: LookAt
) -> list[list[Pose]]:
    """Looks again where a pose jumps, around the points of the frame before, and of the frame behind it.

    Args:
        frames: that follow each other.
        poses: of each.
        last: of the frame before the first.
        look_at: looks at a frame.
    """
    found = [list(some) for some in poses]
    for place, frame in enumerate(frames):
        before = found[place - 1] if place else last
        for i, pose in enumerate(found[place]):
            own = nearest(pose, before)
            if own is None or distance(own, pose) <= FAR:
                continue
            later = nearest(pose, found[place + 1]) if place + 1 < len(frames) else None
            again = look_at(frame, [own, *([] if later is None else [later])])
            good = [one for one in again if distance(own, one) <= FAR and _score(one) >= LEAST * _score(pose)]
            if good:
                found[place][i] = max(good, key=_score)
    return found


def _score(pose: Pose) -> float:
    return float(np.mean(pose.scores))
