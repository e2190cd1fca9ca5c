"""What makes a tuned adapter one to rely on: a share of the source that is kept, and a calibrated confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvtune.api.calibrating import Fitted, calibrate, measure
from lvtune.api.gating import gate_of
from lvtune.api.keep_first_run import first_run
from lvtune.api.keep_source import SourceKeeper
from lvtune.api.keep_words import keep_tested, tested_values

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lvtune.api.job import Job
    from lvtune.api.scoring import Scoring
    from lvtune.config.options import TrainOptions
    from lvtune.core.decision import Decision
    from lvtune.evaluation.calibration import Calibration


class Reliance:
    """Usage: ``begin()`` before the tuning, ``keep()`` and ``gate()`` after it, ``calibrate()`` with the adapter on."""

    def __init__(self, job: Job) -> None:
        self.job, self.keeper = job, SourceKeeper(job)
        self.notes: list[str] = []
        """Of the first runs."""
        self._fitted: Fitted | None = None
        self._calibrated: Decision | None = None
        self._gate: dict[str, Any] | None = None
        self._gated: Decision | None = None
        self._tested: Decision | None = None
        self._test: dict[str, float | None] = {}

    def begin(self) -> None:
        """Notes where the tuning begins."""
        self.keeper.begin()

    def check(self, options: TrainOptions, folder: Path, key: str) -> None:
        """Tunes the first runs, which decide what is kept; arguments as of :func:`first_run`."""
        count = len(self.job.kept_out.first_runs)
        for number in range(count):
            with first_run(self.job, number, options, folder, key) as history:
                which = "first run" if count == 1 else f"first run {number + 1}"
                self.notes += [f"{which}: {note}" for note in history.notes]
                self.keeper.note(number)
                if number == count - 1:
                    self.keeper.decide()

    def keep(self) -> Decision | None:
        """Takes the change back as far as the source needs it, and says so."""
        self.keeper.keep()
        return self.keeper.decision

    def whole_change(self) -> AbstractContextManager[bool]:
        """Inside, the adapter has its whole change; yields whether a part of it had been taken back."""
        return self.keeper.whole()

    def calibrate(self) -> Decision:
        """Fits the confidence, and says on what."""
        self._fitted, self._calibrated = calibrate(self.job)
        return self._calibrated

    @property
    def calibration(self) -> Calibration | None:
        """What was fitted; None: nothing."""
        return None if self._fitted is None else self._fitted.calibration

    def gate(self) -> Decision:
        """Notes what the pictures look like to the frozen base, and says on what."""
        self._gate, self._gated = gate_of(self.job)
        return self._gated

    def tested(self, scoring: Scoring) -> Decision | None:
        """Compares the share of the source's test score with what was asked for; None without ``keep``."""
        if self.keeper.share is not None and self.job.recipe.keep is not None:
            self._test = tested_values(scoring)
            self._tested = keep_tested(self.job.recipe.keep, self._test)
        return self._tested

    @property
    def decisions(self) -> tuple[Decision | None, ...]:
        """For the report."""
        return self.keeper.decision, self._tested, self._calibrated, self._gated

    def saved(self) -> dict[str, Any]:
        """Entries for the adapter file."""
        found = {"calibration": self.calibration and self.calibration.to_dict(), "gate": self._gate}
        return {name: value for name, value in found.items() if value is not None}

    def to_dict(self, scoring: Scoring) -> dict[str, Any]:
        """``keep`` and ``calibration`` of the report, measured on the test split; None where there is none.

        ``calibration["left_out"]`` is what was measured on the pictures of the fit, each fifth left out once.
        """
        job = self.job
        found = measure(job.test, scoring.target.after_on, self.calibration, job.recipe.evaluate.flip_test)
        if found is not None and self._fitted is not None:
            found = {**found, "left_out": self._fitted.to_dict()}
        kept = self.keeper.to_dict()
        kept = kept and {**kept, **self._test}
        return {"keep": kept, "calibration": found}
