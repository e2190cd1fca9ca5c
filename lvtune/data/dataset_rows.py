"""Rows of a data set of pictures and persons, written as COCO's JSON and a folder of pictures."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError
from lvtune.core.text import brief, one_line
from lvtune.data.image_header import read_header, refuse_large
from lvtune.data.images import MAX_PIXELS

_FIELDS = ("bbox", "area", "iscrowd", "category", "category_id", "num_keypoints")
HOW = "a row a picture with image and objects (bbox, keypoints), see docs/own-data-fields.md"
"""What a row is, for errors."""


def write_part(
    name: str, rows: Iterable[dict[str, Any]], names: dict[str, Any], staged: Path, part: str
) -> tuple[int, int]:
    """Writes the pictures and the annotations of a part.

    Args:
        name: of the data set, for errors.
        rows: a picture each, or a person each.
        names: the category of COCO that says the names of the key points.
        staged: folder to write into.
        part: train, val or test.

    Returns:
        The numbers of instances and pictures.

    Raises:
        DataError: a row that cannot be read, or has fields of the wrong form.
    """
    (staged / "images" / part).mkdir(parents=True)
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for place, row in enumerate(_read(name, rows)):
        data = _bytes(name, row, place)
        mark = hashlib.sha256(data).hexdigest()
        if mark not in images:  # rows of several persons may hold one picture
            file = f"images/{part}/{len(images):07d}{_suffix(data)}"
            (staged / file).write_bytes(data)
            width, height = _size(name, data, place)
            images[mark] = {"id": len(images) + 1, "file_name": file, "width": width, "height": height}
            if row.get("category") is not None and "objects" in row:
                images[mark]["category"] = str(row["category"])
        for person in _people(name, row, place):
            known = {key: person[key] for key in _FIELDS if person.get(key) is not None}
            points = _points(name, person.get("keypoints"), len(names["keypoints"]), place)
            annotations.append(
                {**known, "id": len(annotations) + 1, "image_id": images[mark]["id"], "category_id": 1,
                 "keypoints": points}
            )  # fmt: skip
    category = {"id": 1, "name": "instance", **names}
    text = json.dumps({"images": list(images.values()), "annotations": annotations, "categories": [category]})
    (staged / f"{part}.json").write_text(text, encoding="utf-8")
    return len(annotations), len(images)


def _read(name: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows; what the reading library finds wrong is an error that names the data set and the row."""
    import pyarrow

    waiting = iter(rows)
    for place in itertools.count():
        try:
            row = next(waiting)
        except StopIteration:
            return
        except (pyarrow.ArrowException, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"row {place} of {name}, which cannot be read ({one_line(str(error))[:160]})", HOW,
                "correct the data set",
            ) from error  # fmt: skip
        yield row


def _bytes(name: str, row: Mapping[str, Any], place: int) -> bytes:
    image = row.get("image")
    if not isinstance(image, Mapping) or not (image.get("bytes") or image.get("path")):
        raise DataError(f"row {place} of {name} without a picture in `image`", HOW, "correct the data set")
    if image["bytes"]:
        return image["bytes"]
    try:
        return Path(image["path"]).read_bytes()
    except OSError as error:
        raise DataError(
            f"row {place} of {name} with the picture {brief(image['path'])}, which cannot be read",
            "the bytes of the picture, or a whole path", "correct the data set",
        ) from error  # fmt: skip


def _people(name: str, row: Mapping[str, Any], place: int) -> Iterator[Mapping[str, Any]]:
    """The persons of a row: of a list of tables, of a table of lists, or the row itself."""
    objects = row.get("objects")
    if objects is None:
        if "keypoints" not in row:
            raise DataError(f"row {place} of {name} without `objects` or `keypoints`", HOW, "correct the data set")
        yield row
    elif isinstance(objects, Mapping):
        count = len(objects.get("keypoints") or ())
        lists = {key: values for key, values in objects.items() if isinstance(values, list)}
        other = next((key for key, values in lists.items() if len(values) != count), None)
        if other is not None:
            raise DataError(
                f"row {place} of {name} with {len(lists[other])} values in `{other}` for {count} in `keypoints`",
                "as many as there are persons", "correct the data set",
            )  # fmt: skip
        for i in range(count):
            yield {key: values[i] for key, values in lists.items()}
    else:
        yield from objects


def _points(name: str, points: Any, count: int, place: int) -> list[float]:
    """x, y, v of each key point, flat; points of two numbers are labelled where they are numbers at all."""
    rows: list[Any] = list(points) if isinstance(points, Sequence) and not isinstance(points, str) else []
    if rows and all(isinstance(row, list) for row in rows):
        rows = [value for row in rows for value in (row if len(row) == 3 else [*row, 2 if None not in row else 0])]
    wrong = next((value for value in rows if not (value is None or isinstance(value, int | float))), None)
    if wrong is not None:
        raise DataError(f"row {place} of {name} with {brief(wrong)} in `keypoints`", "numbers", "correct the data set")
    if len(rows) != 3 * count:
        raise DataError(
            f"row {place} of {name} with {len(rows)} numbers in `keypoints`",
            f"x, y, v of {count} key points, {3 * count} numbers", "correct the data set, or name another skeleton",
        )  # fmt: skip
    return [0 if value is None else value for value in rows]


def _size(name: str, data: bytes, place: int) -> tuple[int, int]:
    """Width and height in pixels of the upright picture, from its header."""
    header = read_header(data)
    if header is None:
        raise DataError(f"row {place} of {name} without a picture", "a picture in `image`", "correct the data set")
    refuse_large(header, f"row {place} of {name}", MAX_PIXELS)
    return header.upright


def _suffix(data: bytes) -> str:
    heads = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"BM": ".bmp", b"II*": ".tif", b"MM": ".tif"}
    return next((suffix for head, suffix in heads.items() if data.startswith(head)), ".img")
