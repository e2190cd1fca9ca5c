"""Reads FreiHAND and RHD from COCO-style JSON, in the layout of MMPose.

RHD's file names its joints from base to tip, but holds them from tip to base as RHD does; where there are 3D joints the
order is found from them. FreiHAND's has 2D joints alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.data.hand_joints import RHD_ORDER, order_fault
from lvtune.data.hand_table import LEFT, RIGHT, HandTable
from lvtune.domains.hand_splits import hand_table

_EXPECTED = "images, and annotations of 21 keypoints, maybe with joint_cam in mm and hand_type"


def read_coco_hands(file: Path, data: DataOptions, category_of: Callable[[int], str]) -> HandTable:
    """Reads the hands of a COCO-style file; ``data.data`` is the folder of the pictures, by default that of the file.

    Raises:
        LvtuneError: no such file, or not such a file.
    """
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        images = {image["id"]: image for image in whole["images"]}
        rows = [(images[hand["image_id"]], hand) for hand in whole["annotations"]]
        flat = np.array([np.reshape(hand["keypoints"], (21, 3)) for _, hand in rows], float)
        xyz = np.array([np.reshape(hand.get("joint_cam", np.full(63, np.nan)), (21, 3)) for _, hand in rows], float)
        camera = np.array([_camera(image) for image, _ in rows])
        size = np.array([[image["width"], image["height"]] for image, _ in rows])
        side = np.array([LEFT if hand.get("hand_type") == "left" else RIGHT for _, hand in rows])
        names = [str(image["file_name"]) for image, _ in rows]
        ids = np.array([int(image["id"]) for image, _ in rows])
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}", "a file that can be read", "check the path") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{file}: {type(error).__name__} {error}", _EXPECTED, "correct the file there") from None
    if not rows:
        raise DataError(f"{file} without annotations", _EXPECTED, "name another file")
    xyz[~np.isfinite(camera).all((1, 2))] = np.nan
    known = np.isfinite(xyz).all((1, 2))
    notes = []
    if known.any() and order_fault(xyz[known]) and not order_fault(xyz[known][:, list(RHD_ORDER)]):
        xyz, flat = xyz[:, list(RHD_ORDER)], flat[:, list(RHD_ORDER)]
        notes.append("fingers are listed from tip to base: turned round")
    camera = np.where(np.isfinite(camera), camera, np.eye(3))
    return hand_table(
        Path(data.data or file.parent), names, xyz=xyz, camera=camera, side=side, size=size,
        categories=[category_of(int(i)) for i in ids], native="wrist", data=data, visible=flat[..., 2] > 0,
        flat=flat[..., :2], image_ids=ids, notes=notes,
    )  # fmt: skip


def _camera(image: Mapping[str, Any]) -> np.ndarray:
    """Returns the intrinsics (3, 3); not a number if the image has none."""
    if "cam_param" not in image:
        return np.full((3, 3), np.nan)
    (fx, fy), (cx, cy) = image["cam_param"]["focal"], image["cam_param"]["princpt"]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
