"""Which sentence an adapter reads for each picture: named, as annotated, ranked by CLIP, shuffled, or the mean.

The published code reads the category off the picture's folder; a user's picture has none (which sentence at
prediction time). ``shuffled`` is for an ablation: if it scores as well as ``own``, the sentences say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.core.errors import LvtuneError
from lvtune.language.captions import is_key, keys_of
from lvtune.language.ranking import RANKER, ImageRanker

if TYPE_CHECKING:
    from torch import nn

    from lvtune.domains import Split
    from lvtune.language.bank import SentenceBank

MODES = ("mean", "own", "auto", "shuffled")
"""Words for a category beside the categories' names."""
_AT_ONCE = 32  # pictures in memory

Category = "str | Callable[[Split], Sequence[str | None]] | None"
"""What a split is read with: ``category``, each sample's own; another name, for all; a function that gives a name (or
None, the mean) for each sample of a split; None, the mean sentence."""


def choose(
    category: str | None, adapter: nn.Module | None, *, ranker: str = RANKER, seed: int = 0, device: Any = "cpu"
) -> Any:
    """A user's word as what splits are read with.

    Args:
        category: a category, one of ``MODES``, or None for the mean.
        adapter: that reads it; None: nothing is read.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder.
        seed: of ``shuffled``.
        device: where ``auto`` computes.

    Raises:
        LvtuneError: the adapter reads no sentences, or none of that name; no ranker at hand.
    """
    if category in (None, "mean"):
        return None
    bank = None if adapter is None else adapter.bank
    if category == "own":
        return Captions(bank) if bank is not None and any(map(is_key, bank.categories)) else "category"
    if bank is None:
        raise LvtuneError(
            f"category '{category}' without an adapter that reads sentences", "an adapter such as vlpose",
            "give --adapter, or leave --category out",
        )  # fmt: skip
    if category == "auto":
        return Auto(bank, ranker, device)
    if category == "shuffled":
        return Shuffled(seed)
    bank.index(category)
    return category


def per_batch(category: Any, split: Split) -> Callable[[dict[str, Any]], Any]:
    """A function from a batch of the split's samples to what :func:`lvtune.use_adapter` takes as ``category``."""
    if callable(category):
        names = category(split)
        return lambda batch: [names[i] for i in batch["index"].tolist()]
    if category == "category":
        return lambda batch: batch["category"]
    return lambda batch: category


@dataclass(frozen=True)
class Captions:
    """Each picture's caption where it is among the embedded ones, else the annotated category."""

    bank: SentenceBank

    def __call__(self, split: Split) -> list[str]:
        """A name for each of N samples."""
        return keys_of(split, set(self.bank.categories))


@dataclass(frozen=True)
class Shuffled:
    """The annotated categories, permuted over the samples."""

    seed: int = 0

    def __call__(self, split: Split) -> list[str]:
        """A category for each of N samples; each category as often as annotated."""
        own = split.table.column("category")
        return own[np.random.default_rng(self.seed).permutation(len(own))].tolist()


@dataclass
class Auto:
    """The category whose sentence fits the whole picture best."""

    bank: SentenceBank
    ranker: str = RANKER
    device: Any = "cpu"
    chosen: Counter[str] = field(default_factory=Counter)
    """How often each category was chosen, over the samples of the first split."""
    right: int = 0
    """How often it was the annotated one."""

    def __post_init__(self) -> None:
        if len(set(self.bank.sentences)) < 2:
            raise LvtuneError(
                "category 'auto' with an adapter whose sentences are all alike",
                "categories with sentences of their own",
                "leave --category out",
            )  # fmt: skip
        self._ranker = ImageRanker(self.ranker, self.device)
        self._known: dict[tuple[str, int], str] = {}

    def of_pictures(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """A category for each picture, (H, W, 3) uint8 RGB."""
        return [self.bank.categories[i] for i in self._ranker.best(pictures, self.bank.sentences)]

    def __call__(self, split: Split) -> list[str]:
        """A category for each of N samples; a picture with several persons is looked at once."""
        if split.task != "pose2d":
            raise LvtuneError(
                f"category 'auto' on {split.name}", "pictures of people or animals", "leave --category out"
            )
        table, own = split.table, split.table.column("category")
        # what is drawn over a picture may differ from person to person
        keys = [(path, i if split.render else 0) for i, path in enumerate(table.column("image"))]
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        waiting = [key for key in first if key not in self._known]
        for start in range(0, len(waiting), _AT_ONCE):
            some = waiting[start : start + _AT_ONCE]
            self._known |= zip(some, self.of_pictures([picture_of(split, first[key]) for key in some]), strict=True)
        names = [self._known[key] for key in keys]
        if not self.chosen:  # a detector's boxes of the same pictures are not counted again
            self.chosen.update(names)
            self.right = sum(name == annotated for name, annotated in zip(names, own, strict=True))
        return names

    def summary(self) -> dict[str, Any]:
        """``ranker``, ``chosen`` (category to samples) and ``as_annotated``, in percent."""
        total = sum(self.chosen.values())
        share = 100 * self.right / total if total else None
        return {"ranker": self.ranker, "chosen": dict(self.chosen.most_common()), "as_annotated": share}


def picture_of(split: Split, index: int) -> np.ndarray:
    """The whole picture of a sample, as the split shows it."""
    return split.picture(index)
