"""Lightning Pose: DeepLabCut's CSV at the root of the project, pictures in labeled-data, no config of DeepLabCut.

Facts of the format: Lightning Pose's example mirror-mouse and documentation (lightning-pose.readthedocs.io).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.deeplabcut import body_parts
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.point_csv import is_point_csv
from lvtune.data.formats.point_table import read_label_tables
from lvtune.data.formats.project_builder import ProjectBuilder
from lvtune.data.formats.table_rows import TableRows
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "Lightning Pose"
_NEW = "_new"
"""End of the name of the table with pictures of other sessions, which Lightning Pose tests on."""


def _entry(path: Path) -> Path | None:
    """The project's folder, or the one table that was given."""
    if path.is_file():
        return path if path.suffix.lower() == ".csv" and is_point_csv(path) else None
    return path if path.is_dir() and _tables(path) else None


def _tables(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.csv")) if is_point_csv(file)]


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    root = entry if entry.is_dir() else entry.parent
    tables, left = read_label_tables(_tables(entry) if entry.is_dir() else [entry])
    names, _, notes = body_parts({}, tables[:1])
    for table in tables[1:]:
        if set(table.bodyparts) != set(names):
            raise DataError(
                f"{root} with tables of different key points ({tables[0].file.name}, {table.file.name})",
                "tables of the same key points", f"give one of them, such as {tables[0].file}",
            )  # fmt: skip
    builder = ProjectBuilder(TOOL, root, names, PictureFinder([root, *more]))
    builder.notes += [*left, *notes]
    adder = TableRows(builder)
    splits: dict[str, list[int]] = {"train": [], "test": []}
    for table in tables:
        places = adder.add(table)
        splits["test" if table.file.stem.endswith(_NEW) else "train"] += places.values()
    builder.notes += adder.notes()
    common = set(splits["train"]) & set(splits["test"])
    splits["train"] = [place for place in splits["train"] if place not in common]
    if not splits["test"] or not splits["train"]:
        return builder.finish()
    both = f"; {counted(len(common), 'picture')} of theirs in other tables too: not in the part to tune on"
    builder.notes.append(f"tables named *{_NEW}.csv are the part to test on{both if common else ''}")
    return builder.finish(splits=splits)


FORMATS.register("lightning-pose")(
    LabelFormat(TOOL, "a CSV that begins with scorer, bodyparts, coords, and its pictures", _entry, _read)
)
