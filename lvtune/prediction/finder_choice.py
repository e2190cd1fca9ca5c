"""Makes the finder that a user names: ``whole``, a box file, ``detector``, words, ``pose``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.prediction.box_choice import WHOLE
from lvtune.prediction.box_file_finder import box_file_finder
from lvtune.prediction.finder import Finder
from lvtune.prediction.watching import tuned_share, whole_frame_notes

if TYPE_CHECKING:
    from lvtune.data.skeletons import Skeleton
    from lvtune.prediction.frames import Source
    from lvtune.prediction.predict_options import PredictOptions


@dataclass(frozen=True)
class FinderNeeds:
    """What a finder may need to know of the run."""

    options: PredictOptions
    source: Source
    skeleton: Skeleton
    adapters: list[Any]
    """That may act."""
    device: Any
    is_hand: bool = False
    """True for joints of hands in space, which have no heatmaps to compare."""


Maker = Callable[[FinderNeeds], Finder]


def _whole_finder(needs: FinderNeeds) -> Finder:
    from lvtune.prediction.crowd import WatchfulWholeFinder

    fits = not whole_frame_notes(needs.adapters) and not needs.is_hand
    return WatchfulWholeFinder(needs.source.count(), fits)


def _pose_finder(needs: FinderNeeds) -> Finder:
    from lvtune.prediction.pose_finder import PoseFinder

    shares = [share for adapter in needs.adapters if (share := tuned_share(adapter)) is not None]
    most = needs.options.most or needs.options.video.individuals or 1
    return PoseFinder(min(shares, default=None), most, needs.source.is_sequence)


def _detector_finder(needs: FinderNeeds) -> Finder:
    from lvtune.prediction.detector_finder import detector_finder
    from lvtune.prediction.detector_models import THRESHOLD

    options = needs.options
    wanted = None if options.box_choice is None else options.box_choice.box_class
    threshold = THRESHOLD if options.detector_threshold is None else options.detector_threshold
    return detector_finder(options.detector, wanted, threshold, needs.skeleton, needs.device)


def _word_finder(needs: FinderNeeds) -> Finder:
    from lvtune.prediction.detector_models import WORD_THRESHOLD
    from lvtune.prediction.word_finder import word_finder

    options = needs.options
    threshold = WORD_THRESHOLD if options.detector_threshold is None else options.detector_threshold
    return word_finder(str(options.find), options.detector, threshold, needs.adapters, needs.device)


MAKERS: dict[str, Maker] = {
    WHOLE: _whole_finder, "pose": _pose_finder, "detector": _detector_finder, "words": _word_finder,
}  # fmt: skip
"""Word to the function that makes the finder; box files and words are told apart from these."""


def open_finder(needs: FinderNeeds) -> Finder:
    """Returns the finder that the options name.

    Raises:
        LvtuneError: no such file; a model that cannot be had; two ways at once.
    """
    options = needs.options
    given, boxes = options.find, options.boxes
    if given is not None and boxes is not None and boxes != WHOLE:
        raise UsageError(f"--find {given} and --boxes {boxes}", "one of them", "leave --boxes out")
    given = boxes if given is None else given
    given = WHOLE if given is None else given
    if isinstance(given, Finder):
        return given
    if isinstance(given, str) and given in MAKERS:
        return MAKERS[given](needs)
    if not isinstance(given, str) or _is_file(given) or options.find is None:
        return box_file_finder(given, needs.source, needs.skeleton, options.box_choice)
    meant = difflib.get_close_matches(given.strip().lower(), list(MAKERS), n=1, cutoff=0.7)
    if not given.strip() or meant:
        raise UsageError(
            f"--find '{given}'", f"one of {', '.join(MAKERS)}, a box file, or words such as \"a mouse\"",
            suggest(given, list(MAKERS), "give --find pose"),
        )  # fmt: skip
    return _word_finder(needs)


def _is_file(text: str) -> bool:
    return Path(text).is_file() or Path(text).suffix.lower() == ".json"
