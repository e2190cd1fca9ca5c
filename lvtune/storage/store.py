"""Adapters to folders and back: what an adapter is, beside its tensors, written down and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lvtune.adapters import peft_options
from lvtune.adapters.factory import adopt, base_of
from lvtune.adapters.method_registry import METHODS, method_config
from lvtune.bases.base import as_base
from lvtune.bases.fingerprint import fingerprints
from lvtune.config.schema import plain, with_new_names
from lvtune.core.errors import LvtuneError
from lvtune.core.version import __version__
from lvtune.data.skeletons import Skeleton
from lvtune.language.bank import SentenceBank
from lvtune.language.bank_cache import cached_bank
from lvtune.storage import adapter_file, peft_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lvtune.bases.base import Base

_BANK = "bank."
"""Prefix of the embedded sentences among the tensors of a file."""


def adapter_config(adapter: nn.Module, base: Base, **more: Any) -> dict[str, Any]:
    """``lvtune_config.json`` of an adapter for ``base``; ``more`` adds training and metrics."""
    bank = adapter.bank
    return {
        "format_version": adapter_file.FORMAT_VERSION,
        "lvtune_version": __version__,
        "method": adapter.method,
        "method_config": plain(adapter.config),
        "base": {
            "name": base.name,
            "hub_id": base.spec.hub_id,
            "revision": base.spec.revision,
            "fingerprint": fingerprints(base.model),
            "input_size": list(base.input_size),
        },
        "skeleton": adapter.skeleton.to_dict(),
        "domain": adapter.domain,
        "prompts": None if bank is None else dict(zip(bank.categories, bank.sentences, strict=True)),
        "text_encoder": None if bank is None else bank.encoder,
        "training": None,
        "metrics": None,
        **more,
    }


def save_adapter(adapter: nn.Module, folder: str | Path, base: nn.Module | None = None, **more: Any) -> Path:
    """Writes ``adapter_model.safetensors`` and ``lvtune_config.json`` into ``folder``, atomically.

    Args:
        adapter: from :func:`lvtune.create_adapter` or :func:`lvtune.load_adapter`.
        folder: made if it does not exist.
        base: what it was made for; needed only where the adapter no longer knows it.
        **more: further entries of the config (``training``, ``metrics``).

    Raises:
        LvtuneError: the folder cannot be written.
    """
    view = as_base(base) if base is not None else base_of(adapter)
    if view is None:
        raise LvtuneError(
            "an adapter whose base is gone", "the base it was made for", "save_adapter(adapter, folder, base=base)"
        )
    config = adapter_config(adapter, view, **{**getattr(adapter, "saved_with", {}), **more})
    folder = Path(folder)
    tensors = {name: _in_full(value) for name, value in adapter.tensors().items()}
    if adapter.bank is not None:
        tensors |= {_BANK + name: value for name, value in adapter.bank.to_tensors().items()}
    return adapter_file.save(tensors, config, folder, peft_config=adapter.peft_config(view))


def _in_full(value: Tensor) -> Tensor:
    """A tensor of half precision in float32; any other as it is."""
    return value.to(torch.promote_types(value.dtype, torch.float32)) if value.is_floating_point() else value


def read_adapter(
    source: Path, base: nn.Module, *, prints: dict[str, str] | None = None, any_input_size: bool = False
) -> nn.Module:
    """Reads an adapter from the local disk; see :func:`lvtune.load_adapter`.

    Args:
        source: a folder or a ``.safetensors`` file.
        base: a base or plain model; must be the one that the adapter was made for.
        prints: the base's fingerprints by precision, see :func:`lvtune.load_adapter`.
        any_input_size: also take an adapter that was tuned at another input size of the base.

    Raises:
        LvtuneError: no such adapter; a damaged file; another base, skeleton or format.
    """
    view = as_base(base)
    foreign = peft_folder.read(source)
    if foreign is not None:
        tensors, config = foreign
        adapter = from_peft(config, view)
    else:
        tensors, config = adapter_file.read(source)
        adapter_file.check_base(config, view, prints, any_input_size)
        adapter = from_config(config, view, tensors)
    tensors = {name: value for name, value in tensors.items() if not name.startswith(_BANK)}
    expected = {name: tuple(value.shape) for name, value in adapter.tensors().items()}
    adapter_file.compare(expected, tensors)
    adapter.load_tensors(tensors)
    adapter.eval()
    return adapter


def from_config(config: dict[str, Any], view: Base, tensors: dict[str, Tensor]) -> nn.Module:
    """The adapter that a config describes, with its embedded sentences and untuned weights."""
    cls = METHODS.get(config["method"])
    stored_options, _ = with_new_names(cls.Config, config["method_config"])
    options = method_config(config["method"], stored_options)
    skeleton, bank = Skeleton.from_dict(config["skeleton"]), None
    if config["prompts"] is not None:
        stored = {name[len(_BANK) :]: value for name, value in tensors.items() if name.startswith(_BANK)}
        sentences = config["prompts"]
        bank = cached_bank(
            SentenceBank.from_tensors(stored, tuple(sentences), tuple(sentences.values()), config["text_encoder"])
        )
    with torch.random.fork_rng(devices=[]):
        adapter = cls(options, view, bank=bank, skeleton=skeleton)
    adapter.saved_with = {key: config.get(key) for key in ("training", "metrics")}
    return adopt(adapter, view, config["domain"], skeleton)


def from_peft(config: dict[str, Any], view: Base) -> nn.Module:
    """The adapter that an ``adapter_config.json`` of plain peft describes, with untuned weights."""
    options = method_config("peft", peft_options.options_of(config))
    with torch.random.fork_rng(devices=[]):
        adapter = METHODS.get("peft")(options, view, skeleton=view.skeleton)
    return adopt(adapter, view, None, view.skeleton)
