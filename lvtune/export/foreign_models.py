"""Converts foreign checkpoints, original ViTPose and released VLPose files, to bases and adapters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.adapters.factory import create_adapter
from lvtune.bases.base import Base
from lvtune.bases.foreign_checkpoint import read_checkpoint
from lvtune.bases.vitpose import VitPoseBase, build_model, make_config
from lvtune.bases.vitpose_specs import ARCH, known_spec, skeleton_of
from lvtune.bases.weight_names import to_transformers
from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.core.text import brief

if TYPE_CHECKING:
    from lvtune.language.bank import SentenceBank

__all__ = ["VLPOSE_ARCH", "convert_vitpose", "convert_vlpose", "read_checkpoint"]

_POSITIONS = "backbone.embeddings.position_embeddings"


def convert_vitpose(state_dict: dict[str, Tensor], name: str | None = None) -> Base:
    """Builds a base from an original ViTPose state dict (classic or simple head); the sizes follow from the shapes.

    Args:
        state_dict: tensors with the original names (``backbone.*``, ``keypoint_head.*``) or those of mmpose 1.x.
        name: name of the base; None: a name that follows from its size.

    Raises:
        LvtuneError: tensors are missing or unknown.
    """
    state = {k: v.float() for k, v in to_transformers(state_dict).items() if not k.endswith("num_batches_tracked")}
    arch = _arch_of(state, _require(state, "backbone.layernorm.weight").shape[0])
    simple = "head.deconv1.weight" not in state
    channels = None
    if not simple:
        channels = (state["head.deconv1.weight"].shape[1], state["head.deconv2.weight"].shape[1])
    predictor = _require(state, "head.conv.weight")
    return _build(state, arch, channels, predictor.shape[0], simple=simple, name=name)


def convert_vlpose(
    state_dict: dict[str, Tensor],
    arch: dict[str, Any] | str | None = None,
    text_embeds: Tensor | None = None,
    *,
    bank: SentenceBank | None = None,
) -> tuple[Base, nn.Module]:
    """Builds a base and an adapter from one released VLPose state dict.

    VLPose, commit f312a9f, with block ``first_amiddle_last_add`` and matcher ``concat_attn``. The released encoder adds
    only ``pos_embed[:, 1:]`` to the patches, so the class position is set to zero here.

    Args:
        state_dict: tensors ``image_encoder.*`` (``backbone.*`` in files that the released training saved),
            ``matcher.*``, ``text_embed_proj.*`` and ``head.*``; others (``io.*``, the text encoder) are ignored.
        arch: keys of ``VLPOSE_ARCH``, as a table or as JSON; missing ones follow from the shapes.
        text_embeds: (T, text_dim), the embedded sentence; None: one token of zeros, to be replaced.
        bank: embedded sentences of several categories, in place of ``text_embeds``.

    Returns:
        (base, adapter). The base alone computes the heatmaps of the main branch; with the adapter attached, it computes
        those of the released model.

    Raises:
        LvtuneError: tensors are missing, unknown or have another shape; ``arch`` or ``text_embeds`` does not fit them.
    """
    arch = _read_arch(arch)
    parts = ("image_encoder.", "matcher.", "text_embed_proj.", "head.")
    released = {_as_released(name): value for name, value in state_dict.items()}
    released = {name: value for name, value in released.items() if name.startswith(parts)}
    encoder = {n: v for n, v in released.items() if n.startswith(parts[0]) and n not in _VISUAL_PROMPTS}
    state = {name: value.float() for name, value in to_transformers(encoder).items()}
    positions = _require(state, _POSITIONS).clone()
    positions[:, :1] = 0
    state[_POSITIONS] = positions
    state |= {name: _require(released, old).float() for name, old in _MAIN.items()}
    sizes = _arch_of(state, positions.shape[-1], heads=arch.get("num_heads"))
    channels = (state["head.deconv1.weight"].shape[1], state["head.deconv2.weight"].shape[1])
    input_size = tuple(arch["img_size"]) if "img_size" in arch else None
    base = _build(state, sizes, channels, state["head.conv.weight"].shape[0], input_size=input_size)
    adapter = _vlpose_adapter(released, base, arch, bank or text_embeds)
    _check_arch(arch, base, adapter, sizes)
    return base, adapter


VLPOSE_ARCH = (
    "embed_dims", "num_layers", "num_heads", "ffn", "prompt_tokens", "deep", "text_tokens", "text_dim", "img_size",
    "patch", "patch_padding", "matcher_heads", "deconv_channels", "keypoints", "ln_eps",
)  # fmt: skip
"""Keys of ``arch``. The shapes do not show ``num_heads``, ``matcher_heads`` and ``img_size``."""

_VISUAL_PROMPTS = ("image_encoder.prompt_embed", "image_encoder.deep_prompt_embed")
_NORM = ("weight", "bias", "running_mean", "running_var")
_MAIN = {
    **{f"head.deconv{i + 1}.weight": f"head.deconv_layers.{i}.deconv0.weight" for i in range(2)},
    **{f"head.batchnorm{i + 1}.{part}": f"head.deconv_layers.{i}.bn0.{part}" for i in range(2) for part in _NORM},
    **{f"head.conv.{part}": f"head.final_layer.{part}" for part in ("weight", "bias")},
}
"""Our names to the released names, for the head of the main branch."""
_ADDED = {
    **{f"decoder.auxiliary.{i}.0.weight": f"head.deconv_layers.{i}.deconv1.weight" for i in range(2)},
    **{
        f"decoder.auxiliary.{i}.1.{part}": f"head.deconv_layers.{i}.bn1.{part}"
        for i in range(2)
        for part in (*_NORM, "num_batches_tracked")
    },
    **{f"predictor.{part}": f"head.final_layer.{part}" for part in ("weight", "bias")},
    **{f"matcher.{layer}.{part}": f"matcher.{layer}.{part}" for layer in ("q", "k", "v", "proj", "norm")
       for part in ("weight", "bias")},
}  # fmt: skip
"""Our names to the released names, for the adapter."""


def _read_arch(given: dict[str, Any] | str | None) -> dict[str, Any]:
    try:
        arch = dict(json.loads(given) if isinstance(given, str) else given or {})
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"arch {brief(given)}", "a table of names and values, or its JSON", "correct it") from error
    unknown = [name for name in arch if name not in VLPOSE_ARCH]
    if unknown:
        raise UsageError(
            f"unknown arch key '{unknown[0]}'", f"some of {', '.join(VLPOSE_ARCH)}",
            suggest(unknown[0], list(VLPOSE_ARCH), "leave it out"),
        )  # fmt: skip
    return arch


def _check_arch(arch: dict[str, Any], base: Base, adapter: Any, sizes: dict[str, int]) -> None:
    """Raises an error unless ``arch`` agrees with the tensors."""
    actual = {
        "embed_dims": base.width,
        "num_layers": sizes["num_hidden_layers"],
        "ffn": base.blocks[0].fc1.out_features,
        "prompt_tokens": adapter.count,
        "deep": adapter.config.placement == "deep",
        "text_dim": adapter.bank.dim,
        "patch": 16,
        "patch_padding": 2,
        "deconv_channels": [stage.channels for stage in base.stages],
        "keypoints": base.predictor.out_channels,
        "ln_eps": base.final_norm.eps,
    }
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in arch.items()}
    wrong = [name for name in actual if name in given and given[name] != actual[name]]
    if wrong:
        name = wrong[0]
        raise UsageError(
            f"arch with {name} {arch[name]} for a checkpoint whose {name} is {actual[name]}",
            "the sizes of its tensors", f"leave {name} out of arch, or check the file",
        )  # fmt: skip


def _as_released(name: str) -> str:
    """Returns the released name of a tensor; mmpose saves the image encoder as ``backbone``."""
    return name.replace("backbone.", "image_encoder.", 1) if name.startswith("backbone.") else name


def _vlpose_adapter(
    released: dict[str, Tensor], base: Base, arch: dict[str, Any], text: SentenceBank | Tensor | None
) -> nn.Module:
    first, deep = (released.get(name) for name in _VISUAL_PROMPTS)
    names, projected = dict(_ADDED), "text_embed_proj.weight" in released
    if projected:
        names |= {f"text_proj.{part}": f"text_embed_proj.{part}" for part in ("weight", "bias")}
    text_dim = released["text_embed_proj.weight"].shape[1] if projected else base.width
    bank = _one_sentence(text, text_dim) if text is None or isinstance(text, Tensor) else text
    if bank.dim != text_dim:
        raise UsageError(
            f"sentences embedded by {bank.encoder}, {bank.dim} wide", f"token states {text_dim} wide",
            "embed them with the encoder that the model was trained with (released: blip)",
        )  # fmt: skip
    adapter: Any = create_adapter(
        "vlpose",
        base,
        bank=bank,
        visual_prompts=0 if first is None else first.shape[1],
        placement="none" if first is None else "shallow" if deep is None else "deep",
        matcher="concat",
        decoder="dual-released",
        zero_init=False,
        heads=int(arch.get("matcher_heads", 8)),
    )
    own = {name: released[old].float() for name, old in names.items() if old in released}
    own |= {n: v for n, v in adapter.state_dict().items() if n.endswith("num_batches_tracked") and n not in own}
    own["prompts"] = adapter.prompts.detach() if first is None else _visual_prompts(first, deep)
    used = {*names.values(), *_MAIN.values(), *(old.replace("bn1", "bn0") for old in names.values())}
    unknown = [name for name in released if name not in used and not name.startswith("image_encoder.")]
    _check(adapter.state_dict(), own, unknown)
    adapter.load_state_dict(own)
    return adapter.eval()


def _visual_prompts(first: Tensor, deep: Tensor | None) -> Tensor:
    """Returns the visual prompts (L, P, D) of all blocks, from those of the first (1, P, D) and of the others."""
    if deep is None:
        return first.float()
    if first.shape[1:] != deep.shape[1:]:
        raise DataError(
            f"prompt_embed of shape {tuple(first.shape)} beside deep_prompt_embed of {tuple(deep.shape)}",
            "the same number of visual prompts in every block", "check the file",
        )  # fmt: skip
    return torch.cat([first, deep]).float()


def _check(wanted: dict[str, Tensor], state: dict[str, Tensor], unknown: Sequence[str] = ()) -> None:
    """Raises an error unless ``state`` has the names and shapes of ``wanted``; BatchNorm's counters may be missing."""
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [*(k for k in state if k not in wanted), *unknown]
    wrong = [k for k, v in wanted.items() if k in state and v.shape != state[k].shape]
    if missing or unknown or wrong:
        raise DataError(
            f"a checkpoint with {len(missing)} tensors missing, {len(unknown)} unknown and {len(wrong)} of another "
            f"shape (first: {(missing + unknown + wrong)[0]})",
            "an original ViTPose or a released VLPose checkpoint (first_amiddle_last_add, concat_attn)",
            "check the file",
        )


def _one_sentence(tokens: Tensor | None, dim: int) -> SentenceBank:
    """Returns a bank of one category with the given tokens (T, dim), or with one token of zeros."""
    from lvtune.language.bank import SentenceBank

    tokens = torch.zeros(1, dim) if tokens is None else tokens.float()
    if tokens.dim() != 2 or tokens.shape[1] != dim:
        raise UsageError(
            f"text_embeds of shape {tuple(tokens.shape)}", f"(T, {dim}), the token states of one sentence",
            "embed the sentence with the encoder that the model was trained with",
        )  # fmt: skip
    mask = torch.ones(1, len(tokens), dtype=torch.bool, device=tokens.device)
    return SentenceBank(("default",), ("",), tokens[None], mask, "released")


def _require(state: dict[str, Tensor], name: str) -> Tensor:
    """Returns a tensor of a checkpoint; raises an error if it is missing."""
    if name not in state:
        known = ", ".join(sorted(state)[:3])
        raise DataError(
            f"a checkpoint without {name} (it has {len(state)} tensors: {known} ...)",
            "an original ViTPose or a released VLPose checkpoint", "check the file, or the kind named on the command",
        )  # fmt: skip
    return state[name]


def _arch_of(state: dict[str, Tensor], width: int, heads: int | None = None) -> dict[str, int]:
    """Returns the sizes of the encoder, as transformers names them."""
    blocks = [int(k.split(".")[3]) for k in state if k.startswith("backbone.encoder.layer.")]
    layers = 1 + max(blocks, default=-1)
    known = [a for a in ARCH.values() if (a["hidden_size"], a["num_hidden_layers"]) == (width, layers)]
    if heads is None and not known:
        raise UsageError(
            f"an encoder of width {width} with {layers} layers", "ViTPose S, B, L or H", "pass arch with num_heads"
        )
    ratio = _require(state, "backbone.encoder.layer.0.mlp.fc1.weight").shape[0] // width
    heads = heads or known[0]["num_attention_heads"]
    return {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "mlp_ratio": ratio}


def _build(
    state: dict[str, Tensor],
    arch: dict[str, int],
    channels: tuple[int, int] | None,
    keypoints: int,
    *,
    input_size: tuple[int, int] | None = None,
    simple: bool = False,
    name: str | None = None,
) -> Base:
    if input_size is None:
        # pictures of 4:3 in patches of 16: h · w positions with h / w = 4 / 3
        count = _require(state, _POSITIONS).shape[1] - 1
        w = round((count * 3 / 4) ** 0.5)
        input_size = (count // w * 16, w * 16)
    first = "backbone.encoder.layer.0.mlp.experts."
    experts = sum(name.startswith(first) and name.endswith(".weight") for name in state) or 1
    config = make_config(arch, keypoints=keypoints, input_size=input_size, simple=simple, experts=experts)
    model = build_model(config, channels, keypoints)
    _check(model.state_dict(), state)
    model.load_state_dict(state, strict=False)
    sizes = {(a["hidden_size"], a["num_hidden_layers"]): s for s, a in ARCH.items()}
    size = sizes.get((arch["hidden_size"], arch["num_hidden_layers"]), "")
    spec = known_spec(size if size != "ti" else "", experts).with_(
        input_size=input_size, skeleton=skeleton_of(keypoints), size=size, hub_id=None
    )
    return VitPoseBase(model, spec.with_(name=name) if name else spec).freeze()
