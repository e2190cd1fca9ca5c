"""Watches the results of a run, frame after frame, and says at its end what a user must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lvtune.evaluation.metrics import SMALL_BOXES
from lvtune.prediction.pose import FramePoses

_SHOWN = 3


def tuned_share(adapter: Any) -> float | None:
    """Returns the median share of the picture of the boxes that an adapter was tuned on; None where nobody says."""
    training = (getattr(adapter, "saved_with", None) or {}).get("training") or {}
    share = (training.get("boxes") or {}).get("median_share")
    return float(share) if isinstance(share, int | float) and share > 0 else None


def whole_frame_notes(adapters: Sequence[Any]) -> list[str]:
    """Returns a warning where whole pictures are given to adapters that were tuned on small boxes."""
    shares = [tuned_share(adapter) for adapter in adapters]
    small = [share for share in shares if share is not None and share < SMALL_BOXES]
    if not small:
        return []
    return [f"whole pictures given to an adapter that was tuned on boxes of {100 * min(small):.0f} % of the picture "
            "(median): key points may be far off; give --find pose, or --find FILE with boxes"]  # fmt: skip


@dataclass
class RunTotals:
    """A stage that counts frames and poses; it changes nothing. Its size does not grow with the run."""

    pictures: int = 0
    poses: int = 0
    without_pose: int = 0
    """Pictures that were read, without a pose."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """Name and fault of the pictures that cannot be read."""

    @property
    def readable(self) -> int:
        """Pictures that could be read."""
        return self.pictures - len(self.broken)

    def process(self, result: FramePoses) -> FramePoses:
        """Counts one frame."""
        self.replay(result)
        return result

    def replay(self, result: FramePoses) -> None:
        """The same."""
        self.pictures += 1
        self.poses += len(result)
        if result.frame.error is not None:
            self.broken.append((result.frame.image, result.frame.error))
        elif not len(result):
            self.without_pose += 1

    def notes(self) -> list[str]:
        """Returns what the user must know of the frames so far, one sentence each."""
        if not self.broken:
            return []
        names = ", ".join(name for name, _ in self.broken[:_SHOWN]) + (", ..." if len(self.broken) > _SHOWN else "")
        return [f"{len(self.broken)} of {self.pictures} pictures cannot be read: left out ({names}); "
                f"the first: {self.broken[0][1]}"]  # fmt: skip
