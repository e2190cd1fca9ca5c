"""Scores a base, alone or with a saved adapter, on any domain or a user's own pictures."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.data_check import require_sound_splits
from lvtune.api.job import limited, open_domain, open_source
from lvtune.api.output_folder import check_output, input_files, input_folders, make_folder
from lvtune.api.pose_table import PLAIN, check_layout
from lvtune.api.score_files import SCORES_FILE, targets_of, write_scored
from lvtune.bases.base import as_base
from lvtune.config.options import DataOptions, EvaluateOptions
from lvtune.core.files import write_text
from lvtune.evaluation.choosing import RankedCategories, choose
from lvtune.evaluation.split_scoring import score_split
from lvtune.evaluation.task import Scores
from lvtune.hub.adapter_loading import load_base_for, open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import attach
from lvtune.training.engine import resolve_device
from lvtune.viz.pck_curves import draw_curves

if TYPE_CHECKING:
    from torch import nn

    from lvtune.domains import Split

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Scored:
    """The scores of an evaluation."""

    target: Scores
    source: Scores | None
    missing: str | None
    """Why the source has no scores; None where it has."""


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
    p_cutoff: float = EvaluateOptions.p_cutoff,
    device: str = "auto",
    out: str | Path | None = None,
    layout: str = PLAIN,
) -> dict[str, Any]:
    """Scores a split of a domain, and its source where it has one: PCK, OKS-AP, errors in pixels.

    Every picture is looked at before anything is computed.

    Args:
        base: a name, a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: attached for the scoring and taken off again; a folder, a Hub id, or an adapter.
        domain: one of :func:`lvtune.list_domains`, or ``custom`` with ``data``.
        split: ``test``, ``val`` or ``train``.
        data: where the pictures lie.
        weights: of a base given by name.
        category: a category; ``own``, each picture's, as annotated; ``auto``, whose sentence CLIP finds to fit the
            picture best; ``shuffled``, the annotated ones permuted over the instances; None or ``mean``, the mean
            sentence.
        ranker: CLIP or SigLIP for ``auto``, a Hub id or a folder.
        seed: of ``shuffled``.
        flip_test: average with the mirrored picture.
        batch_size: pictures at a time.
        p_cutoff: confidence from which a key point counts in ``px_cutoff``.
        device: see :class:`lvtune.Recipe`.
        out: folder for ``scores.json``, ``results.coco.json``, ``truth.coco.json`` and ``poses.csv``; of hands, PCK
            curves, a table of joints and FreiHAND's ``pred.json``. May not be the folder of the data.
        layout: ``dlc`` also writes DeepLabCut's table into ``out``.

    Returns:
        ``target`` and ``source`` (or None), each with its scores (names and units: :mod:`lvtune.evaluation.metrics`);
        ``main``, the main score; ``scoring``, by what PCK is normalised and which sigmas OKS has; ``per_joint`` of the
        target; ``reasons`` for scores that are missing; and what was scored.

    Raises:
        LvtuneError: anything that does not exist or does not fit; pictures that are missing or broken.
    """
    check_layout(layout)
    data, folder = data or DataOptions(), None if out is None else Path(out)
    if folder is not None:
        check_output(folder, targets_of(folder), folders=input_folders(data), files=input_files(data))
    view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    found = open_domain("custom" if (data.annotations or data.data) and domain == "demo-art" else domain, data)
    target = limited(found.open(split, data), data)
    source = open_source(found, view, data, split)
    opened: Any = open_adapter(adapter, view)
    skeleton = view.skeleton if opened is None else opened.skeleton
    rule = choose(category, opened, ranker=ranker, seed=seed, device=view.device)
    is_comparable = source is not None and source.table.skeleton.keypoints == skeleton.keypoints
    require_sound_splits([target, source if is_comparable else None])
    if folder is not None:
        make_folder(folder)
    options = {"skeleton": skeleton, "flip_test": flip_test, "batch_size": batch_size, "p_cutoff": p_cutoff}
    with contextlib.nullcontext() if opened is None else attach(view, opened, name="evaluated"):
        scores = score_split(view, target, category=rule, **options)
        kept = score_split(view, source, category=None, **options) if source is not None and is_comparable else None
    scored = _Scored(scores, kept, None if kept is not None else _why_no_source(source))
    values = {
        "base": view.name,
        "adapter": None if opened is None else opened.method,
        "domain": found.name,
        "split": split,
        "target_name": target.name,
        "source_name": None if source is None else source.name,
        **_values(scored),
        "category": category or "mean",
        **({"auto": rule.summary()} if isinstance(rule, RankedCategories) else {}),
        "notes": [*target.table.notes, *((scores.values.get("scoring") or {}).get("notes", []))],
    }
    if folder is not None:
        _write(folder, values, target, scores, layout)
    return values


def _why_no_source(source: Split | None) -> str:
    if source is None:
        return "there are no pictures of the source (give --data.source-data FOLDER)"
    return "the source has other key points than the ones predicted"


def _values(found: _Scored) -> dict[str, Any]:
    """Scores in JSON types, with the reasons for those that are missing."""
    target, source = found.target, found.source
    sides = {"target": target, "source": source}
    reasons = {
        f"{name}.{score}": why
        for name, scores in sides.items()
        if scores is not None
        for score, why in scores.values.get("reasons", {}).items()
    }
    if found.missing is not None:
        reasons["source"] = found.missing
    return {
        "main": target.main,
        "scoring": {name: None if one is None else one.values.get("scoring") for name, one in sides.items()},
        "per_joint": target.per_joint(),
        **{name: None if one is None else one.values | one.headline() for name, one in sides.items()},
        "reasons": reasons,
    }


def _write(folder: Path, values: dict[str, Any], target: Split, scores: Scores, layout: str) -> None:
    scores.write(folder)
    draw_curves(folder, scores.curves(), target.name)
    values["notes"] += write_scored(target, scores, folder, layout=layout)
    write_text(folder / SCORES_FILE, json.dumps(values, indent=2))
