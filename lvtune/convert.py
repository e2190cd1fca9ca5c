"""Foreign checkpoints: released VLPose and original ViTPose files in our form.

The only place where a pickled file is opened, and then with ``weights_only=True``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.adapters import create_adapter
from lvtune.bases.base import Base, BaseSpec
from lvtune.bases.names import to_transformers
from lvtune.bases.vitpose import ARCH, SPECS, VitPoseBase, build_model, make_config, skeleton_of
from lvtune.errors import LvtuneError

if TYPE_CHECKING:
    from lvtune.language.bank import PromptBank

_POSITIONS = "backbone.embeddings.position_embeddings"


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` (``weights_only``) or ``.safetensors`` file, its ``state_dict`` if it has one.

    Raises:
        LvtuneError: no such file, or no checkpoint.
    """
    from lvtune.bases.loading import read_safetensors

    path = Path(path).expanduser()
    if not path.is_file():
        raise LvtuneError(f"checkpoint {path}", "an existing .pth or .safetensors file", "check the path")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise LvtuneError(
            f"{path}: not readable as tensors alone ({reason})", "a .pth file that holds a state dict and no code",
            "re-save it with torch.save(torch.load(...)['state_dict'], ...) in a place where you trust it",
        ) from error  # fmt: skip
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise LvtuneError(f"{path} without tensors", "a state dict of named tensors", "check the file")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def convert_vitpose(state_dict: dict[str, Tensor], name: str | None = None) -> Base:
    """A base from an original ViTPose state dict (classic or simple head); sizes are read off the shapes.

    Args:
        state_dict: the original names (``backbone.*``, ``keypoint_head.*``; or mmpose 1.x's).
        name: the base's name; None: by its size.

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
    arch: dict[str, Any] | None = None,
    text_embeds: Tensor | None = None,
) -> tuple[Base, nn.Module]:
    """Base and adapter from one released VLPose state dict (VLPose, commit f312a9f; block
    ``first_amiddle_last_add``, matcher ``concat_attn``).

    The released encoder adds ``pos_embed[:, 1:]`` alone to the patches, so the class position is set to zero.

    Args:
        state_dict: names ``image_encoder.*``, ``matcher.*``, ``text_embed_proj.*``, ``head.*``; others
            (``io.*``, the text encoder) are passed over.
        arch: ``embed_dims``, ``num_layers``, ``num_heads``, ``img_size`` (h, w), ``matcher_heads`` ...; what is
            left out is read off the shapes.
        text_embeds: (T, text_dim), the embedded sentence; None puts one zero token there, to be replaced.

    Returns:
        (base, adapter): the detached base gives the main branch's heatmaps, the attached one the released.
    """
    arch = dict(arch or {})
    encoder = {k: v for k, v in state_dict.items() if k.startswith("image_encoder.")}
    state = {
        k: v.float()
        for k, v in to_transformers(encoder).items()
        if "prompt_embed" not in k and not k.endswith("num_batches_tracked")
    }
    positions = _require(state, _POSITIONS).clone()
    positions[:, :1] = 0
    state[_POSITIONS] = positions
    for i, number in ((0, "1"), (1, "2")):
        block = f"head.deconv_layers.{i}."
        state[f"head.deconv{number}.weight"] = _require(state_dict, f"{block}deconv0.weight").float()
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"head.batchnorm{number}.{part}"] = _require(state_dict, f"{block}bn0.{part}").float()
    for part in ("weight", "bias"):
        state[f"head.conv.{part}"] = _require(state_dict, f"head.final_layer.{part}").float()
    sizes = _arch_of(state, positions.shape[-1], heads=arch.get("num_heads"))
    channels = (state["head.deconv1.weight"].shape[1], state["head.deconv2.weight"].shape[1])
    input_size = tuple(arch["img_size"]) if "img_size" in arch else None
    base = _build(state, sizes, channels, state["head.conv.weight"].shape[0], input_size=input_size)
    return base, _vlpose_adapter(state_dict, base, arch, text_embeds)


def _vlpose_adapter(
    state: dict[str, Tensor], base: Base, arch: dict[str, Any], text_embeds: Tensor | None
) -> nn.Module:
    first, deep = state.get("image_encoder.prompt_embed"), state.get("image_encoder.deep_prompt_embed")
    placement = "none" if first is None else "shallow" if deep is None else "deep"
    text_dim = state["text_embed_proj.weight"].shape[1] if "text_embed_proj.weight" in state else base.width
    tokens = torch.zeros(1, text_dim) if text_embeds is None else text_embeds.float()
    adapter = create_adapter(
        "vlpose",
        base,
        bank=_one_sentence(tokens),
        prompts=0 if first is None else first.shape[1],
        placement=placement,
        matcher="concat",
        decoder="dual-released",
        zero_init=False,
        heads=int(arch.get("matcher_heads", 8)),
    )
    own = {name: state[name].float() for name in state if name.startswith("matcher.")}
    if first is not None:
        own["prompts"] = (first if deep is None else torch.cat([first, deep])).float()
    for part in ("weight", "bias"):
        own[f"predictor.{part}"] = state[f"head.final_layer.{part}"].float()
        if text_dim != base.width:
            own[f"text_proj.{part}"] = _require(state, f"text_embed_proj.{part}").float()
    for i in range(2):
        block = f"head.deconv_layers.{i}."
        own[f"decoder.auxiliary.{i}.0.weight"] = _require(state, f"{block}deconv1.weight").float()
        for part in ("weight", "bias", "running_mean", "running_var"):
            own[f"decoder.auxiliary.{i}.1.{part}"] = _require(state, f"{block}bn1.{part}").float()
        own[f"decoder.auxiliary.{i}.1.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    missing, unknown = set(adapter.state_dict()) - set(own), set(own) - set(adapter.state_dict())
    if missing or unknown:
        raise LvtuneError(
            f"a checkpoint with {len(missing)} tensors missing and {len(unknown)} unknown "
            f"(such as {sorted(missing | unknown)[0]})",
            "a released VLPose checkpoint (first_amiddle_last_add, concat_attn)",
            "check the file",
        )
    adapter.load_state_dict(own)
    adapter.eval()
    return adapter


def _one_sentence(tokens: Tensor) -> PromptBank:
    from lvtune.language.bank import PromptBank

    return PromptBank(
        categories=("default",),
        sentences=("",),
        tokens=tokens[None],
        mask=torch.ones(1, len(tokens), dtype=torch.bool),
        encoder="released",
    )


def _require(state: dict[str, Tensor], name: str) -> Tensor:
    if name not in state:
        known = ", ".join(sorted(state)[:3])
        raise LvtuneError(
            f"a checkpoint without {name} (it has {len(state)} tensors: {known} ...)",
            "an original ViTPose or a released VLPose checkpoint", "check the file, or the kind named on the command",
        )  # fmt: skip
    return state[name]


def _arch_of(state: dict[str, Tensor], width: int, heads: int | None = None) -> dict[str, int]:
    layers = 1 + max(int(k.split(".")[3]) for k in state if k.startswith("backbone.encoder.layer."))
    known = [a for a in ARCH.values() if (a["hidden_size"], a["num_hidden_layers"]) == (width, layers)]
    if heads is None and not known:
        raise LvtuneError(
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
        # 4:3 pictures in patches of 16: h · w positions with h / w = 4 / 3
        count = state[_POSITIONS].shape[1] - 1
        w = round((count * 3 / 4) ** 0.5)
        input_size = (count // w * 16, w * 16)
    config = make_config(arch, keypoints=keypoints, input_size=input_size, simple=simple)
    model = build_model(config, channels, keypoints)
    own = model.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    wrong = [k for k, v in own.items() if k in state and v.shape != state[k].shape]
    if missing or unknown or wrong:
        first = (missing + unknown + wrong)[0]
        raise LvtuneError(
            f"a checkpoint with {len(missing)} tensors missing, {len(unknown)} unknown and {len(wrong)} of another "
            f"shape (first: {first})",
            "an original ViTPose or a released VLPose checkpoint",
            "check the file",
        )
    model.load_state_dict(state, strict=False)
    sizes = {(a["hidden_size"], a["num_hidden_layers"]): s for s, a in ARCH.items()}
    size = sizes.get((arch["hidden_size"], arch["num_hidden_layers"]), "")
    known = SPECS.get(f"vitpose-{size}") if size != "ti" else None
    spec = (known or BaseSpec("vitpose")).with_(
        input_size=input_size, skeleton=skeleton_of(keypoints), size=size, hub_id=None
    )
    return VitPoseBase(model, spec.with_(name=name) if name else spec).freeze()
