"""Calibrates a base alone on labelled pictures, and writes the file for ``--calibration``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.calibrating import Fitted, fit_on
from lvtune.core.errors import DataError, UsageError
from lvtune.core.processes import is_main
from lvtune.core.text import shell_word
from lvtune.data.table import PoseTable
from lvtune.storage.base_calibration import AUTO, save_base_calibration
from lvtune.storage.output_folder import check_output, input_files, input_folders

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.config.options import DataOptions
    from lvtune.domains import Split


class CalibrationFile:
    """The file that ``--save-calibration`` names; checked before any work.

    Args:
        file: to be written; None: nothing is to be written.
        adapter: as the caller gave it: it must be None.
        wanted: the option ``calibration``: it must be left out.
        split: the part of the data.
        data: where the pictures lie: the file must not replace one of them.

    Raises:
        LvtuneError: an option that does not go with it, or a file that cannot be written.
    """

    def __init__(
        self, file: str | Path | None, *, adapter: Any, wanted: str | Path, split: str, data: DataOptions
    ) -> None:
        self.file = None if file is None else Path(file).expanduser()
        if self.file is None:
            return
        if adapter is not None:
            raise UsageError(
                "--save-calibration with an adapter", "the base alone",
                "calibrate an adapter when it is tuned: lvtune adapt --calibrate keep-out",
            )  # fmt: skip
        if str(wanted) != AUTO:
            raise UsageError("--save-calibration with --calibration", "one of them", "leave --calibration out")
        if self.file.suffix != ".json":
            raise UsageError(f"--save-calibration {shell_word(self.file)}", "a name that ends in .json",
                             f"say --save-calibration {shell_word(f'{self.file}.json')}")  # fmt: skip
        check_output(self.file.parent, [self.file], folders=input_folders(data), files=input_files(data))
        self.split = split

    def fit(self, base: Base, split: Split, *, batch_size: int, flip_test: bool) -> Fitted | None:
        """Fits on a split, and writes the file; does nothing, and returns None, where none is wanted.

        Raises:
            LvtuneError: too few labelled pictures, hands, or data of several sets.
        """
        if self.file is None:
            return None
        if split.task != "pose2d" or not isinstance(split.table, PoseTable):
            raise DataError(f"{split.name} to calibrate on", "poses in pictures of one data set", "choose another")
        if split.table.skeleton.keypoints != base.skeleton.keypoints:
            raise DataError(
                f"{split.name}, whose key points are not those of {base.name}", "labels of the base's key points",
                "choose another data set, or tune an adapter: lvtune adapt --calibrate keep-out",
            )  # fmt: skip
        found = fit_on(base, split, base.skeleton, batch_size=batch_size, flip_test=flip_test)
        if found.calibration is None:
            raise DataError(f"{split.name} to calibrate on: {found.why}", "more labelled pictures",
                            "give more of them")  # fmt: skip
        if is_main():
            save_base_calibration(found.calibration, base, self.file)
        return found

    def notes(self, found: Fitted | None) -> list[str]:
        """Returns what is to be said of the file."""
        if found is None:
            return []
        note = f"calibration of the base alone: {found.why}, written to {self.file}"
        if self.split == "train":
            note += "; these are pictures to train on: if the base was trained on them, it is too sure of others"
        return [note]
