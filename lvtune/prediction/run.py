"""One run of ``predict``: opens what it needs, yields results chunk after chunk, writes files at the end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lvtune.bases.base import Base, as_base
from lvtune.core.errors import DataError, UsageError
from lvtune.core.files import write_text
from lvtune.core.version import __version__
from lvtune.data.hand_space import HandSpace
from lvtune.hub.adapter_loading import load_base_for
from lvtune.prediction.box_choice import WHOLE
from lvtune.prediction.drawings import Drawings
from lvtune.prediction.estimating import Estimating, open_estimating
from lvtune.prediction.estimator import HeatmapWatch
from lvtune.prediction.finder import Finder
from lvtune.prediction.finder_choice import FinderNeeds, open_finder
from lvtune.prediction.finished_run import FORMATS, FinishedRun, formats_of
from lvtune.prediction.frames import Source
from lvtune.prediction.journal import Journal
from lvtune.prediction.open_source import open_source
from lvtune.prediction.pose import FramePoses
from lvtune.prediction.pose_confidence import check_least, count_unsure, without_unsure
from lvtune.prediction.pose_files import POSES_FILE, SUMMARY_FILE, image_ids, targets_of
from lvtune.prediction.predict_options import PredictOptions
from lvtune.prediction.progress_line import ProgressLine
from lvtune.prediction.stream import Sink, Stage, Stream
from lvtune.prediction.tracking import Tracking
from lvtune.prediction.video_results import check_video_options, overlay_of, smoothed, tracking_of
from lvtune.prediction.watching import RunTotals, whole_frame_notes
from lvtune.storage.output_folder import check_output, drawing_paths, make_folder
from lvtune.training.engine import resolve_device

MANY = 64
"""Pictures for which it pays to write the adapter into the base's weights first."""


@dataclass
class PredictRun:
    """Everything that one run needs; iterate over it once."""

    options: PredictOptions
    source: Source
    estimating: Estimating
    finder: Finder
    stream: Stream
    totals: RunTotals
    journal: Journal | None = None
    tracking: Tracking | None = None
    sinks: list[Sink] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was decided and left out; complete at the end of the run."""
    unsure: int = 0
    """Key points that were left out as unsure."""

    def __iter__(self) -> Iterator[FramePoses]:
        """Yields the results of frame after frame, first those that a resumed run has done, without pixels."""
        start = 0 if self.journal is None else self.journal.done
        with self._closing(), ProgressLine(self.source.count(), start, self.options.progress) as progress:
            for result in self._done():
                yield self._shown(result)
            if self.journal is None or not self.journal.is_complete:
                for chunk in self.stream.chunks(start):
                    self._keep(chunk)
                    progress.update(len(chunk))
                    yield from map(self._shown, chunk)
            self._finish()

    def _done(self) -> Iterator[FramePoses]:
        """Opens the journal, and yields what a resumed run has done."""
        if self.journal is None:
            return
        self.journal.begin()
        if self.journal.done:
            for result in self.journal.results():
                self.stream.replay([result])
                yield result

    def _shown(self, result: FramePoses) -> FramePoses:
        """Leaves out and counts unsure key points; the journal has them all."""
        self.unsure += count_unsure(result, self.options.min_score)
        return without_unsure(result, self.options.min_score)

    def _keep(self, chunk: list[FramePoses]) -> None:
        for result in chunk:
            for sink in self.sinks:
                sink.write(without_unsure(result, self.options.min_score))
        if self.journal is not None:
            self.journal.write(chunk)  # after the drawings: what the journal has, the sinks have

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        complete = False
        try:
            yield
            complete = True
        finally:
            for sink in self.sinks:
                sink.close(complete)
            if self.journal is not None:
                self.journal.close()
                if not complete and self.totals.broken and not self.totals.readable:
                    self.journal.path.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self.totals.broken and not self.totals.readable:
            name, fault = self.totals.broken[0]
            raise DataError(
                fault if self.totals.pictures == 1 else f"{self.totals.pictures} pictures, none of which can be read "
                f"(the first: {fault})", "a picture that can be read", f"open {name} in a viewer",
            )  # fmt: skip
        before = whole_frame_notes(self.estimating.adapters) if self.finder.name == WHOLE else []
        ahead = [*self.source.notes, *self.finder.notes, *self.finder.final_notes(), *before]
        tracks = [] if self.tracking is None else self.tracking.notes()
        least = self.options.min_score
        left = [f"{self.unsure} key points with a score below {least:g} are left out"] if self.unsure else []
        sure = self.estimating.notes()
        self.notes[:] = [*ahead, *self.totals.notes(), *self.notes, *tracks, *sure, *left]
        if self.journal is not None:
            self.notes += write_files(self)


def write_files(run: PredictRun) -> list[str]:
    """Writes the files of a finished run; returns notes for the user."""
    journal, options = run.journal, run.options
    assert journal is not None and options.out is not None
    journal.finish()
    is_video = run.source.is_sequence
    choose_id, notes = image_ids(run.source.pictures, run.finder.image_ids(), is_video)
    smooth, more = smoothed(journal.results, options.video) if is_video else (journal.results, [])

    def results() -> Iterator[FramePoses]:
        return (without_unsure(result, options.min_score) for result in smooth())

    finished = FinishedRun(Path(options.out), results, list(journal.skeletons.values()), choose_id, is_video)
    for name in formats_of(options.layout):
        notes += FORMATS.get(name)(finished)
    notes += more + (overlay_of(run.source, finished, options) if is_video else [])
    totals = run.totals
    summary = {
        "pictures": totals.pictures, "poses": totals.poses, "without_pose": totals.without_pose,
        "broken": [{"picture": name, "fault": fault} for name, fault in totals.broken],
        "notes": [*run.notes, *notes], "run": journal.run,
    }  # fmt: skip
    write_text(finished.folder / SUMMARY_FILE, json.dumps(summary, indent=1))
    return notes


def open_run(images: Any, options: PredictOptions) -> PredictRun:
    """Opens everything that a run needs; what can be wrong beforehand is told here.

    Args:
        images: see :func:`lvtune.prediction.open_source.open_source`.
        options: of the run.

    Raises:
        LvtuneError: no such picture; boxes that do not fit; an output that would overwrite an input; a model that
            cannot be had.
    """
    if options.category in ("own", "shuffled"):
        raise UsageError(f"category '{options.category}' for pictures without annotations",
                         "a category, auto or mean", "give --category auto")  # fmt: skip
    formats_of(options.layout)
    check_least(options.min_score)
    if options.resume and options.out is None:
        raise UsageError(
            "--resume without an output folder", "the folder of the run that was interrupted", "give --out"
        )
    options = replace(options, space=options.space or HandSpace())
    source = open_source(images, options, POSES_FILE)
    check_video_options(source, options)
    paths = drawing_paths(source.relative)
    if options.out is not None:
        folder = Path(options.out)
        drawings = [folder / path for path in paths.values()] if options.drawings else []
        check_output(folder, [*drawings, *targets_of(folder)], pictures=source.input_files)
    given: Any = options.base
    view = load_base_for(options.adapter, given, options.weights) if isinstance(given, str) else as_base(given)
    view.model.to(resolve_device(options.device))
    estimating = open_estimating(view, options)
    if isinstance(given, str) and (source.is_sequence or (source.count() or 0) >= MANY):
        estimating.merge()
    if options.draw.heatmaps:
        estimating.heatmaps = HeatmapWatch()
    finder = open_finder(
        FinderNeeds(options, source, estimating.skeleton, estimating.adapters, view.device, view.task == "hand3d")
    )
    totals = RunTotals(estimating.adapters, finder.name, most=getattr(finder, "most", 1))
    tracking = tracking_of(source, options.video)
    stages: list[Stage] = [totals] if tracking is None else [tracking, totals]
    stream = Stream(source, finder, lambda frames: estimating.run(frames, finder), options.batch_size, stages)
    run = PredictRun(options, source, estimating, finder, stream, totals, tracking=tracking)
    if options.out is not None:
        run.journal = _open_journal(run, view, make_folder(Path(options.out)))
        run.sinks += (
            [Drawings(Path(options.out), paths, options.draw)] if options.drawings and not source.is_sequence else []
        )
    return run


def _open_journal(run: PredictRun, base: Base, folder: Path) -> Journal:
    options = run.options
    settings = {
        "lvtune": __version__, "source": run.source.identity(), "find": run.finder.identity(), "base": base.name,
        "adapter": _mark(options.adapter), "route": None if options.route is None else str(options.route),
        "category": options.category, "flip_test": options.flip_test, "batch_size": options.batch_size,
        "input_size": list(base.input_size), "device": str(base.device),
        "calibration": str(options.calibration),
        **({"tracks": asdict(run.tracking.options)} if run.tracking is not None else {}),
    }  # fmt: skip
    journal = Journal(folder, settings, run.estimating.skeletons)
    if options.resume:
        journal.look()
        return journal
    left = journal.unfinished()
    if left:
        again = (
            f"an unfinished run in {folder} ({left} pictures done) was started again from its beginning; "
            f"--resume continues such a run"
        )
        run.notes.append(again)
    return journal


def _mark(adapter: Any) -> Any:
    """What tells one adapter from another in the journal."""
    if isinstance(adapter, str | Path) or adapter is None:
        return None if adapter is None else str(adapter)
    if isinstance(adapter, list | tuple):
        return [_mark(one) for one in adapter]
    return {str(name): _mark(one) for name, one in adapter.items()} if isinstance(adapter, dict) else "given"
