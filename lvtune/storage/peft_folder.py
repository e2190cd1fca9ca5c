"""Adapters that plain peft saved: ``adapter_model.safetensors`` and ``adapter_config.json``, nothing of lvtune's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from lvtune.core.errors import LvtuneError
from lvtune.storage import adapter_file
from lvtune.storage.container import strict_json, unpack


def read(source: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and peft's config of a folder that plain peft wrote; None for anything else.

    Raises:
        LvtuneError: a damaged file; numbers that are not finite.
    """
    folder = Path(source)
    file, config_file = folder / adapter_file.TENSORS_FILE, folder / adapter_file.PEFT_FILE
    if not file.is_file() or not config_file.is_file() or (folder / adapter_file.CONFIG_FILE).exists():
        return None
    packed = unpack(file)
    if adapter_file.HEADER_KEY in packed.metadata:
        return None
    config = strict_json(config_file.read_bytes(), f"'{config_file}'")
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise LvtuneError(f"'{config_file}' without a peft_type", "what peft writes", "save the adapter again")
    adapter_file.check_finite(packed.tensors, "tune the adapter again")
    return packed.tensors, config
