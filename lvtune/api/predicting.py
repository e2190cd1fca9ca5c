"""Predicts the key points of pictures that nobody annotated: all at once, or as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lvtune.prediction.pose import FramePoses, Poses
from lvtune.prediction.predict_options import make_options
from lvtune.prediction.run import PredictRun, open_run


def predict(images: Any, **options: Any) -> Poses:
    """Predicts the key points of every instance in pictures.

    Args:
        images: a picture, a folder or a pattern such as ``frames/*.jpg``; a numpy array (H, W, 3) uint8 RGB or a PIL
            picture; several of these; a data set.
        options: see :class:`lvtune.prediction.predict_options.PredictOptions`: ``base``, ``adapter``, ``find``,
            ``out``, ``flip_test``, ``batch_size``, ``device``, ...

    Returns:
        A list of :class:`Pose` in the order of the pictures, with ``notes``: what was decided and left out.

    Raises:
        LvtuneError: no such picture, none that can be read, boxes that do not fit, an output that would overwrite an
            input.
    """
    run = open_run(images, make_options(options))
    found = Poses()
    for result in run:
        found += result
        found.pictures += result.pictures
        found.sizes |= result.sizes
    found.notes = run.notes
    found.image_ids = dict(run.finder.image_ids())
    return found


class PoseStream:
    """The poses of picture after picture, as :func:`predict_stream` gives them; ``notes`` are complete at its end."""

    def __init__(self, run: PredictRun) -> None:
        self._run, self._results = run, iter(run)

    def __iter__(self) -> Iterator[FramePoses]:
        return self

    def __next__(self) -> FramePoses:
        return next(self._results)

    @property
    def notes(self) -> list[str]:
        """What was decided and left out, one sentence each."""
        return self._run.notes

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        """Pictures that cannot be read, and why, so far."""
        return [(Path(name), fault) for name, fault in self._run.totals.broken]

    @property
    def count(self) -> int | None:
        """The number of pictures; None where nobody knows."""
        return self._run.source.count()


def predict_stream(images: Any, **options: Any) -> PoseStream:
    """Predicts picture after picture; memory does not grow with their number.

    ``for poses in predict_stream("frames"):`` gives the poses of one picture at a time, a list of :class:`Pose` with
    ``frame``: its pixels, its name and, in a video, its number and time. What is wrong with the call is raised at once;
    with ``out`` the files are complete when the last picture was given.

    Args:
        images: as for :func:`predict`.
        options: as for :func:`predict`.

    Raises:
        LvtuneError: as :func:`predict`.
    """
    return PoseStream(open_run(images, make_options(options)))
