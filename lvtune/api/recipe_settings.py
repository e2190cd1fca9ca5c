"""The options of a recipe that decide the result of a run, so that two runs can be compared.

Where something lies decides nothing: what lies there does (:mod:`lvtune.api.run_marks`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lvtune.adapters.method_registry import METHODS
from lvtune.api.grow_choice import BASE
from lvtune.api.recipe import Recipe
from lvtune.config.tables import flatten
from lvtune.data.picture_marks import path_mark
from lvtune.domains.domain_file import is_domain_file
from lvtune.hub.starts import AUTO, NONE, SHIPPED

NO_EFFECT = ("out", "device", "look", "resume", "track", "train.workers", "train.checkpoint_every",
             "train.progress_frames", "train.return_memory", "evaluate.batch_size")  # fmt: skip
"""Options that change no result: runs that differ in them alone are the same."""
PLACES = (
    "weights", "data.data", "data.annotations", "data.test_annotations", "data.source_data", "data.source_annotations",
    "data.boxes", "data.test_pictures", "data.symlinks", "data.damaged", "data.max_pixels", "data.limit", "data.shots",
    "language.sentences", "unlabelled", "earlier_data", "keeping.replay_pictures",
)  # fmt: skip
"""Options that say where to find, or how to choose, what the fingerprints of a run describe."""
MODELS = ("language.encoder", "evaluate.ranker", "objective_options.encoder", "objective_options.grammar")
"""Options that name a model or a file: a name as it is, a path by the content of what lies there."""


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Returns the options that decide the result by dotted names, with the method's defaults filled in."""
    flat = flatten(recipe.resolved(METHODS.get(recipe.method).defaults).to_dict())
    return {name: value for name, value in flat.items() if name not in NO_EFFECT}


def settings_without_places(recipe: Recipe) -> dict[str, Any]:
    """Returns :func:`settings_of` without places: equal for runs that differ in the spelling of a path alone.

    The fingerprints of :func:`lvtune.api.run_marks.marks_of` stand for what is left out.
    """
    found = {name: value for name, value in settings_of(recipe).items()
             if name not in PLACES and not name.startswith("earlier_data.")}  # fmt: skip
    found |= {name: _named(found[name]) for name in MODELS if isinstance(found.get(name), str)}
    if found["start"] not in (AUTO, NONE, SHIPPED):
        found["start"] = "given"
    if found.get("after") is not None:
        found["after"] = "given"
    if found.get("grow") not in (None, BASE):
        found["grow"] = "given"
    if is_domain_file(recipe.domain):
        found["domain"] = "file"
    return found


def _named(value: str) -> str:
    """A name as it is; a path, or the path behind a colon (``clip:models/clip``), as the hash of what lies there."""
    kind, colon, rest = value.partition(":")
    for head, place in (("", value), (kind + colon, rest)):
        try:
            if place and Path(place).expanduser().exists():
                return head + path_mark(Path(place).expanduser())
        except (OSError, ValueError, RuntimeError):  # no path at all
            continue
    return value
