"""Chooses the augmentation of own data from its labels, and measures how many labelled points it turns out of sight."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lvtune.core.decision import Decision
from lvtune.core.text import counted
from lvtune.data.augment import Augment
from lvtune.data.crop import PADDING, Size, box_to_center_scale, fix_aspect, to_input, udp_matrix
from lvtune.data.label_statistics import ALL_ROUND, LabelStatistics

TURN_MARGIN = (1.25, 5.0)
"""Factor on ``turn`` and degrees added to it, for pictures that turn a little more than those labelled."""
MOST_OUTSIDE = 0.02
"""Share of labelled points that augmentation may put outside the picture."""
_DRAWS = 512


def choose_augment(labels: LabelStatistics) -> dict[str, Any]:
    """Chooses options of :class:`lvtune.data.augment.Augment` for own data; :func:`describe` gives the reasons."""
    if labels.turn_of_all >= ALL_ROUND:
        chosen: dict[str, Any] = {"rotate": 180.0, "rotate_p": 1.0}
    else:
        chosen = {"rotate": float(round(TURN_MARGIN[0] * labels.turn_of_all + TURN_MARGIN[1])), "rotate_p": 0.6}
    chosen |= {"flip": 0.5 if labels.has_sides and labels.mirrors_alike else 0.0, "shift": 0.05, "shift_p": 0.5}
    if labels.is_whole_frame:
        # from the frame without a margin, as `predict` crops whole pictures, to the crop with it
        return chosen | {"scale": (1 / PADDING, 1.05), "around": "points"}
    return chosen | {"scale": (0.85, 1.15), "around": "box"}


def describe(augment: Augment, labels: LabelStatistics, said: Collection[str]) -> list[Decision]:
    """Says what the augmentation is, and why.

    Args:
        augment: that is used.
        labels: from which it was chosen.
        said: names of the options that the user set; no line speaks of these.
    """
    turned = f"labels are turned by up to {labels.turn:.0f} degrees"
    if labels.turn_of_all > labels.turn:
        turned += f", and {counted(labels.instances, 'label')} may not show all: {labels.turn_of_all:.0f} are taken"
    facing = (
        "so the subject is seen turned in every direction"
        if labels.turn_of_all >= ALL_ROUND
        else "so the subject is always upright"
    )
    around = "the labelled points" if augment.around == "points" else "the centre of the box"
    rotation = "all round" if augment.rotate >= 180 else f"up to {augment.rotate:.0f} degrees"
    sides = (
        "the names of the key points have left and right"
        if labels.has_sides
        else "no key points are named as left and right"
    )
    sides = sides if labels.mirrors_alike or not labels.has_sides else "no label looks like a mirrored label"
    boxes = "the boxes are whole frames" if labels.is_whole_frame else "boxes at test time are less tight"
    low, high = augment.scale
    lines = {
        "rotate": Decision("rotation", f"{rotation}, around {around}", f"{turned}, {facing}"),
        "flip": Decision("mirrored pictures", f"{augment.flip:.0%}", sides),
        "scale": Decision("scale", f"x {low:.2f} to {high:.2f}", boxes),
        "shift": Decision("shift", f"up to {augment.shift:.0%} of the box", boxes),
    }
    return [line for name, line in lines.items() if name not in said]


def share_outside(
    augment: Augment, samples: Sequence[tuple[np.ndarray, np.ndarray]], skeleton: Any, input_size: Size, seed: int = 0
) -> float:
    """Measures which share of the labelled points inside the plain crops an augmentation puts outside the picture.

    Args:
        augment: to draw from.
        samples: (key points (K, 3), box (4,)) of each instance, in picture pixels.
        skeleton: of the key points.
        input_size: (h, w) of the crop.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    inside = lost = 0
    for number in range(max(_DRAWS, len(samples)) if samples else 0):
        points, box = samples[number % len(samples)]
        seen = points[:, 2] > 0
        center, scale = box_to_center_scale(np.asarray(box, dtype=np.float64))
        plain = _within(points, udp_matrix(center, fix_aspect(scale, input_size), 0.0, input_size), input_size)
        drawn = augment.sample(rng, points, center, scale, skeleton)
        matrix = udp_matrix(drawn.center, fix_aspect(drawn.scale, input_size), drawn.rotation_deg, input_size)
        inside += int((seen & plain).sum())
        lost += int((seen & plain & ~_within(points, matrix, input_size)).sum())
    return lost / max(inside, 1)


def _within(points: np.ndarray, matrix: np.ndarray, size: Size) -> np.ndarray:
    x, y = to_input(points[:, :2].astype(np.float64), matrix).T
    return (x >= 0) & (x <= size[1] - 1) & (y >= 0) & (y <= size[0] - 1)


def kept_in_sight(
    augment: Augment,
    outside: Callable[[Augment], float],
    free: Sequence[str] = ("scale", "shift", "rotate"),
) -> tuple[Augment, float]:
    """Weakens an augmentation until it puts at most ``MOST_OUTSIDE`` of the labelled points outside the picture.

    Args:
        augment: as chosen.
        outside: gives the share that an augmentation puts outside.
        free: what may be weakened, which is all that the user did not set. Rotation all round comes last, since such
            subjects face every way; a smaller rotation is weakened along with the others.

    Returns:
        The augmentation, and its share.
    """
    best, share = augment, outside(augment)
    together: tuple[tuple[str, ...], ...] = (("scale", "shift", "rotate"),)
    for names in (("scale", "shift"), ("rotate",)) if augment.rotate >= 180 else together:
        begun = best
        for factor in (0.75, 0.5, 0.25, 0.0):
            if share <= MOST_OUTSIDE or not set(names) & set(free):
                break
            tried = _weakened(begun, factor, [name for name in names if name in free])
            found = outside(tried)
            if found < share:
                best, share = tried, found
    return best, share


def _weakened(augment: Augment, factor: float, names: Sequence[str]) -> Augment:
    low, high = augment.scale
    weaker: dict[str, Any] = {
        "scale": (min(1.0, 1 - (1 - low) * factor), high),  # a larger crop loses no points
        "shift": augment.shift * factor,
        "rotate": augment.rotate * factor,
    }
    return replace(augment, **{name: weaker[name] for name in names})
