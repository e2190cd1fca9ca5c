"""The main job: recipe -> base -> adapter -> patcher -> loop -> adapter file -> scores -> report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.data_check import check_labels, require_sound_splits
from lvtune.api.earlier_scores import EarlierScores, chain_values
from lvtune.api.few_shot import FewShotGuard
from lvtune.api.grow_choice import KeptPoints
from lvtune.api.held_out import PROGRESS_FILE, held_out_watch
from lvtune.api.job import Job, prepare
from lvtune.api.keep_first_run import CHECKPOINTS_FIRST, part_of_minutes
from lvtune.api.memory import MemoryMeter
from lvtune.api.new_rows import NewRows
from lvtune.api.recipe import Recipe
from lvtune.api.recipe_inputs import recipe_files
from lvtune.api.reliance import Reliance
from lvtune.api.report_values import values_of
from lvtune.api.resuming import check_resume
from lvtune.api.run_files import write_run
from lvtune.api.run_marks import marks_of, run_key
from lvtune.api.run_tracking import NoTracker, tracker_of
from lvtune.api.saved_facts import keep_last_good, training_of
from lvtune.api.scoring import Scoring
from lvtune.api.second_part import CHECKPOINT_2, first_minutes, tune_second
from lvtune.api.source_guard import SourceGuard
from lvtune.api.start_choice import WarmStartCheck
from lvtune.api.tuning_lines import tuned_on
from lvtune.api.unlabelled_guard import UnlabelledGuard
from lvtune.bases.fingerprint import fingerprint, fingerprints
from lvtune.core.processes import apart, from_main, is_main, main_first, together
from lvtune.core.text import one_line
from lvtune.data.jpeg_damage import damaged_pictures
from lvtune.patcher.attaching import attach
from lvtune.storage.adapter_file import CONFIG_FILE, TENSORS_FILE
from lvtune.storage.output_folder import check_output, input_folders
from lvtune.storage.run_folder import REPORT_FILES, swapped_in
from lvtune.storage.run_lock import run_lock
from lvtune.storage.store import save_adapter
from lvtune.training.loop import History, tune
from lvtune.training.step_guard import NotFiniteError

if TYPE_CHECKING:
    from lvtune.api.score_cache import ScoreCache

Say = Callable[[str], None]
"""Called with a short sentence on what is being done."""

CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINTS = (CHECKPOINT_FILE, *CHECKPOINTS_FIRST, CHECKPOINT_2)


@dataclass
class AdaptReport:
    """What :func:`adapt` did; :meth:`to_dict` is ``report.json``."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns ``source``, ``target``, ``gap_closed``, ``retention``, ``adapter``, ``base``, ``seconds`` ..."""
        return self.values


def adapt(
    recipe: Recipe | dict[str, Any] | None = None,
    *,
    say: Say = lambda text: None,
    known: ScoreCache | None = None,
) -> AdaptReport:
    """Tunes an adapter, saves it, scores it on target and source, restores the base and writes the report.

    Every picture is looked at before anything is computed. The adapter is saved as soon as it is tuned, before it is
    scored; a checkpoint is removed last, when all is written. The processes of a launch (``accelerate launch``,
    ``torchrun``) share the pictures of each step and the scoring; the first one speaks and writes.

    Args:
        recipe: a :class:`lvtune.Recipe`, its dictionary, or None for the default job.
        say: called with what is being done, for a progress line.
        known: results of earlier runs on this base and domain; see :class:`lvtune.api.score_cache.ScoreCache`.

    Raises:
        LvtuneError: anything in the recipe that does not exist or does not fit; pictures that are missing or broken;
            a folder that cannot be written or that holds the data.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe or {})
    with together(recipe.device):
        say = say if is_main() else lambda text: None
        run = _Run(recipe, say, known)
        run.check()
        lock = run_lock(run.folder, say) if is_main() else nullcontext()
        with lock, damaged_pictures(recipe.data.damaged) as run.damaged, run.tracking:
            run.open()
            run.tracking.start(recipe)
            run.score_base()
            run.tune()
            run.score_adapter()
            if is_main():
                with apart():
                    run.write()
            values = from_main(run.values)
    return AdaptReport(run.folder, values)


class _Run:
    """The state of one :func:`adapt`, step by step."""

    def __init__(self, recipe: Recipe, say: Say, known: ScoreCache | None) -> None:
        self.recipe, self.say, self.known = recipe, say, known
        self.folder = recipe.folder
        self.seconds = {"load": 0.0, "tune": 0.0, "evaluate": 0.0}
        self.values: dict[str, Any] = {}
        self.job: Job
        self.scoring: Scoring
        self.start: WarmStartCheck
        self.rows: NewRows
        self.few: FewShotGuard
        self.source_guard: SourceGuard
        self.unlabelled_guard: UnlabelledGuard
        self.reliance: Reliance
        self.earlier: EarlierScores
        self.history: History
        self.memory = MemoryMeter()
        self.tracking = tracker_of(recipe, say) if is_main() else NoTracker()
        self.damaged: Callable[[], list[str]] = list
        """What the decoder said of damaged pictures so far."""
        self.fingerprint = ""
        self.marks: dict[str, str] = {}
        """What the run is made of, for those who compare runs."""
        self.prints: dict[str, str] = {}
        """The base's fingerprints by precision, for the adapter file."""

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started

    def check(self) -> None:
        """Checks that the run writes over none of its inputs."""
        data, names = self.recipe.data, (TENSORS_FILE, CONFIG_FILE, *REPORT_FILES, *CHECKPOINTS, PROGRESS_FILE)
        targets = [self.folder / name for name in names]
        check_output(self.folder, targets, folders=input_folders(data), files=recipe_files(self.recipe))
        checkpoint, *others = (self.folder / name for name in CHECKPOINTS)
        check_resume(self.recipe, checkpoint, None, *others)

    def open(self) -> None:
        """Loads the base and opens the data."""
        recipe = self.recipe
        self.say(f"loading {recipe.base} and {recipe.domain}")
        with self._timed("load"):
            with main_first():
                self.job = prepare(recipe)
            require_sound_splits(self.job.splits)
            if recipe.data.shots != 0:
                check_labels(self.job.train, self.job.base.input_size)
        self.fingerprint = fingerprint(self.job.base)
        self.marks = marks_of(self.job, self.fingerprint)
        self.scoring = Scoring(self.job, self.fingerprint, self.known)
        self.start, self.few = WarmStartCheck(self.job), FewShotGuard(self.job)
        self.source_guard, self.unlabelled_guard = SourceGuard(self.job), UnlabelledGuard(self.job)
        self.reliance, self.earlier = Reliance(self.job), EarlierScores(self.job, self.scoring)

    def score_base(self) -> None:
        """Scores the base alone."""
        self.say("scoring the base")
        with self._timed("evaluate"):
            self.scoring.before()
        self.tracking.begin(self.scoring.headlines("before"))

    def tune(self) -> None:
        """Tunes the adapter and saves it, not yet scored."""
        job, few, start = self.job, self.few, self.start
        for note in dict.fromkeys((*job.table_notes, *few.warnings, *job.objective.notes)):
            self.say(f"note: {one_line(note)}")
        for line in tuned_on(job, few.pictures):
            self.say(line)
        self.memory.begin_tuning()
        started, scored = time.perf_counter(), self.seconds["evaluate"]
        start.check()
        if start.note:
            self.say(start.note)
        self.rows = NewRows(job)
        self.rows.choose()
        if start.is_kept and job.warm_start is not None:
            self._score_start()
        job.decisions += [self.rows.decision] if self.rows.decision else []
        for decision in job.decisions:
            self.say(decision.line())
        few.check()
        if few.guarded is not None:
            self.say(few.decision.line())
        guards = self._begin_guards()
        try:
            self.history = self._tune()
            few.keep()
            self._tune_second()
        except NotFiniteError as error:
            raise keep_last_good(job, self.folder, error) from error
        for guard in guards:
            guard.keep()
        for decision in filter(None, (*(guard.decision for guard in guards), self.reliance.keep())):
            self.say(decision.line())
        scoring = self.seconds["evaluate"] - scored
        self.seconds["tune"] = max(self.history.seconds, time.perf_counter() - started - scoring)
        self.values |= self.memory.end_tuning()
        self.prints = fingerprints(job.base.model)
        if not is_main():
            return
        with swapped_in(self.folder) as place:
            save_adapter(
                job.adapter,
                place,
                job.base,
                prints=self.prints,
                training=training_of(job, self.start, self.history, self.scoring),
                metrics=None,
            )

    def _score_start(self) -> None:
        """Scores the warm start alone, so that its part of the gain is known."""
        self.say("scoring the start alone")
        with self._timed("evaluate"):
            self.scoring.start()
            self.earlier.begin()

    def _tune_second(self) -> None:
        """Goes on with pictures without labels, where labelled ones of the target came first."""
        if self.job.second is None:
            return
        self._begin_unlabelled()
        key = run_key(self.job, self.fingerprint)
        tune_second(self.job, self.history, self.few.options, self.folder, key, record=self.tracking.record)

    def _begin_guards(self) -> tuple[SourceGuard, UnlabelledGuard, KeptPoints]:
        """Notes where the tuning begins, and decides in first runs, where there are some, what ``--keep`` keeps."""
        job, kept_points = self.job, KeptPoints(self.job)
        for guard in (self.source_guard, kept_points, self.reliance):
            guard.begin()
        if job.second is None:
            self._begin_unlabelled()
        if job.kept_out.first_runs:
            options = part_of_minutes(job, self.few.options)
            self.reliance.check(options, self.folder, run_key(job, self.fingerprint))
        return self.source_guard, self.unlabelled_guard, kept_points

    def _begin_unlabelled(self) -> None:
        """Notes where the tuning without labels begins, and says so where nothing of it can be kept."""
        self.unlabelled_guard.begin()
        if self.unlabelled_guard.doubt is not None:
            self.say(f"note: {self.unlabelled_guard.doubt}")

    def _tune(self) -> History:
        job, recipe = self.job, self.job.recipe
        options = part_of_minutes(job, first_minutes(job, self.few.options))
        checkpoint, *others = (self.folder / name for name in CHECKPOINTS)
        key = run_key(job, self.fingerprint)
        check_resume(recipe, checkpoint, key, *others)
        return tune(
            job.base,
            job.adapter,
            self.source_guard.data(),
            job.objective,
            options,
            seed=recipe.seed,
            device=recipe.device,
            checkpoint=None if options.checkpoint_every == 0 else checkpoint,
            key=key,
            watch=held_out_watch(job, self.folder),
            resume=recipe.resume is not False,
            record=self.tracking.record,
        )

    def score_adapter(self) -> None:
        """Scores with the adapter on and off, and collects the report."""
        job, scoring = self.job, self.scoring
        self.say("scoring with the adapter on and off")
        with self._timed("evaluate"):
            with attach(job.base, job.adapter, name="adapted"):
                with self.reliance.whole_change() as is_more:
                    if is_more:
                        scoring.whole_change()
                scoring.on()
                self.earlier.end()
                self.say(self.reliance.calibrate().line())
            self.say(self.reliance.gate().line())
            print_after = fingerprint(job.base)
            scoring.off(print_after)
        values = values_of(job, scoring, self.history, self.seconds) | self.values
        if (tested := self.reliance.tested(scoring)) is not None:
            self.say(tested.line())
        values["shots"], values["few"] = job.recipe.data.shots, self.few.to_dict()
        values["start"], values["new_rows"] = self.start.to_dict(), self.rows.to_dict()
        if scoring.at_start is not None:
            values["start"] = {**(values["start"] or {}), "target": scoring.at_start.headline()}
        values["progress"] = PROGRESS_FILE if (self.folder / PROGRESS_FILE).is_file() else None
        values |= self.reliance.to_dict(scoring) | chain_values(job) | {"after": self.earlier.to_dict()}
        guards = (
            self.few.decision,
            self.source_guard.decision,
            self.unlabelled_guard.decision,
            *self.reliance.decisions,
            self.earlier.decision,
        )
        decisions = (*job.decisions, self.start.decision, *guards, *self.history.decisions)
        values["decisions"] = [decision.to_dict() for decision in decisions if decision is not None]
        values["source_guard"], values["unlabelled"] = self.source_guard.to_dict(), self.unlabelled_guard.to_dict()
        values["memory"] = self.memory.to_dict()
        values["notes"] += [self.start.note] * bool(self.start.note)
        values["notes"] += [
            n for n in (*self.few.notes, *self.reliance.notes, *self.history.notes) if n not in values["notes"]
        ]
        values["notes"] += self.damaged()
        values["marks"] = self.marks
        values["base"] = {
            "name": job.base.name, "fingerprint_before": self.fingerprint, "fingerprint_after": print_after,
        }  # fmt: skip
        self.values = values

    def write(self) -> None:
        """Writes the adapter with its scores, the card and the report; then removes the checkpoint."""
        more = {"training": training_of(self.job, self.start, self.history, self.scoring)} | self.reliance.saved()
        drawn = write_run(self.job, self.folder, self.values, self.scoring.target, prints=self.prints, more=more)
        files = [self.folder / PROGRESS_FILE, *drawn]
        self.tracking.end(len(self.history.steps), self.scoring.headlines("after_on", "after_off"), files)
        for name in CHECKPOINTS:
            (self.folder / name).unlink(missing_ok=True)
