"""Scores of a base, alone or with a saved adapter, on any domain or a user's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.job import limited, open_domain, open_source
from lvtune.bases import load_base
from lvtune.bases.base import Base, as_base
from lvtune.errors import LvtuneError
from lvtune.evaluation.evaluate import score_split
from lvtune.patcher import attach
from lvtune.recipe import DataOptions
from lvtune.training.engine import resolve_device

if TYPE_CHECKING:
    from torch import nn


def evaluate(
    base: nn.Module | str = "vitpose-ti",
    adapter: nn.Module | str | Path | None = None,
    domain: str = "demo-art",
    *,
    split: str = "test",
    data: DataOptions | None = None,
    weights: str = "pretrained",
    prompt: str | None = None,
    flip_test: bool = True,
    batch_size: int = 64,
    device: str = "auto",
) -> dict[str, Any]:
    """PCK and OKS-AP on a split of a domain, and on its source where it has one.

    Args:
        base: a name, a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: attached for the scoring and taken off again; a folder, a Hub id, or an adapter.
        domain: one of :func:`lvtune.list_domains`, or ``custom`` with ``data``.
        split: ``test``, ``val`` or ``train``.
        data: where the pictures lie.
        weights: of a base given by name.
        prompt: a category, ``own`` (each picture's, as annotated), ``auto``, or None for the mean sentence.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.
        device: see :class:`lvtune.Recipe`.

    Returns:
        ``target`` and ``source`` (or None), each with its scores (names and units: :mod:`lvtune.evaluation.names`);
        ``main``, the one to look at first, ``per_joint`` of the target, and what was scored.

    Raises:
        LvtuneError: anything that does not exist or does not fit.
    """
    data = data or DataOptions()
    view = load_base(base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    opened = open_domain("custom" if data.annotations and domain == "demo-art" else domain, data)
    target = limited(opened.open(split, data), data)
    source = open_source(opened, view, data, split)
    adapter = open_adapter(adapter, view)
    skeleton = view.skeleton if adapter is None else adapter.skeleton
    options = {"skeleton": skeleton, "flip_test": flip_test, "batch_size": batch_size}
    if prompt == "auto":
        raise_auto()
    if prompt not in (None, "own"):
        check_prompt(prompt, adapter)

    def run() -> dict[str, Any]:
        asked = "category" if prompt == "own" else prompt
        scores = score_split(view, target, prompt=asked, **options)
        found = {"main": scores.main, "per_joint": scores.per_joint(), "target": scores.values | scores.headline()}
        found["source"] = None
        if source is not None and source.table.skeleton.keypoints == skeleton.keypoints:
            kept = score_split(view, source, prompt=None, **options)
            found["source"] = kept.values | kept.headline()
        return found

    if adapter is None:
        values = run()
    else:
        with attach(view, adapter, name="evaluated"):
            values = run()
    return {
        "base": view.name,
        "adapter": None if adapter is None else adapter.method,
        "domain": opened.name,
        "split": split,
        "target_name": target.name,
        "source_name": None if source is None else source.name,
        **values,
        "notes": list(target.table.notes),
    }


def open_adapter(adapter: nn.Module | str | Path | None, base: Base) -> nn.Module | None:
    """An adapter from wherever it is."""
    from lvtune.hub.store import load_adapter

    return load_adapter(adapter, base) if isinstance(adapter, str | Path) else adapter


def check_prompt(prompt: str, adapter: nn.Module | None) -> None:
    """Raises a LvtuneError unless the adapter has a sentence for ``prompt``."""
    if adapter is None or adapter.bank is None:
        raise LvtuneError(
            f"prompt '{prompt}' without an adapter that reads sentences",
            "an adapter such as vlpose",
            "give --adapter, or leave --prompt out",
        )
    adapter.bank.index(prompt)


def raise_auto() -> None:
    """``auto`` ranks categories with the image side of CLIP; said plainly where that is not to be had."""
    raise LvtuneError(
        "prompt 'auto', which needs the image side of CLIP", "a category's name, 'own', or no prompt",
        "leave --prompt out to read the mean of the adapter's sentences",
    )  # fmt: skip
