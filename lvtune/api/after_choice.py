"""The run that goes on from an adapter (``--after``): what it takes over, and what keeps the earlier domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvtune.api.grow_choice import check_same_base
from lvtune.config.options import DataOptions
from lvtune.core.decision import Decision
from lvtune.core.errors import UsageError
from lvtune.core.text import shell_word

if TYPE_CHECKING:
    from lvtune.api.domain_chain import EarlierDomain
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.domains import Split
    from lvtune.language.bank import SentenceBank

REPLAY = "replay"
"""Objective with ``after``, unless the recipe says otherwise."""


def check_after(recipe: Recipe) -> None:
    """Checks that nothing is asked for beside ``after`` that contradicts it.

    Raises:
        UsageError: another start, a growth, a tuning without the new domain's labels; options of earlier domains
            without ``after``.
    """
    if recipe.after is None:
        usual = type(recipe).earlier_pictures
        given = "--earlier-pictures" if recipe.earlier_pictures != usual else ""
        given = "--earlier-data" if recipe.earlier_data else given
        if given:
            raise UsageError(f"{given} without an adapter that knows earlier domains", "the adapter that goes on",
                             "give --after ADAPTER too")  # fmt: skip
        return
    asked = {
        f"--start {recipe.start}": recipe.start not in ("auto", recipe.after),
        "--grow": recipe.grow is not None,
        "--text-only": recipe.text_only,
        "--unlabelled": recipe.unlabelled is not None,
    }
    wrong = next((name for name, is_asked in asked.items() if is_asked), None)
    if wrong is not None:
        raise UsageError(
            f"--after with {wrong}", "labelled pictures of a further domain, and the adapter that goes on",
            f"leave {wrong.partition(' ')[0]} out",
        )  # fmt: skip


def taken_over(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns entries of a recipe's values that the adapter decides: base, input size, method, text encoder, start.

    Raises:
        LvtuneError: there is no such adapter, it cannot go on, or the values contradict it.
    """
    source = values.get("after")
    if not isinstance(source, str) or not source:
        return {}
    data = values.get("data")
    own = _table(data) if not isinstance(data, DataOptions) else vars(data)
    if not (values.get("domain") or own.get("data") or own.get("annotations")):
        raise UsageError("--after without a new domain", "the domain that is to be learnt", "give --domain NAME too")
    from lvtune.api.domain_chain import recipe_of_adapter  # it opens data, which takes numpy

    config, place = _config(source)
    recipe, base = recipe_of_adapter(config, place), config["base"]
    check_same_base(values, base["name"], f"--after {shell_word(source)}")
    _check_method(values, config, source)
    options = _table(values.get("method_options"))
    language = _table(values.get("language"))
    found: dict[str, Any] = {
        "base": base["name"],
        "method": config["method"],
        "settings": values.get("settings") or "own",
        "method_options": {**_plain_options(config["method_config"]), **options},
        "objective": values.get("objective") or REPLAY,
    }
    if values.get("start") in (None, "auto"):
        found["start"] = source
    if isinstance(recipe.get("weights"), str) and not values.get("weights"):
        found["weights"] = recipe["weights"]
    size, sizes = base["input_size"], _table(values.get("base_options"))
    if not sizes.get("input_size"):
        found["base_options"] = {**sizes, "input_size": f"{size[0]}x{size[1]}"}
    encoder, mode = config.get("text_encoder"), _table(recipe.get("language")).get("mode")
    known = {"encoder": _encoder(encoder, recipe), "mode": mode} if encoder else {}
    found["language"] = {**{name: value for name, value in known.items() if value}, **language}
    return found


def earlier_of(recipe: Recipe, new: Sequence[Split]) -> list[EarlierDomain]:
    """Opens the earlier domains of the adapter that goes on; none without ``after``.

    Raises:
        UsageError: the new domain has other key points; the adapter does not say what it was tuned on.
        LvtuneError: what :func:`lvtune.api.domain_chain.open_earlier` raises.
    """
    if recipe.after is None:
        return []
    from lvtune.api.domain_chain import chain_of, open_earlier

    config, place = _config(recipe.after)
    known, wanted = config["skeleton"].get("keypoints") or [], list(new[0].table.skeleton.keypoints)
    if list(known) != wanted:
        raise UsageError(
            f"--after {shell_word(recipe.after)}, which predicts {len(known)} key points, with a domain of "
            f"{len(wanted)} others", "a domain with the same key points",
            f"give --grow {shell_word(recipe.after)} for further key points",
        )  # fmt: skip
    links = chain_of(config, place)
    if not links:
        raise UsageError(f"--after {shell_word(recipe.after)}, which does not say what it was tuned on",
                         "an adapter that lvtune adapt wrote", "give another adapter")  # fmt: skip
    return open_earlier(recipe, links, new)


def check_pictures(recipe: Recipe, objective: Any, earlier: Sequence[EarlierDomain]) -> None:
    """Checks that the objective fits a run after another one, and has the pictures that it needs.

    Raises:
        UsageError: it is made for ``after`` and there is none; it needs pictures of an earlier domain that are missing.
    """
    if recipe.after is None:
        if objective.column:
            raise UsageError(
                f"objective {recipe.objective} without an adapter that goes on", "the adapter whose domains are kept",
                "give --after ADAPTER, or leave --objective out",
            )  # fmt: skip
        return
    if not objective.needs_earlier:
        return
    without = next((one for one in earlier if one.train is None), None)
    if without is not None:
        why = without.missing or f"{len(earlier)} domains share --earlier-pictures {recipe.earlier_pictures}"
        fix = "give --earlier-pictures 200" if not without.missing else f"give --earlier-data {without.name}=FOLDER"
        raise UsageError(
            f"objective {recipe.objective} without pictures of the earlier domain {without.name} ({why})",
            "some of its training pictures with labels",
            f"{fix}, or --objective lwf, which needs none",
        )  # fmt: skip


def with_earlier_sentences(
    recipe: Recipe, base: Base, bank: SentenceBank | None, earlier: Sequence[EarlierDomain]
) -> tuple[SentenceBank | None, list[EarlierDomain], list[Decision]]:
    """Returns the sentences of the earlier domains and of the new one, the earlier domains by their names in it.

    Raises:
        LvtuneError: the adapter cannot be read, or its sentences are those of another text encoder.
    """
    if recipe.after is None or bank is None:
        return bank, list(earlier), []
    from lvtune.hub.adapter_loading import load_adapter
    from lvtune.language.earlier_sentences import join_sentences

    before = load_adapter(recipe.after, base, any_input_size=True).bank
    if before is None:
        return bank, list(earlier), []
    joined, renamed = join_sentences(before, bank)
    earlier = [replace(one, link=replace(one.link, categories=_renamed(one, renamed, before))) for one in earlier]
    lines = []
    if set(joined.categories) != set(before.categories):
        why = "the tuning begins at the answers that the earlier adapter gives for the mean of its own sentences"
        value = f"{len(before.categories)} earlier, {len(joined.categories) - len(before.categories)} new"
        lines.append(Decision("sentences", value, why))
    if renamed:
        value = ", ".join(f"{old} is now {new}" for old, new in renamed.items())
        lines.append(Decision("earlier categories", value, "the new domain has another sentence of that name"))
    return joined, earlier, lines


def after_decisions(recipe: Recipe, objective: Any, earlier: Sequence[EarlierDomain]) -> list[Decision]:
    """Says which domains are kept, by what, and of which there are no pictures."""
    if recipe.after is None:
        return []
    from lvtune.domains.few_pictures import count_pictures
    from lvtune.domains.own_domain import CUSTOM

    names = ", ".join(dict.fromkeys(one.name for one in earlier))
    lines = [Decision("after", str(recipe.after), f"base, method and weights are its own; it knows {names}")]
    if any(one.name == recipe.domain != CUSTOM for one in earlier):
        why = "it counts as earlier and as new; --start ADAPTER goes on with one domain alone"
        lines.append(Decision("domain", f"{recipe.domain}, which the adapter knows already", why))
    if not objective.column:
        why = "it is not made to keep earlier domains; replay, ewc, lwf and lfl are"
        lines.append(Decision("earlier domains", f"nothing but the start keeps them with {recipe.objective}", why))
    elif objective.needs_earlier:
        shown = ", ".join(f"{count_pictures(one.train)} of {one.name}" for one in earlier if one.train is not None)
        why = "--earlier-pictures says how many; none of them is tested on"
        lines.append(Decision("earlier domains", f"kept by {recipe.objective} with {shown}", why))
    else:
        why = "no earlier picture is shown again" if recipe.objective != "plain" else "nothing keeps them"
        lines.append(Decision("earlier domains", str(recipe.objective), why))
    lines += [
        Decision("not scored", one.name, f"its pictures are not there ({one.missing}); --earlier-data says where")
        for one in earlier
        if one.test is None
    ]
    return lines


def _config(source: str) -> tuple[Mapping[str, Any], Any]:
    from lvtune.hub.remote import locate
    from lvtune.storage.adapter_file import read_config

    place = locate(source)
    config = read_config(place)
    if config is None:
        raise UsageError(
            f"--after {shell_word(source)}, which another tool wrote", "an adapter that lvtune adapt wrote",
            "give another adapter",
        )  # fmt: skip
    return config, place


def _check_method(values: Mapping[str, Any], config: Mapping[str, Any], source: str) -> None:
    from lvtune.adapters.method_registry import METHODS, list_methods

    method = config["method"]
    if method in METHODS.names() and method not in list_methods():  # such as grown, joined
        raise UsageError(
            f"--after {shell_word(source)}, an adapter of method {method}", "one that was tuned as a whole",
            "give the adapter that it was made of",
        )  # fmt: skip
    given = values.get("method")
    if given and given != method:
        raise UsageError(f"--method {given} after an adapter of {method}", f"{method}: its weights go on",
                         "leave --method out")  # fmt: skip


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _encoder(encoder: str, recipe: Mapping[str, Any]) -> str | None:
    """How the text encoder is named in a recipe: a folder of weights may stand behind the name in the file."""
    said = _table(recipe.get("language")).get("encoder")
    if isinstance(said, str) and said not in ("auto", "") and not encoder.startswith("random"):
        return said
    return None if encoder.startswith("random") else encoder


def _renamed(one: EarlierDomain, renamed: Mapping[str, str], before: SentenceBank) -> dict[str, str]:
    """The categories of an earlier domain that are called otherwise in the new adapter."""
    names = {old: renamed.get(own, own) for old, own in one.link.categories.items()}
    return names | {old: new for old, new in renamed.items() if old not in names and old in before.categories}


def _table(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
