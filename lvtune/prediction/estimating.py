"""Finds and predicts the frames of a chunk: the adapter of each frame, its boxes, its poses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.adapters.flip_test import takes_flip_test
from lvtune.core.errors import UsageError
from lvtune.evaluation.calibration import calibration_of
from lvtune.evaluation.choosing import choose
from lvtune.hub.adapter_loading import open_adapter
from lvtune.patcher.attaching import acting, attach
from lvtune.patcher.gate import Choice
from lvtune.patcher.merging import is_mergeable, merge
from lvtune.prediction.estimator import HeatmapWatch, Prediction, Watch, predict_frames
from lvtune.prediction.pose import FramePoses, Pose
from lvtune.prediction.pose_confidence import confidence_notes
from lvtune.prediction.predict_options import RANKER
from lvtune.prediction.routed import Router, is_several, open_router
from lvtune.storage.base_calibration import NONE, base_calibration, calibration_for

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.evaluation.calibration import Calibration
    from lvtune.prediction.finder import Finder, Found
    from lvtune.prediction.frames import Frame
    from lvtune.prediction.predict_options import PredictOptions


NOT_CHOSEN = Choice("", None, {})
"""Where no router chooses."""


@dataclass
class Estimating:
    """The base with its adapter or adapters, and how they predict."""

    base: Base
    options: PredictOptions
    single: Any
    """The adapter of all frames, to be attached; None: what is attached already, or a router chooses."""
    shown: Any
    """The adapter that acts if no router chooses; None: the bare base."""
    router: Router | None
    watches: list[Watch] = field(default_factory=list)
    heatmaps: HeatmapWatch | None = None
    alone: Calibration | None = None
    """Of the base where it answers without an adapter; None: its scores stay as they are."""
    _ways: dict[str | None, Prediction] = field(default_factory=dict)

    @property
    def skeleton(self) -> Skeleton:
        """Of the adapter that acts, or of the base where a router chooses."""
        return self.base.skeleton if self.shown is None else self.shown.skeleton

    @property
    def adapters(self) -> list[Any]:
        """All that may act."""
        if self.router is not None:
            return list(self.router.adapters.values())
        return [] if self.shown is None else [self.shown]

    @property
    def skeletons(self) -> dict[str, Skeleton]:
        """Skeletons that poses may have, by name."""
        return {one.name: one for one in (self.base.skeleton, *(adapter.skeleton for adapter in self.adapters))}

    def merge(self) -> None:
        """Writes the adapter into a copy of the base where one sentence serves all frames.

        The poses are the same up to rounding, and the adapter costs no time. Where it cannot be merged, nothing is
        done. The base itself is let go of; so this is for a base that nobody else has.
        """
        rule, one = self._way("", self.shown).category, self.single
        if one is None or not (rule is None or isinstance(rule, str)) or not is_mergeable(one, self.base):
            return
        with contextlib.suppress(UsageError):  # such as weights that overflow a base in half precision
            self.base = merge(self.base, one, category=rule).base
            self.single = None

    def run(self, frames: Sequence[Frame], finder: Finder) -> list[FramePoses]:
        """Returns the poses of each frame; all have pixels."""
        if not frames:
            return []
        pictures = [frame.pixels for frame in frames if frame.pixels is not None]
        chosen = [NOT_CHOSEN] * len(frames) if self.router is None else self.router.choose(self.base, pictures)
        names, sure = [one.name for one in chosen], {f.index: one.sure for f, one in zip(frames, chosen, strict=True)}
        found: dict[int, tuple[list[Pose], Found]] = {}
        for name in dict.fromkeys(names):
            group = [frame for frame, own in zip(frames, names, strict=True) if own == name]
            with self._under(name) as on:
                for frame, (poses, boxes) in zip(group, self._look(name, on, group, finder), strict=True):
                    found[frame.index] = [replace(pose, adapter=name, sure=sure[frame.index]) for pose in poses], boxes
        return [
            FramePoses(
                frame, found[frame.index][0], marks=found[frame.index][1].marks,
                heatmaps=[] if self.heatmaps is None else self.heatmaps.take(frame.index),
            )
            for frame in frames
        ]  # fmt: skip

    def _look(
        self, name: str | None, on: Any, frames: Sequence[Frame], finder: Finder
    ) -> list[tuple[list[Pose], Found]]:
        how = self._way(name, on)
        silent = replace(how, watches=())

        def look(some: Sequence[Frame], boxes: Sequence[Found]) -> list[list[Pose]]:
            return predict_frames(self.base, some, boxes, silent)

        found = finder.find(frames, look)
        known = [boxes.poses for boxes in found]
        if self.heatmaps is None and all(poses is not None for poses in known):
            return [(list(boxes.poses or ()), boxes) for boxes in found]
        return list(zip(predict_frames(self.base, frames, found, how), found, strict=True))

    def _way(self, name: str | None, on: Any) -> Prediction:
        """How frames are predicted under one adapter."""
        if name not in self._ways:
            options = self.options
            # of several adapters, some may read no sentences
            reads = self.router is None or (on is not None and on.bank is not None)
            rule = choose(
                options.category if reads else None, on, ranker=options.ranker or RANKER, device=self.base.device
            )
            skeleton = self.base.skeleton if on is None else on.skeleton
            space, flip_test = options.space, options.flip_test and takes_flip_test(on)
            assert space is not None
            watches = (*self.watches, *([] if self.heatmaps is None else [self.heatmaps]))
            self._ways[name] = Prediction(
                skeleton, rule, flip_test, space, options.batch_size, self._calibration(on), watches
            )
        return self._ways[name]

    def _calibration(self, on: Any) -> Calibration | None:
        """Of the adapter ``on``, or of the base alone."""
        if on is None:
            return self.alone
        return None if str(self.options.calibration) == NONE else calibration_of(on)

    def notes(self) -> list[str]:
        """Says what the scores of the poses so far are."""
        given = self.options.adapter
        named = str(given) if isinstance(given, str | Path) else "the adapter"
        used = {
            (named if self.shown is not None else self.base.name) if name == "" else name or self.base.name: how
            for name, how in self._ways.items()
        }
        notes = confidence_notes({name: how.calibration for name, how in used.items()}, self.options.min_score)
        off = [name for name, how in used.items() if self.options.flip_test and not how.flip_test]
        why = "tuned or scored without mirrored pictures, so the flip test is off"
        return [*notes, *([f"{', '.join(off)}: {why}"] if off else [])]

    @contextlib.contextmanager
    def _under(self, name: str | None) -> Iterator[Any]:
        """Makes an adapter the active one; outside, the base is as the caller has it."""
        if self.router is not None:
            with self.router.under(self.base, name) as on:
                yield on
        elif self.single is not None:
            with attach(self.base, self.single, name="predicting"):
                yield self.single
        else:
            yield self.shown


def open_estimating(base: Base, options: PredictOptions) -> Estimating:
    """Opens the adapter or adapters of a run.

    Raises:
        LvtuneError: an adapter that is missing, damaged or of another base; no such route or category.
    """
    if options.route is None and not is_several(options.adapter):
        single: Any = open_adapter(options.adapter, base)
        shown = acting(base) if single is None else single
        found = calibration_for(base, shown, options.calibration)
        estimating = Estimating(base, options, single, shown, None, alone=None if shown is not None else found)
        estimating._way("", shown)  # a category that does not exist is told before the first picture
        return estimating
    router = open_router(options.route, options.adapter, base, ranker=options.ranker, threshold=options.threshold)
    return Estimating(base, options, None, None, router, alone=base_calibration(base, options.calibration))
