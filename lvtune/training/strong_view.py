"""The strong view of a picture: turned, resized and shifted, with other colours and a covered part.

What was done to the geometry is kept as a matrix, so that points found in the plain picture are known in the strong
view too. Everything depends on (seed, step, item) alone, not on how a step is divided.

Source: the augmentations of UDAPE (Kim et al., ECCV 2022, arXiv 2204.10208: rotation, shear, translation, scale, colour
jitter, blur, and occluded key points); the ranges are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from lvtune.training.objective_wrapper import change_pictures
from lvtune.training.random_styles import styled

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Looks = Literal["jitter", "styles", "none"]
_GEOMETRY = 1
"""Added to what geometry is drawn from, so that it does not depend on the looks."""


@dataclass(frozen=True)
class StrongViewOptions:
    """How far the strong view may go."""

    rotate: float = field(default=30.0, metadata={"at_least": 0, "at_most": 180})
    """Largest rotation of the strong view, in degrees."""
    resize: float = field(default=0.25, metadata={"at_least": 0, "at_most": 0.9})
    """Largest change of the strong view's size, as a share of it."""
    shift: float = field(default=0.1, metadata={"at_least": 0, "at_most": 1})
    """Largest shift of the strong view, as a share of the picture."""
    looks: Looks = "styles"
    """How the strong view looks: jitter (colours, blur, noise), styles (one to three of those of random-styles), or
    none (as the picture)."""
    cover: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Probability that a rectangle of the strong view is covered, up to a third of its height and width."""


def matrices(options: Any, items: list[int], size: tuple[int, int], seed: int, step: int) -> Tensor:
    """Draws (B, 2, 3) affine maps from pixels of the plain picture to pixels of its strong view.

    Args:
        options: see :class:`StrongViewOptions`.
        items: number of each sample.
        size: (h, w) of the pictures.
        seed: of the run.
        step: of the run.
    """
    found, room = [], np.array([size[1] - 1, size[0] - 1])
    for item in items:
        rng = np.random.default_rng([seed, step, item, _GEOMETRY])
        angle, factor = np.deg2rad(rng.uniform(-1, 1) * options.rotate), 1 + rng.uniform(-1, 1) * options.resize
        found.append(affine(size, angle, factor, rng.uniform(-1, 1, 2) * options.shift * room))
    return torch.from_numpy(np.stack(found)).float()


def affine(size: tuple[int, int], angle: float, factor: float, shift: Any = 0.0) -> np.ndarray:
    """Returns the (2, 3) map that turns by ``angle`` (radians) and resizes about the middle, then shifts.

    Args:
        size: (h, w) of the pictures.
        angle: in radians.
        factor: on the size.
        shift: x, y in pixels.
    """
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, middle + shift - turn @ middle])


def moved(points: Tensor, matrix: Tensor) -> Tensor:
    """Maps points (B, K, 2) by affine maps (B, 2, 3)."""
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def turned(joints: Tensor, matrix: Tensor) -> Tensor:
    """Turns joints of hands (B, K, 3), relative to the root, as affine maps (B, 2, 3) turn the picture.

    Size and place of a hand in the picture do not change them.
    """
    turn = matrix[:, :, :2] / torch.linalg.det(matrix[:, :, :2]).sqrt()[:, None, None]
    return torch.cat([joints[..., :2] @ turn.transpose(1, 2).to(joints), joints[..., 2:]], dim=-1)


def warped(pixels: Tensor, matrix: Tensor, black: Tensor) -> Tensor:
    """Moves pictures (B, 3, H, W) by affine maps (B, 2, 3); outside them it is ``black`` (3,), normalised."""
    height, width = pixels.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    seen = torch.stack([x, y], -1).reshape(1, -1, 2).to(pixels.device, torch.float32)
    back = torch.linalg.inv(matrix[:, :, :2].double()).float().to(pixels.device)
    own = (seen - matrix[:, None, :, 2].to(pixels.device)) @ back.transpose(1, 2)
    grid = own / own.new_tensor([width - 1, height - 1]) * 2 - 1
    ground = black.view(1, 3, 1, 1).to(pixels)
    grid = grid.view(-1, height, width, 2).to(pixels.dtype)
    return F.grid_sample(pixels - ground, grid, align_corners=True) + ground


def strong_view(base: Base, batch: dict, options: Any, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Returns the strong views (B, 3, H, W) of a batch, normalised, and the maps (B, 2, 3) into them."""
    matrix = matrices(options, batch["index"].tolist(), base.input_size, seed, step).to(batch["pixel_values"].device)
    black = torch.tensor([-m / s for m, s in zip(base.mean, base.std, strict=True)])
    pixels = warped(batch["pixel_values"], matrix, black)

    def change(place: int, image: Tensor, rng: np.random.Generator) -> Tensor:
        image = {"jitter": _jittered, "styles": styled}[options.looks](image, rng) if options.looks != "none" else image
        return _covered(image, rng) if rng.random() < options.cover else image

    return change_pictures(base, {**batch, "pixel_values": pixels}, seed, step, change), matrix


def _jittered(image: Tensor, rng: np.random.Generator) -> Tensor:
    image = V.adjust_brightness(image, rng.uniform(0.7, 1.3))
    image = V.adjust_contrast(image, rng.uniform(0.7, 1.3))
    image = V.adjust_saturation(image, rng.uniform(0.5, 1.5))
    if rng.random() < 0.3:
        image = V.gaussian_blur(image[None], [5, 5], [float(rng.uniform(0.3, 1.5))])[0]
    if rng.random() < 0.3:
        image = image + rng.uniform(0.01, 0.06) * torch.from_numpy(rng.standard_normal(tuple(image.shape), np.float32))
    return image.clamp(0, 1)


def _covered(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Puts one rectangle of one colour over a picture (3, H, W)."""
    height, width = image.shape[-2:]
    tall, wide = (max(1, int(side * rng.uniform(0.05, 1 / 3))) for side in (height, width))
    top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
    image = image.clone()
    image[:, top : top + tall, left : left + wide] = torch.from_numpy(rng.random((3, 1, 1), np.float32))
    return image
