"""Keeps columns of numbers and strings in one memory-mapped Arrow file, opened through `datasets`.

All numeric columns come back as numpy views of the mapped file: processes that open the same file share one copy in
memory, and reading a row costs a few microseconds. A checksum stands behind the Arrow stream, whose readers stop at
its end; it is checked each time a file is opened, since Arrow trusts what it maps.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import append_seal, is_sealed

_META = b"lvtune"
_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """Returns ``$LVTUNE_CACHE``, else ``~/.cache/lvtune``."""
    return Path(os.environ.get("LVTUNE_CACHE") or Path.home() / ".cache" / "lvtune")


class Columns(Mapping[str, Any]):
    """Named columns of equal length, read-only.

    Numeric columns are numpy arrays (n, ...); string columns answer ``[i].as_py()`` (Arrow arrays).
    """

    def __init__(self, dataset: Any, meta: bytes, path: Path | None) -> None:
        self.dataset = dataset  # a datasets.Dataset over the same memory
        self.path = path
        self.meta: dict[str, Any] = json.loads(meta)
        self._columns = {
            name: _view(dataset.data.column(name), self.meta["shapes"].get(name)) for name in dataset.data.column_names
        }

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Any:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the file again rather than receive a copy of it.
        if self.path is not None:
            return (_open, (self.path,))
        table = self.dataset.data.table
        return (_in_memory, (table.replace_schema_metadata({_META: json.dumps(self.meta).encode()}),))


def _view(column: Any, shape: Sequence[int] | None) -> Any:
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if shape is None:
        return array
    while hasattr(array, "flatten") and hasattr(array.type, "value_type"):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=True).reshape(-1, *shape)


def _to_table(columns: Mapping[str, Any], meta: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    arrays, shapes = {}, {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            array = pa.array(values.reshape(-1))
            if values.ndim > 1:
                array = pa.FixedSizeListArray.from_arrays(array, int(np.prod(values.shape[1:])))
            arrays[name], shapes[name] = array, list(values.shape[1:])
        else:
            arrays[name] = pa.array(values, pa.string())
    table = pa.table(arrays)
    return table.replace_schema_metadata({_META: json.dumps({**meta, "shapes": shapes}).encode()})


def _in_memory(table: Any) -> Columns:
    from datasets import Dataset
    from datasets.table import InMemoryTable

    return Columns(Dataset(InMemoryTable(table), fingerprint="lvtune"), table.schema.metadata[_META], None)


def _open(path: Path) -> Columns:
    import pyarrow as pa
    from datasets import Dataset

    with pa.memory_map(str(path)) as source:  # `datasets` keeps only its own part of the metadata
        meta = pa.ipc.open_stream(source).schema.metadata[_META]
    return Columns(Dataset.from_file(str(path)), meta, path)


def _write(table: Any, path: Path) -> None:
    """Writes the file whole or not at all, with a checksum behind it; several processes may do so at once."""
    import pyarrow as pa

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".part")
    try:
        with os.fdopen(handle, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=max(1, table.num_rows))  # one batch: views need one
        append_seal(Path(draft))
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def cached_columns(
    key: str,
    make: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]],
    cache_dir: str | os.PathLike[str] | None = None,
) -> Columns:
    """Returns the columns that ``make`` computes, from the cache if they are there.

    A file that is damaged, cut short or without a checksum is made again, which is noted.

    Args:
        key: hash of all that ``make`` depends on; the file's name.
        make: returns (columns, meta): numpy arrays or lists of str of equal length, and a JSON-able dict.
        cache_dir: folder; `default_cache_dir` if None. Where it cannot be written the columns live in memory.
    """
    path = _place(key, cache_dir)
    found = None if path is None else _sound(path)
    if found is not None:
        return found
    table = _to_table(*make())
    if path is not None:
        with contextlib.suppress(OSError):
            _write(table, path)
            return _open(path)
    return _in_memory(table)


def _place(key: str, cache_dir: str | os.PathLike[str] | None) -> Path | None:
    try:
        return Path(cache_dir or default_cache_dir()) / "tables" / f"{key}.arrow"
    except RuntimeError:  # there is no home directory
        return None


def _sound(path: Path) -> Columns | None:
    """Returns the columns of a file; None where there is none, or it is not as it was written."""
    try:
        if not path.is_file():
            return None
        if is_sealed(path):
            return _open(path)
        why = "it is damaged"
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's ArrowInvalid is a ValueError
        why = str(error).partition("\n")[0]
    _log.warning("note: the cached table %s is made again (%s)", path, why)
    return None
