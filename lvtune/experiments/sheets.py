"""Draws pictures by category, the base alone beside adapters, as in figure 4 of VLPose (arXiv 2402.14456)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lvtune.core.errors import UsageError
from lvtune.experiments.report_file import read_report

if TYPE_CHECKING:
    from lvtune.domains import Split

_MARGIN = 1.4  # side of the crop, as a multiple of the person's box


def category_sheet(
    runs: Sequence[str | Path], path: str | Path, *, data: Any = None, across: int = 3, most: int = 24
) -> Path:
    """Draws one person of each category, as predicted by the base alone and with each run's adapter.

    The person is the first of its category in the test split, so that none is picked for a good result.

    Args:
        runs: folders of ``lvtune adapt`` on one domain, each with its adapter and ``report.json``. The first run's base
            is the base alone.
        path: of the PNG file.
        data: where the pictures are (``lvtune.config.options.DataOptions``); None: where the first run found them.
        across: number of categories in a row.
        most: largest number of categories.

    Raises:
        LvtuneError: a folder has no run; data, base or adapter are missing; the file cannot be written.
    """
    import cv2

    from lvtune.api.open_data import open_domain
    from lvtune.viz.overlay import contact_sheet

    recipes = [_recipe(Path(run)) for run in runs]
    if not recipes:
        raise UsageError("no run to draw", "at least one folder that lvtune adapt wrote", "run a row first")
    options = data or recipes[0].data
    split = open_domain(recipes[0].domain, options).open("test", options)
    chosen = _one_of_each(split, most)
    part = split.with_table(split.table.select(chosen))
    columns = [("base alone", *_predict(recipes[0], None, part))]
    columns += [(r.method, *_predict(r, Path(run), part)) for r, run in zip(recipes, runs, strict=True)]
    cells = []
    for i in range(len(chosen)):
        category = part.table[i].category.replace("_", " ") or part.name
        cells.append([(f"{category}: {name}", _draw(part, i, *rest)) for name, *rest in columns])
    rows = [list(chain(*cells[start : start + across])) for start in range(0, len(cells), across)]
    sheet = contact_sheet(
        [[image for _, image in row] for row in rows], [[words for words, _ in row] for row in rows], cell=240
    )
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())
    except OSError as error:
        raise UsageError(f"figure {target} ({error.strerror})", "a file that can be written", "choose another path") \
            from error  # fmt: skip
    return target


def _recipe(run: Path) -> Any:
    from lvtune.api.recipe import Recipe
    from lvtune.config.tables import without_replaced

    file = run / "report.json"
    if not file.is_file() or not (run / "adapter_model.safetensors").is_file():
        raise UsageError(f"{run} without a report and an adapter", "a folder that lvtune adapt wrote", "check the path")
    values = read_report(file).get("recipe")
    if not isinstance(values, dict):
        raise UsageError(f"{file} without a recipe", "the report of a run", "give another folder")
    return Recipe.from_dict(without_replaced(values, Recipe))


def _one_of_each(split: Split, most: int) -> list[int]:
    """Returns the row of the first person of each category, in the order of the domain's table."""
    names = split.table.column("category").tolist()
    first = {name: i for i, name in reversed(list(enumerate(names)))}
    return sorted(first.values())[:most]


def _predict(recipe: Any, adapter: Path | None, part: Split) -> tuple[np.ndarray, np.ndarray, Any]:
    """Predicts key points (n, K, 2) with scores (n, K), and returns them with their skeleton."""
    from lvtune.adapters.adapter import Adapter
    from lvtune.evaluation.choosing import choose
    from lvtune.evaluation.inference import predict_split
    from lvtune.hub.adapter_loading import load_adapter, load_base_for
    from lvtune.patcher.attaching import attach

    base = load_base_for(adapter, recipe.base, recipe.weights, seed=recipe.seed)
    options = recipe.evaluate
    if adapter is None:
        return (*predict_split(base, part, category=None, flip_test=options.flip_test), base.skeleton)
    loaded = cast(Adapter, load_adapter(adapter, base))
    category = choose(options.category, loaded, ranker=options.ranker, seed=recipe.seed, device=base.device)
    with attach(base, loaded):
        points = predict_split(base, part, category=category, flip_test=options.flip_test, skeleton=loaded.skeleton)
    return (*points, loaded.skeleton)


def _draw(part: Split, i: int, keypoints: np.ndarray, scores: np.ndarray, skeleton: Any) -> np.ndarray:
    """Draws a person's skeleton, and returns the part of the picture around the person."""
    from lvtune.evaluation.choosing import picture_of
    from lvtune.viz.overlay import draw_pose

    image, box = picture_of(part, i), part.table[i].bbox
    drawn = draw_pose(image, keypoints[i], scores[i], skeleton, bbox=box.tolist())
    middle, half = box[:2] + box[2:] / 2, max(box[2:]) * _MARGIN / 2
    low = np.clip(np.floor(middle - half), 0, None).astype(int)
    high = np.ceil(middle + half).astype(int)
    return drawn[low[1] : high[1], low[0] : high[0]]


def write_figures(values: dict[str, Any], folder: str | Path) -> list[Path]:
    """Draws the figures of a published table.

    Args:
        values: what :func:`lvtune.experiments.reproducing.reproduce` returns.
        folder: folder of the figures.

    Returns:
        The files: ``target-source.png``, and ``<row>.png`` for each row with a finished run that left an adapter.

    Raises:
        LvtuneError: there is nothing to draw yet.
    """
    from lvtune.experiments.score_figures import points_of_table, target_against_source

    written, points = [], points_of_table(values)
    if points:
        axes = values["figure"]
        words = {side: values["columns"][axes[side]] for side in ("source", "target")}
        file = Path(folder) / "target-source.png"
        written.append(target_against_source(points, file, **words, size="model size", title=values["title"]))
    for row in values["rows"]:
        for run in row["folders"][:1]:
            if (Path(run) / "adapter_model.safetensors").is_file():
                written.append(category_sheet([run], Path(folder) / f"{row['name']}.png"))
    if not written:
        raise UsageError(f"table '{values['table']}', for which no run is finished, so there is nothing to draw",
            "a finished run of a row",
                         "add --run, with --data")  # fmt: skip
    return written
