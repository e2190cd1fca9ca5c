"""The config of an adapter file: its fields, its checks, and the base that it is for."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from torch import nn

from lvtune.bases.fingerprint import PRECISIONS, fingerprint, precision_of
from lvtune.core.errors import AdapterFileError
from lvtune.core.strict_json import canonical_json
from lvtune.core.text import shell_word, short
from lvtune.core.version import __version__
from lvtune.evaluation.calibration import read_calibration
from lvtune.patcher.domain_looks import read_looks

FORMAT_VERSION = 1

FIELDS: dict[str, tuple[type, ...]] = {
    "format_version": (int,),
    "tensors_sha256": (str,),
    "lvtune_version": (str,),
    "method": (str,),
    "method_config": (dict,),
    "base": (dict,),
    "skeleton": (dict,),
    "domain": (str, type(None)),
    "prompts": (list, type(None)),
    "text_encoder": (str, type(None)),
    "training": (dict, type(None)),
    "metrics": (dict, type(None)),
}
"""Required fields and their types in the file. The file may hold further fields.

In the file ``prompts`` is a list of [category, sentence], since a JSON object has no order and the embedded
sentences stand in this one. `lvtune.storage.adapter_file.read` returns a dict in that order.
"""

ADDED_FIELDS = ("calibration", "gate")
"""Fields that a file may hold and older ones lack: see :mod:`lvtune.evaluation.calibration` and
:mod:`lvtune.patcher.gate`."""

BASE_FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "hub_id": (str, type(None)),
    "revision": (str, type(None)),
    "fingerprint": (dict,),
    "input_size": (list,),
}
"""Fields of ``base``: ``fingerprint`` as from `lvtune.bases.fingerprint.fingerprints`, ``input_size`` [H, W]."""

CONFIG_HASH = "config_sha256"
"""Field with the hash of all other fields. Files that were written before it existed lack it and still load."""

_MACHINE = {"out", "device", "workers", "debug", "dry_run", "resume", "track"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "copy or download the adapter again"
_MAX_SIDE = 2**16


def complete_config(config: Mapping[str, Any], tensors_sha256: str) -> dict[str, Any]:
    """Returns the config as it is written: in plain JSON types, with the fields that the file itself decides."""
    optional = dict.fromkeys(("training", "metrics", "prompts", "text_encoder"))
    full = {"lvtune_version": __version__, **optional, **config}
    full |= {"format_version": FORMAT_VERSION, "tensors_sha256": tensors_sha256}
    training = full["training"]
    if isinstance(training, Mapping) and isinstance(training.get("recipe"), Mapping):
        full["training"] = {**training, "recipe": shareable(training["recipe"])}
    if isinstance(full["prompts"], Mapping):
        full["prompts"] = [[category, sentence] for category, sentence in full["prompts"].items()]
    plain = _plain(full)
    return {**plain, CONFIG_HASH: config_hash(plain)}


def config_hash(config: Mapping[str, Any]) -> str:
    """Returns the sha256 of all fields of a config but ``config_sha256`` itself."""
    rest = {name: value for name, value in config.items() if name != CONFIG_HASH}
    return hashlib.sha256(canonical_json(rest, "the config").encode()).hexdigest()


def in_memory(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a checked config as the program uses it: ``prompts`` is a dict, category to sentence, in that order."""
    pairs = config["prompts"]
    return config if pairs is None else {**config, "prompts": {pair[0]: pair[1] for pair in pairs}}


def shareable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a recipe without what belongs to one machine, since adapters are shared and their bytes repeatable.

    Output folder, device and number of workers are left out. An absolute path keeps its last part alone
    (``/home/ann/humanart`` becomes ``humanart``).
    """
    kept = {key: value for key, value in recipe.items() if key not in _MACHINE}
    return {key: shareable(value) if isinstance(value, Mapping) else _relative(value) for key, value in kept.items()}


def _relative(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_relative(item) for item in value]
    if isinstance(value, str | PurePath):
        text = str(value)
        kind = PureWindowsPath if PureWindowsPath(text).is_absolute() else PurePosixPath
        if kind(text).is_absolute() or text.startswith(("~/", "~\\")):
            return kind(text).name
        prefix, colon, path = text.partition(":")  # an encoder's "clip:/home/ann/clip"
        if colon and not path.startswith("//") and (shown := _relative(path)) != path:
            return f"{prefix}:{shown}"
    return value


def _plain(value: Any) -> Any:
    """Returns JSON's own types, so that reading gives what was written; NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a score over nothing must not cost a user the tuned adapter
    return value.as_posix() if isinstance(value, PurePath) else value


def check_config(config: Any, what: str) -> None:
    """Checks version, hash and fields of a config.

    Args:
        config: as parsed.
        what: how it is called in errors.

    Raises:
        AdapterFileError: a newer format; other fields than were hashed; a field that is missing or of the wrong kind.
    """
    if not isinstance(config, dict):
        raise AdapterFileError(f"{what} that is not an object", "a JSON object", _AGAIN)
    version = config.get("format_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT_VERSION:
        raise AdapterFileError(
            f"{what} of format version {version}", f"at most {FORMAT_VERSION} (this is lvtune {__version__})",
            "upgrade: pip install --upgrade lvtune",
        )  # fmt: skip
    if CONFIG_HASH in config and config[CONFIG_HASH] != config_hash(config):
        raise AdapterFileError(
            f"{what} that is not the one it was saved with (sha256 differs)",
            f"a config with sha256 {short(config[CONFIG_HASH], quote=False)[:12]}…", _AGAIN,
        )  # fmt: skip
    _check_fields(config, FIELDS, what)
    _check_fields(config["base"], BASE_FIELDS, f"`base` in {what}")
    fault = _fault_of(config)
    if fault:
        raise AdapterFileError(f"{what} with {fault}", "what lvtune writes", _AGAIN)


def _fault_of(config: Mapping[str, Any]) -> str:
    """Returns what is wrong with the values of a config; empty where nothing is."""
    version, base = config["format_version"], config["base"]
    sides, hashes = base["input_size"], base["fingerprint"]
    if version != FORMAT_VERSION or isinstance(version, bool):
        return f"format_version {version}"
    if not _SHA256.fullmatch(config["tensors_sha256"]):
        return "a tensors_sha256 that is no sha256"
    if len(sides) != 2 or not all(type(side) is int and 0 < side < _MAX_SIDE for side in sides):
        return f"the input size {short(sides)}"
    if not _are_sentences(config["prompts"]):
        return "prompts that are not [category, sentence] with each category once"
    if not hashes.keys() & PRECISIONS.keys() or not all(isinstance(value, str) for value in hashes.values()):
        return "no fingerprint of the base"
    return _fault_of_calibration(config) or _fault_of_gate(config)


def _fault_of_calibration(config: Mapping[str, Any]) -> str:
    """A calibration is a few numbers, one for each key point, all finite and of bounded size."""
    if config.get("calibration") is None:
        return ""
    try:
        read_calibration(config["calibration"], config["skeleton"].get("keypoints") or ())
    except (ValueError, TypeError) as error:
        return f"a calibration that cannot be read ({short(error, quote=False)})"
    return ""


def _fault_of_gate(config: Mapping[str, Any]) -> str:
    """A gate is some lists of numbers of known length, all finite and of bounded size."""
    if config.get("gate") is None:
        return ""
    try:
        read_looks(config["gate"])
    except (ValueError, TypeError) as error:
        return f"a gate that cannot be read ({short(error, quote=False)})"
    return ""


def _are_sentences(prompts: list[Any] | None) -> bool:
    pairs = [pair for pair in prompts or [] if isinstance(pair, list) and [type(word) for word in pair] == [str, str]]
    return prompts is None or len({pair[0] for pair in pairs}) == len(prompts)


def _check_fields(values: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]], what: str) -> None:
    missing = [name for name in fields if name not in values]
    if missing:
        raise AdapterFileError(f"{what} without {', '.join(missing)}", f"the fields {', '.join(fields)}", _AGAIN)
    for name, kinds in fields.items():
        if not isinstance(values[name], kinds):
            raise AdapterFileError(
                f"{what} whose {name} is {type(values[name]).__name__}", " or ".join(kind.__name__ for kind in kinds),
                _AGAIN,
            )  # fmt: skip


def check_base(
    config: Mapping[str, Any],
    base: nn.Module,
    prints: dict[str, str] | None = None,
    any_input_size: bool = False,
) -> None:
    """Checks that the base at hand is the one that the adapter was tuned on; see :func:`base_misfit`.

    Raises:
        AdapterFileError: other weights, or another input size.
    """
    misfit = base_misfit(config, base, prints, any_input_size)
    if misfit is not None:
        raise misfit


def base_misfit(
    config: Mapping[str, Any],
    base: nn.Module,
    prints: dict[str, str] | None = None,
    any_input_size: bool = False,
) -> AdapterFileError | None:
    """Compares the base at hand with the one that the adapter was tuned on, in the dtype at hand.

    A float32 base is compared in half precision where the adapter was tuned on a half-precision base.

    Args:
        config: of the adapter file.
        base: a base or a plain model that some family knows.
        prints: the base's fingerprints by precision, as far as they are known; the one needed is added.
        any_input_size: do not compare the input size.

    Returns:
        The error of a base with other weights or another input size; None where the adapter fits.
    """
    from lvtune.bases.base import as_base

    view, wanted = as_base(base), config["base"]
    recorded = wanted["fingerprint"]
    own = precision_of(view)
    usable = [name for name in PRECISIONS if name in recorded and own in ("float32", name)]
    if not usable:
        tuned_in = short(", ".join(recorded), quote=False)
        return AdapterFileError(
            f"base {view.name} in {own or 'several precisions'} for an adapter tuned in {tuned_in}",
            f"the base in float32 or {tuned_in}", "load the base in that dtype",
        )  # fmt: skip
    prints = {} if prints is None else prints
    if usable[0] not in prints:
        prints[usable[0]] = fingerprint(view, PRECISIONS[usable[0]])
    actual = prints[usable[0]]
    if actual != recorded[usable[0]]:
        source = f" ({short(wanted['hub_id'])})" if wanted["hub_id"] else ""
        name, sha = (short(text, quote=False) for text in (wanted["name"], recorded[usable[0]][:12]))
        load = f"load that base: --base {shell_word(name)}"
        return AdapterFileError(
            f"an adapter of another base: this one is {view.name}, {usable[0]} fingerprint {actual[:12]}…",
            f"{name}{source}, fingerprint {sha}…",
            "load the weights it was tuned on (--weights)" if name == view.name else load,
        )
    size = tuple(wanted["input_size"])
    if not any_input_size and tuple(view.input_size) != size:
        name = short(view.name, quote=False)
        return AdapterFileError(
            f"base {view.name} for pictures of {tuple(view.input_size)} (height, width)",
            f"{size}, which the adapter was tuned at",
            f'load the base at that input size: lvtune.load_base("{name}", input_size={size}), or tune the adapter at '
            "the base's own: --base.input-size own",
        )
    return None
