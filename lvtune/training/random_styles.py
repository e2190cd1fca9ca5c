"""``random-styles``: changes the look of each picture at random; the key points stay.

This is domain randomisation of looks. It needs no target: the adapter learns to find the same person in any look. Used
on the photographs that a base was trained on, it makes a warm start for adapters (recipes/start-*.yaml).

Sources: random convolutions are RandConv (Xu et al., ICLR 2021, arXiv 2007.13003); posterising, solarising, equalising,
inverting and colour jitter are torchvision's; contours are a difference of Gaussians (Winnemoeller et al., *XDoG*,
2012). The combination (one to three, one after the other) and the strengths are ours. No filter of
:mod:`lvtune.domains.filters` is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, Steps, change_pictures

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Style = Callable[[Tensor, np.random.Generator], Tensor]
LARGEST_NUMBER = 3
"""Largest number of styles on one picture."""


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def _tints(rng: np.random.Generator, dark: float = 0.4) -> tuple[Tensor, Tensor]:
    """A dark and a bright colour (3, 1, 1): below ``dark``, above 1 - ``dark``."""
    low, high = torch.from_numpy(rng.random((2, 3, 1, 1), np.float32))
    return low * dark, 1 - high * dark


def _grey(image: Tensor) -> Tensor:
    """(1, H, W)."""
    return V.rgb_to_grayscale(image, 1)


def _blurred(image: Tensor, size: int, sigma: float) -> Tensor:
    return V.gaussian_blur(image, [size, size], [sigma, sigma])


def random_convolution(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Blends in one or two random linear filters over all channels; mean and contrast stay."""
    mean, std = image.mean((1, 2), keepdim=True), image.std((1, 2), keepdim=True)
    for _ in range(rng.integers(1, 3)):
        size = int(rng.choice([1, 3, 5, 7]))
        padded = F.pad(image[None], (size // 2,) * 4, mode="reflect")
        made = F.conv2d(padded, _normal(rng, 3, 3, size, size))[0]
        made = (made - made.mean((1, 2), keepdim=True)) / (made.std((1, 2), keepdim=True) + 1e-5) * std + mean
        image = torch.lerp(made, image, float(rng.random()))
    return image


def jitter(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Changes hue, saturation, contrast, brightness and gamma, far more than a camera does."""
    image = V.adjust_hue(image, rng.uniform(-0.5, 0.5))
    image = V.adjust_saturation(image, rng.uniform(0, 3))
    image = V.adjust_contrast(image, rng.uniform(0.5, 1.8))
    return V.adjust_gamma(V.adjust_brightness(image, rng.uniform(0.6, 1.5)), rng.uniform(0.6, 1.7))


def palette(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Permutes the channels and gives each a new mean and contrast."""
    image = image[torch.from_numpy(rng.permutation(3))]
    image = (image - image.mean((1, 2), keepdim=True)) / (image.std((1, 2), keepdim=True) + 1e-5)
    mean, std = torch.from_numpy(rng.random((2, 3, 1, 1), np.float32))
    return image * (0.1 + 0.2 * std) + 0.2 + 0.6 * mean


def posterised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Keeps one to three bits per channel."""
    return V.to_dtype(V.posterize(_bytes(image), int(rng.integers(1, 4))), torch.float32, scale=True)


def solarised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Inverts what is brighter than a threshold."""
    return V.solarize(image, rng.uniform(0.3, 0.8))


def equalised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Equalises the histogram."""
    return V.to_dtype(V.equalize(_bytes(image)), torch.float32, scale=True)


def inverted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Inverts the picture."""
    return V.invert(image)


def two_tone(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Maps grey to tones between a dark and a bright colour."""
    dark, bright = _tints(rng)
    return dark + (bright - dark) * _grey(image)


def cut(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Splits the picture at a tone into two colours, with a hard or soft edge."""
    tone = _blurred(_grey(image), 5, rng.uniform(0.3, 1.5))
    edge = tone.flatten().quantile(rng.uniform(0.3, 0.7))
    dark, bright = _tints(rng, 0.5)
    return dark + (bright - dark) * ((tone - edge) / rng.uniform(0.02, 0.2)).sigmoid()


def contours(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Draws lines along edges, on plain paper or on the pale picture."""
    grey, width = _grey(image), rng.uniform(0.4, 1.4)
    edges = _blurred(grey, 9, width) - _blurred(grey, 9, 1.6 * width)
    edges = edges / (edges.std() + 1e-4)
    either_side = rng.random() < 0.5
    edges = edges.abs() - rng.uniform(0.3, 1) if either_side else -edges - rng.uniform(0.2, 1)
    ink = (edges * rng.uniform(1.5, 4)).sigmoid()
    pen, paper = _tints(rng)
    ground = paper if rng.random() < 0.5 else torch.lerp(paper, image, rng.uniform(0.3, 1))
    return ground + (pen - ground) * ink


def blurred(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian blur, sigma up to 2.5 pixels."""
    return _blurred(image, 11, rng.uniform(0.5, 2.5))


def grain(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Adds noise, grey or coloured, with a grain of one, two or four pixels."""
    size, (height, width) = int(rng.choice([1, 2, 4])), image.shape[-2:]
    made = _normal(rng, 1, int(rng.choice([1, 3])), -(-height // size), -(-width // size))
    made = F.interpolate(made, size=(height, width), mode="bilinear", align_corners=False)[0]
    return image + rng.uniform(0.03, 0.2) * made


def coarse(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Lowers the resolution, with square or smooth pixels."""
    shape, factor = image.shape[-2:], rng.uniform(1.5, 4)
    small = F.interpolate(image[None], size=[max(1, int(side / factor)) for side in shape], mode="area")
    return F.interpolate(small, size=shape, mode=str(rng.choice(["nearest", "bilinear"])))[0]


def daubed(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Applies median filters, which leave flat patches."""
    pixels = _bytes(image).permute(1, 2, 0).contiguous().numpy()
    for _ in range(rng.integers(1, 3)):
        pixels = cv2.medianBlur(pixels, int(rng.choice([3, 5, 7])))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def unsteady(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifts the picture by about a pixel, differently from place to place."""
    (height, width), size = image.shape[-2:], int(rng.integers(4, 16))
    shift = _normal(rng, 1, 2, height // size + 1, width // size + 1)
    shift = F.interpolate(shift, size=(height, width), mode="bicubic", align_corners=False)[0] * rng.uniform(0.3, 1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([(x + shift[0]) / (width - 1), (y + shift[1]) / (height - 1)], -1) * 2 - 1
    return F.grid_sample(image[None], grid[None], padding_mode="reflection", align_corners=True)[0]


STYLES: tuple[Style, ...] = (
    random_convolution, random_convolution, jitter, palette, posterised, solarised, equalised, inverted,
    two_tone, two_tone, cut, contours, contours, blurred, grain, coarse, daubed, unsteady,
)  # fmt: skip
"""Styles to draw from, with equal probability; an entry that stands twice is drawn twice as often. Each maps a picture
(3, H, W) in 0 to 1 and a random generator to a picture; values outside 0 to 1 are clipped."""


def _bytes(image: Tensor) -> Tensor:
    return (image * 255).round().to(torch.uint8)


def styled(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Applies one to three of :data:`STYLES`, one after the other, to a picture (3, H, W) in 0 to 1."""
    with torch.autocast(image.device.type, enabled=False):  # the filters mix pictures of one type
        for _ in range(rng.integers(1, LARGEST_NUMBER + 1)):
            image = STYLES[rng.integers(len(STYLES))](image, rng).clamp(0, 1)
    return image


def style_batch(base: Base, batch: dict, seed: int, step: int, p: float) -> Tensor:
    """Styles each picture of a batch by itself with probability ``p``."""

    def change(place: int, image: Tensor, rng: np.random.Generator) -> Tensor:
        return styled(image, rng) if rng.random() < p else image

    return change_pictures(base, batch, seed, step, change)


@dataclass(frozen=True)
class RandomStylesConfig:
    """Options of ``random-styles``."""

    pose: str | None = None
    """Objective computed on the styled pictures: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    p: float = field(default=0.85, metadata={"at_least": 0, "at_most": 1})
    """Probability that a picture is styled; the others stay as they are."""


@register_objective("random-styles")
class RandomStyles(ObjectiveWrapper):
    """Computes the pose loss on pictures with random looks."""

    Config = RandomStylesConfig

    def __init__(self, config: RandomStylesConfig | None = None) -> None:
        self.config = config or RandomStylesConfig()
        self.trained = Steps()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar."""
        made = style_batch(base, batch, self.context.seed, self.trained.next(), self.config.p)
        return self.pose(base, {**batch, "pixel_values": made})
