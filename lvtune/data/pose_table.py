"""The table of persons that every reader of pictures works on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.arrow import Columns
from lvtune.data.coco_file import EMPTY_IMAGE, IGNORED, PERSON
from lvtune.data.images import MAX_PIXELS, read_image
from lvtune.data.person import Person
from lvtune.data.skeletons import Skeleton

Strings = Sequence[str]


class PoseTable:
    """N persons, read-only; see `read_coco`. Cheap to send to worker processes.

    Attributes:
        skeleton: of the key points.
        root: the folder that the persons' ``image`` is relative to.
        fingerprint: sha256 over the annotations, the selection and the boxes (not the pictures' pixels).
        notes: what was left out or decided on reading, one sentence each.
        box_format: how detector boxes were read and why; None with ground truth boxes.
        max_pixels: larger pictures are refused.
    """

    def __init__(
        self,
        columns: Columns,
        rows: np.ndarray,
        categories: Sequence[str],
        *,
        skeleton: Skeleton,
        root: Path,
        fingerprint: str,
        notes: Sequence[str] = (),
        boxes: Mapping[str, np.ndarray] | None = None,
        box_format: str | None = None,
        images: np.ndarray | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.skeleton, self.root, self.fingerprint = skeleton, Path(root), fingerprint
        self.notes, self.box_format = list(notes), box_format
        self._columns, self._rows, self._categories = columns, rows, categories
        self.max_pixels = max_pixels
        self._images = images  # ids of the images scored; None for all of the file
        # With detector boxes row i says only which picture; box, area and score are the detector's.
        self._boxes = boxes

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Person]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Person:
        if not -len(self) <= index < len(self):
            raise IndexError(f"person {index} of a table of {len(self)}")
        index %= len(self)
        row, columns, boxes = int(self._rows[index]), self._columns, self._boxes
        if boxes is None:
            box, area, score = columns["bbox"][row].copy(), float(columns["area"][row]), 1.0
            points, annotation = columns["keypoints"][row].copy(), int(columns["annotation_id"][row])
        else:
            box, score = boxes["bbox"][index].copy(), float(boxes["score"][index])
            area, points, annotation = float(box[2] * box[3]), np.zeros((len(self.skeleton.keypoints), 3)), -1
        return Person(
            index,
            columns["image"][row].as_py(),
            int(columns["image_id"][row]),
            annotation,
            int(columns["width"][row]),
            int(columns["height"][row]),
            box,
            area,
            points,
            self._categories[row],
            score,
        )

    def column(self, name: str) -> np.ndarray:
        """Returns all N values of a field of `Person`: (N,), bbox (N, 4), keypoints (N, K, 3); do not write to them.

        ``description`` gives each picture's caption, "" without one; ``original`` its name in the annotation file.

        Raises:
            DataError: no such field.
        """
        if name == "category":
            return np.array([self._categories[row] for row in self._rows], dtype=object)
        if name in ("image", "original", "description"):
            return np.array([self._columns[name][row].as_py() for row in self._rows], dtype=object)
        if self._boxes is None and name == "score":
            return np.ones(len(self))
        if self._boxes is not None and name in ("bbox", "score", "area", "keypoints", "annotation_id"):
            size = self._boxes["bbox"][:, 2:].prod(1)
            zeros = np.broadcast_to(0.0, (len(self), len(self.skeleton.keypoints), 3))
            none = np.full(len(self), -1)
            return {"area": size, "keypoints": zeros, "annotation_id": none, **self._boxes}[name]
        if name not in ("image_id", "annotation_id", "width", "height", "bbox", "area", "keypoints"):
            known = [field for field in Person.__slots__ if field != "index"]
            raise DataError(f"column '{name}'", f"one of {', '.join(known)}", "choose one of these")
        values, rows = self._columns[name], self._rows
        # Persons stand first in the file, so the whole table is a slice, which numpy does not copy.
        if len(rows) and rows[0] == 0 and rows[-1] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return values[: len(rows)]
        return values[rows]

    def image_path(self, index: int) -> Path:
        """Returns the path of the picture of person ``index``; the file may be missing."""
        return self.root / self._columns["image"][self._rows[index]].as_py()

    def picture(self, index: int) -> np.ndarray:
        """Returns the picture of person ``index``, (H, W, 3) uint8 RGB.

        Raises:
            DataError: as :func:`lvtune.data.images.read_image`.
        """
        return read_image(self.image_path(index), self.max_pixels)

    @property
    def category_ids(self) -> list[int]:
        """Ids of the annotation file's categories that have key points."""
        return list(self._columns.meta["category_ids"])

    @property
    def category_names(self) -> list[str]:
        """Names of these categories."""
        return list(self._columns.meta["category_names"])

    @property
    def image_ids(self) -> np.ndarray:
        """Ids of the pictures that are scored."""
        return np.unique(np.asarray(self._columns["image_id"])) if self._images is None else self._images

    def row_of_image(self) -> dict[int, int]:
        """Returns the id of each scored picture with a row of the annotation file in it."""
        ids, first = np.unique(np.asarray(self._columns["image_id"]), return_index=True)
        scored = np.isin(ids, self.image_ids)
        return dict(zip(ids[scored].tolist(), first[scored].tolist(), strict=True))

    def image_name(self, row: int) -> str:
        """Returns the path of the picture of a row of the annotation file, relative to ``root``."""
        return self._columns["image"][row].as_py()

    def sizes_of(self, rows: np.ndarray) -> np.ndarray:
        """Returns (N, 2) width and height of the pictures of rows of the annotation file."""
        return np.stack([self._columns["width"][rows], self._columns["height"][rows]], 1)

    def detected(
        self,
        rows: np.ndarray,
        boxes: np.ndarray,
        scores: np.ndarray,
        *,
        notes: Strings,
        box_format: str,
        fingerprint: str,
    ) -> PoseTable:
        """Returns the same pictures with other boxes.

        Args:
            rows: (N,) rows of the annotation file that say in which picture each box lies.
            boxes: (N, 4) x, y, width, height.
            scores: (N,) of the detector.
            notes: added to the table's.
            box_format: how the boxes were read and why.
            fingerprint: of the result.
        """
        return self._with(
            rows=rows,
            boxes={"bbox": boxes, "score": scores},
            notes=[*self.notes, *notes],
            box_format=box_format,
            fingerprint=fingerprint,
        )

    @property
    def dataset(self) -> Any:
        """The `datasets.Dataset` over the same memory: all annotations and images, before selection."""
        return self._columns.dataset

    def select(self, indices: Sequence[int] | np.ndarray) -> PoseTable:
        """Returns the persons at ``indices``, in that order.

        Raises:
            DataError: an index out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise DataError(
                f"selection of persons {chosen.min()} to {chosen.max()}",
                f"indices below {len(self)}",
                "choose among the table's persons",
            )
        chosen = chosen % max(1, len(self))
        boxes = None if self._boxes is None else {name: v[chosen] for name, v in self._boxes.items()}
        images = np.unique(np.asarray(self._columns["image_id"])[self._rows[chosen]])
        mark = hashlib.sha256(self.fingerprint.encode() + chosen.tobytes()).hexdigest()
        return self._with(rows=self._rows[chosen], boxes=boxes, fingerprint=mark, images=images)

    def in_pictures_of(self, other: PoseTable) -> PoseTable:
        """Returns the persons (or detector boxes) in the pictures of ``other``. Pictures without any count too."""
        pictures = np.unique(other.column("image_id"))
        return self.select(np.flatnonzero(np.isin(self.column("image_id"), pictures)))._with(images=pictures)

    def relabelled(self, category_of: Callable[[str, str], str]) -> PoseTable:
        """Returns the same persons with the category that ``category_of(category, description)`` gives each."""
        texts = self._columns["description"].to_pylist()
        names = [category_of(old, text) for old, text in zip(self._categories, texts, strict=True)]
        mark = hashlib.sha256("\n".join([self.fingerprint, *names]).encode()).hexdigest()
        return self._with(categories=names, fingerprint=mark)

    def limited_to(self, max_pixels: int) -> PoseTable:
        """Returns the same persons with another size limit of the pictures."""
        return self if max_pixels == self.max_pixels else self._with(max_pixels=max_pixels)

    def without_labels(self) -> PoseTable:
        """Returns the same boxes in the same pictures, without a key point."""
        boxes = {"bbox": np.array(self.column("bbox")), "score": np.ones(len(self))}
        mark = hashlib.sha256(f"{self.fingerprint} without labels".encode()).hexdigest()
        return self._with(boxes=boxes, fingerprint=mark)

    def with_note(self, note: str) -> PoseTable:
        """Returns the same persons with one more note."""
        return self._with(notes=[*self.notes, note])

    def with_pairs(self, pairs: tuple[tuple[int, int], ...]) -> PoseTable:
        """Returns the same persons with other mirror pairs of the key points."""
        if self.skeleton.mirrors and pairs == self.skeleton.pairs:
            return self
        mark = hashlib.sha256(f"{self.fingerprint} {pairs}".encode()).hexdigest()
        notes = [note for note in self.notes if note != self.skeleton.mirror_note]
        return self._with(skeleton=self.skeleton.with_pairs(pairs), fingerprint=mark, notes=notes)

    def _with(self, **changes: Any) -> PoseTable:
        given = dict(
            columns=self._columns,
            rows=self._rows,
            categories=self._categories,
            skeleton=self.skeleton,
            root=self.root,
            fingerprint=self.fingerprint,
            notes=self.notes,
            boxes=self._boxes,
            box_format=self.box_format,
            images=self._images,
            max_pixels=self.max_pixels,
        )
        return PoseTable(**{**given, **changes})

    def coco_ground_truth(self) -> dict[str, Any]:
        """Returns the annotations to score against, in the form of a COCO file.

        A whole table gives every image and every annotation of the file. A selection gives the images of the
        selected persons; other persons in them are marked as crowd, so that a detection of one of them counts
        neither as right nor as wrong. With detector boxes the annotations are still those of the file.
        """
        columns, kinds = self._columns, np.asarray(self._columns["kind"])
        ids = np.asarray(columns["image_id"])
        inside = np.ones(len(ids), bool) if self._images is None else np.isin(ids, self._images)
        counted = kinds == PERSON
        if self._boxes is None:
            counted = np.isin(np.arange(len(ids)), self._rows)
        # An annotation without key points is passed over by pycocotools in its own way; left as it is.
        crowd = np.where(kinds == IGNORED, columns["crowd"], ~counted)
        rows = np.flatnonzero(inside)
        _, first = np.unique(ids[rows], return_index=True)
        images = [self._image_entry(int(row)) for row in rows[first]]
        rows = rows[kinds[rows] != EMPTY_IMAGE]
        # ids from 1: pycocotools takes 0 for "unmatched"
        annotations = [self._annotation_entry(n, int(row), int(crowd[row])) for n, row in enumerate(rows, start=1)]
        links = [[a + 1, b + 1] for a, b in self.skeleton.links]
        category = {"id": 1, "name": "person", "keypoints": list(self.skeleton.keypoints), "skeleton": links}
        return {"images": images, "annotations": annotations, "categories": [category]}

    def _image_entry(self, row: int) -> dict[str, Any]:
        columns = self._columns
        return {
            "id": int(columns["image_id"][row]),
            "file_name": columns["image"][row].as_py(),
            "width": int(columns["width"][row]),
            "height": int(columns["height"][row]),
        }

    def _annotation_entry(self, number: int, row: int, crowd: int) -> dict[str, Any]:
        columns, points = self._columns, self._columns["keypoints"][row]
        return {
            "id": number,
            "image_id": int(columns["image_id"][row]),
            "category_id": 1,
            "bbox": columns["bbox"][row].tolist(),
            "area": float(columns["area"][row]),
            "keypoints": points.reshape(-1).tolist(),
            "num_keypoints": int((points[:, 2] > 0).sum()),
            "iscrowd": crowd,
        }
