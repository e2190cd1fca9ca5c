"""Exports a model in 8 bits, and keeps it only if its score is about that of the float32 model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvtune.api.int8_data import Int8Data, open_int8_data
from lvtune.core.errors import TrainingError, UsageError
from lvtune.export.int8 import OnnxModel, quantise

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton

MOST_PICTURES, MOST_LOSS = 128, 1.0
_LESS_IS_BETTER = ("px_mean",)
_TIMED = 40


@dataclass(frozen=True)
class Int8Side:
    """Figures of one of the two models."""

    megabytes: float
    milliseconds: float
    """Median over single pictures on the CPU."""
    scores: dict[str, float]


@dataclass(frozen=True)
class Int8Result:
    """The result of :func:`make_int8`."""

    file: Path
    float32: Int8Side
    int8: Int8Side
    main: str
    """The score that decides."""
    loss: float
    """How much of it is lost: points of a score in percent; percent of an error in pixels."""
    max_loss: float
    threads: int
    what: str
    """Which pictures were used."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the result in JSON types."""
        return {**asdict(self), "file": str(self.file)}


def int8_name(model: Path) -> Path:
    """Returns where the 8-bit model of a float32 one goes: ``art.onnx`` -> ``art.int8.onnx``."""
    return model.with_name(f"{model.stem}.int8{model.suffix}")


def open_data(
    base: Base, skeleton: Skeleton, calibrate: str, *, boxes: Any = None, pictures: int = MOST_PICTURES
) -> Int8Data:
    """Opens the pictures; what can be wrong with them is told before anything is computed.

    Args:
        base: to be exported.
        skeleton: of its key points.
        calibrate, boxes, pictures: see :func:`lvtune.api.int8_data.open_int8_data`.

    Raises:
        LvtuneError: the pictures do not fit; hands in space.
    """
    if base.task != "pose2d":
        raise UsageError(f"an 8-bit model of {base.name}, which predicts in space", "a model of key points in pictures",
                         "leave --int8 out")  # fmt: skip
    return open_int8_data(base, skeleton, calibrate, boxes, pictures)


def make_int8(base: Base, model: Path, data: Int8Data, *, max_loss: float = MOST_LOSS) -> Int8Result:
    """Writes the 8-bit model of an exported one beside it, and compares the two.

    Args:
        base: that was exported.
        model: float32, of :func:`lvtune.export.onnx_file.export_onnx`.
        data: of :func:`open_data`.
        max_loss: the model is dropped if it loses more of the main score: points of a score in percent, percent of an
            error in pixels.

    Raises:
        LvtuneError: the loss is larger than ``max_loss``; a package is missing.
    """
    file = quantise(model, int8_name(model), data.batches)
    kept = False
    try:
        plain, small = OnnxModel(model), OnnxModel(file)
        reference = _predicted(plain, data, base)
        before = data.scores(*reference, reference)
        after = data.scores(*_predicted(small, data, base), reference)
        loss = _loss(before, after, data.main)
        times = _milliseconds([plain, small], data.test[0].pixels[:1])
        sizes = [path.stat().st_size / 1e6 for path in (model, file)]
        result = Int8Result(
            file, Int8Side(sizes[0], times[0], before), Int8Side(sizes[1], times[1], after), data.main, loss, max_loss,
            torch.get_num_threads(), data.what,
        )  # fmt: skip
        kept = loss <= max_loss
        if not kept:
            raise _refused(result)
    finally:
        if not kept:
            file.unlink(missing_ok=True)
    return result


def _predicted(model: OnnxModel, data: Int8Data, base: Base) -> tuple[np.ndarray, np.ndarray]:
    """Key points (N, K, 2) in pixels of the pictures and scores (N, K) of the test crops."""
    points, scores = [], []
    for crops in data.test:
        found, score = base.codec.decode(torch.from_numpy(model.heatmaps(crops.pixels)))
        points.append(found.numpy())
        scores.append(score.numpy())
    return data.in_pictures(points, base), np.concatenate(scores)


def _loss(before: dict[str, float], after: dict[str, float], main: str) -> float:
    if main not in before or main not in after:
        main = next(name for name in before if name in after)
    if main in _LESS_IS_BETTER:
        return 100 * (after[main] - before[main]) / max(before[main], 1e-9)
    return before[main] - after[main]


def _milliseconds(models: list[OnnxModel], pixels: np.ndarray) -> list[float]:
    """Median time of each for one picture, taken in turn, so that a busy machine slows both alike."""
    taken: list[list[float]] = [[] for _ in models]
    for _ in range(_TIMED):
        for model, times in zip(models, taken, strict=True):
            start = time.perf_counter()
            model.heatmaps(pixels)
            times.append(1000 * (time.perf_counter() - start))
    return [float(np.median(times)) for times in taken]


def _refused(result: Int8Result) -> TrainingError:
    before, after = result.float32.scores[result.main], result.int8.scores[result.main]
    unit = "%" if result.main in _LESS_IS_BETTER else "points"
    return TrainingError(
        f"an 8-bit model that loses {result.loss:.2f} {unit} of {result.main} ({before:.2f} before, {after:.2f} after)",
        f"a loss of {result.max_loss:g} at most",
        "calibrate with more pictures that look like yours (--calibrate), or allow more (--max-loss); the float32 "
        "model was kept",
    )
