"""Trained copies of a base's encoder, or of its last block and final normalisation, with drop-path of their own.

VLPose's released configurations (commit f312a9f) train the whole encoder where they set no ``frozen_stages`` (``ff``).
With ``frozen_stages`` one less than the number of blocks (``ll``) they train the last block and the normalisation
behind it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.adapters.building import copy_of_model, instead, layer_scale
from lvtune.bases.base import Base, Block
from lvtune.bases.changes import Change, ReplaceForward
from lvtune.core.errors import UsageError
from lvtune.core.step_part import draw_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE, LAST = "ff", "ll"
"""Placements of VLPose that train the base's own layers: all of the encoder, or its last block."""


def trained_copies(base: Base, placement: str, rate: float) -> dict[str, nn.Module]:
    """Returns trainable copies by name: ``encoder`` (ff), ``block`` and ``norm`` (ll), none for other placements.

    The copies come out of a second model: copies of the layers themselves would carry the hooks of other adapters.

    Args:
        base: its weights are where the copies start.
        placement: of VLPose.
        rate: drop-path of the last block; it falls to 0 at the first block.

    Raises:
        UsageError: ``ll`` for a base in which no block is known.
    """
    if placement not in (WHOLE, LAST):
        return {}
    if placement == LAST and not base.blocks:
        raise UsageError(
            f"a trained last block of {base.name}, which has no attention blocks that are known here",
            "an encoder with attention (ViT, Swin, PVT)", "set --method.placement none, or choose another base",
        )  # fmt: skip
    twin = type(base)(copy_of_model(base), base.spec)
    drop_branches(twin.blocks, rate)
    if placement == WHOLE:
        copies: dict[str, nn.Module] = {"encoder": twin.encoder}
    else:
        copies = {"block": twin.blocks[-1].layer, "norm": twin.final_norm}
    for copy in copies.values():
        copy.requires_grad_(True)
    return copies


def copy_changes(base: Base, copies: Mapping[str, Any]) -> Iterator[Change]:
    """Yields the changes that put the copies of :func:`trained_copies` in place of the base's own modules."""
    if "encoder" in copies:
        yield ReplaceForward(base.encoder, instead(copies["encoder"]))
    if "block" in copies:
        # only its forward: transformers' output-capturing hooks are on the copy as well, and would count twice
        yield ReplaceForward(base.blocks[-1].layer, instead(copies["block"].forward))
        yield ReplaceForward(base.final_norm, instead(copies["norm"]))


def depth_scale(depth: int, blocks: int, decay: float | None, counted: int = 0) -> float:
    """Returns the layer-wise factor on the learning rate of a copied parameter.

    Args:
        depth: 0 in front of the first block, i + 1 in block i, more than ``blocks`` behind the last.
        blocks: number of blocks.
        decay: ``train.layer_decay``.
        counted: number of blocks that the decay assumes; 0: as many as there are.

    Returns:
        1 behind the last block: what is there learns as fast as the head, whatever is counted.
    """
    return 1.0 if depth > blocks else layer_scale(depth, counted or blocks, decay)


def drop_branches(blocks: Sequence[Block], rate: float) -> None:
    """Adds drop-path (arXiv 1603.09382) to trained blocks: in training, branches are left out at random, by picture.

    Args:
        blocks: first to last, of a model that belongs to the adapter; the probability rises linearly from 0 to
            ``rate``.
        rate: of the last block.
    """
    for block, probability in zip(blocks, drop_rates(len(blocks), rate), strict=True):
        if probability:
            _drop(block, probability)


def drop_rates(count: int, rate: float) -> list[float]:
    """Returns the drop-path of each of ``count`` blocks, which rises linearly from 0 to ``rate`` at the last."""
    return [rate * i / max(1, count - 1) for i in range(count)]


def _drop(block: Block, probability: float) -> None:
    now = threading.local()  # in windows (Swin) a branch cannot see how many pictures there are

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        now.pictures = args[0].shape[0]

    def branch(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        return kept_branches(out, now.pictures, probability) if module.training else out

    # in front of the first norm and not of the layer: an adapter calls the copied layer's forward alone
    block.norm.register_forward_pre_hook(note)
    block.out.register_forward_hook(branch)
    mlp_of(block).register_forward_hook(branch)


def kept_branches(out: Tensor, pictures: int, probability: float) -> Tensor:
    """Sets whole pictures of a branch's output (B or B x windows, ...) to 0 at random, and scales up the others."""
    drawn = draw_rows(lambda count: torch.rand(count, device=out.device), pictures)
    kept = (drawn >= probability).to(out.dtype) / (1 - probability)
    kept = kept.repeat_interleave(len(out) // pictures)
    return out * kept.view(-1, *[1] * (out.dim() - 1))


def mlp_of(block: Block) -> nn.Module:
    """Returns the part of the layer that ends its second branch; a mixture's experts are in it, beside ``fc2``."""
    return next(part for part in block.layer.children() if any(module is block.fc2 for module in part.modules()))
