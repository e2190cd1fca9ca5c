"""Feature statistics as style, and the places of a base where they can be changed during a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from lvtune.core.errors import TrainingError

if TYPE_CHECKING:
    from lvtune.bases.base import Base

Place = Literal["features", "blocks"]
EPS = 1e-6


@dataclass(frozen=True)
class Style:
    """Mean and standard deviation of each channel of each picture, (B, C) each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, x: Tensor, channels: int) -> Style:
        """Computes the statistics of features whose channels are dimension ``channels``."""
        flat = x.float().movedim(channels, -1).flatten(1, -2)  # (B, positions, C)
        return cls(flat.mean(1), (flat.var(1, unbiased=False) + EPS).sqrt())

    def put_on(self, x: Tensor, channels: int) -> Tensor:
        """Gives features these statistics (AdaIN, arXiv 1703.06868); their old statistics carry no gradient."""
        own = Style.of(x.detach(), channels)
        shape = [len(x)] + [1] * (x.dim() - 1)
        shape[channels] = -1
        mean, std, new_mean, new_std = (v.view(shape) for v in (own.mean, own.std, self.mean, self.std))
        return ((x.float() - mean) / std * new_std + new_mean).to(x.dtype)


@contextlib.contextmanager
def change_at(base: Base, place: Place, blocks: int, change: Callable[[Tensor, int], Tensor]) -> Iterator[None]:
    """Inside the block, replaces what enters a place of the base by ``change(x, channels)``.

    Args:
        base: with or without an adapter.
        place: ``features``, the feature map (B, D, h, w) that enters the head; ``blocks``, the tokens (B, N, D) after
            ``blocks`` blocks of the encoder.
        blocks: number of blocks.
        change: (features, dimension of the channels) -> features.

    Raises:
        TrainingError: the base has fewer blocks, or the method replaces the encoder.
    """
    if place == "blocks" and blocks >= len(base.blocks):
        raise TrainingError(
            f"place after {blocks} blocks of {base.name}, which has {len(base.blocks)}", "fewer blocks",
            "choose --objective.place features, or a smaller --objective.blocks",
        )  # fmt: skip
    module, channels = (base.head, 1) if place == "features" else (base.blocks[blocks].layer, -1)
    calls = []

    def hook(module: Any, args: tuple) -> tuple:
        calls.append(1)
        return (change(args[0], channels % args[0].dim()), *args[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise TrainingError(
            f"place after {blocks} blocks of {base.name} with a method that replaces its encoder",
            "a method that keeps the blocks", "choose --objective.place features",
        )  # fmt: skip


def mixed(style: Style, partner: Tensor, share: Tensor) -> Style:
    """Mixes ``share`` (B,) of each picture's statistics with the rest of its partner's (B,) in the batch."""
    share = share.to(style.mean)[:, None]
    mix = lambda value: share * value + (1 - share) * value[partner]  # noqa: E731
    return Style(mix(style.mean), mix(style.std))
