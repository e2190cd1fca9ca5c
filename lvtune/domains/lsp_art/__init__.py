"""``lsp-art``: photographs of Leeds Sports Pose Extended under fourteen filters that imitate Human-Art categories.

The benchmark of `lvtune compare`. They are filtered photographs, not art, and every report says so. The
photographs do not ship: they are read from a copy of LSPET (:mod:`lvtune.domains.lsp_art.layouts`). Which photographs
are tuned, validated and tested on is fixed by number in ``photographs.json``; card: README.md beside this file;
tools/make_lsp_art.py made the list.
"""

from __future__ import annotations

import numpy as np

from lvtune.config.options import DataOptions
from lvtune.data.skeletons import LSP_14
from lvtune.data.table import PoseTable, read_coco
from lvtune.domains.domain import Domain, Split, missing, need_folder
from lvtune.domains.domain_registry import register_domain
from lvtune.domains.filters import apply_filter
from lvtune.domains.lsp_art.layouts import LAYOUT, photographs
from lvtune.language.sentences import HUMAN_ART

SEEN = (
    "sketch", "ink_painting", "oil_painting", "watercolor", "cartoon", "stained_glass", "digital_art", "shadow_play",
    "sculpture", "garage_kits",
)  # fmt: skip
"""Filters that settings may be chosen on."""
UNSEEN = ("mural", "ukiyoe", "kids_drawing", "relief")
"""Filters held out: no setting of any method is chosen on them."""
_FIRST_PAPER = {"train": 0, "val": 100_000, "test": 200_000}
"""Added to a photograph's place, so that no two parts share a paper or palette."""


class _Draw:
    """Applies filters with papers that only one part uses; an object, so that it can be sent to worker processes."""

    def __init__(self, split: str) -> None:
        self.first = _FIRST_PAPER[split]

    def __call__(self, image: np.ndarray, view: str, index: int) -> np.ndarray:
        return apply_filter(image, view, self.first + index)


def _table(domain: Domain, split: str, data: DataOptions, categories: tuple[str, ...] = ()) -> PoseTable:
    """Returns the photographs of a part in the order of their numbers; the i-th has category i modulo their number."""
    folder = need_folder(domain, data)
    found = photographs(folder, split)
    if found is None:
        raise missing(domain, f"no LSPET in {folder}")
    if not categories:
        return read_coco(found.annotations, found.images, skeleton=LSP_14, published=True)
    turn = {number: categories[i % len(categories)] for i, number in enumerate(found.numbers)}
    return read_coco(
        found.annotations,
        found.images,
        skeleton=LSP_14,
        published=True,
        category_of=lambda image: turn[int(image["id"])],
    )


def _read(domain: Domain, split: str, data: DataOptions) -> Split:
    name = f"LSPET photographs under filters ({domain.name})"
    return Split(_table(domain, split, data, domain.categories), name, render=_Draw(split))


def _read_source(domain: Domain, split: str, data: DataOptions) -> Split:
    return Split(_table(domain, split, data), "the same LSPET photographs, unfiltered")


@register_domain("lsp-art")
def lsp_art() -> Domain:
    """Filtered photographs, made from a copy of LSPET."""
    categories = (*SEEN, *UNSEEN)
    return Domain(
        name="lsp-art",
        title="photographs of LSPET under filters that imitate fourteen Human-Art categories; the benchmark",
        skeleton=LSP_14.name,
        categories=categories,
        sentences={name: HUMAN_ART[name] for name in categories},
        reader=_read,
        source_reader=_read_source,
        source="Leeds Sports Pose Extended (Johnson & Everingham, CVPR 2011)",
        layout=LAYOUT,
        groups={"seen": SEEN, "unseen": UNSEEN},
    )
