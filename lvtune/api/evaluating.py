"""Scores of a base, alone or with a saved adapter, on any domain or a user's own pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.job import limited, open_domain, open_source
from lvtune.bases.base import as_base
from lvtune.config.options import DataOptions
from lvtune.evaluation.choosing import Auto, choose
from lvtune.evaluation.split_scoring import score_split
from lvtune.hub.adapter_loading import load_base_for, open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import attach
from lvtune.training.engine import resolve_device
from lvtune.viz.pck_curves import draw_curves

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
    category: str | None = None,
    ranker: str = RANKER,
    seed: int = 0,
    flip_test: bool = True,
    batch_size: int = 64,
    device: str = "auto",
    out: str | Path | None = None,
) -> dict[str, Any]:
    """PCK and OKS-AP on a split of a domain, and on its source where it has one.

    Args:
        base: a name, a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: attached for the scoring and taken off again; a folder, a Hub id, or an adapter.
        domain: one of :func:`lvtune.list_domains`, or ``custom`` with ``data``.
        split: ``test``, ``val`` or ``train``.
        data: where the pictures lie.
        weights: of a base given by name.
        category: a category; ``own``, each picture's, as annotated; ``auto``, whose sentence CLIP finds to fit the
            picture best; ``shuffled``, the annotated ones permuted over the persons; None or ``mean``, the mean
            sentence.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder.
        seed: of ``shuffled``.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.
        device: see :class:`lvtune.Recipe`.
        out: folder for ``scores.json`` and, of hands, PCK curves, a table of joints and FreiHAND's ``pred.json``.

    Returns:
        ``target`` and ``source`` (or None), each with its scores (names and units: :mod:`lvtune.evaluation.metrics`);
        ``main``, the one to look at first, ``per_joint`` of the target, and what was scored.

    Raises:
        LvtuneError: anything that does not exist or does not fit.
    """
    data = data or DataOptions()
    view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    opened = open_domain("custom" if data.annotations and domain == "demo-art" else domain, data)
    target = limited(opened.open(split, data), data)
    source = open_source(opened, view, data, split)
    adapter = open_adapter(adapter, view)
    skeleton = view.skeleton if adapter is None else adapter.skeleton
    options = {"skeleton": skeleton, "flip_test": flip_test, "batch_size": batch_size}
    asked = choose(category, adapter, ranker=ranker, seed=seed, device=view.device)

    def run() -> dict[str, Any]:
        scores = score_split(view, target, category=asked, **options)
        found = {"main": scores.main, "per_joint": scores.per_joint(), "target": scores.values | scores.headline()}
        found["source"] = None
        if out is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
            scores.write(Path(out))
            draw_curves(Path(out), scores.curves(), target.name)
        if source is not None and source.table.skeleton.keypoints == skeleton.keypoints:
            kept = score_split(view, source, category=None, **options)
            found["source"] = kept.values | kept.headline()
        return found

    if adapter is None:
        values = run()
    else:
        with attach(view, adapter, name="evaluated"):
            values = run()
    values = {
        "base": view.name,
        "adapter": None if adapter is None else adapter.method,
        "domain": opened.name,
        "split": split,
        "target_name": target.name,
        "source_name": None if source is None else source.name,
        **values,
        "category": category or "mean",
        **({"auto": asked.summary()} if isinstance(asked, Auto) else {}),
        "notes": list(target.table.notes),
    }
    if out is not None:
        (Path(out) / "scores.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
    return values
