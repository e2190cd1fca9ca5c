"""Notices several persons or animals in a picture that is taken for one: two windows of it show poses side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lvtune.prediction.finder import Finder, Found, Look, whole_of
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import Pose
from lvtune.prediction.search_windows import box_of, overlap, windows

CROWD = "crowd"
"""Mark of a frame: True if it seems to show several, False if it was looked at and does not."""
RATIO = 0.7
"""Mean score of the second pose, as a share of the best one's, from which on there are two."""
LEAST = 0.3
"""And at least this mean score."""
_SIDE = 0.6  # of a window, as a share of the picture's longer side
_APART = 0.1  # boxes of two instances overlap at most so much; of one instance, seen in two windows, they overlap more
_FIRST, _SPREAD = 4, 4


def second_score(poses: Sequence[Pose]) -> tuple[float, float]:
    """Returns the mean scores of the best pose and of the best one that lies apart from it; 0 where there is none."""
    ranked = sorted(poses, key=lambda pose: -float(np.mean(pose.scores)))
    first: np.ndarray | None = None
    best = 0.0
    for pose in ranked:
        box = box_of(np.asarray(pose.keypoints), np.asarray(pose.scores), 0.5, 0.2)
        if box is None:
            continue
        if first is None:
            first, best = box, float(np.mean(pose.scores))
        elif overlap(first, box) < _APART:
            return best, float(np.mean(pose.scores))
    return best, 0.0


def shows_several(frames: Sequence[Frame], look: Look) -> list[bool]:
    """Returns for each frame whether it seems to show several instances. Costs about six crops a frame."""
    found = []
    for frame in frames:
        assert frame.size is not None
        boxes = windows(frame.size, _SIDE * max(frame.size))
        found.append(Found(boxes, np.ones(len(boxes)), padding=1.0))
    scores = [second_score(poses) for poses in look(frames, found)]
    return [second >= max(LEAST, RATIO * best) for best, second in scores]


@dataclass
class WatchfulWholeFinder(Finder):
    """Takes each whole frame as one instance, and looks closely at some frames, whether there are several in it.

    Args:
        count: frames of the source; None: unknown.
        watches: False looks at none, where whole frames are known not to fit.
    """

    count: int | None
    watches: bool = True
    name: str = field(default="whole", kw_only=True)

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """One box for each frame."""
        found = [whole_of(frame) for frame in frames]
        chosen = [place for place, frame in enumerate(frames) if self.watches and self._is_sampled(frame.index)]
        if chosen:
            several = shows_several([frames[place] for place in chosen], look)
            for place, is_crowd in zip(chosen, several, strict=True):
                found[place].marks[CROWD] = is_crowd
        return found

    def _is_sampled(self, index: int) -> bool:
        """The first frames, and some of the others, evenly spread."""
        if index < _FIRST:
            return True
        return self.count is not None and index % max(1, self.count // (_SPREAD + 1)) == 0
