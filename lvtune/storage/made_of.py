"""What an adapter that was made of others says of them, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def made_of(config: Mapping[str, Any]) -> list[str]:
    """The adapters that one was averaged, summed or stacked of (:mod:`lvtune.adapters.combining`), in a few words each.

    Args:
        config: of the adapter file; what lies under ``training`` may be anything that somebody wrote there.

    Returns:
        Such as ["average", "0.75 x lora on humanart (5f1e0c22a9b4)", ...]; empty for any other adapter.
    """
    training = config.get("training")
    told = training.get("combination") if isinstance(training, Mapping) else None
    parts = told.get("of") if isinstance(told, Mapping) else None
    if not isinstance(parts, list):
        return []
    return [str(told.get("kind")), *(_one(part) for part in parts if isinstance(part, Mapping))]


def _one(part: Mapping[str, Any]) -> str:
    weight, domain = part.get("weight"), part.get("domain")
    times = f"{weight:g} x " if isinstance(weight, int | float) else ""
    place = f" on {domain}" if domain else ""
    return f"{times}{part.get('method')}{place} ({str(part.get('tensors_sha256'))[:12]})"
