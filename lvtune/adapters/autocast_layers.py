"""The differences of ``vlpose-light`` under autocast, in few operations.

On a GPU in bfloat16, starting an operation takes longer than computing it. So A, B and the weights of the ranks of all
layers are converted at once, and layers that read the same input (query, key and value) share one product with their
A's. B's product is added in place to what the frozen layer gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.adapters.low_rank import plain_linear
from lvtune.adapters.rank_weights import weights_of_layers
from lvtune.bases.changes import Call
from lvtune.core.autocast_weights import cast_linear
from lvtune.core.private_api import backward_pass_id

if TYPE_CHECKING:
    from lvtune.adapters.vlpose_light import VLPoseLight

TOGETHER = ("query", "key", "value")


def groups_of(keys: Sequence[str], widths: Sequence[int]) -> list[range]:
    """Returns the places of layers that may read the same input, as neighbours; each place is in one group.

    Args:
        keys: names of the layers, with slashes.
        widths: of what each layer reads.
    """

    def kind(place: int) -> tuple[Any, ...]:
        parent, _, leaf = keys[place].rpartition("/")
        return (parent, widths[place]) if leaf in TOGETHER else (place,)

    grouped = (list(places) for _, places in itertools.groupby(range(len(keys)), kind))
    return [range(places[0], places[-1] + 1) for places in grouped]


class _Group(NamedTuple):
    """Layers that may read the same input."""

    places: range
    down: Tensor
    """Their A's, (n r, D)."""
    factor: Tensor | None
    """Their rank weights, (B or 1, n r); None without language."""


class AutocastLayers:
    """A, B and rank weights of layers, in the type of autocast.

    Args:
        adapter: whose they are.
        call: they serve this call.
        dtype: that autocast computes products in.
        place: of the layer that asks; where a block is computed again for its gradient, only its group is made.
    """

    def __init__(self, adapter: VLPoseLight, call: Call, dtype: torch.dtype, place: int) -> None:
        self.adapter, self.dtype, self.rank, self.scale = adapter, dtype, adapter.config.r, adapter.scale
        downs, ups = list(adapter.A.values()), list(adapter.B.values())
        groups = groups_of(list(adapter.A), [down.shape[1] for down in downs])
        if backward_pass_id() != -1:
            groups = [group for group in groups if place in group]
        places = list(itertools.chain(*groups))
        values = [downs[i] for i in places] + [ups[i] for i in places]
        flat = torch.cat([value.reshape(-1) for value in values]).to(dtype)
        sizes = [len(group) * downs[group[0]].numel() for group in groups]
        *down, rest = flat.split([*sizes, flat.numel() - sum(sizes)])
        up = rest.split([ups[i].numel() for i in places])
        self.up = {i: one.view(ups[i].shape).t() for i, one in zip(places, up, strict=True)}
        factors: Sequence[Any] = [None] * len(groups)
        if adapter.bank is not None:
            found = weights_of_layers(adapter, call, place)[places[0] : places[-1] + 1]
            found = found.to(dtype).transpose(0, 1).flatten(1)  # (B, L r)
            factors = found.split([len(group) * self.rank for group in groups], 1)
        self.group: dict[int, _Group] = {}
        for group, one, factor in zip(groups, down, factors, strict=True):
            made = _Group(group, one.view(len(group) * self.rank, -1), factor)
            self.group |= dict.fromkeys(group, made)

    def beside(self, place: int, call: Call, x: Tensor) -> Tensor:
        """Returns what the layer gives plus its difference, (B, …, D) -> (B, …, D').

        Args:
            place: of the layer.
            call: of it.
            x: its input, of any type that autocast converts.
        """
        group, up = self.group[place], self.up[place]
        made = call.shared(id(self.adapter), x, place, group.places, lambda: self._inputs(group, x))
        rows, low = made[0], made[1][place - group.places[0]]
        shape = (*x.shape[:-1], up.shape[1])
        linear = plain_linear(call.original)
        if linear is None:
            return call.original(x) + torch.mm(low, up).view(shape)
        return F.linear(rows, *cast_linear(linear, self.dtype)).addmm_(low, up).view(shape)

    def _inputs(self, group: _Group, x: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Returns x as rows in the type of autocast, and m ⊙ A x of each layer of the group, (rows, r)."""
        rows = x.to(self.dtype).reshape(-1, x.shape[-1])
        low = self._scaled(F.linear(rows, group.down), group, x)
        return rows, (low,) if len(group.places) == 1 else low.split(self.rank, 1)

    def _scaled(self, low: Tensor, group: _Group, x: Tensor) -> Tensor:
        factor = group.factor
        if factor is None:
            return low * self.scale
        if len(factor) > 1 and len(x) != len(factor):
            # windows (Swin) come as (B · windows, …); those of one picture are adjacent
            factor = factor.repeat_interleave(len(x) // len(factor), dim=0)
        each = low.view(len(factor), -1, low.shape[-1])
        return (each * factor[:, None]).view(low.shape)
