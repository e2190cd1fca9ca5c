"""Chooses the sentence that an adapter reads for each picture: named, as annotated, ranked by CLIP, shuffled, the mean.

The published code takes the category from the picture's folder; a user's picture has none. ``shuffled`` is for an
ablation: if it scores as well as ``own``, the sentences carry no information.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.core.processes import gathered, share_of_this_process
from lvtune.core.work_progress import tracked
from lvtune.language.captions import is_key, keys_of
from lvtune.language.ranking import RANKER, ImageRanker

if TYPE_CHECKING:
    from lvtune.domains import Split
    from lvtune.language.bank import SentenceBank

MODES = ("mean", "own", "auto", "shuffled")
"""Words for the option ``category``, beside the categories' names."""
_AT_ONCE = 32  # pictures in memory

Category = "str | Callable[[Split], Sequence[str | None]] | None"
"""How the sentence of each sample is chosen: ``category``, each sample's own; another name, for all; a function that
returns a name (or None, the mean) for each sample of a split; None, the mean sentence."""


def choose(category: str | None, adapter: Any, *, ranker: str = RANKER, seed: int = 0, device: Any = "cpu") -> Any:
    """Turns the option ``category`` into a rule that chooses each sample's sentence (see ``Category``).

    Args:
        category: a category, one of ``MODES``, or None for the mean.
        adapter: reads the sentence; None: no sentence is read.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder.
        seed: seed of ``shuffled``.
        device: device on which ``auto`` computes.

    Raises:
        LvtuneError: the adapter reads no sentences, or has none of that name; the ranker is missing.
    """
    if category in (None, "mean"):
        return None
    bank = None if adapter is None else adapter.bank
    if category == "own":
        return Captions(bank) if bank is not None and any(map(is_key, bank.categories)) else "category"
    if bank is None:
        raise UsageError(
            f"category '{category}' without an adapter that reads sentences", "an adapter such as vlpose",
            "give --adapter, or leave --category out",
        )  # fmt: skip
    if category == "auto":
        return RankedCategories(bank, ranker, device)
    if category == "shuffled":
        return Shuffled(seed)
    bank.index(category)
    return category


def per_batch(category: Any, split: Split) -> Callable[[dict[str, Any]], Any]:
    """Returns a function from a batch of the split's samples to the ``category`` of :func:`lvtune.use_adapter`."""
    if callable(category):
        names: Any = category(split)
        return lambda batch: [names[i] for i in batch["index"].tolist()]
    if category == "category":
        return lambda batch: batch["category"]
    return lambda batch: category


@dataclass(frozen=True)
class Captions:
    """Reads each picture's caption where it is among the embedded ones, else the annotated category."""

    bank: SentenceBank

    def __call__(self, split: Split) -> list[str]:
        """Returns a name for each of N samples."""
        return keys_of(split, set(self.bank.categories))


@dataclass(frozen=True)
class Shuffled:
    """Reads the annotated categories, permuted over the samples."""

    seed: int = 0

    def __call__(self, split: Split) -> list[str]:
        """Returns a category for each of N samples; each category as often as annotated."""
        own = split.table.column("category")
        return own[np.random.default_rng(self.seed).permutation(len(own))].tolist()


@dataclass
class RankedCategories:
    """Reads the category whose sentence fits the whole picture best, by CLIP or SigLIP."""

    bank: SentenceBank
    ranker: str = RANKER
    device: Any = "cpu"
    chosen: Counter[str] = field(default_factory=Counter)
    """How often each category was chosen, over the samples of the first split."""
    right: int = 0
    """How often the chosen category was the annotated one."""

    def __post_init__(self) -> None:
        if len(set(self.bank.sentences)) < 2:
            raise UsageError(
                "category 'auto' with an adapter whose sentences are all alike",
                "categories with sentences of their own",
                "leave --category out",
            )  # fmt: skip
        self._ranker = ImageRanker(self.ranker, self.device)
        self._known: dict[tuple[str, int], str] = {}

    def of_pictures(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """Returns a category for each picture, (H, W, 3) uint8 RGB."""
        return [self.bank.categories[i] for i in self._ranker.best(pictures, self.bank.sentences)]

    def __call__(self, split: Split) -> list[str]:
        """Returns a category for each of N samples; a picture with several instances is ranked once."""
        if split.task != "pose2d":
            raise UsageError(
                f"category 'auto' on {split.name}", "pictures of people or animals", "leave --category out"
            )
        table, own = split.table, split.table.column("category")
        # a filter drawn over the picture may differ from instance to instance
        keys = [(path, i if split.render else 0) for i, path in enumerate(table.column("image"))]
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        waiting = [key for key in first if key not in self._known]
        groups = [waiting[start : start + _AT_ONCE] for start in range(0, len(waiting), _AT_ONCE)]
        places = share_of_this_process(len(groups))
        shown = tracked(places, f"choosing categories, {_AT_ONCE} pictures at a time", len(places), "batches")
        own_groups = {
            place: self.of_pictures([picture_of(split, first[key]) for key in groups[place]]) for place in shown
        }
        for some, found in zip(groups, gathered(own_groups, len(groups)), strict=True):
            self._known |= zip(some, found, strict=True)
        names = [self._known[key] for key in keys]
        if not self.chosen:  # a detector's boxes of the same pictures are not counted again
            self.chosen.update(names)
            self.right = sum(name == annotated for name, annotated in zip(names, own, strict=True))
        return names

    def summary(self) -> dict[str, Any]:
        """Returns ``ranker``, ``chosen`` (category to samples) and ``as_annotated``, in percent."""
        total = sum(self.chosen.values())
        share = 100 * self.right / total if total else None
        return {"ranker": self.ranker, "chosen": dict(self.chosen.most_common()), "as_annotated": share}


def picture_of(split: Split, index: int) -> np.ndarray:
    """Returns the whole picture of a sample, as the split shows it."""
    return split.picture(index)
