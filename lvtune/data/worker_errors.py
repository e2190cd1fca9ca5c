"""Carries errors out of the processes that read pictures, as what they are.

torch makes a RuntimeError with a traceback in its text of an error whose class takes several arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from lvtune.core.errors import LvtuneError
from lvtune.data.dataset import collate

_ERROR = "lvtune_error"


class CarryErrors(Dataset):
    """The samples of a data set; in place of one that cannot be read, its error."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> dict[str, Any]:
        try:
            return self.data[item]
        except LvtuneError as error:
            return {_ERROR: (type(error), error.given, error.expected, error.fix)}


def collate_or_error(batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks samples as :func:`lvtune.data.dataset.collate` does; returns the first error where there is one."""
    return next((sample for sample in batch if _ERROR in sample), None) or collate(batch)


def raise_carried(batch: dict[str, Any]) -> None:
    """Raises the error that a batch carries, if it carries one.

    Raises:
        LvtuneError: of the sample that could not be read.
    """
    if _ERROR in batch:
        kind, *parts = batch[_ERROR]
        raise kind(*parts)
