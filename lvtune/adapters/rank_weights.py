"""How ``vlpose-light`` weighs the ranks of its differences: s (1 + U P e), for the sentence e of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.bases.changes import Call
from lvtune.core.step_part import draw_rows

if TYPE_CHECKING:
    from lvtune.adapters.vlpose_light import VLPoseLight

Categories = tuple[str | None, ...] | None


def rank_weights(adapter: VLPoseLight, call: Call, place: int) -> Tensor | None:
    """Returns s (1 + U P e) of one layer for each sample (B, r), or (1, r) for all; None without language.

    Args:
        adapter: that has s, U and P.
        call: says the category of each sample, or one for all, or None: the mean sentence.
        place: of the layer.
    """
    if adapter.bank is None:
        return None
    read, share = call.categories, adapter.config.sentence_dropout if adapter.training else 0.0
    if torch.compiler.is_compiling():  # code for one adapter serves all of its shape: nothing may name this one
        table, index = _of_layer(adapter, read, place)
        if share:
            dropped = draw_rows(lambda count: _dropped(1, count, share, index.device), len(index))
            index = torch.where(dropped[:, 0], 0, index)
        return table[index]
    return call.once((id(adapter), read), lambda: weights_of_layers(adapter, call, place).unbind(0))[place]


def weights_of_layers(adapter: VLPoseLight, call: Call, place: int) -> Tensor:
    """Returns what :func:`rank_weights` does, of all layers, (L, B, r), in a few operations.

    Args:
        adapter: as there; it reads sentences.
        call: as there.
        place: of the layer that asks.
    """
    share = adapter.config.sentence_dropout if adapter.training else 0.0
    tables, index = _tables(adapter, call.categories)
    found = tables[:, index]
    if not share:
        return found
    drawn = call.drawn((id(adapter), "dropped"), place, lambda: _drawn(adapter, len(index), share))
    return torch.where(drawn.T[:, :, None], tables[:, :1], found)


def _drawn(adapter: VLPoseLight, count: int, share: float) -> Tensor:
    """Draws which of ``count`` samples read the mean sentence, (B, L) bool.

    Each layer draws for itself, so that the layers' weights do not rely on each other.
    """
    layers, device = len(adapter.A), adapter.sentences.device
    return draw_rows(lambda whole: _dropped(layers, whole, share, device), count)


def _of_layer(adapter: VLPoseLight, categories: Categories, place: int) -> tuple[Tensor, Tensor]:
    """Returns what :func:`_tables` does for one layer, with a row for each sample."""
    read = categories if categories is not None else ()
    sentence: Any = adapter.sentence((None, *read))
    index = torch.arange(1, len(read) + 1) if read else torch.zeros(1, dtype=torch.int64)
    return (1 + F.linear(sentence, adapter.U[place])) * adapter.scale, index.to(sentence.device)


def _tables(adapter: VLPoseLight, categories: Categories) -> tuple[Tensor, Tensor]:
    """Returns s (1 + U P e) of all layers (L, n, r), the mean sentence first, and each sample's row of it, (B,)."""
    read = categories if categories is not None else (None,)
    different = list(dict.fromkeys((None, *read)))
    index = torch.tensor([different.index(category) for category in read], device=adapter.sentences.device)
    # one by one: what a sentence gives must not depend on which others are read beside it, to the last bit
    each: list[Any] = [adapter.sentence((category,)) for category in different]
    found = torch.stack([1 + torch.einsum("lrk,nk->lnr", adapter.U, one)[:, 0] for one in each], 1)
    return found * adapter.scale, index


def _dropped(layers: int, count: int, share: float, device: torch.device) -> Tensor:
    """Draws which of ``count`` samples read the mean sentence in each layer, (count, L) bool."""
    return (torch.rand(layers, count, device=device).argsort() < round(share * count)).T
