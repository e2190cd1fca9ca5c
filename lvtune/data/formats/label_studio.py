"""Label Studio's JSON export: key points and rectangles in per cent of the picture.

Facts of the format: Label Studio's documentation, "Label Studio JSON format of annotated tasks". Points belong to a
rectangle by `parentID` or by a relation. A picture that was turned while labelling (`image_rotation`) is turned in the
view alone: the numbers are of the picture as it is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted_kinds
from lvtune.data.formats.address_finder import AddressFinder
from lvtune.data.formats.grouping import Mark, instances_of
from lvtune.data.formats.json_files import json_in, load, peek
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PICTURE_SUFFIXES
from lvtune.data.formats.project_builder import Odd, ProjectBuilder
from lvtune.data.formats.safe_xml import parse_xml
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "Label Studio"
_LABELS = ("keypointlabels", "rectanglelabels", "labels")


def _is_export(values: Any) -> bool:
    tasks = values if isinstance(values, list) else []
    return bool(tasks) and all(isinstance(t, dict) for t in tasks[:20]) and any(
        isinstance(task.get("annotations", task.get("completions")), list) and "data" in task for task in tasks[:20]
    )  # fmt: skip


def _is_short(values: Any) -> bool:
    """Returns True for the export JSON-MIN, which drops what ties points to rectangles."""
    return isinstance(values, list) and any(
        isinstance(task, dict) and isinstance(value, list) and any("keypointlabels" in v for v in value if v)
        for task in values[:20]
        for value in (task.values() if isinstance(task, dict) else ())
    )


def _entry(path: Path) -> Path | None:
    files = json_in(path) if path.is_dir() else [path]
    for file in files[:50]:
        values = peek(file)
        if _is_export(values):
            return file
        if _is_short(values):
            raise DataError(
                f"{file}, an export of {TOOL} as JSON-MIN", "the export as JSON, which ties points to rectangles",
                "export again and choose JSON",
            )  # fmt: skip
    return None


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    tasks = [task for task in load(entry) if isinstance(task, dict)]
    chosen = [(task, *_annotation(task)) for task in tasks]
    results = [result for _, result, _ in chosen]
    names, notes = _names(entry.parent, results)
    finder = AddressFinder([entry.parent, *more])
    builder = ProjectBuilder(TOOL, entry.parent, names, finder)
    builder.notes += [*notes, *finder.learn(_picture(task, result) for task, result, _ in chosen if result)]
    odd: Odd = Counter()
    total = 0
    for task, result, count in chosen:
        odd["picture", "with annotations of several people: the last one that was not cancelled counts"] += count > 1
        if not result:
            odd["task", "without an annotation: left out"] += 1
            continue
        name = _picture(task, result)
        group = "" if "/" not in name else name.split("/")[-2]
        place = builder.picture(name, group=group)
        total += _add(builder, place, name, result, odd)
    builder.expect_points(total, entry)
    builder.notes += counted_kinds(odd)
    return builder.finish()


def _annotation(task: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The results of the annotation that counts, and how many annotations there are."""
    made = [a for a in task.get("annotations", task.get("completions")) or () if isinstance(a, dict)]
    kept = [a for a in made if not a.get("was_cancelled") and a.get("result")]
    truth = [a for a in kept if a.get("ground_truth")]
    last = (truth or kept)[-1:]
    return [r for a in last for r in a["result"] if isinstance(r, dict)], len(kept)


def _label(result: Mapping[str, Any]) -> str:
    value = result.get("value") or {}
    found = next((value[key] for key in _LABELS if value.get(key)), [""])
    return str(found[0] if isinstance(found, list) else found)


def _is_point(result: Mapping[str, Any]) -> bool:
    return str(result.get("type", "")).startswith("keypoint")


def _names(folder: Path, results: Iterable[list[dict[str, Any]]]) -> tuple[list[str], list[str]]:
    """Names of the key points: in the order of the labelling interface where it lies beside, else as they appear."""
    used = list(dict.fromkeys(_label(r) for one in results for r in one if _is_point(r) and _label(r)))
    for file in sorted(folder.glob("*.xml")):
        names = [
            label.get("value", "") for group in parse_xml(file).iter("KeyPointLabels") for label in group.iter("Label")
        ]
        if names and set(used) <= set(names):
            return names, []
    note = (
        "the export does not hold the order of the key points: they stand in the order in which they first appear "
        "(save the labelling interface as config.xml beside the export to fix it)"
    )
    return used, [note] if used else []


def _picture(task: Mapping[str, Any], result: list[dict[str, Any]]) -> str:
    """The path or URL of a task's picture."""
    data = {key: value for key, value in (task.get("data") or {}).items() if isinstance(value, str)}
    wanted = {str(one.get("to_name")) for one in result}
    pictures = {
        k: v for k, v in data.items() if v.split("?d=")[-1].partition("?")[0].lower().endswith(PICTURE_SUFFIXES)
    }
    for key in (*wanted, "image", "img", *pictures, *data):
        if key in (pictures or data):
            return (pictures or data)[key]
    return f"task {task.get('id')}"


def _add(
    builder: ProjectBuilder, place: int | None, name: str, result: list[dict[str, Any]], odd: Odd
) -> int:  # fmt: skip
    """Adds the instances of one picture; returns how many points it holds."""
    size = (100, 100) if place is None else builder.size(place)
    odd["picture", "turned while labelling: points are read for the stored picture"] += any(
        one.get("image_rotation") for one in result
    )
    marks = [mark for one in result if (mark := _mark(one, size, odd)) is not None]
    ties = {str(one["id"]): str(one["parentID"]) for one in result if one.get("id") and one.get("parentID")}
    for one in result:
        if one.get("type") == "relation":
            ends = str(one.get("from_id")), str(one.get("to_id"))
            ties |= {ends[0]: ends[1]} if ends[0] not in ties else {ends[1]: ends[0]}
    points = sum(mark.is_point for mark in marks)
    left = 0
    for found in instances_of(marks, ties, builder.keypoints, f"picture {name} of {TOOL}"):
        if found.owner is None and not found.is_sure:
            left += len(found.points)
            continue
        if not found.points:
            odd["rectangle", "without a point: left out"] += 1
            continue
        xy, seen = found.arrays(builder.keypoints)
        builder.add(place, xy, seen, category=found.label, box=found.box)
    odd["point", "in no rectangle or in several, and tied to none: left out"] += left
    return points - left


def _mark(result: Mapping[str, Any], size: tuple[int, int], odd: Odd) -> Mark | None:
    """A point or rectangle in pixels."""
    value, label = result.get("value") or {}, _label(result)
    if "x" not in value or "y" not in value:
        return None
    x, y = float(value["x"]) * size[0] / 100, float(value["y"]) * size[1] / 100
    number = str(result.get("id"))
    if _is_point(result):
        if not label:
            odd["point", "without a name: left out"] += 1
            return None
        return Mark(number, label, np.array([[x, y]]), is_point=True)
    if not str(result.get("type", "")).startswith("rectangle"):
        return None
    width, height = float(value["width"]) * size[0] / 100, float(value["height"]) * size[1] / 100
    angle = np.deg2rad(float(value.get("rotation") or 0))
    along, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corner = np.array([x, y])
    corners = [corner, corner + width * along, corner + height * down, corner + width * along + height * down]
    return Mark(number, label, np.array(corners), is_point=False)


FORMATS.register("label-studio")(
    LabelFormat(TOOL, "its export as JSON: tasks with annotations and result", _entry, _read)
)
