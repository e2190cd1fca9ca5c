"""The table of hands with 3D joints, the counterpart of :class:`lvtune.data.pose_table.PoseTable`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.data.hand_joints import Root, reference_bone
from lvtune.data.images import read_image
from lvtune.data.skeletons import HAND_21, Skeleton

LEFT, RIGHT = 0, 1
Draw = Callable[[int], np.ndarray]
"""Image id to (H, W, 3) uint8 RGB, for pictures without a file. It must be picklable for worker processes."""


@dataclass(frozen=True, slots=True)
class Hand:
    """One hand in one picture; pixels with x to the right and y down, millimetres with z away from the camera."""

    index: int
    image: str
    """Path relative to the table's root, or the name of a drawn picture."""
    image_id: int
    annotation_id: int
    width: int
    height: int
    bbox: np.ndarray
    """(4,) x, y, width, height of the crop."""
    area: float
    keypoints: np.ndarray
    """(21, 3) x, y, visibility (0, 1, 2)."""
    category: str
    xyz: np.ndarray
    """(21, 3) mm in camera coordinates; not a number where there are 2D labels alone."""
    camera: np.ndarray
    """(3, 3) intrinsics: keypoints = camera · xyz."""
    side: int
    """0 left, 1 right."""
    scale: float
    """Length in mm of the reference bone."""
    score: float = 1.0


class HandTable:
    """N hands, read-only, in the common joint order.

    Args:
        columns: ``image`` (N,) str; ``image_id``, ``width``, ``height``, ``side`` (N,) int; ``bbox`` (N, 4);
            ``keypoints`` (N, 21, 3) pixels and visibility; ``xyz`` (N, 21, 3) mm; ``camera`` (N, 3, 3);
            ``category`` (N,) str; ``scale`` (N,) mm, by default measured.
        root: the folder that ``image`` is relative to.
        draw: makes the pictures; None: they are files.
        notes: what was skipped or taken for granted on reading, for the user's eyes.
        joint0: what joint 0 is.

    Attributes:
        skeleton: ``hand-21``.
        fingerprint: sha256 over the annotations and the selection.
        box_format: None, as of a table with annotated boxes.
    """

    box_format: str | None = None

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        *,
        root: str | Path = ".",
        draw: Draw | None = None,
        notes: Sequence[str] = (),
        joint0: Root = "palm",
    ) -> None:
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        self.root, self.draw, self.notes = Path(root), draw, list(notes)
        self.joint0: Root = joint0
        self.skeleton: Skeleton = HAND_21
        if "scale" not in self._columns:
            self._columns["scale"] = reference_bone(self._columns["xyz"])
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        return len(self._columns["image_id"])

    def __iter__(self) -> Iterator[Hand]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Hand:
        if not -len(self) <= index < len(self):
            raise IndexError(f"hand {index} of a table of {len(self)}")
        index %= len(self)
        of = {name: values[index] for name, values in self._columns.items()}
        return Hand(
            index, str(of["image"]), int(of["image_id"]), index, int(of["width"]), int(of["height"]),
            of["bbox"].astype(float), float(of["bbox"][2] * of["bbox"][3]), of["keypoints"].copy(),
            str(of["category"]), of["xyz"].copy(), of["camera"].copy(), int(of["side"]), float(of["scale"]),
        )  # fmt: skip

    def column(self, name: str) -> np.ndarray:
        """Returns all N values of a field of `Hand`; do not write to them.

        Raises:
            LvtuneError: no such field.
        """
        made = {
            "area": lambda: self._columns["bbox"][:, 2:].prod(1),
            "score": lambda: np.ones(len(self)),
            "annotation_id": lambda: np.arange(len(self)),
        }
        if name in made:
            return made[name]()
        if name not in self._columns:
            known = [field for field in Hand.__slots__ if field != "index"]
            raise UsageError(f"column '{name}'", f"one of {', '.join(known)}", "choose one of these")
        return self._columns[name]

    @property
    def fingerprint(self) -> str:
        """sha256 over the annotations and the selection (not the pictures' pixels)."""
        if self._fingerprint is None:
            mark = hashlib.sha256("\n".join(map(str, self._columns["image"])).encode())
            for name in ("image_id", "bbox", "keypoints", "xyz", "camera", "side"):
                mark.update(np.ascontiguousarray(self._columns[name]).tobytes())
            self._fingerprint = mark.hexdigest()
        return self._fingerprint

    def image_path(self, index: int) -> Path:
        """Returns the path of the picture of hand ``index``; a drawn picture has no file there."""
        return self.root / str(self._columns["image"][index])

    def picture(self, index: int) -> np.ndarray:
        """Returns the picture of hand ``index``, (H, W, 3) uint8 RGB.

        Raises:
            LvtuneError: as :func:`lvtune.data.images.read_image`.
        """
        if self.draw is not None:
            return self.draw(int(self._columns["image_id"][index]))
        return read_image(self.image_path(index))

    def select(self, indices: Sequence[int] | np.ndarray) -> HandTable:
        """Returns the hands at ``indices``, in that order.

        Raises:
            LvtuneError: an index out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise UsageError(f"selection of hands {chosen.min()} to {chosen.max()}",
                              f"indices below {len(self)}", "choose among the table's hands")  # fmt: skip
        return self.replace(None, **{name: values[chosen] for name, values in self._columns.items()})

    def replace(self, draw: Draw | None = None, **columns: np.ndarray) -> HandTable:
        """Returns the same table with other columns, or with another function that draws."""
        kept = {**self._columns, **columns}
        return HandTable(kept, root=self.root, draw=draw or self.draw, notes=self.notes, joint0=self.joint0)

    def coco_ground_truth(self) -> dict[str, Any]:
        """Returns the 2D annotations in the form of a COCO file; each hand is an image of its own."""
        boxes, points = self._columns["bbox"], self._columns["keypoints"]
        sizes = zip(self._columns["width"], self._columns["height"], strict=True)
        return {
            "images": [
                {"id": int(of), "file_name": str(name), "width": int(w), "height": int(h)}
                for of, name, (w, h) in zip(self._columns["image_id"], self._columns["image"], sizes, strict=True)
            ],
            "annotations": [
                {"id": i + 1, "image_id": int(self._columns["image_id"][i]), "category_id": 1, "iscrowd": 0,
                 "bbox": boxes[i].tolist(), "area": float(boxes[i, 2] * boxes[i, 3]),
                 "keypoints": points[i].reshape(-1).tolist(),
                 "num_keypoints": int((points[i, :, 2] > 0).sum())}
                for i in range(len(self))
            ],
            "categories": [{
                "id": 1, "name": "hand", "keypoints": list(self.skeleton.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in self.skeleton.links],
            }],
        }  # fmt: skip
