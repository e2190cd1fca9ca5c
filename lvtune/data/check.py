"""What a data set holds and what is wrong with it, before an hour is spent on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.data.hand_table import HandTable
from lvtune.data.images import read_image, read_reduced
from lvtune.data.table import PoseTable

_SHOWN = 5
_FAULTS = ("missing", "broken", "of_other_size")


def _pictures(table: PoseTable | HandTable, limit: int | None) -> dict[str, Any]:
    """Read each picture once: which are missing, broken, or of another size than annotated."""
    names = table.column("image")
    first = np.sort(np.unique(names, return_index=True)[1])[:limit]
    if isinstance(table, HandTable) and table.draw is not None:
        first = first[:0]  # drawn pictures lie in no file that could be missing or broken
    missing, broken, resized = [], [], []
    for row in first:
        path, person = table.image_path(int(row)), table[int(row)]
        if not path.is_file():
            missing.append(person.image)
            continue
        try:
            small, factor = read_reduced(path, 8)  # an eighth of the size shows as well whether it is whole
            if small.shape[:2] == (-(-person.height // factor), -(-person.width // factor)):
                continue
            height, width = read_image(path).shape[:2]
        except LvtuneError as error:
            broken.append(f"{person.image}: {error.given}")
        else:
            resized.append(f"{person.image}: {width}x{height}, annotated {person.width}x{person.height}")
    result: dict[str, Any] = {"pictures": len(np.unique(names)), "pictures_read": len(first)}
    for name, found in zip(_FAULTS, (missing, broken, resized), strict=True):
        result[f"pictures_{name}"] = {"count": len(found), "first": found[:_SHOWN]}
    return result


def _key_points(table: PoseTable) -> dict[str, Any]:
    points = table.column("keypoints")
    labelled = points[..., 2] > 0
    size = np.stack([table.column("width"), table.column("height")], -1)[:, None]
    outside = labelled & ((points[..., :2] < 0) | (points[..., :2] > size)).any(-1)
    torso = table.skeleton.torso
    whole = labelled[:, torso[0]] & labelled[:, torso[1]] if torso else np.zeros(len(table), bool)
    hidden = (points[..., 2] == 1).sum() / max(1, labelled.sum())
    return {
        "keypoints_labelled": {
            name: round(100 * float(share), 1)
            for name, share in zip(table.skeleton.keypoints, labelled.mean(0), strict=True)
        },
        "keypoints_hidden_percent": round(100 * float(hidden), 1),
        "keypoints_per_person": round(float(labelled.sum(1).mean()), 2),
        "keypoints_outside_picture": int(outside.sum()),
        "persons_without_torso": int((~whole).sum()),
    }


def _boxes(table: PoseTable) -> dict[str, Any]:
    extent = table.column("bbox")[:, 2:]
    share = extent.prod(1) / (table.column("width") * table.column("height"))
    spread = {}
    for name, values in (("width", extent[:, 0]), ("height", extent[:, 1]), ("share_of_picture", share)):
        marks = np.percentile(values, (0, 50, 100)).round(3).tolist()
        spread[name] = dict(zip(("least", "median", "most"), marks, strict=True))
    return {**spread, "smaller_than_32_px": int((extent < 32).any(1).sum())}


def _warnings(found: dict[str, Any], table: PoseTable) -> list[str]:
    texts = list(table.notes)
    if found["pictures"] and not found["pictures_read"]:
        texts.append("the pictures are drawn when they are asked for: none lies in a file")
    for name, text in (
        ("missing", "pictures are missing"),
        ("broken", "pictures cannot be read"),
        ("of_other_size", "pictures are of another size than annotated: key points and boxes will be off"),
    ):
        item = found[f"pictures_{name}"]
        if item["count"]:
            texts.append(f"{item['count']} of {found['pictures_read']} {text}, such as {item['first'][0]}")
    unlabelled = [name for name, share in found["keypoints_labelled"].items() if not share]
    if unlabelled:
        texts.append(f"never labelled: {', '.join(unlabelled)}")
    if found["keypoints_outside_picture"]:
        texts.append(f"{found['keypoints_outside_picture']} labelled key points lie outside their picture")
    if table.skeleton.torso and found["persons_without_torso"]:
        count = found["persons_without_torso"]
        texts.append(f"PCK will skip {count} of {found['persons']} persons: their torso is unlabelled")
    return texts


def check_data(table: PoseTable | HandTable, limit: int | None = None) -> dict[str, Any]:
    """Counts, statistics and faults of a data set, in JSON types.

    Args:
        table: with the annotated boxes.
        limit: how many pictures to read at most; all by default.

    Returns:
        ``persons``; ``pictures`` and of those read the ones ``pictures_missing``, ``pictures_broken``,
        ``pictures_of_other_size`` (each with a count and the first five); ``skeleton``; ``categories``
        {name: persons}; ``keypoints_labelled`` {name: percent of persons} and other key point counts;
        ``boxes`` (pixels; least, median, most); ``warnings``, sentences; ``ok``, whether every picture
        read is sound and of the annotated size (a JPEG to within 8 pixels).
    """
    found = {
        "persons": len(table),
        "skeleton": {"name": table.skeleton.name, "keypoints": len(table.skeleton.keypoints)},
        "categories": dict(sorted(Counter(table.column("category").tolist()).items())),
        **_pictures(table, limit),
        **_key_points(table),
        "boxes": _boxes(table),
    }
    found["ok"] = not any(found[f"pictures_{name}"]["count"] for name in _FAULTS)
    found["warnings"] = _warnings(found, table)
    return found
