"""What is done with the results of a video: tracks while they come; smoothing and the overlay at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.prediction.finished_run import FinishedRun
from lvtune.prediction.frames import Source
from lvtune.prediction.overlay_video import write_overlay
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.predict_options import PredictOptions
from lvtune.prediction.tracking import SURE, Tracking
from lvtune.prediction.video_options import VideoOptions
from lvtune.prediction.video_source import VideoSource
from lvtune.tracks.smoothing import smooth, unsuitable
from lvtune.tracks.tracker import TrackOptions

Results = Callable[[], Iterable[FramePoses]]


def check_video_options(source: Source, options: PredictOptions) -> None:
    """Raises an error for options of videos with pictures, and for smoothing that would have no effect.

    Raises:
        UsageError: see above.
    """
    video, plain = options.video, VideoOptions()
    if not source.is_sequence:
        names = {"start": "from", "stop": "to"}
        given = [
            names.get(name, name.replace("_", "-"))
            for name in vars(plain)
            if getattr(video, name) != getattr(plain, name)
        ]
        if given:
            raise UsageError(f"--{given[0]} for {source.title}", "a video", f"leave --{given[0]} out")
    if video.smooth != plain.smooth and options.out is None:
        raise UsageError("smoothing without an output folder", "a folder for the files that are smoothed", "give --out")


def tracking_of(source: Source, video: VideoOptions) -> Tracking | None:
    """Returns the stage that numbers poses; None: pictures, or not wanted."""
    if not (source.is_sequence and video.track):
        return None
    return Tracking(TrackOptions(video.max_gap, individuals=video.individuals))


def overlay_of(source: Source, finished: FinishedRun, options: PredictOptions) -> list[str]:
    """Writes the overlay video, where it is wanted; returns notes."""
    if not (options.drawings and options.video.overlay and isinstance(source, VideoSource)):
        return []
    return write_overlay(source, finished.results(), finished.folder, options.draw)


def smoothed(results: Results, video: VideoOptions) -> tuple[Results, list[str]]:
    """Returns the results with each key point of each track smoothed in time, and notes for the user.

    A key point that is not sure (score below 0.2) is a gap: it stays as it is.
    """
    if video.smooth == "none":
        return results, []
    paths = _Paths(results, video)
    said = (
        f"key points are smoothed in time ({video.smooth}) in the files; --smooth none writes them as they "
        f"were predicted"
    )
    return paths.results, [said, *paths.notes]


class _Paths:
    """The key points of all tracks, smoothed; held in memory as float32."""

    def __init__(self, results: Results, video: VideoOptions) -> None:
        self._results = results
        self.notes: list[str] = []
        rows: dict[tuple[int, str], list[tuple[int, float, np.ndarray]]] = {}
        for result in results():
            for place, pose in enumerate(result):
                key = (place if pose.track is None else pose.track, pose.skeleton.name)
                sure = np.where((pose.peaks >= SURE)[:, None], pose.keypoints, np.nan).astype(np.float32)
                rows.setdefault(key, []).append((_number(result), _time(result), sure))
        self._paths: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        for key, path in rows.items():
            frames, times = np.array([row[0] for row in path]), np.array([row[1] for row in path])
            places = np.stack([row[2] for row in path])
            for point in range(places.shape[1]):
                places[:, point] = smooth(times, places[:, point], frames, video.smooth, video.every)
            self._paths[key] = frames, places
            self.notes += [
                note
                for note in unsuitable(np.diff(times)[np.diff(frames) == video.every], video.smooth)
                if note not in self.notes
            ]

    def results(self) -> Iterator[FramePoses]:
        """All results with the smoothed key points."""
        for result in self._results():
            poses = []
            for place, pose in enumerate(result):
                frames, places = self._paths[place if pose.track is None else pose.track, pose.skeleton.name]
                new = places[int(np.searchsorted(frames, _number(result)))].astype(float)
                poses.append(replace(pose, keypoints=np.where(np.isfinite(new), new, pose.keypoints)))
            yield FramePoses(result.frame, poses, marks=result.marks)


def _number(result: FramePoses) -> int:
    return result.frame.index if result.frame.number is None else result.frame.number


def _time(result: FramePoses) -> float:
    return float(result.frame.index) if result.frame.time is None else result.frame.time
