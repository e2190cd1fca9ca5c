"""What can be known of answers without a label: whether views of one picture get the same one, and how sure it is.

Each picture is looked at as it is, mirrored, and turned and resized a little; the answers are put back into the plain
picture and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lvtune.core.processes import gathered, share_of_this_process
from lvtune.data.dataset import collate
from lvtune.data.subset import Subset
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.training.second_pictures import answer_of
from lvtune.training.strong_view import matrices, warped

if TYPE_CHECKING:
    from lvtune.bases.base import Base

_LOOK = SimpleNamespace(rotate=20.0, resize=0.1, shift=0.05)
"""Largest changes of the third view; its own are drawn by the picture's number."""
FARTHEST = 0.25
"""Distances are cut off here, as shares of the picture's height: farther is no worse than elsewhere."""
_BATCH = 16


@dataclass(frozen=True)
class Answers:
    """Answers for N pictures with K points; lengths are shares of the height of the network's input."""

    points: Tensor
    """(N, K, 2) x, y in the plain view."""
    apart: Tensor
    """(N, K) mean distance of the other views' answers."""
    peak: Tensor
    """(N, K) highest value of the heatmap, 0 to 1."""
    spread: Tensor
    """(N, K) standard deviation of the heatmap about its mean."""

    @property
    def disagreement(self) -> float:
        """Mean of ``apart``."""
        return float(self.apart.mean())


@torch.no_grad()
def answers_of(base: Base, adapter: nn.Module | None, data: Any, *, seed: int = 0) -> Answers:
    """Looks at pictures in three views; the processes of a launch share the work.

    Args:
        base: stays as it is.
        adapter: attached meanwhile; None: the base as it is, with whatever is attached.
        data: samples without random changes.
        seed: of the third view.
    """
    if adapter is not None:
        adapter.eval()
        with attach(base, adapter, name="looking"), use_adapter(base, "looking"):
            return _answers(base, getattr(adapter, "skeleton", None) or base.skeleton, data, seed)
    return _answers(base, base.skeleton, data, seed)


def _answers(base: Base, skeleton: Any, data: Dataset, seed: int) -> Answers:
    samples: Any = data
    places, found = share_of_this_process(len(samples)), {}
    loader = DataLoader(Subset(data, places), batch_size=_BATCH, collate_fn=collate)
    waiting = iter(places)
    for batch in loader:
        for row in _look(base, skeleton, batch, seed):
            found[next(waiting)] = row
    rows = torch.tensor(gathered(found, len(samples))).view(len(samples), -1, 5)
    return Answers(rows[..., :2], rows[..., 2], rows[..., 3], rows[..., 4])


def _look(base: Any, skeleton: Any, batch: dict[str, Any], seed: int) -> list[list[list[float]]]:
    """x, y, apart, peak, spread of each point of each picture."""
    pixels, height = batch["pixel_values"].to(base.device), base.input_size[0]
    points, maps = _points(base, pixels, batch)
    others = []
    if skeleton.mirrors and base.task == "pose2d":
        mirrored, _ = _points(base, pixels.flip(-1), batch)
        mirrored = mirrored[:, list(skeleton.flip_index)]
        last = base.input_size[1] - 1
        others.append(torch.stack([last - mirrored[..., 0], mirrored[..., 1]], -1))
    matrix = matrices(_LOOK, batch["index"].tolist(), base.input_size, seed, 0).to(pixels.device)
    black = torch.tensor([-m / s for m, s in zip(base.mean, base.std, strict=True)])
    turned, _ = _points(base, warped(pixels, matrix, black), batch)
    back = torch.linalg.inv(matrix[:, :, :2].double()).float()
    others.append((turned - matrix[:, None, :, 2]) @ back.transpose(1, 2))
    apart = torch.stack([(other - points).norm(dim=-1) / height for other in others]).clamp(max=FARTHEST).mean(0)
    peak = maps.flatten(2).amax(-1).clamp(0, 1)
    rows = torch.cat([points / height, apart[..., None], peak[..., None], _spread(maps)[..., None]], -1)
    return rows.nan_to_num(FARTHEST).cpu().tolist()


def _points(base: Any, pixels: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    maps = answer_of(base, {**batch, "pixel_values": pixels}).stages[-1].float()
    points, _ = base.codec.decode(maps)
    height, width = base.input_size
    return points * points.new_tensor([(width - 1) / width, (height - 1) / height]), maps


def _spread(maps: Tensor) -> Tensor:
    """(B, K) standard deviation of heatmaps (B, K, h, w) about their means, as a share of the height."""
    height, width = maps.shape[-2:]
    share = maps.clamp(min=0).flatten(2)
    share = share / share.sum(-1, keepdim=True).clamp(min=1e-9)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack([x.flatten(), y.flatten()], -1).to(maps) / height
    mean = share @ at
    return ((share @ (at**2).sum(-1)) - (mean**2).sum(-1)).clamp(min=0).sqrt()


def evenly(count: int, most: int) -> Sequence[int]:
    """Returns at most ``most`` of ``count`` places, evenly spread."""
    return sorted({i * count // min(most, count) for i in range(min(most, count))})
