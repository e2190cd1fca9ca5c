"""Tiny bases with the classic head: Swin, PVT, PVTv2, and timm's ViT and ResNet."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lvtune.bases.base import Base, BaseSpec
from lvtune.bases.pvtpose import PvtArch, load_pvt
from lvtune.bases.timmpose import load_timm

SIZE = (64, 64)
SWIN = {
    "img_size": SIZE,
    "always_partition": True,
    "drop_path_rate": 0.0,
    "embed_dim": 8,
    "depths": (2, 2, 2, 2),
    "num_heads": (1, 2, 2, 4),
}
PVT = PvtArch(widths=(8, 16, 24, 32), depths=(1, 2, 1, 1), heads=(1, 2, 3, 4), mlp_ratios=(2, 2, 2, 2), input_size=SIZE)
PVT_V2 = {"embed_dims": (8, 16, 24, 32), "depths": (1, 2, 1, 1), "num_heads": (1, 2, 3, 4)}
VIT = {"img_size": SIZE, "embed_dim": 32, "depth": 2, "num_heads": 4}

METHODS = ("vlpose", "full", "head", "last-blocks", "bitfit", "norm", "ssf", "vpt", "bottleneck", "lora")
"""Methods built from the patcher's own changes; those of peft have their own tests."""

WINDOWED_AND_PYRAMIDS = ("swin", "pvt", "pvtv2")
WITH_ATTENTION = (*WINDOWED_AND_PYRAMIDS, "vit")
FAMILIES = (*WITH_ATTENTION, "resnet")


def load(family: str, weights: str = "random", seed: int = 0, **others: object) -> Base:
    """A tiny base of a family through the family's own loader; ``others`` in place of its sizes."""
    spec = BaseSpec(f"{family}-tiny", input_size=SIZE)
    if family == "pvt":
        return load_pvt(spec, replace(PVT, **others), weights, seed=seed)
    name, options = {
        "swin": ("swin_tiny_patch4_window7_224", SWIN),
        "pvtv2": ("pvt_v2_b2", PVT_V2),
        "vit": ("vit_tiny_patch16_224", VIT),
        "resnet": ("resnet10t", {}),
    }[family]
    return load_timm(spec, name, options | others, weights, seed=seed)


def tiny(family: str, seed: int = 0, **others: object) -> Base:
    """The same with weights of order 1 and BatchNorm statistics that are not 0 and 1, so that every part matters."""
    base = load(family, seed=seed, **others).freeze()
    generator = torch.Generator().manual_seed(seed)
    draw = lambda like: torch.randn(like.shape, generator=generator)  # noqa: E731
    with torch.no_grad():
        for value in base.model.parameters():
            fan = value[0].numel() if value.dim() > 1 else 4
            value.copy_(draw(value) / fan**0.5 + (value.dim() == 1) * 0.5)
        for module in base.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.3 * draw(module.running_mean))
                module.running_var.copy_(0.5 + draw(module.running_var).square())
    return base


def pixels(count: int = 3, seed: int = 0) -> torch.Tensor:
    """(B, 3, 64, 64)."""
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
