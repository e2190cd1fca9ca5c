"""Swaps the files of a run into its folder together, so that no adapter lies beside another run's report."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lvtune.core.files import sync_folder, user_errors
from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE

REPORT_FILES = ("README.md", "report.json", "report.html", "before-after.jpg")
"""What a run writes about its adapter."""
_PREFIX = ".lvtune-run-"


@contextlib.contextmanager
def swapped_in(folder: Path) -> Iterator[Path]:
    """Yields an empty folder for the files of a run; swaps them into ``folder`` when the block ends well.

    Files of an earlier run that this one does not write are removed with the swap; other files stay. A kill at any
    moment leaves a whole adapter, old or new, and no report of the other one.

    Args:
        folder: of the run, which holds its lock (:func:`lvtune.storage.run_lock.run_lock`).

    Raises:
        UsageError: the folder cannot be written.
    """
    with user_errors(folder):
        for left in folder.glob(f"{_PREFIX}*"):  # of killed runs: nobody else is here
            shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    try:
        yield place
        with user_errors(folder):
            _swap(place, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _swap(place: Path, folder: Path) -> None:
    """Renames; the order is the guarantee: what describes the old adapter goes before the new tensors come."""
    sync_folder(place)
    new = sorted(file.name for file in place.iterdir())
    for name in (*REPORT_FILES, CONFIG_FILE, PEFT_FILE):
        (folder / name).unlink(missing_ok=True)
    sync_folder(folder)
    for name in sorted(new, key=lambda name: name != TENSORS_FILE):
        os.replace(place / name, folder / name)
    sync_folder(folder)
