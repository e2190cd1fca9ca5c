"""The run that grows an adapter (``--grow``): its base, its method, and the adapter with the further key points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvtune.core.decision import Decision
from lvtune.core.errors import UsageError
from lvtune.core.text import brief, shell_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.adapters.adapter import Adapter
    from lvtune.api.job import Job
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split

METHOD = "grown"
BASE = "base"
"""In place of an adapter: the bare base is grown."""
_SHOWN = 8


def check_grow(recipe: Recipe) -> None:
    """Checks that nothing is asked for beside the growth that would change the old key points.

    Raises:
        UsageError: another method, options of it, a warm start or a tuning without the new labels.
    """
    if recipe.grow is None:
        if recipe.method == METHOD:
            raise UsageError(f"--method {METHOD} by itself", "the adapter that is grown", "give --grow ADAPTER")
        return
    asked = {
        "--after": recipe.after is not None,
        f"--method {recipe.method}": recipe.method not in ("", METHOD),
        "options of the method": bool(recipe.method_options),
        f"--start {recipe.start}": recipe.start not in ("auto", "none"),
        "--text-only": recipe.text_only,
        "--unlabelled": recipe.unlabelled is not None,
        "--keep": recipe.keep is not None,
    }
    wrong = next((name for name, is_asked in asked.items() if is_asked), None)
    if wrong is not None:
        raise UsageError(
            f"--grow with {wrong}", "labelled pictures, on which the new key points alone are tuned",
            f"leave {wrong.partition(' ')[0] if wrong.startswith('--') else wrong} out",
        )  # fmt: skip


def base_of_grown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns entries of a recipe's values that the adapter to be grown decides: the base, and its input size.

    Raises:
        LvtuneError: there is no such adapter, or its config is damaged.
    """
    source, options = values.get("grow"), values.get("base_options") or {}
    if not isinstance(source, str):
        return {}
    if source == BASE:
        from lvtune.bases.input_size import AUTO, OWN  # it takes torch

        # another size would move the key points that are to stay
        is_free = isinstance(options, Mapping) and options.get("input_size") in (None, AUTO)
        return {"base_options": {**options, "input_size": OWN}} if is_free else {}
    from lvtune.hub.remote import locate
    from lvtune.storage.adapter_file import read_config

    base = (read_config(locate(source)) or {}).get("base") or {}
    found: dict[str, Any] = {}
    check_same_base(values, base.get("name"), f"--grow {shell_word(source)}")
    if "base" not in values and isinstance(base.get("name"), str):
        found["base"] = base["name"]
    size = base.get("input_size")
    if isinstance(size, list) and len(size) == 2 and isinstance(options, Mapping) and not options.get("input_size"):
        found["base_options"] = {**options, "input_size": f"{size[0]}x{size[1]}"}
    return found


def check_same_base(values: Mapping[str, Any], known: Any, option: str) -> None:
    """Checks a base that is given beside an adapter that goes on.

    Args:
        values: of a recipe.
        known: name of the adapter's base.
        option: that names the adapter.

    Raises:
        UsageError: it is another base.
    """
    from lvtune.bases import list_bases

    given = values.get("base")  # a path or Hub id may hold the same weights: its fingerprint tells
    if given != known and {given, known} <= set(list_bases()):
        raise UsageError(f"--base {given} with {option}, an adapter for {known}", known, "leave --base out")


def grown_adapter(source: str, base: Base, splits: Sequence[Split]) -> tuple[Adapter, bool]:
    """Loads an adapter and makes one of it that has the key points of the data too.

    Returns:
        The new adapter; whether predictions of the old one are averaged with those of the mirrored picture.

    Raises:
        LvtuneError: there is no such adapter, or it does not fit; see :func:`lvtune.grow`.
    """
    from lvtune.adapters.flip_test import takes_flip_test
    from lvtune.adapters.growing import grow
    from lvtune.hub.adapter_loading import load_adapter

    adapter = None if source == BASE else load_adapter(source, base)
    tables = [split.table for split in splits]
    categories = dict.fromkeys(str(name) for table in tables for name in table.column("category"))
    made: Any = grow(adapter, tables[0].skeleton, base=base, categories=tuple(categories))
    return made, made.kept.mirrors and takes_flip_test(adapter)


def mirrored_as_before(recipe: Recipe, flip_test: bool) -> tuple[Recipe, list[Decision]]:
    """Returns the recipe with the flip test of the adapter that is grown, and a line where that changes it.

    Its key points are then decoded as before: with the flip test, or without.
    """
    if recipe.evaluate.flip_test == flip_test:
        return recipe, []
    recipe = replace(recipe, evaluate=replace(recipe.evaluate, flip_test=flip_test))
    if flip_test and not recipe.train.augment.flip:
        # who has never seen a mirrored picture must not be asked about one
        augment = replace(recipe.train.augment, flip=0.5)
        recipe = replace(recipe, train=replace(recipe.train, augment=augment))
    why = "so the adapter's own key points are predicted, and they are to stay as they are"
    return recipe, [Decision("flip test", "on" if flip_test else "off", why)]


def grow_decision(recipe: Recipe, adapter: Any) -> Decision:
    """Says which key points are new, and which stay."""
    kept, all_of_them = adapter.kept.keypoints, adapter.skeleton.keypoints
    new = [name for name in all_of_them if name not in kept]
    shown = ", ".join(new[:_SHOWN]) + (f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else "")
    at = f" at the input size {recipe.base_options.input_size}" if recipe.grow == BASE else ""
    why = f"the {len(kept)} of {brief(recipe.grow)} stay bit for bit{at}; all are in the order of the data"
    if adapter.config.mean_for:
        why += f"; it has no sentence for {', '.join(adapter.config.mean_for[:4])}, and reads the mean of its own"
    return Decision("grow", f"{len(new)} new key point{'s' * (len(new) > 1)} ({shown})", why)


class KeptPoints:
    """Checks that tuning has left the old part of a grown adapter as it was. Usage: ``begin()``, tune, ``keep()``."""

    decision: Decision | None = None

    def __init__(self, job: Job) -> None:
        self.job = job
        self._before: dict[str, Any] = {}

    def begin(self) -> None:
        """Notes the tensors of the adapter that is grown."""
        if self.job.recipe.grow is not None:
            self._before = {name: value.clone() for name, value in self.job.adapter.tensors().items()}

    def keep(self) -> None:
        """Compares them.

        Raises:
            UsageError: one has changed.
        """
        if self._before:
            from lvtune.adapters.growing import check_grown

            check_grown(self.job.adapter, self._before)


def grown_from(job: Job) -> dict[str, Any]:
    """Returns what the adapter's file says of the adapter that was grown; nothing of one that was not."""
    found = (job.adapter.saved_with.get("training") or {}).get("grown")
    return {"grown": found} if job.recipe.grow is not None and found else {}
