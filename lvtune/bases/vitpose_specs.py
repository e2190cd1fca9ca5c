"""Facts of the published ViTPose and ViTPose++ models, and of ``vitpose-ti``: sizes, inputs, training data."""

from __future__ import annotations

from lvtune.bases.base_spec import BaseSpec
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton

ARCH: dict[str, dict[str, int]] = {
    "ti": {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3},
    "s": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12},
    "b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "h": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16},
}

SPECS: dict[str, BaseSpec] = {
    # 128x96: its training photographs are at most 176 px, and the default run must fit two cores
    "vitpose-ti": BaseSpec(
        "vitpose-ti",
        input_size=(128, 96),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        skeleton=LSP_14,
        size="ti",
        trained_on="lspet",
        source="demo-art",
        ships=True,
    ),
    "vitpose-s": BaseSpec("vitpose-s", size="s", trained_on="coco"),
    "vitpose-b": BaseSpec("vitpose-b", hub_id="usyd-community/vitpose-base", size="b", trained_on="coco"),
    "vitpose-b-simple": BaseSpec(
        "vitpose-b-simple", hub_id="usyd-community/vitpose-base-simple", size="b", trained_on="coco"
    ),
    "vitpose-l": BaseSpec("vitpose-l", size="l", trained_on="coco"),
    "vitpose-h": BaseSpec("vitpose-h", size="h", trained_on="coco"),
} | {
    f"vitpose-plus-{size}": BaseSpec(
        f"vitpose-plus-{size}",
        hub_id=f"usyd-community/vitpose-plus-{word}",
        size=size,
        trained_on="coco",
        expert="coco",
    )
    for size, word in (("s", "small"), ("b", "base"), ("l", "large"), ("h", "huge"))
}

EXPERTS = ("coco", "aic", "mpii", "ap10k", "apt36k", "coco-wholebody")
"""Data sets of the experts of ViTPose++, in the order of ``dataset_index``."""

TI_DECONV_CHANNELS = (96, 96)
"""Narrower than the published 256, with which the float16 file in the package would be 14.7 MB."""


def known_spec(size: str, experts: int = 1) -> BaseSpec:
    """Returns the facts of the published ViTPose of a size, or of an unnamed one."""
    family = "vitpose" if experts == 1 else "vitpose-plus"
    return SPECS.get(f"{family}-{size}", BaseSpec(family, expert="" if experts == 1 else EXPERTS[0]))


def skeleton_of(keypoints: int) -> Skeleton:
    """Returns COCO's or LSP's skeleton by the number of key points, else unnamed key points without mirror pairs."""
    for skeleton in (COCO_17, LSP_14):
        if len(skeleton.keypoints) == keypoints:
            return skeleton
    names = tuple(f"keypoint_{i}" for i in range(keypoints))
    return Skeleton(name=f"keypoints-{keypoints}", keypoints=names, sigmas=(0.079,) * keypoints, links=())
