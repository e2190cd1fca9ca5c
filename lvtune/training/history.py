"""What a tuning run records on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvtune.core.decision import Decision
    from lvtune.training.sampler import Division


@dataclass
class History:
    """What a run recorded."""

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_steps: list[int] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    px_steps: list[int] = field(default_factory=list)
    """Steps after which held-out frames were looked at."""
    px_mean: list[float] = field(default_factory=list)
    """Mean error there, in pixels of the picture."""
    empty_loss: float | None = None
    """Mean loss of an empty answer, all heatmaps zero; None: the objective has none."""
    active_negatives: list[float] = field(default_factory=list)
    """Share of negatives that a contrast moved, for each step; empty without a contrast."""
    seconds: float = 0.0
    lr: float = 0.0
    """Highest learning rate."""
    division: Division | None = None
    """How the batch of each step was divided among processes and micro-batches."""
    decisions: list[Decision] = field(default_factory=list)
    """What was chosen on the way."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the report."""

    def record(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {name: value for name, value in vars(self).items() if name not in ("division", "decisions", "notes")}

    def lines(self) -> list[str]:
        """Returns what is to be said before the first step."""
        return [*(decision.line() for decision in self.decisions), *(f"note: {note}" for note in self.notes)]
