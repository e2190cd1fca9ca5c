"""Draws a few annotated pictures: equally many for each category, and a smaller draw is part of a larger one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset


def nested_order(names: Sequence[str], kinds: Sequence[str], seed: int) -> list[int]:
    """Returns the places of n pictures in the order in which they are drawn.

    The first m of them hold equally many of each kind (to within one), for any m. The order depends on names, kinds and
    seed, not on the order given.

    Args:
        names: n, each once.
        kinds: n, such as categories.
        seed: of the draw.
    """
    groups: dict[str, list[int]] = {}
    for place in sorted(range(len(names)), key=lambda i: _lot(seed, names[i])):
        groups.setdefault(kinds[place], []).append(place)
    turn = sorted(groups, key=lambda kind: _lot(seed, f"kind {kind}"))
    longest = max(map(len, groups.values()), default=0)
    return [groups[kind][i] for i in range(longest) for kind in turn if i < len(groups[kind])]


def nested_views(names: Sequence[str], views: Sequence[str], seed: int) -> list[tuple[int, int]]:
    """Returns (picture, view) pairs in the order in which they are drawn: every picture once before any comes twice.

    The first m hold equally many of each view, for any m up to n; each further n hold every picture once.
    """
    pictures = nested_order(names, [""] * len(names), seed)
    turn = nested_order(views, [""] * len(views), seed)
    return [
        (picture, turn[(place + again) % len(turn)])
        for again in range(len(turn))
        for place, picture in enumerate(pictures)
    ]


def _lot(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


class Subset(Dataset):
    """Some samples of a data set.

    Args:
        data: items of :class:`lvtune.data.dataset.PoseDataset`.
        items: which, in this order.
        renumber: give the samples new numbers; otherwise they keep theirs, by which an objective knows them.
    """

    groups = None

    def __init__(self, data: Any, items: Sequence[int], *, renumber: bool = True) -> None:
        self.data, self.items, self.renumber = data, tuple(items), renumber

    @property
    def fingerprint(self) -> str | None:
        """sha256 over that of the data and the items; None where the data have none."""
        whole = getattr(self.data, "fingerprint", None)
        return None if whole is None else hashlib.sha256(f"{whole} {self.items}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.items)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the augmentation."""
        self.data.set_epoch(epoch)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return self._numbered(self.data[self.items[item]], item)

    def labels(self, item: int) -> dict[str, Any] | None:
        """Returns a sample without reading its picture; None where the data cannot do so."""
        labels = getattr(self.data, "labels", None)
        found = None if labels is None else labels(self.items[item])
        return None if found is None else self._numbered(found, item)

    def _numbered(self, sample: dict[str, Any], item: int) -> dict[str, Any]:
        return {**sample, "index": item} if self.renumber else sample
