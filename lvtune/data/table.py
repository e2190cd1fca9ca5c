"""The table of persons that every reader of pictures works on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.data.arrow import cached_columns
from lvtune.data.boxes import decide_box_format, read_detections, to_xywh
from lvtune.data.coco_file import EMPTY_IMAGE, IGNORED, PERSON, parse_coco
from lvtune.data.images import read_image
from lvtune.data.skeletons import Skeleton

_VERSION = 3  # of the cached columns; raise it when parse_coco changes
Strings = Sequence[str]


@dataclass(frozen=True, slots=True)
class Person:
    """One person (or hand) in one picture; pixels, x to the right, y down."""

    index: int
    image: str
    """Path relative to the table's root."""
    image_id: int
    annotation_id: int
    width: int
    height: int
    bbox: np.ndarray
    """(4,) x, y, width, height, clipped to the image."""
    area: float
    keypoints: np.ndarray
    """(K, 3) x, y, visibility (0, 1, 2)."""
    category: str
    """The domain's category; empty when there is none."""
    score: float = 1.0
    """Of the detector; 1 for ground truth."""


class PoseTable:
    """N persons, read-only; see `read_coco`. Cheap to send to worker processes.

    Attributes:
        skeleton: of the key points.
        root: the folder that the persons' ``image`` is relative to.
        fingerprint: sha256 over the annotations, the selection and the boxes (not the pictures' pixels).
        notes: what was skipped or taken for granted on reading, for the user's eyes.
        box_format: how detector boxes were read and why; None with ground truth boxes.
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        rows: np.ndarray,
        categories: Strings,
        *,
        skeleton: Skeleton,
        root: Path,
        fingerprint: str,
        notes: Sequence[str] = (),
        boxes: Mapping[str, np.ndarray] | None = None,
        box_format: str | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        self.skeleton, self.root, self.fingerprint = skeleton, Path(root), fingerprint
        self.notes, self.box_format = list(notes), box_format
        self._columns, self._rows, self._categories = columns, rows, categories
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
        row, columns, boxes = self._rows[index], self._columns, self._boxes
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
        """All N values of a field of `Person`: (N,), bbox (N, 4), keypoints (N, K, 3); do not write to it.

        ``description`` gives each picture's caption, "" where it has none.

        Raises:
            LvtuneError: no such field.
        """
        if name == "category":
            return np.array([self._categories[row] for row in self._rows], dtype=object)
        if name in ("image", "description"):
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
            raise LvtuneError(f"column '{name}'", f"one of {', '.join(known)}", "choose one of these")
        values, rows = self._columns[name], self._rows
        # Persons stand first in the file, so the whole table is a slice, which numpy does not copy.
        if len(rows) and rows[0] == 0 and rows[-1] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return values[: len(rows)]
        return values[rows]

    def image_path(self, index: int) -> Path:
        """Where the picture of person ``index`` lies (it may be missing; reading it then says so)."""
        return self.root / self._columns["image"][self._rows[index]].as_py()

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of person ``index``.

        Raises:
            LvtuneError: as :func:`lvtune.data.images.read_image`.
        """
        return read_image(self.image_path(index))

    @property
    def category_ids(self) -> list[int]:
        """Ids of the annotation file's categories that have key points."""
        return list(self._columns.meta["category_ids"])

    @property
    def dataset(self) -> Any:
        """The `datasets.Dataset` over the same memory: all annotations and images, before selection."""
        return self._columns.dataset

    def select(self, indices: Sequence[int] | np.ndarray) -> PoseTable:
        """The persons at ``indices``, in that order.

        Raises:
            LvtuneError: an index out of range.
        """
        chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(chosen) and not (-len(self) <= chosen.min() and chosen.max() < len(self)):
            raise LvtuneError(
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
        """The persons (or detector boxes) in the pictures of ``other``; pictures without any are still scored."""
        pictures = np.unique(other.column("image_id"))
        return self.select(np.flatnonzero(np.isin(self.column("image_id"), pictures)))._with(images=pictures)

    def relabelled(self, category_of: Callable[[str, str], str]) -> PoseTable:
        """The same persons; ``category_of`` makes each one's category of (category, description of the picture)."""
        texts = self._columns["description"].to_pylist()
        names = [category_of(old, text) for old, text in zip(self._categories, texts, strict=True)]
        mark = hashlib.sha256("\n".join([self.fingerprint, *names]).encode()).hexdigest()
        return self._with(categories=names, fingerprint=mark)

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
        )
        return PoseTable(**{**given, **changes})

    def coco_ground_truth(self) -> dict[str, Any]:
        """The annotations to score against, in the form of a COCO file.

        Of a whole table: every image of the file, every annotation. Of a selection: the images of the
        persons selected; other persons in them are marked crowd, so that a detection on one of them counts
        neither way. With detector boxes the annotations are still the file's.
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
        images = [
            {
                "id": int(ids[r]),
                "file_name": columns["image"][int(r)].as_py(),
                "width": int(columns["width"][r]),
                "height": int(columns["height"][r]),
            }
            for r in rows[first]
        ]
        rows = rows[kinds[rows] != EMPTY_IMAGE]
        points = np.asarray(columns["keypoints"])
        annotations = [
            {
                "id": n,
                "image_id": int(ids[r]),
                "category_id": 1,
                "bbox": columns["bbox"][r].tolist(),
                "area": float(columns["area"][r]),
                "keypoints": points[r].reshape(-1).tolist(),
                "num_keypoints": int((points[r, :, 2] > 0).sum()),
                "iscrowd": int(crowd[r]),
            }
            for n, r in enumerate(rows, start=1)  # ids from 1: pycocotools takes 0 for "unmatched"
        ]
        links = [[a + 1, b + 1] for a, b in self.skeleton.links]
        category = {"id": 1, "name": "person", "keypoints": list(self.skeleton.keypoints), "skeleton": links}
        return {"images": images, "annotations": annotations, "categories": [category]}


def _category_field(image: Mapping[str, Any]) -> str:
    return str(image["category"] or image["label"]).strip().replace(" ", "_")


def _categories(columns: Mapping[str, Any], category_of: Callable[[dict[str, Any]], str]) -> list[str]:
    """The category of every row; each image is asked once, or once for each kind that is annotated in it."""
    known: dict[tuple[int, str], str] = {}
    result = []
    names, tags, texts, labels = (columns[name].to_pylist() for name in ("image", "tag", "description", "label"))
    for row, image_id in enumerate(columns["image_id"].tolist()):
        key = (image_id, labels[row])
        if key not in known:
            known[key] = str(
                category_of(
                    {
                        "id": image_id,
                        "file_name": names[row],
                        "category": tags[row],
                        "label": labels[row],
                        "description": texts[row],
                        "width": int(columns["width"][row]),
                        "height": int(columns["height"][row]),
                    }
                )
            )
        result.append(known[key])
    return result


def read_coco(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    skeleton: Skeleton | None = None,
    category_of: Callable[[dict[str, Any]], str] | None = None,
    keypoints_field: str = "keypoints",
    require_keypoints: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
) -> PoseTable:
    """Read a COCO-style key point file into a memory-mapped table.

    Persons are the annotations with ``iscrowd`` 0, a visible key point and a box with an area inside the
    image; the rest is counted in the table's ``notes``. The parsed file is kept in the cache under the hash
    of its content, so the second reading takes no time and processes share it.

    Args:
        annotations: the JSON file.
        images: the folder that ``file_name`` is relative to.
        skeleton: the key points wanted, found in the file by name; None takes the file's own.
        category_of: domain category from an image's dict (id, file_name, category, description, width, height,
            and label: the name of the annotation's own category, where the file has several with key points); by
            default its ``category``, else the label, with underscores for spaces, or "".
        keypoints_field: field of the annotations to read (Human-Art has ``keypoints_21`` too).
        require_keypoints: False also takes persons without visible key points, for predicting.
        cache_dir: folder of the cache; ``$LVTUNE_CACHE`` or ``~/.cache/lvtune`` by default.

    Raises:
        LvtuneError: any fault of the file, or no folder at ``images``.
    """
    path, root = Path(annotations), Path(images)
    if not root.is_dir():
        raise LvtuneError(
            f"no folder of pictures at {root}",
            "the folder that `file_name` is relative to",
            "check the path of the data",
        )
    content = ""
    with contextlib.suppress(OSError), path.open("rb") as file:  # parse_coco says what is wrong with it
        content = hashlib.file_digest(file, "sha256").hexdigest()
    names = None if skeleton is None else skeleton.to_dict()
    key = hashlib.sha256(
        json.dumps([_VERSION, content, names, keypoints_field, require_keypoints]).encode()
    ).hexdigest()
    columns = cached_columns(key, lambda: parse_coco(path, skeleton, keypoints_field, require_keypoints), cache_dir)
    categories = _categories(columns, category_of or _category_field)
    rows = np.flatnonzero(np.asarray(columns["kind"]) == PERSON)
    mark = hashlib.sha256((key + "\n".join(categories)).encode()).hexdigest()
    return PoseTable(
        columns,
        rows,
        categories,
        skeleton=Skeleton.from_dict(columns.meta["skeleton"]),
        root=root,
        fingerprint=mark,
        notes=columns.meta["notes"],
    )


def with_boxes(
    table: PoseTable,
    detections: str | os.PathLike[str],
    box_format: str = "auto",
    *,
    min_score: float = 0.0,
) -> PoseTable:
    """A detector's boxes in place of the annotated ones, in the pictures of ``table``.

    Args:
        table: gives the pictures and, for scoring, the annotations.
        detections: a COCO results file: a list of image_id, category_id, bbox, score. Boxes of categories
            other than the persons' are passed over.
        box_format: ``xywh``, ``xyxy``, or ``auto`` to decide from the boxes (see `decide_box_format`);
            what was decided stands in the result's ``box_format`` and ``notes``.
        min_score: boxes of a lower detector score are passed over.

    Raises:
        LvtuneError: a fault of the file, an unknown format, no box in the table's pictures.
    """
    path = Path(detections)
    columns, ids = table._columns, np.asarray(table._columns["image_id"])
    persons = columns.meta["category_ids"]
    image_ids, boxes, scores = read_detections(path, persons)
    allowed = np.unique(ids) if table._images is None else table._images
    here = np.isin(image_ids, allowed) & (scores >= min_score)
    if not here.any():
        raise LvtuneError(
            f"{path} with no box of a person in the {len(allowed)} pictures at hand",
            f"image ids such as {allowed[0]} and category ids {persons}",
            "give the detections of this very data set",
        )
    found, first = np.unique(ids, return_index=True)
    rows = first[np.searchsorted(found, image_ids[here])]
    size = np.stack([columns["width"][rows], columns["height"][rows]], 1)
    decided, reason = decide_box_format(boxes[here], size, box_format)
    clipped = to_xywh(boxes[here], decided, size)
    solid = (clipped[:, 2:] > 0).all(1)
    notes = [*table.notes, f"{solid.sum()} detector boxes read as {decided}: {reason}"]
    if not solid.all():
        notes.append(f"{(~solid).sum()} detector boxes without an area inside the image: skipped")
    mark = json.dumps([table.fingerprint, hashlib.sha256(path.read_bytes()).hexdigest(), decided, min_score])
    return table._with(
        rows=rows[solid],
        boxes={"bbox": clipped[solid], "score": scores[here][solid]},
        notes=notes,
        box_format=f"{decided} ({reason})",
        fingerprint=hashlib.sha256(mark.encode()).hexdigest(),
        images=table._images,
    )
