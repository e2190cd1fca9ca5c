"""Opens the data that a base was trained on, to measure what an adapter keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.data.mixed import MixedTable
from lvtune.domains.custom import custom_domain
from lvtune.domains.domain import FOUND_BOXES, PUBLISHED, Domain, Split, to_options
from lvtune.domains.domain_registry import DOMAINS
from lvtune.domains.find_domain import get_domain

NOT_MEASURED = "there are no pictures of the source; not measured: give --source-data FOLDER"
NO_SOURCE = "none"
"""``DataOptions.source_data`` where no source is wanted, though it lies beside the target."""


@dataclass(frozen=True)
class Source:
    """Pictures of what the base was trained on, or why there are none."""

    split: Split | None
    missing: str = ""
    """Why there are none."""
    beside: Path | None = None
    """Folder beside the target's in which they were found; None: they were named, or ship."""


def find_source(
    domain: Domain, split: str = "test", data: DataOptions | str | Path | None = None, trained_on: str = ""
) -> Source:
    """Opens the same split of the source: what the user names, the domain's own, or what lies beside the target.

    Args:
        domain: the target.
        split: one of ``splits`` of the target.
        data: where target and source lie.
        trained_on: domain that the base was trained on.

    Raises:
        LvtuneError: the source that the user names, or the domain's own, cannot be opened.
    """
    options = to_options(data)
    if options.source_data == NO_SOURCE:
        return Source(None, "not measured: --source-data is none")
    named = source_split(domain, split, options, trained_on)
    if named is not None:
        return Source(named)
    parts = [part.partition("/")[0] for part in domain.name.split("+")]
    if trained_on in parts:
        is_whole = len(parts) == 1
        why = "is the target" if is_whole else "is a part of the target, scored there by name"
        return Source(None, f"{NOT_MEASURED} (the base was trained on {trained_on}, which {why})")
    folder = _beside(domain, options, trained_on)
    if folder is None:
        return Source(None, NOT_MEASURED)
    found = get_domain(trained_on).open(split, replace(_boxes_of(options), data=str(folder)))
    lacking = _missing_picture(found)
    if lacking is not None:
        return Source(None, f"{NOT_MEASURED} ({folder} lacks the picture {lacking})")
    return Source(found, beside=folder)


def _beside(domain: Domain, options: DataOptions, trained_on: str) -> Path | None:
    """Returns the folder of the base's training data beside the target's; None if it is not there."""
    if trained_on not in DOMAINS or not domain.layout or options.data is None or options.annotations:
        return None
    target, lies_in = Path(options.data), get_domain(trained_on).lies_in
    if lies_in is None or not target.is_dir():
        return None
    names = (trained_on, trained_on.upper(), trained_on.title())
    places = [target, *(place / name for place in (target, target.resolve().parent) for name in names)]
    return next((place for place in places if lies_in(place)), None)


def _missing_picture(split: Split) -> Path | None:
    table = split.table
    paths = [] if isinstance(table, MixedTable) else [table.image_path(i) for i in range(len(table))]
    return next((path for path in paths if not path.is_file()), None)


def source_split(
    domain: Domain, split: str = "test", data: DataOptions | str | Path | None = None, trained_on: str = ""
) -> Split | None:
    """Opens the same split of the source domain; returns None without such data.

    Args:
        domain: the target.
        split: one of ``splits`` of the target.
        data: ``source_data`` and ``source_annotations`` say where the source lies. Without them the
            domain's own source is taken, if it has one.
        trained_on: domain that the base was trained on, whose layout ``source_data`` has.

    Raises:
        LvtuneError: as for :meth:`lvtune.domains.domain.Domain.open`.
    """
    options = to_options(data)
    if not (options.source_annotations or options.source_data):
        return None if domain.source_reader is None else domain.source_reader(domain, split, options)
    own = DataOptions(data=options.source_data, annotations=options.source_annotations)
    known = options.source_domain or (trained_on if trained_on in DOMAINS else "")
    if known and not options.source_annotations:
        return get_domain(known).open(split, replace(_boxes_of(options), data=options.source_data))
    own = replace(own, test_annotations=own.annotations) if _is_file(own.annotations) else own
    return custom_domain(own).open(split, own)


def _boxes_of(options: DataOptions) -> DataOptions:
    """Returns which detector boxes are wanted of the source: those in its own layout, as of the target's."""
    if options.boxes not in (PUBLISHED, FOUND_BOXES):
        return DataOptions()
    return DataOptions(boxes=options.boxes, box_format=options.box_format)


def _is_file(path: str | None) -> bool:
    return path is not None and Path(path).is_file()
