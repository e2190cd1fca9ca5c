"""The data set of training: crops, key points and categories of the persons of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from lvtune.core.errors import UsageError
from lvtune.data.augment import Augment, Color, Halves, Sampled, jitter
from lvtune.data.crop import Size, box_to_center_scale, fix_aspect, to_input, udp_matrix, warp
from lvtune.data.images import MAX_PIXELS, read_image, read_reduced
from lvtune.data.mixed import Group, MixedTable

Render = Callable[[np.ndarray, str, int], np.ndarray]
CACHE_BYTES = 2 * 1024**3


class PersonLike(Protocol):
    """The fields of a person that are read."""

    index: int
    image: str
    bbox: np.ndarray
    keypoints: np.ndarray
    category: str


class Mirrored(Halves, Protocol):
    """The part of a skeleton that is read."""

    @property
    def flip_index(self) -> tuple[int, ...]:
        """The mirrored key point of each."""
        ...

    @property
    def mirrors(self) -> bool:
        """Returns True if a mirrored picture can be labelled."""
        ...


class TableLike(Protocol):
    """The part of a `PoseTable` that is read."""

    root: Path
    skeleton: Mirrored

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> PersonLike: ...


class PoseDataset(Dataset):
    """Top-down samples: one person, one crop.

    The random changes depend on (seed, epoch, item) alone, not on workers or processes.

    Args:
        table: the persons.
        input_size: (h, w) of the network input.
        mean: per channel (R, G, B), of pixels in 0..1.
        std: per channel, likewise.
        augment: random changes; None for evaluation.
        render: `render(image, view, person index)` draws a whole picture over, (H, W, 3) uint8 in and out.
        views: names that `render` knows. Item i is then person i // len(views) seen through
            views[i % len(views)], which is also its category. Without views the person's own category is
            given to `render`.
        seed: of the augmentation.
        cache: keep decoded (and rendered) pictures in memory as uint8, up to `CACHE_BYTES` a process.
        reduced: decode a JPEG at 1/2, 1/4, 1/8 where its crop is at least that much larger than the input;
            only for pictures neither rendered nor cached. False gives the reference's pixels always.
    """

    def __init__(
        self,
        table: TableLike,
        *,
        input_size: Size,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Augment | None = None,
        render: Render | None = None,
        views: Sequence[str] | None = None,
        seed: int = 0,
        cache: bool = False,
        reduced: bool = True,
    ) -> None:
        if views and render is None:
            raise UsageError(
                f"views {', '.join(views)} without render",
                "a function that draws each view",
                "pass render=lambda image, view, index: ... too",
            )
        self.table, self.input_size = table, (int(input_size[0]), int(input_size[1]))
        self.augment, self.render, self.seed = augment, render, seed
        self.views = tuple(views) if views else None
        self._max_pixels = getattr(table, "max_pixels", MAX_PIXELS)
        self.reduced = reduced and render is None and not cache
        # Shared, so that workers kept from one epoch to the next see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.flip_index = np.array(table.skeleton.flip_index, dtype=np.int64)
        self._factor = (1.0 / (255.0 * np.asarray(std, dtype=np.float64))).astype(np.float32)
        self._offset = (-np.asarray(mean, dtype=np.float64) / np.asarray(std)).astype(np.float32)
        self._cache: dict[tuple[str, str, int], np.ndarray] | None = {} if cache else None
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.table) * (len(self.views) if self.views else 1)

    @property
    def groups(self) -> list[Group] | None:
        """Returns the groups that an epoch is sampled from, for a mixture with shares; None: every sample once."""
        return self.table.groups if isinstance(self.table, MixedTable) else None

    @property
    def fingerprint(self) -> str:
        """sha256 over what the samples depend on, but the epoch, the pictures' pixels and the insides of `render`."""
        drawn = None if self.render is None else getattr(self.render, "__qualname__", type(self.render).__name__)
        facts = [
            getattr(self.table, "fingerprint", None), len(self), self.input_size, self._factor.tolist(),
            self._offset.tolist(), repr(self.augment), self.augment and self.seed, drawn, self.views, self.reduced,
        ]  # fmt: skip
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that the random changes depend on; call it before the loader is iterated."""
        self._epoch.fill_(epoch)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """Returns one sample.

        Returns:
            pixel_values float32 (3, H, W) normalised; keypoints float32 (K, 2) in input pixels; visible
            float32 (K,) 0 or 1, of answers in place of labels how far they are believed; category; index
            (this item); center, scale float32 (2,) of the crop in image pixels. `crop.to_image` needs those
            of an unaugmented sample.

        Raises:
            LvtuneError: the picture cannot be read, or `render` gave something else than a picture.
        """
        return self._sample(item)

    def labels(self, item: int) -> dict[str, Any]:
        """Returns one sample without reading its picture: ``pixel_values`` are zero."""
        return self._sample(item, with_pixels=False)

    def _sample(self, item: int, with_pixels: bool = True) -> dict[str, Any]:
        if not -len(self) <= item < len(self):
            raise IndexError(f"sample {item} of {len(self)}")
        item %= len(self)
        number, view = divmod(item, len(self.views or (None,)))
        person = self.table[number]
        category = self.views[view] if self.views else person.category
        points = np.asarray(person.keypoints, dtype=np.float64)
        drawn = self._draw(item, points, person.bbox)
        scale = fix_aspect(drawn.scale, self.input_size)
        matrix = udp_matrix(drawn.center, scale, drawn.rotation_deg, self.input_size)
        keypoints, visible = to_input(points[:, :2], matrix), points[:, 2].clip(0, 1)
        mirrored = drawn.flip and self.table.skeleton.mirrors
        if mirrored:
            keypoints, visible = keypoints[self.flip_index], visible[self.flip_index]
            keypoints[:, 0] = self.input_size[1] - 1 - keypoints[:, 0]
        pixels = torch.zeros(3, *self.input_size)
        if with_pixels:
            crop = self._crop(person, category, matrix, float(scale[0]) / self.input_size[1])
            crop = jitter(crop, drawn.color)
            # Mirrored after the warp, about the centre between pixels 0 and W − 1: exact in UDP's measure.
            pixels = torch.from_numpy(self._normalise(cv2.flip(crop, 1) if mirrored else crop))
        return {
            "pixel_values": pixels,
            "keypoints": torch.from_numpy(keypoints.astype(np.float32)),
            "visible": torch.from_numpy(visible.astype(np.float32)),
            "category": category,
            "index": item,
            "center": torch.from_numpy(drawn.center.astype(np.float32)),
            "scale": torch.from_numpy(scale.astype(np.float32)),
        }

    def _draw(self, item: int, points: np.ndarray, bbox: np.ndarray) -> Sampled:
        """Returns the region of the crop, changed at random if there is augmentation."""
        center, scale = box_to_center_scale(np.asarray(bbox, dtype=np.float64))
        if self.augment is None:
            return Sampled(center, scale, 0.0, False, Color())
        rng = np.random.default_rng([self.seed, int(self._epoch), item])
        return self.augment.sample(rng, points, center, scale, self.table.skeleton)

    def _crop(self, person: PersonLike, category: str, matrix: np.ndarray, ratio: float) -> np.ndarray:
        if not self.reduced:
            return warp(self._picture(person, category), matrix, self.input_size)
        image, factor = read_reduced(self.table.root / person.image, ratio, self._max_pixels)
        if factor > 1:
            # Pixel i of the small picture covers pixels f·i to f·i + f − 1: its centre is f·i + (f − 1) / 2.
            matrix = np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2].sum(1) * (factor - 1) / 2])
        return warp(image, matrix, self.input_size)

    def _picture(self, person: PersonLike, category: str) -> np.ndarray:
        """Returns the whole picture, rendered if there is a `render`, from the cache if it is there."""
        key = (person.image, category, person.index) if self.render else (person.image, "", 0)
        if self._cache is not None and key in self._cache:
            return self._cache[key]
        image = read_image(self.table.root / person.image, self._max_pixels)
        if self.render is not None:
            image = _checked(self.render(image, category, person.index), image.shape, category)
        if self._cache is not None and self._cached_bytes + image.nbytes <= CACHE_BYTES:
            self._cache[key] = image
            self._cached_bytes += image.nbytes
        return image

    def _normalise(self, crop: np.ndarray) -> np.ndarray:
        """Converts (h, w, 3) uint8 to normalised (3, h, w) float32."""
        out = np.empty((3, *crop.shape[:2]), dtype=np.float32)
        for channel, plane in enumerate(cv2.split(crop)):
            np.multiply(plane, self._factor[channel], out=out[channel])
            out[channel] += self._offset[channel]
        return out


def _checked(image: np.ndarray, shape: tuple[int, ...], view: str) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.shape != shape or image.dtype != np.uint8:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UsageError(
            f"render of '{view}' gave {got}",
            f"uint8 {shape}, as it was handed",
            "keep the size of the picture: the key points refer to it",
        )
    return image


def collate(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks samples: tensors (B, ...), `index` an int64 tensor (B,), `category` a list of B strings or None."""
    out: dict[str, Any] = {}
    for key in batch[0]:
        values = [sample[key] for sample in batch]
        if isinstance(values[0], torch.Tensor):
            out[key] = torch.stack(values)
        else:
            out[key] = values if isinstance(values[0], str | None) else torch.tensor(values)
    return out


def worker_init(_: int) -> None:
    """For `DataLoader(worker_init_fn=...)`: one thread for each worker, so that workers do not compete for cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
