"""The canonical frame of a hand, which separates its shape from its rotation, side and size.

Source: Zimmermann & Brox, Learning to Estimate 3D Hand Pose from Single RGB Images, arXiv 1705.01389, in the order of
``hand-21``. Joints are row vectors, a rotation stands on their right. The canonical hand is a left one: its root is the
origin, the middle finger's base lies at (0, -D, 0), the little finger's base at z = 0 with x > 0; a right hand is
mirrored in z.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lvtune.core.errors import DataError, UsageError

ROOT, ALIGN, TURN = 0, 9, 17
"""Wrist or palm; the base of the middle finger, which is put on the axis; that of the little finger, which is put in
the plane."""
BONE = (9, 10)
"""Ends of the bone whose length is one: the middle finger's first (FreiHAND's ``scale``)."""
LEFT, RIGHT = 0, 1


def to_canonical(xyz: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Splits a hand into its shape and its rotation.

    Args:
        xyz: (..., 21, 3), in any unit.
        side: (...) 0 for a left hand, 1 for a right one.

    Returns:
        canonical (..., 21, 3), in the same unit, and rotation (..., 3, 3); :func:`from_canonical` puts them together.

    Raises:
        LvtuneError: another number of joints, or sides that do not fit.
    """
    _check(xyz, side)
    points = xyz - xyz[..., ROOT : ROOT + 1, :]
    x, y, _ = points[..., ALIGN, :].unbind(-1)
    turn = _about_z(torch.atan2(x, y))
    _, y, z = _row(points, ALIGN, turn)
    turn = turn @ _about_x(torch.pi - torch.atan2(z, y))
    x, _, z = _row(points, TURN, turn)
    turn = turn @ _about_y(torch.atan2(z, x))
    return mirrored(points @ turn, side), turn.mT


def from_canonical(canonical: Tensor, rotation: Tensor, side: Tensor) -> Tensor:
    """Returns the hand (..., 21, 3) relative to its root: canonical (..., 21, 3), rotation (..., 3, 3), side (...)."""
    _check(canonical, side)
    return mirrored(canonical, side) @ rotation


def mirrored(points: Tensor, side: Tensor) -> Tensor:
    """Negates z of right hands and leaves left hands as they are: (..., 21, 3), (...) -> (..., 21, 3)."""
    sign = 1.0 - 2.0 * side.to(points.dtype)
    return torch.cat([points[..., :2], points[..., 2:] * sign[..., None, None]], dim=-1)


def normalise(xyz: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns joints relative to the root, in lengths of the reference bone.

    Args:
        xyz: (..., 21, 3), in any unit.
        scale: (...) the bone's length in that unit; None: measured.

    Returns:
        (..., 21, 3) and the scale (...).

    Raises:
        LvtuneError: a hand whose reference bone has no length.
    """
    measured = torch.linalg.vector_norm(xyz[..., BONE[1], :] - xyz[..., BONE[0], :], dim=-1) if scale is None else scale
    if not bool((measured > 0).all()):
        raise DataError(
            f"a hand whose bone {BONE[0]}-{BONE[1]} has length {float(measured.min()):g}",
            "a middle finger with a first bone", "drop the hand, or give its scale",
        )  # fmt: skip
    return (xyz - xyz[..., ROOT : ROOT + 1, :]) / measured[..., None, None], measured


def place(relative: Tensor, keypoints: Tensor, camera: Tensor, weight: Tensor | None = None) -> Tensor:
    """Places a hand in space so that the camera sees these key points; returns the absolute joints.

    The translation t is that of the least squares of (x + t_x) - u (z + t_z) and likewise y, with (u, v) the key
    points as rays at depth one; it is linear in t (as in FreiHAND, arXiv 1909.04349, for the root's depth).

    Args:
        relative: (..., 21, 3) joints relative to the root, with their true size, such as in mm.
        keypoints: (..., 21, 2) x, y in pixels.
        camera: (..., 3, 3) intrinsics for these pixels.
        weight: (..., 21) how much each key point is trusted; None: all alike.

    Returns:
        (..., 21, 3) in the unit of ``relative``, in camera coordinates.
    """
    rays, points = _rays(keypoints, camera), relative.double()
    weight = torch.ones_like(points[..., 0]) if weight is None else weight.double().clamp(min=0)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)
    # normal equations of rows (1, 0, -u) and (0, 1, -v)
    mean = (weight[..., None] * rays).sum(-2)
    square = (weight * rays.square().sum(-1)).sum(-1)
    residual = rays * points[..., 2:] - points[..., :2]
    flat = (weight[..., None] * residual).sum(-2)
    deep = -(weight * (rays * residual).sum(-1)).sum(-1)
    spread = (square - mean.square().sum(-1)).clamp(min=1e-12)
    depth = (deep + (mean * flat).sum(-1)) / spread
    shift = torch.cat([flat + mean * depth[..., None], depth[..., None]], dim=-1)
    return (points + shift[..., None, :]).to(relative.dtype)


def project(xyz: Tensor, camera: Tensor) -> Tensor:
    """Returns pixels (..., 21, 2) of joints (..., 21, 3) in front of a camera (..., 3, 3)."""
    seen = xyz @ camera.mT
    return seen[..., :2] / seen[..., 2:]


def _rays(keypoints: Tensor, camera: Tensor) -> Tensor:
    """Returns pixels (..., K, 2) as rays (x / z, y / z)."""
    pixels = torch.cat([keypoints, torch.ones_like(keypoints[..., :1])], dim=-1).double()
    rays = pixels @ torch.linalg.inv(camera.double()).mT
    return rays[..., :2] / rays[..., 2:]


def _row(points: Tensor, joint: int, turn: Tensor) -> tuple[Tensor, ...]:
    return (points[..., joint, None, :] @ turn)[..., 0, :].unbind(-1)


def _about_z(angle: Tensor) -> Tensor:
    c, s, o, i = _entries(angle)
    return _matrix([c, s, o, -s, c, o, o, o, i])


def _about_x(angle: Tensor) -> Tensor:
    c, s, o, i = _entries(angle)
    return _matrix([i, o, o, o, c, s, o, -s, c])


def _about_y(angle: Tensor) -> Tensor:
    c, s, o, i = _entries(angle)
    return _matrix([c, o, -s, o, i, o, s, o, c])


def _entries(angle: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)


def _matrix(entries: list[Tensor]) -> Tensor:
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def _check(points: Tensor, side: Tensor) -> None:
    if points.shape[-2:] != (21, 3) or side.shape != points.shape[:-2]:
        raise UsageError(
            f"joints {tuple(points.shape)} with sides {tuple(side.shape)}", "joints (..., 21, 3) and sides (...)",
            "give one side, 0 (left) or 1 (right), for each hand of 21 joints",
        )  # fmt: skip
