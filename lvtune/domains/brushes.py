"""Tools of the filters: noise, strokes, contours, flat paint."""

from __future__ import annotations

import cv2
import numpy as np


def to_unit(image: np.ndarray) -> np.ndarray:
    """Converts uint8 0..255 to float32 0..1."""
    return image.astype(np.float32) * np.float32(1 / 255)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Converts float32 0..1 to uint8 0..255, clipped."""
    return cv2.convertScaleAbs(np.clip(image, 0, 1), alpha=255)


def luma(image: np.ndarray) -> np.ndarray:
    """Returns the brightness (H, W) in 0..1 of uint8 (H, W, 3), stretched to the photograph's own range."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(gray[::3, ::3], (2, 98)).astype(np.float32)
    return np.clip((gray.astype(np.float32) - low) / max(np.float32(20), high - low), 0, 1)


def drawn(image: np.ndarray) -> np.ndarray:
    """Returns the tone (H, W) of a drawing: medium brightness, warm colours lighter than cold ones."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    tone = lab[..., 0] + 1.2 * (lab[..., 1] - 128) + 0.2 * (lab[..., 2] - 128)
    low, high = np.percentile(tone[::3, ::3], (2, 98)).astype(np.float32)
    tone = np.clip((tone - low) / max(np.float32(20), high - low), 0, 1)
    middle = np.clip(np.median(tone[::3, ::3]), 0.12, 0.85)
    return tone ** np.float32(np.log(0.6) / np.log(middle))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs with a Gaussian; the type stays the same."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def step(values: np.ndarray, edge: float | np.ndarray, width: float) -> np.ndarray:
    """Returns 0 below ``edge``, 1 above it, and a straight line over ``width`` between them."""
    return np.clip((values - edge) * np.float32(1 / width) + 0.5, 0, 1)


def noise(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> np.ndarray:
    """Returns smooth noise (H, W) of unit variance at its nodes, which are ``grain`` pixels apart."""
    h, w = shape[:2]
    small = rng.standard_normal((int(h / grain) + 3, int(w / grain) + 3), dtype=np.float32)
    if grain <= 1:
        return small[:h, :w]
    size = (int(small.shape[1] * grain), int(small.shape[0] * grain))
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)[:h, :w]


def strokes(rng: np.random.Generator, shape: tuple[int, ...], length: int, angle: float) -> np.ndarray:
    """Returns noise (H, W) of about unit variance, stretched along ``angle`` (radians) like strokes of a brush."""
    kernel = np.zeros((length, length), np.float32)
    middle, reach = length // 2, length / 2
    x, y = round(float(np.cos(angle)) * reach), round(float(np.sin(angle)) * reach)
    cv2.line(kernel, (middle - x, middle - y), (middle + x, middle + y), 1.0, 1)
    return cv2.filter2D(noise(rng, shape, 1), -1, kernel / np.sqrt(kernel.sum()))


def wobble(image: np.ndarray, rng: np.random.Generator, amount: float, grain: float) -> np.ndarray:
    """Distorts a picture as an unsteady hand would: points move by about ``amount`` pixels, at most twice that."""
    h, w = image.shape[:2]
    moves = [np.clip(noise(rng, (h, w), grain), -2, 2) * np.float32(amount) for _ in "xy"]
    x = np.arange(w, dtype=np.float32)[None] + moves[0]
    y = np.arange(h, dtype=np.float32)[:, None] + moves[1]
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def edges(tone: np.ndarray, sigma: float, gain: float) -> np.ndarray:
    """Returns lines (H, W), 1 on a line and 0 elsewhere: the dark side of a difference of Gaussians, as in XDoG."""
    return np.clip((blur(tone, sigma * 1.6) - blur(tone, sigma)) * gain, 0, 1)


def daubs(image: np.ndarray, radius: int) -> np.ndarray:
    """Kuwahara filter, uint8 (H, W, 3): each pixel takes the mean of the calmest of four windows at it."""
    size = radius + 1
    mean = cv2.blur(image, (size, size))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    spread = cv2.blur(gray * gray, (size, size)) - cv2.blur(gray, (size, size)) ** 2
    a, b = radius // 2, radius - radius // 2
    mean = cv2.copyMakeBorder(mean, b, b, b, b, cv2.BORDER_REPLICATE)
    spread = cv2.copyMakeBorder(spread, b, b, b, b, cv2.BORDER_REPLICATE)
    h, w = gray.shape
    corners = [(b + dy, b + dx) for dy in (-a, a) for dx in (-a, a)]
    y, x = corners[0]
    best, least = mean[y : y + h, x : x + w].copy(), spread[y : y + h, x : x + w].copy()
    for y, x in corners[1:]:
        here, flat = spread[y : y + h, x : x + w], mean[y : y + h, x : x + w]
        calmer = here < least
        cv2.copyTo(flat, calmer.view(np.uint8), best)
        np.minimum(least, here, out=least)
    return best


def vivid(image: np.ndarray, saturation: float) -> np.ndarray:
    """Moves the colours of float32 (H, W, 3) away from grey, or towards it."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return gray + (image - gray) * np.float32(saturation)


def colour(*values: int) -> np.ndarray:
    """Converts bytes R, G, B to float32 (3,), 1 for 255."""
    return np.array(values, np.float32) / 255


def over(ink: np.ndarray, colour: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """Lays ``colour`` (3,) on ``paper`` (..., 3) with coverage ``ink`` (H, W) in 0..1."""
    return paper + ink[..., None] * (colour - paper)


def cells(image: np.ndarray, rng: np.random.Generator, pitch: float) -> tuple[np.ndarray, int]:
    """Divides a picture into panes: returns (H, W), the nearest seed of a jittered grid in place and colour.

    One assignment step of SLIC (Achanta et al., PAMI 2012): each pixel looks at the nine seeds around it.
    """
    h, w = image.shape[:2]
    rows, columns = int(np.ceil(h / pitch)) + 2, int(np.ceil(w / pitch)) + 2
    place = (np.mgrid[:rows, :columns] - 0.5 + rng.uniform(-0.38, 0.38, (2, rows, columns))) * pitch
    at = np.clip(place[0], 0, h - 1).astype(int), np.clip(place[1], 0, w - 1).astype(int)
    # Each pixel as (y, x, r, g, b), colour scaled so that squared distances add up.
    pixels = np.empty((h, w, 5), np.float32)
    pixels[..., 0], pixels[..., 1] = np.arange(h)[:, None], np.arange(w)[None]
    pixels[..., 2:] = cv2.blur(image, (5, 5)) * np.float32(np.sqrt(0.02 * pitch / 9))
    seeds = np.concatenate([place.transpose(1, 2, 0).astype(np.float32), pixels[at][..., 2:]], -1)
    seeds = np.pad(seeds, ((1, 1), (1, 1), (0, 0)), constant_values=1e4).reshape(-1, 5)
    row, column = (np.arange(h) / pitch + 2).astype(np.int32), (np.arange(w) / pitch + 2).astype(np.int32)
    home = row[:, None] * (columns + 2) + column[None]
    label, least = home, np.full((h, w), np.inf, np.float32)
    for move in (dy * (columns + 2) + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        seed = home + move
        gap = pixels - seeds.take(seed, 0)
        far = np.einsum("hwc,hwc->hw", gap, gap)
        label = np.where(far < least, seed, label)
        np.minimum(least, far, out=least)
    return label, len(seeds)
