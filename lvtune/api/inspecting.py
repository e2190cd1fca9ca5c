"""Describes what a recipe would do, and what an adapter file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.bases.changes import hooks_of
from lvtune.core.errors import LvtuneError

if TYPE_CHECKING:
    from lvtune.api.recipe import Recipe
    from lvtune.bases.base import Base
    from lvtune.bases.changes import Change


def dry_run(recipe: Recipe) -> dict[str, Any]:
    """Describes what :func:`lvtune.adapt` would do, without doing it.

    Weights, data and text encoders that are missing are listed; the trainable tensors are known without them.

    Returns:
        ``recipe`` (resolved), ``start`` (where the tuning begins; None: at the base's own answer), ``tree`` (name,
        shape and parameters of each trainable tensor), ``trainable``, ``share_of_base``, ``memory_mb`` (expected,
        float32), ``attaches`` (changes to the base), ``targets`` (names of the base's modules that they change),
        ``instances`` (instances of train and test; None where the data are missing), ``decisions`` (what was chosen for
        the user, and why: ``what``, ``value``, ``why``), ``missing`` (errors that keep the recipe from running here).
    """
    from lvtune.adapters.method_registry import METHODS
    from lvtune.api.job import prepare
    from lvtune.api.method_choice import method_decisions
    from lvtune.api.outline import outline

    instances, begun, missing = None, None, []
    decisions = [decision.to_dict() for decision in method_decisions(recipe)]
    adapter: Any
    try:
        job = prepare(recipe)
        recipe, base, adapter, begun = job.recipe, job.base, job.adapter, job.warm_start
        decisions = [decision.to_dict() for decision in job.decisions]
        instances = {"train": len(job.train.table), "test": len(job.test.table)}
    except LvtuneError as error:
        recipe = recipe.resolved(METHODS.get(recipe.method).defaults)
        base, adapter, missing = outline(recipe, error)
    tree = [
        {"name": name, "shape": list(p.shape), "parameters": p.numel()}
        for name, p in adapter.named_parameters()
        if p.requires_grad
    ]
    trainable = sum(row["parameters"] for row in tree)
    whole = sum(p.numel() for p in base.model.parameters())
    changes = list(adapter.changes(base))
    return {
        "recipe": recipe.to_dict(),
        "start": None if begun is None or begun.misfit else begun.name,
        "tree": tree,
        "trainable": trainable,
        "share_of_base": trainable / whole,
        "memory_mb": round(_expected_memory(base, recipe.train.batch_size or 1, whole, trainable)),
        "attaches": len(changes),
        "targets": _names_of_changed(changes, base),
        "instances": instances,
        "decisions": decisions,
        "missing": [str(error) for error in missing],
    }


def _names_of_changed(changes: list[Change], base: Base) -> list[str]:
    changed = {module for change in changes for kind, module, _ in hooks_of(change) if kind != "apart"}
    return [name for name, module in base.model.named_modules() if module in changed]


def _expected_memory(base: Base, batch: int, whole: int, trainable: int) -> float:
    """Estimates the MB of weights, gradients, AdamW moments and activations; the last by rule of thumb.

    Each block keeps about 20 activations of (B, N, D) for the backward pass, the head 8 maps of (B, C, h, w);
    the interpreter with its libraries takes about 700 MB.
    """
    tokens = base.input_size[0] * base.input_size[1] // 256
    encoder = len(base.blocks) * 20 * batch * tokens * base.width
    h, w = base.heatmap_size
    head = 8 * batch * h * w * max(stage.channels for stage in base.stages)
    return 700 + 4 * (whole + 4 * trainable + encoder + head) / 1e6


def inspect_adapter(source: str | Path) -> dict[str, Any]:
    """Describes an adapter file without loading its base: config, tensors with shapes, size.

    Args:
        source: a folder of lvtune's or of plain peft, a file, or ``user/repo@revision`` on the Hub.

    Raises:
        LvtuneError: no such adapter, or a damaged one.
    """
    from lvtune.hub.remote import locate
    from lvtune.storage import adapter_file, peft_folder

    place = locate(source)
    foreign = peft_folder.read(place)
    if foreign is not None:
        tensors, config = foreign[0], {"method": "peft", "method_config": foreign[1]}
    else:
        tensors, config = adapter_file.read(place)
    rows = [
        {"name": name, "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        for name, value in sorted(tensors.items())
    ]
    total = sum(value.numel() for value in tensors.values())
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    return {"source": str(source), "config": config, "tensors": rows, "numbers": total, "bytes": size}
