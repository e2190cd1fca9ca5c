"""The results of a finished run, and the formats in which they can be written.

A format is a function from a :class:`FinishedRun` to notes for the user; :func:`register_format` adds one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvtune.core.registry import Registry
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import FramePoses, Pose
from lvtune.prediction.pose_rows import PLAIN, PoseRow


@dataclass(frozen=True)
class FinishedRun:
    """What the files are written from."""

    folder: Path
    """Existing output folder."""
    results: Callable[[], Iterable[FramePoses]]
    """Reads all results again, frame by frame, without pixels."""
    skeletons: Sequence[Skeleton]
    """That poses may have."""
    image_id: Callable[[Frame], int]
    """COCO's image id of a frame."""
    is_video: bool = False
    """True if frames have numbers and times."""

    def poses(self) -> Iterator[tuple[Frame, Pose]]:
        """All poses with their frames, in order."""
        return ((result.frame, pose) for result in self.results() for pose in result)

    def rows(self) -> Iterator[PoseRow]:
        """All poses as rows of tables, in order."""
        return (self.row(frame, pose) for frame, pose in self.poses())

    def row(self, frame: Frame, pose: Pose) -> PoseRow:
        """One pose as a row."""
        return PoseRow(
            self.path_of(frame), pose.bbox, pose.box_score, pose.skeleton.keypoints, pose.keypoints, pose.scores,
            self.image_id(frame), pose.category, pose.adapter or None, frame=pose.frame, time=pose.time,
            track=pose.track,
        )  # fmt: skip

    def path_of(self, frame: Frame) -> str:
        """The frame's path from the output folder, as other tools look for it; made-up names stay as they are."""
        path = Path(frame.image)
        return _from_folder(path, self.folder) if path.exists() else frame.image

    @property
    def keypoints(self) -> list[str]:
        """Names of all key points that poses may have."""
        return list(dict.fromkeys(name for skeleton in self.skeletons for name in skeleton.keypoints))


Writer = Callable[[FinishedRun], list[str]]
FORMATS: Registry[Writer] = Registry("format", "lvtune predict --help")
"""Writers of result files; ``plain`` is always written."""
register_format = FORMATS.register


def formats_of(layout: str) -> list[str]:
    """Returns the formats that a word such as ``dlc`` or ``dlc,plain`` names, ``plain`` first.

    Raises:
        UsageError: no such format.
    """
    names = [name.strip() for name in layout.split(",") if name.strip()]
    for name in names:
        FORMATS.get(name)
    return list(dict.fromkeys([PLAIN, *names]))


def _from_folder(picture: Path, folder: Path) -> str:
    """The picture's path from the output folder; absolute on another drive."""
    try:
        return Path(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return picture.absolute().as_posix()
