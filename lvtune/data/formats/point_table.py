"""DeepLabCut's tables of labelled points, from CSV and from H5, without running anything that the file names.

The H5 holds the same table as the CSV, as pandas writes it: fixed or as a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError, LvtuneError
from lvtune.data.formats.hdf5_check import check_hdf5
from lvtune.data.formats.labels_extra import need
from lvtune.data.formats.picture_finder import plain_name
from lvtune.data.formats.point_columns import NoLabelsError, PointTable, table_of_columns
from lvtune.data.formats.point_csv import read_point_csv
from lvtune.data.safe_pickle import plain_of


def read_point_table(path: Path) -> PointTable:
    """Reads a table of either kind.

    Raises:
        DataError: not such a table; a value that is no number; predictions in place of labels.
    """
    return _read_h5(path) if path.suffix.lower() in (".h5", ".hdf5") else read_point_csv(path)


def read_label_tables(files: Iterable[Path]) -> tuple[list[PointTable], list[str]]:
    """Reads tables of labels; predictions among them are left out.

    Returns:
        The tables, and a sentence for each one that was left out.

    Raises:
        DataError: as :func:`read_point_table`; all of them are predictions.
    """
    tables, left = [], []
    for file in files:
        try:
            tables.append(read_point_table(file))
        except NoLabelsError as error:
            left.append(error)
    if left and not tables:
        raise left[0]
    return tables, [error.note for error in left]


def _read_h5(path: Path) -> PointTable:
    h5py = need("h5py", f"DeepLabCut's {path.name}")
    check_hdf5(path, "an H5 file as DeepLabCut writes it", "save the CSV in DeepLabCut, and give that")
    try:
        with h5py.File(path, "r") as file:
            groups = [group for group in file.values() if isinstance(group, h5py.Group)]
            for group in groups:
                if "table" in group:
                    return table_of_columns(path, *_appendable(group))
                if "axis0_level0" in group:
                    return table_of_columns(path, *_fixed(group, path))
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise DataError(
            f"{path}: {type(error).__name__}: {str(error)[:100]}", "an H5 file as DeepLabCut writes it",
            "save the CSV in DeepLabCut, and give that",
        ) from error  # fmt: skip
    raise DataError(f"{path} without a table of points", "an H5 file as DeepLabCut writes it", "give CollectedData_*")


def _fixed(group: Any, path: Path) -> tuple[list[str], list[tuple[str, ...]], np.ndarray]:
    """A table that pandas wrote in its fixed form: levels and codes of both axes, blocks of values."""
    columns = _axis(group, "axis0", path)
    pictures = ["/".join(plain_name(part) for part in row) for row in _axis(group, "axis1", path)]
    values = np.full((len(pictures), len(columns)), np.nan)
    place = {column: number for number, column in enumerate(columns)}
    for block in range(int(group.attrs["nblocks"])):
        items = _axis(group, f"block{block}_items", path)
        if not items:
            continue
        content = _plain(group[f"block{block}_values"], path)
        content = content if content.shape == (len(pictures), len(items)) else content.T
        values[:, [place[item] for item in items]] = content
    return pictures, columns, values


def _axis(group: Any, name: str, path: Path) -> list[tuple[str, ...]]:
    """The labels of an axis, each a tuple with one text a level."""
    if f"{name}_level0" not in group:
        return [(text,) for text in _texts(_plain(group[name], path))]
    levels = []
    while f"{name}_level{len(levels)}" in group:
        words = _texts(_plain(group[f"{name}_level{len(levels)}"], path))
        codes = _plain(group[f"{name}_label{len(levels)}"], path)
        levels.append([words[code] if code >= 0 else "" for code in codes])
    return list(zip(*levels, strict=True))


def _plain(dataset: Any, path: Path) -> np.ndarray:
    """The array in a data set of numbers or texts of fixed length; pickled objects are refused."""
    if dataset.dtype.kind not in "biufS":
        raise DataError(f"{path} with pickled objects in {dataset.name}", "numbers and texts", "give the CSV instead")
    return dataset[()]


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _appendable(group: Any) -> tuple[list[str], list[tuple[str, ...]], np.ndarray]:
    """A table that pandas wrote in its table form: the names of the columns are pickled texts."""
    rows = group["table"][()]
    if "index" not in (rows.dtype.names or ()):
        raise KeyError("index")
    columns: list[tuple[str, ...]] = []
    blocks: list[np.ndarray] = []
    for name in rows.dtype.names[1:]:
        try:
            kinds = plain_of(bytes(group["table"].attrs[f"{name}_kind"]), f"the column names of {group.file.filename}")
        except LvtuneError as error:
            raise DataError(error.given, error.expected, "give the CSV instead") from None
        columns += [tuple(str(part) for part in kind) for kind in kinds]
        blocks.append(rows[name].reshape(len(rows), -1))
    pictures = [plain_name(text) for text in _texts(rows["index"])]
    return pictures, columns, np.concatenate(blocks, 1).astype(np.float64)
