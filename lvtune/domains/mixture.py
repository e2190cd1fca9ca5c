"""Mixtures of domains: ``coco+humanart`` is tuned on the persons of both, and tested on each by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from lvtune.config.options import DataOptions
from lvtune.core.errors import UsageError
from lvtune.data.mixed import MixedTable
from lvtune.data.pose_table import PoseTable
from lvtune.domains.domain import FOUND_BOXES, NO_BOXES, PUBLISHED, Domain, Split

_HOW = "--data coco=DIR,humanart=DIR, or one folder with a folder named after each part"


def mixture(parts: Mapping[str, Domain]) -> Domain:
    """Makes one domain of several; a part may be a subset (``humanart/sketch``).

    Args:
        parts: name to domain, two or more.

    Raises:
        LvtuneError: parts with different key points, or with different sentences for one category.
    """
    first, *others = parts.values()
    for other in others:
        if other.get_skeleton().keypoints != first.get_skeleton().keypoints:
            raise UsageError(
                f"mixture of {first.name} ({first.get_skeleton().name}) and {other.name} "
                f"({other.get_skeleton().name})", "domains of the same key points", "adapt to one of them",
            )  # fmt: skip
    sentences: dict[str, str] = {}
    for domain in parts.values():
        for category, sentence in domain.sentences.items():
            if sentences.setdefault(category, sentence) != sentence:
                raise UsageError(
                    f"mixture '{'+'.join(parts)}' with two sentences for '{category}'",
                    "one sentence for each category",
                    "adapt to one of the domains",
                )
    return Domain(
        name="+".join(parts),
        title=f"mixture of {', '.join(parts)}",
        skeleton=first.skeleton,
        categories=tuple(sentences),
        sentences=sentences,
        reader=partial(_read, parts),
        method=first.method if all(domain.method == first.method for domain in others) else "",
        source="; ".join(domain.source for domain in parts.values()),
        layout="; ".join(domain.layout for domain in parts.values()),
        splits=tuple(part for part in first.splits if all(part in domain.splits for domain in others)),
    )


def _read(parts: Mapping[str, Domain], domain: Domain, split: str, data: DataOptions) -> Split:
    given = [n for n in ("annotations", "test_annotations") if getattr(data, n)]
    given += ["boxes"] if data.boxes not in (None, PUBLISHED, FOUND_BOXES, NO_BOXES) else []
    if given:
        raise UsageError(f"data.{given[0]} with the mixture '{domain.name}'", "data sets in their published layouts",
                          f"give {_HOW}")  # fmt: skip
    folders = folders_of(parts, data.data)
    opened = {name: part.open(split, replace(data, data=folders[name], mix=None)) for name, part in parts.items()}
    drawn = [name for name, one in opened.items() if one.render is not None or one.samples is not None]
    if drawn:
        raise UsageError(f"{drawn[0]} in a mixture: its pictures are made when they are read", "data sets of pictures",
                          f"adapt to {drawn[0]} by itself")  # fmt: skip
    tables = {name: one.table for name, one in opened.items() if isinstance(one.table, PoseTable)}
    found = {len(table.skeleton.keypoints) for table in tables.values()}
    if len(found) > 1:
        raise UsageError(f"parts of '{domain.name}' with {' and '.join(map(str, sorted(found)))} key points",
                          "the same key points", "leave --data.skeleton out")  # fmt: skip
    detected = {name: one.detected for name, one in opened.items() if isinstance(one.detected, PoseTable)}
    published = {name: one.as_published for name, one in opened.items() if isinstance(one.as_published, PoseTable)}
    shares = _shares(domain.name, list(parts), data.mix)
    return Split(
        MixedTable(tables, shares if split == "train" else None),
        " + ".join(one.name for one in opened.values()),
        detected=MixedTable(detected) if len(detected) == len(opened) else None,
        as_published=MixedTable(published) if len(published) == len(opened) else None,
    )


def folders_of(parts: Mapping[str, Domain], data: str | None) -> dict[str, str | None]:
    """Returns part to folder: named as ``part=DIR,part=DIR``, or by a folder with one for each part."""
    from pathlib import Path

    kinds = {name: name.partition("/")[0] for name in parts}
    pairs = [piece.partition("=") for piece in (data or "").split(",")]
    if data and all(equals and key.strip() in kinds.values() for key, equals, _ in pairs):
        named = {key.strip(): folder.strip() for key, _, folder in pairs}
        lacking = [kind for kind in kinds.values() if kind not in named]
        if lacking:
            raise UsageError(f"data of the mixture without {lacking[0]}", "a folder for each part", f"give {_HOW}")
        return {name: named[kind] for name, kind in kinds.items()}
    if data is None or not Path(data).is_dir():
        return dict.fromkeys(parts, data)
    # where there is no folder of that name the whole one is meant, as for HumanArt/ beside coco/
    return {name: str(Path(data) / kind) if (Path(data) / kind).is_dir() else data for name, kind in kinds.items()}


def _shares(name: str, parts: list[str], mix: str | None) -> tuple[float, ...] | None:
    if mix is None:
        return None
    try:
        shares = tuple(float(share) for share in mix.split(":"))
    except ValueError:
        shares = ()
    if len(shares) != len(parts) or not all(0 < share < float("inf") for share in shares):
        raise UsageError(f"mix '{mix}' of {name}", f"{len(parts)} numbers above 0, for {', '.join(parts)}",
                          f"such as --mix {':'.join('1' for _ in parts)}")  # fmt: skip
    return shares
