"""``demo-art``: photographs of Leeds Sports Pose Extended under filters that imitate Human-Art categories.

They are filtered photographs, not art, and every report says so. The photographs ship once, unfiltered; the source
domain is the same photographs without filters. Card: README.md beside this
file; tools/make_demo_art.py chose and copied the photographs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.data.skeletons import LSP_14
from lvtune.data.table import PoseTable, read_coco
from lvtune.domains.domain import Domain, Split
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.filters import apply_filter
from lvtune.language.sentences import sentences_of

FOLDER = Path(__file__).parent
FILTERS_USED = ("sketch", "ink_painting", "oil_painting", "watercolor", "cartoon", "stained_glass")
_TEST_INDEX = 100_000


def _table(split: str, categories: tuple[str, ...] = ()) -> PoseTable:
    """Returns the photographs of a split; with ``categories`` the i-th has category i modulo their number."""
    file, images = FOLDER / f"{split}.json", FOLDER / "images"
    table = read_coco(file, images, skeleton=LSP_14, published=True)
    if not categories:
        return table
    turn = {int(image): categories[i % len(categories)] for i, image in enumerate(table.column("image_id"))}
    return read_coco(file, images, skeleton=LSP_14, published=True, category_of=lambda image: turn[int(image["id"])])


def draw_test(image: np.ndarray, view: str, index: int) -> np.ndarray:
    """Applies a filter with papers and palettes that no training picture has."""
    return apply_filter(image, view, _TEST_INDEX + index)


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    kinds = domain.categories
    name = f"LSPET photographs under filters ({domain.name})"
    if split == "train":
        return Split(_table("train"), name, render=apply_filter, views=kinds)
    return Split(_table("test", kinds), name, render=draw_test)


def _read_source(domain: Domain, split: str, data: DataOptions) -> Split:
    part = "train" if split == "train" else "test"
    return Split(_table(part), "the same LSPET photographs, unfiltered")


@register_domain("demo-art")
def demo_art() -> Domain:
    """Filtered photographs that ship with the package."""
    sentences = sentences_of("demo-art")
    return Domain(
        name="demo-art",
        title="photographs under filters that imitate six Human-Art categories; ships with the package",
        skeleton=LSP_14.name,
        categories=FILTERS_USED,
        sentences={name: sentences[name] for name in FILTERS_USED},
        reader=_read,
        source_reader=_read_source,
        source="700 photographs of Leeds Sports Pose Extended (Johnson & Everingham, CVPR 2011)",
        splits=("train", "test"),
    )
