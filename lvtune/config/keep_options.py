"""Options of ``--keep``: which pictures of the source are replayed while the adapter is tuned, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

REPLAY_WEIGHT = 3.0
"""Of pictures that are replayed, unless the recipe says another."""


@dataclass(frozen=True)
class KeepOptions:
    """How `keep` holds the source."""

    replay_pictures: str | None = None
    """Pictures on which the adapter is to answer as the base does, without labels: a folder, a picture, or a COCO file
    whose boxes are used. Where no labelled source exists, some of them are kept out and `keep` is checked on them.
    None: the labelled pictures of the source."""
    replay_most: int = field(default=500, metadata={"at_least": 1})
    """Largest number of replayed pictures (instances); more are drawn from by the seed."""
    replay_every: int = field(default=2, metadata={"at_least": 1})
    """One replayed picture comes with so many pictures of a step. 1 takes the most time."""
    replay_weight: float | None = field(default=None, metadata={"at_least": 0})
    """Weight of the replayed pictures in the loss. 0: nothing is replayed, and the change is only taken back. None: 3
    with `replay_pictures`, else 0: to take some of the change back costs no time, and the target less (measured)."""
    replay_answers: Literal["base", "labels"] = "base"
    """What the adapter is to answer on replayed pictures. base: what the base alone answers. labels: the labels of the
    source's pictures."""
    replay_views: int = field(default=8, metadata={"at_least": 2, "at_most": 8})
    """The base looks at a replayed picture in so many ways (as it is, mirrored, turned, resized); the mean is its
    answer. It is asked once, before the first step."""
    keep_sure: float = field(default=0.7, metadata={"at_least": 0.5, "at_most": 0.999})
    """How sure it must be, by the pictures kept out, that the share is held. 0.5: the estimate itself must reach it.
    0.9: the lower end of its one-sided 90 % interval must, so that less of the change is taken."""
    keep_most: float = field(default=1.0, metadata={"above": 0, "at_most": 1})
    """Largest share of the change that is taken."""

    @property
    def weight(self) -> float:
        """Weight of the replayed pictures; 0: nothing is replayed."""
        if self.replay_weight is not None:
            return self.replay_weight
        return 0.0 if self.replay_pictures is None else REPLAY_WEIGHT
