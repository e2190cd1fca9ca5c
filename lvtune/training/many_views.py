"""One answer for a picture from several looks at it: turned and resized a little, and mirrored.

The heatmaps of all looks are put back into the plain picture and averaged. Such an answer is better than that of one
look, so it can teach the very network that gave it (data distillation, Radosavovic et al., CVPR 2018,
arXiv 1712.04440). The looks are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.training.second_pictures import answer_of
from lvtune.training.strong_view import affine, turned, warped

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Batch = dict[str, Any]

LOOKS = (
    (0.0, 1.0, False), (0.0, 1.0, True), (15.0, 1.0, False), (-15.0, 1.0, True),
    (0.0, 0.85, False), (0.0, 1.15, True), (7.5, 0.92, False), (-7.5, 1.08, True),
)  # fmt: skip
"""Degrees, factor, and whether it is the mirror image, of each look; the first is the plain picture. Four looks are as
good as six (measured; benchmarks/README.md)."""
FEWEST_VIEWS, MOST_VIEWS = 2, len(LOOKS)


class ManyViews(NamedTuple):
    """An answer for B pictures with K points, in pixels of the network's input."""

    points: Tensor
    """(B, K, 2) of the mean of all heatmaps."""
    peak: Tensor
    """(B, K) highest value of the mean."""
    apart: Tensor
    """(B, K) mean distance of the single looks' points from ``points``, as a share of the picture's height."""
    joints: Tensor | None = None
    """(B, K, 3) mean of all looks at hands, in lengths of the reference bone; None: the base says nothing of space."""
    joints_apart: Tensor | None = None
    """(B,) mean distance of the single looks' joints from ``joints``."""

    def certainty(self, confidence: float, agreement: float) -> Tensor:
        """Returns (B, K), 0 to 1: how much each point is to be believed.

        Args:
            confidence: peak from which the height of the heatmap takes nothing away.
            agreement: distance of the looks, as a share of the height, at which 0.6 is left.
        """
        sure = (self.peak.clamp(0, None) / confidence).clamp(max=1) ** 4
        found = sure * torch.exp(-0.5 * (self.apart / agreement) ** 2)
        return torch.where(self.points.isfinite().all(-1), found.nan_to_num(0.0), 0.0)

    def certainty_in_space(self, agreement: float) -> Tensor | None:
        """Returns (B,), 0 to 1: how much the joints of each hand are to be believed; None without joints.

        Args:
            agreement: distance of the looks, in lengths of the reference bone, at which 0.6 is left.
        """
        if self.joints_apart is None:
            return None
        return torch.exp(-0.5 * (self.joints_apart / agreement) ** 2).nan_to_num(0.0)


@torch.no_grad()
def seen_in_many_views(base: Base, batch: Batch, kind: Any, views: int) -> ManyViews:
    """Looks at each picture in ``views`` ways.

    Args:
        base: with what is attached.
        batch: of :class:`lvtune.data.dataset.PoseDataset`, on the device of the base.
        kind: skeleton of the points. Without known mirror pairs, and for hands, the picture half as bright is looked at
            in place of a mirror image.
        views: 2 to 8.
    """
    flip = list(kind.flip_index) if kind.mirrors and base.task == "pose2d" else None
    looks = [(_matrix(base.input_size, *look), other) for *look, other in LOOKS[:views]]
    pictures = [_moved(base, batch, matrix) for matrix, _ in looks]
    pictures = [_other_look(base, one, flip) if other else one for one, (_, other) in zip(pictures, looks, strict=True)]
    several = {name: list(value) * views if isinstance(value, list) else value for name, value in batch.items()}
    several |= {"pixel_values": torch.cat(pictures)}
    if "side" in batch:
        several |= {"side": batch["side"].repeat(views)}
    maps, answer = [], answer_of(base, several)
    found = answer.stages[-1].float().chunk(views)
    for one, (matrix, other) in zip(found, looks, strict=True):
        back = one.flip(-1)[:, flip] if other and flip is not None else one
        maps.append(_put_back(back, matrix, base.input_size))
    mean = torch.stack(maps).mean(0)
    points, peak = base.codec.decode(mean)
    apart = torch.stack([(base.codec.decode(one)[0] - points).norm(dim=-1) for one in maps]).mean(0)
    height, width = base.input_size
    # the codec's unit is W / (W - 1) pixels; see UDPHeatmap.decode
    scale = points.new_tensor([(width - 1) / width, (height - 1) / height])
    return ManyViews(points * scale, peak, apart / height, *_in_space(answer.joints, [matrix for matrix, _ in looks]))


def _in_space(joints: Tensor | None, matrices: list[Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """Mean of the joints that the looks found, as they lie in the plain picture, and how far apart they are."""
    if joints is None:
        return None, None
    found = joints.float().chunk(len(matrices))
    back = torch.stack([
        turned(one, _undone(matrix).expand(len(one), 2, 3)) for one, matrix in zip(found, matrices, strict=True)
    ])  # fmt: skip
    mean = back.mean(0)
    return mean, (back - mean).norm(dim=-1).mean(-1).mean(0)


def _undone(matrix: Tensor) -> Tensor:
    """(1, 2, 3) the inverse of a map, but for its shift."""
    return torch.cat([torch.linalg.inv(matrix[:, :, :2]), torch.zeros_like(matrix[:, :, 2:])], dim=-1)


def _matrix(size: tuple[int, int], degrees: float, factor: float) -> Tensor:
    """(1, 2, 3) map from pixels of the plain picture to pixels of a look."""
    return torch.from_numpy(affine(size, np.deg2rad(degrees), factor)).float()[None]


def _moved(base: Any, batch: Batch, matrix: Tensor) -> Tensor:
    pixels = batch["pixel_values"]
    if _is_plain(matrix):
        return pixels
    black = torch.tensor([-m / s for m, s in zip(base.mean, base.std, strict=True)])
    return warped(pixels, matrix.to(pixels.device).expand(len(pixels), 2, 3), black)


def _other_look(base: Any, pixels: Tensor, flip: list[int] | None) -> Tensor:
    """The mirror image; where points have no mirror pairs, the picture half as bright."""
    if flip is not None:
        return pixels.flip(-1)
    black = torch.tensor([-m / s for m, s in zip(base.mean, base.std, strict=True)]).view(3, 1, 1).to(pixels)
    return (pixels + black) / 2


def _put_back(maps: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """Heatmaps (B, K, h, w) of a look, as they lie in the plain picture; 0 where the look did not reach."""
    if _is_plain(matrix):
        return maps
    height, width = maps.shape[-2:]
    far = maps.new_tensor([size[1] - 1, size[0] - 1])
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    cell = torch.stack([x / (width - 1), y / (height - 1)], -1).to(maps) * far
    matrix = matrix.to(maps)
    there = cell.view(1, -1, 2) @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]
    grid = (there / far * 2 - 1).view(1, height, width, 2).expand(len(maps), height, width, 2)
    return F.grid_sample(maps, grid, align_corners=True)


def _is_plain(matrix: Tensor) -> bool:
    return torch.equal(matrix[0, :, :2], torch.eye(2))
