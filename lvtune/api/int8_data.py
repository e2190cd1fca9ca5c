"""The pictures by which an 8-bit model is calibrated and judged: crops, with labels where there are some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader

from lvtune.api.open_data import open_domain
from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.core.text import counted
from lvtune.data.crop import PADDING, box_to_center_scale, fix_aspect, to_image, udp_matrix, warp
from lvtune.data.dataset import collate
from lvtune.data.find_images import find_images
from lvtune.data.images import read_image
from lvtune.domains import list_domains
from lvtune.domains.domain_file import is_domain_file
from lvtune.evaluation.inference import split_dataset
from lvtune.evaluation.scores import main_score, score_predictions
from lvtune.prediction.picture_boxes import read_boxes

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Split
    from lvtune.prediction.picture_boxes import PictureBoxes

_BATCH = 16
_SURE = 0.2
_NEAR = 0.05


@dataclass(frozen=True)
class Crops:
    """A batch of crops."""

    pixels: np.ndarray
    """(B, 3, H, W) float32, normalised."""
    center: np.ndarray
    """(B, 2) in pixels of the pictures."""
    scale: np.ndarray
    """(B, 2) width and height in pixels of the pictures."""


@dataclass(frozen=True)
class Int8Data:
    """What an 8-bit model is made and judged with."""

    calibration: list[Crops]
    test: list[Crops]
    table: Any
    """Labels of ``test``; None: there are none."""
    skeleton: Skeleton
    what: str
    """One sentence for the terminal."""

    @property
    def main(self) -> str:
        """The score that decides."""
        return "agreement" if self.table is None else main_score(self.skeleton)

    @property
    def batches(self) -> list[np.ndarray]:
        """The pictures to calibrate with."""
        return [crops.pixels for crops in self.calibration]

    def in_pictures(self, points: list[np.ndarray], base: Base) -> np.ndarray:
        """Returns key points (N, K, 2) of the test crops, given in the codec's pixels, in pixels of the pictures."""
        rows = zip(points, self.test, strict=True)
        return np.concatenate([to_image(p, crops.center, crops.scale, base.input_size) for p, crops in rows])

    def scores(
        self, keypoints: np.ndarray, scores: np.ndarray, reference: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, Any]:
        """Returns scores by name: those of the labels; without labels, the share of the float32 model's key points that
        are found within 5 % of the crop's longer side.

        Args:
            keypoints: (N, K, 2) in pixels of the pictures.
            scores: (N, K).
            reference: key points and scores of the float32 model.
        """
        if self.table is not None:
            values = score_predictions(self.table, keypoints, scores)
            return {name: values.get(name) for name in ("pck@0.2", "ap", "px_mean") if values.get(name) is not None}
        sides = np.concatenate([crops.scale for crops in self.test]).max(1)
        near = np.hypot(*np.moveaxis(keypoints - reference[0], -1, 0)) <= _NEAR * sides[:, None]
        counted = reference[1] >= _SURE
        counted = counted if counted.any() else np.ones_like(counted)
        return {"agreement": 100 * float(near[counted].mean())}


def open_int8_data(base: Base, skeleton: Skeleton, calibrate: str, boxes: Any, most: int) -> Int8Data:
    """Opens the pictures that a user named.

    Args:
        base: whose crops they become.
        skeleton: of the exported model.
        calibrate: a domain's name or file, a labelled project, or pictures.
        boxes: a box file, for pictures without labels; None: whole pictures.
        most: pictures to calibrate with at most; four times as many are scored at most.

    Raises:
        LvtuneError: no such domain, file or folder; labels of other key points; fewer than two pictures.
    """
    if not (calibrate in list_domains() or is_domain_file(calibrate) or Path(calibrate).exists()):
        raise UsageError(
            f"pictures to calibrate with at '{calibrate}'", "a folder of pictures, a labelled project, or a domain",
            "check the path, or see `lvtune list domains`",
        )  # fmt: skip
    splits, why = _labelled(calibrate)
    if splits is None:
        return _without_labels(base, skeleton, calibrate, boxes, most, why)
    train, test = splits
    if test.table.skeleton.keypoints != skeleton.keypoints:
        theirs, mine = (", ".join(one.keypoints[:3]) for one in (test.table.skeleton, skeleton))
        raise DataError(
            f"labels of other key points ({theirs}, ...) in {calibrate}", f"those of the model ({mine}, ...)",
            "give data of the model's domain, or pictures without labels",
        )  # fmt: skip
    test = test.first(min(4 * most, len(test.table)))
    train = train.first(min(most, len(train.table)))
    words = f"calibrated with {counted(len(train.table), 'instance')} of {train.name}, "
    words += f"scored on {len(test.table)} of {test.name}"
    return Int8Data(_crops(base, train), _crops(base, test), test.table, skeleton, words)


def _labelled(calibrate: str) -> tuple[tuple[Split, Split] | None, str]:
    """Training and test part; or None and the reason, for pictures without labels."""
    is_domain = calibrate in list_domains() or is_domain_file(calibrate)
    data = DataOptions() if is_domain else DataOptions(data=calibrate)
    try:
        domain = open_domain(calibrate if is_domain else "custom", data)
        return (domain.open("train", data), domain.open("test", data)), ""
    except DataError as error:
        if is_domain:
            raise
        return None, error.given


def _crops(base: Base, split: Split) -> list[Crops]:
    batches = DataLoader(split_dataset(base, split), batch_size=_BATCH, collate_fn=collate)
    return [Crops(b["pixel_values"].numpy(), b["center"].numpy(), b["scale"].numpy()) for b in batches]


def _without_labels(base: Base, skeleton: Skeleton, calibrate: str, boxes: Any, most: int, why: str) -> Int8Data:
    files = find_images(calibrate)[: 2 * most]
    if len(files) < 2:
        given = f"{len(files)} picture to calibrate with in {calibrate}"
        raise UsageError(given, "two or more: half of them are scored", "give more pictures")
    known = None if boxes is None else read_boxes(boxes, files, skeleton)
    first, second = (list(_of_files(base, part, known)) for part in (files[::2], files[1::2]))
    if not first or not second:
        raise DataError(f"no box in the pictures of {calibrate}", "boxes in both halves of them", "leave --boxes out")
    words = (
        f"no labels ({why}): calibrated with {counted(len(files[::2]), 'picture')}, "
        f"compared with float32 on {len(files[1::2])}"
        + ("; whole pictures: give --boxes FILE if the model is to see crops" if boxes is None else "")
    )
    return Int8Data(first, second, None, skeleton, words)


def _of_files(base: Base, files: list[Path], boxes: PictureBoxes | None) -> Iterator[Crops]:
    mean, std = (np.asarray(values, np.float32) * 255 for values in (base.mean, base.std))
    for file in files:
        image = read_image(file)
        given = None if boxes is None else boxes.of[file]
        whole = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]])
        rows = [(box, 1.0) for box in whole] if given is None else [(box, PADDING) for box in given]
        found = []
        for box, padding in rows:
            center, scale = box_to_center_scale(box, padding=padding)
            scale = fix_aspect(scale, base.input_size)
            crop = warp(image, udp_matrix(center, scale, 0.0, base.input_size), base.input_size)
            found.append((((crop - mean) / std).transpose(2, 0, 1).astype(np.float32), center, scale))
        if found:
            yield Crops(*(np.stack(part) for part in zip(*found, strict=True)))
