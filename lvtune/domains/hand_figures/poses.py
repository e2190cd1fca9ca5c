"""Draws random hands: sizes, bone lengths and possible joint angles; test poses differ from training poses."""

from __future__ import annotations

import numpy as np

from lvtune.domains.hand_figures.anatomy import ANGLES, FINGERS, LENGTHS, LIMITS, SIZE_SPREAD, joints

BLOCK = 512
"""Hands are drawn in blocks of so many, so that hand i is the same however many are asked for."""
BONE_SPREAD = 0.5
"""Of the published spread of a bone's length, how much is the bone's own and not the hand's size."""
COUPLED = 0.5
"""Share of the fingers whose last joint follows the middle one, as it does where nothing presses on the tip."""
_MARGIN = 0.95
"""Angles keep to so much of the range that a joint has to either side of its middle."""
KNUCKLES = (25.0, 50.0)
"""Middle and half range of the angle at a finger's base, the middle likelier: the ends of its range are rare in use."""
_CLEARANCE, _PALM_CLEARANCE = 13.0, -13.0
_CELL_EDGES = np.array([45.0, 110.0])
_TEST_SHARE = 6


def sample_hands(count: int, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws right hands in their own coordinates (see :func:`lvtune.domains.hand_figures.anatomy.joints`).

    Args:
        count: N.
        split: ``train`` or ``test``; each has poses of its own cells (see :func:`cells`).
        seed: of the domain.

    Returns:
        (N, 21, 3) mm and (N, 20) degrees.
    """
    blocks = [_block(split, seed, number) for number in range(-(-count // BLOCK))]
    points, angles = (np.concatenate(parts)[:count] for parts in zip(*blocks, strict=True))
    return points, angles


def cells(angles: np.ndarray) -> np.ndarray:
    """Returns (N,) the cell of pose space, one of 162, of (N, 20) degrees.

    A cell says for each of the four fingers whether it is stretched, half bent or bent (by the sum of its two larger
    joints), and for the thumb which of two.
    """
    fingers = angles[:, 4:].reshape(-1, FINGERS, 4)
    state = np.digitize(fingers[..., 1] + fingers[..., 2], _CELL_EDGES)
    thumb = (angles[:, 2] + angles[:, 3] > 40).astype(int)
    return thumb * 81 + state @ (27, 9, 3, 1)


def is_test(cell: np.ndarray) -> np.ndarray:
    """Returns True for test cells: about one in six, spread so that both parts hold all states of each finger."""
    digits = (cell[..., None] // (81, 27, 9, 3, 1)) % (2, 3, 3, 3, 3)
    return (digits @ (3, 1, 5, 2, 4)) % _TEST_SHARE == 0


def _block(split: str, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, int(split != "train"), number])
    points, angles, found = [], [], 0
    # enough for one round most times
    draw = 3 * BLOCK // 2 if split == "train" else 8 * BLOCK
    while found < BLOCK:
        drawn = _angles(rng, draw)
        made = joints(_lengths(rng, draw), drawn)
        held_back = is_test(cells(drawn))
        kept = _possible(made) & (held_back if split != "train" else ~held_back)
        points.append(made[kept])
        angles.append(drawn[kept])
        found += int(kept.sum())
    return np.concatenate(points)[:BLOCK], np.concatenate(angles)[:BLOCK]


def _lengths(rng: np.random.Generator, count: int) -> np.ndarray:
    size = 1 + SIZE_SPREAD * np.clip(rng.standard_normal((count, 1)), -2.5, 2.5)
    own = 1 + BONE_SPREAD * LENGTHS[:, 1] / LENGTHS[:, 0] * np.clip(rng.standard_normal((count, 19)), -2.5, 2.5)
    return LENGTHS[:, 0] * size * own


def _angles(rng: np.random.Generator, count: int) -> np.ndarray:
    middle, half = LIMITS.mean(1), np.diff(LIMITS, axis=1)[:, 0] / 2
    angles = middle + _MARGIN * half * rng.uniform(-1, 1, (count, len(ANGLES)))
    fingers = angles[:, 4:].reshape(-1, FINGERS, 4)
    fingers[..., 1] = KNUCKLES[0] + KNUCKLES[1] * rng.uniform(-1, 1, (2, *fingers.shape[:2])).mean(0)
    follow = 2 / 3 * fingers[..., 2] + 8 * rng.standard_normal(fingers.shape[:2])
    coupled = rng.random(fingers.shape[:2]) < COUPLED
    fingers[..., 3] = np.where(coupled, np.clip(follow, *LIMITS[7]), fingers[..., 3])
    return angles


def _possible(points: np.ndarray) -> np.ndarray:
    """Returns (N,) bool: no finger of (N, 21, 3) runs through another one or through the palm."""
    fingers = points[:, 1:].reshape(len(points), 5, 4, 3)
    between = (fingers[:, :, :-1] + fingers[:, :, 1:]) / 2
    # the thumb's lower half lies in the palm
    along = np.concatenate([fingers[:, :, 1:], between], 2)
    clear = np.ones(len(points), bool)
    for one in range(5):
        for other in range(one + 1, 5):
            gap = along[:, one, :, None] - along[:, other, None, :]
            clear &= (gap * gap).sum(-1).min((1, 2)) > _CLEARANCE**2
    knuckles = fingers[:, 1:, :1, 1].min(1)
    tips = fingers[:, :, 2:]
    over_palm = (tips[..., 1] < knuckles[:, :, None]) & (tips[..., 1] > 0) & (np.abs(tips[..., 0]) < 40)
    return clear & ~(over_palm & (tips[..., 2] > _PALM_CLEARANCE)).any((1, 2))
