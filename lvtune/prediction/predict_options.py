"""The options of ``predict`` and ``predict_stream``; light, so that the command line's help needs no libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.data.hand_space import HandSpace
from lvtune.prediction.box_choice import BoxChoice
from lvtune.prediction.video_options import VideoOptions

MAX_PIXELS = 200_000_000
RANKER = "openai/clip-vit-base-patch32"


@dataclass(frozen=True)
class DrawOptions:
    """What is drawn over the pictures beside the skeletons."""

    box: bool = False
    """The box of each pose."""
    ids: bool = False
    """The number of each pose in its picture, or of its track, and its mean score."""
    heatmaps: bool = False
    """Where the estimator sees key points, as a coloured overlay."""
    threshold: float = 0.2
    """Key points with a lower score are not drawn."""


@dataclass(frozen=True)
class PredictOptions:
    """How pictures and videos are predicted."""

    base: Any = "vitpose-ti"
    """A name, a base or a plain VitPose."""
    adapter: Any = None
    """Attached meanwhile: a folder, a Hub id, or an adapter; several in a list, or by name in a dict. None: whatever is
    attached already."""
    route: Any = None
    """The adapter of each picture: ``auto``, a :class:`lvtune.Gate` or :class:`lvtune.Auto`, or a name; None: ``auto``
    where there are several."""
    threshold: float = 0.0
    """Of the route ``auto``, see :class:`lvtune.Gate` and :class:`lvtune.Auto`."""
    find: Any = None
    """Who finds the persons or animals: ``whole``, a box file, ``detector``, words such as ``a mouse``, or ``pose``; or
    a :class:`lvtune.prediction.finder.Finder`. None: ``boxes``, or ``whole``."""
    most: int | None = None
    """Persons or animals in a picture that ``pose`` looks for at most; None: the video's individuals, or 1."""
    detector: str | None = None
    """Model of ``detector`` or of words: a Hub id or a folder."""
    boxes: Any = None
    """A box file, or a dict from picture to boxes; see :func:`lvtune.prediction.picture_boxes.read_boxes`."""
    box_choice: BoxChoice | None = None
    """Which boxes are used."""
    detector_threshold: float | None = None
    """Boxes of ``detector`` or of words with a lower score are left out; None: 0.3, with words 0.2."""
    category: str | None = None
    """Category whose sentence the adapter reads; ``auto``, the one that CLIP finds to fit each picture best; None or
    ``mean``: the mean of its sentences."""
    ranker: str | None = None
    """CLIP or SigLIP for ``auto``, a Hub id or a folder; named, it chooses the adapters too, in place of their gates.
    None: the usual one, where it is needed."""
    out: str | Path | None = None
    """Folder for the results; it may hold no input. None: nothing is written."""
    layout: str = "plain"
    """Files that are written; ``dlc``: DeepLabCut's table too."""
    resume: bool = False
    """Continue the interrupted run in ``out``."""
    drawings: bool = True
    """Draw the poses over the pictures, in ``out``."""
    draw: DrawOptions = DrawOptions()
    """What is drawn."""
    weights: str = "pretrained"
    """See :class:`lvtune.Recipe`."""
    flip_test: bool = True
    """Average with the mirrored picture."""
    batch_size: int = 32
    """Crops in a forward pass, and pictures at a time."""
    device: str = "auto"
    """See :class:`lvtune.Recipe`."""
    space: HandSpace | None = None
    """Which hands they are, how large, and seen by what camera; None: right ones, in lengths of a bone."""
    min_score: float | None = None
    """Key points with a lower score are left out: their x and y are not numbers. None: none is."""
    calibration: Any = "auto"
    """What turns the maxima of heatmaps into probabilities. ``auto``: an adapter's own calibration; where the base
    answers alone, the one that ships with it. ``none``: nothing; a file of ``lvtune evaluate --save-calibration``: it,
    where the base answers alone."""
    max_pixels: int = MAX_PIXELS
    """Pictures with more pixels are refused."""
    workers: int = 2
    """Threads that decode pictures."""
    video: VideoOptions = field(default_factory=VideoOptions)
    """Of a video: which frames, tracks, smoothing, the overlay."""
    progress: bool = False
    """Print the progress on stderr."""


def make_options(values: Mapping[str, Any]) -> PredictOptions:
    """Returns the options that a caller named.

    Raises:
        UsageError: no such option.
    """
    known = [one.name for one in fields(PredictOptions)]
    for name in values:
        if name not in known:
            raise UsageError(f"option '{name}' of predict", f"one of {', '.join(known)}",
                             suggest(name, known, "leave it out"))  # fmt: skip
    return PredictOptions(**values)
