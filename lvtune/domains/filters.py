"""Filters that make a photograph look like a category of Human-Art.

The result is an imitation, and reports must call it a filtered photograph. numpy and OpenCV only, made for
pictures of about 176 pixels; an unsteady hand moves key points by a pixel or two at most places. A filter is
a function (photograph, random generator) -> picture; `register_filter` adds one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np

from lvtune.core.registry import Registry
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

Filter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
FILTERS: Registry[Filter] = Registry("filter", listing="lvtune.domains.filters.list_filters()")
"""Name of the Human-Art category imitated -> function; uint8 (H, W, 3) RGB in and out."""
register_filter = FILTERS.register


def list_filters() -> list[str]:
    """Returns the names that :func:`apply_filter` takes."""
    return FILTERS.names()


def apply_filter(image: np.ndarray, name: str, index: int = 0) -> np.ndarray:
    """Applies a filter to a photograph; the same photograph, name and index give the same bytes.

    Args:
        image: uint8 (H, W, 3) RGB; not written to.
        name: one of :func:`list_filters`.
        index: number of the photograph; paper, strokes and palette depend on it.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        LvtuneError: no such filter.
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), int(index)])
    return FILTERS.get(name)(image, rng)


@register_filter("sketch")
def sketch(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pencil: contours, and tone given by hatching in two directions on grainy paper."""
    image = wobble(image, rng, 0.8, 14)
    tone = blur(drawn(image), 0.8)
    line = step(edges(tone, 1.0, 15) + 0.12 * noise(rng, tone.shape, 1.5), 0.45, 0.5)
    angle = rng.uniform(0.4, 1.2)
    shade = np.zeros_like(tone)
    for turn, edge in ((0.0, 0.46), (np.pi / 2, 0.24)):
        hatch = strokes(rng, tone.shape, 13, angle + turn)
        shade += step(hatch, 0.1, 0.9) * step(edge - tone, 0, 0.3)
    grain = 0.8 + 0.25 * noise(rng, tone.shape, 1)
    lead = np.clip((line + 0.55 * shade) * grain, 0, 0.95)
    leads = [colour(40, 40, 44), colour(28, 26, 26), colour(120, 58, 40), colour(52, 60, 92)]
    paper = colour(246, 243, 236) * np.float32(rng.uniform(0.88, 1.0))
    return to_bytes(over(lead, leads[rng.integers(4)], paper))


@register_filter("ink_painting")
def ink_painting(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brush and ink: a few wet washes, strokes of changing strength, much bare paper."""
    image = wobble(image, rng, 1.0, 18)
    tone = drawn(image)
    bleed = 0.07 * noise(rng, tone.shape, 7) + 0.03 * noise(rng, tone.shape, 2)
    soft = blur(tone, 2.2) + bleed
    wash = np.zeros_like(tone)
    for edge, weight in ((0.6, 0.16), (0.4, 0.26), (0.2, 0.42)):
        wash += np.float32(weight) * step(edge - soft, 0, 0.1)
    pool = np.clip(blur(wash, 2.0) - wash, -0.2, 0)  # pigment gathers at the rim of a wash
    press = step(noise(rng, tone.shape, 16), -0.5, 1.2)  # the brush lifts here and there
    dry = step(noise(rng, tone.shape, 1.3), -1.1, 0.8)
    line = step(edges(blur(tone, 1.0), 1.8, 16), 0.4, 0.4) * (0.35 + 0.65 * press) * dry
    ink = np.clip(np.maximum(wash - pool, 0.92 * line), 0, 0.95)
    paper = colour(238, 229, 206) + 0.012 * noise(rng, tone.shape, 3)[..., None]
    return to_bytes(over(ink, colour(24, 24, 30), paper * np.float32(rng.uniform(0.9, 1.02))))


@register_filter("oil_painting")
def oil_painting(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Oil on canvas: daubs of thick paint with lit ridges, a warm or cold palette."""
    paint = vivid(to_unit(daubs(wobble(image, rng, 1.4, 6), 5)), 1.5)
    angle = rng.uniform(0, np.pi)
    bent = noise(rng, image.shape, 24) > 0
    ridge = np.where(bent, strokes(rng, image.shape, 11, angle), strokes(rng, image.shape, 11, angle + 1.3))
    light = cv2.Sobel(ridge, cv2.CV_32F, 1, 1, ksize=3)
    paint += (0.035 * light + 0.05 * ridge)[..., None]
    tints = [colour(262, 236, 196), colour(222, 238, 266), colour(250, 246, 214), colour(268, 224, 220)]
    paint = np.clip(paint, 0, 1) ** np.float32(0.85)
    return to_bytes(paint * tints[rng.integers(4)])


@register_filter("watercolor")
def watercolor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Watercolour: pale pigment that runs, pools at the rims, and leaves the margin bare."""
    wet = wobble(daubs(image, 4), rng, 1.2, 5)
    wet = daubs(wobble(wet, rng, 1.2, 12), 4)
    tone = luma(wet)
    rim = np.clip(np.abs(cv2.Laplacian(blur(tone, 1.2), cv2.CV_32F, ksize=3)) * 1.2, 0, 0.35)
    pigment = 1 - np.clip(vivid(to_unit(wet), 1.8), 0.02, 1) ** np.float32(0.65)
    load = 0.8 + 0.12 * noise(rng, tone.shape, 24) + 0.09 * noise(rng, tone.shape, 1.2)
    load *= step(0.06 * noise(rng, tone.shape, 6) - tone, -0.92, 0.2)  # the brightest parts stay bare
    h, w = tone.shape
    y, x = np.ogrid[:h, :w]
    inset = np.minimum(np.minimum(x, w - 1 - x), np.minimum(y, h - 1 - y)).astype(np.float32)
    ragged = 1.6 * noise(rng, tone.shape, 22) + 0.9 * noise(rng, tone.shape, 5)
    margin = step(inset + ragged, 0.035 * min(h, w), 3)
    paper = colour(250, 247, 240)
    return to_bytes(paper - (pigment * load[..., None] + rim[..., None]) * margin[..., None] * 0.9)


@register_filter("cartoon")
def cartoon(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cartoon: flat, loud colours in three tones with fat black outlines."""
    flat = blur(daubs(daubs(image, 6), 6), 0.8)
    tone = luma(flat)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)
    hue = hsv[..., 0].astype(np.int32)
    hue = (np.round(hue / 18) * 18 + rng.integers(-16, 17)) % 180
    strong = np.where(hsv[..., 1] < 32, 60, 190)
    value = 0.3 + 0.36 * step(tone, 0.3, 0.06) + 0.34 * step(tone, 0.62, 0.06)
    loud = cv2.cvtColor(np.dstack([hue, strong, value * 255]).astype(np.uint8), cv2.COLOR_HSV2RGB)
    line = step(edges(blur(drawn(image), 1.1), 1.5, 22), 0.42, 0.3)
    return to_bytes(over(line, colour(12, 10, 16), to_unit(cv2.medianBlur(loud, 5))))


@register_filter("stained_glass")
def stained_glass(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stained glass: panes of one glowing colour each, set in black lead."""
    label, count = cells(image, rng, rng.uniform(8, 11))
    flat = label.ravel()
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    tint = np.stack([np.bincount(flat, image[..., c].ravel(), count) / area for c in range(3)], -1)
    tint = vivid((tint / 255).astype(np.float32)[None], 2.6)[0]
    tint += rng.normal(0, 0.09, (count, 3)).astype(np.float32)
    glass = np.clip(tint, 0.02, 1)[label] ** np.float32(0.7)
    lead = np.zeros(label.shape, np.uint8)
    lead[:, 1:] = label[:, 1:] != label[:, :-1]
    lead[1:] |= label[1:] != label[:-1]
    line = step(blur(lead.astype(np.float32), 0.7), 0.34, 0.4)
    glow = 0.95 + 0.12 * noise(rng, label.shape, 2.5) + 0.1 * noise(rng, label.shape, 40)
    return to_bytes(over(line, colour(14, 13, 16), glass * glow[..., None]))


@register_filter("mural")
def mural(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fresco: earth colours with drawn contours on plaster that has cracked and come off in places."""
    image = wobble(image, rng, 0.9, 10)
    flat = daubs(image, 6)
    tone = drawn(flat)
    grade = np.round(tone * 4 + 0.35 * noise(rng, tone.shape, 5)) / 4
    dark, bright = colour(92, 52, 40), colour(226, 196, 148)
    paint = dark + grade[..., None] * (bright - dark)
    paint = 0.62 * paint + 0.38 * vivid(to_unit(flat), 1.3)
    line = step(edges(blur(luma(image), 1.0), 1.6, 16), 0.45, 0.4)
    paint = over(0.8 * line, colour(70, 30, 24), paint)
    plaster = colour(206, 194, 174) + 0.04 * noise(rng, tone.shape, 1.5)[..., None]
    decay = noise(rng, tone.shape, 26) + 0.5 * noise(rng, tone.shape, 6) + 0.2 * noise(rng, tone.shape, 2)
    lost = 0.9 * step(decay, 1.6, 0.12)
    faded = 0.12 + 0.1 * noise(rng, tone.shape, 3)
    cover = np.clip(np.maximum(lost, faded), 0, 1)[..., None]
    crack = step(-np.abs(noise(rng, tone.shape, 22) + 0.15 * noise(rng, tone.shape, 4)), -0.035, 0.05)
    return to_bytes(over(0.7 * crack, colour(70, 58, 48), paint + cover * (plaster - paint)))


# Inks named after those of woodblock prints: sumi, indigo, Prussian blue, beni, ochre, moss, skin, paper.
_INKS = (
    (
        (36, 34, 38), (40, 62, 98), (96, 134, 160), (176, 62, 52),
        (204, 156, 80), (112, 126, 84), (232, 200, 166), (240, 228, 200),
    ),
    (
        (44, 36, 36), (58, 78, 74), (132, 158, 148), (150, 72, 60),
        (218, 176, 110), (88, 100, 120), (226, 188, 150), (236, 222, 190),
    ),
)  # fmt: skip


@register_filter("ukiyoe")
def ukiyoe(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Woodblock print: eight flat inks, a black key block, and the grain of the wood."""
    flat = daubs(daubs(wobble(image, rng, 0.9, 12), 6), 5)
    inks = np.array(_INKS[rng.integers(len(_INKS))], np.uint8)
    lab = cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] = 25 + 210 * luma(flat)
    lab[..., 1:] = 128 + (lab[..., 1:] - 128) * np.float32(1.3)
    aims = cv2.cvtColor(inks[None], cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    far = np.einsum("kc,kc->k", aims, aims)[None] - 2 * lab.reshape(-1, 3) @ aims.T
    block = cv2.medianBlur(far.argmin(1).reshape(lab.shape[:2]).astype(np.uint8), 5)
    print_ = to_unit(inks)[block]
    grain = strokes(rng, block.shape, 21, rng.choice([0.0, np.pi / 2]))
    print_ += 0.022 * grain[..., None]
    key = step(edges(blur(drawn(image), 1.0), 1.5, 20), 0.42, 0.3)
    return to_bytes(over(key, colour(30, 26, 28), print_))
