"""The data set of hands: crops with 2D and 3D labels of the hands of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from lvtune.data.augment import Augment, Color, Sampled, jitter
from lvtune.data.crop import Size, box_to_center_scale, fix_aspect, to_input, udp_matrix, warp
from lvtune.data.dataset import CACHE_BYTES
from lvtune.data.hand_table import LEFT, RIGHT, Hand, HandTable


class HandDataset(Dataset):
    """One crop for each hand. The random changes depend on (seed, epoch, item) alone.

    The crop, the turn and the mirroring of the picture act on the 3D joints and on the intrinsics too, so that
    ``keypoints`` are ``camera · xyz`` for every item.

    Args:
        table: the hands.
        input_size: (h, w) of the network input.
        mean: per channel (R, G, B), of pixels in 0..1.
        std: per channel, likewise.
        augment: random changes; None for evaluation. `half_body` is ignored: hands have none.
        seed: of the augmentation.
        cache: keep decoded (or drawn) pictures in memory, up to 2 GiB a process.
        mirror_left: show left hands mirrored, so that all are right ones; then nothing is flipped at random.
        padding: factor on the table's boxes.
    """

    def __init__(
        self,
        table: HandTable,
        *,
        input_size: Size,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Augment | None = None,
        seed: int = 0,
        cache: bool = False,
        mirror_left: bool = True,
        padding: float = 1.0,
    ) -> None:
        self.table, self.input_size = table, (int(input_size[0]), int(input_size[1]))
        self.seed, self.mirror_left, self.padding = seed, mirror_left, padding
        if augment is not None:
            augment = replace(augment, half_body=0.0, flip=0.0 if mirror_left else augment.flip)
        self.augment = augment
        # Shared, so that workers kept from one epoch to the next see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._factor = (1.0 / (255.0 * np.asarray(std, dtype=np.float64))).astype(np.float32)[:, None, None]
        self._offset = (-np.asarray(mean) / np.asarray(std)).astype(np.float32)[:, None, None]
        self._cache: dict[int, np.ndarray] | None = {} if cache else None
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.table)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the random changes depend on; call it before the loader is iterated."""
        self._epoch.fill_(epoch)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Returns one sample.

        Returns:
            pixel_values float32 (3, H, W) normalised; keypoints float32 (21, 2) in input pixels; visible float32
            (21,) 0 or 1; xyz float32 (21, 3) mm in the camera's coordinates; root float32 (3,), its joint 0;
            camera float32 (3, 3), intrinsics of the crop; side 0 left, 1 right, as shown; mirrored 0 or 1; scale
            float32, mm, the reference bone's length; category; index (this item); center, scale2d float32 (2,)
            of the crop in image pixels.

        Raises:
            LvtuneError: the picture cannot be read.
        """
        if not -len(self) <= item < len(self):
            raise IndexError(f"sample {item} of {len(self)}")
        item %= len(self)
        hand = self.table[item]
        drawn = self._draw(item, hand)
        size2d = fix_aspect(drawn.scale, self.input_size)
        matrix = udp_matrix(drawn.center, size2d, drawn.rotation_deg, self.input_size)
        crop = jitter(self._crop(item, matrix), drawn.color)
        points, turn, camera = _moved(hand, matrix, drawn.rotation_deg)
        xyz, side = hand.xyz @ turn.T, hand.side
        mirrored = drawn.flip or (self.mirror_left and side == LEFT)
        if mirrored:
            # Mirrored after the warp, about the centre between pixels 0 and W − 1.
            crop, side = cv2.flip(crop, 1), RIGHT + LEFT - side
            last = self.input_size[1] - 1
            points[:, 0] = last - points[:, 0]
            xyz = xyz * [-1.0, 1.0, 1.0]
            camera = np.array([[-1.0, 0.0, last], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ camera @ np.diag([-1.0, 1, 1])
        pixels = crop.transpose(2, 0, 1) * self._factor + self._offset
        as_tensor = lambda values: torch.from_numpy(np.asarray(values, dtype=np.float32))  # noqa: E731
        return {
            "pixel_values": torch.from_numpy(np.ascontiguousarray(pixels)),
            "keypoints": as_tensor(points),
            "visible": as_tensor(hand.keypoints[:, 2] > 0),
            "xyz": as_tensor(xyz),
            "root": as_tensor(xyz[0]),
            "camera": as_tensor(camera),
            "side": side,
            "mirrored": int(mirrored),
            "scale": as_tensor(hand.scale),
            "category": hand.category,
            "index": item,
            "center": as_tensor(drawn.center),
            "scale2d": as_tensor(size2d),
        }

    def _draw(self, item: int, hand: Hand) -> Sampled:
        center, scale = box_to_center_scale(hand.bbox, padding=self.padding)
        if self.augment is None:
            return Sampled(center, scale, 0.0, False, Color())
        rng = np.random.default_rng([self.seed, int(self._epoch), item])
        skeleton: Any = self.table.skeleton  # a cached property is read like the protocol's property
        return self.augment.sample(rng, hand.keypoints, center, scale, skeleton)

    def _crop(self, item: int, matrix: np.ndarray) -> np.ndarray:
        picture = self._picture(item)
        whole = picture.shape[:2] == self.input_size and np.allclose(matrix, np.eye(2, 3), atol=1e-4)
        return picture if whole else warp(picture, matrix, self.input_size)

    def _picture(self, item: int) -> np.ndarray:
        if self._cache is None:
            return self.table.picture(item)
        if item not in self._cache:
            picture = self.table.picture(item)
            if self._cached_bytes + picture.nbytes > CACHE_BYTES:
                return picture
            self._cache[item] = picture
            self._cached_bytes += picture.nbytes
        return self._cache[item]


def _moved(hand: Hand, matrix: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns key points (21, 2) in the crop, the rotation (3, 3) of the 3D joints, and the crop's intrinsics (3, 3).

    A picture that is rotated about any point is what a rotated camera with another principal point sees.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    affine = np.vstack([matrix.astype(np.float64), [0, 0, 1]])
    return to_input(hand.keypoints[:, :2], matrix), turn, affine @ hand.camera @ turn.T
