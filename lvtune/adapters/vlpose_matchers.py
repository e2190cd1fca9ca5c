"""Vision-language relation matchers of VLPose (arXiv 2402.14456, §3).

Each maps image tokens E (B, N, D) and text tokens T (B, T, D), with a mask (B, T) of real tokens, to the relation
R (B, N, D) = LayerNorm(Attention(E, context) + E). They differ in the context of the attention. Two give [E ; R].
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lvtune.core.linear_products import linear
from lvtune.core.registry import Registry
from lvtune.core.step_part import attention

MATCHERS: Registry[Any] = Registry("matcher", "lvtune adapt --method vlpose --help")


@MATCHERS.register("concat")
class ConcatMatcher(nn.Module):
    """The published default: keys and values are made of [E ; T].

    Args:
        width: D, the width of the tokens.
        heads: attention heads; the scale is (D / heads)^-0.5.
        dropout: on the attention map.
    """

    doubles: ClassVar[bool] = False
    """True if it gives 2N tokens [E ; R] instead of R."""

    def __init__(self, width: int, heads: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def context(self, image: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the context (B, M, D) that keys and values are made of, and the mask (B, M) of its real tokens."""
        image_mask = mask.new_ones(image.shape[:2])
        return torch.cat([image, text], dim=1), torch.cat([image_mask, mask], dim=1)

    def forward(self, image: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Returns R (B, N, D)."""
        source, mask = self.context(image, text, mask)
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731  (B, heads, N, D / heads)
        q, k, v = (
            linear(x, part.weight, part.bias) for x, part in ((image, self.q), (source, self.k), (source, self.v))
        )
        out = attention(
            split(q),
            split(k),
            split(v),
            mask=mask[:, None, None],
            p=self.dropout if self.training else 0.0,
        )
        return self.norm(_projected(self.proj, out.transpose(1, 2).flatten(2)) + image)


def _projected(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias)


@MATCHERS.register("attn")
class AttnMatcher(ConcatMatcher):
    """Keys and values are made of the text tokens alone."""

    def context(self, image: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns T and its mask."""
        return text, mask


class _SimilarityMatcher(ConcatMatcher):
    """Keys and values are made of one similarity score for each image token, repeated over D."""

    def pool(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Pools scores over the text tokens, (B, N, T) -> (B, N)."""
        raise NotImplementedError

    def context(self, image: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores (B, N, D); every token is real."""
        scores = image @ text.transpose(1, 2)  # (B, N, T)
        pooled = self.pool(scores, mask[:, None])[..., None]
        return pooled.expand(-1, -1, image.shape[-1]), mask.new_ones(image.shape[:2])


@MATCHERS.register("cosmax")
class CosMaxMatcher(_SimilarityMatcher):
    """The score is the largest of E·T over the text tokens."""

    def pool(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, N, T) -> (B, N)."""
        return scores.masked_fill(~mask, float("-inf")).amax(-1)


@MATCHERS.register("cosmean")
class CosMeanMatcher(_SimilarityMatcher):
    """The score is the mean of E·T over the text tokens."""

    def pool(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, N, T) -> (B, N)."""
        return (scores * mask).sum(-1) / mask.sum(-1).clamp(min=1)


@MATCHERS.register("coscat")
class CosCatMatcher(ConcatMatcher):
    """Keys and values are made of [E ; (Σ_n E_n) ⊙ T]."""

    def context(self, image: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the image tokens, and the text tokens weighted by the summed image."""
        return super().context(image, image.sum(dim=1, keepdim=True) * text, mask)


class _Doubled(ConcatMatcher):
    """Gives the tokens of E in front of those of R."""

    doubles = True

    def forward(self, image: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Returns [E ; R] (B, 2N, D)."""
        return torch.cat([image, super().forward(image, text, mask)], dim=1)


@MATCHERS.register("catcat")
class CatCatMatcher(_Doubled):
    """``concat``, with E in front of R. Its map has twice the channels; the released decoders cannot take it."""


@MATCHERS.register("coscatcat")
class CosCatCatMatcher(_Doubled, CosCatMatcher):
    """``coscat``, with E in front of R."""
