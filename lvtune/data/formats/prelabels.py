"""Writes predictions as labels that a person corrects, in the files that labelling tools open.

Facts of the formats: DeepLabCut's documentation ("Standard project": labeled-data, CollectedData_SCORER), Label
Studio's ("Import pre-annotations": `predictions` of a task, per cent of the picture's size), SLEAP's sleap-io.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import user_errors, write_text
from lvtune.core.registry import suggest
from lvtune.data.formats.coco_writer import write_coco
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.labels_extra import need

SCORER, POOL = "lvtune", "next"
"""DeepLabCut's name for whoever labelled, and the folder of the pictures in labeled-data."""
_RADIUS = 0.5
"""Width of a point in Label Studio, in per cent."""


def write_prelabels(project: LabelProject, out: Path, form: str) -> tuple[Path, list[str]]:
    """Writes a project for one labelling tool, with copies of its pictures where the tool wants them beside.

    Args:
        project: predictions as labels.
        out: folder for all tools; each gets a folder of its own in it.
        form: a name in :data:`FORMS`.

    Returns:
        The folder, and notes.

    Raises:
        UsageError: no such form.
        DataError: the folder is not empty; what the form needs is not installed.
    """
    if form not in FORMS:
        known = ", ".join(FORMS)
        raise UsageError(f"pre-labels as '{form}'", f"some of {known}", suggest(form, list(FORMS), f"type {known}"))
    folder = out / form
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"output folder {folder}, which is not empty", "a new folder", "choose another --out DIR")
    return folder, FORMS[form](project, folder)


def _coco(project: LabelProject, folder: Path) -> list[str]:
    written = write_coco(project, folder, "whole")
    return list(written.notes)


def _deeplabcut(project: LabelProject, folder: Path) -> list[str]:
    """A project with one folder of pictures; the table as CSV, and as H5 where pandas and PyTables are there."""
    place = folder / "labeled-data" / POOL
    with user_errors(folder):
        place.mkdir(parents=True)
    names = _copied(project, place)
    of = _by_picture(project)
    most = max((len(found) for found in of.values()), default=1)
    people = [f"individual{i + 1}" for i in range(most)] if most > 1 else [""]
    columns = [(who, point, axis) for who in people for point in project.keypoints for axis in "xy"]
    head = [["scorer", "", "", *[SCORER] * len(columns)]]
    head += [["individuals", "", "", *(column[0] for column in columns)]] if most > 1 else []
    head += [["bodyparts", "", "", *(c[1] for c in columns)], ["coords", "", "", *(c[2] for c in columns)]]
    rows = [["labeled-data", POOL, name, *_cells(of[i], most, len(project.keypoints))] for i, name in enumerate(names)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([*head, *rows])
    write_text(place / f"CollectedData_{SCORER}.csv", text.getvalue())
    write_text(folder / "config.yaml", _config(project, people if most > 1 else []))
    return [
        f"DeepLabCut: copy {place} into your project's labeled-data, under a new name in each round; before you open "
        f"it in DeepLabCut, replace the scorer {SCORER} in the table's name and first row by yours"
    ]


def _config(project: LabelProject, people: list[str]) -> str:
    import yaml

    names = list(project.keypoints)
    values: dict[str, Any] = {"Task": POOL, "scorer": SCORER, "multianimalproject": bool(people)}
    if people:
        values |= {"individuals": people, "bodyparts": "MULTI!", "multianimalbodyparts": names, "uniquebodyparts": []}
    else:
        values["bodyparts"] = names
    values["skeleton"] = [[names[a], names[b]] for a, b in project.links]
    return yaml.safe_dump(values, sort_keys=False)


def _cells(found: list[Instance], most: int, count: int) -> list[str]:
    filled = [_numbers(item) for item in found] + [[""] * (2 * count)] * (most - len(found))
    return [cell for one in filled for cell in one]


def _numbers(item: Instance) -> list[str]:
    seen = np.repeat(item.visibility > 0, 2)
    return [f"{v:.2f}" if is_seen else "" for v, is_seen in zip(item.keypoints.reshape(-1), seen, strict=True)]


def _label_studio(project: LabelProject, folder: Path) -> list[str]:
    """tasks.json with predictions, config.xml with the labelling interface, and the pictures."""
    place = folder / "images"
    with user_errors(folder):
        place.mkdir(parents=True)
    names, of, tasks = _copied(project, place), _by_picture(project), []
    for i, (picture, name) in enumerate(zip(project.pictures, names, strict=True)):
        owners = [f"r{i}-{n}" if len(of[i]) > 1 else None for n in range(len(of[i]))]
        result = [
            one
            for item, owner in zip(of[i], owners, strict=True)
            for one in _results(item, picture, project.keypoints, owner)
        ]
        for number, one in enumerate(result):
            one["id"] = f"p{number}" if one["id"] is None else one["id"]
        address = quote(name, errors="surrogateescape")  # Label Studio decodes it
        task = {"id": i + 1, "data": {"image": f"/data/local-files/?d=images/{address}"}}
        tasks.append({**task, "predictions": [{"model_version": SCORER, "result": result}]})
    write_text(folder / "tasks.json", json.dumps(tasks, indent=1))
    write_text(folder / "config.xml", _interface(project.keypoints))
    return [
        "Label Studio: make a project with config.xml, serve this folder as local files "
        "(LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT), import tasks.json"
    ]


def _results(item: Instance, picture: Picture, names: tuple[str, ...], owner: str | None) -> list[dict[str, Any]]:
    """A rectangle for each of several instances, and the points, which say which rectangle they belong to.

    Args:
        item: the instance.
        picture: that it is in.
        names: of the key points.
        owner: id of its rectangle, which no other instance has, wherever their boxes lie; None: no rectangle.
    """
    size = np.array([picture.width, picture.height])
    about = {"from_name": "points", "to_name": "image", "original_width": picture.width,
             "original_height": picture.height, "image_rotation": 0}  # fmt: skip
    found: list[dict[str, Any]] = []
    if owner is not None:
        x, y, width, height = (float(v) for v in np.array(_box(item)) / np.tile(size, 2) * 100)
        value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["instance"]}
        found.append({**about, "id": owner, "from_name": "boxes", "type": "rectanglelabels", "value": value})
    for name, point, seen in zip(names, item.keypoints / size * 100, item.visibility, strict=True):
        if seen:
            value = {"x": float(point[0]), "y": float(point[1]), "width": _RADIUS, "keypointlabels": [name]}
            mark = {**about, "id": None, "type": "keypointlabels", "value": value}
            found.append(mark if owner is None else {**mark, "parentID": owner})
    return found


def _box(item: Instance) -> tuple[float, float, float, float]:
    """The box of an instance; around its points where none was drawn, since its points need a rectangle."""
    if item.box is not None:
        return item.box
    points = item.keypoints[item.visibility > 0]
    (x, y), (right, low) = points.min(0), points.max(0)
    return float(x), float(y), float(right - x), float(low - y)


def _interface(names: tuple[str, ...]) -> str:
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in names)
    return f"""<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="boxes" toName="image">
    <Label value="instance"/>
  </RectangleLabels>
  <KeyPointLabels name="points" toName="image" strokeWidth="3">
{labels}
  </KeyPointLabels>
</View>
"""


def _sleap(project: LabelProject, folder: Path) -> list[str]:
    """next.slp with the points as instances of a user, which SLEAP lets one drag."""
    sleap: Any = need("sleap_io", "a SLEAP file")
    with user_errors(folder):
        (folder / "images").mkdir(parents=True)
    names = _copied(project, folder / "images")
    nodes = [sleap.Node(name) for name in project.keypoints]
    skeleton = sleap.Skeleton(nodes, [sleap.Edge(nodes[a], nodes[b]) for a, b in project.links], name=POOL)
    video = sleap.Video.from_filename([str((folder / "images" / name).absolute()) for name in names])
    frames = []
    for i, found in _by_picture(project).items():
        points = [np.where(item.visibility[:, None] > 0, item.keypoints, np.nan) for item in found]
        made = [sleap.Instance.from_numpy(one, skeleton) for one in points]
        frames.append(sleap.LabeledFrame(video=video, frame_idx=i, instances=made))
    labels = sleap.Labels(frames, videos=[video], skeletons=[skeleton], provenance={"made_by": "lvtune next"})
    with user_errors(folder):
        sleap.save_slp(labels, str(folder / f"{POOL}.slp"), embed=False, verbose=False)
    return []


FORMS: dict[str, Callable[[LabelProject, Path], list[str]]] = {
    "coco": _coco, "deeplabcut": _deeplabcut, "label-studio": _label_studio, "sleap": _sleap,
}  # fmt: skip
"""Name of a form, which is that of its folder, to what writes it and returns notes."""


def _by_picture(project: LabelProject) -> dict[int, list[Instance]]:
    found: dict[int, list[Instance]] = {i: [] for i in range(len(project.pictures))}
    for item in project.instances:
        found[item.picture].append(item)
    return found


def _copied(project: LabelProject, place: Path) -> list[str]:
    """Copies the pictures under names that occur once, and returns these."""
    names = [name.replace("/", "_") for name in (picture.name for picture in project.pictures)]
    if len({name.casefold() for name in names}) < len(names):
        names = [f"{i:04d}_{name}" for i, name in enumerate(names)]
    with user_errors(place):
        for picture, name in zip(project.pictures, names, strict=True):
            shutil.copyfile(picture.path, place / name)
    return names
