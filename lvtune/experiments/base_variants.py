"""Runs each variant of a comparison with several bases, or with several weights of one base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lvtune.api.recipe import Recipe
from lvtune.bases.base_registry import find_loader
from lvtune.config.tables import merge
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.experiments.cells import Variant

_FILES = (".safetensors", ".pth", ".pt", ".bin")


def with_bases(variants: Sequence[Variant], bases: Sequence[str]) -> list[Variant]:
    """Returns each variant once for each base, base by base.

    Args:
        variants: what is compared. A variant that names weights or a base keeps them.
        bases: names of bases; or ``LABEL=NAME``, or ``LABEL=WEIGHTS`` for other weights of the base that all share
            (``shipped=pretrained``, ``imagenet=vit.safetensors``). Empty: the variants as they are.

    Raises:
        UsageError: a word that is no base, a file that is not there.
    """
    if not bases:
        return list(variants)
    changes = [_changes(word) for word in bases]
    return [
        Variant(f"{variant.label}, {label}", merge(change, variant.changes, Recipe))
        for label, change in changes
        for variant in variants
    ]


def _changes(word: str) -> tuple[str, dict[str, Any]]:
    """The label of a base, and what it changes in a recipe."""
    label, equals, value = (part.strip() for part in word.partition("="))
    if not equals:
        _check_base(label)
        return label, {"base": label}
    if not label or not value:
        raise UsageError(
            f"--bases {word}", "LABEL=NAME of a base, or LABEL=WEIGHTS", "such as imagenet=vit.safetensors"
        )
    if _is_base(value):
        return label, {"base": value}
    is_file = value.lower().endswith(_FILES) or value.startswith((".", "/", "~"))
    if is_file and not Path(value).expanduser().exists():
        raise UsageError(f"weights '{value}' of --bases {word}, which is not there", "a file or folder of weights",
                         "check the path")  # fmt: skip
    return label, {"weights": value}


def _is_base(name: str) -> bool:
    try:
        find_loader(name)
    except LvtuneError:
        return False
    return True


def _check_base(name: str) -> None:
    try:
        find_loader(name)
    except LvtuneError as error:
        fix = f"{error.fix}; for weights type LABEL={name}"
        raise UsageError(f"--bases {name}: {error.given}", error.expected, fix) from error


def bases_of(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Returns (base, weights) of the runs, each to its first row; rows of earlier versions name neither."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        found.setdefault((row.get("base") or "", row.get("weights") or Recipe.weights), row)
    return found


def base_words(base: str, weights: str) -> str:
    """Returns a base and its weights for people; of a path only its last part."""
    return base if weights == Recipe.weights else f"{base}, {Path(weights).name}"
