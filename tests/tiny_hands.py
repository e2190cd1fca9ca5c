"""A tiny estimator of hands and hands for it, that the tests share."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import Dataset

from lvtune.bases.base import BaseSpec
from lvtune.bases.hand3d import SPEC as CPM_SPEC
from lvtune.bases.hand3d import Hand3dBase
from lvtune.bases.hand3d_vit import HandVitBase, make_hand_vit
from lvtune.bases.hand_nets import CpmEncoder, CpmHead
from lvtune.bases.hand_pose import SIGMA, build_hand
from lvtune.data.hand_frame import project
from lvtune.data.skeletons import HAND_21

SIZE = (64, 64)
ARCH = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "mlp_ratio": 2}


def tiny_hand_base(seed: int = 0) -> HandVitBase:
    """A hand3d-vit of width 48 whose every part matters."""
    spec = BaseSpec("hand-tiny", input_size=SIZE, skeleton=HAND_21, sigma=SIGMA)
    base = make_hand_vit(ARCH, 16, spec, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in base.model.parameters():
            fan = value[0].numel() if value.dim() > 1 else 4
            value.copy_(torch.randn(value.shape, generator=generator) * (1 / fan**0.5 if value.dim() > 1 else 0.3))
        for module in base.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
    return base.freeze()


def small_cpm_base(seed: int = 0) -> Hand3dBase:
    """hand3d with its published layers, on pictures of 64 pixels."""
    spec = CPM_SPEC.with_(input_size=SIZE)
    return Hand3dBase(build_hand(CpmEncoder, CpmHead, spec, seed=seed), spec).freeze()


def tiny_hands(count: int = 4, seed: int = 0, size: int = 64) -> dict:
    """A batch as of a HandDataset, left and right hands by turns."""
    generator = torch.Generator().manual_seed(seed)
    xyz = 40 * torch.randn(count, 21, 3, generator=generator)
    xyz = xyz + torch.tensor([0.0, 0.0, 600.0])
    camera = torch.tensor([[200.0, 0, size / 2], [0, 200, size / 2], [0, 0, 1]]).expand(count, 3, 3)
    return {
        "pixel_values": torch.randn(count, 3, size, size, generator=generator),
        "keypoints": project(xyz, camera),
        "visible": torch.ones(count, 21),
        "xyz": xyz,
        "camera": camera,
        "side": torch.arange(count) % 2,
        "mirrored": torch.arange(count) % 2,
        "scale": (xyz[:, 10] - xyz[:, 9]).norm(dim=-1),
        "category": ["sketch", "mural"] * (count // 2),
        "index": torch.arange(count),
        "center": torch.full((count, 2), 31.5),
        "scale2d": torch.full((count, 2), 63.0),
    }


class TinyHands(Dataset):
    """The same, item by item."""

    def __init__(self, count: int = 8) -> None:
        self.batch = tiny_hands(count)

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""

    def __len__(self) -> int:
        return len(self.batch["pixel_values"])

    def __getitem__(self, index: int) -> dict:
        return {name: values[index] for name, values in self.batch.items()}
