"""Shared by the data sets of hands: makes splits in the common joint order from their arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.data.hand_joints import MIDDLE_MCP, Root, hand_box, order_fault, project, with_root
from lvtune.data.hand_table import HandTable
from lvtune.domains.domain import Domain, Split, missing

_JUDGED = 1000  # hands that the order of joints is judged by


def samples(table: HandTable, **options: Any) -> Any:
    """Makes a :class:`lvtune.data.hand_dataset.HandDataset`; torch is imported only here."""
    from lvtune.data.hand_dataset import HandDataset

    return HandDataset(table, **options)


def hand_split(table: HandTable, name: str, data: DataOptions) -> Split:
    """Makes a split of hands whose task is 3D."""
    return Split(table, name, samples=partial(samples, mirror_left=data.mirror_left), task="hand3d")


def hand_table(
    root: Path,
    images: Sequence[str] | np.ndarray,
    *,
    xyz: np.ndarray,
    camera: np.ndarray,
    side: np.ndarray,
    size: tuple[int, int] | np.ndarray,
    categories: Sequence[str] | np.ndarray,
    native: Root,
    data: DataOptions,
    visible: np.ndarray | None = None,
    flat: np.ndarray | None = None,
    scale: np.ndarray | None = None,
    image_ids: np.ndarray | None = None,
    notes: Sequence[str] = (),
) -> HandTable:
    """Makes the table of hands of a data set of photographs.

    Args:
        root: the folder that ``images`` (N,) are relative to.
        images: files.
        xyz: (N, 21, 3) mm in camera coordinates and in the common order; not a number where unknown.
        camera: (N, 3, 3) intrinsics.
        side: (N,) 0 left, 1 right.
        size: (2,) or (N, 2), width and height of the pictures.
        categories: (N,).
        native: what joint 0 is in ``xyz``.
        data: which joint 0 and which crop are wanted.
        visible: (N, 21) whether a joint is seen; None: those inside the picture.
        flat: (N, 21, 2) pixels, for the hands whose ``xyz`` is unknown; None: these have no key points.
        scale: (N,) mm, length of the reference bone; None: measured.
        image_ids: (N,); None: their order.
        notes: for the user's eyes.

    Raises:
        LvtuneError: the joints are in another order.
    """
    count, known = len(images), np.asarray(np.isfinite(xyz).all((1, 2)))
    _check_order(xyz[known][:_JUDGED], root)
    wanted = with_root(np.asarray(xyz, float), native, data.hand_root)
    points = _projected(wanted, camera, None if flat is None else with_root(flat, native, data.hand_root), known)
    sizes = np.broadcast_to(np.asarray(size), (count, 2))
    seen = _visible(points, sizes, visible, moved=data.hand_root != native)
    keypoints = np.concatenate([np.nan_to_num(points), 2.0 * seen[..., None]], -1)
    columns = {
        "image": np.asarray(images),
        "image_id": np.arange(count) if image_ids is None else image_ids,
        "width": sizes[:, 0],
        "height": sizes[:, 1],
        "side": np.asarray(side),
        "bbox": _boxes(keypoints, sizes, data.hand_crop == "joints"),
        "keypoints": keypoints,
        "xyz": wanted,
        "camera": np.asarray(camera, float),
        "category": np.asarray(categories),
    }
    columns |= {} if scale is None else {"scale": scale}
    return HandTable(columns, root=root, notes=notes, joint0=data.hand_root)


def _projected(xyz: np.ndarray, camera: np.ndarray, flat: np.ndarray | None, known: np.ndarray) -> np.ndarray:
    """Returns (N, 21, 2) pixels of ``xyz``; ``flat``, if given, where ``xyz`` is not ``known``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        points = project(xyz, np.asarray(camera, float))
    return points if flat is None else np.where(known[:, None, None], points, flat)


def _boxes(keypoints: np.ndarray, sizes: np.ndarray, around_joints: bool) -> np.ndarray:
    """Returns (N, 4) boxes: around the seen joints if that is wanted and there are any, else whole pictures."""
    whole = np.concatenate([np.zeros((len(keypoints), 2)), sizes - 1.0], -1)
    seen = np.asarray((keypoints[..., 2] > 0).any(1))[:, None]
    return np.where(seen, hand_box(keypoints), whole) if around_joints else whole


def _visible(points: np.ndarray, sizes: np.ndarray, given: np.ndarray | None, *, moved: bool) -> np.ndarray:
    """Returns (N, 21), whether a joint is seen; one that is not ``given`` is seen if it lies in the picture."""
    if given is None:
        with np.errstate(invalid="ignore"):
            return np.asarray(((points >= 0) & (points <= sizes[:, None] - 1)).all(-1))
    if not moved:
        return given
    visible = given.copy()
    visible[:, 0] &= visible[:, MIDDLE_MCP]  # joint 0 was computed from these two
    return visible


def _check_order(xyz: np.ndarray, root: Path) -> None:
    """Raises an error if hands (N, 21, 3) are not in the common order of joints."""
    fault = order_fault(xyz) if len(xyz) else None
    if fault:
        raise DataError(
            f"hands in {root} of which {fault}",
            "joints in the order that the data set publishes",
            "use the data set's own annotation files",
        )


def named_annotations(data: DataOptions, split: str) -> Path | None:
    """Returns the COCO-style file that the user names in place of the data set's own layout."""
    named = data.test_annotations if split != "train" and data.test_annotations else data.annotations
    return None if named is None else Path(named)


def of_categories(domain: Domain, found: Sequence[str]) -> tuple[str, ...]:
    """Returns the categories of ``found`` that the domain has; all if it is no subset."""
    return tuple(name for name in found if not domain.is_subset or name in domain.categories)


def read_array(file: Path, domain: Domain, shape: tuple[int, ...]) -> np.ndarray:
    """Reads numbers (N, *shape) from a JSON file.

    Raises:
        LvtuneError: no such file, not JSON, or of another shape.
    """
    if not file.is_file():
        raise missing(domain, f"no file {file}")
    try:
        values = np.array(json.loads(file.read_text(encoding="utf-8")), float)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: {' '.join(str(error).split())[:120]}", f"a JSON list of arrays of shape {shape}",
                          "copy or download the file again") from None  # fmt: skip
    return checked(values, file, shape)


def checked(values: np.ndarray, file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the values (N, *shape) and checks that they are finite.

    Raises:
        LvtuneError: they are not.
    """
    if values.shape[1:] != shape or not len(values) or not np.isfinite(values).all():
        fault = "with values that are no numbers" if values.shape[1:] == shape and len(values) else f"of {values.shape}"
        raise DataError(f"{file}: an array {fault}", f"finite numbers of shape (N, {', '.join(map(str, shape))})",
                          "copy or download the file again")  # fmt: skip
    return values


def check_metres(xyz: np.ndarray, file: Path) -> None:
    """Checks that hands are in metres: 3 to 30 cm from the wrist to the middle finger's base.

    Raises:
        LvtuneError: another unit.
    """
    palm = float(np.median(np.linalg.norm(xyz[:, MIDDLE_MCP] - xyz[:, 0], axis=-1)))
    if not 0.03 < palm < 0.3:
        raise DataError(f"{file}: palms of {palm:.3g} from wrist to middle finger", "0.03 to 0.3 metres",
                          "use the data set's own file, whose unit is the metre")  # fmt: skip
