"""Safetensors files, read with suspicion and written with the same bytes every time.

Nothing here can run code from a file: the bytes are a JSON header and raw numbers.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from lvtune.core.errors import AdapterFileError, LvtuneError, UsageError
from lvtune.core.strict_json import MAX_BYTES as MAX_HEADER
from lvtune.core.strict_json import strict_json
from lvtune.core.text import short


@dataclass(frozen=True)
class FileKind:
    """How a kind of file is called in errors."""

    name: str = "adapter"
    error: type[LvtuneError] = AdapterFileError
    fix: str = "copy or download the adapter again"
    """What a user can do about a damaged one."""


ADAPTER = FileKind()


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Returns a safetensors file; the same tensors and metadata always give the same bytes."""
    values = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data = to_safetensors(values, metadata=dict(metadata))
    (length,) = struct.unpack("<Q", data[:8])
    # the library writes the metadata in the order of a hash map, which differs from process to process
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


@dataclass(frozen=True)
class Packed:
    """The content of a safetensors file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def unpack(path: Path, kind: FileKind = ADAPTER) -> Packed:
    """Reads a safetensors file.

    Raises:
        LvtuneError: cut off, too long a header, no safetensors at all, or damaged.
    """
    metadata = metadata_of(path, kind)
    try:
        with safe_open(path, "pt") as file:
            # cloned: a mapped tensor would change under us if some other tool wrote into the file
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError, KeyError) as error:
        raise _damaged(path, short(str(error), quote=False), kind) from error
    return Packed(tensors, metadata)


def metadata_of(path: Path, kind: FileKind = ADAPTER) -> dict[str, str]:
    """Reads what a safetensors file says beside its tensors, without the tensors.

    Raises:
        LvtuneError: cut off, too long a header, no safetensors at all.
    """
    metadata = _header(path, kind).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its metadata are not words", kind)
    return metadata


def hash_tensors(tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype | None = None) -> str:
    """Returns the sha256 (hex) of named tensors, whatever their order, device and memory layout.

    Args:
        tensors: names and values.
        dtype: floating tensors are cast to it first; None leaves them.

    Raises:
        UsageError: a tensor without data (on the meta device).
    """
    digest = hashlib.sha256()
    for name, value in sorted(tensors, key=lambda item: item[0]):
        if value.is_meta:
            raise UsageError(
                f"a model whose tensor {short(name)} holds no data (meta)", "loaded weights", "load the model first"
            )
        plain = value.detach()
        if dtype is not None and plain.is_floating_point():
            plain = plain.to(dtype)
        key = f"{name}\0{str(plain.dtype).removeprefix('torch.')}\0{list(plain.shape)}".encode()
        # the length in front keeps two lists of tensors from ever giving the same stream of bytes
        digest.update(struct.pack("<Q", len(key)) + key)
        digest.update(plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _header(path: Path, kind: FileKind) -> dict[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if length > MAX_HEADER:
            raise _no_header(path, start, length, kind)
        if len(start) < 8 or 8 + length > size:
            raise _truncated(path, size, kind)
        text = file.read(length)
    header = strict_json(text, f"the header of '{path}'", error=kind.error, fix=kind.fix)
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not an object", kind)
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        is_cut_off = 8 + length + max(ends, default=0) > size
    except (TypeError, KeyError, IndexError):
        raise _damaged(path, "its header does not say where the tensors lie", kind) from None
    if is_cut_off:
        raise _truncated(path, size, kind)
    return header


def _no_header(path: Path, start: bytes, length: int, kind: FileKind) -> LvtuneError:
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return kind.error(
            f"'{path}', which is a pickle or zip file", "safetensors; files that can run code are not read",
            f"use the {kind.name} that lvtune wrote",
        )  # fmt: skip
    return kind.error(
        f"'{path}', whose header would be {length} bytes long",
        f"a safetensors file with at most {MAX_HEADER} bytes of header", kind.fix,
    )  # fmt: skip


def _truncated(path: Path, size: int, kind: FileKind) -> LvtuneError:
    return kind.error(f"truncated {kind.name} '{path}' ({size} bytes)", "the whole file", kind.fix)


def _damaged(path: Path, why: str, kind: FileKind) -> LvtuneError:
    return kind.error(f"damaged {kind.name} '{path}' ({why})", "a safetensors file that lvtune wrote", kind.fix)
