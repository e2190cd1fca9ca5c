"""The samples of several earlier domains, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset


class EarlierSamples(Dataset):
    """Samples of some data sets, whose categories may be called otherwise in the adapter.

    Args:
        parts: data sets, each with a table from its categories to those of the adapter; others keep their name.
    """

    groups = None

    def __init__(self, parts: Sequence[tuple[Any, Mapping[str, str]]]) -> None:
        self.parts = list(parts)
        self.places = [(part, item) for part, (data, _) in enumerate(self.parts) for item in range(len(data))]

    def __len__(self) -> int:
        return len(self.places)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the augmentation."""
        for data, _ in self.parts:
            data.set_epoch(epoch)

    def __getitem__(self, item: int) -> dict[str, Any]:
        part, own = self.places[item]
        data, names = self.parts[part]
        found = data[own]
        return {**found, "category": names.get(found["category"], found["category"]), "index": item}
