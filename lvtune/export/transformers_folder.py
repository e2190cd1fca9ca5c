"""Writes a base, or a base with an adapter merged into it, as a folder that plain transformers loads.

``transformers.VitPoseForPoseEstimation.from_pretrained(folder)`` does not need lvtune. The classic head in transformers
is always 256 channels wide. A narrower head (``vitpose-ti`` has 96) gets further channels of zeros, which do not change
the result.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, as_base
from lvtune.core.errors import UsageError
from lvtune.core.files import sync_folder, user_errors
from lvtune.language.encoders import quiet
from lvtune.patcher.merging import compare, merge, noise, outputs_of
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE

if TYPE_CHECKING:
    from transformers import VitPoseForPoseEstimation

    from lvtune.adapters.adapter import Adapter

_CONFIG = "config.json"
WIDTH = 256
"""Channels of the classic head in transformers' VitPose."""


@dataclass(frozen=True)
class TransformersFolder:
    """The result of :func:`save_transformers`."""

    folder: Path
    files: tuple[str, ...]
    """Names of the files."""
    deviation: float
    """Largest difference between the heatmaps of the loaded folder and those of base and adapter."""
    largest: float
    """Largest value in the compared heatmaps."""


def save_transformers(
    base: nn.Module, adapter: nn.Module | None, folder: str | Path, *, category: str | None = None
) -> TransformersFolder:
    """Writes ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``; the base is not changed.

    The folder is loaded by transformers and compared with base and adapter on pictures of noise before it is put in
    place.

    Args:
        base: a base of the ViTPose family, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: merged into a copy of the base first, see :func:`lvtune.merge`; None: the bare base.
        folder: created if it does not exist; other files in it stay.
        category: category whose sentence is merged in; None: the mean of the adapter's sentences.

    Raises:
        LvtuneError: the base is not a VitPose, or its head is wider than in transformers; the method cannot be merged;
            the folder holds an adapter, or cannot be written.
    """
    from transformers import VitPoseForPoseEstimation

    view, folder = as_base(base), Path(folder)
    if not isinstance(view.model, VitPoseForPoseEstimation):
        raise UsageError(
            f"{view.name} as a folder for transformers, which has no such model", "a base of the ViTPose family",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    _check_folder(folder)
    if adapter is None:
        # a copy, since adapters may be attached to the base
        merged, deviation = type(view)(view.copy_model(), view.spec).freeze(), 0.0
    else:
        result = merge(view, cast("Adapter", adapter), category=category)
        merged, deviation = result.base, result.deviation
    model = widened(merged)
    found: list[tuple[float, float]] = []
    names = save_whole(folder, model, _processor(merged), check=lambda place: found.append(_reloaded(place, merged)))
    written, largest = found[0]
    return TransformersFolder(folder, names, deviation + written, largest)


def save_whole(folder: Path, *parts: Any, check: Callable[[Path], None] = lambda place: None) -> tuple[str, ...]:
    """Saves a model, and what belongs to it, as transformers does; a kill leaves no mixture with what was there.

    All bytes are on disk before the first name changes. ``config.json``, without which nothing is loaded, goes first
    and comes last.

    Args:
        folder: made if it does not exist; other files in it stay.
        *parts: objects with ``save_pretrained``.
        check: called with the temporary folder before anything is put in place.

    Returns:
        The names of the files.

    Raises:
        UsageError: the folder cannot be written.
    """
    with (
        user_errors(folder),
        quiet(),
        tempfile.TemporaryDirectory(dir=_created(folder.parent), prefix=f".{folder.name}.") as temporary,
    ):
        place = Path(temporary)
        for part in parts:
            part.save_pretrained(place)
        check(place)
        sync_folder(place)
        names = tuple(sorted(path.name for path in place.iterdir()))
        _created(folder)
        (folder / _CONFIG).unlink(missing_ok=True)
        sync_folder(folder)
        for name in sorted(names, key=lambda name: name == _CONFIG):
            os.replace(place / name, folder / name)
        sync_folder(folder)
    return names


def _created(folder: Path) -> Path:
    """Creates a folder if it does not exist, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _check_folder(folder: Path) -> None:
    """Raises an error for a folder with an adapter, which transformers would load together with the weights."""
    there = [name for name in (TENSORS_FILE, CONFIG_FILE, PEFT_FILE) if (folder / name).exists()]
    if there:
        raise UsageError(
            f"folder '{folder}', which holds an adapter ({there[0]})", "a folder of its own for the merged model",
            f"choose another, such as {folder}-merged",
        )  # fmt: skip


def widened(base: Base) -> VitPoseForPoseEstimation:
    """Returns a copy of the model with a classic head of transformers' width; the added channels are zero.

    Raises:
        LvtuneError: the head is wider.
    """
    from lvtune.bases.vit_positions import bake_positions
    from lvtune.bases.vitpose import build_model

    model = cast("VitPoseForPoseEstimation", base.copy_model().eval())
    bake_positions(model)
    if model.config.use_simple_decoder:
        return model
    channels = base.stages[0].channels, base.stages[1].channels
    if max(channels) > WIDTH:
        raise UsageError(
            f"{base.name} with a head of {max(channels)} channels", f"at most {WIDTH}, as transformers' VitPose has",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    built: nn.Module = build_model(model.config, None, base.predictor.out_channels)
    wide = cast("VitPoseForPoseEstimation", built.to(base.device, base.dtype).eval())
    own = model.state_dict()
    with torch.no_grad():
        for name, value in wide.state_dict().items():
            _embed(value, own[name], fill=1.0 if name.endswith("running_var") else 0.0)
    return wide


def _embed(value: Tensor, own: Tensor, fill: float) -> None:
    """Writes ``own`` into the first entries of ``value``, and ``fill`` into the others."""
    if value.shape != own.shape:
        value.fill_(fill)
        value = value[tuple(slice(size) for size in own.shape)]
    value.copy_(own)


def _processor(base: Base) -> Any:
    """Returns the image processor of transformers with the base's size, mean and std."""
    from transformers import VitPoseImageProcessor

    height, width = base.input_size
    return VitPoseImageProcessor(
        size={"height": height, "width": width}, image_mean=list(base.mean), image_std=list(base.std)
    )


def _reloaded(folder: Path, merged: Base) -> tuple[float, float]:
    """Loads the folder with transformers; returns the largest difference to the merged model, and the largest value."""
    from transformers import VitPoseForPoseEstimation

    loaded: Any = VitPoseForPoseEstimation.from_pretrained(
        folder, dtype=merged.dtype, output_loading_info=True, local_files_only=True
    )
    model, loading = loaded
    wrong = [str(name) for kind in ("missing_keys", "mismatched_keys", "unexpected_keys") for name in loading[kind]]
    if wrong:
        raise UsageError(
            f"{merged.name} with {wrong[0]}, for which transformers' VitPose has no place", "weights of a VitPose",
            "export it as ONNX: lvtune export --format onnx",
        )  # fmt: skip
    again = type(merged)(model.to(merged.device), merged.spec).freeze()
    pixels = noise(merged)
    with torch.no_grad():
        return compare(outputs_of(merged, pixels), outputs_of(again, pixels))
