"""The networks of a 3D hand estimator: heatmaps by a convolutional pose machine, and the lifting from heatmaps to 3D.

Source: Zimmermann & Brox, arXiv 1705.01389 (their HandSegNet is left out: the hand is cropped already); the pose
machine is that of Wei et al., arXiv 1602.00134. LeakyReLU of slope 0.01 follows every layer but the outputs. There is
no BatchNorm. Weights are Xavier's and biases 1e-4. The networks were written for TensorFlow, whose "same" padding of a
stride-2 convolution on an even size adds one row below and one column on the right only.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.data.hand_frame import RIGHT, from_canonical

SLOPE, BIAS = 0.01, 1e-4
JOINTS = 21
CPM_WIDTH = 128
"""C, the channels of the encoding."""


class HandOutput(NamedTuple):
    """The output of a hand estimator for B pictures."""

    heatmaps: Tensor
    """(B, 21, h, w) of the last stage."""
    xyz: Tensor
    """(B, 21, 3) joints relative to the root, in lengths of the reference bone, turned as the camera sees them."""
    canonical: Tensor
    """(B, 21, 3) joints in the canonical frame."""
    rotation: Tensor
    """(B, 3, 3); see :func:`lvtune.data.hand_frame.from_canonical`."""
    stages: tuple[Tensor, ...]
    """Heatmaps (B, 21, h, w) of every stage, the last one included."""
    features: Tensor
    """(B, D, h', w'), the encoder's feature map."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns how many rows TensorFlow's "same" padding adds in front and behind; an odd one is added behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding, (B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""

    def forward(self, input: Tensor) -> Tensor:
        """Pads and convolves."""
        rows, columns = (
            same_padding(*given) for given in zip(input.shape[-2:], self.kernel_size, self.stride, strict=True)
        )
        if rows[0] == rows[1] and columns[0] == columns[1]:
            return F.conv2d(input, self.weight, self.bias, self.stride, (rows[0], columns[0]))
        return F.conv2d(F.pad(input, (*columns, *rows)), self.weight, self.bias, self.stride)


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Makes a convolution and its LeakyReLU."""
    return nn.Sequential(SameConv2d(in_channels, out_channels, kernel, stride), nn.LeakyReLU(SLOPE))


def convs(*channels: int, kernel: int = 3) -> list[nn.Module]:
    """Makes convolutions that follow each other."""
    return [conv(a, b, kernel) for a, b in itertools.pairwise(channels)]


def initialise(module: nn.Module) -> None:
    """Draws Xavier weights and sets small biases in every convolution and linear layer."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.constant_(part.bias, BIAS)


class CpmEncoder(nn.Module):
    """Parts 1 to 4: pictures (B, 3, H, W) -> encoding (B, 128, H / 8, W / 8)."""

    width, stride = CPM_WIDTH, 8

    def __init__(self) -> None:
        super().__init__()
        pool = lambda: nn.MaxPool2d(2, ceil_mode=True)  # noqa: E731
        self.part1 = nn.Sequential(*convs(3, 64, 64), pool())
        self.part2 = nn.Sequential(*convs(64, 128, 128), pool())
        self.part3 = nn.Sequential(*convs(128, 256, 256, 256, 256), pool())
        self.part4 = nn.Sequential(*convs(256, 512, 512, 256, 256, 256, 256, CPM_WIDTH))
        initialise(self)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encodes pictures."""
        return self.part4(self.part3(self.part2(self.part1(pixel_values))))


class CpmHead(nn.Module):
    """Three stages: encoding (B, 128, h, w) -> heatmaps (B, 21, h, w) of each.

    The first stage reads the encoding. The others read the encoding and the maps of the stage before, and refine them.
    """

    def __init__(self, keypoints: int = JOINTS) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(conv(CPM_WIDTH, 512, 1), SameConv2d(512, keypoints, 1))
        self.stage2 = nn.Sequential(_refine(keypoints), SameConv2d(CPM_WIDTH, keypoints, 1))
        self.stage3 = _refine(keypoints)
        self.predictor = nn.Conv2d(CPM_WIDTH, keypoints, 1)
        initialise(self)

    def before_predictor(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the heatmaps of the first two stages, and the input (B, 128, h, w) of the last predictor."""
        first = self.stage1(features)
        second = self.stage2(torch.cat([first, features], dim=1))
        return first, second, self.stage3(torch.cat([second, features], dim=1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predicts the heatmaps of the three stages."""
        first, second, last = self.before_predictor(features)
        return first, second, self.predictor(last)


def _refine(keypoints: int) -> nn.Sequential:
    widths = (keypoints + CPM_WIDTH, *[CPM_WIDTH] * 5)
    return nn.Sequential(*convs(*widths, kernel=7), conv(CPM_WIDTH, CPM_WIDTH, 1))


class PoseNet(nn.Module):
    """Maps heatmaps and side to a vector; the body of both lifting networks.

    Args:
        map_size: (h, w) of the heatmaps.
        widths: of the three pairs of convolutions; the second of each pair has stride 2.
        hidden: widths of the two linear layers behind them.
        outputs: length of the vector.
        dropout: behind each of these linear layers.
    """

    def __init__(
        self,
        map_size: tuple[int, int],
        widths: tuple[int, ...],
        hidden: tuple[int, int],
        outputs: int,
        dropout: float,
    ) -> None:
        super().__init__()
        pairs = itertools.pairwise((JOINTS, *widths))
        self.convs = nn.Sequential(*(layer for a, b in pairs for layer in (conv(a, b), conv(b, b, stride=2))))
        h, w = (-(-side // 2 ** len(widths)) for side in map_size)
        sizes = (widths[-1] * h * w + 2, *hidden)
        self.hidden = nn.Sequential(*(_linear(a, b, dropout) for a, b in itertools.pairwise(sizes)))
        self.out = nn.Linear(hidden[-1], outputs)
        initialise(self)

    def forward(self, heatmaps: Tensor, side: Tensor) -> Tensor:
        """(B, 21, h, w), (B,) 0 left or 1 right -> (B, outputs)."""
        # in the order of TensorFlow: row, column, channel
        flat = self.convs(heatmaps).permute(0, 2, 3, 1).flatten(1)
        sides = F.one_hot(side.long(), 2).to(flat.dtype)
        return self.out(self.hidden(torch.cat([flat, sides], dim=1)))


def _linear(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE), nn.Dropout(dropout))


class Lifting(nn.Module):
    """Lifts heatmaps to 3D by two networks: the pose in the canonical frame, and its rotation to the camera.

    Args:
        map_size: (h, w) of the heatmaps.
    """

    def __init__(self, map_size: tuple[int, int] = (32, 32)) -> None:
        super().__init__()
        self.canonical = PoseNet(map_size, (32, 64, 128), (512, 512), 3 * JOINTS, dropout=0.2)
        self.viewpoint = PoseNet(map_size, (64, 128, 256), (256, 128), 3, dropout=0.25)

    def forward(self, heatmaps: Tensor, side: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 21, h, w) -> xyz (B, 21, 3), canonical (B, 21, 3), rotation (B, 3, 3).

        ``side`` (B,) is 0 for left and 1 for right hands; None: all are right, as the data sets here are read.
        """
        side = torch.full((heatmaps.shape[0],), RIGHT, device=heatmaps.device) if side is None else side
        canonical = self.canonical(heatmaps, side).unflatten(1, (JOINTS, 3))
        rotation = rotation_matrix(self.viewpoint(heatmaps, side))
        with torch.autocast(heatmaps.device.type, enabled=False):  # a product in half precision is millimetres off
            xyz = from_canonical(canonical.to(rotation.dtype), rotation, side)
        return xyz, canonical, rotation


def rotation_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, in float32 at least: u (B, 3) -> (B, 3, 3), the rotation by √(|u|² + 1e-8) about u."""
    u = axis_angle.to(torch.promote_types(axis_angle.dtype, torch.float32))
    angle = (u.square().sum(-1) + 1e-8).sqrt()
    x, y, z = (u / angle[:, None]).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    axis = torch.stack([x, y, z], dim=-1)
    outer = axis[:, :, None] * axis[:, None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    eye = torch.eye(3, device=u.device, dtype=u.dtype)
    return cos * eye + sin * cross + (1 - cos) * outer
