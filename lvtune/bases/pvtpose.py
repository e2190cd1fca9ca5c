"""PVTPose: Pyramid Vision Transformers with the classic head. ``pvtpose-s`` is PVT v1 small, ``pvtv2pose-b`` PVTv2-B2.

Papers: PVT, arXiv 2102.12122; PVTv2, arXiv 2106.13797. timm has no PVT v1, and transformers' PVT cannot take 256x192:
it reads the pretrained positions as a square of the input's size. So PVT v1 is written out here, with transformers'
blocks and weight names; positions are fitted to the input's grid once, when weights are loaded. The class token of the
last stage is only for classification and is left out, as in PVT's own code for dense prediction. The feature map is the
last one, behind the final LayerNorm: (B, 512, 8, 6) at 256x192.

Visual prompts are rows of keys and values, Linear(LN(p)) for tokens p of each block's own width. They join the
spatially reduced tokens, behind the normalisation that keys and values read. They have no outputs, so nothing needs to
be dropped. Shallow ones, which are carried from block to block, are refused: patches are merged on a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lvtune.bases.base import FAMILIES, Base, BaseSpec, Block
from lvtune.bases.base_registry import BASES
from lvtune.bases.deconv_head import DeconvBase, DeconvPose, build_pose
from lvtune.bases.deconv_weights import fill, not_loaded
from lvtune.bases.timmpose import load_timm
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable

Grid = tuple[int, int]
"""(h, w) of a stage's tokens."""


@dataclass(frozen=True)
class PvtArch:
    """Sizes of a PVT, one entry for each stage."""

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    """Number of cells, along each side of the grid, that are merged for keys and values."""
    mlp_ratios: tuple[int, ...] = (8, 8, 4, 4)
    patches: tuple[int, ...] = (4, 2, 2, 2)
    input_size: Grid = (256, 192)


class _Embedding(nn.Module):
    """Embeds the patches of a map, with their positions: (B, C, H, W) -> (B, N, D)."""

    def __init__(self, channels: int, width: int, patch: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.position_embeddings = nn.Parameter(torch.zeros(1, grid[0] * grid[1], width))
        self.projection = nn.Conv2d(channels, width, patch, stride=patch)
        self.layer_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.projection(x).flatten(2).transpose(1, 2)
        return self.layer_norm(tokens) + self.position_embeddings


class _ReducedAttention(nn.Module):
    """Attention of every cell to cells merged by ``reduction``, without the output projection."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.sequence_reduction = nn.Conv2d(width, width, reduction, stride=reduction) if reduction > 1 else None
        self.layer_norm: Any = nn.LayerNorm(width, eps=1e-6) if reduction > 1 else None

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731  (B, heads, N, D / heads)
        source = tokens
        if self.sequence_reduction is not None and self.layer_norm is not None:
            source = self.sequence_reduction(tokens.transpose(1, 2).unflatten(2, grid))
            source = self.layer_norm(source.flatten(2).transpose(1, 2))
        seen = F.scaled_dot_product_attention(*(split(x) for x in self._project(tokens, source)))
        return seen.transpose(1, 2).flatten(2)

    def _project(self, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.query(tokens), self.key(source), self.value(source)


class _Output(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)


class _Attention(nn.Module):
    """(B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.self = _ReducedAttention(width, heads, reduction)
        self.output = _Output(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        return self.output(self.self(tokens, grid))


class _Mlp(nn.Module):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.dense1, self.dense2 = nn.Linear(width, width * ratio), nn.Linear(width * ratio, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense2(F.gelu(self.dense1(x)))


class _Layer(nn.Module):
    """One block, (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int, reduction: int, ratio: int) -> None:
        super().__init__()
        self.layer_norm_1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = _Attention(width, heads, reduction)
        self.layer_norm_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width, ratio)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        tokens = tokens + self.attention(self.layer_norm_1(tokens), grid)
        return tokens + self.mlp(self.layer_norm_2(tokens))


class PvtEncoder(nn.Module):
    """PVT v1, (B, 3, H, W) -> (B, D, H / 32, W / 32); weight names of ``transformers.PvtModel.encoder``."""

    def __init__(self, arch: PvtArch) -> None:
        super().__init__()
        embeddings, stages, channels, (h, w) = [], [], 3, arch.input_size
        for i, width in enumerate(arch.widths):
            h, w = h // arch.patches[i], w // arch.patches[i]
            embeddings.append(_Embedding(channels, width, arch.patches[i], (h, w)))
            sizes = (width, arch.heads[i], arch.reductions[i], arch.mlp_ratios[i])
            stages.append(nn.ModuleList(_Layer(*sizes) for _ in range(arch.depths[i])))
            channels = width
        self.patch_embeddings, self.block = nn.ModuleList(embeddings), nn.ModuleList(stages)
        self.layer_norm = nn.LayerNorm(channels, eps=1e-6)
        self.width, self.stride = channels, arch.input_size[0] // h
        self.apply(_draw)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Returns the last feature map, behind the final LayerNorm."""
        x = pixel_values
        stages: Any = zip(self.patch_embeddings, self.block, strict=True)
        for embedding, layers in stages:
            tokens = embedding(x)
            for layer in cast(nn.ModuleList, layers):
                tokens = layer(tokens, embedding.grid)
            if embedding is self.patch_embeddings[-1]:
                tokens = self.layer_norm(tokens)
            x = tokens.transpose(1, 2).unflatten(2, embedding.grid)
        return x


def _draw(module: nn.Module) -> None:
    """Draws initial weights as published: truncated normal of std 0.02, biases zero."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _Embedding):
        nn.init.trunc_normal_(module.position_embeddings, std=0.02)


class PvtPoseBase(DeconvBase):
    """A base around PVT v1."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks of all stages."""
        return [_describe(layer) for layers in self.encoder.block for layer in layers]

    @property
    def batch_major(self) -> bool:
        """True: tokens and maps have one row per sample."""
        return True

    @property
    def final_norm(self) -> Any:
        """The LayerNorm behind the last block."""
        return self.encoder.layer_norm

    def depths(self) -> list[int]:
        """As for any base; but the embedding in front of a stage has the depth of the end of the stage before."""
        before = [sum(len(layers) for layers in self.encoder.block[:i]) for i in range(len(self.encoder.block))]
        own = {id(p): n for n, e in zip(before, self.encoder.patch_embeddings, strict=True) for p in e.parameters()}
        return [own.get(id(p), d) for p, d in zip(self.encoder.parameters(), super().depths(), strict=True)]

    @property
    def carries_tokens(self) -> bool:
        """False: stages differ in width, and patches are merged between them."""
        return False


def _describe(layer: _Layer) -> Block:
    inner = layer.attention.self
    return Block(
        layer=layer,
        norm=layer.layer_norm_1,
        attention=layer.attention,
        heads=inner.heads,
        query=inner.query,
        key=inner.key,
        value=inner.value,
        out=layer.attention.output.dense,
        norm2=layer.layer_norm_2,
        fc1=layer.mlp.dense1,
        fc2=layer.mlp.dense2,
        key_norm=inner.layer_norm,
    )


def recognise(model: Any) -> Base | None:
    """Returns a pose estimator with PVT v1 as a base, else None."""
    fits = isinstance(model, DeconvPose) and isinstance(model.encoder, PvtEncoder)
    return PvtPoseBase(model, model.spec) if fits else None


FAMILIES.append(recognise)

PVT_S = BaseSpec("pvtpose-s", size="s", hub_id="Zetatech/pvt-small-224")
"""``hub_id`` names the encoder's ImageNet-1k weights in transformers' form."""


def load_pvt(spec: BaseSpec, arch: PvtArch, weights: str, *, revision: str | None = None, seed: int = 0) -> Base:
    """Loads a base with PVT v1; see :func:`lvtune.bases.deconv_weights.fill` for the weights.

    Raises:
        LvtuneError: weights that are not there or do not fit.
    """
    base = PvtPoseBase(build_pose(partial(PvtEncoder, arch), spec, seed=seed), spec)

    def fetch(revision: str | None) -> dict[str, Tensor]:
        from transformers import PvtModel

        hub_id = str(spec.hub_id)
        why = why_unreachable(hub_id)
        try:
            with hub_limits(hub_id):
                model = PvtModel.from_pretrained(
                    hub_id, revision=revision or "main", dtype=torch.float32, local_files_only=why is not None
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise not_loaded(spec.name, hub_id, why or error) from error
        return fit_encoder(model.state_dict(), base.encoder)

    return fill(base, weights, revision, fetch, partial(fit_encoder, encoder=base.encoder))


def fit_encoder(state: dict[str, Tensor], encoder: Any) -> dict[str, Tensor]:
    """Fits transformers' PVT tensors to an encoder: without class token and classifier, positions of its grid.

    Positions in the file form a square. They are resized bilinearly, as PVT's own code does for other sizes than the
    one it was trained at.
    """
    out = {}
    for name, value in state.items():
        key = name.removeprefix("pvt.").removeprefix("encoder.")
        if key.endswith(".cls_token") or key.startswith("classifier."):
            continue
        out[key] = value
    for i, embedding in enumerate(encoder.patch_embeddings):
        key = f"patch_embeddings.{i}.position_embeddings"
        if key not in out:
            continue
        # where there is a class token, its position comes first
        has_class = any(name.endswith(f"patch_embeddings.{i}.cls_token") for name in state)
        out[key] = _resized(out[key][:, 1:] if has_class else out[key], embedding.grid)
    return out


def _resized(positions: Tensor, grid: Grid) -> Tensor:
    """Resizes positions (1, N', D) of a square to (1, h·w, D); those that fit, or form no square, stay as they are."""
    count = positions.shape[1]
    side = round(count**0.5)
    if count == grid[0] * grid[1] or side * side != count:
        return positions
    square = positions.transpose(1, 2).unflatten(2, (side, side))
    return F.interpolate(square, size=grid, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)


BASES.register("pvtpose-s")(partial(load_pvt, PVT_S, PvtArch()))

PVTV2_B = BaseSpec("pvtv2pose-b", size="b")
BASES.register("pvtv2pose-b")(partial(load_timm, PVTV2_B, "pvt_v2_b2", {}))
