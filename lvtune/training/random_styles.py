"""``random-styles``: the pose's loss on pictures whose look is drawn at random, while their key points stay.

Domain randomisation of looks: nothing is known of a target, so that what is learnt is to find the same person whatever
it is drawn with. For the photographs that a base was trained on, to make a *start* for adapters (recipes/start-*.yaml).

Sources: random convolutions are RandConv (Xu et al., ICLR 2021, arXiv 2007.13003); posterising, solarising, equalising,
inverting and colour jitter are torchvision's; contours are a difference of Gaussians (Winnemoeller et al., *XDoG*,
2012). How they are combined (one to three of them, one after the other), and their strengths, are ours. None of the
filters of :mod:`lvtune.domains.filters` is used here.
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
"""Of styles on one picture."""


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def _tints(rng: np.random.Generator, dark: float = 0.4) -> tuple[Tensor, Tensor]:
    """A dark and a bright colour (3, 1, 1): below ``dark``, above 1 - ``dark``."""
    low, high = torch.from_numpy(rng.random((2, 3, 1, 1), np.float32))
    return low * dark, 1 - high * dark


def _grey(image: Tensor) -> Tensor:
    """(1, H, W)."""
    return V.rgb_to_grayscale(image, 1)


def random_convolution(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One or two random linear filters over all channels, in mean and contrast as before, blended in."""
    mean, std = image.mean((1, 2), keepdim=True), image.std((1, 2), keepdim=True)
    for _ in range(rng.integers(1, 3)):
        size = int(rng.choice([1, 3, 5, 7]))
        padded = F.pad(image[None], (size // 2,) * 4, mode="reflect")
        made = F.conv2d(padded, _normal(rng, 3, 3, size, size))[0]
        made = (made - made.mean((1, 2), keepdim=True)) / (made.std((1, 2), keepdim=True) + 1e-5) * std + mean
        image = torch.lerp(made, image, float(rng.random()))
    return image


def jitter(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Hue, saturation, contrast, brightness and gamma, far beyond a camera's."""
    image = V.adjust_hue(image, rng.uniform(-0.5, 0.5))
    image = V.adjust_saturation(image, rng.uniform(0, 3))
    image = V.adjust_contrast(image, rng.uniform(0.5, 1.8))
    return V.adjust_gamma(V.adjust_brightness(image, rng.uniform(0.6, 1.5)), rng.uniform(0.6, 1.7))


def palette(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Channels change places and get a mean and contrast of their own."""
    image = image[torch.from_numpy(rng.permutation(3))]
    image = (image - image.mean((1, 2), keepdim=True)) / (image.std((1, 2), keepdim=True) + 1e-5)
    mean, std = torch.from_numpy(rng.random((2, 3, 1, 1), np.float32))
    return image * (0.1 + 0.2 * std) + 0.2 + 0.6 * mean


def posterised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One to three bits a channel."""
    return V.to_dtype(V.posterize(_bytes(image), int(rng.integers(1, 4))), torch.float32, scale=True)


def solarised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """What is brighter than a threshold is inverted."""
    return V.solarize(image, rng.uniform(0.3, 0.8))


def equalised(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Every tone as often as any other."""
    return V.to_dtype(V.equalize(_bytes(image)), torch.float32, scale=True)


def inverted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Dark for bright."""
    return V.invert(image)


def two_tone(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Grey, between a dark and a bright colour."""
    dark, bright = _tints(rng)
    return dark + (bright - dark) * _grey(image)


def cut(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Two colours on either side of a tone, the edge between them hard or soft."""
    tone = V.gaussian_blur(_grey(image), 5, rng.uniform(0.3, 1.5))
    edge = tone.flatten().quantile(rng.uniform(0.3, 0.7))
    dark, bright = _tints(rng, 0.5)
    return dark + (bright - dark) * ((tone - edge) / rng.uniform(0.02, 0.2)).sigmoid()


def contours(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Lines along edges, on paper or on the pale picture."""
    grey, width = _grey(image), rng.uniform(0.4, 1.4)
    edges = V.gaussian_blur(grey, 9, width) - V.gaussian_blur(grey, 9, 1.6 * width)
    edges = edges / (edges.std() + 1e-4)
    either_side = rng.random() < 0.5
    edges = edges.abs() - rng.uniform(0.3, 1) if either_side else -edges - rng.uniform(0.2, 1)
    ink = (edges * rng.uniform(1.5, 4)).sigmoid()
    pen, paper = _tints(rng)
    ground = paper if rng.random() < 0.5 else torch.lerp(paper, image, rng.uniform(0.3, 1))
    return ground + (pen - ground) * ink


def blurred(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Gaussian, up to 2.5 pixels."""
    return V.gaussian_blur(image, 11, rng.uniform(0.5, 2.5))


def grain(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise, grey or coloured, as fine as the pixels or up to four times coarser."""
    size, (height, width) = int(rng.choice([1, 2, 4])), image.shape[-2:]
    made = _normal(rng, 1, int(rng.choice([1, 3])), -(-height // size), -(-width // size))
    made = F.interpolate(made, size=(height, width), mode="bilinear", align_corners=False)[0]
    return image + rng.uniform(0.03, 0.2) * made


def coarse(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Fewer pixels, seen as squares or smoothed."""
    shape, factor = image.shape[-2:], rng.uniform(1.5, 4)
    small = F.interpolate(image[None], size=[max(1, int(side / factor)) for side in shape], mode="area")
    return F.interpolate(small, size=shape, mode=str(rng.choice(["nearest", "bilinear"])))[0]


def daubed(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Median filters: flat patches."""
    pixels = _bytes(image).permute(1, 2, 0).contiguous().numpy()
    for _ in range(rng.integers(1, 3)):
        pixels = cv2.medianBlur(pixels, int(rng.choice([3, 5, 7])))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def unsteady(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by about a pixel here and there, as by an unsteady hand."""
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
"""Drawn from, each alike; twice here is twice as often. (3, H, W) in 0 to 1 and randomness to the same; what leaves
0 to 1 is clipped."""


def _bytes(image: Tensor) -> Tensor:
    return (image * 255).round().to(torch.uint8)


def styled(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One to three of :data:`STYLES`, one after the other, on a picture (3, H, W) in 0 to 1."""
    for _ in range(rng.integers(1, LARGEST_NUMBER + 1)):
        image = STYLES[rng.integers(len(STYLES))](image, rng).clamp(0, 1)
    return image


def style_batch(base: Base, batch: dict, seed: int, step: int, p: float) -> Tensor:
    """``pixel_values`` of a batch, each picture styled by itself with probability ``p``."""

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
    """The pose's loss on pictures of random looks."""

    Config = RandomStylesConfig

    def __init__(self, config: RandomStylesConfig | None = None) -> None:
        self.config = config or RandomStylesConfig()
        self.trained = Steps()

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar."""
        made = style_batch(base, batch, self.setting.seed, self.trained.next(), self.config.p)
        return self.pose(base, {**batch, "pixel_values": made})
