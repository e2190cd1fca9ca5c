"""The adapter file, version 1: ``adapter_model.safetensors`` and ``lvtune_config.json`` in one folder.

The config also stands in the header of the tensors, so that one file alone is enough. A kill at any moment leaves
a complete adapter, old or new: the tensors change in one step, and the copy of the config is absent meanwhile, since
a copy that is there must agree.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lvtune.core.errors import AdapterFileError, UsageError
from lvtune.core.files import staged, sweep, sync_folder, user_errors, write_atomically
from lvtune.core.strict_json import MAX_BYTES, canonical_json, strict_json
from lvtune.core.tensor_file import hash_tensors, metadata_of, pack, unpack
from lvtune.core.text import printable, short
from lvtune.storage.adapter_config import (
    FORMAT_VERSION,
    check_base,
    check_config,
    complete_config,
    in_memory,
)
from lvtune.storage.tensor_checks import check_finite, compare

TENSORS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "lvtune_config.json"
PEFT_FILE = "adapter_config.json"
HEADER_KEY = "lvtune_config"
"""Where the config stands in the metadata of the tensors' file."""
_RETRIES = 20


def save(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    folder: Path | str,
    *,
    peft_config: Mapping[str, Any] | None = None,
) -> Path:
    """Writes an adapter; the same tensors and config give the same bytes.

    Args:
        tensors: the adapter's and its embedded sentences.
        config: the fields of `lvtune.storage.adapter_config.FIELDS`; ``format_version``, ``tensors_sha256`` and
            ``lvtune_version`` are filled in, and the recipe loses what belongs to this machine.
        folder: made where it is not there; an adapter in it is replaced, other files stay.
        peft_config: pure peft config of a method that peft can load, written as ``adapter_config.json``.

    Returns:
        The folder.

    Raises:
        LvtuneError: tensors that are not finite or badly named, a config with fields missing or of the wrong
            kind, a folder that cannot be written.
    """
    folder = Path(folder)
    _check_names(tensors)
    check_finite(tensors, "tune again with a lower --lr, or from a --seed that does not diverge")
    full = complete_config(config, hash_tensors(tensors.items()))
    check_config(full, "the config")
    header = canonical_json(full, "the adapter's config")
    data = pack(tensors, {HEADER_KEY: header, "format": "pt"})
    copies = {CONFIG_FILE: full} | ({PEFT_FILE: dict(peft_config)} if peft_config is not None else {})
    texts = {name: canonical_json(value, name, indent=2) + "\n" for name, value in copies.items()}
    return install(folder, data, texts)


def install(folder: Path, data: bytes, texts: Mapping[str, str | bytes]) -> Path:
    """Puts the files of an adapter into a folder; a whole adapter, old or new, is there at any moment.

    All bytes are on disk before the first name changes, so that the files change together.

    Args:
        folder: made where it is not there.
        data: of the tensors' file.
        texts: name to text of the other files.

    Raises:
        LvtuneError: the folder cannot be written.
    """
    with user_errors(folder), contextlib.ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        tensors_file = stack.enter_context(staged(folder, data))
        copies = {name: stack.enter_context(staged(folder, text)) for name, text in texts.items()}
        # The order is the guarantee: old tensors alone are the old adapter, new tensors alone the new one.
        for name in (CONFIG_FILE, PEFT_FILE):
            (folder / name).unlink(missing_ok=True)
        sync_folder(folder)
        os.replace(tensors_file, folder / TENSORS_FILE)
        sync_folder(folder)
        for name, copy in copies.items():
            os.replace(copy, folder / name)
        sync_folder(folder)
    return folder


def write_json(path: Path | str, value: Any) -> Path:
    """Writes JSON with sorted keys, in one step.

    Raises:
        LvtuneError: a value that JSON cannot hold; a place that cannot be written.
    """
    return write_atomically(path, canonical_json(value, f"'{path}'", indent=2) + "\n")


def read(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads tensors and config of an adapter.

    Args:
        path: the folder, or its ``.safetensors`` file, which may have been renamed and moved alone.

    Raises:
        AdapterFileError: not there, truncated, damaged, no lvtune adapter, a newer format, the two copies of the
            config differ, a changed config, a field missing or of the wrong kind, changed or non-finite tensors.
    """
    path = Path(path)
    with _readable(path):
        file, copy = _locate(path)
        for _ in range(_RETRIES):
            before = _identity(file, copy)
            try:
                return _read(file, copy)
            except (AdapterFileError, FileNotFoundError):
                # another process saved between our two reads: what is there now is whole
                if _identity(file, copy) == before:
                    raise
        return _read(file, copy)


def read_config(path: Path | str) -> dict[str, Any] | None:
    """Reads the config in the header of an adapter's file, without the tensors; None: another tool wrote the file.

    Args:
        path: the folder, or its ``.safetensors`` file.

    Raises:
        AdapterFileError: not there, cut off, no safetensors, a newer format, a changed config, a field missing or
            of the wrong kind.
    """
    path = Path(path)
    with _readable(path):
        file, _ = _locate(path)
        metadata = metadata_of(file)
    if HEADER_KEY not in metadata:
        return None
    config = strict_json(metadata[HEADER_KEY], f"the config in '{file}'")
    check_config(config, f"the config in '{file}'")
    return in_memory(config)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the system says of a file that cannot be read into the error a user sees."""
    try:
        yield
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or short(error, quote=False)
        raise AdapterFileError(
            f"adapter '{printable(str(path))}' that cannot be read ({why})", "a folder or file that you may read",
            "correct the path or the permissions",
        ) from error  # fmt: skip


def _locate(path: Path) -> tuple[Path, Path | None]:
    """Returns the tensors' file and the place of the config's copy, which need not be there."""
    file = path / TENSORS_FILE if path.is_dir() else path
    if not file.exists():
        where = f"folder '{path}' without {TENSORS_FILE}" if path.is_dir() else f"no such adapter '{path}'"
        others = [name for name in ("adapter_model.bin", "adapter_model.pt") if (path / name).exists()]
        if others:
            where += f", but with {others[0]}, which can run code and is not read"
        raise AdapterFileError(where, f"a folder that `lvtune adapt` wrote, with {TENSORS_FILE}", "correct the path")
    if not file.is_file():
        raise AdapterFileError(
            f"adapter '{file}', which is not a plain file", f"the file {TENSORS_FILE}", "correct the path"
        )
    # a renamed file has left its copy behind; the copy in its folder belongs to another adapter
    return file, file.parent / CONFIG_FILE if file.name == TENSORS_FILE else None


def _identity(*files: Path | None) -> list[tuple[int, ...] | None]:
    found: list[tuple[int, ...] | None] = []
    for file in files:
        try:
            stat = file.stat() if file else None
        except FileNotFoundError:  # it may go between a question and a look
            stat = None
        found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat else None)
    return found


def _read(file: Path, copy: Path | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    packed, text = unpack(file), None
    if copy is not None and copy.is_file():
        with copy.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    if HEADER_KEY not in packed.metadata:
        raise AdapterFileError(
            f"'{file}', a safetensors file without lvtune's config in its header",
            "an adapter that lvtune wrote (a plain peft adapter or a model's weights are not one)",
            "tune one with `lvtune adapt`",
        )
    config = strict_json(packed.metadata[HEADER_KEY], f"the config in '{file}'")
    check_config(config, f"the config in '{file}'")
    if copy is not None and text is not None:
        _check_copy(config, strict_json(text, f"'{copy}'"), copy)
    if hash_tensors(packed.tensors.items()) != config["tensors_sha256"]:
        raise AdapterFileError(
            f"adapter '{file}' whose tensors are not those it was saved with (sha256 differs)",
            f"tensors with sha256 {short(config['tensors_sha256'][:12], quote=False)}…",
            "copy or download the adapter again",
        )
    check_finite(packed.tensors, "tune the adapter again")
    return packed.tensors, in_memory(config)


def _check_copy(config: dict[str, Any], copy: Any, path: Path) -> None:
    """Checks that the config's copy says what the header says."""
    if canonical_json(copy, f"'{path}'") == canonical_json(config, "the header"):
        return
    other = copy if isinstance(copy, dict) else {}
    field = next((key for key in sorted({*config, *other}) if config.get(key) != other.get(key)), "")
    raise AdapterFileError(
        f"'{path}' that disagrees with the header of {TENSORS_FILE}" + (f" in {short(field)}" if field else ""),
        "one adapter's two files",
        f"delete {CONFIG_FILE} if the tensors are the ones you want (they carry their own config)",
    )


def _check_names(tensors: Mapping[str, Tensor]) -> None:
    for name in tensors:
        if not isinstance(name, str) or not name or not name.isprintable() or name == "__metadata__":
            raise UsageError(f"a tensor named {short(name)}", "printable names", "rename it in the method's file")


__all__ = [
    "CONFIG_FILE",
    "FORMAT_VERSION",
    "PEFT_FILE",
    "TENSORS_FILE",
    "check_base",
    "check_finite",
    "compare",
    "install",
    "read",
    "read_config",
    "save",
    "write_json",
]
