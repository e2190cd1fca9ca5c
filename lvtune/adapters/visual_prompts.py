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
from lvtune.core.linear_products import linear


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
    attend = _Attention(block)

    def delta(normed: Tensor) -> Tensor:  # (B, N, D) -> (B, N, D)
        tokens = prompts()
        is_small = block.heads * len(tokens) < block.width + len(tokens)
        return (attend.folded if is_small else attend.plain)(normed, tokens, gates())

    return AddToOutput(block.attention, delta)


class _Attention:
    """What a block's queries find in prompts p: keys Linear_k(LN(p)), values Linear_v(LN(p)), a gate for each head.

    The projection's bias is left out: a gate of zero adds nothing.
    """

    def __init__(self, block: Block) -> None:
        self.block = block

    def plain(self, normed: Tensor, tokens: Tensor, gates: Tensor) -> Tensor:
        """(B, N, D), (P, D), (heads,) -> (B, N, D), in the order in which the block itself computes."""
        query = self._split(F.linear(normed, *self.block.linear("query", tokens)))  # (B, heads, N, D / heads)
        key, value = (row.expand(normed.shape[0], -1, -1, -1) for row in self._rows(tokens))
        seen = F.scaled_dot_product_attention(query, key, value) * gates[:, None, None]
        return F.linear(seen.transpose(1, 2).flatten(2), self.block.linear("out", tokens)[0])

    def folded(self, normed: Tensor, tokens: Tensor, gates: Tensor) -> Tensor:
        """The same for few prompts: (W_q x + b) · k = x · W_qᵀ k + b · k, so each prompt needs one row for each head.

        The products with W_q and W_out are made of the prompts, of which there are few, and not of all tokens.
        """
        heads, (weight, bias) = self.block.heads, self.block.linear("query", tokens)
        key, value = self._rows(tokens)  # (heads, P, D / heads)
        key = key * key.shape[-1] ** -0.5
        out = self.block.linear("out", tokens)[0].t().unflatten(0, (heads, -1))  # (heads, D / heads, D)
        reading = (key @ weight.unflatten(0, (heads, -1))).flatten(0, 1)  # (heads · P, D)
        writing = ((value * gates[:, None, None]) @ out).flatten(0, 1)  # (heads · P, D)
        offset = None if bias is None else (key @ bias.unflatten(0, (heads, -1))[..., None]).flatten()
        shares = linear(normed, reading, offset).unflatten(-1, (heads, -1)).softmax(-1).flatten(-2)
        return linear(shares, writing.t())

    def _rows(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the prompts, (heads, P, D / heads) each."""
        return self._split(self.block.row("key", tokens)), self._split(self.block.row("value", tokens))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.block.heads, -1)).transpose(-3, -2)


def shallow_visual_prompts(base: Base, prompts: Callable[[], Tensor]) -> Iterator[Change]:
    """Yields changes that put tokens (P, D) in front of the first block and drop them from the encoder's outputs."""

    def encode(call: Call, *args: Any, **kwargs: Any) -> Any:
        return base.without_inserted(call.original(*args, **kwargs))

    yield InsertTokens(base.blocks[0].layer, base.final_norm, prompts)
    yield ReplaceForward(base.encoder, encode)
