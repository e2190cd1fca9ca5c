"""Six more filters, after Human-Art categories that `lvtune.domains.filters` does not imitate.

As there, the result is an imitation, and reports must call it a filtered photograph. These filters were fixed before
anything was tuned on them.
"""

from __future__ import annotations

import cv2
import numpy as np

from lvtune.domains.brushes import (
    blur,
    cells,
    colour,
    daubs,
    drawn,
    edges,
    luma,
    noise,
    over,
    step,
    strokes,
    to_bytes,
    to_unit,
    vivid,
    wobble,
)
from lvtune.domains.filters import register_filter

# Wax crayons of a child's box: red, orange, yellow, green, blue, violet, brown, black, pink.
_CRAYONS = (
    (214, 48, 44), (240, 136, 40), (246, 208, 60), (70, 160, 72), (54, 108, 196),
    (128, 74, 160), (134, 86, 54), (46, 44, 48), (240, 158, 176),
)  # fmt: skip


@register_filter("kids_drawing")
def kids_drawing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A child's drawing: shaky crayon contours, areas scribbled over in one crayon each, much bare paper."""
    shaky = wobble(wobble(image, rng, 1.8, 22), rng, 0.8, 7)
    label, count = cells(daubs(shaky, 6), rng, 12)
    flat = label.ravel()
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    mean = np.stack([np.bincount(flat, shaky[..., c].ravel(), count) / area for c in range(3)], -1)
    crayons = np.array(_CRAYONS, np.float32)
    apart = 1.6 * mean - mean.mean(1, keepdims=True) * np.float32(1.1)  # the hue counts for more than the tone
    aims = crayons - crayons.mean(1, keepdims=True) * np.float32(0.5)
    chosen = ((apart[:, None] - aims[None]) ** 2).sum(-1).argmin(1)
    wax = (crayons[chosen] / 255)[label]
    scribble = step(strokes(rng, label.shape, 17, rng.uniform(0.5, 1.1)), 0.1, 0.7)
    tone = blur(drawn(shaky), 1.2)
    filled = scribble * (0.35 + 0.6 * step(0.75 - tone, 0.0, 0.5))
    grain = step(noise(rng, label.shape, 1.2), -0.9, 0.8)
    paper = colour(250, 248, 240) + 0.01 * noise(rng, label.shape, 2)[..., None]
    picture = paper + (filled * grain)[..., None] * (wax - paper)
    line = step(edges(tone, 1.2, 15), 0.42, 0.4) * (0.6 + 0.4 * grain)
    pens = [colour(40, 38, 44), colour(46, 62, 130), colour(120, 52, 40)]
    return to_bytes(over(np.clip(line, 0, 0.95), pens[rng.integers(3)], picture))


@register_filter("shadow_play")
def shadow_play(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shadow puppets: dark hide with cut-out lines and a breath of colour before a screen lit from behind."""
    flat = daubs(daubs(wobble(image, rng, 0.8, 14), 7), 5)
    tone = luma(flat)
    height, width = tone.shape
    edge = np.clip(np.median(tone[::3, ::3]), 0.25, 0.7)
    hide = step(edge - blur(tone, 0.8) + 0.04 * noise(rng, tone.shape, 9), 0.0, 0.22)
    cut = step(edges(blur(drawn(image), 0.9), 1.4, 20), 0.5, 0.3)  # lines are cut into the hide and let light through
    y, x = np.mgrid[:height, :width].astype(np.float32)
    lamp = rng.uniform(0.3, 0.7, 2)
    far = np.hypot(y / max(1, height) - lamp[0], x / max(1, width) - lamp[1])
    lights = [colour(255, 214, 132), colour(255, 196, 110), colour(250, 228, 172)]
    weave = 1 + 0.03 * noise(rng, tone.shape, 1.4)
    screen = lights[rng.integers(3)] * (np.clip(1.12 - 0.75 * far, 0.3, 1.1) * weave)[..., None]
    dyed = 0.16 * vivid(to_unit(flat), 2.4) + colour(26, 16, 12)
    shade = np.clip(0.97 * hide * (1 - 0.6 * cut), 0, 0.97)[..., None]
    return to_bytes(screen + shade * (np.clip(dyed, 0, 1) - screen))


def _lit(height: np.ndarray, angle: float, steep: float) -> np.ndarray:
    """Returns how brightly a surface (H, W) is lit from ``angle`` (radians): about 0 to 1, flat 0.6."""
    x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) * np.float32(steep)
    y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) * np.float32(steep)
    toward = x * np.float32(-np.cos(angle)) + y * np.float32(-np.sin(angle))
    return np.clip((0.75 + toward) / np.sqrt(1 + x * x + y * y) * 0.8, 0, 1)


@register_filter("relief")
def relief(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A relief in stone: tone as height, lit from one side, with chisel marks and no colour of its own."""
    image = wobble(image, rng, 0.7, 12)
    flat = daubs(image, 5)
    tone = 0.3 * drawn(flat) + 0.7 * luma(flat)
    height = 0.75 * blur(tone, 1.1) + 0.5 * blur(tone, 3.5)
    height += 0.014 * strokes(rng, tone.shape, 9, rng.uniform(0, np.pi)) + 0.012 * noise(rng, tone.shape, 1.6)
    light = _lit(height, rng.uniform(-2.6, -0.6), 1.5)
    hollow = np.clip((blur(height, 4.0) - height) * 1.6, 0, 0.4)  # dirt gathers in the hollows
    stones = [colour(214, 198, 168), colour(196, 190, 184), colour(226, 218, 204), colour(168, 140, 112)]
    veins = 1 + 0.05 * noise(rng, tone.shape, 14) + 0.03 * noise(rng, tone.shape, 2)
    stone = stones[rng.integers(4)] * veins[..., None]
    shown = light * (0.5 + 0.75 * blur(tone, 2.0)) * (1 - hollow)
    return to_bytes(stone * shown[..., None] * np.float32(1.35))


@register_filter("sculpture")
def sculpture(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A figure of one material: smooth marble, bronze or clay with soft shading and a sheen, before a plain wall."""
    flat = daubs(daubs(image, 6), 4)
    tone = drawn(flat)
    body = 0.55 * blur(tone, 1.4) + 0.45 * blur(luma(flat), 1.4)
    light = _lit(body + 0.5 * blur(body, 4.0), rng.uniform(-2.2, -0.9), 0.8)
    sheen = np.clip(light - 0.72, 0, 1) * np.float32(1.6)
    ramps = [
        ((70, 70, 78), (238, 236, 232)),  # marble
        ((30, 34, 30), (186, 150, 96)),  # bronze
        ((74, 36, 24), (220, 142, 100)),  # clay
        ((38, 42, 48), (168, 174, 182)),  # cast iron
    ]
    dark, bright = (colour(*end) for end in ramps[rng.integers(4)])
    grade = np.clip(0.08 + 1.05 * body * (0.4 + 0.85 * light), 0, 1)
    grade += 0.05 * noise(rng, tone.shape, 11) + 0.02 * noise(rng, tone.shape, 1.8)
    surface = dark + np.clip(grade, 0, 1)[..., None] * (bright - dark)
    line = step(edges(blur(tone, 1.2), 2.0, 14), 0.4, 0.6)
    return to_bytes(over(0.45 * line, dark * np.float32(0.7), surface) + (0.5 * sheen)[..., None])


@register_filter("digital_art")
def digital_art(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digital painting: soft brushwork graded into two colours, glowing rims and light that blooms."""
    paint = daubs(daubs(image, 5), 3)
    tone = blur(luma(paint), 0.7)
    grades = [
        ((24, 26, 78), (255, 150, 96)), ((10, 54, 70), (255, 214, 150)),
        ((58, 14, 74), (120, 232, 236)), ((30, 20, 44), (255, 120, 170)),
    ]  # fmt: skip
    shade, shine = (colour(*end) for end in grades[rng.integers(4)])
    graded = shade + (tone ** np.float32(0.9))[..., None] * (shine - shade)
    picture = 0.52 * graded + 0.56 * vivid(to_unit(paint), 1.7) * (0.55 + 0.6 * tone)[..., None]
    rim = step(edges(1 - blur(drawn(image), 1.2), 1.6, 18), 0.4, 0.5)
    picture = over(0.55 * rim, np.clip(shine * np.float32(1.15), 0, 1), picture)
    bloom = blur(np.clip(picture - 0.6, 0, 1), 5.0)
    sparks = step(noise(rng, tone.shape, 3.0) + 0.6 * noise(rng, tone.shape, 20), 2.3, 0.3)
    dust = 0.02 * noise(rng, tone.shape, 1.2)
    return to_bytes(picture + 0.8 * bloom + (0.5 * sparks + dust)[..., None] * shine)


@register_filter("garage_kits")
def garage_kits(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A painted resin figure: few clean plastic colours with hard highlights, washed seams, a studio's light."""
    flat = blur(daubs(daubs(image, 7), 6), 1.0)
    tone = luma(flat)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
    hue = (np.round(hsv[..., 0].astype(np.int32) / 12) * 12 + rng.integers(-10, 11)) % 180
    strong = np.clip(hsv[..., 1].astype(np.float32) * 1.2 + 25, 40, 190)
    value = 90 + 150 * step(tone, 0.45, 0.9)
    resin = to_unit(cv2.cvtColor(np.dstack([hue, strong, value]).astype(np.uint8), cv2.COLOR_HSV2RGB))
    bulge = blur(tone, 2.2) + 0.6 * blur(drawn(image), 2.6)
    light = _lit(bulge, rng.uniform(-2.4, -0.7), 1.1)
    gloss = step(light, 0.86, 0.08)
    seam = step(edges(blur(drawn(image), 1.3), 2.2, 18), 0.35, 0.5)
    shaded = resin * (0.55 + 0.62 * light)[..., None] * (1 + 0.03 * noise(rng, tone.shape, 30))[..., None]
    lamps = [colour(255, 250, 240), colour(236, 244, 255), colour(255, 238, 220)]
    painted = over(0.6 * seam, colour(52, 34, 30), shaded * lamps[rng.integers(3)])
    return to_bytes(painted + (0.45 * gloss)[..., None])
