"""SwinPose T/B/L: Swin Transformer (arXiv 2103.14030) through timm, with the classic head.

The feature map is the last one, behind the final LayerNorm: (B, D, 8, 6) at 256x192. Visual prompts are rows of keys
and values that every window sees (:mod:`lvtune.bases.timm_blocks`). Shallow ones, which are carried from block to
block, are refused: patch merging has no place for them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lvtune.bases.base import BaseSpec
from lvtune.bases.base_registry import BASES
from lvtune.bases.timmpose import load_timm

TIMM_NAMES = {
    "t": "swin_tiny_patch4_window7_224.ms_in1k",
    "b": "swin_base_patch4_window7_224.ms_in22k",
    "l": "swin_large_patch4_window7_224.ms_in22k",
}
"""Size to timm's name with the weights that mmpose's SwinPose starts from (configs td-hm_swin-*_coco-256x192)."""

SPECS: dict[str, BaseSpec] = {f"swinpose-{size}": BaseSpec(f"swinpose-{size}", size=size) for size in TIMM_NAMES}


def swin_options(spec: BaseSpec) -> dict[str, Any]:
    """Returns arguments of ``timm.create_model``.

    Windows are 7x7 throughout, as in mmpose; timm would make them 7x6 in the last stage (8x6). So the position tables
    of ImageNet fit as they are. No paths are dropped, so copies that are tuned are not noisy.
    """
    return {"img_size": spec.input_size, "always_partition": True, "drop_path_rate": 0.0}


for _name, _spec in SPECS.items():
    BASES.register(_name)(partial(load_timm, _spec, TIMM_NAMES[_spec.size], swin_options(_spec)))
