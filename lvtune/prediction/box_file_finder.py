"""Takes the boxes from a file, a COCO annotation file or a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.box_choice import BoxChoice
from lvtune.prediction.finder import Finder, Found, Look
from lvtune.prediction.frames import Frame, Source
from lvtune.prediction.picture_boxes import PictureBoxes, read_boxes


@dataclass
class BoxFileFinder(Finder):
    """Boxes that were read before the first frame."""

    boxes: PictureBoxes
    mark: str
    """Hash of the file."""
    name: str = field(default="boxes", kw_only=True)

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """The boxes under each frame's name."""
        found = []
        for frame in frames:
            boxes = self.boxes.of.get(frame.picture)
            scores = self.boxes.scores.get(frame.picture)
            found.append(Found.nothing() if boxes is None or scores is None else Found(boxes, scores))
        return found

    def wants(self, picture: Path) -> bool:
        """A picture without a box need not be read."""
        return self.boxes.count(picture) > 0

    def image_ids(self) -> Mapping[Path, int]:
        """Those of a COCO file."""
        return self.boxes.image_ids

    def identity(self) -> dict[str, Any]:
        """The file's contents."""
        return {"name": self.name, "boxes": self.mark}


def box_file_finder(boxes: Any, source: Source, skeleton: Skeleton, choice: BoxChoice | None) -> BoxFileFinder:
    """Reads the boxes of all frames.

    Args:
        boxes: see :func:`lvtune.prediction.picture_boxes.read_boxes`.
        source: of the frames.
        skeleton: of the poses, which says whether persons are wanted.
        choice: which boxes are used.

    Raises:
        LvtuneError: a faulty file; no box in any of the frames; frames that have no names.
    """
    pictures = source.pictures
    if pictures is None:
        raise UsageError(f"boxes from a file for {source.title}", "pictures whose names are known beforehand",
                         "choose --find pose or --find detector")  # fmt: skip
    found = read_boxes(boxes, pictures, skeleton, roots=source.relative, choice=choice, sizes=source.sizes)
    return BoxFileFinder(found, _mark(boxes), notes=list(found.notes))


def _mark(boxes: Any) -> str:
    if isinstance(boxes, str | Path):
        return hashlib.sha256(Path(boxes).read_bytes()).hexdigest()[:16]
    plain = json.dumps(boxes, default=lambda value: np.asarray(value).tolist(), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]
