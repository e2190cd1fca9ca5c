"""Predicts a visitor's short video, and draws the poses into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.predicting import predict_stream
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.text import counted, plural
from lvtune.data.video_frames import is_video
from lvtune.demo.answer_files import AnswerFiles, write_answer
from lvtune.demo.picture_answer import without_folder
from lvtune.demo.questions import POSE, WHOLE, Limits, Question, category_for
from lvtune.prediction.overlay_video import OVERLAY_FILE, write_overlay
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.predict_options import DrawOptions
from lvtune.prediction.video_options import VideoOptions
from lvtune.prediction.video_source import VideoSource

if TYPE_CHECKING:
    from lvtune.demo.shared_bases import SharedBase
    from lvtune.demo.visitor import Visitor

HEAD = ("no.", "key point", "mean confidence", "least", "frames")


@dataclass(frozen=True)
class VideoAnswer:
    """What the page shows of one video."""

    overlay: Path
    """The video with the poses drawn in."""
    caption: str
    table: dict[str, list[Any]]
    """``headers`` and ``data``: a row for each key point of each track."""
    notes: list[str]
    files: AnswerFiles


def answer_video(
    shared: SharedBase,
    visitor: Visitor,
    path: str | None,
    question: Question,
    folder: Path,
    limits: Limits,
    told: Callable[[int, int | None], None] = lambda done, count: None,
) -> VideoAnswer:
    """Predicts an uploaded video up to the limit of its length.

    Args:
        shared, visitor, path, question, folder, limits: as for :func:`lvtune.demo.picture_answer.answer_picture`.
        told: is called with the number of frames that are done, and that of all, None where nobody knows.

    Raises:
        LvtuneError: no video, or one that cannot be read; PyAV is not installed; nobody found.
    """
    if not path:
        raise UsageError("no video", "a short video", "upload one")
    if not is_video(Path(path)):
        raise UsageError(f"{Path(path).name}, which is not a video", "a video such as .mp4", "upload another file")
    if question.find not in (WHOLE, POSE):
        raise UsageError("boxes drawn by hand for a video", f"{WHOLE} or {POSE}", "choose one of these")
    try:
        return _answer(shared, visitor, Path(path), question, folder, limits, told)
    except LvtuneError as error:
        raise without_folder(error, path) from None


def _answer(
    shared: SharedBase, visitor: Visitor, path: Path, question: Question, folder: Path, limits: Limits,
    told: Callable[[int, int | None], None],
) -> VideoAnswer:  # fmt: skip
    most = max(1, int(question.most)) if question.find == POSE else 1
    range_ = VideoOptions(stop=f"{limits.seconds:g}", every=max(1, int(question.every)), individuals=most)
    source = VideoSource(path, range_, limits.pixels)
    category = category_for(shared, visitor.acting, question.category)
    results: list[FramePoses] = []
    with shared.under(visitor.acting):
        stream = predict_stream(source, base=shared.view, find=question.find, category=category, video=range_,
                                max_pixels=limits.pixels, device=str(shared.view.device))  # fmt: skip
        for result in stream:
            results.append(_named(result, path.name, visitor.acting))
            told(len(results), stream.count)
    if not any(results):
        raise UsageError(
            f"{path.name}, in which no person or animal was found", "a person or an animal", "choose whole pictures"
        )
    files = write_answer(results, folder, is_video=True)
    drawn_notes = write_overlay(VideoSource(path, range_, limits.pixels), results, folder, DrawOptions(ids=most > 1))
    length = source.info.seconds
    cut = [] if length is None or length <= limits.seconds else [
        f"The first {limits.seconds:g} of {length:.1f} seconds were predicted (lvtune demo --seconds)."]  # fmt: skip
    who = visitor.acting or f"{shared.title} alone"
    posed = sum(map(bool, results))
    notes = [
        *cut,
        f"{posed} of {counted(len(results), 'frame')} {plural(posed, 'has', 'have')} a pose.",
        *stream.notes,
        *drawn_notes,
    ]
    return VideoAnswer(
        folder / OVERLAY_FILE, f"Poses by {who}.", {"headers": [*HEAD], "data": _rows(results)}, notes, files
    )


def _named(result: FramePoses, name: str, adapter: str | None) -> FramePoses:
    """The result without its pixels, under the name that the visitor gave the video."""
    poses = [replace(pose, image=name, adapter=adapter) for pose in result]
    frame = replace(result.frame, pixels=None, known_size=result.frame.size, file=name)
    return FramePoses(frame, poses)


def _rows(results: Sequence[FramePoses]) -> list[list[str | int | float]]:
    scores: dict[tuple[int, str], list[float]] = defaultdict(list)
    for result in results:
        for place, pose in enumerate(result):
            for name, score in zip(pose.skeleton.keypoints, pose.scores, strict=True):
                scores[pose.track or place + 1, name].append(float(score))
    rows = sorted(scores.items(), key=lambda item: item[0][0])  # names stay in the order of the skeleton
    return [
        [number, name, round(float(np.mean(some)), 2), round(min(some), 2), len(some)] for (number, name), some in rows
    ]
