"""Watches the results of a run, frame after frame, and says at its end what a user must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lvtune.core.text import counted, plural
from lvtune.evaluation.metrics import SMALL_BOXES
from lvtune.prediction.box_choice import WHOLE
from lvtune.prediction.crowd import CROWD
from lvtune.prediction.pose import FramePoses

LOW_SCORE = 0.3
"""Median score of the poses below which confidence is low: windows without an animal score 0.1 to 0.3."""
LOW_SHARE = 0.65
"""And so it is below this share of the score that the adapter gave its test pictures."""
SURE = 0.8
"""Pictures whose adapter is chosen with a smaller probability are named."""
_SHOWN = 3
_BINS = 200  # of the histogram of scores, from 0 to 1
_LARGE = 2.0  # pictures are far larger whose longer side is more than twice as long
_SOME = 0.25  # of the pictures that were looked at closely, from which on a crowd is told
_HINTS = {
    "pose": "--find whole takes each whole picture",
    "detector": "--box-threshold X with a lower X takes weaker boxes",
    "words": "--box-threshold X with a lower X takes weaker boxes, or choose other words",
}
"""Finder to what to type where it finds nothing; a box file says it itself."""


def tuned_share(adapter: Any) -> float | None:
    """Returns the median share of the picture of the boxes that an adapter was tuned on; None where nobody says."""
    training = (getattr(adapter, "saved_with", None) or {}).get("training") or {}
    share = (training.get("boxes") or {}).get("median_share")
    return float(share) if isinstance(share, int | float) and share > 0 else None


def whole_frame_notes(adapters: Sequence[Any]) -> list[str]:
    """Returns a warning where whole pictures are given to adapters that were tuned on small boxes."""
    shares = [tuned_share(adapter) for adapter in adapters]
    small = [share for share in shares if share is not None and share < SMALL_BOXES]
    if not small:
        return []
    return [f"whole pictures given to an adapter that was tuned on boxes of {100 * min(small):.0f} % of the picture "
            "(median): key points may be far off; give --find pose, or --find FILE with boxes"]  # fmt: skip


def tuned_size(adapter: Any) -> tuple[float, float] | None:
    """Returns the median width and height of the pictures that an adapter was tuned on; None where nobody says."""
    training = (getattr(adapter, "saved_with", None) or {}).get("training") or {}
    size = (training.get("boxes") or {}).get("picture_size")
    return (float(size[0]), float(size[1])) if isinstance(size, list) and len(size) == 2 else None


def tuned_confidence(adapter: Any) -> float | None:
    """Returns the median score that an adapter gave its own test pictures; None where nobody says."""
    training = (getattr(adapter, "saved_with", None) or {}).get("training") or {}
    value = training.get("confidence")
    return float(value) if isinstance(value, int | float) else None


@dataclass
class RunTotals:
    """A stage that counts frames and poses; it changes nothing. Its size does not grow with the run.

    Args:
        adapters: that may act.
        finds: name of the finder: ``whole``, ``pose``, ...
    """

    adapters: Sequence[Any] = ()
    finds: str = WHOLE
    pictures: int = 0
    poses: int = 0
    without_pose: int = 0
    """Pictures that were read, without a pose."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Name and fault of the pictures that cannot be read."""
    _first_empty: list[str] = field(default_factory=list)
    most: int = 1
    """Poses that the finder looks for in a picture."""
    fewer: int = 0
    """Pictures with some poses, and fewer than ``most``."""
    _looked: int = 0
    _crowds: list[str] = field(default_factory=list)
    _large: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    _large_count: int = 0
    _chosen: Counter[str | None] = field(default_factory=Counter)
    _unsure: list[str] = field(default_factory=list)
    _scores: np.ndarray = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))

    @property
    def readable(self) -> int:
        """Pictures that could be read."""
        return self.pictures - len(self.broken)

    def process(self, result: FramePoses) -> FramePoses:
        """Counts one frame."""
        self.replay(result)
        return result

    def replay(self, result: FramePoses) -> None:
        """The same."""
        self.pictures += 1
        self.poses += len(result)
        if result.frame.error is not None:
            self.broken.append((result.frame.image, result.frame.error))
        elif not len(result):
            self.without_pose += 1
            self._first_empty += [result.frame.image] * (len(self._first_empty) < _SHOWN)
        self.fewer += 0 < len(result) < self.most
        if CROWD in result.marks:
            self._looked += 1
            self._crowds += [result.frame.image] * bool(result.marks[CROWD])
        if result.frame.size is not None and self._is_large(result.frame.size):
            self._large_count += 1
            self._large += [(result.frame.image, result.frame.size)] * (len(self._large) < 1)
        for pose in result[:1]:
            if pose.sure is not None:
                self._chosen[pose.adapter] += 1
                self._unsure += [result.frame.image] * (pose.sure < SURE)
        for pose in result:
            mean = float(np.nan_to_num(np.mean(pose.peaks)))
            self._scores[min(_BINS - 1, max(0, int(mean * _BINS)))] += 1

    def median_score(self) -> float | None:
        """Returns the median of the poses' mean scores, to a hundredth; None without a pose."""
        if not self.poses:
            return None
        return float(np.searchsorted(np.cumsum(self._scores), (self.poses + 1) // 2) + 0.5) / _BINS

    def notes(self) -> list[str]:
        """Returns what the user must know of the frames so far, one sentence each, with what to type."""
        return [
            *self._chosen_note(),
            *self._broken_note(),
            *self._empty_note(),
            *self._fewer_note(),
            *self._crowd_note(),
            *self._large_note(),
            *self._low_note(),
        ]

    def _is_large(self, size: tuple[int, int]) -> bool:
        known = [usual for adapter in self.adapters if (usual := tuned_size(adapter)) is not None]
        return bool(known) and all(max(size) > _LARGE * max(usual) for usual in known)

    def _chosen_note(self) -> list[str]:
        if not self._chosen:
            return []
        counts = ", ".join(f"{name or 'the bare base'} {count}" for name, count in self._chosen.most_common())
        names = ", ".join(self._unsure[:_SHOWN]) + (", ..." if len(self._unsure) > _SHOWN else "")
        unsure = f"; {len(self._unsure)} are less than {SURE:.0%} sure ({names})" if self._unsure else ""
        return [f"adapters were chosen by the base's own features, picture by picture: {counts}{unsure}"]

    def _broken_note(self) -> list[str]:
        if not self.broken:
            return []
        names = ", ".join(name for name, _ in self.broken[:_SHOWN]) + (", ..." if len(self.broken) > _SHOWN else "")
        return [f"{len(self.broken)} of {counted(self.pictures, 'picture')} cannot be read: left out ({names}); "
                f"the first: {self.broken[0][1]}"]  # fmt: skip

    def _empty_note(self) -> list[str]:
        hint = _HINTS.get(self.finds)
        if not self.without_pose or hint is None:
            return []
        names = ", ".join(self._first_empty) + (", ..." if self.without_pose > _SHOWN else "")
        return [
            f"{self.without_pose} of {counted(self.readable, 'picture')} {plural(self.without_pose, 'has', 'have')} "
            f"no box: no pose ({names}); {hint}"
        ]

    def _fewer_note(self) -> list[str]:
        if self.finds != "pose" or not self.fewer:
            return []
        have = f"{self.fewer} of {counted(self.readable, 'picture')} {plural(self.fewer, 'has', 'have')}"
        return [f"{have} fewer than {self.most} poses: --find pose seldom finds more than one in a whole picture; "
                "--find FILE with boxes or --find detector finds the others"]  # fmt: skip

    def _crowd_note(self) -> list[str]:
        if self.finds != WHOLE or len(self._crowds) < max(1, _SOME * self._looked):
            return []
        names = ", ".join(self._crowds[:_SHOWN]) + (", ..." if len(self._crowds) > _SHOWN else "")
        crowds = f"{len(self._crowds)} of {counted(self._looked, 'picture')} that were looked at closely"
        return [f"{crowds} {plural(len(self._crowds), 'seems', 'seem')} to show several "
                f"({names}), but each whole picture is taken as one: give --find detector, --find FILE with boxes, "
                "or --find pose --most N"]  # fmt: skip

    def _large_note(self) -> list[str]:
        if self.finds != WHOLE or not self._large:
            return []
        name, size = self._large[0]
        usual = next(usual for adapter in self.adapters if (usual := tuned_size(adapter)) is not None)
        large = counted(self._large_count, "picture is", "pictures are")
        return [f"{large} far larger than those that the adapter was tuned on ({name}: "
                f"{size[0]} x {size[1]}, tuned on {usual[0]:g} x {usual[1]:g}): persons or animals may be too small "
                "in them; give --find pose or --find detector"]  # fmt: skip

    def _low_note(self) -> list[str]:
        median = self.median_score()
        if median is None:
            return []
        own = max((value for adapter in self.adapters if (value := tuned_confidence(adapter))), default=None)
        if median >= LOW_SCORE and (own is None or median >= LOW_SHARE * own):
            return []
        usual = "" if own is None else f"; {own:.2f} on the test pictures of the adapter"
        ways = {WHOLE: "--find pose looks for it first", "pose": "--find FILE gives boxes"}
        way = ways.get(self.finds, "look at the boxes with --draw.box")
        other = "" if self.adapters else ", or --adapter for pictures of this kind"
        return [f"low confidence throughout: the median of the poses' heatmap maxima is {median:.2f}{usual}; the "
                f"pictures may be of another kind, or badly cropped: {way}{other}"]  # fmt: skip
