"""``rhd``: the Rendered Hand Pose data set, both hands of rendered people, in its published layout.

Zimmermann & Brox, Learning to Estimate 3D Hand Pose from Single RGB Images, ICCV 2017, arXiv:1705.01389. Of the two
hands in a picture the one that more pixels of the mask belong to is taken.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.array_cache import read_array, write_array
from lvtune.data.arrow import default_cache_dir
from lvtune.data.hand_joints import RHD_ORDER
from lvtune.data.hand_table import LEFT, RIGHT
from lvtune.data.safe_pickle import load_numbers
from lvtune.data.skeletons import HAND_21
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.hand_splits import (
    check_metres,
    checked,
    hand_split,
    hand_table,
    named_annotations,
)
from lvtune.domains.hands_coco import read_coco_hands
from lvtune.language.sentences import sentences_of

SIZE = (320, 320)
#: Ids of the mask: person 1, left hand 2 to 17, right hand 18 to 33.
LEFT_IDS, RIGHT_IDS = (2, 17), (18, 33)
_PART = {"train": "training", "test": "evaluation"}
_FIELDS = {"xyz": (42, 3), "uv_vis": (42, 3), "K": (3, 3)}


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    asked = named_annotations(data, split)
    if asked is not None:
        table = read_coco_hands(asked, data, lambda _: "rendered")
        return hand_split(table, f"Rendered Hand Pose in COCO's form ({asked.name})", data)
    folder, part = need_folder(domain, data), _PART[split]
    file = folder / part / f"anno_{part}.pickle"
    if not file.is_file():
        raise missing(domain, f"no annotation file {file}")
    ids, fields = _annotations(file)
    check_metres(fields["xyz"][:, RHD_ORDER], file)
    side, notes = _sides(folder / part / "mask", file, ids, fields["uv_vis"][..., 2] > 0)
    hand = np.arange(len(ids))[:, None], 21 * side[:, None] + np.array(RHD_ORDER)
    table = hand_table(
        folder,
        [f"{part}/color/{i:05d}.png" for i in ids],
        xyz=1000 * fields["xyz"][hand],
        camera=fields["K"],
        side=side,
        size=SIZE,
        categories=np.full(len(ids), "rendered"),
        native="wrist",
        data=data,
        visible=fields["uv_vis"][..., 2][hand] > 0,
        image_ids=ids,
        notes=notes,
    )
    seen = np.flatnonzero((table.column("keypoints")[..., 2] > 0).any(1))
    if len(seen) < len(table):
        table.notes.append(f"{counted(len(table) - len(seen), 'hand')} without a visible joint: skipped")
        table = table.select(seen)
    return hand_split(table, f"Rendered Hand Pose {part}", data)


def _annotations(file: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns (N,) numbers of the pictures and each field (N, ...), from a dict of number to fields."""
    found = load_numbers(file)
    try:
        ids = np.array(sorted(int(number) for number in found), np.int64)
        fields = {name: np.stack([np.asarray(found[i][name], float) for i in ids.tolist()]) for name in _FIELDS}
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{file}: no annotations of RHD ({type(error).__name__}: {error})",
            "a dict of picture number -> xyz (42, 3), uv_vis (42, 3), K (3, 3)", "download the data set again",
        ) from None  # fmt: skip
    return ids, {name: checked(fields[name], file, shape) for name, shape in _FIELDS.items()}


def _sides(masks: Path, file: Path, ids: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Returns (N,) 0 where the left hand is larger and 1 where the right one is, and notes.

    The masks are read once, which takes a minute for all of them; the result is kept in the cache.
    """
    by_joints = (visible[:, 21:].sum(1) > visible[:, :21].sum(1)).astype(np.int64)
    if not masks.is_dir():
        return by_joints, [f"no folder {masks}: of two hands the one with more visible joints is taken"]
    key = hashlib.sha256(b"rhd masks 1" + file.read_bytes()).hexdigest()
    kept = default_cache_dir() / f"rhd-{key[:32]}.npy"
    cached = read_array(kept)
    if cached is not None and cached.shape == ids.shape:
        return cached.astype(np.int64), []
    with ThreadPoolExecutor(4) as pool:
        counts = np.array(list(pool.map(count_pixels, (masks / f"{i:05d}.png" for i in ids))))
    unread = (counts < 0).any(1)
    side = np.where(unread, by_joints, np.where(counts[:, 1] > counts[:, 0], RIGHT, LEFT))
    if unread.any():
        return side, [
            f"{counted(unread.sum(), 'mask is', 'masks are')} missing: there the hand with more visible joints is taken"
        ]
    write_array(kept, side.astype(np.uint8))
    return side, []


def count_pixels(mask: Path) -> tuple[int, int]:
    """Returns the numbers of pixels of the left and the right hand in a mask; (-1, -1) without a mask."""
    if not mask.is_file():
        return -1, -1
    ids = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    if ids is None:
        return -1, -1
    low = np.bincount(ids.ravel(), minlength=RIGHT_IDS[1] + 1)
    return int(low[LEFT_IDS[0] : LEFT_IDS[1] + 1].sum()), int(low[RIGHT_IDS[0] : RIGHT_IDS[1] + 1].sum())


@register_domain("rhd")
def rhd() -> Domain:
    """Hands of rendered people."""
    return Domain(
        name="rhd",
        title="Rendered Hand Pose: both hands of rendered people with 3D joints",
        skeleton=HAND_21.name,
        categories=("rendered",),
        sentences=sentences_of("rhd"),
        reader=_read,
        source="the Rendered Handpose Dataset (University of Freiburg, ICCV 2017) from "
        "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
        layout="FOLDER/{training,evaluation}/anno_{training,evaluation}.pickle and "
        "FOLDER/{training,evaluation}/{color,mask}/<5 digits>.png",
        splits=("train", "test"),
    )
