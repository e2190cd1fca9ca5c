"""Ways back from a tuned change to the base: all of it alike, or more of what was changed late in the network.

A change of style shows in the first layers; tuning changes the last ones most, and on few pictures much of that is
learnt by heart (Surgical fine-tuning, Lee et al., ICLR 2023, arXiv 2210.11466, tunes only the first for such a change).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lvtune.training.guard import between

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = re.compile(r"(?:layers?|blocks?|stages?)[./_]?(\d+)")
"""Number of a block in a tensor's name."""
LATE_FACTORS = (1.0, 0.5, 0.0)
"""Of the share, in the last third of the blocks and the predictor: all parts alike, half of it there, nothing there."""
FAVOURED_LATE = 0.5
"""At the same source score it was best for the target, or as good as the others (measured; benchmarks/README.md)."""


def late_names(names: Iterable[str]) -> set[str]:
    """Returns the tensors of the last third of the blocks and of the predictor (or head), by their names.

    Empty where nothing else would be left, or nothing else is changed.

    Args:
        names: of an adapter's tensors.
    """
    names = list(names)
    blocks = {name: int(match[1]) for name in names if (match := _BLOCK.search(name)) is not None}
    numbers = sorted(set(blocks.values()))
    last = set(numbers[-(-2 * len(numbers) // 3) :])
    late = {name for name in names if name.startswith(("predictor", "head")) or blocks.get(name) in last}
    return late if len(numbers) > 1 and len(late) < len(names) else set()


def on_the_way(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float, late: float = 1.0
) -> dict[str, Tensor]:
    """Returns the weights with a share of the change; whole numbers as at the end.

    Args:
        start: name to tensor, where the way begins.
        end: the same names, tuned.
        share: 0 is the start and 1 the end.
        late: factor on the share, in the tensors of :func:`late_names`.
    """
    found = between(start, end, share)
    if late != 1:
        few = late_names(end)
        less = between({n: start[n] for n in few}, {n: end[n] for n in few}, share * late)
        found |= less
    return found
