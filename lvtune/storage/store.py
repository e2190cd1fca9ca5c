"""Saves adapters to folders and reads them back: builds what a file describes and checks that it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lvtune.adapters import peft_options
from lvtune.adapters.factory import adopt, base_of
from lvtune.adapters.method_origin import check_methods, origins_of
from lvtune.adapters.method_registry import METHODS, method_config
from lvtune.bases.base import as_base
from lvtune.bases.empty_copy import empty_copy
from lvtune.bases.fingerprint import fingerprints
from lvtune.config.schema import plain, with_new_names
from lvtune.core.errors import AdapterFileError, UsageError
from lvtune.core.version import __version__
from lvtune.data.skeletons import Skeleton
from lvtune.language.bank import SentenceBank
from lvtune.language.bank_cache import cached_bank
from lvtune.storage import adapter_file, peft_folder
from lvtune.storage.adapter_config import ADDED_FIELDS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lvtune.adapters.adapter import Adapter
    from lvtune.bases.base import Base

_BANK = "bank."
"""Prefix of the embedded sentences among the tensors of a file."""


def adapter_config(
    adapter: Adapter, base: Base, *, prints: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """Returns the content of ``lvtune_config.json`` of an adapter for ``base``.

    Args:
        adapter: to be described.
        base: that it was made for.
        prints: the base's fingerprints by precision (:func:`lvtune.bases.fingerprint.fingerprints`), where they are
            known; None: they are computed.
        **more: further entries (``training``, ``metrics``).
    """
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
            "fingerprint": dict(fingerprints(base.model) if prints is None else prints),
            "input_size": list(base.input_size),
        },
        "skeleton": adapter.skeleton.to_dict(),
        "domain": adapter.domain,
        "prompts": None if bank is None else dict(zip(bank.categories, bank.sentences, strict=True)),
        "text_encoder": None if bank is None else bank.encoder,
        "training": None,
        "metrics": None,
        **origins_of(adapter),
        **more,
    }


def save_adapter(
    adapter: nn.Module,
    folder: str | Path,
    base: nn.Module | None = None,
    *,
    prints: Mapping[str, str] | None = None,
    **more: Any,
) -> Path:
    """Writes ``adapter_model.safetensors`` and ``lvtune_config.json`` into ``folder``, atomically.

    Args:
        adapter: from :func:`lvtune.create_adapter` or :func:`lvtune.load_adapter`.
        folder: made if it does not exist.
        base: what it was made for; needed only where the adapter no longer knows it.
        prints: the base's fingerprints by precision, where they are known; see :func:`adapter_config`.
        **more: further entries of the config (``training``, ``metrics``).

    Raises:
        LvtuneError: the folder cannot be written.
    """
    own: Any = adapter  # an Adapter, which callers often hold as a module
    view = as_base(base) if base is not None else base_of(own)
    if view is None:
        raise UsageError(
            "an adapter whose base is gone", "the base it was made for", "save_adapter(adapter, folder, base=base)"
        )
    config = adapter_config(own, view, prints=prints, **{**getattr(own, "saved_with", {}), **more})
    tensors = {name: _in_full(value) for name, value in own.tensors().items()}
    if own.bank is not None:
        tensors |= {_BANK + name: value for name, value in own.bank.to_tensors().items()}
    return adapter_file.save(tensors, config, Path(folder), peft_config=own.peft_config(view))


def _in_full(value: Tensor) -> Tensor:
    """A tensor of half precision in float32; any other as it is."""
    return value.to(torch.promote_types(value.dtype, torch.float32)) if value.is_floating_point() else value


def read_adapter(
    source: Path, base: nn.Module, *, prints: dict[str, str] | None = None, any_input_size: bool = False
) -> Adapter:
    """Reads an adapter from the local disk; see :func:`lvtune.load_adapter`.

    Its shapes are compared with those of the file before any memory is taken for it.

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
        plan = plan_of_peft(config, view)
    else:
        tensors, config = adapter_file.read(source)
        adapter_file.check_base(config, view, prints, any_input_size)
        plan = plan_of(config, tensors)
    tensors = {name: value for name, value in tensors.items() if not name.startswith(_BANK)}
    shapes = plan.shapes(view)
    if shapes is not None:
        adapter_file.compare(shapes, tensors)
    adapter = plan.build(view)
    adapter_file.compare({name: tuple(value.shape) for name, value in adapter.tensors().items()}, tensors)
    adapter.load_tensors(tensors)
    adapter.eval()
    return adapter


@dataclass(frozen=True)
class Plan:
    """What a file says of an adapter, ready to be built."""

    method: str
    options: Any
    """An instance of the method's ``Config``."""
    skeleton: Skeleton
    bank: SentenceBank | None = None
    domain: str | None = None
    saved_with: Mapping[str, Any] | None = None
    """``training``, ``metrics`` and what else the file says, for when the adapter is saved again."""

    def build(self, view: Base) -> Adapter:
        """Builds the adapter with its embedded sentences and untuned weights.

        Raises:
            LvtuneError: options that do not fit the base.
        """
        adapter = self._make(view)
        if self.saved_with is not None:
            adapter.saved_with = dict(self.saved_with)
        adopt(adapter, view, self.domain, self.skeleton)
        return adapter

    def shapes(self, view: Base) -> dict[str, tuple[int, ...]] | None:
        """Returns names and shapes of the tensors that the adapter will have, without taking memory for them.

        None where the method looks at the base's weights while it is made, so that this cannot be told.

        Raises:
            LvtuneError: options that do not fit the base.
        """
        try:
            with torch.device("meta"):
                adapter = self._make(empty_copy(view))
                return {name: tuple(value.shape) for name, value in adapter.tensors().items()}
        except RuntimeError:  # torch's, of a tensor without data; NotImplementedError is one of them
            return None

    def _make(self, view: Base) -> Adapter:
        cls = METHODS.get(self.method)
        view.check_skeleton(self.skeleton)
        if self.skeleton.keypoints != view.skeleton.keypoints and not cls.trains_predictor:
            raise AdapterFileError(
                f"an adapter of {self.method} for {len(self.skeleton.keypoints)} key points that {view.name} does not "
                "predict", f"its {len(view.skeleton.keypoints)}, since {self.method} trains no predictor",
                "copy or download the adapter again",
            )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            return cls(self.options, view, bank=self.bank, skeleton=self.skeleton)


def plan_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Plan:
    """Returns what the config and the embedded sentences of an lvtune file describe.

    Raises:
        LvtuneError: an unknown method; options, sentences or key points that are not valid.
    """
    check_methods(config)
    cls = METHODS.get(config["method"])
    stored_options, _ = with_new_names(cls.Config, config["method_config"])
    bank = None
    if config["prompts"] is not None:
        stored = {name[len(_BANK) :]: value for name, value in tensors.items() if name.startswith(_BANK)}
        sentences = config["prompts"]
        bank = cached_bank(
            SentenceBank.from_tensors(stored, tuple(sentences), tuple(sentences.values()), config["text_encoder"])
        )
    return Plan(
        config["method"],
        method_config(config["method"], stored_options),
        Skeleton.from_dict(config["skeleton"]),
        bank,
        config["domain"],
        {key: config.get(key) for key in ("training", "metrics")}
        | {key: config[key] for key in ADDED_FIELDS if config.get(key) is not None},
    )


def plan_of_peft(config: Mapping[str, Any], view: Base) -> Plan:
    """Returns what an ``adapter_config.json`` of plain peft describes.

    Raises:
        LvtuneError: a tuner or an option that is not known or not passed on.
    """
    return Plan("peft", method_config("peft", peft_options.options_of(config)), view.skeleton)
