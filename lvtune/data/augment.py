"""Changes crops at random for training, as top-down pose estimation does.

Source: the ViTPose and VLPose recipes (mmpose 1.x `RandomFlip`, `RandomHalfBody`, `RandomBBoxTransform`);
colour jitter is ours and off by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from lvtune.core.errors import UsageError

HALF_BODY_MIN_POINTS = 9  # seen key points below which nobody is cut in half
HALF_BODY_MIN_UPPER, HALF_BODY_MIN_LOWER = 2, 3
HALF_BODY_PREFER_UPPER = 0.7
HALF_BODY_PADDING = 1.5
AROUND = ("box", "points")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Halves(Protocol):
    """The part of a skeleton that augmentation reads."""

    @property
    def upper(self) -> tuple[int, ...]:
        """Indices of the key points of the upper body."""
        ...


class Color(NamedTuple):
    """Factors on brightness, contrast and saturation; 1 changes nothing."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0


class Sampled(NamedTuple):
    """One random change: the crop (`center`, `scale` in image pixels), a rotation, a flip, colours."""

    center: np.ndarray
    scale: np.ndarray
    rotation_deg: float
    flip: bool
    color: Color


@dataclass(frozen=True)
class Augment:
    """Settings of the random changes, which are drawn anew for each person and epoch.

    Args:
        flip: probability of mirroring.
        half_body: probability of cropping to the upper or the lower half, from 9 seen key points on.
        shift: largest shift of the crop, in crop sizes.
        shift_p: probability of a shift.
        scale: least and largest factor on the crop size, always drawn.
        rotate: largest rotation in degrees.
        rotate_p: probability of a rotation.
        color: strength of brightness, contrast and saturation jitter: factors in 1 ± color; 0 = off.
        around: what a rotation turns the picture around: the centre of the ``box``, or of the labelled ``points``.
    """

    flip: float = 0.5
    half_body: float = 0.3
    shift: float = 0.16
    shift_p: float = 0.3
    scale: tuple[float, float] = (0.5, 1.5)
    rotate: float = 80.0
    rotate_p: float = 0.6
    color: float = 0.0
    around: str = "box"

    def __post_init__(self) -> None:
        for name in ("flip", "half_body", "shift_p", "rotate_p", "color"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                _refuse(f"augment.{name} = {getattr(self, name)}", "a number from 0 to 1", f"{name}=0.3")
        if self.around not in AROUND:
            _refuse(f"augment.around = {self.around}", f"one of {', '.join(AROUND)}", "around='box'")
        if self.shift < 0 or self.rotate < 0:
            _refuse(
                f"augment.shift = {self.shift}, augment.rotate = {self.rotate}",
                "numbers of at least 0",
                "shift=0.16, rotate=80",
            )
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            _refuse(f"augment.scale = {self.scale}", "a least and a largest factor above 0", "scale=(0.5, 1.5)")

    def sample(
        self,
        rng: np.random.Generator,
        keypoints: np.ndarray,
        center: np.ndarray,
        scale: np.ndarray,
        skeleton: Halves,
    ) -> Sampled:
        """Draws one augmentation.

        Args:
            rng: source of randomness; a sample always takes the same number of draws from it.
            keypoints: (K, 3) x, y in image pixels and visibility.
            center: (2,) crop centre in image pixels.
            scale: (2,) padded box size in image pixels, before it takes the aspect of the input.
            skeleton: which key points are the upper body.

        Returns:
            The random change. Its scale has the aspect of the box, not of the input.
        """
        chance = rng.random(4)
        normal = [_truncated_normal(u) for u in rng.random(4)]
        side, colors = rng.random(), rng.uniform(-1.0, 1.0, 3)
        if chance[0] < self.half_body:
            center, scale = _half_body(keypoints, center, scale, skeleton.upper, side)
        if chance[1] < self.shift_p:
            center = center + np.array(normal[:2]) * self.shift * scale
        low, high = self.scale
        scale = scale * ((low + high) / 2 + normal[2] * (high - low) / 2)
        rotation = normal[3] * self.rotate if chance[2] < self.rotate_p else 0.0
        if rotation and self.around == "points":
            center = _turned_around(keypoints, center, rotation)
        color = Color(*(1.0 + self.color * colors).tolist())
        return Sampled(center, scale, rotation, bool(chance[3] < self.flip), color)


def jitter(image: np.ndarray, color: Color) -> np.ndarray:
    """Changes brightness, contrast (about the mean grey) and saturation of an RGB uint8 image (H, W, 3)."""
    if color == Color():
        return image
    pixels = image.astype(np.float32) * np.float32(color.brightness)
    grey = pixels @ LUMA
    mean = float(grey.mean())
    grey = grey[..., None] * np.float32(1.0 - color.saturation) + pixels * np.float32(color.saturation)
    return cv2.convertScaleAbs(np.maximum((grey - mean) * np.float32(color.contrast) + mean, 0.0))


def _turned_around(keypoints: np.ndarray, center: np.ndarray, rotation: float) -> np.ndarray:
    """Returns the centre of the crop for which the labelled points turn on the spot: c' = p + R⁻¹ (c − p)."""
    seen = keypoints[keypoints[:, 2] > 0, :2]
    if not len(seen):
        return center
    pivot = (seen.min(0) + seen.max(0)) / 2
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    return pivot + np.array([[cos, sin], [-sin, cos]]) @ (center - pivot)


def _half_body(
    keypoints: np.ndarray, center: np.ndarray, scale: np.ndarray, upper: tuple[int, ...], side: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the crop around the labelled key points of one half, or the whole body where too few are labelled."""
    seen = keypoints[:, 2] > 0
    is_upper = np.zeros(len(keypoints), dtype=bool)
    is_upper[list(upper)] = True
    high, low = seen & is_upper, seen & ~is_upper
    enough_high, enough_low = high.sum() >= HALF_BODY_MIN_UPPER, low.sum() >= HALF_BODY_MIN_LOWER
    if seen.sum() < HALF_BODY_MIN_POINTS or not (enough_high or enough_low):
        return center, scale
    prefer_high = side < HALF_BODY_PREFER_UPPER
    points = keypoints[high if (prefer_high and enough_high) or not enough_low else low, :2]
    size = points.max(0) - points.min(0)
    # Points on one line have no area of their own, as the reference overlooks: an eighth of the box at least.
    return points.mean(0), np.maximum(size * HALF_BODY_PADDING, scale / 8)


def _truncated_normal(u: float) -> float:
    """Returns a standard normal number, truncated to ±1, from a uniform number."""
    normal = NormalDist()
    edge = normal.cdf(-1.0)
    return normal.inv_cdf(edge + u * (1.0 - 2.0 * edge))


def _refuse(given: str, expected: str, example: str) -> None:
    raise UsageError(given, expected, f"type for example {example}")
