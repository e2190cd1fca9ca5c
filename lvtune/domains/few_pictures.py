"""Draws a few pictures of a split to tune on."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.core.text import counted
from lvtune.data.subset import nested_order, nested_views
from lvtune.domains.domain import Split

TINY = 100
"""So many pictures or fewer are told to be few."""


def take_shots(split: Split, shots: int | Literal["all"], seed: int = 0) -> Split:
    """Returns a split with some of its pictures, each with all persons in it.

    Where each person is shown in several views, a picture in one view counts as a picture.

    Args:
        split: to choose from.
        shots: how many, or ``all``.
        seed: of the draw; the pictures of fewer shots are among those of more.

    Raises:
        LvtuneError: more than there are.
    """
    if shots == "all":
        return split
    names = split.table.column("image").astype(str)
    pictures, first = np.unique(names, return_index=True)
    there = len(pictures) * len(split.views or " ")
    if shots > there:
        raise UsageError(
            f"{shots} shots of {split.name}, which has {counted(there, 'annotated picture')} to tune on",
            f"at most {there}", "give --shots all",
        )  # fmt: skip
    if split.views:
        pairs = nested_views(pictures.tolist(), split.views, seed)[:shots]
        wanted = {(pictures[picture], view) for picture, view in pairs}
        count = len(split.views)
        items = [i * count + v for i, name in enumerate(names) for v in range(count) if (name, v) in wanted]
        return replace(split, items=tuple(items))
    kinds = split.table.column("category").astype(str)[first].tolist()
    chosen = pictures[nested_order(pictures.tolist(), kinds, seed)[:shots]]
    return split.with_table(split.table.select(np.flatnonzero(np.isin(names, chosen))))


def count_pictures(split: Split) -> int:
    """Returns the number of pictures of a split; a picture in several views counts once for each."""
    pictures = pictures_of_samples(split)
    return len(set(pictures))


def pictures_of_samples(split: Split) -> list[str]:
    """Returns the picture (and view) of each sample."""
    names, views = split.table.column("image").astype(str), split.views or ("",)
    every = [f"{name} {view}" for name in names for view in views]
    return every if split.items is None else [every[item] for item in split.items]
