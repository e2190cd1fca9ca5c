"""CVAT's XML export "for images" 1.1: skeletons, or points of one name each, and boxes.

A point that is `outside` carries x and y all the same: it is not labelled. One that is `occluded` is labelled and
hidden. CVAT's COCO export is read as COCO. Facts of the format: CVAT's documentation, "CVAT for images".
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted_kinds
from lvtune.data.formats.grouping import Mark, instances_of
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.project_builder import Odd, ProjectBuilder
from lvtune.data.formats.safe_xml import parse_xml, peek_root
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "CVAT"
Element = ElementTree.Element


def _entry(path: Path) -> Path | None:
    files = [path / "annotations.xml", *sorted(path.glob("*.xml"))] if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() == ".xml" and file.is_file()]
    return next((file for file in files if peek_root(file) == "annotations"), None)


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    root = parse_xml(entry)
    images = root.findall("image")
    if not images and root.find("track") is not None:
        raise DataError(
            f"{entry}, an export of {TOOL} for video", "the export for images, with its pictures",
            'export again as "CVAT for images 1.1" and save images',
        )  # fmt: skip
    names, links = _skeleton(root)
    builder = ProjectBuilder(TOOL, entry.parent, names, PictureFinder([entry.parent, *more]))
    odd: Odd = Counter()
    parts: dict[str, list[int]] = {}
    total = 0
    for image in images:
        name = image.get("name", "")
        folders = name.replace("\\", "/").split("/")[:-1]
        size = (int(float(image.get("width", 0))), int(float(image.get("height", 0))))
        subset = image.get("subset", "")
        place = _picture(builder, name, subset, size, folders[-1] if folders else "")
        if place is not None:
            parts.setdefault(_PARTS.get(subset.lower(), ""), []).append(place)
        total += _add(builder, place, image, odd)
    builder.expect_points(total, entry)
    builder.notes += counted_kinds(odd)
    own = "" not in parts and len(parts) > 1
    return builder.finish(links=links, splits=parts if own else {})


_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def _picture(builder: ProjectBuilder, name: str, subset: str, size: tuple[int, int], group: str) -> int | None:
    """Adds the picture; its export puts it into images/, and those of a subset into images/SUBSET/."""
    for folder in (f"images/{subset}/", "images/", ""):
        path = builder.root / f"{folder}{name}"
        if path.is_file():
            return builder.picture(name, path=path, size=size, group=group)
    return builder.picture(name, size=size, group=group)


def _skeleton(root: Element) -> tuple[list[str], list[tuple[int, int]]]:
    """Names of the key points in the order of the project, and links."""
    used = list(dict.fromkeys(point.get("label", "") for point in root.iter("points")))
    for label in root.iter("label"):
        if label.findtext("type") != "skeleton":
            continue
        mine = label.findtext("name", "")
        inside = [sub.findtext("name", "") for sub in label.iter("label") if sub is not label]
        beside = [sub.findtext("name", "") for sub in root.iter("label") if sub.findtext("parent") == mine]
        svg = html.unescape(label.findtext("svg") or "")
        drawn = _drawn(svg)
        names = inside or beside or list(drawn.values())
        if set(used) <= set(names):
            return names, _links(svg, drawn, names)
    listed = [label.findtext("name", "") for label in root.iter("label") if label.findtext("type") == "points"]
    return [name for name in listed if name in used] or used, []


def _attributes(tag: str) -> dict[str, str]:
    return dict(re.findall(r'([\w-]+)\s*=\s*"([^"]*)"', tag))


def _drawn(svg: str) -> dict[str, str]:
    """Number of a node in the drawing of the skeleton to the name of its key point."""
    nodes = [_attributes(tag) for tag in re.findall(r"<circle\b[^>]*>", svg)]
    return {node.get("data-node-id", ""): node["data-label-name"] for node in nodes if "data-label-name" in node}


def _links(svg: str, drawn: dict[str, str], names: Sequence[str]) -> list[tuple[int, int]]:
    lines = [_attributes(tag) for tag in re.findall(r"<line\b[^>]*>", svg)]
    ends = [(drawn.get(line.get("data-node-from", "")), drawn.get(line.get("data-node-to", ""))) for line in lines]
    return [(names.index(a), names.index(b)) for a, b in ends if a in names and b in names]


def _add(builder: ProjectBuilder, place: int | None, image: Element, odd: Odd) -> int:
    """Adds the instances of a picture; returns how many labelled points it holds."""
    boxes = [(box, _box(box)) for box in image.findall("box")]
    skeletons = image.findall("skeleton")
    total = 0
    for skeleton in skeletons:
        points = np.full((len(builder.keypoints), 2), np.nan)
        seen = np.zeros(len(builder.keypoints), np.int64)
        for point in skeleton.findall("points"):
            where = builder.keypoints.index(point.get("label", ""))
            points[where], seen[where] = _coordinates(point)[0], _visibility(point)
        labelled = int((seen > 0).sum())
        total += labelled
        if not labelled:
            odd["skeleton", "with every point outside: left out"] += 1
            continue
        box = _box_of(skeleton, skeletons, boxes)
        builder.add(place, points, seen, category=skeleton.get("label", ""), box=box)
    loose = image.findall("points")
    if not skeletons:
        total += _add_loose(builder, place, image, loose, odd)
    else:
        odd["point", "beside skeletons: left out"] += len(loose)
    return total


def _coordinates(point: Element) -> np.ndarray:
    """(n, 2) of x1,y1;x2,y2."""
    pairs = [pair.split(",") for pair in point.get("points", "").split(";")]
    return np.array([[float(x), float(y)] for x, y in pairs])


def _visibility(point: Element) -> int:
    if point.get("outside") == "1":
        return 0
    return 1 if point.get("occluded") == "1" else 2


def _box(box: Element) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(box.get(name, "nan")) for name in ("xtl", "ytl", "xbr", "ybr"))
    return x0, y0, x1 - x0, y1 - y0


def _box_of(
    skeleton: Element, skeletons: Sequence[Element], boxes: Sequence[tuple[Element, tuple[float, float, float, float]]]
) -> tuple[float, float, float, float] | None:
    """The drawn box of a skeleton: that of its group, or the only one where there is one skeleton."""
    group = skeleton.get("group_id")
    same = [corners for box, corners in boxes if group and box.get("group_id") == group]
    if not same and len(skeletons) == 1 and len(boxes) == 1:
        same = [boxes[0][1]]
    return same[0] if len(same) == 1 else None


def _add_loose(
    builder: ProjectBuilder, place: int | None, image: Element, points: Sequence[Element], odd: Odd
) -> int:  # fmt: skip
    """Adds instances of points that belong to no skeleton; a group is an instance."""
    total = 0
    kept = [point for point in points if len(_coordinates(point)) == 1]
    odd["shape", "of several points without names: left out"] += len(points) - len(kept)
    boxes = image.findall("box")
    for group in dict.fromkeys(item.get("group_id") for item in [*kept, *boxes]):
        mine = [p for p in kept if p.get("group_id") == group]
        marks = [
            Mark(f"p{n}", p.get("label", ""), _coordinates(p), True, _visibility(p))
            for n, p in enumerate(mine)
            if _visibility(p)
        ]
        for n, box in enumerate(b for b in boxes if b.get("group_id") == group):
            x, y, width, height = _box(box)
            marks.append(Mark(f"b{n}", box.get("label", ""), np.array([[x, y], [x + width, y + height]]), False))
        for found in instances_of(marks, {}, builder.keypoints, f"picture {image.get('name')} of {TOOL}"):
            if not found.points:
                continue
            if not found.is_sure:
                odd["point", "in no box or in several: left out"] += len(found.points)
                continue
            total += len(found.points)
            xy, seen = found.arrays(builder.keypoints)
            builder.add(place, xy, seen, category=found.label, box=found.box)
    return total


FORMATS.register("cvat")(LabelFormat(TOOL, 'annotations.xml, its export "for images"', _entry, _read))
