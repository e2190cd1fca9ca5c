"""``hand3d-vit``: the lifting of ``hand3d`` on a ViTPose (arXiv 2204.12484) with a ViT-Tiny encoder.

At 128x128 it has 64 tokens and heatmaps of 32x32, the size that the lifting reads. Every method applies to it. A
picture costs about a thirtieth of what it costs with ``hand3d``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from lvtune.bases.base import FAMILIES, Base, BaseSpec, Block, Stage
from lvtune.bases.base_registry import BASES
from lvtune.bases.deconv_head import DeconvHead, deconv_stage
from lvtune.bases.hand3d import load_hand
from lvtune.bases.hand_nets import JOINTS
from lvtune.bases.hand_pose import SIGMA, HandBase, HandPose, build_hand
from lvtune.bases.vit_positions import resize_positions
from lvtune.bases.vitpose import layers_as_blocks, make_config
from lvtune.bases.vitpose_specs import ARCH, TI_DECONV_CHANNELS
from lvtune.bases.weight_names import is_foreign, to_transformers
from lvtune.data.skeletons import HAND_21

SPEC = BaseSpec(
    "hand3d-vit",
    input_size=(128, 128),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    skeleton=HAND_21,
    sigma=SIGMA,
    size="ti",
    ships=True,
)
_POSITIONS = "backbone.embeddings.position_embeddings"


class VitEncoder(nn.Module):
    """transformers' VitPose backbone, (B, 3, H, W) -> (B, D, H / 16, W / 16).

    Args:
        arch: keys of :data:`lvtune.bases.vitpose.ARCH`.
        input_size: (H, W).
    """

    stride = 16

    def __init__(self, arch: dict[str, int], input_size: tuple[int, int]) -> None:
        super().__init__()
        from transformers import VitPoseBackbone

        config: Any = make_config(arch, keypoints=JOINTS, input_size=input_size).backbone_config
        self.backbone = VitPoseBackbone(config)
        self.width = config.hidden_size
        self.grid = (input_size[0] // self.stride, input_size[1] // self.stride)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Returns the normalised last feature map."""
        tokens = self.backbone(pixel_values).feature_maps[-1]
        return tokens.transpose(1, 2).unflatten(2, self.grid).contiguous()


class HandVitBase(HandBase):
    """A base around a ViTPose with the lifting behind it."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The encoder's layers."""
        return layers_as_blocks(self.model.encoder.backbone)

    @property
    def final_norm(self) -> Any:
        """LayerNorm behind the last layer."""
        return self.model.encoder.backbone.layernorm

    @property
    def stages(self) -> Sequence[Stage]:
        """The head's up-sampling blocks."""
        return [deconv_stage(conv, norm) for conv, norm, _ in self.model.head.blocks]


def make_hand_vit(arch: dict[str, int], channels: int, spec: BaseSpec, *, seed: int = 0) -> HandVitBase:
    """Builds a base of this family with random weights.

    Args:
        arch: keys of :data:`lvtune.bases.vitpose.ARCH`.
        channels: of the head's two up-sampling blocks.
        spec: its facts.
        seed: of the weights.
    """
    make_head = partial(DeconvHead, arch["hidden_size"], JOINTS, 2, channels)
    model = build_hand(partial(VitEncoder, arch, spec.input_size), make_head, spec, seed=seed)
    return HandVitBase(model, spec)


def recognise(model: Any) -> Base | None:
    """Returns an estimator of this family as a base, else None."""
    fits = isinstance(model, HandPose) and isinstance(model.encoder, VitEncoder)
    return HandVitBase(model, model.spec) if fits else None


FAMILIES.append(recognise)


def _portrait(positions: int) -> tuple[int, int] | None:
    """Returns the grid of a ViTPose (pictures of 4:3) with so many positions; None where there is no such grid."""
    unit = round((positions / 12) ** 0.5)
    return (4 * unit, 3 * unit) if 12 * unit**2 == positions else None


@BASES.register("hand3d-vit")
def load_hand3d_vit(weights: str, *, revision: str | None = None, seed: int = 0) -> Base:
    """Loads ViT-Tiny at 128x128; see :func:`lvtune.load_base` for the arguments.

    A file may hold the whole model, or a ViT-Tiny encoder: that of timm's ``vit_tiny_patch16_224`` or of a ViTPose.
    """
    base = make_hand_vit(ARCH["ti"], TI_DECONV_CHANNELS[0], SPEC, seed=seed)

    def adopt(state: dict[str, Tensor]) -> dict[str, Tensor]:
        named = to_transformers(state) if is_foreign(state) else state
        found = {name: value for name, value in named.items() if name.startswith("backbone.")}
        if _POSITIONS in found:
            positions = found[_POSITIONS]
            found[_POSITIONS] = resize_positions(positions, base.encoder.grid, _portrait(positions.shape[1] - 1))
        return found

    return load_hand(base, weights, revision, adopt, " --weights VIT_TINY.safetensors")
