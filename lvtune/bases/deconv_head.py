"""An encoder with the classic head: SwinPose, PVTPose and every timm backbone are made of these.

The head is that of SimpleBaseline (arXiv 1804.06208), as in ViTPose and mmpose: blocks of ConvTranspose2d (4x4,
stride 2, pad 1, no bias, 256 channels), BatchNorm and ReLU, then a 1x1 convolution, the predictor. There are as many
blocks as bring the feature map to a quarter of the picture: two behind stride 16, three behind stride 32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base, BaseSpec, Stage
from lvtune.bases.nested_outputs import in_batch_order
from lvtune.bases.parts import with_weights_of
from lvtune.data.skeletons import Skeleton

HEAD_CHANNELS = 256


class Encoder(Protocol):
    """A module that maps pictures (B, 3, H, W) to their last feature map (B, D, H / stride, W / stride)."""

    width: int
    """D, the channels of the feature map."""
    stride: int
    """Pixels of the picture for each cell of the feature map."""


class DeconvHead(nn.Module):
    """(B, D, h', w') -> (B, K, h, w).

    Args:
        width: D.
        keypoints: K.
        blocks: up-sampling blocks, each of which doubles the map.
        channels: of every block.
    """

    def __init__(self, width: int, keypoints: int, blocks: int, channels: int = HEAD_CHANNELS) -> None:
        super().__init__()
        widths = [width] + [channels] * blocks
        self.blocks = nn.ModuleList(deconv_block(a, b) for a, b in itertools.pairwise(widths))
        self.predictor = nn.Conv2d(widths[-1], keypoints, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)  # as ViTPose and mmpose
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Predicts heatmaps from a feature map."""
        for block in self.blocks:
            features = block(features)
        return self.predictor(features)


def deconv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Makes one up-sampling block, (B, C, h, w) -> (B, C', 2h, 2w)."""
    conv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


def deconv_stage(conv: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> Stage:
    """Returns a frozen up-sampling block as methods see it."""
    channels = (conv.in_channels, conv.out_channels)
    return Stage(lambda x: torch.relu(norm(conv(x))), lambda: deconv_block(*channels), conv.out_channels)


class DeconvPose(nn.Module):
    """A pose estimator (B, 3, H, W) -> (B, K, h, w), made by :func:`build_pose`; it holds what a copy is made of."""

    def __init__(self, make_encoder: Callable[[], nn.Module], spec: BaseSpec, channels: int = HEAD_CHANNELS) -> None:
        super().__init__()
        self.make_encoder, self.spec = make_encoder, spec
        self.encoder: Any = make_encoder()
        blocks = (self.encoder.stride // spec.stride).bit_length() - 1
        self.head = DeconvHead(self.encoder.width, len(spec.skeleton.keypoints), blocks, channels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Predicts heatmaps from normalised pictures."""
        return self.head(self.encoder(pixel_values))


def build_pose(
    make_encoder: Callable[[], nn.Module], spec: BaseSpec, *, channels: int = HEAD_CHANNELS, seed: int = 0
) -> DeconvPose:
    """Builds an estimator with random weights drawn from ``seed``; the global random state is kept.

    Args:
        make_encoder: makes an :class:`Encoder`.
        spec: its facts; the head predicts the key points of ``spec.skeleton``.
        channels: of the head's blocks.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        return DeconvPose(make_encoder, spec, channels).eval()


class DeconvBase(Base):
    """A base around :class:`DeconvPose`; families say what the blocks of their encoders are."""

    @property
    def width(self) -> int:
        """D of the last feature map."""
        return self.model.encoder.width

    @property
    def encoder(self) -> Any:
        """What makes the feature map."""
        return self.model.encoder

    @property
    def head(self) -> Any:
        """The classic head."""
        return self.model.head

    @property
    def stages(self) -> Sequence[Stage]:
        """The head's up-sampling blocks."""
        return [deconv_stage(conv, norm) for conv, norm, _ in self.model.head.blocks]

    @property
    def predictor(self) -> Any:
        """The last convolution."""
        return self.model.head.predictor

    def copy_model(self) -> Any:
        """Makes a second estimator with the same weights."""
        own = self.model
        fresh = build_pose(own.make_encoder, own.spec, channels=self.predictor.in_channels)
        return with_weights_of(own, fresh, self.predictor.weight)

    def note_skeleton(self, skeleton: Skeleton) -> None:
        """Notes them in the facts that a second estimator is made of."""
        self.model.spec = self.model.spec.with_(skeleton=skeleton)

    def parts_of(self, model: Any) -> tuple[Any, Any]:
        """(encoder, head)."""
        return model.encoder, model.head

    def heatmaps_of(self, output: Any) -> Tensor:
        """Returns the output itself."""
        return output

    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> Any:
        """Returns every row in the order of the batch; a list of rows where their shapes (key points) differ."""
        return in_batch_order(outputs, indices)
