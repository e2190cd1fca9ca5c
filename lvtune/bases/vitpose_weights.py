"""Loads the weights of ViTPose bases: from the package, the Hub, a file or a folder, or random ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from lvtune.bases.base import Base, BaseSpec
from lvtune.bases.base_registry import BASES
from lvtune.bases.vit_positions import resize_positions
from lvtune.bases.vitpose import VitPoseBase, build_model, head_channels, make_config, spec_of
from lvtune.bases.vitpose_specs import EXPERTS, SPECS, TI_DECONV_CHANNELS
from lvtune.bases.weight_names import is_foreign, to_transformers
from lvtune.bases.weights_file import check_state, load_strict, read_safetensors
from lvtune.core.errors import LvtuneError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.network import why_unreachable
from lvtune.core.strict_json import read_json
from lvtune.core.text import brief, shell_word, short

SHIPPED = Path(__file__).parent / "weights"
_LARGEST_SIZE, _MOST_LAYERS = 2**20, 1000
_POSITIONS = "backbone.embeddings.position_embeddings"


def load_vitpose(spec: BaseSpec, weights: str, *, revision: str | None = None, seed: int = 0) -> Base:
    """Loads one of the ViTPose bases; see :func:`lvtune.load_base` for the arguments."""
    if weights == "random":
        return _random(spec, seed)
    shipped = SHIPPED / f"{spec.name}.safetensors"
    if weights == "pretrained" and shipped.is_file():
        return _from_file(spec, shipped, seed)
    path = Path(weights).expanduser()
    if weights == "pretrained":
        if spec.hub_id is not None:
            return _from_hub(spec, spec.hub_id, revision or spec.revision)
        raise LvtuneError(
            f"weights='pretrained' for {spec.name}, which has no classic-head checkpoint on the Hub",
            "a path to ViTPose weights",
            f"download {spec.name}'s .pth from the ViTPose model zoo, run `lvtune convert vitpose FILE.pth "
            "--out DIR`, and pass --weights DIR (or --weights random to try the path)",
        )
    if path.is_file():
        return _from_file(spec, path, seed)
    if path.is_dir():
        return _from_folder(spec, path)
    if path.suffix or weights.count("/") != 1 or weights.startswith((".", "~")):
        raise LvtuneError(
            f"weights '{weights}'", "an existing file or folder, a Hub id (user/repo), 'pretrained' or 'random'",
            "check the path",
        )  # fmt: skip
    return _from_hub(spec, weights, revision or spec.revision)


def _random(spec: BaseSpec, seed: int) -> Base:
    simple = spec.name.endswith("-simple")
    keypoints = len(spec.skeleton.keypoints)
    experts = len(EXPERTS) if spec.expert else 1
    config = make_config(spec.size, keypoints=keypoints, input_size=spec.input_size, simple=simple, experts=experts)
    channels = TI_DECONV_CHANNELS if spec.size == "ti" else None
    return VitPoseBase(build_model(config, channels, keypoints, seed), spec)


def _from_hub(spec: BaseSpec, hub_id: str, revision: str | None) -> Base:
    from transformers import VitPoseForPoseEstimation

    why = why_unreachable(hub_id)
    try:
        kind: Any = VitPoseForPoseEstimation
        with hub_limits(hub_id):
            options = {"revision": revision, "dtype": torch.float32, "local_files_only": why is not None}
            model, found = kind.from_pretrained(hub_id, output_loading_info=True, **options)
    except LvtuneError:
        raise
    except Exception as error:  # transformers raises anything at a repository that is none of its own
        raise LvtuneError(
            f"weights '{hub_id}' could not be loaded ({why or short(error, quote=False)})",
            "network access to the Hugging Face Hub, or the repository in the local Hub cache",
            f"connect and try again, or pass --weights DIR with a downloaded copy of {hub_id} "
            "(config.json, model.safetensors), or --weights random to try the path",
        ) from error
    wrong = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"], *found["unexpected_keys"]]))
    if wrong:
        raise LvtuneError(
            f"weights '{hub_id}' with {len(wrong)} tensors missing, unknown or of another shape (first: {wrong[0]})",
            "a VitPoseForPoseEstimation", "choose another repository",
        )  # fmt: skip
    commit = getattr(model.config, "_commit_hash", None) or revision
    return VitPoseBase(model, _spec_with(model, spec, hub_id).with_(hub_id=hub_id, revision=commit))


def _spec_with(model: Any, spec: BaseSpec, source: object) -> BaseSpec:
    """Returns ``spec`` with the sizes and key points of foreign weights, which must be of the spec's size."""
    own = spec_of(model)
    if own.size != spec.size or bool(own.expert) != bool(spec.expert):
        config = model.config.backbone_config
        raise LvtuneError(
            f"{source}, a ViTPose of width {config.hidden_size} with {config.num_hidden_layers} layers, "
            f"as weights of {spec.name}",
            f"weights of {spec.name}",
            f"choose --base {own.name}" if own.size else "check --base and --weights",
        )  # fmt: skip
    return spec.with_(input_size=own.input_size, stride=own.stride, skeleton=own.skeleton)


def _from_folder(spec: BaseSpec, folder: Path) -> Base:
    """Loads a folder that ``save_pretrained`` wrote."""
    from transformers import VitPoseConfig

    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise LvtuneError(
            f"weights folder {folder}", "a folder with config.json and model.safetensors (save_pretrained)",
            "convert an original checkpoint with `lvtune convert vitpose FILE.pth --out DIR`",
        )  # fmt: skip
    state = read_safetensors(folder / "model.safetensors")
    _check_sizes(read_json(folder / "config.json", error=LvtuneError), folder)
    try:
        config = VitPoseConfig.from_pretrained(folder)
        channels = None
        if "head.deconv1.weight" in state:
            channels = (state["head.deconv1.weight"].shape[1], state["head.deconv2.weight"].shape[1])
        keypoints = state["head.conv.weight"].shape[0]
        with torch.device("meta"):  # the config's sizes are compared with the file's before memory is taken for them
            planned = build_model(config, channels, keypoints)
        check_state(planned.state_dict(), state, folder)
        model = build_model(config, channels, keypoints)
        load_strict(model, state, folder)
        return VitPoseBase(model, _spec_with(model, spec, folder).with_(hub_id=None))
    except LvtuneError:
        raise
    except Exception as error:  # transformers raises anything at a config that it did not write
        raise LvtuneError(
            f"weights folder {folder} ({type(error).__name__}: {short(error, quote=False)})",
            "config.json and model.safetensors of a VitPoseForPoseEstimation", "copy or convert the weights again",
        ) from error  # fmt: skip


def _check_sizes(config: Any, folder: Path) -> None:
    """Refuses a config whose numbers no ViT has: making its layers would take all memory, or for ever."""
    values = [config]
    while values:
        value = values.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        values += inner
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST_SIZE:
            raise LvtuneError(
                f"weights folder {folder}, whose config.json has the number {brief(value)}",
                f"sizes of at most {_LARGEST_SIZE:,}", "copy or convert the weights again",
            )  # fmt: skip
    backbone = config.get("backbone_config") if isinstance(config, dict) else None
    layers = backbone.get("num_hidden_layers") if isinstance(backbone, dict) else None
    if isinstance(layers, int) and layers > _MOST_LAYERS:
        raise LvtuneError(
            f"weights folder {folder}, whose config.json has {layers} layers", f"at most {_MOST_LAYERS}",
            "copy or convert the weights again",
        )  # fmt: skip


def _from_file(spec: BaseSpec, path: Path, seed: int) -> Base:
    """Loads a safetensors file with transformers', original or timm's names; an encoder alone gets a random head."""
    if path.suffix != ".safetensors":
        raise LvtuneError(
            f"weights file {path.name}", "a .safetensors file (pickled checkpoints are not read here)",
            f"run `lvtune convert vitpose {shell_word(path)} --out DIR` and pass --weights DIR",
        )  # fmt: skip
    base = _random(spec, seed)
    state = read_safetensors(path)
    if is_foreign(state):
        state = to_transformers(state)
    state = {
        (name if name.startswith(("backbone.", "head.")) else f"backbone.{name}"): value.float()
        for name, value in state.items()
    }
    if _POSITIONS in state:
        grid = (spec.input_size[0] // 16, spec.input_size[1] // 16)
        state[_POSITIONS] = resize_positions(state[_POSITIONS], grid)
    if not any(name.startswith("head.") for name in state):
        state |= {k: v for k, v in base.model.state_dict().items() if k.startswith("head.")}
    load_strict(base.model, state, path)
    return base


for _name, _spec in SPECS.items():
    BASES.register(_name)(partial(load_vitpose, _spec))

__all__ = ["head_channels", "load_vitpose", "read_safetensors"]
