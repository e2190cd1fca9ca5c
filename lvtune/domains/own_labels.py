"""Reads a user's own labels: COCO's JSON files as they are named, or the project of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError
from lvtune.data.formats import detect, read_project
from lvtune.data.formats.coco_folder import parts_of
from lvtune.data.formats.project_tables import tables_of
from lvtune.data.hub_datasets import SCHEME, is_dataset, read_dataset
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import PoseTable, read_coco

PARTS = ("train", "val", "test")
LAYOUT = "ANNOTATIONS a COCO key point JSON, or a folder with train.json and test.json; FOLDER the pictures"
_PEEK = 4096


@dataclass(frozen=True)
class OwnLabels:
    """The persons in a user's own pictures."""

    tables: Mapping[str, PoseTable]
    """Part to its persons; ``all`` is still to be split."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Picture to its video, where the labels say so."""


def read_own(options: DataOptions, skeleton: Skeleton | None) -> OwnLabels:
    """Reads what ``annotations``, ``test_annotations`` and ``data`` name.

    Args:
        options: ``annotations`` names COCO's JSON, a folder with train.json, val.json, test.json, or a file of another
            tool; without it ``data`` is a project's folder or file, or holds a folder ``annotations``.
        skeleton: the key points wanted; None: those of the labels.

    Raises:
        DataError: nothing is named or recognised.
        LvtuneError: a file is missing or faulty.
    """
    if options.annotations is None and is_dataset(options.data) and not _holds_labels(str(options.data)):
        return _of_dataset(str(options.data), options, skeleton)
    parts = _coco_parts(options)
    if parts is not None:
        tables = {part: _of_coco(file, root, options, skeleton) for part, (file, root) in parts.items()}
        if options.test_annotations is None:
            return OwnLabels(tables)
        first = tables.get("all") or tables.get("train") or next(iter(tables.values()))
        return OwnLabels({"train": first, "test": _of_file(Path(options.test_annotations), options, skeleton)})
    project = _project(options)
    if project is not None:
        labels = _of_project(*project, options, skeleton)
        if options.test_annotations is None:
            return labels
        first = labels.tables.get("all") or labels.tables.get("train") or next(iter(labels.tables.values()))
        return OwnLabels({"train": first, "test": _of_file(Path(options.test_annotations), options, skeleton)})
    files = _files(options)
    if options.split_by == "project":
        raise DataError(
            f"split by project of {next(iter(files.values()))}", "a project with a split of its own",
            "leave --split-by out",
        )  # fmt: skip
    return OwnLabels({part: _of_file(file, options, skeleton) for part, file in files.items()})


def category_of(image: dict[str, Any]) -> str:
    """Returns the category of a picture or person as annotated; "default" where it has none."""
    return str(image["category"] or image["label"]).strip().replace(" ", "_") or "default"


def _project(options: DataOptions) -> tuple[Path, Path | None] | None:
    """The path of another tool's labels and the folder of their pictures; None: COCO's files are named."""
    if options.annotations is not None:
        path = Path(options.annotations)
        if path.is_file() and not _is_coco(path):
            return path, None if options.data is None else Path(options.data)
        if path.is_dir() and not any((path / f"{part}.json").is_file() for part in PARTS) and detect(path):
            return path, None if options.data is None else Path(options.data)
        return None
    if options.data is None:
        return None
    path = Path(options.data)
    inside = path / "annotations"
    return None if any((inside / f"{part}.json").is_file() for part in PARTS) else (path, None)


def _coco_parts(options: DataOptions) -> dict[str, tuple[Path, Path]] | None:
    """Part to annotation file and pictures, where ``data`` is a folder of COCO files that say their parts."""
    if options.annotations is not None or options.data is None or not Path(options.data).is_dir():
        return None
    if options.split_by == "project" or options.test_pictures:
        return None
    found = detect(Path(options.data))
    return parts_of(Path(options.data)) if found is not None and found[0] == "coco" else None


def _is_coco(path: Path) -> bool:
    """Returns True for a JSON file that COCO's reader is to have: all but labelme's and Label Studio's."""
    if path.suffix.lower() != ".json":
        return path.suffix.lower() not in (".csv", ".h5", ".hdf5", ".slp", ".xml", ".yaml", ".yml")
    with path.open("rb") as file:
        head = file.read(_PEEK).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"[") or b'"shapes"' in head:
        found = detect(path)
        return found is None or found[0] == "coco"
    return True


def _holds_labels(path: str) -> bool:
    """Returns True for a folder that is a project all the same: a table of metadata may lie in any folder."""
    return not path.startswith(SCHEME) and detect(path) is not None


def _of_dataset(source: str, options: DataOptions, skeleton: Skeleton | None) -> OwnLabels:
    """Reads a data set of the Hub, or a local one in the same form."""
    copy = read_dataset(source, skeleton)
    tables = {part: _of_coco(file, copy.pictures, options, skeleton) for part, file in copy.annotations.items()}
    for table in tables.values():
        table.notes[:0] = copy.notes
    return OwnLabels({"all": tables["train"]} if set(tables) == {"train"} else tables)


def _of_project(path: Path, pictures: Path | None, options: DataOptions, skeleton: Skeleton | None) -> OwnLabels:
    project = read_project(path, pictures)
    if options.split_by == "project" and len(project.splits) < 2:
        raise DataError(
            f"split by project of {path}, a {project.format} project without a split of its own",
            "picture, video or folder", "leave --split-by out, or say --split-by video",
        )  # fmt: skip
    own = options.split_by in ("auto", "project") and not options.test_pictures
    made = tables_of(
        project, boxes=options.missing_boxes, own_split=own, skeleton=skeleton, category_of=category_of,
        flip_pairs=options.flip_pairs, margin=options.box_margin,
    )  # fmt: skip
    if project.splits and not own:
        for table in made.tables.values():
            table.notes.append("the project has a split of its own, which is not used")
    return OwnLabels(made.tables, made.groups)


def _files(data: DataOptions) -> dict[str, Path]:
    """Part to annotation file; ``all`` is a file that is still to be split."""
    given = data.annotations
    if given is None and data.data is not None and (Path(data.data) / "annotations").is_dir():
        given = str(Path(data.data) / "annotations")
    files: dict[str, Path] = {}
    if given is not None and Path(given).is_dir():
        files = {part: Path(given) / f"{part}.json" for part in PARTS}
        files = {part: file for part, file in files.items() if file.is_file()}
        if not files:
            raise DataError(f"folder {given} without train.json, val.json or test.json", LAYOUT,
                            "name the annotation file itself")  # fmt: skip
        if set(files) == {"train"}:
            files = {"all": files["train"]}
    elif given is not None:
        files = {"all": Path(given)}
    if data.test_annotations:
        files["test"] = Path(data.test_annotations)
        if "all" in files:
            files["train"] = files.pop("all")
    if not files:
        raise DataError("own pictures without annotations", LAYOUT,
                        "give --annotations FILE.json --data FOLDER, or the folder of a project")  # fmt: skip
    return files


def _of_file(file: Path, data: DataOptions, skeleton: Skeleton | None) -> PoseTable:
    root = Path(data.data) if data.data is not None and not Path(data.data).is_file() else file.parent
    table = _of_coco(file, root, data, skeleton)
    inside = root / "images"
    if len(table) and table.column("image")[0] == f"images/{table.column('original')[0]}":
        return _of_coco(file, inside, data, skeleton)
    return table


def _of_coco(file: Path, pictures: Path, data: DataOptions, skeleton: Skeleton | None) -> PoseTable:
    """Reads one COCO file as the options say."""
    return read_coco(
        file, pictures, skeleton=skeleton, category_of=category_of, box_format=data.annotated_box_format,
        box_margin=data.box_margin, missing_boxes=data.missing_boxes, flip_pairs=data.flip_pairs,
        symlinks=data.symlinks,
    )  # fmt: skip
