"""Position embeddings of a ViT on another grid than the one that they were trained on.

A ViT takes pictures of any size: only its position embeddings depend on the grid of patches. They are interpolated
(bicubic, as in ViT, arXiv 2010.11929 §3.2, and in timm's ``resample_abs_pos_embed``). The trained embeddings stay the
model's parameter, and the interpolation is part of the forward pass. So the weights of a base, and its fingerprint,
are the published ones at every input size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.core.errors import LvtuneError

Grid = tuple[int, int]


def resize_positions(positions: Tensor, grid: Grid, old_grid: Grid | None = None) -> Tensor:
    """Interpolates position embeddings to another grid; the class position is kept.

    Args:
        positions: (1, 1 + h'·w', D).
        grid: (h, w) that is wanted, in patches.
        old_grid: (h', w'); None reads it off the number of positions, see :func:`grid_of`.

    Returns:
        (1, 1 + h·w, D), in the dtype of ``positions``.

    Raises:
        LvtuneError: the number of positions does not fit ``old_grid``, or no grid is known for it.
    """
    count = positions.shape[1] - 1
    if old_grid is None and count == grid[0] * grid[1]:
        return positions
    old = old_grid or grid_of(count)
    if old[0] * old[1] != count:
        raise LvtuneError(
            f"{count} position embeddings for a grid of {old[0]}x{old[1]} patches",
            f"{old[0] * old[1]} position embeddings", "use weights of the same input size",
        )  # fmt: skip
    if old == grid:
        return positions
    first, rest = positions[:, :1], positions[:, 1:].float()
    rest = interpolation(old, grid).to(rest) @ rest  # (h·w, h'·w') @ (1, h'·w', D)
    return torch.cat([first, rest.to(first.dtype)], dim=1)


def grid_of(count: int) -> Grid:
    """Reads the grid (h, w) off a number of positions: a square, or pictures of 4:3 as in top-down pose estimation.

    Raises:
        LvtuneError: the number is of neither kind.
    """
    side, width = round(count**0.5), round((count * 3 / 4) ** 0.5)
    for grid in ((side, side), (width * 4 // 3, width)):
        if grid[0] * grid[1] == count:
            return grid
    raise LvtuneError(
        f"{count} position embeddings, whose grid is unknown",
        "a grid of h x w patches that is a square or of 4:3, such as 14x14 or 16x12",
        "use weights of the same input size",
    )


@lru_cache(maxsize=16)
def interpolation(old: Grid, new: Grid) -> Tensor:
    """The bicubic interpolation as a matrix (h·w, h'·w') float32, on the CPU.

    A matrix product is exported and traced as it is; the anti-aliased interpolation of torch is not.
    """
    with torch.inference_mode(False):  # it is kept, and a tensor made while predicting could never be trained through
        every = torch.eye(old[0] * old[1]).reshape(-1, 1, *old)
        spread = F.interpolate(every, size=new, mode="bicubic", antialias=True, align_corners=False)
        return spread.reshape(len(every), -1).T.contiguous()


class ResizedEmbeddings(nn.Module):
    """The embeddings of transformers' VitPose, their positions interpolated to another grid.

    The names of the parameters are those of transformers' ``VitPoseBackboneEmbeddings``.

    Args:
        own: the embeddings whose parameters are taken over.
        old_grid: (h', w') of their positions.
        grid: (h, w) that is wanted.
    """

    def __init__(self, own: Any, old_grid: Grid, grid: Grid) -> None:
        super().__init__()
        self.patch_embeddings, self.dropout = own.patch_embeddings, own.dropout
        self.position_embeddings = own.position_embeddings
        self.old_grid, self.grid = old_grid, grid

    def positions(self) -> Tensor:
        """(1, 1 + h·w, D): the interpolated positions."""
        return resize_positions(self.position_embeddings, self.grid, self.old_grid)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h·w, D)."""
        positions = self.positions()
        return self.dropout(self.patch_embeddings(pixel_values) + positions[:, 1:] + positions[:, :1])


def trained_size(model: Any) -> tuple[int, int]:
    """(H, W) in pixels that the position embeddings of a VitPose were trained at."""
    patches, embeddings = model.backbone.embeddings.patch_embeddings, model.backbone.embeddings
    if isinstance(embeddings, ResizedEmbeddings):
        return embeddings.old_grid[0] * patches.patch_size[0], embeddings.old_grid[1] * patches.patch_size[1]
    return tuple(patches.image_size)


def set_input_size(model: Any, size: tuple[int, int]) -> None:
    """Lets a ``transformers.VitPoseForPoseEstimation`` take pictures of ``size`` (H, W); its weights stay.

    Raises:
        LvtuneError: a side that is no multiple of the patch, or below two patches.
    """
    embeddings = model.backbone.embeddings
    patches = embeddings.patch_embeddings
    patch = tuple(patches.patch_size)
    if any(side % step or side < 2 * step for side, step in zip(size, patch, strict=True)):
        fitting = "x".join(str(max(2, round(side / step)) * step) for side, step in zip(size, patch, strict=True))
        raise LvtuneError(
            f"an input size of {size[0]}x{size[1]} pixels for patches of {patch[0]}x{patch[1]}",
            "height x width, both multiples of the patch and at least two patches", f"give {fitting}",
        )  # fmt: skip
    trained = trained_size(model)
    old, grid = ((side[0] // patch[0], side[1] // patch[1]) for side in (trained, size))
    model.backbone.embeddings = _plain(embeddings) if old == grid else ResizedEmbeddings(embeddings, old, grid)
    patches.image_size, patches.num_patches = list(size), grid[0] * grid[1]
    for config in (model.config.backbone_config, model.backbone.config):
        config.image_size = list(size)


def bake_positions(model: Any) -> None:
    """Makes interpolated positions the model's own parameter, so that plain transformers computes the same."""
    embeddings = model.backbone.embeddings
    if isinstance(embeddings, ResizedEmbeddings):
        baked = nn.Parameter(embeddings.positions().detach(), embeddings.position_embeddings.requires_grad)
        model.backbone.embeddings = _plain(embeddings, baked)


def _plain(embeddings: Any, positions: nn.Parameter | None = None) -> nn.Module:
    """The embeddings as transformers' own class, with the same modules and other positions where they are given."""
    if not isinstance(embeddings, ResizedEmbeddings):
        return embeddings
    from transformers.models.vitpose_backbone.modeling_vitpose_backbone import VitPoseBackboneEmbeddings

    plain = VitPoseBackboneEmbeddings.__new__(VitPoseBackboneEmbeddings)
    nn.Module.__init__(plain)
    plain.patch_embeddings, plain.dropout = embeddings.patch_embeddings, embeddings.dropout
    plain.position_embeddings = embeddings.position_embeddings if positions is None else positions
    plain.training = embeddings.training
    return plain
