"""DeepLabCut projects: config.yaml and labeled-data/VIDEO/CollectedData_SCORER.csv or .h5, one animal or several.

Facts of the format: DeepLabCut's own example project and documentation (deeplabcut.github.io, "Standard project").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted, shell_word
from lvtune.data.formats.deeplabcut_splits import read_splits
from lvtune.data.formats.hdf5_check import one_reader
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.point_columns import PointTable, short_path
from lvtune.data.formats.point_csv import is_point_csv
from lvtune.data.formats.point_table import read_label_tables
from lvtune.data.formats.project_builder import ProjectBuilder
from lvtune.data.formats.project_yaml import load_yaml, peek_yaml
from lvtune.data.formats.table_rows import TableRows
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "DeepLabCut"
_STEM = "CollectedData_"
"""Begins the name of a table; the scorer follows."""
SINGLE = "single"
"""The individual that DeepLabCut gives points which belong to no animal."""


def _is_config(path: Path) -> bool:
    values = peek_yaml(path)
    return "bodyparts" in values or "multianimalbodyparts" in values


def _entry(path: Path) -> Path | None:
    """The config.yaml, or the one table that was given."""
    if path.is_dir():
        if _is_config(path / "config.yaml"):
            return path / "config.yaml"
        inside = path / "labeled-data"
        if inside.is_dir() and _tables(inside):
            return inside  # a project without its config
        return _table_of(path, "") if path.parent.name == "labeled-data" else None
    if path.suffix.lower() in (".yaml", ".yml"):
        return path if _is_config(path) else None
    if path.suffix.lower() in (".h5", ".hdf5"):
        return path if path.name.startswith("CollectedData") else None
    in_project = path.parent.parent.name == "labeled-data" or path.name.startswith(_STEM)
    return path if path.suffix.lower() == ".csv" and in_project and is_point_csv(path) else None


def _tables(labeled: Path, scorer: str = "") -> list[Path]:
    found = [_table_of(folder, scorer) for folder in sorted(labeled.iterdir()) if folder.is_dir()]
    return [table for table in found if table is not None]


def _table_of(folder: Path, scorer: str) -> Path | None:
    """The table in a folder of labeled-data: the scorer's, CSV before H5.

    Raises:
        DataError: tables of several scorers, none of which is the project's.
    """
    files = _collected(folder)
    mine = [file for file in files if file.stem == f"{_STEM}{scorer}"] or files
    stems = {file.stem for file in mine}
    if len(stems) > 1:
        raise DataError(
            f"{folder} with the labels of several scorers ({', '.join(sorted(stems))})",
            "one scorer, named as `scorer` in config.yaml", "correct `scorer`, or give one of the tables",
        )  # fmt: skip
    return min(mine, key=lambda file: file.suffix.lower() != ".csv", default=None)


def _collected(folder: Path) -> list[Path]:
    return sorted([*folder.glob(f"{_STEM}*.csv"), *folder.glob(f"{_STEM}*.h5")])


def _other_scorers(tables: Sequence[Path], scorer: str) -> list[str]:
    """A sentence for each table of another scorer than the project's: it is not read, or read for want of another."""
    notes = []
    for table in tables:
        others = dict.fromkeys(file.stem for file in _collected(table.parent) if file.stem != table.stem)
        for stem in others:
            file = next(file for file in _collected(table.parent) if file.stem == stem)
            notes.append(
                f"{short_path(file)} is not read: {table.name} beside it is of the scorer in config.yaml (to read it, "
                f"set `scorer: {stem.removeprefix(_STEM)}` there, or give the table: lvtune adapt {shell_word(file)})"
            )
        if scorer and table.stem != f"{_STEM}{scorer}":
            notes.append(
                f"{short_path(table)} is read, although config.yaml has the scorer {scorer}: its folder has no other"
            )
    return notes


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    if entry.is_dir():
        return _project(entry.parent, {}, _tables(entry), more)
    if entry.suffix.lower() in (".yaml", ".yml"):
        config = load_yaml(entry)
        labeled = entry.parent / "labeled-data"
        scorer = str(config.get("scorer") or "")
        tables = _tables(labeled, scorer) if labeled.is_dir() else []
        if not tables:
            raise DataError(
                f"the {TOOL} project {entry.parent} without labels",
                "labeled-data/VIDEO/CollectedData_SCORER.csv or .h5", "label frames in DeepLabCut, and save",
            )  # fmt: skip
        return _project(entry.parent, config, tables, more, _other_scorers(tables, scorer))
    home = entry.parent.parent.parent if entry.parent.parent.name == "labeled-data" else entry.parent
    config = peek_yaml(home / "config.yaml") if _is_config(home / "config.yaml") else {}
    return _project(home, config, [entry], more)


def _project(
    root: Path, config: dict[str, Any], files: Sequence[Path], more: Sequence[Path], told: Sequence[str] = ()
) -> LabelProject:
    with one_reader():
        tables, left = read_label_tables(files)
    names, unique, notes = body_parts(config, tables)
    builder = ProjectBuilder(TOOL, root, names, PictureFinder([root, *more]))
    builder.notes += [*told, *left, *notes]
    adder, rows = TableRows(builder), dict[str, int]()
    for table in tables:
        rows |= adder.add(table, near=table.file.parent)
    builder.notes += adder.notes()
    if unique:
        left = sum(int(np.isfinite(t.points[key]).all(1).sum()) for t in tables for key in t.points if key[1] in unique)
        builder.notes.append(
            f"unique body parts {', '.join(unique)} belong to no animal: {counted(left, 'point')} left out"
        )
    splits, note = read_splits(root, config, rows)
    builder.notes += [note] if note else []
    return builder.finish(links=_links(config.get("skeleton"), names), splits=splits)


def body_parts(config: dict[str, Any], tables: Iterable[PointTable]) -> tuple[list[str], list[str], list[str]]:
    """Returns the key points in the order of the project, the unique body parts, and notes."""
    listed = config.get("multianimalbodyparts") if config.get("multianimalproject") else config.get("bodyparts")
    unique = [str(name) for name in config.get("uniquebodyparts") or ()] if config.get("multianimalproject") else []
    found = list(dict.fromkeys(part for table in tables for who, part in table.points if who != SINGLE))
    found = [part for part in found if part not in unique]
    if not isinstance(listed, list) or not listed:
        return found, unique, [] if found else ["the tables name no body part of an animal"]
    names = [str(name) for name in listed]
    notes = []
    others = [part for part in found if part not in names]
    if others:
        notes.append(f"body parts {', '.join(others)} are in the tables and not in config.yaml: left out")
    lacking = [name for name in names if name not in found]
    if lacking:
        notes.append(f"body parts {', '.join(lacking)} of config.yaml are in no table: never labelled")
    return names, unique, notes


def _links(skeleton: Any, names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places from DeepLabCut's pairs of names; lines to points that are not there are dropped."""
    pairs = [pair for pair in skeleton or () if isinstance(pair, list) and len(pair) == 2]
    return [(names.index(a), names.index(b)) for a, b in pairs if a in names and b in names]


FORMATS.register("deeplabcut")(
    LabelFormat(
        TOOL, "config.yaml with labeled-data/*/CollectedData_*.csv or .h5, or one of these tables", _entry, _read
    )
)
