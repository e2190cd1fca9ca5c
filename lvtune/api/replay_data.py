"""Divides pictures of the source for ``--keep``: some are replayed while the adapter is tuned, on others it is checked.

No picture has both uses, and none that is scored in the report has either.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.open_data import OpenedData, find_source_of
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.text import counted
from lvtune.data.subset import nested_order
from lvtune.data.table import PoseTable
from lvtune.data.unlabelled import read_unlabelled
from lvtune.domains import Split
from lvtune.domains.domain import NO_BOXES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lvtune.api.recipe import Recipe
    from lvtune.bases.base_spec import BaseSpec
    from lvtune.domains import Domain

LEAST = 10
"""Fewer pictures are neither checked on nor replayed: they say too little."""
MOST_CHECKED = 600
"""Persons of the source that are checked on."""
ENOUGH = 100
"""Where so many pictures of the source can only be replayed, the others are all kept out."""


@dataclass(frozen=True)
class SourcePictures:
    """Two parts of the source's pictures."""

    check: Split
    """Kept out: they show how much of the source is held."""
    replay: Split | None
    """Seen while the adapter is tuned; None: nothing is replayed."""
    is_labelled: bool = True
    """Whether the pictures to check on have labels; else the base's own answers stand in for them."""
    with_labels: bool = False
    """Whether replayed pictures are to get their labels; else the base's own answers."""
    decisions: list[Decision] = field(default_factory=list)


def source_pictures(
    recipe: Recipe,
    domain: Domain,
    opened: OpenedData,
    spec: BaseSpec,
    *,
    tuned_on: Collection[str],
    out: Collection[str],
) -> SourcePictures:
    """Opens the source's pictures and divides them.

    Args:
        recipe: says which and how many.
        domain: the target.
        opened: its data; none of what is scored is taken.
        spec: facts about the base.
        tuned_on: paths of the target's pictures to tune on; the same pictures as the source shows them may be replayed.
        out: paths of the target's pictures that are kept out.

    Raises:
        UsageError: too few pictures to check on.
        DataError: the named pictures cannot be read.
    """
    scored = paths_of(opened.test) | (set() if opened.source.split is None else paths_of(opened.source.split))
    named = _named(recipe, opened, scored | set(out))
    if opened.source.split is None:
        assert named is not None
        return _all_from_named(recipe, named)
    found = labelled_source(recipe, domain, spec)
    free, seen = ([], []) if found is None else _rows(found, scored, tuned_on)
    if found is None or _pictures(found, free) < LEAST:
        raise UsageError(
            f"keep {recipe.keep:g} of {opened.source.split.name} without pictures of it beside those that are scored",
            f"at least {LEAST} labelled pictures of the source that are neither tuned on nor scored",
            "give --source-annotations FOLDER with train.json and test.json, or leave --keep out",
        )  # fmt: skip
    needs_more = named is None and recipe.keeping.weight > 0 and _pictures(found, seen) < ENOUGH
    if needs_more and _pictures(found, free) >= 2 * LEAST:
        free, more = _halves(found, free, recipe.seed)
        seen = sorted([*seen, *more])
    check = some_of(_part(found, free), recipe.seed, MOST_CHECKED)
    replay = named or (_part(found, seen) if seen else None)
    return _with_words(recipe, SourcePictures(check, replay))


def _all_from_named(recipe: Recipe, named: Split) -> SourcePictures:
    """Without a labelled source, the named pictures are checked on too."""
    if _count(named) < 2 * LEAST:
        raise UsageError(
            f"{_count(named)} pictures in {recipe.keeping.replay_pictures} to replay and to check on",
            f"at least {2 * LEAST}", "give a folder with more pictures",
        )  # fmt: skip
    check, replay = (_part(named, rows) for rows in _halves(named, range(len(named.table)), recipe.seed))
    return _with_words(recipe, SourcePictures(some_of(check, recipe.seed, MOST_CHECKED), replay, is_labelled=False))


def _with_words(recipe: Recipe, found: SourcePictures) -> SourcePictures:
    """Leaves at most the wanted number of replayed pictures, and says what is replayed."""
    options, replay, few = recipe.keeping, found.replay, f"fewer than {LEAST} pictures are free"
    if replay is not None and (options.weight == 0 or _count(replay) < LEAST):
        why = "--replay-weight 3 replays pictures of the source while tuning" if options.weight == 0 else few
        return replace(found, replay=None, decisions=[Decision("replay", "nothing", why)])
    if replay is None:
        return replace(found, decisions=[Decision("replay", "nothing", "no further pictures of the source")])
    replay = some_of(replay, recipe.seed, options.replay_most)
    labels = options.replay_answers == "labels"
    towards = "their labels" if labels else f"the base's own answers in {counted(options.replay_views, 'view')}"
    value = f"{_count(replay)} pictures ({replay.name}), one with {options.replay_every} of a step, towards {towards}"
    why = "so that tuning itself keeps the source; --replay-weight 0 turns it off"
    return replace(found, replay=replay, with_labels=labels, decisions=[Decision("replay", value, why)])


def labelled_source(recipe: Recipe, domain: Domain, spec: BaseSpec) -> Split | None:
    """Returns the source's labelled pictures to learn from; None where there are none."""
    try:
        found = find_source_of(domain, spec, replace(recipe.data, boxes=NO_BOXES), "train").split
    except LvtuneError:
        return None
    return found if found is not None and isinstance(found.table, PoseTable) else None


def _named(recipe: Recipe, opened: OpenedData, taken: Collection[str]) -> Split | None:
    """The pictures that the user names, without those that are scored or kept out.

    Raises:
        DataError: they cannot be read, or none is left.
    """
    given = recipe.keeping.replay_pictures
    if given is None:
        return None
    try:
        table = read_unlabelled(given, opened.train.table.skeleton)
    except LvtuneError as error:
        words = [text.replace("--unlabelled", "--replay-pictures") for text in (error.given, error.expected, error.fix)]
        raise type(error)(*words) from error
    copies = copies_of(taken, {table.image_path(i) for i in range(len(table))})
    rows = [i for i in range(len(table)) if table.image_path(i) not in copies]
    if len(rows) < len(table):
        table = table.select(rows).with_note(
            f"not replayed, because scored or kept out: {counted(len(table) - len(rows), 'named picture')}"
        )
    if not rows:
        raise UsageError(
            f"{given}, whose pictures are all scored or kept out", "other pictures", "check --replay-pictures"
        )
    return Split(table, f"pictures of {Path(given).name}")


def copies_of(files: Collection[str], among: Collection[Path]) -> set[Path]:
    """Returns those of ``among`` that are one of the files, or hold the same bytes; what cannot be read is none."""
    taken = {Path(file).resolve() for file in files}
    found = {file for file in among if file.resolve() in taken}
    others = {file: file.stat().st_size for file in among if file not in found and file.is_file()}
    sizes = set(others.values())  # most files need not be read: no other one has their size
    alike = {file: file.stat().st_size for file in taken if file.is_file() and file.stat().st_size in sizes}
    known, shared = {_content(file) for file in alike}, set(alike.values())
    return found | {file for file, size in others.items() if size in shared and _content(file) in known}


def _content(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def _rows(split: Split, scored: Collection[str], tuned_on: Collection[str]) -> tuple[list[int], list[int]]:
    """Persons in pictures that are not scored: in those that are not tuned on, and in those that are."""
    table: Any = split.table
    paths = [str(table.image_path(i)) for i in range(len(table))]
    rows = [i for i, path in enumerate(paths) if path not in scored]
    return [i for i in rows if paths[i] not in tuned_on], [i for i in rows if paths[i] in tuned_on]


def _halves(split: Split, rows: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """The persons ``rows`` in two halves of their pictures, drawn by the seed."""
    table: Any = split.table
    names = {i: str(table.image_path(i)) for i in rows}
    pictures = sorted(set(names.values()))
    order = nested_order(pictures, [""] * len(pictures), seed)
    first = {pictures[i] for i in order[: len(pictures) // 2]}
    return [i for i in rows if names[i] in first], [i for i in rows if names[i] not in first]


def _part(split: Split, rows: Sequence[int]) -> Split:
    table: Any = split.table
    return split.with_table(table.select(list(rows)))


def _pictures(split: Split, rows: Sequence[int]) -> int:
    table: Any = split.table
    return len({str(table.image_path(i)) for i in rows})


def some_of(split: Split, seed: int, most: int) -> Split:
    """Returns at most ``most`` samples, drawn by the seed."""
    views = len(split.views or " ")
    items = list(range(len(split.table) * views)) if split.items is None else list(split.items)
    if len(items) <= most:
        return split
    drawn = np.sort(np.random.default_rng([seed, len(items)]).permutation(len(items))[:most])
    if not split.views and split.items is None:
        table: Any = split.table
        return split.with_table(table.select(drawn))
    return replace(split, items=tuple(items[i] for i in drawn))


def shared_out(splits: Sequence[Split]) -> list[Split]:
    """Gives each picture to one of the splits that have it, in turn."""
    paths = [[str(split.table.image_path(i)) for i in range(len(split.table))] for split in splits]
    if len(splits) == 1:
        return list(splits)
    everywhere = set.intersection(*(set(one) for one in paths))
    owner = {path: place % len(splits) for place, path in enumerate(sorted(everywhere))}
    return [
        _part(split, [i for i, path in enumerate(own) if owner.get(path, place) == place])
        for place, (split, own) in enumerate(zip(splits, paths, strict=True))
    ]


def paths_of(split: Split) -> set[str]:
    """Returns the paths of the pictures that a split uses."""
    table: Any = split.table
    rows = range(len(table)) if split.items is None else {item // len(split.views or " ") for item in split.items}
    return {str(table.image_path(i)) for i in rows}


def _count(split: Split) -> int:
    return len(paths_of(split))
