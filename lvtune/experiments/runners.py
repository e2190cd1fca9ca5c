"""Runners: functions that run one row of a published table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lvtune.api.recipe import Recipe
from lvtune.core.registry import Registry

BASE_FILE = "base.safetensors"
Say = Callable[[str], None]
Runner = Callable[[Recipe, Path, Say], None]
RUNNERS: Registry[Runner] = Registry("runner", "see recipes/README.md")
"""Name in ``row.run`` to ``function(recipe, folder, say)``, which writes ``folder/report.json``."""


def register_runner(name: str) -> Callable[[Runner], Runner]:
    """Returns a decorator that registers ``function(recipe, folder, say)`` under a name."""
    return RUNNERS.register(name)


@register_runner("adapt")
def _adapt(recipe: Recipe, folder: Path, say: Say) -> None:
    """Tunes an adapter and scores it."""
    from lvtune.api.adapting import adapt

    adapt(replace(recipe, out=str(folder)), say=say)


@register_runner("evaluate")
def _evaluate(recipe: Recipe, folder: Path, say: Say) -> None:
    """Scores the base alone; the report has its scores as those before tuning."""
    from lvtune.api.evaluating import evaluate
    from lvtune.api.report_data import environment
    from lvtune.core.files import write_text

    say(f"scoring {recipe.base} on {recipe.domain}")
    options = recipe.evaluate
    values = evaluate(
        recipe.base, None, recipe.domain, data=recipe.data, weights=recipe.weights,
        flip_test=options.flip_test, batch_size=options.batch_size, device=recipe.device,
    )  # fmt: skip
    report = values | {side: {"before": values[side]} for side in ("target", "source")}
    report |= {"recipe": recipe.to_dict(), "seed": recipe.seed, "versions": environment()}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", json.dumps(report, indent=1))


@register_runner("base")
def _base(recipe: Recipe, folder: Path, say: Say) -> None:
    """Tunes every weight (method ``full``) and writes them as weights of a base, from which other rows start."""
    from safetensors.torch import load_file, save_file

    from lvtune.adapters.building import name_of
    from lvtune.bases.base_registry import load_base

    base = load_base(recipe.base, "random")
    prefix = name_of(base, base.encoder)
    _adapt(recipe, folder, say)
    tensors = load_file(folder / "adapter_model.safetensors")
    named = {k.replace("encoder.", f"{prefix}.", 1) if k.startswith("encoder.") else k: v for k, v in tensors.items()}
    save_file(named, folder / BASE_FILE, {"base": recipe.base, "trained_on": recipe.domain})
