"""Reads a COCO-style key point file into the table of persons."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.data.annotation_boxes import MARGIN
from lvtune.data.arrow import Columns, cached_columns
from lvtune.data.coco_file import PERSON, CocoOptions, parse_coco
from lvtune.data.coco_images import Where, image_names, look_at_pictures, state_of_pictures
from lvtune.data.detector_boxes import with_boxes
from lvtune.data.flip_pairs import parse_flip_pairs
from lvtune.data.json_file import load_json
from lvtune.data.pose_table import Person, PoseTable
from lvtune.data.skeletons import Skeleton

__all__ = ["Person", "PoseTable", "read_coco", "with_boxes"]

_VERSION = 5  # of the cached columns; raise it when parse_coco changes


def _category_field(image: Mapping[str, Any]) -> str:
    return str(image["category"] or image["label"]).strip().replace(" ", "_")


def _categories(columns: Mapping[str, Any], category_of: Callable[[dict[str, Any]], str]) -> list[str]:
    """Returns the category of every row. ``category_of`` is called once for each image and kind in it."""
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
    published: bool = False,
    box_format: str = "auto",
    box_margin: float = MARGIN,
    flip_pairs: str | None = None,
    missing_boxes: str = "points",
    symlinks: bool = False,
    anywhere: bool = False,
) -> PoseTable:
    """Reads a COCO-style key point file into a memory-mapped table.

    Persons are the annotations with ``iscrowd`` 0, a labelled key point and a box in the image. The table's ``notes``
    count the rest and tell every decision. The parsed file is kept in the cache under the hash of its content.

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
        published: the file of a benchmark: read as its authors read it, without a look at the pictures.
        box_format: how annotated boxes are written: ``xywh``, ``xyxy``, or ``auto`` to decide from the boxes.
        box_margin: around boxes that are made of key points, as a share of their longer extent, on each side.
        flip_pairs: mirror pairs as typed, see :func:`lvtune.data.flip_pairs.parse_flip_pairs`; None: the file's own,
            else as the names say.
        missing_boxes: ``points`` makes boxes that are missing of the key points; ``whole`` takes the whole picture.
        symlinks: take pictures that are links out of the folder.
        anywhere: the pictures were found before: take their names as they stand, absolute paths too.

    Raises:
        DataError: any fault of the file, or no folder at ``images``.
        UsageError: ``flip_pairs`` that are none.
    """
    where = Where(_folder(images), symlinks, anywhere)
    how = CocoOptions(skeleton, keypoints_field, require_keypoints, box_format, box_margin, missing_boxes, published)
    columns, key = _columns(Path(annotations), where, how, cache_dir)
    categories = _categories(columns, category_of or _category_field)
    rows = np.flatnonzero(np.asarray(columns["kind"]) == PERSON)
    found, notes = Skeleton.from_dict(columns.meta["skeleton"]), list(columns.meta["notes"])
    if flip_pairs is not None:
        found = found.with_pairs(parse_flip_pairs(flip_pairs, found.keypoints))
    notes += [found.mirror_note] if found.mirror_note else []
    mark = hashlib.sha256("\n".join([key + columns.meta["changed"] + (flip_pairs or ""), *categories]).encode())
    return PoseTable(
        columns, rows, categories, skeleton=found, root=where.root, fingerprint=mark.hexdigest(), notes=notes
    )


def _folder(images: str | os.PathLike[str]) -> Path:
    root = Path(images)
    if not root.is_dir():
        raise DataError(
            f"no folder of pictures at {root}",
            "the folder that `file_name` is relative to",
            "check the path of the data",
        )
    return root


def _columns(
    path: Path, where: Where, how: CocoOptions, cache_dir: str | os.PathLike[str] | None
) -> tuple[Columns, str]:
    """Returns the columns of a file, from the cache if they are there, and the hash of its content and the options.

    The columns depend on the pictures too. When those have changed, the columns are made again.
    """
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""  # load_json says what is wrong
    wanted = None if how.skeleton is None else how.skeleton.to_dict()
    told = [_VERSION, content, {**asdict(how), "skeleton": wanted}]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def make() -> tuple[dict[str, Any], dict[str, Any]]:
        data = load_json(path)
        if how.published:
            columns, meta = parse_coco(data, path, how)
            return columns, {**meta, "state": ""}
        names = image_names(data)
        columns, meta = parse_coco(data, path, how, look_at_pictures(names, where))
        originals = sorted(set(columns["original"]))
        return columns, {**meta, "state": state_of_pictures(originals, where)}

    columns = cached_columns(key, make, cache_dir)
    if how.published:
        return columns, key
    state = state_of_pictures(sorted(set(columns["original"].to_pylist())), where)
    if state == columns.meta["state"]:
        return columns, key
    return cached_columns(hashlib.sha256(f"{key} {state}".encode()).hexdigest(), make, cache_dir), key
