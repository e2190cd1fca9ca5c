"""SLEAP's .slp and .pkg.slp, read with sleap-io; pictures are looked for by ourselves.

sleap-io resolves the names of pictures against the working folder alone, and frames hold predictions beside the
user's labels. Here the user's instances alone are taken, and pictures are found beside the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.errors import DataError
from lvtune.core.text import counted
from lvtune.data.formats.hdf5_check import check_hdf5
from lvtune.data.formats.label_project import LabelProject
from lvtune.data.formats.labels_extra import need
from lvtune.data.formats.picture_finder import PictureFinder
from lvtune.data.formats.project_builder import ProjectBuilder
from lvtune.data.formats.sleap_frames import FrameSource, source_of
from lvtune.data.formats.tool_registry import FORMATS, LabelFormat

TOOL = "SLEAP"


def _entry(path: Path) -> Path | None:
    """The labels file: the path itself, or the only one in a folder.

    Raises:
        DataError: a folder with several, since SLEAP saves versions beside each other.
    """
    if path.is_file():
        return path if path.suffix.lower() == ".slp" else None
    files = sorted(path.glob("*.slp"))
    if len(files) > 1:
        raise DataError(
            f"{path} with {len(files)} labels files ({', '.join(file.name for file in files[:4])})", "one of them",
            f"name it: {files[-1]}",
        )  # fmt: skip
    return files[0] if files else None


def _read(entry: Path, more: Sequence[Path] = ()) -> LabelProject:
    sleap_io = need("sleap_io", f"SLEAP's {entry.name}")
    check_hdf5(entry, "labels that SLEAP saved", "save them again")
    try:
        labels = sleap_io.load_slp(str(entry), open_videos=False)
        user_made = _user_instances(entry)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{entry}: {type(error).__name__}: {reason}", "labels that SLEAP saved", "save them again"
        ) from (error)
    skeleton = _skeleton(labels, entry)
    names = list(skeleton.node_names)
    builder = ProjectBuilder(TOOL, entry.parent, names, PictureFinder([entry.parent, *more]))
    sources = {id(video): source_of(video, entry, builder.finder) for video in labels.videos}
    read = _add_frames(builder, labels, sources, names)
    if read != user_made:
        raise DataError(
            f"{entry} with {user_made} instances that a user labelled, of which {read} could be read",
            "every instance", "update sleap-io: pip install -U sleap-io",
        )  # fmt: skip
    builder.notes += [note for source in sources.values() for note in source.notes()]
    pairs = {(min(int(a), int(b)), max(int(a), int(b))) for a, b in skeleton.symmetry_inds}
    return builder.finish(
        links=[(int(a), int(b)) for a, b in skeleton.edge_inds], flip_pairs=sorted(pairs) if pairs else None
    )


def _user_instances(entry: Path) -> int:
    """How many instances of users the file holds, counted without sleap-io's reader."""
    h5py = need("h5py", f"SLEAP's {entry.name}")
    with h5py.File(entry, "r") as file:
        return int((file["instances"]["instance_type"] == 0).sum()) if len(file["instances"]) else 0


def _skeleton(labels: Any, entry: Path) -> Any:
    """The one skeleton of the labels.

    Raises:
        DataError: none, or several of different key points that are all used.
    """
    used = Counter(id(item.skeleton) for frame in labels for item in frame.user_instances)
    skeletons = [one for one in labels.skeletons if used[id(one)]] or list(labels.skeletons)
    kinds = {tuple(one.node_names) for one in skeletons}
    if len(kinds) != 1:
        listing = "; ".join(", ".join(kind) for kind in sorted(kinds)) or "none"
        raise DataError(f"{entry} with {len(kinds)} skeletons ({listing})", "one skeleton", "split the labels in SLEAP")
    return skeletons[0]


def _add_frames(
    builder: ProjectBuilder, labels: Any, sources: dict[int, FrameSource], names: Sequence[str]
) -> int:  # fmt: skip
    """Adds frames that a user labelled; returns how many instances of users there were."""
    predicted = hidden = read = empty = 0
    frames = sorted(labels, key=lambda frame: (labels.videos.index(frame.video), frame.frame_idx))
    for source in sources.values():
        source.prepare([int(f.frame_idx) for f in frames if sources[id(f.video)] is source and f.user_instances])
    for frame in frames:
        mine = list(frame.user_instances)
        if not mine:
            predicted += bool(len(frame.instances))
            empty += not len(frame.instances)
            continue
        source = sources[id(frame.video)]
        file = source.picture(int(frame.frame_idx))
        place = builder.picture(source.label(int(frame.frame_idx)), path=file, group=source.group)
        for item in mine:
            order = [item.skeleton.node_names.index(name) for name in names]
            placed, seen = np.asarray(item.numpy(invisible_as_nan=False))[order], np.asarray(item.numpy())[order]
            visible = np.isfinite(seen).all(1)
            hidden += int((np.isfinite(placed).all(1) & ~visible).sum())
            track = item.track.name if item.track is not None else ""
            builder.add(place, seen, np.where(visible, 2, 0), individual=track)
            read += 1
    if predicted:
        builder.notes.append(f"{counted(predicted, 'frame holds', 'frames hold')} predictions alone: left out")
    if empty:
        builder.notes.append(f"{counted(empty, 'frame')} marked as labelled without an instance: left out")
    if hidden:
        points = counted(hidden, "point is", "points are")
        builder.notes.append(f"{points} marked as not visible in SLEAP: read as not labelled, as SLEAP does")
    return read


FORMATS.register("sleap")(LabelFormat(TOOL, "a .slp or .pkg.slp file, or a folder with one", _entry, _read))
