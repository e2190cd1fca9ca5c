"""Pictures that are neither tuned nor tested on: to calibrate confidence with, and to check what is kept of the source.

They are the domain's validation pictures where it has some of its own, or a part of the pictures to tune on, which is
kept out if the recipe asks for it (``calibrate: keep-out``, ``keep``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.open_data import OpenedData, limited
from lvtune.api.replay_data import SourcePictures, paths_of, shared_out, some_of, source_pictures
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.data.subset import nested_order
from lvtune.data.table import PoseTable
from lvtune.domains.domain import NO_BOXES
from lvtune.domains.own_domain import is_own_data
from lvtune.evaluation.calibration_fit import LEAST_POINTS

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base_spec import BaseSpec
    from lvtune.domains import Domain, Split

SHARE, MOST = 0.15, 100
"""Share of the pictures to tune on that is kept out, and their largest number."""
LEAST = 10
"""Fewer pictures are not kept out: they say too little."""
POINTS, MOST_SHARE = 200, 0.5
"""More pictures are kept out for the calibration where they have fewer labelled key points than this, up to this share.

14 pictures with 4 key points each do not tell whether 89 or 95 % are right (benchmarks/README.md, "Confidence").
"""
LEAST_LEFT = 47
"""So many must then be left to tune on: with fewer it was not measured that this costs nothing."""
LEAST_LABELS = 5
"""Labels of a key point that are enough to stay; where it has few, half of them stay."""
_LEAST_COUNT = next(count for count in range(LEAST, 20 * LEAST) if round(SHARE * count) >= LEAST)
"""Pictures to tune on of which so many can be kept out."""
MOST_PERSONS = 600
"""Persons that are looked at, of the target and of the source."""
AUTO, KEEP_OUT, NONE = "auto", "keep-out", "none"
"""Values of the option ``calibrate``."""


@dataclass(frozen=True)
class FirstRun:
    """A run that comes before the last one and decides what is kept of the change."""

    train: Split
    """What it is tuned on."""
    target: Split
    """What it leaves out of the target, with labels."""
    source: SourcePictures
    """Of the source, which it does not see either."""


@dataclass(frozen=True)
class KeptOut:
    """The pictures to tune on, and those that are kept out."""

    train: Split
    target: Split | None = None
    """Of the target, with labels, which no run is tuned on; None: there are none."""
    first_runs: tuple[FirstRun, ...] = ()
    """Runs that decide what is kept; the last run is then tuned on all pictures."""
    source: SourcePictures | None = None
    """Of the source, where a share of its score is to be kept."""
    missing: str = ""
    """Why there are none of the target."""
    decisions: list[Decision] = field(default_factory=list)

    @property
    def needed(self) -> list[Split | None]:
        """Splits without whose pictures a share of the source cannot be kept; empty where none is asked for."""
        if self.source is None:
            return []
        checked = [split for one in self.first_runs for split in (one.target, one.source.check)]
        return [*(checked or [self.target, self.source.check]), self.source.replay]


def keep_out(recipe: Recipe, domain: Domain, opened: OpenedData, spec: BaseSpec) -> KeptOut:
    """Divides the pictures to tune on as the recipe says, and opens those that lie apart.

    Raises:
        UsageError: a share of the source's score is to be kept, and there are no pictures to check it on.
    """
    train = opened.train
    if recipe.calibrate_px is not None and recipe.calibrate == NONE:
        raise UsageError(f"calibrate_px {recipe.calibrate_px:g} with calibrate none, so that no confidence is fitted",
                         "one of them", "leave --calibrate-px out")  # fmt: skip
    if recipe.calibrate_share is not None and (recipe.calibrate == NONE or recipe.text_only):
        raise UsageError(
            f"calibrate_share {recipe.calibrate_share:g} where no picture is kept out", "one of them",
            "leave --calibrate-share out" + ("" if recipe.text_only else ", or give --calibrate keep-out"),
        )  # fmt: skip
    if recipe.keep is not None:
        _check_keep(recipe, opened, spec)
    elif recipe.calibrate == NONE or recipe.text_only:
        why = "the recipe says none" if recipe.calibrate == NONE else "with text_only, no label of the target is used"
        return KeptOut(train, missing=why)
    elif not _is_asked(recipe):
        found = _validation(recipe, domain, opened)
        if found.target is not None or not _is_divided(recipe):
            return found
    if train.task != "pose2d" or not isinstance(train.table, PoseTable):
        return KeptOut(train, missing="only for poses in pictures of one data set")
    # pictures without labels come in a part of their own, which must not see those that are kept out
    if recipe.keep is not None and opened.unlabelled is None and not _is_out(recipe):
        return _with_first_runs(recipe, domain, opened, spec)
    return _of_one_run(recipe, domain, opened, spec)


def _of_one_run(recipe: Recipe, domain: Domain, opened: OpenedData, spec: BaseSpec) -> KeptOut:
    """Some of the pictures to tune on, which are kept out."""
    train = opened.train
    share, points = recipe.calibrate_share, 0 if recipe.keep is not None else POINTS
    rest, out, count = _divided(train, recipe.seed, share, MOST_PERSONS, points)
    if out is None:
        if recipe.keep is not None:
            raise _too_few(count, _LEAST_COUNT if share is None else math.ceil(LEAST / share))
        share = f"a share of {recipe.calibrate_share or SHARE:g}; --calibrate-share sets it"
        return KeptOut(train, missing=f"{count} pictures to tune on are too few to keep {LEAST} of them out ({share})")
    kept_points = int((out.table.column("keypoints")[_drawn(out)][..., 2] > 0).sum())
    if points and kept_points < LEAST_POINTS:
        why = f"{len(paths_of(out))} of {count} pictures to tune on have {kept_points} labelled key points"
        return KeptOut(train, missing=f"{why}; it takes {LEAST_POINTS}, so none is kept out")
    why = "they are not tuned on: confidence is calibrated on them; --calibrate-share sets how many"
    why += ", --calibrate none tunes on them too" if not _is_asked(recipe) else ""
    if share is None and points and len(paths_of(out)) > _usual(count):
        why += f" (15 % of them would have fewer than {points} labelled key points)"
    if recipe.keep is not None:
        why = "they show what the change gains on the target; none of them is scored"
    decision = Decision("kept out", f"{len(paths_of(out))} of {count} pictures to tune on", why)
    found = KeptOut(rest, some_of(out, recipe.seed, MOST_PERSONS), decisions=[decision])
    if recipe.keep is None:
        return found
    source = source_pictures(recipe, domain, opened, spec, tuned_on=paths_of(rest), out=paths_of(out))
    return replace(found, source=source, decisions=[decision, *source.decisions])


def _too_few(count: int, least: int) -> UsageError:
    return UsageError(
        f"keep with {count} pictures to tune on", f"at least {least}, of which some are kept out",
        "leave --keep out, or label more pictures",
    )  # fmt: skip


def _with_first_runs(recipe: Recipe, domain: Domain, opened: OpenedData, spec: BaseSpec) -> KeptOut:
    """All pictures to tune on, and first runs that leave each out once; with replay one run that leaves some out."""
    train, replays = opened.train, recipe.keeping.weight > 0
    one, other, count = _divided(train, recipe.seed, None if replays else 0.5)
    if other is None:
        raise _too_few(count, _LEAST_COUNT if replays else 2 * LEAST)
    parts = [(one, other)] if replays else [(one, other), (other, one)]
    sources = [
        source_pictures(recipe, domain, opened, spec, tuned_on=paths_of(rest), out=paths_of(out)) for rest, out in parts
    ]
    checks, most = shared_out([source.check for source in sources]), MOST_PERSONS // len(parts)
    runs = tuple(
        FirstRun(rest, some_of(out, recipe.seed, most), replace(source, check=some_of(check, recipe.seed, most)))
        for (rest, out), source, check in zip(parts, sources, checks, strict=True)
    )
    value = f"{len(paths_of(other))} of {count} pictures to tune on"
    why = "a first run without them decides what is kept of the change, a second one is tuned on all"
    if not replays:
        value = f"each of {count} pictures to tune on, from one of two first runs"
        why = "on what they leave out it is decided what is kept of the change; the last run is tuned on all"
    decision = Decision("kept out", value, f"{why}; --calibrate keep-out leaves some out of one run")
    missing = f"no picture is kept out of the last run; --calibrate {KEEP_OUT} keeps some out, of one run"
    missing = "the recipe says none" if recipe.calibrate == NONE else missing
    source = runs[0].source
    return KeptOut(train, None, runs, source, missing, [decision, *source.decisions])


def _is_out(recipe: Recipe) -> bool:
    """True where pictures are kept out for the calibration."""
    return _is_asked(recipe) or (recipe.calibrate == AUTO and _is_divided(recipe))


def _is_asked(recipe: Recipe) -> bool:
    """True where the user says that pictures to tune on are kept out; whoever says how many says that."""
    return recipe.calibrate == KEEP_OUT or (recipe.calibrate == AUTO and recipe.calibrate_share is not None)


def as_many_steps(given: Recipe, recipe: Recipe, opened: OpenedData, found: KeptOut) -> tuple[Recipe, KeptOut]:
    """Raises the epochs so that `keep`, which keeps pictures out, takes as many steps as the run without it.

    Args:
        given: the recipe as it was given; steps or epochs that it names stay.
        recipe: with what was chosen.
        opened: the data.
        found: what is left to tune on.
    """
    train = given.train
    is_said = train.steps is not None or train.epochs is not None or train.minutes is not None
    if found.source is None or found.first_runs or is_said or not recipe.train.epochs:
        return recipe, found
    all_of_them, rest = len(opened.train.table), len(found.train.table)
    epochs = round(recipe.train.epochs * all_of_them / rest, 2)
    line = Decision(
        "epochs", f"{epochs:g}", "as many steps as without --keep, on fewer pictures; --train.epochs sets it"
    )
    longer = replace(recipe, train=replace(recipe.train, epochs=epochs))
    return longer, replace(found, decisions=[*found.decisions, line])


def _check_keep(recipe: Recipe, opened: OpenedData, spec: BaseSpec) -> None:
    source = opened.source.split
    if source is None and recipe.keeping.replay_pictures is None:
        raise UsageError(
            f"keep {recipe.keep:g} without pictures of the source ({opened.source.missing})",
            "pictures of what the base was trained on, or of what is to be kept",
            "give --replay-pictures FOLDER (pictures without labels), or --source-annotations FOLDER with "
            "train.json and test.json (and --source-data FOLDER), or leave --keep out",
        )  # fmt: skip
    name, theirs = ("the base's answers", spec.skeleton) if source is None else (source.name, source.table.skeleton)
    if theirs.keypoints != opened.train.table.skeleton.keypoints or (source and source.task != "pose2d"):
        raise UsageError(
            f"keep {recipe.keep:g} of {name}, whose key points are not those of the adapter",
            "source and target with the same key points: the base alone has other answers for the source",
            "leave --keep out: the base is as before when the adapter is off",
        )  # fmt: skip
    if recipe.text_only:
        raise UsageError("keep with text_only", "one of them: text_only is checked on the source anyway",
                         "leave --keep out")  # fmt: skip


def _is_divided(recipe: Recipe) -> bool:
    """True where some pictures are kept out without being asked for: own data, all of whose pictures are used.

    Whoever asks for a number of pictures gets that number, and built-in domains are tuned on all of theirs.
    """
    return recipe.data.shots == "all" and is_own_data(recipe.domain)


def _validation(recipe: Recipe, domain: Domain, opened: OpenedData) -> KeptOut:
    """The domain's validation pictures, if they are others than those that are tuned and tested on."""
    fix = "; --calibrate keep-out keeps some of the pictures to tune on out"
    none = KeptOut(opened.train, missing=f"no validation pictures beside those that are tested on{fix}")
    if recipe.evaluate.split == "val" or "val" not in domain.splits or opened.train.task != "pose2d":
        return none
    try:
        val = limited(domain.open("val", replace(recipe.data, boxes=NO_BOXES)), recipe.data)
    except LvtuneError:
        return none
    if not isinstance(val.table, PoseTable):
        return none
    if paths_of(val) & (paths_of(opened.test) | paths_of(opened.train)):
        return none
    val = some_of(val, recipe.seed, MOST_PERSONS)
    if not all(val.table.image_path(i).is_file() for i in range(len(val.table))):
        return KeptOut(opened.train, missing=f"some validation pictures are missing{fix}")
    return KeptOut(opened.train, val)


def _divided(
    split: Split, seed: int, share: float | None = None, most: int | None = None, points: int = 0
) -> tuple[Split, Split | None, int]:
    """Returns what is tuned on, what is kept out (None: too few), and how many pictures there are.

    Args:
        split: the pictures to tune on.
        seed: draws those that are kept out.
        share: of the pictures; None: ``SHARE``, at most ``MOST`` of them.
        most: pictures that are kept out if a share is given.
        points: without a share, more pictures are kept out if these have fewer labelled key points.
    """
    names = split.table.column("image").astype(str)
    rows = _drawn(split)
    pictures, first, of_picture = np.unique(names[rows], return_index=True, return_inverse=True)
    if share is None:
        count = _usual(len(pictures))
    else:
        count = int(share * len(pictures) + 1e-9)  # 0.29 of 100 are 29
        count = count if most is None else min(most, count)
    if count < LEAST:
        return split, None, len(pictures)
    kinds = split.table.column("category").astype(str)[rows][first].tolist()
    order = nested_order(pictures.tolist(), kinds, seed)
    counts = np.zeros((len(pictures), split.table.column("keypoints").shape[1]), np.int64)
    np.add.at(counts, of_picture, split.table.column("keypoints")[rows][..., 2] > 0)
    if share is None and points:
        labelled = counts.sum(1)
        enough = int(np.searchsorted(np.cumsum(labelled[order]), points)) + 1
        most = min(MOST, int(MOST_SHARE * len(pictures)), len(pictures) - LEAST_LEFT)
        count = max(count, min(enough, most))
    is_out = np.isin(names, pictures[_leaving_labels(np.asarray(order), count, counts)])
    if len(set(names[rows][is_out[rows]])) < LEAST:
        return split, None, len(pictures)
    return _rows(split, ~is_out), _rows(split, is_out), len(pictures)


def _leaving_labels(order: np.ndarray, count: int, labels: np.ndarray) -> np.ndarray:
    """Returns ``count`` pictures in their order, or fewer, so that of each key point some labels stay.

    A key point that few pictures show would else have no label to learn from.

    Args:
        order: of the pictures.
        count: how many are wanted.
        labels: (pictures, K) labels of each key point in each picture.
    """
    there, found = labels.sum(0), list[int]()
    most = np.maximum(there // 2, there - LEAST_LABELS)
    for picture in order:
        if len(found) == count:
            break
        if (labels[picture] <= most).all():
            most = most - labels[picture]
            found.append(picture)
    return np.array(found, dtype=np.int64)


def _drawn(split: Split) -> np.ndarray:
    """Rows of the table that are used: those of which a draw has a view, or all."""
    if split.items is None:
        return np.arange(len(split.table))
    return np.unique(np.array(split.items, dtype=np.int64) // len(split.views or " "))


def _usual(count: int) -> int:
    """Pictures of ``count`` that are kept out if nothing is said."""
    return min(MOST, round(SHARE * count))


def _rows(split: Split, chosen: np.ndarray) -> Split:
    """The persons where ``chosen`` (N,) is true; where only some of their views are used, these views."""
    if split.items is not None:
        views = len(split.views or " ")
        return replace(split, items=tuple(item for item in split.items if chosen[item // views]))
    table: Any = split.table
    return split.with_table(table.select(np.flatnonzero(chosen)))
