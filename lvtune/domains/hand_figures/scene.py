"""Backgrounds of rendered hands, and noise for even surfaces."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_TILE = 512


@lru_cache(maxsize=8)
def grain(scale: float, channels: int) -> np.ndarray:
    """Returns (1024, 1024, channels) float32 noise of unit variance, smooth over ``scale`` pixels; it repeats twice."""
    rng = np.random.default_rng([int(100 * scale), channels])
    noise = rng.standard_normal((_TILE, _TILE, channels)).astype(np.float32)
    if scale > 0:
        wide = cv2.copyMakeBorder(noise, 64, 64, 64, 64, cv2.BORDER_WRAP)
        noise = cv2.GaussianBlur(wide, (0, 0), scale)[64:-64, 64:-64].reshape(_TILE, _TILE, channels)
        noise = noise / noise.std()
    noise = np.concatenate([noise, noise], 0)
    noise = np.concatenate([noise, noise], 1)
    noise.setflags(write=False)
    return noise


def patch(rng: np.random.Generator, scale: float, size: int, channels: int = 1) -> np.ndarray:
    """Returns (size, size, channels) of :func:`grain` from a random place."""
    size = min(size, _TILE)
    top, left = rng.integers(0, _TILE, 2)
    return grain(scale, channels)[top : top + size, left : left + size]


def background(kind: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns a background (size, size, 3), float32 RGB in 0..255."""
    return _clutter(rng, size) if kind == "clutter" else _screen(rng, size)


def _screen(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns an unevenly lit green screen."""
    colour = np.array([40, 165, 60], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    slope = rng.uniform(-0.14, 0.14, 2)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    shade = 1 + np.float32(slope[0]) * line + np.float32(slope[1]) * line[:, None]
    shade += np.float32(0.015) * _fitted(patch(rng, 12.0, size), size)[..., 0]
    return shade[..., None] * colour


def _clutter(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws planes, discs and bars of any colour, some textured, more or less out of focus."""
    image = _slope(rng, size)
    for _ in range(rng.integers(5, 14)):
        colour = _colour(rng)
        at, kind = rng.uniform(-0.1, 1.1, (4, 2)) * size, rng.integers(0, 4)
        if kind == 0:
            centre, spread = at[0], rng.uniform(0.1, 0.5) * size
            points = centre + rng.uniform(-1, 1, (rng.integers(3, 6), 2)) * spread
            cv2.fillConvexPoly(image, cv2.convexHull(points.astype(np.int32)), colour, cv2.LINE_AA)
        elif kind == 1:
            axes = (rng.uniform(0.03, 0.25, 2) * size).astype(int).tolist()
            centre = at[0].astype(int).tolist()
            cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            width = int(rng.uniform(0.01, 0.12) * size) + 1
            cv2.line(image, at[0].astype(int).tolist(), at[1].astype(int).tolist(), colour, width, cv2.LINE_AA)
        else:
            low, high = np.sort(at[:2], 0).astype(int)
            window = image[max(0, low[1]) : max(0, high[1]), max(0, low[0]) : max(0, high[0])]
            rough = _fitted(patch(rng, (0.0, 1.5, 5.0)[rng.integers(0, 3)], size, 3), size)
            window += np.float32(rng.uniform(4, 22)) * rough[: window.shape[0], : window.shape[1]]
    sigma = rng.uniform(0, 2.0) * size / 128
    if sigma > 0.4:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    return image


def _slope(rng: np.random.Generator, size: int) -> np.ndarray:
    first, second = np.array([_colour(rng), _colour(rng)], np.float32)
    line = first + (second - first) * np.linspace(0, 1, size, dtype=np.float32)[:, None]
    image = np.empty((size, size, 3), np.float32)
    image[:] = line[:, None] if rng.random() < 0.5 else line
    return image


def _colour(rng: np.random.Generator) -> list[float]:
    """Returns any colour; one in five is near skin colour, so that skin colour alone does not show the hand."""
    if rng.random() < 0.2:
        return (np.array([200, 150, 120]) * rng.uniform(0.4, 1.2) + rng.uniform(-15, 15, 3)).tolist()
    grey = rng.uniform(15, 240)
    return np.clip(grey + rng.uniform(-70, 70, 3), 0, 255).tolist()


def _fitted(noise: np.ndarray, size: int) -> np.ndarray:
    """Enlarges a patch to pictures that are larger than the stored noise."""
    if noise.shape[0] == size:
        return noise
    return cv2.resize(noise, (size, size)).reshape(size, size, -1)
