"""The table of rendered hands: labels are computed at once, pictures when they are needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from lvtune.data.hand_joints import Root, project, with_root
from lvtune.data.hand_table import HandTable
from lvtune.domains.hand_figures.paint import draw_figure
from lvtune.domains.hand_figures.poses import sample_hands
from lvtune.domains.hand_figures.settings import SETTINGS
from lvtune.domains.hand_figures.view import photograph


@dataclass(frozen=True)
class Figures:
    """Draws the pictures of a split. It holds only a few numbers, so that it is cheap to send to worker processes."""

    count: int
    split: str
    settings: tuple[str, ...]
    """Figure i is drawn in setting i modulo their number."""
    size: int
    seed: int = 0

    def labels(self) -> dict[str, np.ndarray]:
        """``xyz`` (N, 21, 3) with the wrist, ``camera`` (N, 3, 3), ``side`` (N,)."""
        return _labels(self.count, self.split, self.seed, self.size)

    def __call__(self, image_id: int) -> np.ndarray:
        """(S, S, 3) uint8 RGB of figure ``image_id``."""
        labels, name = self.labels(), self.settings[image_id % len(self.settings)]
        number = list(SETTINGS).index(name)
        rng = np.random.default_rng([self.seed, int(self.split != "train"), 2, number, image_id])
        return draw_figure(
            labels["xyz"][image_id], int(labels["side"][image_id]), labels["camera"][image_id], size=self.size,
            setting=SETTINGS[name], rng=rng,
        )  # fmt: skip

    def table(self, root: Root = "palm") -> HandTable:
        """Returns the labels of all figures; key points are the projected joints."""
        labels = self.labels()
        xyz = with_root(labels["xyz"], "wrist", root)
        points = project(xyz, labels["camera"])
        inside = np.asarray(((points >= 0) & (points <= self.size - 1)).all(-1))
        count, edge = self.count, float(self.size - 1)
        ids = np.arange(count)
        names = np.array(self.settings)[ids % len(self.settings)]
        title = f"hand-figures-{self.split}"
        return HandTable(
            {
                "image": np.array([f"{title}-{name}-{i:06d}" for i, name in zip(ids, names, strict=True)]),
                "image_id": ids,
                "width": np.full(count, self.size),
                "height": np.full(count, self.size),
                "side": labels["side"],
                # the whole picture; UDP measures between the centres of its outermost pixels
                "bbox": np.broadcast_to([0.0, 0.0, edge, edge], (count, 4)),
                "keypoints": np.concatenate([points, 2.0 * inside[..., None]], -1),
                "xyz": xyz,
                "camera": labels["camera"],
                "category": names,
            },
            draw=self,
            joint0=root,
        )

    def at(self, size: int) -> Figures:
        """Returns the same figures in pictures of another size."""
        return replace(self, size=size)


@lru_cache(maxsize=8)
def _labels(count: int, split: str, seed: int, size: int) -> dict[str, np.ndarray]:
    hands, _ = sample_hands(count, split, seed)
    return photograph(hands, split, seed, size)
