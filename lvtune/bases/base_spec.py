"""The facts of a base that do not live in its weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lvtune.data.skeletons import COCO_17, Skeleton


@dataclass(frozen=True)
class BaseSpec:
    """Sizes are (height, width) in pixels; ``mean`` and ``std`` are RGB on a scale from 0 to 1."""

    name: str
    input_size: tuple[int, int] = (256, 192)
    stride: int = 4
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    skeleton: Skeleton = field(default=COCO_17)
    sigma: float = 2.0
    """Of the heatmaps' Gaussians, in heatmap pixels."""
    hub_id: str | None = None
    revision: str | None = None
    size: str = ""
    """Letter of the size among its family (``b``)."""
    trained_on: str = ""
    """Domain that the base was trained on."""
    source: str = ""
    """Domain whose unfiltered test pictures ship with the package and resemble what the base was trained on."""
    ships: bool = False
    """True if trained weights of it ship with the package."""
    expert: str = ""
    """Expert that a mixture of experts sends pictures to; empty where there is no mixture."""

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w) of the heatmaps."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    def with_(self, **changes: Any) -> BaseSpec:
        """Returns a copy with some facts changed."""
        return replace(self, **changes)
