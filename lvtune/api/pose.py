"""What is predicted of one person or hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lvtune.data.skeletons import Skeleton


@dataclass(frozen=True)
class Pose:
    """One person found in one picture; pixels, x to the right, y down."""

    image: str
    """Path of the picture."""
    bbox: tuple[float, float, float, float]
    """x, y, width, height that was looked at."""
    keypoints: np.ndarray
    """(K, 2) x, y."""
    scores: np.ndarray
    """(K,) maxima of the heatmaps."""
    skeleton: Skeleton
    """Names and links of the key points."""
    xyz: np.ndarray | None = None
    """(K, 3) x, y, depth in space, of hands; see ``unit``."""
    category: str | None = None
    """Category whose sentence was read; None: the mean of all, or none."""
    adapter: str | None = ""
    """Name of the adapter that its picture went under; None: the bare base; empty: nobody chose."""
    unit: str = ""
    """What ``xyz`` is told in: lengths of the reference bone or mm, relative to the root or to the camera."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        points: list[dict[str, Any]] = [
            {"name": name, "x": round(float(x), 2), "y": round(float(y), 2), "score": round(float(score), 4)}
            for name, (x, y), score in zip(self.skeleton.keypoints, self.keypoints, self.scores, strict=True)
        ]
        found = {"image": self.image, "bbox": [round(v, 2) for v in self.bbox], "keypoints": points}
        if self.adapter != "":
            found["adapter"] = self.adapter
        if self.category is not None:
            found["category"] = self.category
        if self.xyz is None:
            return found
        for point, joint in zip(points, self.xyz, strict=True):
            point["xyz"] = [round(float(v), 4) for v in joint]
        return {**found, "unit": self.unit}
