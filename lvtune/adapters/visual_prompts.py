"""Visual prompts as primitive changes; ``vlpose`` and ``vpt`` share them.

The outputs of deep prompt tokens p are dropped behind each block. So their only effect is to add rows Linear_k(LN(p))
and Linear_v(LN(p)) to the keys and values. Shallow ones are inserted as tokens and carried through all blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.bases.base import Base, Block
from lvtune.bases.changes import AddToOutput, Call, Change, InsertTokens, ReplaceForward


def per_block(shapes: Sequence[tuple[int, ...]], none: tuple[int, ...] = ()) -> nn.Parameter | nn.ParameterList:
    """Makes zeros for each block: (L, *shape) where the blocks are alike; else (pyramids) a list of L parameters.

    Args:
        shapes: one for each block.
        none: the shape where there are no blocks.
    """
    if len(set(shapes)) > 1:
        return nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)
    return nn.Parameter(torch.zeros(len(shapes), *(shapes[0] if shapes else none)))


def visual_prompt_rows(block: Block, prompts: Callable[[], Tensor]) -> Change:
    """Returns the published change: rows of prompts (P, D) share the softmax with the picture's tokens."""
    return block.extend(lambda: block.row("key", prompts()), lambda: block.row("value", prompts()))


def gated_visual_prompts(block: Block, prompts: Callable[[], Tensor], gates: Callable[[], Tensor]) -> Change:
    """Returns the change that adds attention to prompts (P, D) alone, times a gate for each head (heads,)."""

    def delta(normed: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        split = lambda x: x.unflatten(-1, (block.heads, -1)).transpose(-3, -2)  # noqa: E731
        tokens = prompts()
        query = split(F.linear(normed, *block.linear("query", tokens)))  # (B, heads, N, D / heads)
        rows = (split(block.row(part, tokens)) for part in ("key", "value"))
        key, value = (row.expand(normed.shape[0], -1, -1, -1) for row in rows)
        seen = F.scaled_dot_product_attention(query, key, value) * gates()[:, None, None]
        # without the projection's bias: a gate of zero adds nothing
        return F.linear(seen.transpose(1, 2).flatten(2), block.linear("out", tokens)[0])

    return AddToOutput(block.attention, delta)


def shallow_visual_prompts(base: Base, prompts: Callable[[], Tensor]) -> Iterator[Change]:
    """Yields changes that put tokens (P, D) in front of the first block and drop them from the encoder's outputs."""

    def encode(call: Call, *args: Any, **kwargs: Any) -> Any:
        return base.without_inserted(call.original(*args, **kwargs))

    yield InsertTokens(base.blocks[0].layer, base.final_norm, prompts)
    yield ReplaceForward(base.encoder, encode)
