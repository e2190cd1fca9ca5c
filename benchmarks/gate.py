r"""Does the gate tell filters, photographs and mice apart, and does it leave ordinary photographs to the bare base?

    python benchmarks/gate.py --lspet LSPET --openfield openfield/ \
        --ordinary coco-mini/images --ordinary lspet-more/images

Fits the gates of two adapters as `lvtune adapt` fits them. One uses lsp-art's training part (photographs under fourteen
filters, and the same photographs unfiltered). The other uses openfield's training frames (and the shipped photographs
of people). Then the gate chooses the filters' adapter, the mice's adapter or the bare base for each picture of the test
parts, once for its crop and once for the whole picture. Right are: the first adapter for filters, the second for mice,
the bare base for photographs. Chance is one in three. A false alarm is an ordinary photograph of another set that gets
an adapter. No adapter is tuned: the gate depends only on the base and the pictures. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lvtune
from lvtune.api.gating import features_of_split, gate_from
from lvtune.api.open_data import open_domain
from lvtune.bases.look_features import features_of_pictures
from lvtune.config.options import DataOptions
from lvtune.data.find_images import find_images
from lvtune.data.images import read_image
from lvtune.domains import get_domain
from lvtune.patcher.domain_looks import VIEWS, DomainLooks
from lvtune.patcher.gate import probabilities

MOST_ORDINARY = 300
"""Pictures of a folder that are looked at, evenly spread."""
BARE = 2
"""Column of the bare base."""


def interval(hits: int, count: int, z: float = 1.96) -> str:
    """A share in percent with Wilson's 95 % interval."""
    share, room = hits / count, z * z / count
    center, half = share + room / 2, z * (share * (1 - share) / count + room / (4 * count)) ** 0.5
    low, high = ((center - half) / (1 + room), (center + half) / (1 + room))
    return f"{100 * share:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def gates(base: Any, lspet: str, openfield: str, seed: int) -> list[DomainLooks]:
    """The gates of the filters' and of the mice's adapter."""
    art: Any = get_domain("lsp-art")
    people: Any = get_domain("demo-art")
    options = DataOptions(data=lspet)
    photographs = art.source_reader(art, "train", options)
    shipped = people.source_reader(people, "train", DataOptions())
    mice = open_domain("custom", DataOptions(data=openfield)).open("train", DataOptions(data=openfield))
    return [
        gate_from(base, art.open("train", options), photographs, photographs.name, seed),
        gate_from(base, mice, shipped, "the photographs of people that ship", seed),
    ]


def tests(base: Any, lspet: str, openfield: str, ordinary: Sequence[str]) -> dict[str, tuple[int, dict]]:
    """Name of a set to the column that is right for it, and its features by view."""
    art: Any = get_domain("lsp-art")
    options = DataOptions(data=lspet)
    own = DataOptions(data=openfield)
    splits = {
        "filters": (0, art.open("test", options)),
        "mice": (1, open_domain("custom", own).open("test", own)),
        "photographs": (BARE, art.source_reader(art, "test", options)),
    }
    found = {
        name: (right, features_of_split(base, split, 0, f"looking at {name}", most=10_000))
        for name, (right, split) in splits.items()
    }
    for folder in ordinary:
        paths = find_images([folder])
        places = np.unique(np.linspace(0, len(paths) - 1, MOST_ORDINARY).round().astype(int))
        pictures = [read_image(paths[i]) for i in places]
        found[f"ordinary: {Path(folder).parent.name}"] = (BARE, {"whole": features_of_pictures(base, pictures)})
    return found


def main() -> None:
    """Reads the options, fits, prints."""
    parser = argparse.ArgumentParser(description="Accuracy of the gate, and false alarms on ordinary photographs.")
    parser.add_argument("--lspet", required=True, help="a copy of Leeds Sports Pose Extended")
    parser.add_argument("--openfield", required=True, help="DeepLabCut's example project")
    parser.add_argument("--ordinary", action="append", default=[], help="folder of photographs that need no adapter")
    parser.add_argument("--base", default="vitpose-ti")
    parser.add_argument("--seeds", default="0,1,2", help="which pictures are looked at, and how they are varied")
    arguments = parser.parse_args()
    base = lvtune.load_base(arguments.base)
    sets = tests(base, arguments.lspet, arguments.openfield, arguments.ordinary)
    print("| seed | pictures | view | count | right, % | sure, mean % | right where 80 % sure, % |", flush=True)
    print("|---|---|---|---|---|---|---|")
    every: dict[tuple[str, str], list[float]] = {}
    for seed in map(int, arguments.seeds.split(",")):
        fitted = gates(base, arguments.lspet, arguments.openfield, seed)
        looks: dict[str, DomainLooks] = {"filters": fitted[0], "mice": fitted[1]}
        for name, (right, views) in sets.items():
            for view in [view for view in VIEWS if view in views]:
                rows = probabilities(looks, views[view], view)
                hits, sure = rows.argmax(1) == right, rows.max(1)
                is_sure = sure >= 0.8
                every.setdefault((name, view), []).append(100 * float(hits.mean()))
                among = interval(int(hits[is_sure].sum()), int(is_sure.sum())) if is_sure.any() else "none"
                cells = [seed, name, view, len(hits), interval(int(hits.sum()), len(hits)), f"{100 * sure.mean():.1f}"]
                print("| " + " | ".join(map(str, [*cells, f"{among} of {int(is_sure.sum())}"])) + " |", flush=True)
    for (name, view), values in every.items():
        alarms = f"; false alarms {100 - statistics.mean(values):.1f} %" if name.startswith("ordinary") else ""
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name}, {view}: {statistics.mean(values):.1f} ± {spread:.1f} % right over {len(values)} seeds{alarms}")
    three = [np.mean([every[name, view] for name in ("filters", "mice", "photographs")]) for view in VIEWS]
    print(f"mean of the three kinds: {three[0]:.1f} % by crops, {three[1]:.1f} % by whole pictures; chance 33.3 %")


if __name__ == "__main__":
    main()
