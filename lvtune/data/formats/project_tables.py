"""From the labels of a project to the tables of persons that training and scoring work on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lvtune.core.errors import DataError, LvtuneError
from lvtune.core.files import write_text
from lvtune.data.arrow import default_cache_dir
from lvtune.data.formats.coco_writer import Boxes, to_coco
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.point_boxes import MARGIN
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import PoseTable, read_coco


@dataclass(frozen=True)
class ProjectTables:
    """The persons of a project."""

    tables: Mapping[str, PoseTable]
    """Part (train, val, test) to its persons; ``all`` where the project has no split of its own."""
    groups: Mapping[str, str]
    """Picture to the video or folder that it comes from."""


def tables_of(
    project: LabelProject, *, boxes: Boxes = "points", own_split: bool = True, skeleton: Skeleton | None = None,
    category_of: Callable[[dict[str, Any]], str] | None = None, flip_pairs: str | None = None, margin: float = MARGIN,
) -> ProjectTables:  # fmt: skip
    """Returns the persons of a project; a COCO file in the cache stands between.

    Args:
        project: the labels.
        boxes: ``points`` or ``whole``, for instances without a drawn box.
        own_split: take the project's own parts, where it has them.
        skeleton: the key points wanted; None: all of the project.
        category_of: as in :func:`lvtune.data.table.read_coco`.
        flip_pairs: likewise.
        margin: of boxes around points, as a share of their longer extent.

    Raises:
        DataError: no part has an instance with labelled points.
    """
    project = project if own_split else replace(project, splits={})
    parts = {part: project.part(part) for part in project.splits} or {"all": project}
    tables: dict[str, PoseTable] = {}
    lost = []
    for part, labels in parts.items():
        if not any((item.visibility > 0).any() for item in labels.instances):
            lost.append(f"part {part} of the project has no labelled instance: left out")
            continue
        content, notes = to_coco(labels, boxes, _file_names(labels), margin=margin)
        table = read_coco(
            _in_cache(content), labels.root, skeleton=skeleton, category_of=category_of, flip_pairs=flip_pairs,
            anywhere=True,
        )  # fmt: skip
        table.notes[:0] = [*project.notes, *notes]
        tables[part] = table
    for table in tables.values():
        table.notes += lost
    if not tables:
        raise DataError(f"{project.format} labels in {project.root} without labelled points", "labelled points",
                        "label some, and save")  # fmt: skip
    if set(tables) == {"train"}:
        tables = {"all": tables["train"]}
    groups = {
        name: picture.group for picture, name in zip(project.pictures, _file_names(project).values(), strict=True)
    }
    return ProjectTables(tables, {name: group for name, group in groups.items() if group})


def _file_names(project: LabelProject) -> dict[int, str]:
    """Place of a picture to its path: relative to the project, or absolute for a picture elsewhere."""
    return {
        place: picture.name if (project.root / picture.name) == picture.path else str(picture.path)
        for place, picture in enumerate(project.pictures)
    }


def _in_cache(content: Mapping[str, Any]) -> Path:
    """Writes a COCO file into the cache, named by its content; into a temporary folder where that cannot be."""
    text = json.dumps(content)
    mark = hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        file = default_cache_dir() / "labels" / f"{mark}.json"
        return file if file.is_file() else write_text(file, text)
    except (LvtuneError, RuntimeError):  # no home directory, or one that cannot be written
        return write_text(Path(tempfile.mkdtemp(prefix="lvtune-")) / f"{mark}.json", text)
