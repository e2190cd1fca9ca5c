"""Reads Leeds Sports Pose Extended in the two layouts in which it is found on disks.

Two layouts: person crops with COCO-style annotations, and the original one (joints.mat and images/im00001.jpg). The
original one is cropped and scaled as the first was: the labelled joints with 0.4 of their longer extent around them,
the longest side at most 176 pixels. It was tested on made-up pictures, not on the original archive.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_atomically
from lvtune.data.arrow import default_cache_dir
from lvtune.data.images import read_image
from lvtune.data.skeletons import LSP_14

LAYOUT = (
    "FOLDER/annotations/test.json and val.json (COCO style, lsp-14) with FOLDER/images, or the original archive: "
    "FOLDER/joints.mat with FOLDER/images/im00001.jpg to im10000.jpg"
)
LONGEST = 176
MARGIN = 0.4
"""Of the longer extent of the joints, around them."""
BOX_MARGIN, BODY = 0.075, 0.53
"""A person's box over the extent of the joints, on each side; the body's share of the box (``area``)."""
_VERSION = 1  # of what is written into the cache


@dataclass(frozen=True)
class Photographs:
    """A part of the benchmark on disk."""

    annotations: Path
    """COCO-style; image ids are LSPET's numbers."""
    images: Path
    numbers: tuple[int, ...]
    """Rising."""


@cache
def numbers(split: str) -> tuple[int, ...]:
    """Returns LSPET's numbers of the photographs of a part, in rising order."""
    lists = json.loads(Path(__file__).with_name("photographs.json").read_text(encoding="utf-8"))
    return tuple(sorted(lists[split]))


def photographs(folder: Path, split: str) -> Photographs | None:
    """Returns the photographs of ``train``, ``val`` or ``test`` in a copy of LSPET; None if there is none.

    Raises:
        LvtuneError: photographs are missing, or a file is broken.
    """
    if (folder / "joints.mat").is_file():
        return _original(folder, split)
    files = sorted((folder / "annotations").glob("*.json"))
    return _coco(folder, files, split) if files else None


def _number(name: str) -> int:
    """Returns 5211 for ``val/im05211.jpg``, and -1 for a file with another kind of name."""
    found = re.fullmatch(r"im(\d{4,5})", Path(name).stem)
    return int(found[1]) if found else -1


def _coco(folder: Path, files: list[Path], split: str) -> Photographs:
    from lvtune.data.json_file import load_json

    contents = [file.read_bytes() for file in files]
    wanted = numbers(split)
    target = _target("coco", split, contents)
    if not target.is_file():
        images: dict[int, dict[str, Any]] = {}
        notes: list[dict[str, Any]] = []
        kept: dict[str, Any] = {}
        for file in files:
            whole = load_json(file)
            here = {image["id"]: _number(image["file_name"]) for image in whole["images"]}
            images |= {n: {**i, "id": n} for i in whole["images"] if (n := here[i["id"]]) in wanted}
            notes += [
                {**note, "id": here[note["image_id"]], "image_id": here[note["image_id"]]}
                for note in whole["annotations"]
                if here.get(note["image_id"]) in wanted
            ]
            kept = whole
        _all_there(wanted, images, folder)
        _write(target, images, notes, kept["categories"])
    return Photographs(target, folder / "images", wanted)


def _original(folder: Path, split: str) -> Photographs:
    wanted = numbers(split)
    joints = _joints(folder / "joints.mat", max(wanted))
    paths = {n: path for n in wanted if (path := _image(folder, n)) is not None}
    _all_there(wanted, paths, folder)
    marks = [str((path.name, path.stat().st_size)).encode() for path in paths.values()]
    target = _target("original", split, [(folder / "joints.mat").read_bytes(), *marks])
    if not target.is_file():
        images, notes = {}, []
        for number, path in paths.items():
            crop, points = _crop(read_image(path), joints[number - 1])
            name = f"im{number:05d}.png"
            data = cv2.imencode(".png", crop[..., ::-1])[1].tobytes()
            write_atomically(target.parent / "images" / name, data)
            images[number] = {"id": number, "file_name": name, "width": crop.shape[1], "height": crop.shape[0]}
            notes.append(_annotation(number, points))
        category = {"id": 1, "name": "person", "keypoints": list(LSP_14.keypoints),
                    "skeleton": [[a + 1, b + 1] for a, b in LSP_14.links]}  # fmt: skip
        _write(target, images, notes, [category])
    return Photographs(target, target.parent / "images", wanted)


def _joints(file: Path, least: int) -> np.ndarray:
    """Returns (N, 14, 3) x, y and 1 if labelled; LSPET's matrix is (14, 3, N)."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise UsageError(f"{file} without scipy", "scipy, which reads MATLAB's files",
                          "type `pip install scipy`") from None  # fmt: skip
    try:
        # numbers alone: MATLAB's objects and functions in such a file are never made or called
        values = np.asarray(loadmat(str(file), variable_names=["joints"])["joints"], float)
    except Exception as error:
        raise DataError(
            f"{file}: {type(error).__name__}: {' '.join(str(error).split())[:120]}",
            "a MATLAB file (version 5) with the matrix joints", "unpack the archive again",
        ) from None  # fmt: skip
    if values.ndim != 3 or values.shape[:2] != (14, 3) or values.shape[2] < least:
        raise DataError(f"{file}: joints of {values.shape}", "(14, 3, 10000), as in LSPET (LSP's is another set)",
                          "give the folder of lspet_dataset.zip")  # fmt: skip
    return values.transpose(2, 0, 1)


def _image(folder: Path, number: int) -> Path | None:
    names = (folder / place / f"im{number:05d}{end}" for place in ("images", ".") for end in (".jpg", ".png"))
    return next((path for path in names if path.is_file()), None)


def _crop(image: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crops and scales a person; returns the crop and the labelled joints (14, 3) in it, others zero."""
    height, width = image.shape[:2]
    seen = joints[joints[:, 2] > 0, :2]
    seen = seen if len(seen) else np.array([[0.0, 0.0], [width, height]])
    low, high = seen.min(0), seen.max(0)
    margin = MARGIN * (high - low).max()
    x0, y0 = np.clip(np.floor(low - margin), 0, None).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), 1, (width, height)).astype(int)
    crop = image[min(y0, y1 - 1) : y1, min(x0, x1 - 1) : x1]
    scale = min(1.0, LONGEST / max(crop.shape[:2]))
    size = tuple(max(1, round(side * scale)) for side in crop.shape[1::-1])
    points = np.zeros((14, 3))
    is_seen = joints[:, 2] > 0
    points[is_seen, :2] = (joints[is_seen, :2] - (x0, y0)) * scale
    points[is_seen, 2] = 2
    points[is_seen, :2] = points[is_seen, :2].clip(0, np.array(size) - 1)
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA) if scale < 1 else crop, points


def _annotation(number: int, points: np.ndarray) -> dict[str, Any]:
    seen = points[points[:, 2] > 0, :2]
    low, extent = (seen.min(0), np.ptp(seen, axis=0)) if len(seen) else (np.zeros(2), np.zeros(2))
    box = [*(low - BOX_MARGIN * extent), *(extent * (1 + 2 * BOX_MARGIN))]
    return {
        "id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [float(v) for v in box],
        "area": float(BODY * box[2] * box[3]), "num_keypoints": len(seen),
        "keypoints": [float(v) for v in points.round(2).reshape(-1)],
    }  # fmt: skip


def _all_there(wanted: tuple[int, ...], found: Iterable[int], folder: Path) -> None:
    lacking = sorted(set(wanted) - set(found))
    if lacking:
        raise DataError(
            f"{folder} without {len(lacking)} of {len(wanted)} photographs of the benchmark (im{lacking[0]:05d}.jpg)",
            f"all of them, laid out as {LAYOUT}", "complete the copy of LSPET",
        )  # fmt: skip


def _target(layout: str, split: str, contents: list[bytes]) -> Path:
    mark = hashlib.sha256(f"{_VERSION} {layout} {numbers(split)}".encode())
    for content in contents:
        mark.update(hashlib.sha256(content).digest())
    return default_cache_dir() / "lsp-art" / mark.hexdigest()[:24] / f"{split}.json"


def _write(target: Path, images: dict[int, Any], notes: list[dict[str, Any]], categories: list[Any]) -> None:
    whole = {
        "images": [images[number] for number in sorted(images)],
        "annotations": sorted(notes, key=lambda note: note["id"]),
        "categories": categories,
    }
    write_atomically(target, json.dumps(whole))
