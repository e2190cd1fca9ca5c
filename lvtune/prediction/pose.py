"""The pose of one instance, and the list of poses that ``predict`` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.evaluation.oks import rescore

if TYPE_CHECKING:
    from lvtune.data.skeletons import Skeleton
    from lvtune.prediction.frames import Frame


@dataclass(frozen=True)
class Pose:
    """One instance in one picture; pixels, x to the right, y down."""

    image: str
    """Path of the picture."""
    bbox: tuple[float, float, float, float]
    """x, y, width, height of the box that was cropped."""
    keypoints: np.ndarray
    """(K, 2) x, y; not numbers where the point was left out as unsure."""
    scores: np.ndarray
    """(K,) maxima of the heatmaps; where the confidence is calibrated, the probability that the point is right."""
    skeleton: Skeleton
    """Names and links of the key points."""
    xyz: np.ndarray | None = None
    """(K, 3) x, y, depth in space, of hands; see ``unit``."""
    category: str | None = None
    """Category whose sentence was read; None: the mean of all, or none."""
    adapter: str | None = ""
    """Name of the adapter that was active for its picture; None: the bare base; empty: no route was asked for."""
    unit: str = ""
    """Unit of ``xyz``: lengths of the reference bone or mm, relative to the root or to the camera."""
    box_score: float = 1.0
    """Score of the detector's box; 1 without a detector."""
    frame: int | None = None
    """Frame number in its video, from 0; None for a picture."""
    time: float | None = None
    """Seconds from the beginning of its video."""
    track: int | None = None
    """Number of the person or animal in its video, from 1; None: not tracked."""
    label: str | None = None
    """The detector's class of the box."""
    raw_scores: np.ndarray | None = None
    """(K,) maxima of the heatmaps, where ``scores`` are calibrated; see docs/confidence.md."""
    radii: np.ndarray | None = None
    """(K,) pixels within which the true point lies in nine of ten cases; None: the confidence is not calibrated."""
    expected_oks: float | None = None
    """Expected OKS of the whole pose; None: the confidence is not calibrated."""
    sure: float | None = None
    """Probability that ``adapter`` is the right one for the picture; None: no gate chose it (docs/choosing.md)."""

    @property
    def peaks(self) -> np.ndarray:
        """(K,) maxima of the heatmaps, whether the scores are calibrated or not."""
        return np.asarray(self.scores if self.raw_scores is None else self.raw_scores)

    @property
    def score(self) -> float:
        """Of the whole pose: the box's score times the expected OKS; not calibrated: times the mean as in MMPose."""
        if self.expected_oks is not None:
            return self.box_score * self.expected_oks
        return float(rescore(np.array([self.box_score]), np.asarray(self.scores)[None])[0])

    def to_dict(self) -> dict[str, Any]:
        """Returns the pose in JSON types."""
        points: list[dict[str, Any]] = [
            {"name": name, "x": _rounded(x), "y": _rounded(y), "score": round(float(score), 4)}
            for name, (x, y), score in zip(self.skeleton.keypoints, self.keypoints, self.scores, strict=True)
        ]
        found = {"image": self.image, "bbox": [round(v, 2) for v in self.bbox], "keypoints": points}
        if self.adapter != "":
            found["adapter"] = self.adapter
        if self.sure is not None:
            found["sure"] = round(self.sure, 4)
        if self.category is not None:
            found["category"] = self.category
        if self.box_score != 1.0:
            found["box_score"] = round(self.box_score, 4)
        more = {"frame": self.frame, "time": self.time, "track": self.track, "label": self.label}
        found |= {name: value for name, value in more.items() if value is not None}
        for key, values in (("raw_score", self.raw_scores), ("radius", self.radii)):
            for point, value in zip(points, [] if values is None else values, strict=False):
                point[key] = round(float(value), 4 if key == "raw_score" else 2)
        if self.expected_oks is not None:
            found["expected_oks"] = round(self.expected_oks, 4)
        if self.xyz is None:
            return found
        for point, joint in zip(points, self.xyz, strict=True):
            point["xyz"] = [round(float(v), 4) for v in joint]
        return {**found, "unit": self.unit}


def _rounded(value: float) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None


class Poses(list[Pose]):
    """The poses of some pictures, in the order of the pictures.

    Args:
        poses: of all pictures.
        pictures: every picture, also those without a pose.
        notes: what was decided and left out, one sentence each.
        image_ids: picture to its id in a COCO file of boxes.
    """

    def __init__(
        self,
        poses: Sequence[Pose] = (),
        *,
        pictures: Sequence[Path] = (),
        notes: Sequence[str] = (),
        image_ids: dict[Path, int] | None = None,
    ) -> None:
        super().__init__(poses)
        self.pictures, self.notes, self.image_ids = list(pictures), list(notes), dict(image_ids or {})
        self.sizes: dict[str, tuple[int, int]] = {}
        """Picture, as poses name it, to its width and height."""

    def to_pandas(self) -> Any:
        """Returns a pandas DataFrame, one row a pose; see :func:`lvtune.prediction.conversions.poses_to_pandas`."""
        from lvtune.prediction.conversions import poses_to_pandas

        return poses_to_pandas(self)

    def to_coco(self) -> dict[str, Any]:
        """Returns a COCO data set; see :func:`lvtune.prediction.conversions.poses_to_coco`."""
        from lvtune.prediction.conversions import poses_to_coco

        return poses_to_coco(self, self.pictures, self.image_ids, self.sizes)

    def to_supervision(self) -> Any:
        """Returns ``supervision.KeyPoints``; see :func:`lvtune.prediction.conversions.poses_to_supervision`."""
        from lvtune.prediction.conversions import poses_to_supervision

        return poses_to_supervision(self)


class FramePoses(Poses):
    """The poses of one frame, as a stream yields them.

    Args:
        frame: with its pixels; they are dropped when nobody holds the frame any more.
        poses: in the order of the boxes.
        marks: what was seen in the frame beside the poses, in JSON types, such as ``{"crowd": True}``.
        heatmaps: one for each pose, where they were asked for.
    """

    def __init__(
        self,
        frame: Frame,
        poses: Sequence[Pose] = (),
        *,
        marks: Mapping[str, Any] | None = None,
        heatmaps: Sequence[PoseHeatmap] = (),
    ) -> None:
        super().__init__(poses, pictures=[frame.picture])
        self.frame, self.marks, self.heatmaps = frame, dict(marks or {}), list(heatmaps)
        self.sizes = {} if frame.size is None else {frame.image: frame.size}


@dataclass(frozen=True)
class PoseHeatmap:
    """The heatmaps of one pose, laid over each other."""

    values: np.ndarray
    """(h, w) float32, the largest value over the key points."""
    center: np.ndarray
    """(2,) of the crop in pixels of the picture."""
    scale: np.ndarray
    """(2,) width and height of the crop in pixels of the picture."""
