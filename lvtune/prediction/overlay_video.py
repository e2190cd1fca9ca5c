"""Draws the results of a finished run into its video, in a second pass over the frames.

A video file cannot be gone on with after a kill, results can: so the overlay is made of the results alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lvtune.core.text import counted, plural
from lvtune.prediction.hand_results import draw_all
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.predict_options import DrawOptions
from lvtune.prediction.video_source import VideoSource
from lvtune.viz.video_writer import VideoWriter

OVERLAY_FILE = "overlay.mp4"


def write_overlay(source: VideoSource, results: Iterable[FramePoses], folder: Path, how: DrawOptions) -> list[str]:
    """Writes ``overlay.mp4``: every frame that was predicted, at its time, with its poses.

    Args:
        source: of the run.
        results: of every frame, in order.
        folder: existing output folder.
        how: what is drawn.

    Returns:
        Notes for the user.

    Raises:
        LvtuneError: the file cannot be written.
    """
    writer = VideoWriter(folder / OVERLAY_FILE, source.info.rate / source.range.every, source.info.pixel_aspect)
    try:
        for frame, result in zip(source.frames(), results, strict=False):
            if frame.pixels is None or frame.time is None:
                continue
            # a plot of a hand in space would change the frame's size
            flat = [replace(pose, xyz=None) for pose in result]
            drawn = draw_all(frame.pixels, flat, how, ()) if flat else frame.pixels
            writer.write(drawn, frame.time)
        writer.close()
    finally:
        writer.discard()
    resized = (
        f"{counted(writer.resized, 'frame')} whose size differs from that of the first frame "
        f"{plural(writer.resized, 'was', 'were')} resized to it in {OVERLAY_FILE}"
    )
    notes = ["heatmaps are drawn over pictures only"] if how.heatmaps else []
    return notes + ([resized] if writer.resized else [])
