"""Base class of objectives that tune an adapter on a further domain and keep the earlier ones (``--after``).

What the adapter answered before is known from its tensors as they were when the tuning began. For a call they change
places with those that are tuned (:class:`lvtune.training.teacher.Teacher`), so no second base is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from lvtune.core.errors import TrainingError
from lvtune.patcher.attaching import acting
from lvtune.training.objective_wrapper import ObjectiveWrapper, Seen, watch
from lvtune.training.second_pictures import heatmaps_of_stages
from lvtune.training.teacher import Teacher

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext

Batch = dict[str, Any]


@dataclass(frozen=True)
class AfterConfig:
    """Options that all of them have."""

    pose: str | None = None
    """Objective on the new pictures: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""


class AfterObjective(ObjectiveWrapper):
    """Pose loss on the new domain plus a term that holds the adapter to its earlier answers."""

    Config: ClassVar[type] = AfterConfig
    objective: ClassVar[str] = ""
    """The name that it is registered under; the registry sets it."""

    def __init__(self, config: Any = None) -> None:
        self.config = config or self.Config()

    def prepare(self, context: ObjectiveContext) -> None:
        """Notes the adapter as it is when the tuning begins.

        Raises:
            TrainingError: there is no adapter, or no pictures of earlier domains where they are needed.
        """
        name = type(self).objective
        if context.adapter is None:
            raise TrainingError(
                f"objective {name} without an adapter", "an adapter to keep", "use lvtune adapt --after"
            )
        if self.needs_earlier and context.earlier is None:
            raise TrainingError(
                f"objective {name} without pictures of an earlier domain", "pictures to show again",
                "give --after ADAPTER and --earlier-data, or choose --objective lwf",
            )  # fmt: skip
        super().prepare(context)
        self.trained = Teacher(context.adapter, 1.0).to(context.base.device)

    def with_answers(self, base: Base, batch: Batch) -> tuple[Tensor, Seen]:
        """Returns the pose loss of a batch, a scalar, with the features and heatmaps of the same call."""
        with watch(base) as seen:
            loss = self.pose(base, batch)
        return loss, seen

    def answers_before(self, base: Base, batch: Batch) -> Seen:
        """Returns features and heatmaps of the adapter as it was, without gradients."""
        with self.trained.lent_to(adapter_of(base)), watch(base) as seen:
            heatmaps_of_stages(base, batch)
        return seen


def adapter_of(base: Base) -> Any:
    """Returns the adapter that acts on the base.

    Raises:
        TrainingError: the base is bare.
    """
    adapter = acting(base)
    if adapter is None:
        raise TrainingError("an earlier adapter to keep, on a bare base", "an adapter that is attached",
                            "use lvtune adapt --after ADAPTER")  # fmt: skip
    return adapter


def mean_square(one: Tensor, other: Tensor) -> Tensor:
    """Returns the mean squared difference of two tensors of one shape, a scalar in float32 (or wider)."""
    dtype = torch.promote_types(one.dtype, torch.float32)
    return (one.to(dtype) - other.to(dtype)).square().mean()
