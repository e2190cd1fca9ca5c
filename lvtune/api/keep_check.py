"""Checks the options of ``--keep`` before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvtune.core.errors import UsageError

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe


def check_keeping(recipe: Recipe) -> None:
    """Checks that the options of ``--keep`` are given with it alone.

    Raises:
        UsageError: an option that would do nothing; labels wanted of pictures that have none.
    """
    given, plain = recipe.keeping, type(recipe.keeping)()
    changed = [name for name in vars(plain) if getattr(given, name) != getattr(plain, name)]
    if changed and recipe.keep is None:
        option = "--" + changed[0].replace("_", "-")
        raise UsageError(
            f"{option} without --keep", "the share of the source to keep", f"give --keep 99, or leave {option} out"
        )
    if given.replay_answers == "labels" and given.replay_pictures is not None:
        raise UsageError(
            "--replay-answers labels with --replay-pictures, which are read without labels", "base",
            "leave --replay-answers out; labelled pictures are given by --source-annotations",
        )  # fmt: skip
