"""What a data set holds and what is wrong with it, before an hour is spent on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.core.work_progress import tracked
from lvtune.data.annotation_boxes import points_outside, to_corners
from lvtune.data.hand_table import HandTable
from lvtune.data.images import read_reduced
from lvtune.data.jpeg_damage import damaged_pictures
from lvtune.data.mixed import MixedTable
from lvtune.data.near_duplicates import thumbnail
from lvtune.data.picture_check import PictureCheck, check_pictures
from lvtune.data.pose_table import PoseTable
from lvtune.data.skeletons import UNKNOWN_SIGMA, Skeleton
from lvtune.data.swapped_sides import find_swapped

Table = PoseTable | HandTable | MixedTable
_SHOWN = 5
_SAME = 0.02  # of the box; two instances that are closer are one
_LEAST_BOX = 8  # pixels


def _pictures(
    table: Table, limit: int | None, thumbnails: dict[str, np.ndarray]
) -> tuple[dict[str, Any], PictureCheck]:
    """Reads each picture once: which are missing, broken, too large, or of another size than annotated."""
    check = check_pictures(table, limit)
    names = table.column("image").astype(str)
    damaged: list[str] = []
    if check.looked_at:
        rows = np.sort(np.unique(names, return_index=True)[1])[:limit]
        for row in tracked(rows, "reading pictures", len(rows)):
            name, path = names[row], table.image_path(int(row))
            if name in check.unread:
                continue
            try:
                # an eighth of the size shows as well whether it is whole
                with damaged_pictures("note") as told:
                    image, _ = read_reduced(path, 8, getattr(table, "max_pixels", None))
                    damaged += told()
                thumbnails[str(name)] = thumbnail(image)
            except DataError as error:
                check.broken.append(f"{name}: {error.given}")
    result: dict[str, Any] = {"pictures": check.pictures, "pictures_read": check.looked_at}
    for kind in ("missing", "broken", "too_large", "of_other_size"):
        found = getattr(check, kind)
        result[f"pictures_{kind}"] = {"count": len(found), "first": found[:_SHOWN]}
    result["pictures_damaged"] = {"count": len(damaged), "first": damaged[:_SHOWN]}
    return result, check


def _key_points(table: Table) -> dict[str, Any]:
    points = table.column("keypoints")
    labelled = points[..., 2] > 0
    size = np.stack([table.column("width"), table.column("height")], -1)[:, None]
    outside = labelled & ((points[..., :2] < 0) | (points[..., :2] > size)).any(-1)
    off_box = points_outside(to_corners(table.column("bbox"), "xywh"), points) & ~outside
    torso = table.skeleton.torso
    whole = labelled[:, torso[0]] & labelled[:, torso[1]] if torso else np.zeros(len(table), bool)
    hidden = (points[..., 2] == 1).sum() / max(1, labelled.sum())
    return {
        "keypoints_labelled": {
            name: round(100 * float(share), 1)
            for name, share in zip(table.skeleton.keypoints, labelled.mean(0), strict=True)
        },
        "keypoints_hidden_percent": round(100 * float(hidden), 1),
        "keypoints_per_instance": round(float(labelled.sum(1).mean()), 2),
        "keypoints_outside_picture": int(outside.sum()),
        "keypoints_outside_box": int(off_box.sum()),
        "instances_without_torso": int((~whole).sum()),
    }


def _boxes(table: Table) -> dict[str, Any]:
    extent = table.column("bbox")[:, 2:]
    share = extent.prod(1) / (table.column("width") * table.column("height"))
    spread: dict[str, Any] = {}
    for name, values in (("width", extent[:, 0]), ("height", extent[:, 1]), ("share_of_picture", share)):
        marks = np.percentile(values, (0, 50, 100)).round(3).tolist()
        spread[name] = dict(zip(("least", "median", "most"), marks, strict=True))
    return {**spread, "smaller_than_32_px": int((extent < 32).any(1).sum())}


def _suspects(table: Table) -> dict[str, Any]:
    """Instances that seem to be wrong: sides swapped, annotated twice, all key points in one place, a tiny box."""
    points, names = table.column("keypoints"), table.column("image")
    labelled = points[..., 2] > 0
    spread = np.where(labelled[..., None], points[..., :2], np.nan)
    several = labelled.sum(1) >= 2
    collapsed = np.zeros(len(points), bool)
    if several.any():
        inside = spread[several]
        collapsed[several] = (np.nanmax(inside, 1) - np.nanmin(inside, 1)).max(1) < 1
    tiny = (table.column("bbox")[:, 2:] < _LEAST_BOX).any(1)
    swapped = find_swapped(points, table.skeleton)
    kp = table.skeleton.keypoints
    texts = {
        "suspected_swaps": [
            f"{names[s.row]} ({', '.join(f'{kp[a]} and {kp[b]}' for a, b in s.pairs)})" for s in swapped
        ],
        "annotated_twice": [str(names[row]) for row in _twice(table)],
        "keypoints_in_one_place": [str(names[row]) for row in np.flatnonzero(collapsed)],
        "tiny_boxes": [str(names[row]) for row in np.flatnonzero(tiny)],
    }
    return {kind: {"count": len(found), "first": found[:_SHOWN]} for kind, found in texts.items()}


def _twice(table: Table) -> list[int]:
    """Rows whose key points are those of an earlier row of the same picture."""
    points, boxes, names = table.column("keypoints"), table.column("bbox"), table.column("image").astype(str)
    found, seen = [], {}
    for row in range(len(table)):
        earlier = seen.setdefault(names[row], [])
        for other in earlier:
            both = (points[row, :, 2] > 0) & (points[other, :, 2] > 0)
            apart = np.abs(points[row, both, :2] - points[other, both, :2])
            if both.any() and apart.max() <= max(1.0, _SAME * boxes[row, 2:].max()):
                found.append(row)
                break
        earlier.append(row)
    return found


_SENTENCES = {
    "suspected_swaps": "instances may have left and right swapped",
    "annotated_twice": "instances are annotated twice",
    "keypoints_in_one_place": "instances have all key points in one place",
    "tiny_boxes": f"instances have a box smaller than {_LEAST_BOX} pixels",
}


def in_words(skeleton: Skeleton) -> list[str]:
    """Sentences on the mirror pairs and the OKS sigmas that will be used."""
    names = skeleton.keypoints
    pairs = ", ".join(f"{names[a]} and {names[b]}" for a, b in skeleton.pairs)
    mirror = skeleton.mirror_note or (
        f"mirror pairs: {pairs}" if pairs else "mirrored pictures are used; each key point mirrors itself"
    )
    guessed = [name for name, sigma in zip(names, skeleton.sigmas, strict=True) if sigma == UNKNOWN_SIGMA]
    known = [f"{name} {s:g}" for name, s in zip(names, skeleton.sigmas, strict=True) if s != UNKNOWN_SIGMA]
    sigmas = f"OKS sigmas: {', '.join(known)}" if known else "OKS sigmas: none is published for these names"
    if guessed:
        sigmas += f"; {UNKNOWN_SIGMA} for {', '.join(guessed)}"
    return [mirror, sigmas]


def _warnings(found: dict[str, Any], check: PictureCheck, table: Table) -> list[str]:
    texts = list(table.notes)
    if found["pictures"] and not found["pictures_read"]:
        texts.append("the pictures are drawn when they are needed: there is no file of them")
    texts += check.sentences()
    damaged = found["pictures_damaged"]
    if damaged["count"]:
        first = "; ".join(damaged["first"])
        texts.append(f"{damaged['count']} of {counted(found['pictures_read'], 'picture')} may be damaged: {first}")
    unlabelled = [name for name, share in found["keypoints_labelled"].items() if not share]
    if unlabelled:
        texts.append(f"never labelled: {', '.join(unlabelled)}")
    if found["keypoints_outside_picture"] and not any("outside of the picture" in note for note in table.notes):
        texts.append(
            counted(
                found["keypoints_outside_picture"],
                "labelled key point lies outside its picture",
                "labelled key points lie outside their picture",
            )
        )
    for kind, text in _SENTENCES.items():
        if found[kind]["count"]:
            texts.append(f"{found[kind]['count']} of {found['instances']} {text}: {', '.join(found[kind]['first'])}")
    if table.skeleton.torso and found["instances_without_torso"]:
        count = found["instances_without_torso"]
        texts.append(f"PCK will skip {count} of {counted(found['instances'], 'instance')}: their torso is unlabelled")
    return texts


def check_data(
    table: Table, limit: int | None = None, thumbnails: dict[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """Counts, statistics and faults of a data set, in JSON types.

    Args:
        table: with the annotated boxes.
        limit: how many pictures to read at most; all by default.
        thumbnails: gets name to thumbnail of each picture that is read, for `near_duplicates`.

    Returns:
        ``instances``; ``pictures`` and of those read the ones ``pictures_missing``, ``pictures_broken``,
        ``pictures_too_large``, ``pictures_of_other_size`` (each with a count and the first five); ``skeleton``;
        ``in_words``, the mirror pairs and sigmas that will be used; ``categories`` {name: instances};
        ``keypoints_labelled`` {name: percent of instances} and other key point counts; ``boxes`` (pixels; least,
        median, most); ``suspected_swaps``, ``annotated_twice``, ``keypoints_in_one_place``, ``tiny_boxes`` (each with a
        count and the first five); ``warnings``, sentences; ``ok``, whether every picture read is sound and of the
        annotated size, and ``fault``, a sentence where it is not.
    """
    pictures, check = _pictures(table, limit, {} if thumbnails is None else thumbnails)
    found = {
        "instances": len(table),
        "skeleton": {"name": table.skeleton.name, "keypoints": len(table.skeleton.keypoints)},
        "in_words": in_words(table.skeleton),
        "categories": dict(sorted(Counter(table.column("category").tolist()).items())),
        **pictures,
        **_key_points(table),
        "boxes": _boxes(table),
        **_suspects(table),
    }
    found["ok"] = check.is_sound
    found["fault"] = next(iter(check.sentences()), None)
    found["warnings"] = _warnings(found, check, table)
    return found
