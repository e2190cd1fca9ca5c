"""Checks what ``resume`` asks for: a checkpoint of the very run that is to go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lvtune.core.errors import UsageError
from lvtune.core.text import shell_word
from lvtune.training.checkpoint import is_of_run

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe


def check_resume(recipe: Recipe, checkpoint: Path, key: str | None = None, *others: Path) -> None:
    """Checks that there is a checkpoint to go on from, if the recipe asks for one.

    Args:
        recipe: of the run.
        checkpoint: file in the output folder.
        key: names the run; None: it is not known yet, and only the file is looked for.
        others: files of the run's other parts, of which one is enough: a part without a file is made again.

    Raises:
        UsageError: there is no checkpoint, or it is of another run.
        TrainingError: the checkpoint is damaged.
    """
    if not recipe.resume or (not checkpoint.is_file() and any(other.is_file() for other in others)):
        return
    folder = shell_word(checkpoint.parent)
    if not checkpoint.is_file():
        fix = "leave --resume out to start anew, or name the folder of the run with --out"
        raise UsageError(f"--resume, but {folder} holds no checkpoint", "a run there that did not end", fix)
    if key is not None and not is_of_run(checkpoint, key):
        fix = "type the options of that run, or --no-resume to start anew"
        raise UsageError(
            f"--resume, but the checkpoint in {folder} is of another run", "the same options and data", fix
        )
