"""Safetensors and JSON, read with suspicion and written with the same bytes every time.

Nothing here can run code from a file: the bytes are a JSON header and raw numbers.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from lvtune.core.errors import LvtuneError

MAX_HEADER = 16 * 2**20
"""Bytes of header that are read; thousands of tensors and a long recipe take less than one million."""

_AGAIN = "copy or download the adapter again"


def strict_json(text: str | bytes, what: str) -> Any:
    """Parses JSON; a key given twice, NaN, and nesting without end are refused.

    Args:
        text: UTF-8.
        what: how the text is called in errors.

    Raises:
        LvtuneError: it is not JSON of that kind.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise LvtuneError(f"{what} with the key {short(twice)} twice", "each key once", _AGAIN)
        return result

    def constant(word: str) -> Any:
        raise LvtuneError(f"{what} with {word}", "finite numbers", _AGAIN)

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise LvtuneError(
            f"{what} that is not JSON ({short(str(error), quote=False)})", "a JSON object", _AGAIN
        ) from None


def canonical_json(value: Any, what: str, *, indent: int | None = None) -> str:
    """JSON with sorted keys: equal values give equal text.

    Raises:
        LvtuneError: the value holds something that JSON does not know (NaN among it).
    """
    separators = (",", ": ") if indent else (",", ":")
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, indent=indent, separators=separators)
    except (TypeError, ValueError, RecursionError) as error:
        raise LvtuneError(
            f"{what} that JSON cannot hold ({error})",
            "words, finite numbers, true, false, null, lists and dicts of these",
            "give null where a number is missing",
        ) from error


def short(text: object, *, quote: bool = True) -> str:
    """A foreign string for an error: control characters escaped, cut after 80 characters."""
    shown = repr(str(text))
    shown = shown if quote else shown[1:-1]
    return shown if len(shown) <= 80 else shown[:77] + "..."


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file; the same tensors and metadata always give the same bytes."""
    values = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data = to_safetensors(values, metadata=dict(metadata))
    (length,) = struct.unpack("<Q", data[:8])
    # the library writes the metadata in the order of a hash map, which differs from process to process
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


@dataclass(frozen=True)
class Packed:
    """What stands in a safetensors file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def unpack(path: Path) -> Packed:
    """Reads a safetensors file.

    Raises:
        LvtuneError: cut off, too long a header, no safetensors at all, or damaged.
    """
    metadata = metadata_of(path)
    try:
        with safe_open(path, "pt") as file:
            # cloned: a mapped tensor would change under us if some other tool wrote into the file
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise _damaged(path, short(str(error), quote=False)) from error
    return Packed(tensors, metadata)


def metadata_of(path: Path) -> dict[str, str]:
    """What a safetensors file says beside its tensors, which are not read.

    Raises:
        LvtuneError: cut off, too long a header, no safetensors at all.
    """
    metadata = _header(path).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its metadata are not words")
    return metadata


def _header(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if length > MAX_HEADER:
            raise _no_header(path, start, length)
        if len(start) < 8 or 8 + length > size:
            raise _truncated(path, size)
        header = strict_json(file.read(length), f"the header of '{path}'")
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not an object")
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        end = max(ends, default=0)
        if 8 + length + end > size:
            raise _truncated(path, size)
    except (TypeError, KeyError, IndexError):
        raise _damaged(path, "its header does not say where the tensors lie") from None
    return header


def _no_header(path: Path, start: bytes, length: int) -> LvtuneError:
    if start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return LvtuneError(
            f"'{path}', which is a pickle or zip file", "safetensors; files that can run code are not read",
            "use the adapter that lvtune wrote",
        )  # fmt: skip
    return LvtuneError(
        f"'{path}', whose header would be {length} bytes long",
        f"a safetensors file with at most {MAX_HEADER} bytes of header", _AGAIN,
    )  # fmt: skip


def _truncated(path: Path, size: int) -> LvtuneError:
    return LvtuneError(f"truncated adapter '{path}' ({size} bytes)", "the whole file", _AGAIN)


def _damaged(path: Path, why: str) -> LvtuneError:
    return LvtuneError(f"damaged adapter '{path}' ({why})", "a safetensors file that lvtune wrote", _AGAIN)
