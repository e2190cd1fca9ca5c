"""SLEAP's .slp file of predictions, written with sleap-io: instances with scores, and tracks in a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.core.files import user_errors
from lvtune.data.formats.labels_extra import need
from lvtune.data.skeletons import Skeleton
from lvtune.prediction.finished_run import FinishedRun, register_format
from lvtune.prediction.pose import Pose

SLEAP_FILE = "poses.slp"


@register_format("sleap")
def write_sleap(run: FinishedRun) -> list[str]:
    """Writes ``poses.slp``, which is made in memory; frames without a pose are left out, as SLEAP does.

    Returns:
        Notes for the user.

    Raises:
        DataError: sleap-io is not installed.
    """
    sleap: Any = need("sleap_io", f"a SLEAP file ({SLEAP_FILE})")
    skeletons = {one.name: _skeleton(sleap, one) for one in run.skeletons}
    tracks: dict[int, Any] = {}
    results = [(result.frame, list(result)) for result in run.results()]
    video, places = _video(sleap, run, [frame for frame, _ in results])
    labeled = []
    for (_, poses), place in zip(results, places, strict=True):
        for pose in poses:
            if pose.track is not None and pose.track not in tracks:
                tracks[pose.track] = sleap.Track(f"individual{pose.track}")
        found = [_instance(sleap, pose, skeletons[pose.skeleton.name], tracks) for pose in poses]
        if found:
            labeled.append(sleap.LabeledFrame(video=video, frame_idx=place, instances=found))
    used = {pose.skeleton.name for _, poses in results for pose in poses} or set(list(skeletons)[:1])
    labels = sleap.Labels(
        labeled, videos=[video], skeletons=[one for name, one in skeletons.items() if name in used],
        tracks=[tracks[number] for number in sorted(tracks)], provenance={"made_by": "lvtune predict"},
    )  # fmt: skip
    path = run.folder / SLEAP_FILE
    draft = path.with_name(f".{path.stem}.part.slp")
    with user_errors(path):
        try:
            sleap.save_slp(labels, str(draft), embed=False, verbose=False)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return []


def _skeleton(sleap: Any, skeleton: Skeleton) -> Any:
    nodes = [sleap.Node(name) for name in skeleton.keypoints]
    pairs = [(i, j) for i, j in enumerate(skeleton.flip_index) if i < j] if skeleton.mirrors else []
    return sleap.Skeleton(
        nodes, [sleap.Edge(nodes[a], nodes[b]) for a, b in skeleton.links],
        [sleap.Symmetry({nodes[a], nodes[b]}) for a, b in pairs], name=skeleton.name,
    )  # fmt: skip


def _video(sleap: Any, run: FinishedRun, frames: Sequence[Any]) -> tuple[Any, list[int]]:
    """The video, or the list of pictures that SLEAP takes for one; and each frame's place in it."""
    if run.is_video and frames:
        # SLEAP looks from the working folder, not from the file's
        return sleap.Video(str(Path(frames[0].image).absolute()), open_backend=False), [
            frame.index if frame.number is None else frame.number for frame in frames
        ]
    files = [Path(frame.image) for frame in frames]
    names = [str(file.absolute()) if file.exists() else str(file) for file in files]
    # from_filename notes that it is a list of pictures; a file without that note cannot be opened again
    return sleap.Video.from_filename(names, open_backend=False), list(range(len(frames)))


def _instance(sleap: Any, pose: Pose, skeleton: Any, tracks: dict[int, Any]) -> Any:
    return sleap.PredictedInstance.from_numpy(
        np.asarray(pose.keypoints, float), skeleton, np.asarray(pose.scores, float),
        score=float(pose.box_score * np.mean(pose.scores)), track=None if pose.track is None else tracks[pose.track],
    )  # fmt: skip
