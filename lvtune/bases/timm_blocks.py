"""timm's transformer blocks as methods see them.

timm keeps query, key and value in one matrix (ViT, Swin), or key and value (PVTv2). **Visual prompts** are rows of
keys and values in all of them, Linear(LN(p)) for tokens p of the block's own width D:

- ViT: every token sees the rows, which is the published function (deep visual prompts, dropped behind each block).
- Swin: every window sees all rows, at position bias 0 and never masked, as in Visual Prompt Tuning
  (arXiv 2203.12119, §3.2). The rows have no outputs, so patch merging sees the picture's tokens alone.
- PVTv2: the rows join the spatially reduced tokens, behind the normalisation that keys and values read; the
  reduction itself, a convolution over the grid, does not see them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.bases.changes import Call, Change, ReplaceForward
from lvtune.bases.parts import Block


def describe(module: nn.Module) -> Block | None:
    """Returns a module as a block if it is a transformer block known here, else None; subclasses are not known."""
    from timm.models import pvt_v2, swin_transformer, vision_transformer

    known = {
        vision_transformer.Block: _vit,
        swin_transformer.SwinTransformerBlock: _swin,
        pvt_v2.Block: _pvt_v2,
    }
    make = known.get(type(module))
    return make(module) if make is not None else None


@dataclass(frozen=True)
class FusedBlock(Block):
    """A block with query, key and value in one matrix; further rows of keys and values need an attention of ours."""

    def extend(self, key_rows: Callable[[], Tensor], value_rows: Callable[[], Tensor]) -> Change:
        """Replaces the attention's forward; the modules inside are called, so that other changes to them act."""
        attention = self.attention

        def attend(call: Call, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return attend_with_rows(attention, x, self.bias(*args, **kwargs), key_rows(), value_rows())

        return ReplaceForward(attention, attend)

    def bias(self, *args: Any, **kwargs: Any) -> Tensor | None:
        """Returns what is added to the attention map; made of the attention's further arguments, if it has any."""
        return None


@dataclass(frozen=True)
class WindowBlock(FusedBlock):
    """A block of Swin. Its attention sees windows, (B · windows, N, D); the windows of one picture are adjacent."""

    def bias(self, mask: Tensor | None = None) -> Tensor:
        """Returns the relative positions (1, heads, N, N), with the mask of shifted windows (windows, heads, N, N)."""
        attention: Any = self.attention
        size = attention.window_area
        index = attention.relative_position_index.view(-1)
        bias = attention.relative_position_bias_table[index].view(size, size, -1).permute(2, 0, 1)[None]
        return bias if mask is None else bias + mask[:, None]


def attend_with_rows(attention: Any, x: Tensor, bias: Tensor | None, key_rows: Tensor, value_rows: Tensor) -> Tensor:
    """Computes timm's attention with further rows of keys and values, which every query sees at bias 0.

    Args:
        attention: with ``qkv``, ``num_heads``, ``proj``.
        x: (B, N, D).
        bias: added to the attention map: (b, heads, N, N), repeated over the batch where b is less than B; or None.
        key_rows: (P, D).
        value_rows: (P, D).
    """
    heads, rows = attention.num_heads, len(key_rows)
    query, key, value = attention.qkv(x).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    split = lambda y: y.unflatten(-1, (heads, -1)).transpose(0, 1).expand(x.shape[0], -1, -1, -1)  # noqa: E731
    key, value = torch.cat([key, split(key_rows)], dim=2), torch.cat([value, split(value_rows)], dim=2)
    if bias is not None:
        bias = F.pad(bias, (0, rows))
        bias = bias.repeat(x.shape[0] // len(bias), 1, 1, 1) if len(bias) > 1 else bias
    dropout = attention.attn_drop.p if attention.training else 0.0
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
    return attention.proj_drop(attention.proj(seen.transpose(1, 2).flatten(2)))


def _thirds(linear: nn.Linear) -> dict[str, slice]:
    width = linear.out_features // 3
    return {part: slice(i * width, (i + 1) * width) for i, part in enumerate(("query", "key", "value"))}


def _vit(block: Any) -> Block | None:
    from timm.layers.attention import Attention
    from timm.layers.mlp import Mlp

    attention = block.attn
    # timm's variants: other MLPs, and attentions that gate, or normalise queries, keys or what they have seen
    added = [getattr(attention, name, None) for name in ("gate", "q_norm", "k_norm", "norm")]
    plain = all(part is None or isinstance(part, nn.Identity) for part in added)
    return _fused(FusedBlock, block) if plain and type(attention) is Attention and type(block.mlp) is Mlp else None


def _swin(block: Any) -> Block:
    return _fused(WindowBlock, block)


def _fused(cls: type[Block], block: Any) -> Block:
    attention = block.attn
    return cls(
        layer=block,
        norm=block.norm1,
        attention=attention,
        heads=attention.num_heads,
        query=attention.qkv,
        key=attention.qkv,
        value=attention.qkv,
        out=attention.proj,
        norm2=block.norm2,
        fc1=block.mlp.fc1,
        fc2=block.mlp.fc2,
        rows=_thirds(attention.qkv),
    )


def _pvt_v2(block: Any) -> Block:
    attention = block.attn
    width = attention.kv.out_features // 2
    return Block(
        layer=block,
        norm=block.norm1,
        attention=attention,
        heads=attention.num_heads,
        query=attention.q,
        key=attention.kv,
        value=attention.kv,
        out=attention.proj,
        norm2=block.norm2,
        fc1=block.mlp.fc1,
        fc2=block.mlp.fc2,
        key_norm=attention.norm,
        rows={"key": slice(0, width), "value": slice(width, 2 * width)},
    )
