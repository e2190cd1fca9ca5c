"""DeepLabCut's table of a video: a row a frame, and with several animals a group of columns for each.

Layout: DeepLabCut's documentation, "Working with the output" (deeplabcut.github.io); rows are named by frame number.
"""

from __future__ import annotations

import numpy as np

from lvtune.prediction.finished_run import FinishedRun
from lvtune.prediction.pose_rows import DLC_CSV, write_dlc_table

_MOST_CELLS = 2**27  # 1 GB


def write_dlc_of_video(run: FinishedRun) -> list[str]:
    """Writes ``dlc_poses.csv`` and ``dlc_poses.h5``; an animal has the columns ``individual<its track>``.

    Cells of a frame in which an animal was not seen are empty. The table is made in memory.

    Returns:
        Notes for the user.
    """
    frames: list[int] = []
    ids: set[int] = set()
    for result in run.results():
        frames.append(result.frame.index if result.frame.number is None else result.frame.number)
        ids |= set(_ids(result))
    names, order = run.keypoints, {one: place for place, one in enumerate(sorted(ids))}
    wide = 3 * len(names)
    if len(frames) * max(1, len(order)) * wide > _MOST_CELLS:
        return [
            f"{DLC_CSV} is not written: a table of {len(frames)} frames and {len(order)} animals is too large; "
            "give --individuals N, or a part of the video"
        ]
    table = np.full((len(frames), max(1, len(order)), wide), np.nan)
    place_of = {name: 3 * place for place, name in enumerate(names)}
    for row, result in enumerate(run.results()):
        for one, pose in zip(_ids(result), result, strict=True):
            for name, (x, y), score in zip(pose.skeleton.keypoints, pose.keypoints, pose.scores, strict=True):
                start = place_of[name]
                table[row, order[one], start : start + 3] = np.round([x, y, score], 4)
    individuals = [f"individual{one}" for one in order] if len(order) > 1 else [""]
    return write_dlc_table(individuals, names, frames, table.reshape(len(frames), -1), run.folder)[1]


def _ids(result: list) -> list[int]:
    """Tracks of the poses of a frame; places in the frame where nobody tracked."""
    return [place if pose.track is None else pose.track for place, pose in enumerate(result, 1)]
