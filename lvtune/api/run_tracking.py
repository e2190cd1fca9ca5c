"""Sends what a run does to a tracker, through the trackers of Accelerate: TensorBoard, W&B, MLflow, Trackio."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.config.tables import flatten
from lvtune.core.errors import UsageError
from lvtune.core.text import one_line, shell_word
from lvtune.storage.adapter_config import shareable

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvtune.api.recipe import Recipe

PROJECT = "lvtune"
FOLDER = "tracking"
"""Folder, within the run's, that TensorBoard's files go into."""
_SECRET = re.compile(
    r"\b(hf_|sk-|ghp_|glpat-)[A-Za-z0-9_-]{8,}|(?<=://)[^/@\s]+@|(?i:(token|key|password|secret)=[^&\s]+)"
)

_ALLOWED = re.compile(r"[^\w\-. :/]")
"""What MLflow refuses in the name of a figure: the @ of ``pck@0.2`` alone, of those that we have."""


class NoTracker:
    """Takes everything and sends nothing; also the interface of :class:`RunTracker`."""

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the tracking, whatever happened."""

    record: Callable[[int, dict[str, float]], None] | None = None
    """Called after each step of the tuning; None: nobody listens."""

    def start(self, recipe: Recipe) -> None:
        """Starts a run of the tracker, and stores the recipe without paths and secrets."""

    def begin(self, scores: Mapping[str, float]) -> None:
        """Sends the scores before the tuning."""

    def end(self, step: int, scores: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Sends the scores after the last step, and pictures; files that do not exist are left out."""


def tracker_of(recipe: Recipe, say: Callable[[str], None]) -> NoTracker:
    """Returns the tracker that the recipe names, not yet started.

    Raises:
        UsageError: its package is not installed.
    """
    return NoTracker() if recipe.track is None else RunTracker(recipe.track, recipe.folder, say)


class RunTracker(NoTracker):
    """Sends the figures of one run.

    Args:
        name: of one of Accelerate's trackers.
        folder: of the run; its name is that of the tracker's run.
        say: called with where to look.

    Raises:
        UsageError: the tracker's package is not installed.
    """

    def __init__(self, name: str, folder: Path, say: Callable[[str], None]) -> None:
        from accelerate.tracking import get_available_trackers

        if name not in [str(getattr(one, "value", one)) for one in get_available_trackers()]:
            extra = "'lvtune[tracking]'" if name == "tensorboard" else name
            raise UsageError(f"--track {name}", f"the package {name}", f"type `pip install {extra}`")
        self.name, self.folder, self.say = name, folder, say
        self._tracker: Any = None
        self._first: Mapping[str, float] | None = None
        """Scores before the tuning, until its first step is known."""

    def start(self, recipe: Recipe) -> None:
        """Starts a run of the tracker, and stores the recipe without paths and secrets.

        Raises:
            UsageError: the tracker does not start, for example because it has no key for its server.
        """
        from accelerate import PartialState

        PartialState(cpu=recipe.device == "cpu")  # Accelerate's trackers ask it which process they are in
        try:
            with redirect_stdout(sys.stderr):  # Trackio prints; on stdout stands the command's answer alone
                tracker = self._made()
                tracker.start()
                tracker.store_init_configuration(plain_settings(recipe))
        except Exception as error:  # each of these packages has errors of its own
            text = _SECRET.sub("***", one_line(f"{type(error).__name__}: {error}"))
            fix = "set it up as its documentation says, or leave --track out"
            raise UsageError(
                f"--track {self.name}", f"a tracker that starts: {text}", _FIXES.get(self.name, fix)
            ) from error
        self._tracker = tracker
        self.say(f"tracked by {self.name}{_where(self.name, self.folder)}")

    def _made(self) -> Any:
        """Makes Accelerate's tracker."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        run = self.folder.name
        places: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
            "tensorboard": ((run, str(self.folder / FOLDER)), {}),
            "wandb": ((PROJECT,), {"name": run}),
            "mlflow": ((PROJECT,), {"run_name": run}),
            "trackio": ((PROJECT,), {"name": run}),
        }
        args, options = places[self.name]
        return LOGGER_TYPE_TO_CLASS[self.name](*args, **options)

    def begin(self, scores: Mapping[str, float]) -> None:
        """Sends the scores before the tuning, with its first figures."""
        self._first = scores

    def record(self, step: int, values: dict[str, float]) -> None:  # type: ignore[override]
        """Sends the figures of a step."""
        self._goes_on_at(step)
        self._tracker.log(values, step=step)

    def end(self, step: int, scores: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Sends the scores after the last step, and pictures; files that do not exist are left out."""
        self._goes_on_at(step + 1)  # all steps were there already
        self._scores(step, scores)
        for file in pictures:
            if file.is_file():
                _SENDERS[self.name](self._tracker, file, step)

    def _goes_on_at(self, step: int) -> None:
        """Before the first figures: TensorBoard's folder may hold those of a run that was stopped, or of another."""
        if self._first is None:
            return
        is_new, first, self._first = step <= 1, self._first, None
        if self.name == "tensorboard":
            _forget(self._tracker, 0 if is_new else step)
        if is_new or self.name != "tensorboard":
            self._scores(0, first)

    def _scores(self, step: int, values: Mapping[str, float]) -> None:
        if values:
            named = {_ALLOWED.sub("_at_", f"scores/{name}"): value for name, value in values.items()}
            self._tracker.log(named, step=step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the tracking, whatever happened."""
        if self._tracker is not None:
            with redirect_stdout(sys.stderr):
                self._tracker.finish()


def _where(name: str, folder: Path) -> str:
    """Returns what to type to look at the figures."""
    commands = {
        "tensorboard": f"tensorboard --logdir {shell_word(folder / FOLDER)}",
        "mlflow": "mlflow ui",
        "trackio": f"trackio show --project {PROJECT}",
    }
    return f": {commands[name]}" if name in commands else ""


_FIXES = {"wandb": "type `wandb login`, or set WANDB_MODE=offline to keep the run on this machine"}


def plain_settings(recipe: Recipe) -> dict[str, Any]:
    """Returns the recipe by dotted names, as trackers take it: numbers, truth values and text without secrets."""
    flat = flatten(shareable(recipe.to_dict()))
    kept = {name: value for name, value in flat.items() if value is not None}
    return {name: v if isinstance(v, bool | int | float) else _SECRET.sub("***", str(v)) for name, v in kept.items()}


def _pixels(file: Path) -> np.ndarray:
    """Returns (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _forget(tracker: Any, step: int) -> None:
    """Marks figures from a step on, which lie in the folder already, as those of a run that ended before it."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:  # Accelerate writes by tensorboardX where TensorBoard itself is missing
        return
    tracker.writer.file_writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))


def _to_tensorboard(tracker: Any, file: Path, step: int) -> None:
    tracker.log_images({file.stem: _pixels(file)[None]}, step=step, dataformats="NHWC")


def _to_wandb(tracker: Any, file: Path, step: int) -> None:
    tracker.log_images({file.stem: [_pixels(file)]}, step=step)


def _to_mlflow(tracker: Any, file: Path, step: int) -> None:
    tracker.log_artifact(str(file))


def _to_trackio(tracker: Any, file: Path, step: int) -> None:
    import trackio  # pyright: ignore[reportMissingImports]

    tracker.log({file.stem: trackio.Image(_pixels(file))}, step=step)


_SENDERS = {
    "tensorboard": _to_tensorboard,
    "wandb": _to_wandb,
    "mlflow": _to_mlflow,
    "trackio": _to_trackio,
}
