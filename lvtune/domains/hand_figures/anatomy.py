"""Bone lengths, joint limits and forward kinematics of the rendered hands. Millimetres and degrees.

Sources of the figures:

- lengths of metacarpals and phalanges, and the soft tissue past the last bone: X-rays of 66 adults, Buryanov & Kotiuk,
  Proportions of Hand Segments, Int. J. Morphol. 28(3):755-758, 2010, table I (mean, standard deviation);
- carpal height 0.54 of the third metacarpal: Youm et al., Kinematics of the wrist I, J. Bone Joint Surg. 60-A, 1978;
- hand breadth and the spread of hand length: workers of 20 to 59 years, men 84 and women 75 mm, lengths 183 ± 10 and
  166 ± 8 mm, ACOPLA95 (Estrada et al., Parametros antropometricos de la poblacion laboral colombiana, 1998);
- ranges of motion: The Electronic Textbook of Hand Surgery (eatonhand.com), normal range of motion, clf218;
  abduction of the fingers at their base, 20 degrees: American Academy of Orthopaedic Surgeons, Joint Motion, 1965;
- the last finger joint's bending about two thirds of the middle one's: Rijpkema & Girard, SIGGRAPH 1991.

Where the thumb's base lies, how the metacarpal heads arch, and which way the thumb bends are drawn by eye.
"""

from __future__ import annotations

import numpy as np

FINGERS = 4
# mean and standard deviation of metacarpal, then of each phalanx from base to tip; the last one's with soft tissue
_THUMB = np.array([[46.2, 3.9], [31.6, 3.1], [21.7 + 5.7, 1.6]])
_LONG = np.array([
    [[68.1, 6.3], [39.8, 4.9], [22.4, 2.5], [15.8 + 3.8, 2.3]],
    [[64.6, 5.4], [44.6, 3.8], [26.3, 3.0], [17.4 + 4.0, 1.9]],
    [[58.0, 5.1], [41.4, 3.9], [25.7, 3.3], [17.3 + 4.0, 2.2]],
    [[53.7, 4.4], [32.7, 2.8], [18.1, 2.5], [16.0 + 3.7, 2.5]],
])  # fmt: skip
LENGTHS = np.concatenate([_THUMB.reshape(-1, 2), _LONG.reshape(-1, 2)])
"""(19, 2): thumb's three bones, then four of each finger; mean and standard deviation."""
CARPUS = 0.54 * 64.6
"""From the wrist's centre to the bases of the metacarpals."""
BREADTH = (84 + 75) / 2
SIZE_SPREAD = 0.07
"""Standard deviation of hand length over its mean, men and women together."""

ANGLES = (
    "thumb_radial", "thumb_palmar", "thumb_mcp", "thumb_ip",
    *(f"{finger}_{joint}" for finger in ("index", "middle", "ring", "little")
      for joint in ("spread", "mcp", "pip", "dip")),
)  # fmt: skip
"""The twenty joint angles; bending is positive, spread is positive towards the thumb."""
LIMITS = np.array([[0, 60], [0, 45], [-10, 55], [-15, 80], *[[-20, 20], [-45, 90], [0, 100], [0, 80]] * FINGERS], float)
"""(20, 2) least and largest angle in degrees."""

# the metacarpal bases lie closer together than the heads
_BASES_SHARE = 0.5
_ARCH = np.array([-1.0, 0.0, -1.5, -5.0])
_THUMB_BASE = np.array([-21.0, 20.0, -9.0])
_THUMB_REST, _THUMB_TWIST = 12.0, 25.0


def joints(lengths: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Forward kinematics of right hands.

    x points away from the thumb, y from the wrist to the fingers, z out of the back of the hand.

    Args:
        lengths: (N, 19) mm, as `LENGTHS`.
        angles: (N, 20) degrees, as `ANGLES`.

    Returns:
        (N, 21, 3) mm, wrist at the origin, in the order of ``hand-21``.
    """
    out = np.zeros((len(angles), 21, 3))
    radians = np.deg2rad(angles)
    out[:, 1:5] = _thumb(lengths[:, :3], radians[:, :4])
    for finger in range(FINGERS):
        own = slice(3 + 4 * finger, 7 + 4 * finger)
        first = 5 + 4 * finger
        out[:, first : first + 4] = _finger(finger, lengths[:, own], radians[:, 4 + 4 * finger : 8 + 4 * finger])
    return out


def _finger(finger: int, lengths: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(N, 4) lengths and (N, 4) radians -> (N, 4, 3) from the base to the tip of one of the four fingers."""
    across = (finger - 1) * BREADTH / 4
    base = np.array([_BASES_SHARE * across, CARPUS, 0.0])
    sideways = across - base[0]
    forward = np.sqrt(lengths[:, 0] ** 2 - sideways**2)
    knuckle = base + np.stack([np.full_like(forward, sideways), forward, np.full_like(forward, _ARCH[finger])], -1)
    spread, mcp, pip, dip = angles.T
    # stretched fingers go on in the direction of their metacarpal; bent ones cannot be spread (tight side ligaments)
    yaw = spread * np.cos(np.clip(mcp, 0, None)) - np.arctan2(sideways, forward)
    points, bend = [knuckle], 0.0
    for length, angle in zip(lengths[:, 1:].T, (mcp, pip, dip), strict=True):
        bend = bend + angle
        reach = np.cos(bend)
        step = np.stack([-np.sin(yaw) * reach, np.cos(yaw) * reach, -np.sin(bend)], -1)
        points.append(points[-1] + length[:, None] * step)
    return np.stack(points, 1)


def _thumb(lengths: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(N, 3) lengths and (N, 4) radians -> (N, 4, 3): the thumb's base joint, two joints and tip."""
    radial, palmar, mcp, ip = angles.T
    radial = radial + np.deg2rad(_THUMB_REST)
    along = np.stack([-np.sin(radial) * np.cos(palmar), np.cos(radial) * np.cos(palmar), -np.sin(palmar)], -1)
    # opposed thumbs are turned about their length, so that the pad faces the fingers
    twist = np.deg2rad(_THUMB_TWIST) + palmar
    across = np.stack([np.cos(twist), np.zeros_like(twist), -np.sin(twist)], -1)
    across -= (across * along).sum(-1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    points = [np.broadcast_to(_THUMB_BASE, along.shape)]
    bend = np.zeros(len(angles))
    for length, angle in zip(lengths.T, (0.0, mcp, ip), strict=True):
        bend = bend + angle
        step = np.cos(bend)[:, None] * along + np.sin(bend)[:, None] * across
        points.append(points[-1] + length[:, None] * step)
    return np.stack(points, 1)
