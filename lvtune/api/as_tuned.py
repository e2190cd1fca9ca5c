"""What an adapter's tuning says of the data that it is scored on: how they were divided, and which it was tuned on.

An adapter that was tuned on some videos must not be scored on these later. So what the user does not say is taken from
the recipe of the adapter, and pictures that it was tuned on are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.domain_chain import recipe_of_adapter, report_beside
from lvtune.api.grow_choice import BASE
from lvtune.config.options import DataOptions
from lvtune.config.schema import build
from lvtune.core.text import counted
from lvtune.domains.own_domain import is_own_data
from lvtune.domains.splitting import is_list
from lvtune.hub.remote import locate
from lvtune.hub.starts import start_place
from lvtune.storage.adapter_file import read_config

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.domains import Split

TUNED_ON = "tuned_on"
"""Key of ``report.json``: names of the own pictures that were tuned on."""
MOST_NAMES = 50_000
"""More names are not written down."""
_TAKEN = ("split_by", "test_pictures", "flip_pairs", "skeleton")
"""Options whose default means that the user says nothing: the adapter's are taken."""
_COMPARED = ("missing_boxes", "box_margin", "annotated_box_format")
"""Options that are not taken, since their default is a value like others, or belongs to a file: where the adapter's
differ, a note says so."""
_READ = (*_TAKEN, *_COMPARED)


@dataclass(frozen=True)
class TunedBefore:
    """What is known of the tuning of an adapter; all empty where nothing is."""

    data: dict[str, Any]
    """Values of :class:`lvtune.config.options.DataOptions` in its recipe, if it was tuned on own data."""
    pictures: frozenset[str] = frozenset()
    """Names of the pictures that it was tuned on, where a report beside it has them."""

    def fill(self, data: DataOptions) -> tuple[DataOptions, list[str]]:
        """Returns the options with the adapter's where the user said nothing, and a note for each of them."""
        plain, notes, taken = DataOptions(), [], {}
        is_divided = data.split_by != "auto" or bool(data.test_pictures) or data.test_annotations is not None
        for name in _TAKEN:
            was = self.data.get(name)
            if was in (None, (), getattr(plain, name)) or getattr(data, name) != getattr(plain, name):
                continue
            if name in ("split_by", "test_pictures") and is_divided:
                continue
            missing = _missing_list(was) if name == "test_pictures" else None
            if missing is not None:
                notes.append(
                    f"the list of test pictures of the adapter's tuning is not here ({missing}): the pictures are "
                    "divided anew; --test-pictures names them"
                )
                continue
            taken[name] = tuple(was) if isinstance(was, list) else was
            notes.append(f"{_option(name)} {_shown(was)}, as when the adapter was tuned")
        for name in _COMPARED:
            was, now = self.data.get(name, getattr(plain, name)), getattr(data, name)
            if was != now:
                notes.append(f"{_option(name)} is {now} here and was {was} when the adapter was tuned")
        return replace(data, **taken), notes

    def seen(self, split: Split, part: str) -> list[str]:
        """Returns a note where pictures that are scored have names of pictures that the adapter was tuned on."""
        if part == "train" or not self.pictures:
            return []
        names = picture_names(split)
        count = sum(name in self.pictures for name in names)
        if not count:
            return []
        return [
            f"{count} of {counted(len(names), 'picture')} that are scored have the names of pictures that the adapter "
            "was tuned on: on new pictures it is probably worse (--split-by, --test-pictures or --data choose others)"
        ]


def tuned_before(adapter: Any) -> TunedBefore:
    """Reads what an adapter's file and the report beside it say; an adapter in memory says nothing.

    Args:
        adapter: a folder, file or Hub id, an adapter, or None.
    """
    if not isinstance(adapter, str | Path):
        return TunedBefore({})
    place = locate(adapter)
    recipe = recipe_of_adapter(read_config(place) or {}, place)
    domain = recipe.get("domain")
    if not isinstance(domain, str) or not is_own_data(domain):
        return TunedBefore({})
    data, names = recipe.get("data"), report_beside(place).get(TUNED_ON)
    known = frozenset(map(str, names)) if isinstance(names, list) else frozenset()
    wanted = {name: value for name, value in (data if isinstance(data, dict) else {}).items() if name in _READ}
    options, _ = build(DataOptions, wanted, "data.")  # the file of an adapter may come from anywhere
    return TunedBefore({name: getattr(options, name) for name in wanted} if options is not None else {}, known)


def adapters_before(recipe: Recipe) -> list[Path]:
    """Returns the folders or files of the adapters with which a run begins; empty where it begins at the base."""
    grown = None if recipe.grow == BASE else recipe.grow
    places = [start_place(recipe.base, recipe.method, recipe.start), recipe.after, grown]
    return [locate(place) for place in places if place is not None]


def tuned_before_run(recipe: Recipe) -> frozenset[str]:
    """Returns the names of the pictures that these adapters were tuned on."""
    return frozenset().union(*(tuned_before(place).pictures for place in adapters_before(recipe)))


def picture_names(split: Split) -> list[str]:
    """Returns the names of a split's pictures, each once, as the labels name them."""
    return sorted(set(split.table.column("image").astype(str)))


def names_to_keep(recipe: Recipe, train: Split) -> list[str] | None:
    """Returns what the report says of the pictures that are tuned on, or were by the adapters that the run begins at.

    None: other domains' pictures, or too many.
    """
    if not is_own_data(recipe.domain) or train.task != "pose2d":
        return None
    names = sorted({*picture_names(train), *tuned_before_run(recipe)})
    return names if len(names) <= MOST_NAMES else None


def _missing_list(names: Sequence[str]) -> str | None:
    """Returns a list of test pictures that is not where it was; None: there is none.

    A path without its folder is that of another machine: a file of this name here may be another one.
    """
    lists = [name for name in names if is_list(name)]
    return next((name for name in lists if not (Path(name).is_absolute() and Path(name).is_file())), None)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
