"""What a picture looks like to the frozen base: mean and spread of each channel in the first half of its encoder.

Early layers show colours and edges, late ones what is in the picture; between them the style of a picture shows most
clearly (measured; benchmarks/README.md). That means and spreads of channels carry the style is known from style
transfer (Huang and Belongie, ICCV 2017, arXiv 1703.06868).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lvtune.bases.float_types import first_floating
from lvtune.core.context import choose_adapters
from lvtune.core.errors import UsageError
from lvtune.data.crop import box_to_center_scale, fix_aspect, udp_matrix, warp

if TYPE_CHECKING:
    from lvtune.bases.base import Base

DEPTHS = (0.25, 0.4)
"""Shares of the encoder's blocks behind which the features are read."""


class _Seen(Exception):
    """Ends a call of the base when its features have been read."""


def look_layer(base: Base) -> str:
    """Returns where the features are read: ``blocks 3, 5 of 12``; ``head`` for an encoder without blocks."""
    count = len(base.blocks)
    return f"blocks {', '.join(str(place + 1) for place in _places(count))} of {count}" if count else "head"


def _places(count: int) -> list[int]:
    return sorted({min(max(round(depth * count), 1), count) - 1 for depth in DEPTHS})


@torch.no_grad()
def look_features(base: Base, pixel_values: Tensor) -> np.ndarray:
    """Returns (B, F) float64: for each place the means of the channels, and behind them their standard deviations.

    No adapter acts. Features of one base are comparable; those of different bases are not.

    Args:
        base: its own weights are used, whatever is attached.
        pixel_values: (B, 3, H, W), normalised for ``base``.
    """
    kept: dict[int, Any] = {}
    caller = threading.get_ident()

    def keep(place: int, value: Any) -> None:
        if threading.get_ident() != caller:  # another thread may be calling the same base
            return
        kept[place] = value
        if place == last:
            raise _Seen  # what comes behind is not needed, and takes longer

    blocks = list(base.blocks)
    places = _places(len(blocks)) if blocks else []
    last = places[-1] if places else 0
    hooks = [blocks[i].layer.register_forward_hook(lambda module, args, out, i=i: keep(i, out)) for i in places]
    if not blocks:
        hooks.append(base.head.register_forward_pre_hook(lambda module, args: keep(0, args[0])))
    try:
        with contextlib.suppress(_Seen), choose_adapters(base.model, None):
            base(pixel_values.to(base.device))
    finally:
        for hook in hooks:
            hook.remove()
    parts = []
    for place, value in sorted(kept.items()):
        found = first_floating(value)
        assert found is not None
        maps = _by_channel(found.detach().float(), len(pixel_values), blocks[place].width if blocks else 0)
        parts += [maps.mean(-1), maps.std(-1)]
    return torch.cat(parts, 1).cpu().numpy().astype(float)


def _by_channel(found: Tensor, batch: int, width: int) -> Tensor:
    """(B, D, N) of tokens (B, ..., D), also where a picture's windows lie along the first dimension; of a map too."""
    if width and found.shape[-1] == width:
        return found.reshape(batch, -1, width).transpose(1, 2)
    return found.reshape(batch, found.shape[1], -1)


def whole_picture(base: Base, image: np.ndarray) -> np.ndarray:
    """Returns a whole picture (H, W, 3), uint8 RGB, as the base would see it, (3, h, w) float32 and normalised."""
    return crop_of(base, image, np.array([0.0, 0.0, image.shape[1], image.shape[0]]), padding=1.0)


def crop_of(base: Base, image: np.ndarray, box: np.ndarray, padding: float = 1.25) -> np.ndarray:
    """Returns a box (4,) of a picture as the base sees it, (3, h, w) float32 and normalised."""
    mean, std = (np.asarray(values, np.float32) * 255 for values in (base.mean, base.std))
    center, scale = box_to_center_scale(np.asarray(box, float), padding=padding)
    matrix = udp_matrix(center, fix_aspect(scale, base.input_size), 0.0, base.input_size)
    crop = warp(image, matrix, base.input_size)
    return ((crop - mean) / std).transpose(2, 0, 1).astype(np.float32)


def features_of_pictures(base: Base, pictures: Sequence[np.ndarray], at_once: int = 64) -> np.ndarray:
    """Returns :func:`look_features` of whole pictures (H, W, 3), uint8 RGB.

    Raises:
        UsageError: a picture of another form or type: its looks would be others.
    """
    for place, picture in enumerate(pictures):
        is_array = isinstance(picture, np.ndarray)
        if not is_array or picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            kind = f"array of shape {picture.shape} and type {picture.dtype}" if is_array else type(picture).__name__
            raise UsageError(
                f"picture {place} of the type {kind}", "whole pictures as arrays (height, width, 3), uint8 RGB",
                "convert it, such as by PIL: np.asarray(image.convert('RGB'))",
            )  # fmt: skip
    parts = [pictures[start : start + at_once] for start in range(0, len(pictures), at_once)]
    rows = [np.stack([whole_picture(base, picture) for picture in part]) for part in parts]
    return np.concatenate([look_features(base, torch.from_numpy(row)) for row in rows])
