"""Key points of pictures that nobody annotated."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvtune.api.hand_results import draw_all, in_space
from lvtune.api.pose import Pose
from lvtune.api.routed import is_several, route_pictures
from lvtune.bases.base import Base, as_base
from lvtune.core.errors import LvtuneError
from lvtune.data.crop import box_to_center_scale, fix_aspect, to_image, udp_matrix, warp
from lvtune.data.hand_frame import RIGHT
from lvtune.data.hand_space import HandSpace
from lvtune.data.images import find_images, read_image
from lvtune.evaluation.choosing import Auto, choose
from lvtune.evaluation.hand_inference import Hands, look
from lvtune.evaluation.inference import predict_heatmaps
from lvtune.hub.adapter_loading import load_base_for, open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import acting, attach, use_adapter
from lvtune.training.engine import resolve_device

if TYPE_CHECKING:
    from torch import nn

    from lvtune.patcher.automatic import Auto as Route

Boxes = "str | Path | dict[str, Sequence[Sequence[float]]] | None"


def predict(
    images: str | Path | Sequence[str | Path],
    *,
    base: nn.Module | str = "vitpose-ti",
    adapter: nn.Module | str | Path | Sequence[Any] | Mapping[str, Any] | None = None,
    route: str | Route | None = None,
    threshold: float = 0.0,
    boxes: Any = None,
    category: str | None = None,
    ranker: str = RANKER,
    out: str | Path | None = None,
    weights: str = "pretrained",
    flip_test: bool = True,
    batch_size: int = 32,
    device: str = "auto",
    space: HandSpace | None = None,
) -> list[Pose]:
    """Key points of every person, or hand, in pictures.

    Args:
        images: a picture, a folder of pictures, or several of these.
        base: a name, a base or a plain VitPose.
        adapter: attached meanwhile; a folder, a Hub id, or an adapter; several in a list, or by name in a dict. None:
            whatever is attached already.
        route: which adapter a picture goes under: ``auto`` or a :class:`lvtune.Auto`, the one whose sentences CLIP
            finds to fit the whole picture best, or none; or the name of one (a folder or Hub id is its own name).
            None: ``auto`` where there are several.
        threshold: by how much more an adapter's sentence must fit than the plain one, see :class:`lvtune.Auto`.
        boxes: None or ``whole`` looks at the whole picture as one person; else a dict from file name to boxes
            (x, y, width, height in pixels), or a JSON file of that or of COCO's detection results.
        category: category whose sentence the adapter reads; ``auto``, the one that CLIP finds to fit each picture
            best; None or ``mean``: the mean of its sentences.
        ranker: CLIP or SigLIP for both ``auto``, a Hub id or a folder.
        out: folder for the pictures with the skeletons drawn, and ``poses.json``.
        weights: of a base given by name.
        flip_test: average with the mirrored picture.
        batch_size: persons at a time.
        device: see :class:`lvtune.Recipe`.
        space: which hands they are, how large, and seen by what camera; None: right ones, in lengths of a bone.

    Raises:
        LvtuneError: no such picture, a broken one, boxes that do not fit.
    """
    view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    files = find_images(images)
    known = read_boxes(boxes, files)
    if category in ("own", "shuffled"):
        raise LvtuneError(f"category '{category}' for pictures that nobody annotated", "a category, auto or mean",
                          "give --category auto")  # fmt: skip

    def look(on: nn.Module | None, some: list[Path], asked: str | None = category) -> list[Pose]:
        options = {
            "category": choose(asked, on, ranker=ranker, device=view.device),
            "flip_test": flip_test,
            "skeleton": view.skeleton if on is None else on.skeleton,
            "space": space or HandSpace(),
        }
        return _run(view, some, known, batch_size, options)

    def look_under(name: str | None, some: list[Path]) -> list[list[Pose]]:
        with routed.under(view, name) as on:
            reads = on is not None and on.bank is not None
            found = (replace(pose, adapter=name) for pose in look(on, some, category if reads else None))
            return [[next(found) for _ in range(1 if known[file] is None else len(known[file]))] for file in some]

    if route is None and not is_several(adapter):
        adapter = open_adapter(adapter, view)
        with contextlib.nullcontext() if adapter is None else attach(view, adapter, name="predicting"):
            poses = look(adapter or acting(view), files)
    else:
        routed = route_pictures(route, adapter, view, files, ranker=ranker, threshold=threshold)
        poses = routed.run(files, look_under)
    if out is not None:
        write_pictures(poses, Path(out))
    return poses


def read_boxes(boxes: Any, files: list[Path]) -> dict[Path, np.ndarray | None]:
    """File to (M, 4) boxes; None stands for the whole picture."""
    if boxes is None or boxes == "whole":
        return dict.fromkeys(files)
    if isinstance(boxes, str | Path):
        boxes = _read_box_file(Path(boxes))
    known: dict[Path, np.ndarray | None] = {}
    for file in files:
        found = next((boxes[k] for k in (str(file), file.name, file.stem) if k in boxes), None)
        if found is None:
            raise LvtuneError(
                f"no boxes for {file.name}", f"a box for each picture (the file names {len(boxes)})",
                "add it, or give --boxes whole",
            )  # fmt: skip
        known[file] = _check_boxes(found, file)
    return known


def _check_boxes(found: Any, file: Path) -> np.ndarray:
    try:
        array = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    array = array[None] if array.shape == (4,) else array
    if array.ndim != 2 or array.shape[1:] != (4,) or not np.isfinite(array).all() or (array[:, 2:] <= 0).any():
        raise LvtuneError(
            f"boxes {str(found)[:80]} for {file.name}", "a list of [x, y, width, height] in pixels, width and "
            "height above 0", "mend the box file",
        )  # fmt: skip
    return array


def _read_box_file(path: Path) -> dict[str, Any]:
    """``{"picture.jpg": [[x, y, w, h], ...]}``, or COCO results whose ``image_id`` is the file's stem."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LvtuneError(
            f"box file {path} ({error})", 'JSON such as {"picture.jpg": [[x, y, width, height]]}', "check the path"
        ) from error
    if isinstance(values, list):
        grouped: dict[str, Any] = {}
        for row in values:
            if not isinstance(row, dict) or "bbox" not in row or "image_id" not in row:
                raise LvtuneError(
                    f"box file {path} with an entry {str(row)[:60]}", "entries with image_id and bbox",
                    "give COCO detection results, or a table from file name to boxes",
                )  # fmt: skip
            for key in (str(row["image_id"]), f"{row['image_id']:012d}" if isinstance(row["image_id"], int) else ""):
                grouped.setdefault(key, []).append(row["bbox"])
        return grouped
    if not isinstance(values, dict):
        raise LvtuneError(f"box file {path}", 'a table {"picture.jpg": [[x, y, width, height]]}', "mend the file")
    return values


def _run(
    base: Base, files: list[Path], known: dict[Path, np.ndarray | None], batch_size: int, options: dict[str, Any]
) -> list[Pose]:
    mean, std = np.float32(base.mean) * 255, np.float32(base.std) * 255
    crops, places = [], []
    poses: list[Pose] = []

    def flush() -> None:
        if crops:
            looked = _look(base, torch.from_numpy(np.stack(crops)), {**options, "category": [p[5] for p in places]})
            poses.extend(_poses(base, places, looked, options))
        crops.clear()
        places.clear()

    for file in files:
        image = read_image(file)
        whole = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]])
        boxes, asked = known[file], options["category"]
        asked = asked.of_pictures([image])[0] if isinstance(asked, Auto) else asked
        for box in whole if boxes is None else boxes:
            # the whole picture needs no margin: it is all there is
            center, scale = box_to_center_scale(box, padding=1.0 if boxes is None else 1.25)
            scale = fix_aspect(scale, base.input_size)
            crop = warp(image, udp_matrix(center, scale, 0.0, base.input_size), base.input_size)
            crops.append(((crop - mean) / std).transpose(2, 0, 1).astype(np.float32))
            places.append((file, box, center, scale, image.shape[:2], asked))
            if len(crops) == batch_size:
                flush()
    flush()
    return poses


def _look(base: Base, pixels: torch.Tensor, options: dict[str, Any]) -> Hands:
    """What the base, with what is attached, sees in crops (B, 3, H, W), in the codec's measure."""
    asked = {name: options[name] for name in ("category", "flip_test", "skeleton")}
    if base.task != "hand3d":
        points, scores = base.codec.decode(predict_heatmaps(base, pixels.to(base.device), **asked).float().cpu())
        return Hands(points.numpy(), scores.numpy(), None)
    # as in training, where left hands are shown mirrored
    left = torch.full((len(pixels),), options["space"].side == "left")
    with use_adapter(base, category=options["category"]):
        return look(base, pixels.flip(-1) if left.any() else pixels, torch.full_like(left, RIGHT, dtype=int), left)


def _poses(base: Base, places: list[tuple], looked: Hands, options: dict[str, Any]) -> list[Pose]:
    centers, scales = (np.stack([place[i] for place in places]) for i in (2, 3))
    looked = replace(looked, keypoints=to_image(looked.keypoints, centers, scales, base.input_size))
    xyz, unit = in_space(looked, np.array([place[4] for place in places]), options["space"])
    rows = zip(places, looked.keypoints, looked.scores, xyz, strict=True)
    skeleton = options["skeleton"]
    return [
        Pose(str(place[0]), tuple(map(float, place[1])), points, scores, skeleton, joints, place[5], unit=unit)
        for place, points, scores, joints in rows
    ]


def write_pictures(poses: list[Pose], folder: Path) -> None:
    """Each picture with its skeletons drawn, hands in space beside it, and ``poses.json``."""
    import cv2

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in dict.fromkeys(pose.image for pose in poses):
            image = draw_all(read_image(file), [pose for pose in poses if pose.image == file])
            target = folder / f"{Path(file).stem}.png"
            target.write_bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
        (folder / "poses.json").write_text(json.dumps([pose.to_dict() for pose in poses], indent=1))
    except OSError as error:
        raise LvtuneError(
            f"output folder {folder} ({error.strerror or error})", "a folder that can be written",
            "choose another with --out DIR",
        ) from error  # fmt: skip
