"""Models a hand as tapered capsules around its joints, and renders their depth, normals and parts.

A capsule is the ball swept from one end to the other while its radius changes evenly. For each pixel the foremost of
these balls is found in closed form, seen from so far that perspective within one capsule does not count; where the
capsules lie is in perspective.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# parts, by which skin is painted
PALM, THUMB, FINGER, TIP, ARM = range(5)
# millimetres, by eye from the breadth of fingers (about 20 at the middle joint of an index finger)
_PHALANX = (9.6, 8.6, 7.6, 6.2)
_FINGER_FACTOR = (1.0, 1.03, 0.97, 0.85)
_THUMB = (14.0, 11.0, 9.6, 7.4)
FAR = np.float32(1e9)

Add = Callable[[np.ndarray, np.ndarray, tuple[float, float], np.ndarray, int], None]


@dataclass
class Capsules:
    """M tapered capsules in camera coordinates, mm."""

    start: np.ndarray
    end: np.ndarray
    """(M, 3) each."""
    radii: np.ndarray
    """(M, 2) at either end."""
    back: np.ndarray
    """(M, 3) unit vectors out of the back (nail side) of each part."""
    part: np.ndarray
    """(M,)."""


@dataclass
class Surface:
    """The P pixels of a picture where a hand is seen."""

    pixel: np.ndarray
    """(P,) row times the picture's width plus column."""
    number: np.ndarray
    """(P,) which capsule."""
    along: np.ndarray
    """(P,) 0 at the capsule's start, 1 at its end."""
    normal: np.ndarray
    """(P, 3) unit normal; its z looks at the camera."""
    depth: np.ndarray
    """(S, S) in pixels, growing away from the camera; `FAR` where no hand is."""


def flesh(xyz: np.ndarray, side: int, wrist_bend: tuple[float, float], fatness: float = 1.0) -> Capsules:
    """Returns the capsules of a hand and its forearm.

    Args:
        xyz: (21, 3) mm with the wrist as joint 0.
        side: 0 left, 1 right.
        wrist_bend: radians by which the forearm leaves the hand's direction, to the back and sideways.
        fatness: factor on the radii.
    """
    size = np.linalg.norm(xyz[9] - xyz[0]) / 99.5
    across, forward, back = _frame(xyz, side)
    rows: list[tuple] = []

    def add(start: np.ndarray, end: np.ndarray, radii: tuple[float, float], out: np.ndarray, part: int) -> None:
        rows.append((start, end, radii, out, part))

    for finger in range(4):
        base = 5 + 4 * finger
        for bone in range(3):
            start, end = xyz[base + bone], xyz[base + bone + 1]
            thick = [_FINGER_FACTOR[finger] * _PHALANX[bone + i] for i in (0, 1)]
            if bone == 2:
                end = end - _unit(end - start) * thick[1] * size
            out = _cross(_unit(end - start), _cross(back, forward))
            add(start, end, (thick[0], thick[1]), _unit(out), TIP if bone == 2 else FINGER)
    _add_thumb(add, xyz, size, across, back)
    _add_palm(add, xyz, size, across, back)
    _add_arm(add, xyz, size, (across, forward, back), wrist_bend)
    start, end, radii, out, part = zip(*rows, strict=True)
    return Capsules(np.array(start), np.array(end), np.array(radii) * size * fatness, np.array(out), np.array(part))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.sqrt(vector @ vector)), 1e-9)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the cross product of two single vectors, ten times as fast as numpy's own."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _frame(xyz: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns unit vectors away from the thumb, towards the fingers, and out of the back."""
    forward = _unit(xyz[9] - xyz[0])
    back = _cross(xyz[17] - xyz[5], forward) * (1 if side else -1)
    back = _unit(back)
    return _cross(forward, back) * (1 if side else -1), forward, back


def _add_thumb(add: Add, xyz: np.ndarray, size: np.floating, across: np.ndarray, back: np.ndarray) -> None:
    along = _unit(xyz[2] - xyz[1])
    twist = np.deg2rad(25) + np.arcsin(np.clip(-along @ back, -1, 1))
    bend = across * np.cos(twist) - back * np.sin(twist)
    axis = _cross(along, bend)
    for bone in range(3):
        start, end = xyz[1 + bone], xyz[2 + bone]
        radii = (_THUMB[bone], _THUMB[bone + 1])
        if bone == 2:
            end = end - _unit(end - start) * radii[1] * size
        # the back of a bone looks away from where the thumb bends to
        out = _unit(_cross(_unit(end - start), axis))
        add(start, end, radii, out, TIP if bone == 2 else THUMB)


def _add_palm(add: Add, xyz: np.ndarray, size: np.floating, across: np.ndarray, back: np.ndarray) -> None:
    wrist, heads = xyz[0], xyz[[5, 9, 13, 17]]
    sunk = -back * 3.0 * size
    foot = [wrist + across * offset * size + sunk for offset in (-12, -4, 5, 13)]
    for start, head in zip(foot, heads, strict=True):
        add(start, head + sunk * 0.6, (13.0, 10.8), back, PALM)
    for i in range(3):
        add((foot[i] + foot[i + 1]) / 2, (heads[i] + heads[i + 1]) / 2 + sunk, (13.0, 10.2), back, PALM)
    # the ball of the thumb, the little finger's side, and the web between thumb and index finger
    add(wrist + (xyz[1] - wrist) * 0.7 + sunk, xyz[2] * 0.75 + xyz[1] * 0.25, (14.0, 12.0), back, PALM)
    add(wrist + across * 15 * size - back * 7 * size, heads[3] - back * 6 * size, (13.0, 9.5), back, PALM)
    web = xyz[2] * 0.6 + xyz[1] * 0.4
    add(web, heads[0] * 0.72 + wrist * 0.28 + sunk, (8.5, 9.5), back, PALM)


def _add_arm(
    add: Add, xyz: np.ndarray, size: np.floating, frame: tuple[np.ndarray, ...], wrist_bend: tuple[float, float]
) -> None:
    across, forward, back = frame
    to_back, sideways = wrist_bend
    down = _unit(-forward + np.tan(to_back) * back + np.tan(sideways) * across)
    for offset in (-11, 11):
        start = xyz[0] + across * offset * size - back * 3 * size
        add(start, start + down * 230 * size + across * offset * size, (16.5, 27.0), back, ARM)


def rasterize(capsules: Capsules, camera: np.ndarray, size: int) -> Surface:
    """Returns the foremost surface at each pixel of a square picture.

    Args:
        capsules: in camera coordinates.
        camera: (3, 3) intrinsics.
        size: width and height S in pixels.
    """
    focal, centre = camera[0, 0], camera[:2, 2]
    ends = np.stack([capsules.start, capsules.end], 1)
    # what reaches behind the camera is cut off before it
    ends[..., 2] = np.maximum(ends[..., 2], 40.0)
    place = focal * ends[..., :2] / ends[..., 2:] + centre
    radii = focal * capsules.radii / ends[..., 2]
    far = focal * ends[..., 2] / ends[:, 0, 2].mean()
    # x, y, radius and depth at the start of each capsule, and their change to its end
    start = np.concatenate([place[:, 0], radii[:, :1], far[:, :1]], 1)
    change = np.concatenate([place[:, 1], radii[:, 1:], far[:, 1:]], 1) - start
    depth, along = np.full((size, size), FAR, np.float32), np.zeros((size, size), np.float32)
    number = np.zeros((size, size), np.int16)
    low = np.clip(np.floor((place - radii[..., None]).min(1)).astype(int), 0, size)
    high = np.clip(np.ceil((place + radii[..., None]).max(1)).astype(int) + 1, 0, size)
    for i in np.flatnonzero((low < high).all(1)):
        window = np.s_[low[i, 1] : high[i, 1], low[i, 0] : high[i, 0]]
        front, t = _front(window, start[i].tolist(), change[i].tolist())
        seen = front < depth[window]
        np.copyto(depth[window], front, where=seen)
        np.copyto(along[window], t, where=seen)
        number[window][seen] = i
    pixel = np.flatnonzero(depth < FAR)
    number, along = number.ravel()[pixel], along.ravel()[pixel]
    ball = (start[number] + along[:, None] * change[number]).astype(np.float32)
    normal = np.empty((len(pixel), 3), np.float32)
    normal[:, 0] = (pixel % size - ball[:, 0]) / ball[:, 2]
    normal[:, 1] = (pixel // size - ball[:, 1]) / ball[:, 2]
    normal[:, 2] = -np.sqrt(np.maximum(1 - normal[:, 0] ** 2 - normal[:, 1] ** 2, 0))
    return Surface(pixel, number, along, normal, depth)


def _front(window: tuple[slice, slice], start: list[float], change: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the depth of one capsule's front in a window, `FAR` beside it, and how far along the capsule that is."""
    rows, columns = window
    (ax, ay, ra, za), (bx, by, rb, zb) = start, change
    length = (bx * bx + by * by) ** 0.5
    # one that points at the camera has any direction in the picture
    ux, uy = (bx / length, by / length) if length > 1e-3 else (1.0, 0.0)
    length = max(length, 1e-3)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(ax)
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(ay))[:, None]
    s = x * np.float32(ux) + y * np.float32(uy)
    beside2 = y * np.float32(ux) - x * np.float32(uy)
    beside2 *= beside2
    # the ball whose front is foremost at this pixel: its centre lies a little towards the nearer end
    slope = zb / length
    t = np.minimum(np.maximum(s * np.float32(1 / length), 0), 1)
    t *= np.float32(rb)
    t += np.float32(ra)
    t *= t
    t -= beside2
    lean = np.sqrt(np.maximum(t, 0, out=t), out=t)
    lean *= np.float32(slope / (1 + slope * slope) ** 0.5)
    t = s - lean
    t *= np.float32(1 / length)
    np.minimum(np.maximum(t, 0, out=t), 1, out=t)
    s -= t * np.float32(length)
    s *= s
    s += beside2
    r = t * np.float32(rb) + np.float32(ra)
    r *= r
    r -= s
    front = t * np.float32(zb) + np.float32(za) - np.sqrt(np.maximum(r, 0))
    np.copyto(front, FAR, where=r <= 0)
    return front, t
