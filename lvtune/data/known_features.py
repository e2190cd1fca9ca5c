"""Samples without their pixels, where features were computed from them before in this run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lvtune.data.feature_rows import mark_of
from lvtune.data.worker_errors import collate_or_error

HAS_PIXELS = "has_pixels"
"""Key of a sample: whether its pixels were read; they are zero where they were not."""
PLACE = "place"
"""Key of a sample: its place in the data set; ``index`` may be that in a larger one."""
MARKS = "pixel_mark"
"""Key of a batch: of each sample the mark of its pixels, None where they were not read."""


class KnownFeatures(Dataset):
    """The samples of a data set; of those whose features are known, the labels alone.

    Reading a picture and cutting the person out takes longer than reading features. Data sets without a method
    ``labels``, or whose ``labels`` gives None, give their pixels always. The tensors are shared, so that processes that
    read see what changes.

    Args:
        data: ``labels(item)`` returns a sample whose ``pixel_values`` are zero.
        views: of each picture.
    """

    def __init__(self, data: Any, views: int) -> None:
        self.data = data
        self.known = torch.zeros(views, len(data), dtype=torch.bool).share_memory_()
        """(views, N) Set where features are known."""
        self.view = torch.zeros((), dtype=torch.int64).share_memory_()
        """The view that is read at present."""
        self._labels = getattr(data, "labels", None)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> dict[str, Any]:
        if self._labels is not None and bool(self.known[self.view, item]):
            found = self._labels(item)
            if found is not None:
                return {**found, HAS_PIXELS: False, PLACE: item}
        return {**self.data[item], HAS_PIXELS: True, PLACE: item}


def collate_with_marks(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks samples as :func:`collate_or_error` does, and marks the pixels of each (:data:`MARKS`)."""
    there = [sample.pop(HAS_PIXELS, True) for sample in batch]
    out = collate_or_error(batch)
    if isinstance(out.get("pixel_values"), Tensor):
        pairs = zip(there, out["pixel_values"].numpy(), strict=True)
        out[MARKS] = [mark_of(pixels) if is_there else None for is_there, pixels in pairs]
    return out
