"""ViTPose S/B/L/H, ViTPose++ S/B/L/H and ``vitpose-ti`` through transformers' VitPose.

Papers: ViTPose, arXiv 2204.12484; ViTPose++, arXiv 2212.04246. Sizes and training facts are those of ViTPose's
released configurations. In ViTPose++ a quarter of each MLP's outputs comes from one of six experts, each trained on a
data set of its own. The published checkpoints hold the COCO head, so the expert is COCO's unless another is named
(``vitpose-plus-b/ap10k``: its features suit animals; the method must bring a predictor for their key points).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.bases.base import FAMILIES, Base, BaseSpec, Block, Stage
from lvtune.bases.deconv_head import deconv_stage
from lvtune.bases.nested_outputs import in_batch_order
from lvtune.bases.parts import with_weights_of
from lvtune.bases.vit_positions import set_input_size, trained_size
from lvtune.bases.vitpose_specs import ARCH, EXPERTS, known_spec, skeleton_of
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.data.skeletons import Skeleton

if TYPE_CHECKING:
    from transformers import VitPoseConfig


class VitPoseBase(Base):
    """A base around ``transformers.VitPoseForPoseEstimation``."""

    batched = ("pixel_values", "dataset_index")

    @property
    def width(self) -> int:
        """D, the width of the encoder."""
        return self.model.backbone.config.hidden_size

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of the experts in the order of ``dataset_index``; empty where there is no mixture."""
        count = self.model.backbone.config.num_experts
        if count == len(EXPERTS):
            return EXPERTS
        return tuple(str(i) for i in range(count)) if count > 1 else ()

    def variant(self, name: str) -> Base:
        """Returns the same model with its pictures sent to another expert (ViTPose++).

        Raises:
            UsageError: there is no such expert, or there are no experts at all.
        """
        if not self.experts:
            super().variant(name)  # raises: there are none
        if name not in self.experts:
            raise UsageError(
                f"unknown expert '{name}' of {self.name}", f"one of {', '.join(self.experts)}",
                suggest(name, list(self.experts), f"say {self.name} for {self.spec.expert}"),
            )  # fmt: skip
        whole = self.name.partition("/")[0]
        if name == self.experts[0]:
            return VitPoseBase(self.model, self.spec.with_(name=whole, expert=name, trained_on="coco"))
        # the head stays COCO's; it was never trained together with another expert
        return VitPoseBase(self.model, self.spec.with_(name=f"{whole}/{name}", expert=name, trained_on=""))

    @property
    def size_step(self) -> int:
        """The patch."""
        return self.spec.stride * 4

    def set_input_size(self, size: tuple[int, int]) -> None:
        """Interpolates the position embeddings, see :mod:`lvtune.bases.vit_positions`; heatmaps and codec follow.

        Raises:
            LvtuneError: a side that is no multiple of the patch, or below two patches.
        """
        if tuple(size) != self.input_size:
            set_input_size(self.model, size)
            self.use_spec(self.spec.with_(input_size=tuple(size)))

    def forward_kwargs(self, pixel_values: Tensor) -> dict[str, object]:
        """Returns the expert's index for each picture, where there are experts."""
        if not self.experts:
            return {}
        index = self.experts.index(self.spec.expert) if self.spec.expert else 0
        return {"dataset_index": torch.full((pixel_values.shape[0],), index, device=pixel_values.device)}

    @property
    def blocks(self) -> Sequence[Block]:
        """The encoder's layers."""
        return layers_as_blocks(self.model.backbone)

    @property
    def batch_major(self) -> bool:
        """True: tokens and maps have one row per sample."""
        return True

    @property
    def encoder(self) -> Any:
        """The VitPose backbone."""
        return self.model.backbone

    @property
    def final_norm(self) -> Any:
        """The LayerNorm behind the last layer."""
        return self.model.backbone.layernorm

    @property
    def head(self) -> Any:
        """The classic or simple decoder."""
        return self.model.head

    @property
    def stages(self) -> Sequence[Stage]:
        """Two deconvolution blocks (classic), or one parameter-free up-sampling (simple)."""
        head = self.model.head
        if self.model.config.use_simple_decoder:
            width = self.width

            def auxiliary() -> nn.Module:
                conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
                # a new module: the base's own would follow the adapter's mode
                up = nn.Upsample(scale_factor=head.upsampling.scale_factor, mode="bilinear", align_corners=False)
                return nn.Sequential(up, conv, nn.BatchNorm2d(width), nn.ReLU())

            return [Stage(lambda x: head.upsampling(head.activation(x)), auxiliary, width)]
        pairs = ((head.deconv1, head.batchnorm1), (head.deconv2, head.batchnorm2))
        return [deconv_stage(conv, norm) for conv, norm in pairs]

    @property
    def predictor(self) -> Any:
        """The last convolution."""
        return self.model.head.conv

    def without_inserted(self, output: Any) -> Any:
        """Drops them from the ``hidden_states`` of the layers between, if these are returned."""
        tokens = output.feature_maps[-1].shape[1]
        if output.hidden_states is not None:
            output.hidden_states = tuple(s if s is None else s[:, -tokens:] for s in output.hidden_states)
        return output

    def copy_model(self) -> Any:
        """Makes a second VitPose of the same configuration, head width and weights."""
        config = type(self.model.config).from_dict(self.model.config.to_dict())
        config.backbone_config.image_size = list(trained_size(self.model))
        channels = None if config.use_simple_decoder else head_channels(self.model)
        fresh = build_model(config, channels, self.predictor.out_channels)
        with_weights_of(self.model, fresh, self.predictor.weight)
        if self.input_size != trained_size(self.model):
            set_input_size(fresh, self.input_size)
        return fresh

    def note_skeleton(self, skeleton: Skeleton) -> None:
        """Notes the names in transformers' configuration; their number is the predictor's width."""
        self.model.config.id2label = dict(enumerate(skeleton.keypoints))
        self.model.config.label2id = {name: i for i, name in enumerate(skeleton.keypoints)}

    def parts_of(self, model: Any) -> tuple[Any, Any]:
        """Returns (backbone, head)."""
        return model.backbone, model.head

    def heatmaps_of(self, output: Any) -> Tensor:
        """Returns ``.heatmaps`` of transformers' output, or the first entry of a tuple."""
        return output.heatmaps if hasattr(output, "heatmaps") else output[0]

    def merge_outputs(self, outputs: Sequence[Any], indices: Sequence[Tensor]) -> Any:
        """Returns every output in the order of the batch; a list of rows where their shapes (key points) differ."""
        return in_batch_order(outputs, indices)


def layers_as_blocks(backbone: Any) -> list[Block]:
    """Returns the layers of a VitPose backbone as methods see them."""
    return [
        Block(
            layer=layer,
            norm=layer.layernorm_before,
            attention=layer.attention,
            heads=layer.attention.attention.num_attention_heads,
            query=layer.attention.attention.query,
            key=layer.attention.attention.key,
            value=layer.attention.attention.value,
            out=layer.attention.output.dense,
            norm2=layer.layernorm_after,
            fc1=layer.mlp.fc1,
            fc2=layer.mlp.fc2,
        )
        for layer in backbone.encoder.layer
    ]


def make_config(
    size: str | dict[str, int],
    *,
    keypoints: int,
    input_size: tuple[int, int],
    simple: bool = False,
    experts: int = 1,
) -> VitPoseConfig:
    """Builds transformers' configuration of a ViTPose; LayerNorm eps is the published 1e-6, not transformers' 1e-12.

    Args:
        size: a key of ``ARCH``, or a dict with the same keys as its values.
        keypoints: K.
        input_size: (H, W) in pixels.
        simple: True for the simple head, False for the classic one.
        experts: number of experts (ViTPose++ has 6), each for a quarter of the MLP's outputs; 1 for no mixture.
    """
    from transformers import VitPoseBackboneConfig, VitPoseConfig

    arch = ARCH[size] if isinstance(size, str) else size
    sizes: dict[str, Any] = {
        "image_size": list(input_size),
        "patch_size": [16, 16],
        "layer_norm_eps": 1e-6,
        "out_indices": [arch["num_hidden_layers"]],
        "num_experts": experts,
        "part_features": arch["hidden_size"] // 4 if experts > 1 else 0,
        **arch,
    }
    whole: dict[str, Any] = {"use_simple_decoder": simple, "num_labels": keypoints}
    return VitPoseConfig(backbone_config=VitPoseBackboneConfig(**sizes), **whole)


def build_model(config: Any, channels: tuple[int, int] | None, keypoints: int, seed: int = 0) -> nn.Module:
    """Builds a VitPose with random weights drawn from ``seed``; the global random state is kept.

    Args:
        config: transformers' configuration.
        channels: widths of the classic head's two deconvolutions where they differ from 256.
        keypoints: K.
        seed: of the weights.
    """
    from transformers import VitPoseForPoseEstimation

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        model = VitPoseForPoseEstimation(config)
        backbone: Any = config.backbone_config
        head, width = model.head, backbone.hidden_size
        if channels is not None and channels != (256, 256):
            first, second = channels
            head.deconv1 = nn.ConvTranspose2d(width, first, 4, stride=2, padding=1, bias=False)
            head.batchnorm1 = nn.BatchNorm2d(first)
            head.deconv2 = nn.ConvTranspose2d(first, second, 4, stride=2, padding=1, bias=False)
            head.batchnorm2 = nn.BatchNorm2d(second)
            head.conv = nn.Conv2d(second, keypoints, 1)
        for module in head.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # as ViTPose; with the ReLU between them the maps are near zero at first
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return model


def head_channels(model: Any) -> tuple[int, int]:
    """Returns the output widths of the classic head's two deconvolutions."""
    return model.head.deconv1.out_channels, model.head.deconv2.out_channels


def spec_of(model: Any) -> BaseSpec:
    """Reads the facts of a plain VitPose off its configuration; assumes ImageNet's mean and std."""
    backbone = model.config.backbone_config
    known = {(arch["hidden_size"], arch["num_hidden_layers"]): size for size, arch in ARCH.items()}
    size = known.get((backbone.hidden_size, backbone.num_hidden_layers), "")
    spec = known_spec(size, backbone.num_experts)
    keypoints = model.head.conv.out_channels
    skeleton = spec.skeleton if len(spec.skeleton.keypoints) == keypoints else skeleton_of(keypoints)
    patch = backbone.patch_size[0] if isinstance(backbone.patch_size, list | tuple) else backbone.patch_size
    return spec.with_(
        input_size=tuple(backbone.image_size), stride=patch // 4, skeleton=skeleton, hub_id=_hub_id(model)
    )


def _hub_id(model: Any) -> str | None:
    return getattr(model.config, "_name_or_path", None) or None


def recognise(model: nn.Module) -> Base | None:
    """Returns a VitPoseForPoseEstimation as a base, else None."""
    from transformers import VitPoseForPoseEstimation

    return VitPoseBase(model, spec_of(model)) if isinstance(model, VitPoseForPoseEstimation) else None


FAMILIES.append(recognise)
