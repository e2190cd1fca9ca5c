"""Boxes of annotated persons: how they are written, and boxes made of key points where there are none.

All functions take (N, 4) boxes that are not a number (nan) where an annotation has none, (N, K, 3) key points with
visibility, and (N, 2) widths and heights of the pictures.
"""

from __future__ import annotations

import numpy as np

MARGIN = 0.15
"""Around boxes that are made of key points, on each side, as a share of the key points' longer extent."""
LEAST_SHARE, LEAST = 0.125, 32.0
"""A box made of key points has at least this share of the picture's shorter side, and this many pixels."""
_RELATIVE = 1.05  # the largest number in relative coordinates, with some overshoot
_FORMS = ("xywh", "xyxy", "cxcywh")


def to_corners(boxes: np.ndarray, form: str) -> np.ndarray:
    """Boxes written as ``xywh``, ``xyxy`` or ``cxcywh`` (centre and size) -> left, top, right, bottom."""
    if form == "xyxy":
        return boxes
    low = boxes[:, :2] - boxes[:, 2:] / 2 if form == "cxcywh" else boxes[:, :2]
    return np.concatenate([low, low + boxes[:, 2:]], 1)


def are_relative(values: np.ndarray, sizes: np.ndarray) -> bool:
    """Returns True if numbers (..., 2 or 4) lie in 0..1 as if relative to pictures of more than a few pixels."""
    values = values[np.isfinite(values)]
    if not len(values) or not len(sizes) or sizes.min() < 8:
        return False
    return bool(values.max() <= _RELATIVE and values.min() >= -0.05 and (values % 1 != 0).any())


def decide_form(
    boxes: np.ndarray, points: np.ndarray, sizes: np.ndarray, areas: np.ndarray, relative: bool = False
) -> tuple[str, str]:
    """Decides how annotated boxes are written.

    COCO's ``xywh`` unless the boxes speak against it. Evidence: corners must be in order; the annotated area is that
    of the box; boxes lie inside their pictures, key points inside their boxes and about the middle of them.

    Args:
        boxes: (N, 4) without those that are missing.
        points: (N, K, 3).
        sizes: (N, 2) widths and heights of the pictures.
        areas: (N,) annotated areas, not a number where there is none.
        relative: the boxes are relative to the picture, where centre and size (YOLO's form) is a third way.

    Returns:
        ``xywh``, ``xyxy`` or ``cxcywh``, and a sentence with the counts.
    """
    forms = [form for form in _FORMS if form != "cxcywh" or relative]
    ordered = (boxes[:, 2:] > boxes[:, :2]).all(1).mean() if len(boxes) else 0.0
    if ordered < 0.98:
        forms.remove("xyxy")
    corners = {form: to_corners(boxes, form) for form in forms}
    inside = {form: inside_share(corners[form], points) for form in forms}
    fits = {form: float(_fits(corners[form], sizes).mean()) for form in forms}
    match = {form: _area_share(corners[form], areas) for form in forms}
    centred = {form: _off_centre(corners[form], points) for form in forms}
    best = "xywh"
    for form in forms[1:]:
        by_area = match[form] > 0.9 and match[best] < 0.5
        against = match[best] > 0.9 and match[form] < 0.5
        by_place = fits[form] * inside[form] > fits[best] * inside[best] + 0.02
        is_even = fits[form] * inside[form] >= fits[best] * inside[best] - 0.005
        by_middle = is_even and len(boxes) >= 3 and centred[form] + 0.1 < centred[best]
        if not against and (by_area or by_place or by_middle):
            best = form
    names = {"xywh": "x, y, width, height", "xyxy": "corners", "cxcywh": "centre and size"}
    counts = ", ".join(
        f"{fits[form]:.0%} of {len(boxes)} boxes lie in their picture and {inside[form]:.0%} of the key points in "
        f"their box as {names[form]}"
        for form in sorted({best, "xywh"})
    )
    return best, counts


def _slack(corners: np.ndarray) -> np.ndarray:
    """(N, 1, 1): how far a key point may lie outside its box."""
    return np.maximum(2.0, 0.05 * (corners[:, 2:] - corners[:, :2]).max(1))[:, None, None]


def points_outside(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, K): labelled key points that lie outside their box by more than 5 % of it."""
    slack = _slack(np.nan_to_num(corners))
    low, high = corners[:, None, :2] - slack[..., 0:1], corners[:, None, 2:] + slack[..., 0:1]
    place = points[..., :2]
    return (points[..., 2] > 0) & ((place < low) | (place > high)).any(-1)


def inside_share(corners: np.ndarray, points: np.ndarray) -> float:
    """Share of the labelled key points that lie inside their box; 1 where none is labelled."""
    labelled = int((points[..., 2] > 0).sum())
    return 1.0 - float(points_outside(corners, points).sum()) / labelled if labelled else 1.0


def _fits(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    slack = np.maximum(2.0, 0.01 * sizes)
    return np.asarray(
        (corners[:, :2] >= -slack).all(1)
        & (corners[:, 2:] > corners[:, :2]).all(1)
        & (corners[:, 2:] <= sizes + slack).all(1)
    )


def _area_share(corners: np.ndarray, areas: np.ndarray) -> float:
    """Share of the annotated areas that are exactly those of the boxes; 0 where none is annotated."""
    known = np.isfinite(areas)
    extent = (corners[:, 2:] - corners[:, :2]).clip(0).prod(1)
    return float(np.isclose(extent[known], areas[known], rtol=0.01).mean()) if known.any() else 0.0


def _off_centre(corners: np.ndarray, points: np.ndarray) -> float:
    """Mean distance of the middle of the labelled key points from the middle of their box, in box sizes."""
    low, high, count = extent_of(points)
    usable = (count >= 2) & (corners[:, 2:] > corners[:, :2]).all(1)
    if not usable.any():
        return 0.0
    middle, size = (low + high)[usable] / 2, (corners[:, 2:] - corners[:, :2])[usable]
    return float(np.abs((middle - corners[usable, :2]) / size - 0.5).max(1).mean())


def extent_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 2) least and (N, 2) largest x, y of the labelled key points (0 without any), and (N,) their number."""
    seen = points[..., 2:] > 0
    count = seen[..., 0].sum(1)
    low = np.where(seen, points[..., :2], np.inf).min(1)
    high = np.where(seen, points[..., :2], -np.inf).max(1)
    return np.where(count[:, None] > 0, low, 0.0), np.where(count[:, None] > 0, high, 0.0), count


def boxes_of_points(points: np.ndarray, sizes: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """(N, 4) x, y, width, height around the labelled key points, with a margin and a least size, in the picture.

    Where nothing is labelled the box is not a number.
    """
    low, high, count = extent_of(points)
    extent = high - low
    least = np.minimum(np.maximum(LEAST, LEAST_SHARE * sizes.min(1, keepdims=True)), sizes)
    wanted = np.maximum(extent + 2 * margin * extent.max(1, keepdims=True), least)
    middle = (low + high) / 2
    start, end = np.clip(middle - wanted / 2, 0, sizes), np.clip(middle + wanted / 2, 0, sizes)
    return np.where(count[:, None] > 0, np.concatenate([start, end - start], 1), np.nan)


def match_rectangles(
    points: np.ndarray, rows: np.ndarray, images: np.ndarray, rectangles: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """For each of ``rows`` the rectangle of its picture that holds all its labelled key points: (M,) indices or -1.

    Args:
        points: (N, K, 3).
        rows: (M,) the persons that want a box.
        images: (N,) picture of each person.
        rectangles: (R, 4) x, y, width, height.
        owners: (R,) picture of each rectangle.

    Returns:
        Smaller rectangles are taken first, and none twice.
    """
    low, high, count = extent_of(points)
    order = np.argsort(rectangles[:, 2:].prod(1), kind="stable")
    by_image: dict[int, list[int]] = {}
    for r in order:
        by_image.setdefault(int(owners[r]), []).append(int(r))
    free, found = set(range(len(rectangles))), np.full(len(rows), -1)
    for place, row in enumerate(rows):
        if not count[row]:
            continue
        for r in by_image.get(int(images[row]), ()):
            x, y, w, h = rectangles[r]
            slack = max(2.0, 0.02 * max(w, h))
            holds = (low[row] >= (x - slack, y - slack)).all() and (high[row] <= (x + w + slack, y + h + slack)).all()
            if holds and r in free:
                found[place] = r
                free.remove(r)
                break
    return found
