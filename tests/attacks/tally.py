"""What the trials of an area found, and children in which native crashes and endless loops do no harm."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lvtune.core.errors import LvtuneError

LONGEST = 120
"""Seconds of one trial; a reader that takes longer hangs. Generous, for machines that others use too."""


@dataclass
class Tally:
    """Trials and failures of an area."""

    area: str
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def expect(self, holds: bool, what: str) -> None:
        """Counts a trial, and a failure where something does not hold."""
        self.trials += 1
        if not holds:
            self.failures.append(what)

    def only_ours(
        self, what: str, action: Callable[[], Any], right: Callable[[Any], bool] = lambda found: True
    ) -> None:
        """Counts a trial in which ``action`` returns something right, or raises an error of lvtune's in three parts."""
        self.trials += 1
        signal.alarm(LONGEST)
        faulthandler.dump_traceback_later(2 * LONGEST, exit=True)  # native code hears no alarm
        try:
            found = action()
            if not right(found):
                self.failures.append(f"{what}: silently another result")
        except LvtuneError as error:
            if not (error.given and error.expected and error.fix):
                self.failures.append(f"{what}: an error without its three parts: {error}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.append(
                f"{what}: {type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
            )
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()

    def add(self, other: Tally) -> Tally:
        """Adds the trials of another part of the area."""
        self.trials += other.trials
        self.failures += other.failures
        self.seconds += other.seconds
        return self


class Hangs(Exception):
    """A trial that takes longer than :data:`LONGEST`."""


def _hang(number: int, frame: object) -> None:
    raise Hangs(f"longer than {LONGEST} s")


def in_child(area: str, work: Callable[[Tally], None]) -> Tally:
    """Runs the trials of an area in a forked process, so that a crash of native code is a failure and not the end.

    What was found before a crash is kept: the child writes its tally after each hundred trials and at its end.
    """
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "tally.json"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.signal(signal.SIGALRM, _hang)
                _be_quiet()
                tally = Tally(area)
                work(tally)
                file.write_text(json.dumps(asdict(tally)))
                status = 0
            except BaseException:
                (Path(place) / "error.txt").write_text(traceback.format_exc())
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if file.is_file():
            return Tally(**json.loads(file.read_text()))
        error = Path(place) / "error.txt"
        died = f"died by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"hung over {2 * LONGEST} s"
        said = error.read_text() if error.is_file() else f"the process {died}"
        return Tally(area, 1, [f"{area}: {said[-600:]}"])


def _be_quiet() -> None:
    """Notes of lvtune and noise of libraries stay out of the table."""
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the child
