"""Domains and their splits: what is tuned and tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.core.registry import suggest
from lvtune.data.flip_pairs import parse_flip_pairs
from lvtune.data.hand_table import HandTable
from lvtune.data.mixed import MixedTable
from lvtune.data.skeletons import Skeleton, get_skeleton
from lvtune.data.table import PoseTable, with_boxes

if TYPE_CHECKING:
    from torch.utils.data import Dataset

Render = Callable[[np.ndarray, str, int], np.ndarray]


@dataclass(frozen=True)
class Split:
    """Persons of one part of a domain, and how their pictures are shown."""

    table: PoseTable | MixedTable | HandTable
    name: str
    """Its name in reports, such as "LSPET photographs under filters (demo-art)"."""
    render: Render | None = None
    """``render(image, view, index)`` changes a picture; None: it stays as it is."""
    views: tuple[str, ...] | None = None
    """Each person is shown in each of these views; None: once, in the view of its category."""
    items: tuple[int, ...] | None = None
    """The samples that are used, where not every person is shown in every view; None: all."""
    samples: Callable[..., Dataset] | None = field(default=None, repr=False)
    """``samples(table, input_size=, mean=, std=, augment=, seed=, cache=)`` makes what is trained and tested on, such
    as hands in 3D; None: a :class:`lvtune.data.dataset.PoseDataset`."""
    task: str = "pose2d"
    """What is predicted and how it is scored; a name in :data:`lvtune.evaluation.task.SCORERS`."""
    published_boxes: Path | None = None
    """Detector boxes in the data set's own layout; None: it has none."""
    published_box_format: Literal["xywh", "xyxy"] | None = None
    """How the published evaluation reads these boxes, whatever they are; None: as they are."""
    detected: PoseTable | MixedTable | None = None
    """The same pictures with a detector's boxes, to be scored as well; None: with the annotated boxes alone."""
    as_published: PoseTable | MixedTable | None = None
    """The same with the boxes as the published evaluation reads them, to be scored too; None: not asked for."""

    def picture(self, index: int) -> np.ndarray:
        """Returns the whole picture of the person at ``index``, (H, W, 3) uint8 RGB, in the view of its category."""
        image, person = self.table.picture(index), self.table[index]
        return image if self.render is None else self.render(image, person.category, person.index)

    def first(self, count: int) -> Split:
        """Returns the first ``count`` persons (of each part of a mixture) and the boxes in their pictures."""
        whole = self.table
        return self.with_table(whole.first(count) if isinstance(whole, MixedTable) else whole.select(range(count)))

    def with_table(self, table: PoseTable | MixedTable | HandTable) -> Split:
        """Returns the split with the persons of ``table`` and the detector's boxes in their pictures."""
        boxes = {name: _in_pictures(getattr(self, name), table) for name in ("detected", "as_published")}
        return replace(self, table=table, items=None, **boxes)


def _in_pictures(boxes: PoseTable | MixedTable | None, table: object) -> PoseTable | MixedTable | None:
    if isinstance(boxes, MixedTable):
        return boxes.in_pictures_of(table) if isinstance(table, MixedTable) else None
    return boxes.in_pictures_of(table) if isinstance(boxes, PoseTable) and isinstance(table, PoseTable) else None


Reader = Callable[["Domain", str, DataOptions], Split]
"""(domain, name of the split, where the data lie) -> Split."""


@dataclass(frozen=True)
class Domain:
    """A named kind of picture: its data, its categories, and the sentences that describe it."""

    name: str
    title: str
    """One line for lists and cards."""
    skeleton: str | Skeleton
    """Of its annotations; a known name or the skeleton itself."""
    categories: tuple[str, ...]
    sentences: Mapping[str, str]
    """Category to sentence."""
    reader: Reader = field(repr=False)
    """Reads a split."""
    source: str
    """Where the data come from, with the citation."""
    layout: str = ""
    """The files expected in the folder that the user names; empty where the data ship with the package."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names for several categories."""
    further: Mapping[str, str] = field(default_factory=dict)
    """Categories that belong to the domain only if they are asked for by name, and their sentences."""
    splits: tuple[str, ...] = ("train", "val", "test")
    """What ``reader`` can read."""
    lies_in: Callable[[Path], bool] | None = field(default=None, repr=False)
    """Tells whether a folder holds the test part in the published layout; None: it cannot be told."""
    method: str = ""
    """Method that adapts to it where the user names none, with its published settings; "": ``vlpose-light``."""
    source_reader: Reader | None = field(default=None, repr=False)
    """Reads the same split of the domain that is left, where it ships along."""
    is_subset: bool = False
    """True if ``categories`` are only some of those that ``reader`` gives."""

    def get_skeleton(self) -> Skeleton:
        """Returns the skeleton of its annotations."""
        return self.skeleton if isinstance(self.skeleton, Skeleton) else get_skeleton(self.skeleton)

    def subset(self, names: str | Sequence[str]) -> Domain:
        """Returns the same domain with some of its categories.

        Args:
            names: categories or groups; a string may hold several, with commas.

        Raises:
            LvtuneError: no such category or group.
        """
        asked = names.split(",") if isinstance(names, str) else list(names)
        every, sentences = (*self.categories, *self.further), {**self.sentences, **self.further}
        chosen: list[str] = []
        for name in (one.strip().replace(" ", "_").replace("-", "_") for one in asked):
            known = {**{c: (c,) for c in every}, **self.groups}
            if name not in known:
                raise UsageError(
                    f"unknown part '{name}' of domain '{self.name}'",
                    f"one of {', '.join(known)}",
                    suggest(name, list(known), f"`--domain {self.name}` takes all"),
                )
            chosen += known[name]
        kept = tuple(c for c in every if c in chosen)
        groups = {name: kinds for name, kinds in self.groups.items() if set(kinds) <= set(kept)}
        return replace(
            self, name=f"{self.name}/{','.join(a.strip() for a in asked)}", categories=kept, groups=groups,
            sentences={c: sentences[c] for c in kept}, further={}, is_subset=True,
        )  # fmt: skip

    def open(self, split: str = "test", data: DataOptions | str | Path | None = None) -> Split:
        """Opens a split.

        Args:
            split: one of ``splits``.
            data: where the data lie; a path is taken as ``DataOptions.data``.

        Raises:
            LvtuneError: no such split; data missing or faulty; no person in the categories asked for.
        """
        options = to_options(data)
        if split not in self.splits:
            raise UsageError(
                f"split '{split}' of domain '{self.name}'",
                f"one of {', '.join(self.splits)}",
                suggest(split, list(self.splits), f"choose {self.splits[-1]}"),
            )
        if options.mix is not None and "+" not in self.name:
            raise UsageError(f"mix '{options.mix}' of domain '{self.name}'", "a mixture such as coco+humanart",
                              "leave --mix out")  # fmt: skip
        opened = self.reader(self, split, options)
        # With views the category is the view's, and the reader takes those of the subset.
        table = _only(opened.table, self) if self.is_subset and not opened.views else opened.table
        table = _as_said(table, options, self.name)
        return _detected(self, replace(opened, table=table), options)


def _as_said(
    table: PoseTable | MixedTable | HandTable, options: DataOptions, name: str
) -> PoseTable | MixedTable | HandTable:
    """Returns the table with the mirror pairs and the size limit that the user gives."""
    if isinstance(table, PoseTable):
        table = table.limited_to(options.max_pixels)
        own = options.flip_pairs
        return table if own is None else table.with_pairs(parse_flip_pairs(own, table.skeleton.keypoints))
    if options.flip_pairs is not None:
        raise UsageError(
            f"flip pairs '{options.flip_pairs}' for domain '{name}'", "a domain of one skeleton of persons or animals",
            "leave --flip-pairs out",
        )  # fmt: skip
    return table


def to_options(data: DataOptions | str | Path | None) -> DataOptions:
    """Returns ``DataOptions``; a path becomes ``DataOptions.data``."""
    if isinstance(data, DataOptions):
        return data
    return DataOptions(data=None if data is None else str(data))


PUBLISHED, FOUND_BOXES, NO_BOXES = "published", "auto", "none"
"""``DataOptions.boxes`` for those in the data set's own layout, for these if they are there, and for none."""
BOTH_FORMATS = "both"
"""``DataOptions.box_format`` for boxes as they are, and once more as the published evaluation reads them."""


def _detected(domain: Domain, split: Split, options: DataOptions) -> Split:
    """Returns the split with the detector boxes that the options ask for, or that lie in the data set's layout."""
    table = split.table
    if options.boxes in (None, NO_BOXES) or split.detected is not None or not isinstance(table, PoseTable):
        return split
    if options.boxes != FOUND_BOXES:
        return _with_boxes(split, table, _boxes(domain, split, options), options)
    if split.published_boxes is None or not split.published_boxes.is_file():
        return split
    try:
        return _with_boxes(split, table, split.published_boxes, options)
    except DataError as error:  # nobody asked for these boxes
        return replace(split, table=table.with_note(f"detector boxes are not scored: {error.given}"))


def _with_boxes(split: Split, table: PoseTable, file: str | Path, options: DataOptions) -> Split:
    is_twice = options.box_format == BOTH_FORMATS
    detected = with_boxes(table, file, "auto" if is_twice else options.box_format)
    if not is_twice:
        return replace(split, detected=detected)
    usual = split.published_box_format
    return replace(split, detected=detected, as_published=with_boxes(table, file, usual) if usual else detected)


def _boxes(domain: Domain, split: Split, options: DataOptions) -> str | Path:
    if options.boxes != PUBLISHED:
        return str(options.boxes)
    if split.published_boxes is None:
        raise UsageError(
            f"boxes '{PUBLISHED}' of domain '{domain.name}', which has none", "a JSON file of detector boxes",
            "give --data.boxes FILE, or leave it out",
        )  # fmt: skip
    if not split.published_boxes.is_file():
        raise missing(domain, f"no detector boxes {split.published_boxes}")
    return split.published_boxes


def _only(table: PoseTable | MixedTable | HandTable, domain: Domain) -> PoseTable | MixedTable | HandTable:
    rows = np.flatnonzero(np.isin(table.column("category").astype(str), domain.categories))
    if not len(rows):
        found = sorted(set(table.column("category")) - {""})
        raise DataError(
            f"no person in {', '.join(domain.categories)} among the annotations",
            f"pictures of these categories (found: {', '.join(found) or 'none'})",
            "choose categories that the annotation file has",
        )
    return table.select(rows)


def need_folder(domain: Domain, data: DataOptions) -> Path:
    """Returns the folder of the data that the user named.

    Raises:
        DataError: no folder was named, or it does not exist. The error says where the data come from.
    """
    if data.data is None or not Path(data.data).is_dir():
        given = f"no folder at {data.data}" if data.data else f"domain '{domain.name}' without its data"
        raise missing(domain, given)
    return Path(data.data)


def missing(domain: Domain, given: str) -> DataError:
    """Returns the error for missing data; it says where they come from and which layout is expected."""
    whole = domain.name.partition("/")[0]
    return DataError(
        given,
        f"{domain.source}, laid out as {domain.layout}",
        f"fetch it and give --domain {whole} --data FOLDER",
    )
