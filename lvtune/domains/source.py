"""Opens the data that a base was trained on, to measure what an adapter keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lvtune.config.options import DataOptions
from lvtune.domains.custom import custom_domain
from lvtune.domains.domain import PUBLISHED, Domain, Split, to_options
from lvtune.domains.domain_registry import DOMAINS
from lvtune.domains.find_domain import get_domain


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
        published = options.boxes if options.boxes == PUBLISHED else None
        return get_domain(known).open(split, replace(own, boxes=published))
    own = replace(own, test_annotations=own.annotations) if _is_file(own.annotations) else own
    return custom_domain(own).open(split, own)


def _is_file(path: str | None) -> bool:
    return path is not None and Path(path).is_file()
