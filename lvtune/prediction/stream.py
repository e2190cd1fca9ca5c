"""Predicts the frames of a source one chunk after the other; what is held at a time is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lvtune.prediction.finder import Finder
from lvtune.prediction.frames import Frame, Source
from lvtune.prediction.pose import FramePoses, Pose

_PIXELS = 2**26
"""Pixels of the frames of a chunk, 200 MB; the last frame may exceed it."""

Estimate = Callable[[Sequence[Frame]], list[FramePoses]]
"""Finds and predicts frames that follow each other, all with pixels."""


class Stage(Protocol):
    """Changes the results of each frame, in order, such as a tracker that numbers the poses."""

    def process(self, result: FramePoses) -> FramePoses:
        """Returns the result of the next frame, changed."""
        ...

    def replay(self, result: FramePoses) -> None:
        """Is told a result that an earlier run has processed, in order, when that run is resumed.

        Afterwards the stage must be as if it had processed the frame itself.
        """
        ...


class Sink(Protocol):
    """Takes the results of each frame, in order, with its pixels, such as drawn pictures or a video."""

    def write(self, result: FramePoses) -> None:
        """Takes the result of the next frame."""
        ...

    def close(self, complete: bool) -> None:
        """Is called at the end; ``complete`` is False where the run was broken off."""
        ...


@dataclass
class Stream:
    """Chunks of frames and what is done with each.

    A chunk depends on its first frame alone, so a run that goes on at a chunk's first frame makes the same chunks.
    """

    source: Source
    finder: Finder
    estimate: Estimate
    at_once: int
    """Most frames in a chunk."""
    stages: list[Stage] = field(default_factory=list)

    def replay(self, results: Iterable[FramePoses]) -> None:
        """Brings finder and stages to the state after frames that an earlier run has done."""
        for result in results:
            self.finder.observe(result.frame, result)
            for stage in self.stages:
                stage.replay(result)

    def chunks(self, start: int = 0) -> Iterator[list[FramePoses]]:
        """Yields the results of chunk after chunk, from frame ``start`` on."""
        frames = self.source.frames(start, self.finder.wants)
        most = min(self.at_once, self.finder.at_once or self.at_once)
        for chunk in _chunks(frames, most):
            yield self._run(chunk)

    def _run(self, chunk: list[Frame]) -> list[FramePoses]:
        found = iter(self.estimate([frame for frame in chunk if frame.pixels is not None]))
        results = [FramePoses(frame) if frame.pixels is None else next(found) for frame in chunk]
        for result in results:
            self.finder.observe(result.frame, result)
        for stage in self.stages:
            results = [stage.process(result) for result in results]
        return results


def _chunks(frames: Iterator[Frame], most: int) -> Iterator[list[Frame]]:
    chunk: list[Frame] = []
    pixels = 0
    for frame in frames:
        chunk.append(frame)
        pixels += 0 if frame.pixels is None else frame.pixels.shape[0] * frame.pixels.shape[1]
        if len(chunk) >= most or pixels >= _PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def poses_of(results: Iterable[FramePoses]) -> list[Pose]:
    """Returns the poses of some results in one list."""
    return [pose for result in results for pose in result]
