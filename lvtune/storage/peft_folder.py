"""Adapters that plain peft saved: ``adapter_model.safetensors`` and ``adapter_config.json``, nothing of lvtune's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from lvtune.core.errors import AdapterFileError
from lvtune.core.strict_json import read_json
from lvtune.core.tensor_file import metadata_of, unpack
from lvtune.storage import adapter_file


def is_peft_folder(source: str | Path) -> bool:
    """Returns True for a folder that plain peft wrote.

    Raises:
        AdapterFileError: the tensors' file is damaged.
    """
    folder = Path(source)
    file, config_file = folder / adapter_file.TENSORS_FILE, folder / adapter_file.PEFT_FILE
    if not file.is_file() or not config_file.is_file() or (folder / adapter_file.CONFIG_FILE).exists():
        return False
    return adapter_file.HEADER_KEY not in metadata_of(file)


def read(source: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Reads tensors and peft's config of a folder that plain peft wrote; None for anything else.

    Args:
        source: a folder.

    Returns:
        Tensors by their names in the plain model: what compiling and DistributedDataParallel put in front is
        removed.

    Raises:
        AdapterFileError: a damaged file; numbers that are not finite; two tensors of one name.
    """
    if not is_peft_folder(source):
        return None
    folder = Path(source)
    file, config_file = folder / adapter_file.TENSORS_FILE, folder / adapter_file.PEFT_FILE
    config = read_json(config_file)
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise AdapterFileError(f"'{config_file}' without a peft_type", "what peft writes", "save the adapter again")
    tensors = unpack(file).tensors
    plain = {plain_name(name): value for name, value in tensors.items()}
    if len(plain) != len(tensors):
        raise AdapterFileError(f"'{file}' with two tensors of one name", "each name once", "save the adapter again")
    adapter_file.check_finite(plain, "tune the adapter again")
    return plain, config


def plain_name(name: str) -> str:
    """Returns a tensor's name without what wrappers put in: ``_orig_mod.`` (torch.compile), ``module.`` (DDP).

    peft's own prefix ``base_model.model.`` stays in front.
    """
    head = "base_model.model."
    name = _without_module(name.replace("_orig_mod.", ""))
    return head + _without_module(name.removeprefix(head)) if name.startswith(head) else name


def _without_module(name: str) -> str:
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name
