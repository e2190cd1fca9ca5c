"""A user's own pictures: annotated in COCO's key point format, or the project of another labelling tool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError, UsageError
from lvtune.core.text import counted
from lvtune.data.skeletons import Skeleton, get_skeleton
from lvtune.domains.domain import Domain, Split, to_options
from lvtune.domains.own_labels import LAYOUT, PARTS, OwnLabels, read_own
from lvtune.domains.splitting import divide
from lvtune.language.sentences import sentence_for


def custom_domain(
    data: DataOptions | str | Path, *, name: str = "custom", title: str = "own pictures",
    skeleton: Skeleton | None = None, sentences: Mapping[str, str] | None = None,
) -> Domain:  # fmt: skip
    """A domain of the user's own pictures.

    Skeleton and categories are read from the annotations: the key points of the file's category, and each
    image's ``category`` field, else the annotation's category where the file has several, else the one category
    ``default``. Annotations without parts of their own are split by picture, 80 % to tune and 20 % to test: those of
    the smallest SHA-256 of ``file_name``; ``split_by`` and ``test_pictures`` say it otherwise.

    Args:
        data: ``annotations`` names a JSON file or a folder with train.json, val.json, test.json (by default
            the folder ``annotations`` in ``data``); ``data`` the folder of the pictures (by default that of
            the annotations), or a project of another tool (:mod:`lvtune.data.formats`); ``test_annotations`` a JSON
            file to test on; ``skeleton`` a known skeleton, else the file's own.
        name: of the domain.
        title: one line for lists and cards.
        skeleton: the key points, in place of ``data.skeleton``.
        sentences: category to sentence, for some or all categories.

    Raises:
        LvtuneError: a file is missing or faulty; the parts have different key points.
    """
    options = to_options(data)
    wanted = skeleton or (get_skeleton(options.skeleton) if options.skeleton else None)
    labels = read_own(options, wanted)
    skeletons = {part: table.skeleton for part, table in labels.tables.items()}
    first = next(iter(skeletons.values()))
    for part, other in skeletons.items():
        if other.keypoints != first.keypoints:
            raise DataError(
                f"{part} annotations with {counted(len(other.keypoints), 'other key point')}",
                f"the {len(first.keypoints)} of the first file in the same order",
                "annotate all parts alike, or name a skeleton that both have",
            )
    found = sorted({category for table in labels.tables.values() for category in table.column("category")})
    return Domain(
        name=name,
        title=title,
        skeleton=first,
        categories=tuple(found),
        sentences={category: (sentences or {}).get(category) or sentence_for(category) for category in found},
        # The data were named when the domain was made; what is named on opening adds boxes at most.
        reader=lambda domain, split, later: _split(labels, split, options),
        source="your own pictures",
        layout=LAYOUT,
        splits=(*PARTS, "all"),
    )


def _split(labels: OwnLabels, split: str, data: DataOptions) -> Split:
    name, tables = "own pictures", labels.tables
    if split in tables:
        return Split(tables[split], f"{name} ({split})")
    if split == "val" and "test" in tables:
        return Split(tables["test"], f"{name} (test)")
    if split == "test" and "val" in tables:
        return Split(tables["val"], f"{name} (val)")
    if "all" in tables:
        return divide(tables["all"], split, data, labels.groups)
    if split == "all" and len(tables) == 1:
        return Split(next(iter(tables.values())), name)
    raise UsageError(
        f"split '{split}' of own pictures annotated as {', '.join(tables)}",
        f"annotations of the part {split}",
        "name one JSON file (split 80/20), or a folder with train.json and test.json",
    )
