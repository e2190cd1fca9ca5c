"""Pictures that stand in two parts of the data, where they must not: they are counted and said, or left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.as_tuned import picture_names, tuned_before_run
from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.data.picture_copies import copies_of
from lvtune.data.pose_table import PoseTable
from lvtune.domains.own_domain import is_own_data

if TYPE_CHECKING:
    from lvtune.api.open_data import OpenedData
    from lvtune.api.recipe import Recipe
    from lvtune.domains import Split


def with_parts_apart(opened: OpenedData, recipe: Recipe, train: Split, kept: Split | None) -> OpenedData:
    """Returns the data without pictures that must not be looked at; notes of the test pictures say what is shared.

    Args:
        opened: the data.
        recipe: of the run.
        train: what is tuned on.
        kept: what is kept out of the tuning; None: nothing.

    Raises:
        UsageError: no picture without labels is left.
    """
    test, pool = opened.test, without_pictures(opened.unlabelled, [opened.test, kept])
    for note in notes_on_shared(recipe, train, test, kept):
        test = replace(test, table=_table(test).with_note(note))
    return replace(opened, test=test, unlabelled=pool)


def notes_on_shared(recipe: Recipe, train: Split, test: Split, kept: Split | None) -> list[str]:
    """Returns a note where own pictures that are tested on or kept out are tuned on too, or were before.

    Args:
        recipe: of the run; the adapter that it begins at may know some of the pictures.
        train: what is tuned on.
        test: what is tested on.
        kept: what is kept out of the tuning; None: nothing.
    """
    if not is_own_data(recipe.domain) or not _has_files(train) or not _has_files(test):
        return []
    notes, tested = [], _shown(test)
    both = len(tested & _shown(train))
    if both and recipe.has_target_labels:
        notes.append(
            f"{both} of {counted(len(tested), 'picture')} that are tested on are tuned on too: the scores do not say "
            "how good new pictures will be; `lvtune check-data` names them"
        )
    known = tuned_before_run(recipe)
    for split, what in ((test, "tested on"), (kept, "kept out")):
        names = [] if split is None else picture_names(split)
        count = sum(name in known for name in names)
        if count:
            notes.append(
                f"{count} of {counted(len(names), 'picture')} that are {what} have the names of pictures that the "
                "adapter was tuned on with which this run begins: on new pictures it is probably worse"
            )
    return notes


def without_pictures(pool: Split | None, parts: Sequence[Split | None]) -> Split | None:
    """Returns pictures without labels, but for those that are tested on or kept out; a note counts these.

    Args:
        pool: pictures without labels; None: there are none.
        parts: splits whose pictures must not be looked at; None: no split.

    Raises:
        UsageError: none is left.
    """
    if pool is None or not _has_files(pool):
        return pool
    taken = {file for split in parts if split is not None and _has_files(split) for file in _shown(split)}
    files, shown = _files(pool), _shown(pool)
    same = shown & taken
    copies = copies_of(taken, shown - taken)
    taken = taken | copies
    is_free = np.array([file not in taken for file in files])
    out = len(same) + len(copies)
    if not out:
        return pool
    if out == len(shown):
        raise UsageError(
            f"{counted(out, 'picture')} without labels, all of which are tested on or kept out", "some other pictures",
            "name others with --unlabelled",
        )  # fmt: skip
    note = f"{counted(out, 'picture')} without labels left out: they are tested on, or kept out of the tuning"
    if copies:
        note += f" ({counted(len(copies), 'copy', 'copies')} with the same contents among them)"
    if pool.items is not None:
        views = len(pool.views or " ")
        left = replace(pool, items=tuple(item for item in pool.items if is_free[item // views]))
    else:
        left = pool.with_table(_table(pool).select(np.flatnonzero(is_free)))
    return replace(left, table=_table(left).with_note(note))


def _has_files(split: Split) -> bool:
    return split.task == "pose2d" and isinstance(split.table, PoseTable)


def _table(split: Split) -> Any:
    return split.table


def _shown(split: Split) -> set[str]:
    """The files of the pictures that a split shows, in whatever view."""
    files, views = _files(split), len(split.views or " ")
    return set(files) if split.items is None else {files[item // views] for item in split.items}


def _files(split: Split) -> list[str]:
    """The file of each person's picture in the table of a split."""
    table, known = _table(split), {}
    return [known.setdefault(name, os.path.realpath(table.root / name)) for name in table.column("image")]
