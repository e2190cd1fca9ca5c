"""Fingerprints of what a run is made of: base, warm start, sentences, labels and pictures.

A checkpoint, a finished cell of a comparison and a cross-validation keep them. What was computed on other data, or on
another base or start, is then never taken for the run at hand; a path that is spelled otherwise changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.grow_choice import BASE
from lvtune.api.job import sentences_for
from lvtune.api.open_data import OpenedData, open_data, open_domain
from lvtune.api.recipe_settings import settings_without_places
from lvtune.api.replay_data import labelled_source
from lvtune.bases.base_registry import load_base
from lvtune.bases.fingerprint import fingerprint
from lvtune.bases.input_size import parse_size
from lvtune.data.mixed import MixedTable
from lvtune.data.picture_marks import path_mark, pictures_mark
from lvtune.hub.remote import locate
from lvtune.hub.starts import start_place
from lvtune.storage.adapter_file import TENSORS_FILE

if TYPE_CHECKING:
    from lvtune.api.domain_chain import EarlierDomain
    from lvtune.api.job import Job
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base_spec import BaseSpec
    from lvtune.domains import Domain, Split

WORDS = {
    "base": "another base, or other weights of it",
    "start": "another warm start, or another adapter to grow",
    "domain": "another domain or other sentences",
    "train": "other data to tune on",
    "test": "other test data",
    "source": "other data of the source",
    "also": "other data of a further domain",
    "unlabelled": "other pictures without labels",
    "earlier": "other pictures of earlier domains",
    "replay": "other pictures of the source to replay and to check on",
}
"""Mark to what has changed where it differs."""


_OPENS_NOTHING = ("train", "evaluate", "method_options", "objective", "objective_options")


@dataclass(frozen=True)
class _KnownBase:
    """What opening the data needs to know of a base."""

    name: str
    spec: BaseSpec
    fingerprint: str


def marks_of(job: Job, base_print: str) -> dict[str, str]:
    """Returns the fingerprints of a prepared run, by the names of :data:`WORDS`.

    Args:
        job: as :func:`lvtune.api.job.prepare` returns it.
        base_print: fingerprint of its base.
    """
    return _marks(job.recipe, job.domain, job.opened, job.base.spec, job.base.name, base_print)


def run_key(job: Job, base_print: str) -> str:
    """Returns what identifies a run for its checkpoint: all that decides its result, and nothing else."""
    found = {"settings": settings_without_places(job.recipe), "marks": marks_of(job, base_print)}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def changed_mark(before: Mapping[str, Any], now: Mapping[str, str]) -> str:
    """Returns in words what has changed between the fingerprints of two runs; empty where nothing has."""
    return next((words for name, words in WORDS.items() if before.get(name) != now.get(name)), "")


class MarkReader:
    """Computes the fingerprints of recipes without making an adapter. What recipes share is opened once.

    Make one for each comparison: it does not see what changes afterwards.
    """

    def __init__(self) -> None:
        self._bases: dict[Any, _KnownBase] = {}
        self._marks: dict[str, dict[str, str]] = {}

    def of(self, recipe: Recipe) -> dict[str, str]:
        """Returns what :func:`marks_of` returns for the job of ``recipe``.

        Raises:
            LvtuneError: base, start or data cannot be opened.
        """
        parts = recipe.to_dict()
        names = (
            "base",
            "weights",
            "base_options",
            "domain",
            "method",
            "start",
            "grow",
            "after",
            "earlier_data",
            "earlier_pictures",
            "text_only",
            "unlabelled",
            "unlabelled_frames",
            "keep",
            "keeping",
            "language",
            "data",
            "seed",
        )
        key = json.dumps([{name: parts.get(name) for name in names}, recipe.evaluate.split, recipe.evaluate.also])
        if key not in self._marks:
            base, domain = self._base(recipe), open_domain(recipe.domain, recipe.data)
            opened = open_data(recipe, domain, base.spec)
            self._marks[key] = _marks(recipe, domain, opened, base.spec, base.name, base.fingerprint)
        return self._marks[key]

    def _base(self, recipe: Recipe) -> _KnownBase:
        seed = recipe.seed if recipe.weights == "random" else 0
        key = (recipe.base, recipe.weights, seed, recipe.base_options.input_size)
        if key not in self._bases:
            size = parse_size(recipe.base_options.input_size)
            base = load_base(recipe.base, recipe.weights, seed=seed, input_size=size)
            self._bases[key] = _KnownBase(base.name, base.spec, fingerprint(base))
        return self._bases[key]


def _marks(
    recipe: Recipe, domain: Domain, opened: OpenedData, spec: BaseSpec, base: str, base_print: str
) -> dict[str, str]:
    grown = recipe.grow not in (None, BASE)
    place = locate(str(recipe.grow)) if grown else start_place(base, recipe.method, recipe.start)
    if place is not None and place.is_dir():
        place = place / TENSORS_FILE
    also = {name: _of_split(split) for name, split in opened.also.items()}
    # a run that goes on from no adapter has no such mark, as runs of earlier versions
    earlier = {"earlier": _hash([_of_earlier(one) for one in opened.earlier])} if opened.earlier else {}
    return {
        **earlier,
        "base": base_print,
        "start": "" if place is None else path_mark(place),
        "domain": _hash([domain.name, sentences_for(recipe, domain)]),
        "train": _of_split(opened.train),
        "test": _of_split(opened.test),
        "source": "" if opened.source.split is None else _of_split(opened.source.split),
        "also": _hash(also) if also else "",
        "unlabelled": "" if opened.unlabelled is None else _of_split(opened.unlabelled),
        "replay": _of_replay(recipe, domain, spec),
    }


def _of_earlier(one: EarlierDomain) -> list[Any]:
    splits = [None if split is None else _of_split(split) for split in (one.train, one.test)]
    return [one.name, *splits]


def _of_replay(recipe: Recipe, domain: Domain, spec: BaseSpec) -> str:
    """What ``--keep`` learns from and checks on, before it is divided; empty without it."""
    if recipe.keep is None:
        return ""
    named, labelled = recipe.keeping.replay_pictures, labelled_source(recipe, domain, spec)
    return _hash(["" if named is None else path_mark(Path(named)), "" if labelled is None else _of_split(labelled)])


def _of_split(split: Split) -> str:
    """Labels, pictures, the choice among them, and a detector's boxes."""
    tables = [split.table] if not isinstance(split.table, MixedTable) else [t for t, _ in split.table.parts.values()]
    detected = None if split.detected is None else split.detected.fingerprint
    marks = [pictures_mark(table) for table in tables]
    return _hash([split.table.fingerprint, marks, split.views, split.items, detected])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
