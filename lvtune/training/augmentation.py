"""``augmentation``: six kinds of picture changes, the "normal augmentation" of Lee et al., WACV 2023.

The paper names the kinds. The values are those of PeCLR's augmenter (Spurr et al., ICCV 2021). Two details stand in
neither, and are our choice: Sobel is the mean of the absolute gradients of the grey picture; a cut-out is black.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, Steps, change_pictures

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
GREY = np.array([0.299, 0.587, 0.114], np.float32)


def color_jitter(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hue and saturation times U(0.01, 1), value times U(0.5, 1) plus U(5, 20)."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] *= rng.uniform(0.01, 1)
    hsv[..., 1] *= rng.uniform(0.01, 1)
    hsv[..., 2] = hsv[..., 2] * rng.uniform(0.5, 1) + rng.uniform(5, 20)
    return cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)


def sobel(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replaces the picture by its edges."""
    grey = image.astype(np.float32) @ GREY
    edges = (np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1))) / 2
    return np.repeat(edges.clip(0, 255).round()[..., None], 3, axis=2).astype(np.uint8)


def cut_out(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws a black square on a joint; its side is U(0, 0.16) of the picture's."""
    half = rng.uniform(0, 0.16) * max(image.shape[:2]) / 2
    x, y = points[rng.integers(len(points))]
    if not np.isfinite((x, y)).all():
        return image
    (left, right), (top, bottom) = ((max(0, round(v - half)), max(0, round(v + half))) for v in (x, y))
    image = image.copy()
    image[top:bottom, left:right] = 0
    return image


def blur(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur with sigma U(0.1, 2); the kernel is about a tenth of the picture."""
    kernel = int(0.1 * max(image.shape[:2])) | 1
    return cv2.GaussianBlur(image, (kernel, kernel), rng.uniform(0.1, 2))


def noise(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with standard deviation 25 of 255."""
    return (image + rng.normal(0, 25, image.shape)).round().clip(0, 255).astype(np.uint8)


def color_drop(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drops the colour."""
    return np.repeat((image.astype(np.float32) @ GREY).round()[..., None], 3, axis=2).astype(np.uint8)


KINDS: dict[str, Change] = {
    "color_jitter": color_jitter,
    "cut_out": cut_out,
    "noise": noise,
    "sobel": sobel,
    "color_drop": color_drop,
    "blur": blur,
}
"""Name to change of a picture (H, W, 3) uint8 with its key points (K, 2); applied in this order."""
ALWAYS = "color_jitter"


def augmented(image: np.ndarray, points: np.ndarray, rng: np.random.Generator, p: float = 0.5) -> np.ndarray:
    """Applies colour jitter always, and each other kind with probability ``p``."""
    for name, change in KINDS.items():
        if name == ALWAYS or rng.random() < p:
            image = change(image, points, rng)
    return image


def augment_batch(base: Base, batch: dict, seed: int, step: int, p: float = 0.5) -> Tensor:
    """Changes each picture of a batch by itself; the result depends on seed, step and item only."""
    points = batch["keypoints"].cpu().numpy()

    def change(place: int, image: Tensor, rng: np.random.Generator) -> Tensor:
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        return torch.from_numpy(augmented(pixels, points[place], rng, p)).permute(2, 0, 1).float() / 255

    return change_pictures(base, batch, seed, step, change)


@dataclass(frozen=True)
class AugmentationConfig:
    """Options of ``augmentation``."""

    pose: str | None = None
    """Objective computed on the changed pictures: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    p: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Probability of each kind except colour jitter, which is always applied."""


@register_objective("augmentation")
class Augmentation(ObjectiveWrapper):
    """Computes the pose loss on pictures that are changed in six ways."""

    Config = AugmentationConfig

    def __init__(self, config: AugmentationConfig | None = None) -> None:
        self.config = config or AugmentationConfig()
        self.trained = Steps()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar."""
        changed = augment_batch(base, batch, self.context.seed, self.trained.next(), self.config.p)
        return self.pose(base, {**batch, "pixel_values": changed})
