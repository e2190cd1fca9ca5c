"""The ways to learn domains one after the other that a comparison has: objectives that keep, and separate adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lvtune.config.schema import hints_of
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.training.objectives import OBJECTIVES, objective_config

SEPARATE = "separate"
"""The way with one adapter for each domain; pictures go to the one of their domain, so nothing is forgotten."""
SEPARATE_COLUMN = "one adapter each"
WAYS = "plain,ewc,lfl,lwf,replay,separate"


@dataclass(frozen=True)
class Way:
    """One way to learn domains one after the other."""

    label: str
    """As typed, such as ``ewc:weight=1``."""
    column: str
    """Head of its column."""
    objective: str | None = None
    """That keeps the earlier domains; None: one adapter for each domain."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the objective."""


def ways_of(text: str) -> list[Way]:
    """Reads ways with commas, each with options after a colon: ``plain,ewc:weight=1,pictures=32,replay,separate``.

    Raises:
        UsageError: an unknown way or option; a way twice; none.
    """
    words: list[list[str]] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, colon, option = word.partition(":")
        if "=" in word and not colon and words:
            words[-1].append(word)
        else:
            words.append([name, option] if option else [name])
    ways = [_way(*one) for one in words]
    labels = [way.label for way in ways]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if not ways or twice is not None:
        given = f"way '{twice}' twice" if twice else "no way to learn the domains"
        raise UsageError(given, "ways that differ", f"such as --ways {WAYS}")
    return ways


def known_ways() -> list[str]:
    """Returns the names that :func:`ways_of` takes."""
    return [*(name for name in OBJECTIVES.names() if getattr(OBJECTIVES.get(name), "column", "")), SEPARATE]


def _way(name: str, *options: str) -> Way:
    known = known_ways()
    if name not in known:
        raise UsageError(f"unknown way '{name}'", f"one of {', '.join(known)}",
                         suggest(name, known, f"such as --ways {WAYS}"))  # fmt: skip
    label = name + (f":{','.join(options)}" if options else "")
    if name == SEPARATE:
        if options:
            raise UsageError(f"'{label}'", f"{SEPARATE} without options", f"type {SEPARATE}")
        return Way(label, SEPARATE_COLUMN)
    cls = OBJECTIVES.get(name)
    given: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"'{name}:{option}'", "options as name=value",
                             f"such as {name}:{next(iter(hints_of(cls.Config)))}=1")  # fmt: skip
        given[key.strip().replace("-", "_")] = value
    objective_config(name, given)  # wrong options are told now
    return Way(label, cls.column + (f" ({', '.join(options)})" if options else ""), name, given)
