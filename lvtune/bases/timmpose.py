"""``timm:<name>``: any backbone of timm that has a feature map, with the classic head.

The weights ``pretrained`` are timm's own for the name (``timm:resnet50.a1_in1k`` chooses among them); the head is new.
Backbones of transformer blocks that are known here (:mod:`lvtune.bases.timm_blocks`) take every method. Others
(convolutions, blocks of timm's many variants) take those that need no blocks: full, head, norm, bitfit, and vlpose
without visual prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lvtune.bases.base import FAMILIES, Base, BaseSpec, Block
from lvtune.bases.base_registry import BASES
from lvtune.bases.deconv_head import DeconvBase, DeconvPose, build_pose
from lvtune.bases.deconv_weights import fill, not_adopted, not_loaded
from lvtune.bases.timm_blocks import FusedBlock, describe
from lvtune.core.errors import UsageError
from lvtune.core.network import why_unreachable
from lvtune.core.registry import suggest


class TimmEncoder(nn.Module):
    """A timm model without its classifier, (B, 3, H, W) -> (B, D, h, w), normalised where it has a last norm.

    Args:
        name: of the model in timm.
        options: further arguments of ``timm.create_model``.
        **loading: ``pretrained`` and what goes with it.
    """

    def __init__(self, name: str, options: dict[str, Any], **loading: Any) -> None:
        super().__init__()
        import timm

        self.backbone: Any = timm.create_model(name, num_classes=0, **options, **loading)
        last = self.backbone.feature_info[-1]
        self.width, self.stride = int(last["num_chs"]), int(last["reduction"])

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Returns the last feature map."""
        return self.backbone.forward_intermediates(pixel_values, indices=1, norm=True, intermediates_only=True)[-1]


class TimmPoseBase(DeconvBase):
    """A base around a timm backbone."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The transformer blocks that are known here, first to last; empty for a network of convolutions."""
        return [block for module in self.model.encoder.modules() if (block := describe(module)) is not None]

    @property
    def batch_major(self) -> bool:
        """True for the families that were checked: ViT, Swin, ResNet and PVTv2."""
        from timm.models import pvt_v2, resnet, swin_transformer, vision_transformer

        known = (vision_transformer.VisionTransformer, swin_transformer.SwinTransformer, resnet.ResNet)
        return type(self.encoder.backbone) in (*known, pvt_v2.PyramidVisionTransformerV2)

    @property
    def final_norm(self) -> Any:
        """The normalisation behind the last known block; the encoder where there is none."""
        inside = {module for block in self.blocks for module in block.layer.modules()}
        norms = [m for m in self.encoder.modules() if isinstance(m, nn.LayerNorm) and m not in inside]
        return norms[-1] if inside and norms else self.encoder

    @property
    def carries_tokens(self) -> bool:
        """True only for ViT."""
        return {type(block) for block in self.blocks} == {FusedBlock}

    def is_plain(self, layer: nn.Module) -> bool:
        """Returns False for timm's normalisations that include an activation, move channels or have no weight."""
        if not isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            return True
        from timm.layers.norm import LayerNorm

        return type(layer) in (nn.LayerNorm, nn.BatchNorm2d, LayerNorm) and layer.weight is not None


def recognise(model: Any) -> Base | None:
    """Returns a pose estimator of this family as a base, else None."""
    fits = isinstance(model, DeconvPose) and isinstance(model.encoder, TimmEncoder)
    return TimmPoseBase(model, model.spec) if fits else None


FAMILIES.append(recognise)


def load_timm(
    spec: BaseSpec,
    name: str,
    options: dict[str, Any],
    weights: str,
    *,
    revision: str | None = None,
    seed: int = 0,
) -> Base:
    """Loads a base with a timm backbone.

    Args:
        spec: its facts.
        name: of the model in timm.
        options: further arguments of ``timm.create_model``.
        weights: see :func:`lvtune.bases.deconv_weights.fill`.
        revision: of the Hub repository.
        seed: of random weights; also of the new head, whatever the weights.

    Raises:
        LvtuneError: weights that are not there or do not fit.
    """
    base = TimmPoseBase(build_pose(partial(TimmEncoder, name, options), spec, seed=seed), spec)
    source = _TimmWeights(spec, name, options, base.encoder.backbone.pretrained_cfg.get("classifier") or ())
    return fill(base, weights, revision, source.fetch, source.adopt)


class _TimmWeights:
    """Loads weights of a timm backbone, through timm."""

    def __init__(self, spec: BaseSpec, name: str, options: dict[str, Any], classifier: str | Sequence[str]) -> None:
        self.spec, self.name, self.options = spec, name, options
        self.classifier = (classifier,) if isinstance(classifier, str) else tuple(classifier)

    def _load(self, **overlay: Any) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            encoder = TimmEncoder(self.name, self.options, pretrained=True, pretrained_cfg_overlay=overlay)
            return encoder.state_dict()

    def fetch(self, revision: str | None) -> dict[str, Tensor]:
        """Loads the ImageNet weights of the name."""
        import timm

        facts = timm.get_pretrained_cfg(self.name)
        hub_id = facts.hf_hub_id if facts is not None else None
        why = why_unreachable(hub_id) if hub_id else None
        try:
            if hub_id and why is not None:
                return self._load(file=_cached_file(hub_id, revision))
            return self._load(**({"hf_hub_id": f"{hub_id}@{revision}"} if revision else {}))
        except (OSError, RuntimeError, ValueError) as error:
            raise not_loaded(self.spec.name, hub_id or f"timm's {self.name}", why or error) from error

    def adopt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turns an encoder's file into this encoder's names and sizes."""
        # an encoder of ours has timm's names behind a prefix
        named = {key.removeprefix("encoder.").removeprefix("backbone."): value for key, value in state.items()}
        for layer in self.classifier:
            named.pop(f"{layer}.weight", None)
            named.pop(f"{layer}.bias", None)
        try:
            # timm's own loading resizes positions; it is strict where there is no classifier to leave out
            return self._load(state_dict=named, classifier=None, num_classes=0)
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            raise not_adopted(self.spec.name, f"timm's {self.name}", error) from error


def _cached_file(hub_id: str, revision: str | None) -> str:
    """Returns the path of a repository's weights in the local Hub cache; timm itself cannot be kept off the network.

    Raises:
        OSError: they are not in the cache.
    """
    from huggingface_hub import hf_hub_download

    return hf_hub_download(hub_id, "model.safetensors", revision=revision, local_files_only=True)


@BASES.register("timm:<name>")
def load_any(name: str, weights: str, *, revision: str | None = None, seed: int = 0) -> Base:
    """Loads any timm backbone with a feature map, at 256x192; see :func:`lvtune.load_base` for the other arguments.

    Raises:
        LvtuneError: timm does not know the name; the backbone has no feature map of a usual stride at this size.
    """
    import timm

    if name.partition(".")[0] not in timm.list_models():
        raise UsageError(
            f"unknown timm model '{name}'", "a name of timm.list_models()",
            suggest(name, timm.list_models(), "`python -c 'import timm; print(timm.list_models())'` shows them"),
        )  # fmt: skip
    spec = BaseSpec(f"timm:{name}")
    options = _size_option(name, spec.input_size)
    base = load_timm(_checked(spec, name, options), name, options, weights, revision=revision, seed=seed)
    return base


def _size_option(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Returns the option ``img_size`` for backbones that take it."""
    import timm

    try:
        with torch.device("meta"):
            timm.create_model(name, num_classes=0, img_size=size)
    except TypeError as error:
        if "img_size" in str(error):
            return {}
        raise
    return {"img_size": size}


def _checked(spec: BaseSpec, name: str, options: dict[str, Any]) -> BaseSpec:
    """Returns the spec with the backbone's mean and std; checks that the head can enlarge its feature map."""
    height, width = spec.input_size
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            encoder = TimmEncoder(name, options).eval()
            found = tuple(encoder(torch.zeros(1, 3, height, width)).shape[1:])
    except Exception as error:  # a backbone may raise anything; the user chose the name
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"timm:{name}, which gives no feature map of {height}x{width} pictures ({lines[0][:120]})",
            "a backbone with forward_intermediates that takes any size", "choose another, such as timm:resnet50",
        ) from error  # fmt: skip
    stride = encoder.stride
    if stride not in (8, 16, 32, 64) or found != (encoder.width, height // stride, width // stride):
        raise UsageError(
            f"timm:{name}, whose feature map of {height}x{width} pictures is {found[1]}x{found[2]}",
            "a stride of 8, 16, 32 or 64", "choose another backbone, such as timm:resnet50",
        )  # fmt: skip
    facts = encoder.backbone.pretrained_cfg
    return spec.with_(mean=tuple(facts["mean"]), std=tuple(facts["std"]))
