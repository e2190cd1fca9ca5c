"""A base, or a base with an adapter merged into it, as a folder that plain transformers loads.

``transformers.VitPoseForPoseEstimation.from_pretrained(folder)`` needs nothing of lvtune. Its classic head is always
256 wide: a narrower one (``vitpose-ti`` has 96) is widened with channels that are zero, which computes the same.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, as_base
from lvtune.core.errors import LvtuneError
from lvtune.core.files import user_errors
from lvtune.language.encoders import quiet
from lvtune.patcher.merging import compare, merge, noise, outputs_of
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE

if TYPE_CHECKING:
    from transformers import VitPoseForPoseEstimation

WIDTH = 256
"""Channels of the classic head in transformers' VitPose."""


@dataclass(frozen=True)
class TransformersFolder:
    """What :func:`save_transformers` wrote."""

    folder: Path
    files: tuple[str, ...]
    """Names of the files."""
    deviation: float
    """Largest difference between heatmaps of the folder, loaded by transformers, and those of base and adapter."""
    largest: float
    """Largest value in the heatmaps compared."""


def save_transformers(
    base: nn.Module, adapter: nn.Module | None, folder: str | Path, *, category: str | None = None
) -> TransformersFolder:
    """Writes ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``; the base is not written.

    The folder is loaded again by transformers and compared with base and adapter on pictures of noise.

    Args:
        base: a base of the ViTPose family, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: merged into a copy first, see :func:`lvtune.merge`; None: the bare base.
        folder: made where it is not there; other files in it stay.
        category: category whose sentence is folded in; None: the mean of the adapter's sentences.

    Raises:
        LvtuneError: a base that is no VitPose, or whose head is wider than transformers' own; a method that cannot be
            merged; a folder that holds an adapter, or that cannot be written.
    """
    from transformers import VitPoseForPoseEstimation

    view, folder = as_base(base), Path(folder)
    if not isinstance(view.model, VitPoseForPoseEstimation):
        raise LvtuneError(
            f"{view.name} as a folder for transformers, which has no such model", "a base of the ViTPose family",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    _check_folder(folder)
    if adapter is None:
        # a copy, since adapters may be attached to the base
        merged, deviation = type(view)(view.copy_model(), view.spec).freeze(), 0.0
    else:
        found = merge(view, adapter, category=category)
        merged, deviation = found.base, found.deviation
    model = widened(merged)
    with (
        user_errors(folder),
        quiet(),
        tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=f".{folder.name}.") as room,
    ):
        model.save_pretrained(room)
        _processor(merged).save_pretrained(room)
        written, largest = _reloaded(Path(room), merged)
        names = sorted(path.name for path in Path(room).iterdir())
        _made(folder)
        for name in names:
            os.replace(Path(room) / name, folder / name)
    return TransformersFolder(folder, tuple(names), deviation + written, largest)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_folder(folder: Path) -> None:
    """transformers would put an adapter that lies beside the weights on top of them."""
    there = [name for name in (TENSORS_FILE, CONFIG_FILE, PEFT_FILE) if (folder / name).exists()]
    if there:
        raise LvtuneError(
            f"folder '{folder}', which holds an adapter ({there[0]})", "a folder of its own for the merged model",
            f"choose another, such as {folder}-merged",
        )  # fmt: skip


def widened(base: Base) -> VitPoseForPoseEstimation:
    """A copy of the model whose classic head has transformers' own width; what is added is zero.

    Raises:
        LvtuneError: the head is wider than that.
    """
    from lvtune.bases.vit_positions import bake_positions
    from lvtune.bases.vitpose import build_model

    model = base.copy_model().eval()
    bake_positions(model)
    if model.config.use_simple_decoder:
        return model
    channels = base.stages[0].channels, base.stages[1].channels
    if max(channels) > WIDTH:
        raise LvtuneError(
            f"{base.name} with a head of {max(channels)} channels", f"at most {WIDTH}, as transformers' VitPose has",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    wide = build_model(model.config, None, base.predictor.out_channels).to(base.device, base.dtype).eval()
    own = model.state_dict()
    with torch.no_grad():
        for name, value in wide.state_dict().items():
            _embed(value, own[name], fill=1.0 if name.endswith("running_var") else 0.0)
    return wide


def _embed(value: Tensor, own: Tensor, fill: float) -> None:
    if value.shape != own.shape:
        value.fill_(fill)
        value = value[tuple(slice(size) for size in own.shape)]
    value.copy_(own)


def _processor(base: Base) -> object:
    """transformers' own preprocessing with the base's size, mean and std."""
    from transformers import VitPoseImageProcessor

    height, width = base.input_size
    return VitPoseImageProcessor(
        size={"height": height, "width": width}, image_mean=list(base.mean), image_std=list(base.std)
    )


def _reloaded(folder: Path, merged: Base) -> tuple[float, float]:
    """(largest difference, largest value) of what transformers loads and of the merged model, on noise."""
    from transformers import VitPoseForPoseEstimation

    model, told = VitPoseForPoseEstimation.from_pretrained(
        folder, dtype=merged.dtype, output_loading_info=True, local_files_only=True
    )
    wrong = [str(name) for kind in ("missing_keys", "mismatched_keys", "unexpected_keys") for name in told[kind]]
    if wrong:
        raise LvtuneError(
            f"{merged.name} with {wrong[0]}, for which transformers' VitPose has no place", "weights of a VitPose",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    again = type(merged)(model.to(merged.device), merged.spec).freeze()
    pixels = noise(merged)
    with torch.no_grad():
        return compare(outputs_of(merged, pixels), outputs_of(again, pixels))
