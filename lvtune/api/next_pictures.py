"""Which pictures of a pool to label next, and predictions of them that a person corrects.

A picture is the more telling the less sure the adapter is of it, and the less it is like those that are labelled or
chosen already (:mod:`lvtune.evaluation.picture_choice`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from lvtune.adapters.flip_test import takes_flip_test
from lvtune.api.pool_pictures import open_pool
from lvtune.bases.base import as_base
from lvtune.core.errors import UsageError
from lvtune.core.files import write_atomically, write_text
from lvtune.core.text import counted, shell_word
from lvtune.data.dataset import collate
from lvtune.data.formats.label_project import Instance, LabelProject, Picture
from lvtune.data.formats.prelabels import FORMS, write_prelabels
from lvtune.data.frames_of_video import MOST_FRAMES
from lvtune.data.unlabelled import HiddenLabels
from lvtune.domains.domain import Split
from lvtune.evaluation.inference import predict_split, split_dataset
from lvtune.evaluation.picture_choice import Choice, joined, rank_pictures
from lvtune.hub.adapter_loading import load_base_for, open_adapter
from lvtune.patcher.attaching import attach, use_adapter
from lvtune.storage.output_folder import check_output
from lvtune.training.agreement import Answers, answers_of
from lvtune.training.engine import resolve_device
from lvtune.training.objective_wrapper import watch

if TYPE_CHECKING:
    from torch import nn

    from lvtune.bases.base import Base
    from lvtune.data.pose_table import PoseTable

LIST_FILE, TABLE_FILE, SHEET_FILE = "next.json", "next.csv", "next.jpg"
DEFAULT_FORMS = ("coco", "deeplabcut", "label-studio")
_BATCH = 32
_ROW = 5
"""Pictures in a row of the contact sheet."""
_SURE = 0.3
"""Peak of a heatmap below which a pre-label is marked as hidden (COCO's visibility 1): look at it first."""

Say = Callable[[str], None]
Drawn = list[list[tuple[np.ndarray, np.ndarray]]]
"""Points (K, 2) and scores (K,) of each instance of each picture."""


@dataclass
class NextReport:
    """What :func:`choose_next` found; :meth:`to_dict` is ``next.json``."""

    folder: Path
    pictures: list[dict[str, Any]]
    """``picture``, ``uncertainty``, ``distance``, and what the uncertainty is made of; the most telling first."""
    pool: int
    """Pictures that were looked at."""
    prelabels: dict[str, str] = field(default_factory=dict)
    """Form to its folder."""
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it in JSON types."""
        return {**vars(self), "folder": str(self.folder)}


def choose_next(
    pool: str | Path,
    adapter: nn.Module | str | Path,
    *,
    base: nn.Module | str = "vitpose-ti",
    count: int = 20,
    out: str | Path = "lvtune-out/next",
    labelled: str | Path | None = None,
    weight: float = 0.5,
    forms: Sequence[str] = DEFAULT_FORMS,
    weights: str = "pretrained",
    device: str = "auto",
    seed: int = 0,
    frames: int = MOST_FRAMES,
    say: Say = lambda text: None,
) -> NextReport:
    """Chooses the pictures to label next, and writes list, contact sheet and pre-labels.

    Args:
        pool: folder of pictures, a video, or a COCO file whose boxes are used; no label in it is read. Where the
            adapter was tuned on small boxes, it finds those of whole pictures itself.
        adapter: that is to become better; a folder, a Hub id, or an adapter.
        base: a name or a base.
        count: how many pictures.
        out: folder that the files are written into; it may hold no picture of the pool.
        labelled: pictures that have labels already, likewise: they are not chosen, and new ones are to be unlike them.
        weight: of uncertainty against diversity, 0 to 1.
        forms: of the pre-labels; see :data:`lvtune.data.formats.prelabels.FORMS`.
        weights, device: see :class:`lvtune.Recipe`.
        seed: of one of the views whose answers are compared.
        frames: of a video, at most so many, evenly spread.
        say: called with what is being done.

    Raises:
        LvtuneError: no such pool; a form that does not exist; an output that would overwrite an input.
    """
    folder = Path(out)
    for form in forms:
        if form not in FORMS:
            raise UsageError(f"pre-labels as '{form}'", f"some of {', '.join(FORMS)}", "check --prelabels")
    view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    tuned: Any = open_adapter(adapter, view)
    pictures = open_pool(pool, labelled, tuned, frames)
    _check_out(folder, Path(pool), pictures.table, forms)
    table, known, notes = pictures.boxed(view, tuned, device, say)
    labelled_split = None if known is None else Split(known, "labelled")
    chosen, answers, first = ranked(view, tuned, Split(table, "pool"), labelled_split, count, weight, seed)
    say(f"predicting {counted(len(chosen), 'picture')}")
    if len(chosen) < count:
        notes.append(f"{counted(count, 'picture')} asked for, {len(chosen)} to choose from: all are listed")
    report = NextReport(folder, _rows(chosen, answers, table, first), _count(table), notes=notes)
    project, predicted = _project(view, tuned, table, [row["picture"] for row in report.pictures])
    for form in forms:
        place, more = write_prelabels(project, folder, form)
        report.prelabels[form] = str(place)
        report.notes += [note for note in more if note not in report.notes]
    _write(report, project, predicted, tuned)
    return report


def _check_out(folder: Path, pool: Path, table: PoseTable, forms: Sequence[str]) -> None:
    """Refuses an output folder that holds inputs or an earlier round, or lies inside the pool.

    From inside the pool the next round would choose among its copies and its contact sheet.
    """
    written = [folder / name for name in (LIST_FILE, TABLE_FILE, SHEET_FILE)]
    check_output(folder, written, pictures=[table.image_path(i) for i in range(len(table))])
    if pool.is_dir() and folder.resolve().is_relative_to(pool.resolve()):
        raise UsageError(f"output folder {folder}, which lies inside the pool {pool}",
                         "a folder outside of the pool: else the next round takes its pictures for new ones",
                         f"choose another --out DIR, such as --out {shell_word(_beside(pool))}")  # fmt: skip
    _check_free(folder, forms, written)


def _beside(pool: Path) -> Path:
    whole = pool.resolve()
    return whole.with_name(f"{whole.name}-next")


def _check_free(folder: Path, forms: Sequence[str], written: Sequence[Path]) -> None:
    """Refuses the folder of an earlier round: its list would be lost, and its pre-labels belong to that list."""
    there = [file for file in written if file.exists()]
    if there:
        raise UsageError(f"output folder {folder}, which has {there[0].name} of an earlier round", "a new folder",
                         f"choose another --out DIR, such as --out {shell_word(_unused(folder))}")  # fmt: skip
    for form in forms:
        place = folder / form
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise UsageError(f"output folder {place}, which is not empty", "a new folder", "choose another --out DIR")


def _unused(folder: Path) -> Path:
    name = folder.resolve().name
    return next(place for n in range(2, 10**6) if not (place := folder.parent / f"{name}-{n}").exists())


def _count(table: PoseTable) -> int:
    return len(set(table.column("image")))


def features_of(base: Base, data: Any) -> np.ndarray:
    """Returns (N, D), the frozen base's feature map of each sample, averaged over its places; no adapter acts."""
    found = []
    with torch.no_grad(), use_adapter(base, None):
        for batch in DataLoader(data, batch_size=_BATCH, collate_fn=collate):
            with watch(base) as seen:
                base(batch["pixel_values"].to(base.device))
            found.append(seen.features[0].float().mean((2, 3)).cpu().numpy())
    return np.concatenate(found)


def ranked(
    base: Any, tuned: Any, pool: Split, known: Split | None, count: int, weight: float = 0.5, seed: int = 0
) -> tuple[list[Choice], dict[str, np.ndarray], list[int]]:
    """Chooses pictures of a split; no label of it is read.

    Args:
        base: that the adapter is for.
        tuned: the adapter.
        pool: to choose from.
        known: pictures that have labels already; None: none are known.
        count: how many.
        weight: see :func:`lvtune.evaluation.picture_choice.rank_pictures`.
        seed: see :func:`choose_next`.

    Returns:
        The pictures chosen, the most telling first, by their places in the sorted names of the pool's pictures; what
        the uncertainty of each of these is made of; and the first row of each.
    """
    data, table = HiddenLabels(split_dataset(base, pool)), pool.table
    measures = uncertainties(answers_of(base, tuned, data, seed=seed))
    names = table.column("image").astype(str)
    pictures, first, of = np.unique(names, return_index=True, return_inverse=True)
    features = features_of(base, data)
    mean = features.mean(0)  # what all pictures share says nothing of their differences
    per_picture = {name: _mean_by(values, of, len(pictures)) for name, values in measures.items()}
    own = _mean_by(features - mean, of, len(pictures))
    theirs = None
    if known is not None:
        theirs = features_of(base, HiddenLabels(split_dataset(base, known))) - mean
    chosen = rank_pictures(joined(list(per_picture.values())), own, count, theirs, weight)
    return chosen, per_picture, first.tolist()


def uncertainties(answers: Answers) -> dict[str, np.ndarray]:
    """Returns measures (N,) of how unsure the answers to N samples are; the larger, the less sure.

    ``disagreement`` of the views and ``spread`` of the heatmaps are shares of the picture's height; ``doubt`` is 1
    minus the mean peak of the heatmaps.
    """
    return {
        "disagreement": answers.apart.mean(1).numpy(),
        "spread": answers.spread.mean(1).numpy(),
        "doubt": 1 - answers.peak.mean(1).numpy(),
    }


def _mean_by(values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    total = np.zeros((count, *values.shape[1:]))
    np.add.at(total, group, values)
    size = np.bincount(group, minlength=count).reshape(-1, *[1] * (values.ndim - 1))
    return total / size


def _rows(
    chosen: Sequence[Choice], measures: dict[str, np.ndarray], table: PoseTable, first: Sequence[int]
) -> list[dict[str, Any]]:
    return [
        {
            "picture": str(table.image_path(first[one.place])),
            "uncertainty": round(one.uncertainty, 4),
            "distance": round(one.distance, 4),
            **{name: round(float(values[one.place]), 4) for name, values in measures.items()},
        }
        for one in chosen
    ]


def _project(base: Any, tuned: Any, table: PoseTable, pictures: Sequence[str]) -> tuple[LabelProject, Drawn]:
    """The predictions for the chosen pictures as labels; and points and scores of each picture, for drawing."""
    places = {name: i for i, name in enumerate(pictures)}
    rows = [i for i in range(len(table)) if str(table.image_path(i)) in places]
    part = table.select(rows)
    with attach(base, tuned, name="labelling"):
        points, scores = predict_split(
            base, Split(part, "chosen"), flip_test=takes_flip_test(tuned), category=None, skeleton=tuned.skeleton
        )
    instances, drawn = [], [[] for _ in pictures]
    sizes: dict[int, tuple[int, int]] = {}
    for person, own, sure in zip(part, points, scores, strict=True):
        place = places[str(part.image_path(person.index))]
        sizes[place] = (person.width, person.height)
        inside = np.clip(own, 0, np.array([person.width, person.height]) - 1.0)
        x, y, width, height = (float(v) for v in person.bbox)
        instances.append(Instance(place, inside, np.where(sure >= _SURE, 2, 1), box=(x, y, width, height)))
        drawn[place].append((inside, sure))
    root = Path(os.path.commonpath([str(Path(name).parent) for name in pictures]))
    names = [Path(name).relative_to(root).as_posix() for name in pictures]
    found = tuple(Picture(Path(n), names[i], *sizes[i]) for i, n in enumerate(pictures))
    links, pairs = tuple(tuned.skeleton.links), tuned.skeleton.pairs if tuned.skeleton.mirrors else None
    return LabelProject(
        "lvtune", root, tuple(tuned.skeleton.keypoints), found, tuple(instances), links=links, flip_pairs=pairs
    ), drawn


def _write(report: NextReport, project: LabelProject, drawn: Drawn, tuned: Any) -> None:
    """Writes list, table and contact sheet."""
    import csv
    import io

    import cv2

    from lvtune.data.images import read_image
    from lvtune.viz.overlay import contact_sheet, draw_pose

    cells, words = [], []
    for number, (picture, own, row) in enumerate(zip(project.pictures, drawn, report.pictures, strict=True), start=1):
        image = read_image(picture.path)
        for points, scores in own:
            image = draw_pose(image, points, scores, tuned.skeleton, threshold=0.0)
        cells.append(image)
        words.append(f"{number}: {picture.name} ({row['uncertainty']:.2f})")
    rows = [cells[i : i + _ROW] for i in range(0, len(cells), _ROW)]
    captions = [words[i : i + _ROW] for i in range(0, len(words), _ROW)]
    sheet = contact_sheet(rows, captions, cell=240)
    report.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(report.folder / SHEET_FILE, cv2.imencode(".jpg", sheet[:, :, ::-1])[1].tobytes())
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, ["rank", *report.pictures[0]], lineterminator="\n")
    table.writeheader()
    table.writerows({"rank": i, **row} for i, row in enumerate(report.pictures, start=1))
    write_text(report.folder / TABLE_FILE, text.getvalue())
    write_text(report.folder / LIST_FILE, json.dumps(report.to_dict(), indent=1))
