"""Draws skeletons over pictures, and puts pictures side by side."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

LEFT, RIGHT, MIDDLE = (230, 159, 0), (86, 180, 233), (0, 158, 115)
"""RGB colours of the body's left, right and middle: orange, sky blue and bluish green of Okabe and Ito."""
_CASING = (16, 16, 20)  # a dark rim keeps lines visible on any picture
_SHIFT = 4  # cv2 draws at 1/16 pixel
_FAR = 10  # points further away than ten picture sizes are not drawn


def sides(skeleton: Skeleton) -> tuple[str, ...]:
    """Returns ``left``, ``right`` or ``middle`` for each of the K key points."""
    return skeleton.sides


def enlarge(image: np.ndarray, keypoints: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Enlarges a picture and its key points until the longer side has ``longest`` pixels; never shrinks it.

    Args:
        image: (H, W, 3) uint8.
        keypoints: (..., 2) x, y in pixels of the picture; whole numbers are the centres of pixels.
        longest: length of the longer side in pixels.
    """
    factor = longest / max(image.shape[:2])
    if factor <= 1:
        return image, keypoints
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    grown = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return grown, (np.asarray(keypoints, float) + 0.5) * [
        width / image.shape[1],
        height / image.shape[0],
    ] - 0.5


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton,
    threshold: float = 0.2,
    *,
    bbox: Sequence[float] | None = None,
    longest: int | None = None,
) -> np.ndarray:
    """Draws one person's skeleton over a copy of a picture.

    Args:
        image: (H, W, 3) RGB uint8; stays as it is.
        keypoints: (K, 2) x, y in pixels; key points that are not finite are not drawn.
        scores: (K,), or None to draw every key point.
        skeleton: skeleton of the K key points; without links only points are drawn.
        threshold: key points with a lower score are not drawn, nor the links to them.
        bbox: x, y, width, height of the person in pixels, from which the width of the lines follows; None: the extent
            of the key points.
        longest: enlarge a smaller picture until its longer side has this many pixels, so that the lines are fine.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        LvtuneError: the shapes do not fit.
    """
    points = _checked(image, keypoints, scores, skeleton)
    size = float(max(bbox[2:])) if bbox is not None else _extent(points)
    if longest is not None:
        before = max(image.shape[:2])
        image, points = enlarge(image, points, longest)
        size *= max(image.shape[:2]) / before
    canvas = np.ascontiguousarray(image).copy()
    reach = _FAR * max(canvas.shape[:2])
    with np.errstate(invalid="ignore"):
        shown = np.isfinite(points).all(1) & (np.abs(points) < reach).all(1)
        if scores is not None:
            shown &= np.asarray(scores, float) >= threshold
    size = min(size, float(max(canvas.shape[:2]))) or float(max(canvas.shape[:2]))
    _draw(canvas, points, shown, skeleton, max(2, round(size / 90)))
    return canvas


def draw_named_points(
    image: np.ndarray,
    keypoints: np.ndarray,
    skeleton: Skeleton,
    *,
    bbox: Sequence[float] | np.ndarray | None = None,
    longest: int | None = None,
) -> np.ndarray:
    """Draws the key points over a copy of a picture, each with its own colour and its name; links are grey.

    Args:
        image: (H, W, 3) RGB uint8.
        keypoints: (K, 2) x, y in pixels; key points that are not finite are not drawn.
        skeleton: skeleton of the K key points.
        bbox: x, y, width, height in pixels, from which the size of the dots follows; None: the extent of the points.
        longest: enlarge a smaller picture until its longer side has this many pixels, so that names can be read.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        LvtuneError: the shapes do not fit.
    """
    from PIL import Image
    from PIL.ImageDraw import Draw

    points = _checked(image, keypoints, None, skeleton)
    size = float(max(bbox[2:])) if bbox is not None else _extent(points)
    if longest is not None:
        before = max(image.shape[:2])
        image, points = enlarge(image, points, longest)
        size *= max(image.shape[:2]) / before
    sheet = Image.fromarray(np.ascontiguousarray(image))
    pen, font = Draw(sheet), _font(11)
    reach = _FAR * max(image.shape[:2])
    with np.errstate(invalid="ignore"):
        shown = np.isfinite(points).all(1) & (np.abs(points) < reach).all(1)
    for a, b in skeleton.links:
        if shown[a] and shown[b]:
            pen.line([tuple(points[a]), tuple(points[b])], fill=(160, 160, 165), width=1)
    radius = min(6.0, max(2.5, size / 60))
    places = [(index, *point) for index, point in enumerate(points.tolist()) if shown[index]]
    for index, x, y in places:
        name, at = skeleton.keypoints[index], (x + radius + 2, y - 6)
        pen.text(at, name, fill=keypoint_colour(index), font=font, stroke_width=2, stroke_fill=_CASING)
    for index, x, y in places:  # over the names, which may lie close
        box = [x - radius, y - radius, x + radius, y + radius]
        pen.ellipse(box, fill=keypoint_colour(index), outline=_CASING)
    return np.asarray(sheet)


def keypoint_colour(index: int) -> tuple[int, int, int]:
    """Returns a bright RGB colour for the key point at ``index``; neighbours differ."""
    # the golden ratio spreads hues evenly, whatever their number
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.55 + 0.3 * (index % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _checked(image: np.ndarray, keypoints: np.ndarray, scores: np.ndarray | None, skeleton: Skeleton) -> np.ndarray:
    points, count = np.asarray(keypoints, float), len(skeleton.keypoints)
    shape = () if scores is None else np.shape(scores)
    fits = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size
    if not fits or points.shape != (count, 2) or shape not in ((count,), ()):
        raise DataError(
            f"picture {image.shape} {image.dtype}, key points {points.shape}, scores {shape or 'not given'}",
            f"(H, W, 3) uint8, ({count}, 2) and ({count},) for skeleton '{skeleton.name}'",
            "draw with the skeleton that was predicted",
        )
    return points


def _extent(points: np.ndarray) -> float:
    finite = points[np.isfinite(points).all(1)]
    return float(np.ptp(finite, axis=0).max()) if len(finite) else 0.0


def _draw(canvas: np.ndarray, points: np.ndarray, shown: np.ndarray, skeleton: Skeleton, width: int) -> None:
    colours = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
    side = sides(skeleton)
    place = np.round(np.where(shown[:, None], points, 0) * 2**_SHIFT).astype(int).tolist()
    links = [(a, b) for a, b in skeleton.links if shown[a] and shown[b]]
    style, rim = {"lineType": cv2.LINE_AA, "shift": _SHIFT}, max(1, round(width / 3))
    for a, b in links:
        cv2.line(canvas, place[a], place[b], _CASING, width + 2 * rim, **style)
    for a, b in links:
        colour = colours[side[a] if side[a] == side[b] else "middle"]
        # a link from the middle to a side has the colour of the side
        if side[a] != side[b] and "middle" in (side[a], side[b]):
            colour = colours[side[a] if side[b] == "middle" else side[b]]
        cv2.line(canvas, place[a], place[b], colour, width, **style)
    radius = int((0.9 * width + 0.8) * 2**_SHIFT)
    for point in np.flatnonzero(shown).tolist():
        cv2.circle(canvas, place[point], radius + rim * 2**_SHIFT, _CASING, -1, **style)
        cv2.circle(canvas, place[point], radius, colours[side[point]], -1, **style)


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[Sequence[str]] | None = None,
    *,
    cell: int = 320,
    gap: int = 12,
    background: tuple[int, int, int] = (255, 255, 255),
) -> np.ndarray:
    """Puts pictures in rows, each with its caption below it.

    Args:
        rows: rows of (H, W, 3) RGB uint8 pictures of any size.
        captions: one caption per picture, row by row; it may be empty.
        cell: length of each picture's longer side, in pixels.
        gap: distance between pictures in pixels.
        background: RGB colour; the captions are black or white, whichever has more contrast.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        LvtuneError: there are no pictures, or not one caption per picture.
    """
    words: Sequence[Sequence[str]] = [[""] * len(row) for row in rows] if captions is None else captions
    if not any(len(row) for row in rows) or [len(row) for row in rows] != [len(row) for row in words]:
        raise UsageError(
            f"{[len(row) for row in rows]} pictures in rows with {[len(row) for row in words]} captions",
            "at least one picture, and a caption for each or none at all",
            "give one caption a picture",
        )
    from PIL import Image
    from PIL.ImageDraw import Draw

    font, line = _font(15), 24 if any(any(row) for row in words) else 0
    fitted = [[_fit(image, cell) for image in row] for row in rows]
    heights = [max((image.shape[0] for image in row), default=0) + line for row in fitted]
    columns = max(len(row) for row in fitted)
    sheet = Image.new("RGB", (columns * (cell + gap) + gap, sum(heights) + gap * (len(rows) + 1)), background)
    pen, ink = Draw(sheet), (0, 0, 0) if sum(background) > 384 else (255, 255, 255)
    top = gap
    for row, row_words, height in zip(fitted, words, heights, strict=True):
        for j, (image, word) in enumerate(zip(row, row_words, strict=True)):
            left = gap + j * (cell + gap) + (cell - image.shape[1]) // 2
            sheet.paste(Image.fromarray(image), (left, top))
            middle = (gap + j * (cell + gap) + cell // 2, top + image.shape[0] + 4)
            pen.text(middle, _cut(word, pen, font, cell), fill=ink, font=font, anchor="ma")
        top += height + gap
    return np.asarray(sheet)


def _fit(image: np.ndarray, cell: int) -> np.ndarray:
    factor = cell / max(image.shape[:2])
    size = tuple(max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _font(size: int) -> FreeTypeFont:
    """Returns the font that comes with matplotlib: it has more letters than cv2's, and every machine has it."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _cut(word: str, pen: ImageDraw, font: FreeTypeFont, room: int) -> str:
    """Returns a caption, cut where it is wider than ``room`` pixels."""
    word = " ".join(word.split())
    while word and pen.textlength(word, font=font) > room:
        word = word[:-2] + "…" if len(word) > 2 else ""
    return word
