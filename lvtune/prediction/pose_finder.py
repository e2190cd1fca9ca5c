"""Finds persons or animals with the estimator itself: it looks at windows of the frame, then at crops around points.

An estimator is tuned on crops of one size. Where those are a small part of the picture, the whole frame shows the
animal too small, so the frame is searched in windows twice as large as the crops. Where nothing is known of the crops,
the whole frame is tried first, then windows of half and of a quarter of its side, until a pose is sure. In a video the
box follows the points, and windows are searched again only where the points are lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lvtune.data.crop import PADDING
from lvtune.prediction.finder import Finder, Found, Look
from lvtune.prediction.frames import Frame, Size
from lvtune.prediction.jumps import without_jumps
from lvtune.prediction.pose import Pose
from lvtune.prediction.search_windows import box_of, clipped, overlap, windows

SURE = 0.5
"""Mean score of a pose from which on the search ends."""
LEAST = 0.2
"""Points with a lower score are never sure; a pose whose mean score is lower is no pose."""
_SHARE = 0.5  # a point is sure at half the score of the pose's best one
_FIRST_SHARE = 0.7  # in a window, where some points may be far off
_ROOM = 1.4  # side of the first box over that of the instances an estimator was tuned on
_TRIED = 3  # windows whose poses are looked at closely, per instance that is wanted
_WIDE = 2.0  # a window's side over that of the crops it was tuned on
_SAME = 0.7  # a box that overlaps the last one as much has settled
_INSIDE = 0.5  # in a video, points whose box overlaps the crop as much lie well inside it
_ROUNDS = 3  # looks at a crop, each around the points of the last one
_APART = 0.3  # poses whose boxes overlap more are the same instance
_SHRINK = 0.6  # in a video, a box has at least this share of the sides of the one before
_LOST = 0.6  # a pose is lost whose score falls below this share of what its track had
_SPOT = 0.25  # a pose is lost whose points lie within this share of the length that its track had
_GROWS = 0.02  # by this share of the difference a track's length follows that of its poses, so that it cannot creep
_FRAMES = 8  # of a video that are predicted at a time; larger batches are hardly faster on a CPU
_SEARCH_AGAIN = 4  # in a video, every so many chunks the frame is searched where instances are missing


@dataclass
class _Track:
    """What a video's earlier frames say of one instance."""

    box: np.ndarray
    step: np.ndarray
    """(2,) how far its centre moves from frame to frame."""
    score: float
    """Running mean of its poses' scores."""
    length: float
    """Diagonal of its poses' boxes, in the long run."""
    index: int
    """Of the last frame."""

    def at(self, index: int) -> np.ndarray:
        """The box that is expected in a later frame."""
        return np.concatenate([self.box[:2] + self.step * (index - self.index), self.box[2:]])


@dataclass
class PoseFinder(Finder):
    """Finds boxes with the estimator.

    Args:
        share: median share of the picture of the boxes that the adapter was tuned on; None: unknown.
        most: instances in a frame that are looked for.
        follows: True for a video: the box follows the points.
    """

    share: float | None
    most: int = 1
    follows: bool = False
    name: str = field(default="pose", kw_only=True)
    _tracks: list[_Track] = field(default_factory=list, init=False)
    _chunk: int = field(default=0, init=False)
    _last: list[Pose] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.at_once = _FRAMES if self.follows else self.at_once

    def identity(self) -> dict[str, Any]:
        """What the boxes depend on."""
        return {"name": self.name, "share": self.share, "most": self.most, "follows": self.follows}

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """Searches each frame, or follows what the last ones had."""
        if not self.follows:
            return [_found(self._search(frame, look)) for frame in frames]
        poses = self._follow(frames, look) if self._tracks else [[] for _ in frames]
        for place, frame in enumerate(frames):
            if place and len(poses[place]) < len(poses[place - 1]):
                # it turned or sped up: where it was a frame ago costs one crop, a search costs many
                nearer = self._follow_from(poses[place - 1], frames[place - 1], frames[place:], look)
                poses[place:] = [max(pair, key=len) for pair in zip(poses[place:], nearer, strict=True)]
            if len(poses[place]) < self.most and self._searches(place, poses):
                poses[place] = _apart([*poses[place], *self._search(frame, look)])[: self.most]
                if place + 1 < len(frames) and poses[place]:
                    later = self._follow_from(poses[place], frame, frames[place + 1 :], look)
                    poses[place + 1 :] = later
        poses = without_jumps(frames, poses, self._last, lambda frame, some: _look_around(frame, some, look))
        return [_found(found) for found in poses]

    def observe(self, frame: Frame, poses: Sequence[Pose]) -> None:
        """Remembers where the instances are and how they move."""
        if not self.follows:
            return
        self._chunk, self._last = frame.index // _FRAMES + 1, list(poses)
        tracks = []
        for pose in poses:
            box = _next_box(pose)
            if box is None:
                continue
            tracks.append(_extended(self._nearest(box, frame.index), box, pose, frame.index))
        self._tracks = tracks

    def _nearest(self, box: np.ndarray, index: int) -> _Track | None:
        """The track that is expected closest to a box."""
        return max(self._tracks, key=lambda track: overlap(track.at(index), box), default=None)

    def _searches(self, place: int, poses: Sequence[Sequence[Pose]]) -> bool:
        """Searches a frame without any pose; one that lacks some of several now and then."""
        return not poses[place] or (place == 0 and self._chunk % _SEARCH_AGAIN == 0)

    def _follow(self, frames: Sequence[Frame], look: Look) -> list[list[Pose]]:
        expected = [[track.at(frame.index) for track in self._tracks] for frame in frames]
        usual = [(track.score, track.length) for track in self._tracks]
        return self._settle(frames, expected, look, usual)

    def _follow_from(self, poses: Sequence[Pose], frame: Frame, later: Sequence[Frame], look: Look) -> list[list[Pose]]:
        """Follows what was found in the middle of a chunk."""
        boxes = [(box, pose) for pose in poses if (box := _next_box(pose)) is not None]
        expected = [[box for box, _ in boxes] for _ in later]
        usual = []
        for box, pose in boxes:
            track = self._nearest(box, frame.index)
            usual.append((_score(pose), _length(box) if track is None else max(track.length, _length(box))))
        return self._settle(later, expected, look, usual)

    def _settle(
        self,
        frames: Sequence[Frame],
        expected: Sequence[Sequence[np.ndarray]],
        look: Look,
        usual: Sequence[tuple[float, float]],
    ) -> list[list[Pose]]:
        """Looks where instances are expected; where the points lie elsewhere in the box, looks again around them.

        ``usual`` has score and length of the instances so far: what is far below both is no pose of theirs.
        """
        first = look(frames, [_boxes(boxes, frame.size) for boxes, frame in zip(expected, frames, strict=True)])
        again: list[list[np.ndarray]] = [[] for _ in frames]
        for place, poses in enumerate(first):
            for pose in poses:
                box = _clip(_next_box(pose), frames[place].size)
                if box is not None and overlap(box, pose.bbox) < _INSIDE:
                    again[place].append(box)
        if any(again):
            second = look(frames, [_boxes(boxes, frame.size) for boxes, frame in zip(again, frames, strict=True)])
            first = [_apart([*new, *old]) for new, old in zip(second, first, strict=True)]
        floor = max(LEAST, _LOST * min((score for score, _ in usual), default=0.0))
        least = _SPOT * min((length for _, length in usual), default=0.0)
        return [
            [pose for pose in _apart(poses) if _score(pose) >= floor and _extent(pose) >= least][: self.most]
            for poses in first
        ]

    def _search(self, frame: Frame, look: Look) -> list[Pose]:
        """The best poses of a frame of which nothing is known."""
        assert frame.size is not None
        best: list[Pose] = []
        for boxes in self._levels(frame.size):
            (coarse,) = look([frame], [boxes])
            likely = sorted(coarse, key=_score, reverse=True)[: _TRIED * self.most]
            # what is seen in a crop alone, and not in the window around it, is mostly not there
            likely = [pose for pose in likely if _score(pose) >= _LOST * _score(likely[0])]
            best = _apart([*best, *self._close(frame, likely, look)])
            if sum(_score(pose) >= SURE for pose in best) >= self.most:
                break
        sure = [pose for pose in best if _score(pose) >= LEAST]
        # beside the best one only such poses count that are about as sure
        return [pose for pose in sure if _score(pose) >= _LOST * _score(sure[0])][: self.most]

    def _close(self, frame: Frame, poses: Sequence[Pose], look: Look) -> list[Pose]:
        """Looks at crops around the points of likely poses, until the crops stay where they are."""
        assert frame.size is not None
        best: list[Pose] = []
        waiting = list(poses)
        for round_ in range(_ROUNDS):
            rules = (_box, _first_box) if round_ == 0 else (_box,)
            around = [_clip(rule(pose), frame.size) for pose in waiting for rule in rules]
            boxes = [box for box in around if box is not None]
            if not boxes:
                break
            (found,) = look([frame], [_boxes(boxes, frame.size)])
            best = _apart([*found, *best])
            waiting = [pose for pose in found if (box := _box(pose)) is not None and overlap(box, pose.bbox) < _SAME]
        return best

    def _levels(self, size: Size) -> list[Found]:
        """The boxes to look at, the likeliest size of windows first."""
        longest = float(max(size))
        if self.share is None:
            sides = [longest / 2, longest / 4]
            first = [Found(np.array([[0.0, 0.0, *size]]), np.ones(1), padding=1.0)]
        else:
            usual = _WIDE * PADDING * math.sqrt(self.share * size[0] * size[1])
            sides, first = [side for side in (usual, 2 * usual, usual / 2) if side < 2 * longest], []
        tiles = [windows(size, side) for side in sides]
        return first + [Found(boxes, np.ones(len(boxes)), padding=1.0) for boxes in tiles]


def _look_around(frame: Frame, poses: Sequence[Pose], look: Look) -> list[Pose]:
    """Predicts a frame around the points of poses of other frames."""
    boxes = [box for pose in poses if (box := _clip(_next_box(pose), frame.size)) is not None]
    return look([frame], [_boxes(boxes, frame.size)])[0] if boxes else []


def _score(pose: Pose) -> float:
    return float(np.mean(pose.peaks))


def _length(box: np.ndarray) -> float:
    """Diagonal, which is not 0 where all points lie on a line."""
    return math.hypot(float(box[2]), float(box[3]))


def _extent(pose: Pose) -> float:
    """Length of the box around the sure points; 0 without one."""
    box = _box(pose)
    return 0.0 if box is None else _length(box)


def _box(pose: Pose) -> np.ndarray | None:
    return box_of(np.asarray(pose.keypoints), pose.peaks, _SHARE, LEAST)


def _next_box(pose: Pose) -> np.ndarray | None:
    """The box around the points of a pose, for the frames behind it: it shrinks slowly, since points may be hidden."""
    box = _box(pose)
    if box is None:
        return None
    sides = np.maximum(box[2:], _SHRINK * np.array(pose.bbox[2:]))
    return np.concatenate([box[:2] + box[2:] / 2 - sides / 2, sides])


def _first_box(pose: Pose) -> np.ndarray | None:
    """The box around the surest points of a window, with room for those that were not found in it."""
    side = min(pose.bbox[2:]) / (_WIDE * PADDING)  # what fits the estimator, as the window does
    return box_of(np.asarray(pose.keypoints), pose.peaks, _FIRST_SHARE, LEAST, _ROOM * side)


def _clip(box: np.ndarray | None, size: Size | None) -> np.ndarray | None:
    return None if box is None or size is None else clipped(box, size)


def _boxes(boxes: Sequence[np.ndarray], size: Size | None) -> Found:
    inside = [box for one in boxes if (box := _clip(one, size)) is not None]
    return Found(np.stack(inside), np.ones(len(inside))) if inside else Found.nothing()


def _found(poses: Sequence[Pose]) -> Found:
    """The boxes of poses that are predicted already."""
    boxes = [np.array(pose.bbox) for pose in poses]
    if not boxes:
        return Found.nothing()
    return Found(np.stack(boxes), np.ones(len(boxes)), poses=tuple(poses))


def _apart(poses: Sequence[Pose]) -> list[Pose]:
    """The poses of different instances, the surest first."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=_score, reverse=True):
        box = _box(pose)
        if box is not None and all(overlap(box, own) < _APART for one in kept if (own := _box(one)) is not None):
            kept.append(pose)
    return kept


def _extended(last: _Track | None, box: np.ndarray, pose: Pose, index: int) -> _Track:
    """A track with one more frame, or a new one."""
    if last is None or overlap(last.at(index), box) <= 0 or index <= last.index:
        return _Track(box, np.zeros(2), _score(pose), _length(box), index)
    center, before = box[:2] + box[2:] / 2, last.box[:2] + last.box[2:] / 2
    step = 0.5 * last.step + 0.5 * (center - before) / (index - last.index)
    length = (1 - _GROWS) * last.length + _GROWS * _length(box)
    return _Track(box, step, 0.9 * last.score + 0.1 * _score(pose), length, index)
