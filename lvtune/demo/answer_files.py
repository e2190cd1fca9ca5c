"""The files that a visitor may download, in a folder of his own that each answer of his replaces."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lvtune.prediction.finished_run import FinishedRun
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.pose_files import POSES_FILE, write_plain
from lvtune.prediction.pose_rows import CSV_FILE


@dataclass(frozen=True)
class AnswerFiles:
    """What can be downloaded; the formats are those of ``lvtune predict``."""

    json: Path
    csv: Path


def write_answer(results: Sequence[FramePoses], folder: Path, *, is_video: bool = False) -> AnswerFiles:
    """Writes ``poses.json`` and ``poses.csv``.

    Args:
        results: frame by frame.
        folder: existing folder.
        is_video: whether the CSV gets columns for frame, time and track.
    """
    skeletons = {pose.skeleton.name: pose.skeleton for result in results for pose in result}
    run = FinishedRun(folder, lambda: results, list(skeletons.values()), lambda frame: frame.index + 1, is_video)
    write_plain(run)
    return AnswerFiles(folder / POSES_FILE, folder / CSV_FILE)


class VisitorFolders:
    """One folder for each visitor, below a folder that is deleted when the page ends.

    Args:
        root: existing folder.
        seconds: after which files of a visitor who has gone are deleted.
    """

    def __init__(self, root: Path, seconds: float = 1800.0) -> None:
        self._root, self._seconds = root, seconds

    def fresh(self, visitor: str, kind: str) -> Path:
        """Returns an empty folder in place of the visitor's last one of this kind."""
        folder = self._of(visitor) / kind
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def forget(self, visitor: str) -> None:
        """Deletes all files of a visitor."""
        shutil.rmtree(self._of(visitor), ignore_errors=True)

    def _of(self, visitor: str) -> Path:
        # what names a visitor comes from his browser: no path may be made of it
        return self._root / hashlib.sha256(visitor.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def sweep(self) -> None:
        """Deletes what is too old, whoever's it is."""
        for folder in self._root.iterdir():
            with contextlib.suppress(OSError):  # another thread has deleted it
                if time.time() - max(one.stat().st_mtime for one in (folder, *folder.rglob("*"))) > self._seconds:
                    shutil.rmtree(folder, ignore_errors=True)
