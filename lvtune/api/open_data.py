"""Opens the data that a recipe names: what is tuned on, what is scored, and the source of the base."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvtune.api.after_choice import earlier_of
from lvtune.api.domain_chain import EarlierDomain
from lvtune.api.unlabelled_data import open_unlabelled, unlabelled_domain
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.domains import Split, custom_domain, get_domain
from lvtune.domains.domain import FOUND_BOXES, NO_BOXES
from lvtune.domains.domain_file import is_domain_file, options_of_file, read_domain
from lvtune.domains.few_pictures import take_shots
from lvtune.domains.own_domain import UNLABELLED
from lvtune.domains.source import NO_SOURCE, Source, find_source, source_split
from lvtune.domains.splitting import is_list

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base_spec import BaseSpec
    from lvtune.config.options import DataOptions
    from lvtune.domains import Domain


@dataclass(frozen=True)
class OwnData:
    """The target's splits, as they were opened."""

    train: Split | None
    """The pictures to tune on; None with ``text_only``, where these are the source's, and with 0 shots."""
    test: Split
    also: dict[str, Split]
    """Further domains to score, by name."""


@dataclass(frozen=True)
class OpenedData:
    """The splits that a recipe names, as they were opened."""

    train: Split
    test: Split
    source: Source
    also: dict[str, Split]
    unlabelled: Split | None = None
    """Pictures without labels; with 0 shots they are ``train`` too."""
    earlier: tuple[EarlierDomain, ...] = ()
    """Earlier domains of the adapter that goes on (``after``)."""


def open_data(recipe: Recipe, domain: Domain, spec: BaseSpec) -> OpenedData:
    """Opens what is tuned on and what is scored.

    Args:
        recipe: says which.
        domain: the target.
        spec: facts about the base, which say what its source is.

    Raises:
        LvtuneError: data that do not exist or do not fit.
    """
    return with_source(open_own(recipe, domain), recipe, domain, spec)


def open_own(recipe: Recipe, domain: Domain) -> OwnData:
    """Opens the target's splits.

    Raises:
        LvtuneError: data that do not exist or do not fit.
    """
    data = _with_found_boxes(recipe.data)
    test = limited(domain.open(recipe.evaluate.split, data), data)
    also = {name: limited(get_domain(name).open(recipe.evaluate.split, recipe.data), recipe.data)
            for name in recipe.evaluate.also}  # fmt: skip
    train = _own_training(domain, recipe.data) if recipe.has_target_labels else None
    return OwnData(train, test, also)


def with_source(own: OwnData, recipe: Recipe, domain: Domain, spec: BaseSpec) -> OpenedData:
    """Opens the source of the base beside the target's splits.

    Raises:
        LvtuneError: data that do not exist or do not fit.
    """
    source = find_source_of(domain, spec, _with_found_boxes(recipe.data), recipe.evaluate.split)
    pool = open_unlabelled(recipe, domain, own.test.table.skeleton)
    if recipe.data.shots == 0 and pool is not None:
        return OpenedData(pool, own.test, source, own.also, pool)
    train = own.train or source_training(domain, spec, recipe.data, own.test)
    earlier = tuple(earlier_of(recipe, [own.test]))
    return OpenedData(take_shots(train, recipe.data.shots, recipe.seed), own.test, source, own.also, pool, earlier)


def _with_found_boxes(data: DataOptions) -> DataOptions:
    """Detector boxes that lie in the data set's layout are taken where none are named."""
    return replace(data, boxes=data.boxes or FOUND_BOXES)


def open_domain(name: str, data: DataOptions) -> Domain:
    """Returns a registered domain, that of a YAML file, or the user's own pictures where annotations are given."""
    if is_domain_file(name):
        return read_domain(name, data)
    if name == UNLABELLED:
        return unlabelled_domain()
    return custom_domain(data) if name == "custom" else get_domain(name)


def recorded_data(name: str, data: DataOptions) -> DataOptions:
    """Returns the options as the adapter's recipe records them, so that its pictures are divided alike elsewhere.

    What a domain's file says of the parts is among them, and a list of test pictures has its whole path.
    """
    data = options_of_file(name, data) if is_domain_file(name) else data
    tested = tuple(str(Path(one).expanduser().absolute()) if is_list(one) else one for one in data.test_pictures)
    return replace(data, test_pictures=tested)


def limited(split: Split, data: DataOptions) -> Split:
    """The first ``data.limit`` persons of a split, of each part where it is a mixture."""
    if data.limit is None or data.limit >= len(split.table):
        return split
    return split.first(data.limit)


def find_source_of(domain: Domain, spec: BaseSpec, data: DataOptions, split: str = "test") -> Source:
    """What the base comes from: the user's source data, the domain's own, what lies beside, or ships with the base."""
    source = find_source(domain, split, data, spec.trained_on)
    if source.split is None and spec.source and data.source_data != NO_SOURCE:
        shipped = source_split(get_domain(spec.source), "train" if split == "train" else "test")
        source = source if shipped is None else Source(shipped)
    return source if source.split is None else replace(source, split=limited(source.split, data))


def source_training(domain: Domain, spec: BaseSpec, data: DataOptions, test: Split) -> Split:
    """The source's pictures to tune on with ``text_only``.

    Args:
        domain: the target.
        spec: facts about the base, which say what its source is.
        data: where the data lie.
        test: the target's pictures that are scored.

    Raises:
        LvtuneError: there are none, or the source's key points are not the target's.
    """
    source = find_source_of(domain, spec, replace(data, boxes=NO_BOXES), "train").split
    if source is None:
        raise LvtuneError(
            f"text-only for {domain.name} and {spec.name} without pictures of the source",
            "the pictures that the base was trained on, or the like",
            "give --data.source-data FOLDER (and --data.source-domain or --data.source-annotations)",
        )  # fmt: skip
    theirs, wanted = source.table.skeleton, test.table.skeleton
    if theirs.keypoints != wanted.keypoints:
        raise LvtuneError(
            f"text-only from {source.name} ({theirs.name}) to {domain.name} ({wanted.name})",
            "source and target with the same key points", "choose a base or source of the target's key points",
        )  # fmt: skip
    return source


def _own_training(domain: Domain, data: DataOptions) -> Split:
    """The target's own pictures to tune on; a detector's boxes are for scoring."""
    return limited(domain.open("train", replace(data, boxes=NO_BOXES)), data)


def data_decisions(test: Split, source: Source) -> list[Decision]:
    """Returns which detector boxes and which source were found beside the data, if any."""
    lines, boxes = [], test.detected
    if boxes is not None and test.published_boxes is not None:
        why = "they lie in the data set's layout; --boxes none leaves them out"
        lines.append(Decision("detector boxes", f"{len(boxes)} of {test.published_boxes.name}", why))
    if source.beside is not None and source.split is not None:
        why = f"it lies beside the target, in {source.beside}; --source-data none leaves it out"
        lines.append(Decision("source", source.split.name, why))
    return lines
