"""Says what an adapter that was combined from others was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvtune.core.strict_json import short


def made_of(config: Mapping[str, Any]) -> list[str]:
    """Returns the adapters that one was averaged, summed or stacked of (:mod:`lvtune.adapters.combining`), in words.

    Args:
        config: of the adapter file; what lies under ``training`` may be anything that somebody wrote there.

    Returns:
        Such as ["average", "0.75 x lora on humanart (5f1e0c22a9b4)", ...]; empty for any other adapter.
    """
    training = config.get("training")
    combination = training.get("combination") if isinstance(training, Mapping) else None
    parts = combination.get("of") if isinstance(combination, Mapping) else None
    if combination is None or not isinstance(parts, list):
        return []
    kind = short(combination.get("kind"), quote=False)
    return [kind, *(_one(part) for part in parts if isinstance(part, Mapping))]


def _one(part: Mapping[str, Any]) -> str:
    weight, domain = part.get("weight"), part.get("domain")
    times = f"{weight:g} x " if isinstance(weight, int | float) else ""
    place = f" on {short(domain, quote=False)}" if domain else ""
    method, print_ = short(part.get("method"), quote=False), short(part.get("tensors_sha256"), quote=False)
    return f"{times}{method}{place} ({print_[:12]})"
