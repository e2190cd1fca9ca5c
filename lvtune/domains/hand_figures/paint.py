"""Paints a picture from the surface of a hand: skin and light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lvtune.domains.hand_figures.body import ARM, FINGER, TIP, Capsules, Surface, flesh, rasterize
from lvtune.domains.hand_figures.scene import background, patch
from lvtune.domains.hand_figures.settings import FigureSetting

# RGB of skin in plain light from the lightest to the darkest tone, of palms, nails and what blood shows through: by eye
_TONES = np.array([[244, 205, 182], [228, 178, 148], [198, 142, 108], [150, 98, 68], [98, 62, 44]], np.float32)
_PALM, _NAIL, _BLOOD = (np.array(c, np.float32) for c in ([232, 172, 152], [246, 208, 200], [238, 140, 124]))


def draw_figure(
    xyz: np.ndarray, side: int, camera: np.ndarray, *, size: int, setting: FigureSetting, rng: np.random.Generator
) -> np.ndarray:
    """Draws a picture of one hand.

    Args:
        xyz: (21, 3) mm in camera coordinates, joint 0 the wrist.
        side: 0 left, 1 right.
        camera: (3, 3) intrinsics.
        size: width and height S in pixels.
        setting: what is drawn at random.
        rng: gives all that is random; the joints are where they are.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    image = background(setting.background, rng, size)
    bend = tuple(np.deg2rad(rng.uniform(-1, 1, 2) * (30, 18)))
    capsules = flesh(xyz, side, bend, fatness=rng.uniform(0.92, 1.1))
    surface = rasterize(capsules, camera, size)
    if len(surface.pixel):
        _Painter(surface, capsules, size, setting, rng).paint(image)
    return _photograph(image, setting, rng)


@dataclass
class _Painter:
    """Paints one hand; arrays are (P,) or (P, 3), one row a pixel of the hand."""

    surface: Surface
    capsules: Capsules
    size: int
    setting: FigureSetting
    rng: np.random.Generator

    def paint(self, image: np.ndarray) -> None:
        """Lays the hand into (S, S, 3) float32."""
        pixel, soft = self.surface.pixel, self.size / 128
        normal = self._smooth_normals(0.9 * soft)
        back = self.capsules.back.astype(np.float32)[self.surface.number]
        lit = self._skin(np.einsum("ij,ij->i", normal, back)) * self._light(normal, soft)
        both = np.zeros((self.size * self.size, 4), np.float32)
        both[pixel, :3], both[pixel, 3] = lit, 1
        rows, columns = pixel // self.size, pixel % self.size
        window = np.s_[max(0, rows.min() - 2) : rows.max() + 3, max(0, columns.min() - 2) : columns.max() + 3]
        both = cv2.GaussianBlur(both.reshape(self.size, self.size, 4)[window], (0, 0), 0.45 * soft)
        image[window] *= 1 - both[..., 3:]
        image[window] += both[..., :3]

    def _smooth_normals(self, sigma: float) -> np.ndarray:
        """Returns unit normals, smoothed across the borders of the parts."""
        full = np.zeros((self.size * self.size, 3), np.float32)
        full[self.surface.pixel] = self.surface.normal
        full = cv2.GaussianBlur(full.reshape(self.size, self.size, 3), (0, 0), sigma)
        found = full.reshape(-1, 3)[self.surface.pixel]
        return found / np.maximum(np.sqrt(np.einsum("ij,ij->i", found, found)), 1e-6)[:, None]

    def _skin(self, to_back: np.ndarray) -> np.ndarray:
        """Returns the colour of the skin: lighter palm, redder tips, creases, nails; perhaps a sleeve."""
        rng, along, part = self.rng, self.surface.along, self.capsules.part[self.surface.number]
        tone = rng.uniform(*self.setting.skin) * (len(_TONES) - 1)
        whole = min(int(tone), len(_TONES) - 2)
        base = _TONES[whole] + (_TONES[whole + 1] - _TONES[whole]) * np.float32(tone - whole)
        base = base * (1 + self.setting.hue * rng.standard_normal(3)).astype(np.float32)
        front = np.minimum(np.maximum(-1.5 * to_back, 0), 1)
        skin = base + front[:, None] * ((_PALM - base) * np.float32(0.2 + 0.08 * tone))
        # creases in front and wrinkles behind lie where one bone of a finger meets the next
        tips = part == TIP
        crease = np.exp(-((along / 0.05) ** 2)) * (tips | (part == FINGER))
        rough = patch(rng, 5.0, self.size)[..., 0]
        rough = rough.ravel()[self.surface.pixel] if rough.shape[0] == self.size else 0.0
        skin *= ((1 - (0.10 + 0.12 * front) * crease) * (1 + 0.03 * rough))[:, None]
        red = (tips * along * np.float32(0.175))[:, None]
        skin += red * (_BLOOD * (base.mean() / 200) - skin)
        nail = tips & (to_back > 0.72) & (along > 0.38)
        skin[nail] = skin[nail] * 0.45 + _NAIL * np.float32(0.62 * (1.1 - 0.12 * tone))
        if rng.random() < 0.5:
            skin[(part == ARM) & (along > rng.uniform(0.05, 0.3))] = rng.uniform(20, 235, 3)
        return skin.astype(np.float32, copy=False)

    def _light(self, normal: np.ndarray, soft: float) -> np.ndarray:
        """Returns the factor on the colour: a lamp and ambient light, of which less reaches hollows."""
        rng, setting = self.rng, self.setting
        off, around = np.deg2rad(setting.low_angle) * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        towards = np.array([np.sin(off) * np.cos(around), np.sin(off) * np.sin(around), -np.cos(off)], np.float32)
        strength, ambient = rng.uniform(*setting.light), rng.uniform(*setting.ambient)
        direct = np.maximum(normal @ towards, 0)
        depth = self.surface.depth
        near = np.minimum(depth, depth.ravel()[self.surface.pixel].max())
        # a pixel deeper than its neighbourhood lies in a hollow, which light from everywhere reaches less
        hollow = (near - cv2.GaussianBlur(near, (0, 0), 4 * soft)).ravel()[self.surface.pixel]
        open_sky = 1 - np.minimum(np.maximum(hollow / (14 * soft), 0), 0.45)
        shade = 1.12 * strength * ((1 - ambient) * direct + ambient) * open_sky
        shine = 0.10 * strength * direct**16
        tint = (1 + setting.tint * rng.uniform(-1, 1, 3)).astype(np.float32)
        return (shade + shine).astype(np.float32)[:, None] * tint


def _photograph(image: np.ndarray, setting: FigureSetting, rng: np.random.Generator) -> np.ndarray:
    """Imitates lens and sensor: blur, noise, eight bits."""
    size = len(image)
    sigma = rng.uniform(0, setting.blur) * size / 128
    if setting.blur > 1 and rng.random() < 0.4:
        image = _moved(image, 1 + 2.5 * sigma, rng.uniform(0, np.pi))
    elif sigma > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = patch(rng, 0.0, size, 3)
    if noise.shape[0] != size:
        noise = np.tile(noise, (-(-size // noise.shape[0]),) * 2 + (1,))[:size, :size]
    image = image + np.float32(rng.uniform(*setting.noise)) * noise
    return cv2.convertScaleAbs(np.maximum(image, 0))


def _moved(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blurs along a line, as a moving camera does."""
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = np.round((reach + np.array([-step, step])) * 16).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0, 1, cv2.LINE_AA, 4)
    total = kernel.sum()
    return cv2.filter2D(image, -1, kernel / total) if total > 0 else image
