"""The domains that an adapter was tuned on, one after the other, and their pictures.

The file of an adapter says which they were. Places on the disk are not shared, so they stand in ``report.json`` beside
the adapter; where that is missing, the user says them (``--earlier-data``), or they are those of the new domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.config.options import DataOptions
from lvtune.config.schema import build, plain
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.strict_json import read_json
from lvtune.domains import custom_domain, get_domain
from lvtune.domains.domain import NO_BOXES
from lvtune.domains.domain_file import is_domain_file, read_domain
from lvtune.domains.few_pictures import count_pictures, take_shots
from lvtune.domains.own_domain import CUSTOM

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.domains import Domain, Split

REPORT = "report.json"


@dataclass(frozen=True)
class Link:
    """One domain of a chain."""

    domain: str
    """Its name, as for ``--domain``."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Where its pictures were: values of :class:`lvtune.config.options.DataOptions`."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """Its categories that are called otherwise in the adapter."""
    labelled: bool = True
    """False: the adapter learnt it without its labels."""
    seed: int = 0
    """Of the tuning; it drew the pictures where only some were tuned on (``shots``)."""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the adapter file and in the report."""
        return {**vars(self), "data": dict(self.data), "categories": dict(self.categories)}

    @classmethod
    def from_dict(cls, values: Any) -> Link | None:
        """Returns what :meth:`to_dict` gave; None: it is something else."""
        if not isinstance(values, Mapping) or not isinstance(values.get("domain"), str):
            return None
        names = {str(key): str(value) for key, value in _table(values.get("categories")).items()}
        seed, labelled = values.get("seed"), values.get("labelled") is not False
        return cls(values["domain"], _table(values.get("data")), names, labelled, seed if type(seed) is int else 0)


@dataclass(frozen=True)
class EarlierDomain:
    """An earlier domain with its pictures."""

    link: Link
    train: Split | None = None
    """Those training pictures that may be shown again; None: there are none."""
    test: Split | None = None
    """The pictures that it is scored on."""
    missing: str = ""
    """Why there are no pictures."""

    @property
    def name(self) -> str:
        """Of the domain."""
        return self.link.domain


def chain_of(config: Mapping[str, Any], place: Path) -> list[Link]:
    """Returns the domains of an adapter, in the order in which it learnt them.

    Args:
        config: of the adapter file.
        place: folder or file of the adapter; a report beside it knows where the pictures are.
    """
    training = config.get("training") or {}
    recipe, earlier = _table(training.get("recipe")), training.get("earlier") or []
    report = report_beside(place)
    if _table(report.get("recipe")).get("domain") == recipe.get("domain") and recipe:
        recipe, earlier = _table(report["recipe"]), report.get("earlier") or earlier
    links = [link for link in map(Link.from_dict, earlier) if link is not None]
    name = recipe.get("domain") or config.get("domain")
    if not isinstance(name, str):
        return links
    data = _table(recipe.get("data"))
    kept = {key: value for key, value in data.items() if value is not None}
    labelled = not recipe.get("text_only") and data.get("shots") != 0
    seed = recipe.get("seed")
    return [*links, Link(name, kept, {}, labelled, seed if type(seed) is int else 0)]


def recipe_of_adapter(config: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Returns the recipe that an adapter was tuned with: that of the report beside it, or of its file."""
    own = _table((config.get("training") or {}).get("recipe"))
    beside = _table(report_beside(place).get("recipe"))
    return beside if own and beside.get("domain") == own.get("domain") else own


def open_earlier(recipe: Recipe, links: Sequence[Link], new: Sequence[Split]) -> list[EarlierDomain]:
    """Opens the pictures of earlier domains: at most ``recipe.earlier_pictures`` to show again, equally many of each.

    No picture is shown again that is tested on, in whichever domain.

    Args:
        recipe: of the run that goes on.
        links: the earlier domains.
        new: splits of the new domain that are scored.

    Raises:
        UsageError: ``earlier_data`` names a domain that is none of them.
        LvtuneError: data that ``earlier_data`` names and that cannot be opened.
    """
    given = dict(recipe.earlier_data)
    unknown = [name for name in given if not any(_is_meant(name, link) for link in links)]
    if unknown:
        names = ", ".join(dict.fromkeys(link.domain for link in links))
        raise UsageError(f"--earlier-data {unknown[0]}=...", f"one of the adapter's earlier domains: {names}",
                         "such as --earlier-data DOMAIN=FOLDER")  # fmt: skip
    opened = [_opened(recipe, link, given) for link in links]
    keypoints = new[0].table.skeleton.keypoints
    opened = [_of_same_keypoints(one, keypoints) for one in opened]
    tested = {path for split in (*new, *(one.test for one in opened if one.test)) for path in picture_paths(split)}
    count = recipe.earlier_pictures
    shares = [count // len(links) + (place < count % len(links)) for place in range(len(links))]
    return [_drawn(one, share, tested) for one, share in zip(opened, shares, strict=True)]


def picture_paths(split: Split) -> set[str]:
    """Returns the files of the pictures of a split, in whatever view they are shown."""
    table: Any = split.table
    views = len(split.views or " ")
    rows = range(len(table)) if split.items is None else sorted({item // views for item in split.items})
    return {str(table.image_path(row)) for row in rows}


def _opened(recipe: Recipe, link: Link, given: Mapping[str, str]) -> EarlierDomain:
    """Opens a link at the first place where its pictures are."""
    if not link.labelled:
        return EarlierDomain(link, missing="it was learnt without its labels")
    why = ""
    for options, is_given in _places(recipe, link, given):
        try:
            domain = _domain(link.domain, options)
            train = domain.open("train", options)
            test = domain.open(recipe.evaluate.split, options)
        except LvtuneError as error:
            if is_given:
                raise
            why = why or error.given
            continue
        limits = [limit for limit in (link.data.get("limit"), recipe.data.limit) if type(limit) is int]
        train = train.first(min(limits)) if limits else train
        test = test if recipe.data.limit is None else test.first(recipe.data.limit)
        places = {name: value for name, value in plain(options).items() if value is not None}
        return EarlierDomain(replace(link, data={**places, **_count_of(link)}), train, test)
    return EarlierDomain(link, missing=why or "its file does not say where its pictures are")


def _count_of(link: Link) -> dict[str, Any]:
    """How many of its pictures the adapter was tuned on, where not on all."""
    return {name: link.data[name] for name in ("shots", "limit") if type(link.data.get(name)) is int}


def _places(recipe: Recipe, link: Link, given: Mapping[str, str]) -> list[tuple[DataOptions, bool]]:
    """Where the pictures of a link may be, and whether the user said so."""
    base, _ = build(DataOptions, dict(link.data), "data.")
    base = replace(base or DataOptions(), boxes=NO_BOXES, source_data=None, source_annotations=None, shots="all",
                   limit=None)  # fmt: skip
    named = next((place for name, place in given.items() if _is_meant(name, link)), None)
    if named is not None:
        is_labels = link.domain == CUSTOM and named.lower().endswith(".json")
        place = {"annotations": named, "data": None} if is_labels else {"data": named, "annotations": None}
        return [(replace(base, **place, test_annotations=None), True)]
    whole = link.domain.partition("/")[0]
    like_new = recipe.domain.partition("/")[0] == whole != CUSTOM
    return [(base, False), *([(replace(recipe.data, boxes=NO_BOXES, shots="all", limit=None), False)] * like_new)]


def _is_meant(name: str, link: Link) -> bool:
    return name in (link.domain, link.domain.partition("/")[0])


def _domain(name: str, options: DataOptions) -> Domain:
    if is_domain_file(name):
        return read_domain(name, options)
    return custom_domain(options) if name == CUSTOM else get_domain(name)


def _of_same_keypoints(one: EarlierDomain, keypoints: Sequence[str]) -> EarlierDomain:
    if one.test is None or tuple(one.test.table.skeleton.keypoints) == tuple(keypoints):
        return one
    return replace(one, train=None, test=None, missing="its pictures have other key points")


def _drawn(one: EarlierDomain, share: int, tested: set[str]) -> EarlierDomain:
    """The domain with those training pictures that are shown again.

    Where it was tuned on a few shots they are among these: a smaller draw is part of a larger one.
    """
    if one.train is None:
        return one
    train = _without(one.train, tested)
    there = 0 if train is None else count_pictures(train)
    if train is None or not there:
        return replace(one, train=None, missing="all its training pictures are tested on")
    count = min(share, there, _count_of(one.link).get("shots", share))
    return replace(one, train=take_shots(train, count, one.link.seed) if count else None)


def _without(split: Split, tested: set[str]) -> Split | None:
    """The split without pictures that are tested on; None: nothing is left."""
    table: Any = split.table
    if not picture_paths(split) & tested:
        return split
    views = len(split.views or " ")
    rows = [row for row in range(len(table)) if str(table.image_path(row)) not in tested]
    if split.items is not None:
        wanted = set(rows)
        items = tuple(item for item in split.items if item // views in wanted)
        return replace(split, items=items) if items else None
    return split.with_table(table.select(rows)) if rows else None


def report_beside(place: Path) -> dict[str, Any]:
    """Returns ``report.json`` beside an adapter (a folder or a file); {} where there is none that can be read."""
    file = (place if place.is_dir() else place.parent) / REPORT
    if not file.is_file():
        return {}
    try:
        return _table(read_json(file))
    except LvtuneError:  # the adapter's own file is enough
        return {}


def _table(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
