"""A user's own pictures, annotated in COCO's key point format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError
from lvtune.data.skeletons import get_skeleton
from lvtune.data.table import PoseTable, read_coco
from lvtune.domains.domain import Domain, Split, to_options
from lvtune.language.sentences import sentence_for

PARTS = ("train", "val", "test")
TEST_SHARE = 0.2
_LAYOUT = "ANNOTATIONS a COCO key point JSON, or a folder with train.json and test.json; FOLDER the pictures"


def custom_domain(data: DataOptions | str | Path, *, name: str = "custom") -> Domain:
    """A domain of the user's own pictures.

    Skeleton and categories are read from the annotations: the key points of the file's category, and each
    image's ``category`` field, else the annotation's category where the file has several, else the one category
    ``default``. A single annotation file is split by picture,
    80 % to tune and 20 % to test: those of the smallest SHA-256 of ``file_name``.

    Args:
        data: ``annotations`` names a JSON file or a folder with train.json, val.json, test.json (by default
            the folder ``annotations`` in ``data``); ``data`` the folder of the pictures (by default that of
            the annotations); ``test_annotations`` a JSON file to test on; ``skeleton`` a known skeleton, else
            the file's own.
        name: of the domain.

    Raises:
        LvtuneError: a file is missing or faulty; the parts have different key points.
    """
    options = to_options(data)
    tables = {part: _read(file, options) for part, file in _files(options).items()}
    skeletons = {part: table.skeleton for part, table in tables.items()}
    first = next(iter(skeletons.values()))
    for part, skeleton in skeletons.items():
        if skeleton.keypoints != first.keypoints:
            raise LvtuneError(
                f"{part} annotations with {len(skeleton.keypoints)} other key points",
                f"the {len(first.keypoints)} of the first file in the same order",
                "annotate all parts alike, or name a skeleton that both have",
            )
    found = sorted({category for table in tables.values() for category in table.column("category")})
    return Domain(
        name=name,
        title="own pictures",
        skeleton=first,
        categories=tuple(found),
        sentences={category: sentence_for(category) for category in found},
        # The data were named when the domain was made; what is named on opening adds boxes at most.
        reader=lambda domain, split, later: _split(tables, split, options),
        source="your own pictures",
        layout=_LAYOUT,
        splits=(*PARTS, "all"),
    )


def _files(data: DataOptions) -> dict[str, Path]:
    """Part to annotation file; ``all`` is a file that is still to be split."""
    given = data.annotations
    if given is None and data.data is not None and (Path(data.data) / "annotations").is_dir():
        given = str(Path(data.data) / "annotations")
    files: dict[str, Path] = {}
    if given is not None and Path(given).is_dir():
        files = {part: Path(given) / f"{part}.json" for part in PARTS}
        files = {part: file for part, file in files.items() if file.is_file()}
        if not files:
            raise LvtuneError(f"folder {given} without train.json, val.json or test.json", _LAYOUT,
                              "name the annotation file itself")  # fmt: skip
        if set(files) == {"train"}:
            files = {"all": files["train"]}
    elif given is not None:
        files = {"all": Path(given)}
    if data.test_annotations:
        files["test"] = Path(data.test_annotations)
        if "all" in files:
            files["train"] = files.pop("all")
    if not files:
        raise LvtuneError("own pictures without annotations", _LAYOUT,
                          "give --annotations FILE.json --data FOLDER")  # fmt: skip
    return files


def _category(image: dict[str, Any]) -> str:
    return str(image["category"] or image["label"]).strip().replace(" ", "_") or "default"


def _read(file: Path, data: DataOptions) -> PoseTable:
    root = Path(data.data) if data.data is not None else file.parent
    options = {
        "skeleton": get_skeleton(data.skeleton) if data.skeleton else None,
        "category_of": _category,
    }
    table = read_coco(file, root, **options)
    inside = root / "images"
    if not table.image_path(0).is_file() and (inside / table[0].image).is_file():
        return read_coco(file, inside, **options)
    return table


def _split(tables: dict[str, PoseTable], split: str, data: DataOptions) -> Split:
    name = "own pictures"
    if split in tables:
        return Split(tables[split], f"{name} ({split})")
    if split == "val" and "test" in tables:
        return Split(tables["test"], f"{name} (test)")
    if split == "test" and "val" in tables:
        return Split(tables["val"], f"{name} (val)")
    if "all" in tables:
        return _divide(tables["all"], split, name)
    if split == "all" and len(tables) == 1:
        return Split(next(iter(tables.values())), name)
    raise LvtuneError(
        f"split '{split}' of own pictures annotated as {', '.join(tables)}",
        f"annotations of the part {split}",
        "name one JSON file (split 80/20), or a folder with train.json and test.json",
    )


def _divide(table: PoseTable, split: str, name: str) -> Split:
    """80 % of the pictures to tune, 20 % (at least one) to test, the same however often it is asked."""
    files = table.column("image")
    order = sorted(set(files), key=lambda file: hashlib.sha256(file.encode()).hexdigest())
    if len(order) < 2:
        raise LvtuneError(
            f"one picture ({order[0]}), which cannot be split into train and test", "at least two pictures",
            "give --test-annotations FILE.json too",
        )  # fmt: skip
    tested = set(order[: max(1, round(TEST_SHARE * len(order)))])
    is_test = np.array([file in tested for file in files])
    rows = np.flatnonzero(~is_test if split == "train" else is_test)
    share = f"{1 - TEST_SHARE:.0%}" if split == "train" else f"{TEST_SHARE:.0%}"
    return Split(table.select(rows), f"{name} ({share} of the pictures)")
