"""``hand-figures``: rendered figures of articulated hands, with exact 2D and 3D labels. No photographs.

Only this code ships: figure i of a split is drawn from a seed when it is needed. The whole domain trains on
the source setting (green screen) and tests on the target (``wild``), which is domain generalisation;
``hand-figures/wild`` trains and tests on the target, ``hand-figures/green_screen`` on the source. Test poses are
in cells of pose space that hold no training pose, and figure i has the same pose and camera in every setting.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lvtune.config.options import DataOptions
from lvtune.data.hand_table import HandTable
from lvtune.data.skeletons import HAND_21
from lvtune.domains.domain import Domain, Split
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.hand_figures.figure_table import Figures
from lvtune.domains.hand_figures.settings import GROUPS, SETTINGS
from lvtune.domains.hand_splits import samples
from lvtune.language.sentences import sentences_of

COUNT = {"train": 20_000, "test": 1_000}
SIZE = 128
SOURCE, TARGET = "green_screen", "wild"


def figure_samples(table: HandTable, *, input_size: tuple[int, int], **options: Any) -> Any:
    """Returns the figures drawn at the size of the network's input, not enlarged to it."""
    drawn = table.draw
    if isinstance(drawn, Figures) and drawn.size != max(input_size):
        factor, larger = max(input_size) / drawn.size, drawn.at(max(input_size))
        table = _enlarged(table, larger, factor)
    return samples(table, input_size=input_size, **options)


def _enlarged(table: HandTable, drawn: Figures, factor: float) -> HandTable:
    whole = drawn.table()
    rows = table.column("image_id")
    changed = {name: whole.column(name)[rows] for name in ("camera", "bbox", "width", "height")}
    points = table.column("keypoints").copy()
    # pixel i covers from i - 1/2 to i + 1/2
    points[..., :2] = (points[..., :2] + 0.5) * factor - 0.5
    return table.replace(draw=drawn, keypoints=points, **changed)


def _split(split: str, categories: tuple[str, ...], data: DataOptions) -> Split:
    count = min(COUNT[split], data.limit or COUNT[split])
    figures = Figures(count, split, categories, SIZE)
    name = f"rendered hand figures, {', '.join(categories)} ({split})"
    made = partial(figure_samples, mirror_left=data.mirror_left)
    return Split(figures.table(data.hand_root), name, samples=made, task="hand3d")


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    if domain.is_subset:
        return _split(split, domain.categories, data)
    return _split(split, (SOURCE,) if split == "train" else (TARGET,), data)


def _read_source(domain: Domain, split: str, data: DataOptions) -> Split:
    return _split(split, (SOURCE,), data)


@register_domain("hand-figures")
def hand_figures() -> Domain:
    """Rendered hands; ships as code."""
    return Domain(
        name="hand-figures",
        title="rendered figures of hands with 3D joints: green screen, and shifted settings; ships with the package",
        skeleton=HAND_21.name,
        categories=tuple(SETTINGS),
        groups=GROUPS,
        sentences=sentences_of("hand-figures"),
        reader=_read,
        source_reader=_read_source,
        source="figures rendered by this package (no photographs); anatomy from the sources named in anatomy.py",
        splits=("train", "test"),
    )
