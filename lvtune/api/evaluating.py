"""Scores a base, alone or with a saved adapter, on any domain or a user's own pictures."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.adapters.flip_test import takes_flip_test
from lvtune.api.as_tuned import TunedBefore, tuned_before
from lvtune.api.base_calibrating import CalibrationFile
from lvtune.api.calibrating import measure
from lvtune.api.data_check import require_sound_splits
from lvtune.api.open_data import find_source_of, limited, open_domain, recorded_data
from lvtune.api.score_files import SCORES_FILE, targets_of, write_scored
from lvtune.bases.base import as_base
from lvtune.config.options import DataOptions, EvaluateOptions
from lvtune.core.errors import LvtuneError
from lvtune.core.files import write_text
from lvtune.core.processes import from_main, is_main, main_first, together
from lvtune.data.jpeg_damage import damaged_pictures
from lvtune.domains.own_domain import CUSTOM, is_own_data
from lvtune.evaluation.choosing import RankedCategories, choose
from lvtune.evaluation.split_scoring import score_split
from lvtune.evaluation.task import Scores
from lvtune.hub.adapter_loading import load_base_for, open_adapter
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import attach
from lvtune.prediction.pose_rows import PLAIN, check_layout
from lvtune.storage.base_calibration import AUTO, calibration_for
from lvtune.storage.output_folder import check_output, files_at, input_files, input_folders, make_folder
from lvtune.training.engine import resolve_device
from lvtune.viz.pck_curves import draw_curves
from lvtune.viz.reliability import draw_reliability

if TYPE_CHECKING:
    from torch import nn

    from lvtune.bases.base import Base
    from lvtune.data.skeletons import Skeleton
    from lvtune.domains import Domain, Split


@dataclass(frozen=True)
class _Scored:
    """The scores of an evaluation."""

    target: Scores
    source: Scores | None
    missing: str | None
    """Why the source has no scores; None where it has."""


@dataclass(frozen=True)
class _Opened:
    """Base, adapter and data of an evaluation."""

    base: Base
    adapter: Any
    """None: the base alone."""
    domain: Domain
    target: Split
    source: Split | None
    skeleton: Skeleton
    """The key points predicted."""
    missing: str
    """Why there is no source, where there is none."""
    notes: list[str]
    """What the adapter's tuning says of these pictures."""

    @property
    def comparable(self) -> Split | None:
        """The source, where its key points are the ones predicted."""
        is_same = self.source is not None and self.source.table.skeleton.keypoints == self.skeleton.keypoints
        return self.source if is_same else None

    def score(self, rule: Any, options: dict[str, Any]) -> _Scored:
        """Scores target and source with the adapter attached; ``rule`` chooses the target's sentences."""
        base, source, options = self.base, self.comparable, {"skeleton": self.skeleton, **options}
        with contextlib.nullcontext() if self.adapter is None else attach(base, self.adapter, name="evaluated"):
            target = score_split(base, self.target, category=rule, **options)
            kept = None if source is None else score_split(base, source, category=None, **options)
        return _Scored(target, kept, None if kept is not None else self._why_no_source())

    def _why_no_source(self) -> str:
        return self.missing if self.source is None else "the source has other key points than the ones predicted"

    def about(self) -> dict[str, Any]:
        """What is scored, by name."""
        return {
            "base": self.base.name,
            "adapter": None if self.adapter is None else self.adapter.method,
            "domain": self.domain.name,
            "target_name": self.target.name,
            "source_name": None if self.source is None else self.source.name,
        }


def _open(view: Base, adapter: Any, domain: str, split: str, data: DataOptions, before: TunedBefore) -> _Opened:
    """Opens target and source, and looks at every picture once.

    Own data are divided as they were when the adapter was tuned, unless the user says otherwise.
    """
    name = CUSTOM if (data.annotations or data.data) and domain == "demo-art" else domain
    data = recorded_data(name, data)
    filled, notes = before.fill(data) if is_own_data(name) else (data, [])
    try:
        found = open_domain(name, filled)
        target = limited(found.open(split, filled), filled)
    except LvtuneError as error:
        if filled == data:
            raise
        found, filled = open_domain(name, data), data
        target = limited(found.open(split, data), data)
        notes = [f"options of the adapter's tuning are left out, since they do not fit these data: {error.given}"]
    source = find_source_of(found, view.spec, filled, split)
    skeleton = view.skeleton if adapter is None else adapter.skeleton
    notes = [*notes, *(before.seen(target, split) if is_own_data(name) else [])]
    opened = _Opened(view, adapter, found, target, source.split, skeleton, source.missing, notes)
    require_sound_splits([target, opened.comparable])
    return opened


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
    calibration: str | Path = AUTO,
    save_calibration: str | Path | None = None,
) -> dict[str, Any]:
    """Scores a split of a domain, and its source where it has one: PCK, OKS-AP, errors in pixels.

    Args:
        base: a name, a base, or a plain ``transformers.VitPoseForPoseEstimation``.
        adapter: attached meanwhile; a folder, a Hub id, or an adapter.
        domain: one of :func:`lvtune.list_domains`, or ``custom`` with ``data``.
        split: ``test``, ``val`` or ``train``.
        data: where the pictures lie; every one is looked at before anything is computed.
        weights, device: see :class:`lvtune.Recipe`.
        category, ranker, flip_test, batch_size, p_cutoff: see :class:`lvtune.config.options.EvaluateOptions`.
        seed: of the category ``shuffled``.
        out: folder for the files of :func:`lvtune.api.score_files.write_scored` and ``scores.json``; not the data's.
        layout: ``dlc`` also writes DeepLabCut's table into ``out``.
        calibration: what is said of the confidence. ``auto``: of the adapter's own, or of the one that ships with the
            base; ``none``: nothing; a file that ``save_calibration`` wrote for the base alone.
        save_calibration: file for a calibration of the base alone, which is fitted on these pictures; what is said of
            the confidence is then measured on each fifth of the pictures by a calibration of the others.

    Returns:
        ``target`` and ``source`` (or None) with their scores (:mod:`lvtune.evaluation.metrics`); ``main``, the main
        score; ``scoring``, how PCK and AP are made; ``per_joint``; ``reasons`` for missing scores; what was scored.

    Raises:
        LvtuneError: anything that does not exist or does not fit; pictures that are missing or broken.
    """
    check_layout(layout)
    with together(device):
        return _evaluate(
            base, adapter, domain, split=split, data=data, weights=weights, category=category, ranker=ranker, seed=seed,
            flip_test=flip_test, batch_size=batch_size, p_cutoff=p_cutoff, device=device, out=out, layout=layout,
            calibration=calibration, save_calibration=save_calibration,
        )  # fmt: skip


def _evaluate(
    base: nn.Module | str,
    adapter: nn.Module | str | Path | None,
    domain: str,
    *,
    split: str,
    data: DataOptions | None,
    weights: str,
    category: str | None,
    ranker: str,
    seed: int,
    flip_test: bool,
    batch_size: int,
    p_cutoff: float,
    device: str,
    out: str | Path | None,
    layout: str,
    calibration: str | Path,
    save_calibration: str | Path | None,
) -> dict[str, Any]:
    data, folder = data or DataOptions(), None if out is None else Path(out)
    made = CalibrationFile(save_calibration, adapter=adapter, wanted=calibration, split=split, data=data)
    if folder is not None:
        inputs = [*input_files(data), *files_at(weights)]
        check_output(folder, targets_of(folder), folders=input_folders(data), files=inputs)
    with main_first():
        view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
        view.model.to(resolve_device(device))
        opened = _open(view, open_adapter(adapter, view), domain, split, data, tuned_before(adapter))
    own = None if made.file else calibration_for(view, opened.adapter, calibration)
    rule = choose(category, opened.adapter, ranker=ranker, seed=seed, device=view.device)
    if folder is not None and is_main():
        make_folder(folder)
    flip_test = flip_test and takes_flip_test(opened.adapter)
    with damaged_pictures(data.damaged) as damaged:
        scored = opened.score(rule, {"flip_test": flip_test, "batch_size": batch_size, "p_cutoff": p_cutoff})
        fitted = made.fit(view, opened.target, batch_size=batch_size, flip_test=flip_test)
        notes = [*damaged(), *made.notes(fitted)]
    values = opened.about() | {"split": split} | _values(scored) | {"category": category or "mean"}
    measured = measure(opened.target, scored.target, own, flip_test and opened.skeleton.mirrors)
    values["calibration"] = measured if fitted is None else fitted.left_out
    values |= {"auto": rule.summary()} if isinstance(rule, RankedCategories) else {}
    values["notes"] = [
        *opened.notes,
        *opened.target.table.notes,
        *((scored.target.values.get("scoring") or {}).get("notes", [])),
        *notes,
    ]
    if folder is not None and is_main():
        _write(folder, values, opened.target, scored.target, layout)
    return from_main(values)


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
    draw_reliability(folder, values["calibration"], target.name)
    values["notes"] += write_scored(target, scores, folder, layout=layout)
    write_text(folder / SCORES_FILE, json.dumps(values, indent=2))
