"""How many points are sure in pools of pictures without labels: such as belong to the target, and of something else.

    python benchmarks/unlabelled_pools.py LSPET REAL/openfield/labeled-data REAL/mirror-mouse REAL/coco-mini

The base with the start that ships looks at 64 pictures of each pool, as the guard without labels does
(lvtune/api/unlabelled_guard.py): at the training pictures of lsp-art/seen, at the source's photographs, and at each
path given. A folder that has an ``annotations.json`` is looked at twice, whole pictures and the file's boxes. Printed:
the share of the points that are sure, the mean peak, how far views disagree, and whether the guard takes the pool for
one that shows what is to be found.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lvtune.api.job import prepare
from lvtune.api.open_data import find_source_of
from lvtune.api.recipe import Recipe
from lvtune.api.unlabelled_guard import LOOKED_AT, Seen, sure_points
from lvtune.data.skeletons import LSP_14
from lvtune.data.subset import Subset
from lvtune.data.unlabelled import HiddenLabels, read_unlabelled
from lvtune.domains import Split
from lvtune.evaluation.inference import split_dataset
from lvtune.training.agreement import answers_of, evenly


def main() -> None:
    """Prints a row for each pool; the source comes first, for it says what is expected of the others."""
    lspet, *paths = sys.argv[1:]
    job = prepare(Recipe.from_dict({"domain": "lsp-art/seen", "data": {"data": lspet, "shots": 0}, "start": "shipped",
                                    "unlabelled": "train"}))  # fmt: skip
    source = find_source_of(job.domain, job.base.spec, job.recipe.data, "train").split
    assert source is not None and job.unlabelled is not None
    pools = {"the source's photographs": source, "own training pictures": job.unlabelled}
    for path in map(Path, paths):
        pools[f"{path.name}, whole pictures"] = Split(read_unlabelled(path, LSP_14), path.name)
        if (path / "annotations.json").exists():
            pools[f"{path.name}, boxes"] = Split(read_unlabelled(path / "annotations.json", LSP_14), path.name)
    known: float | None = None
    print("| pool | points that are sure | mean peak | views disagree | shows it |\n|---|---|---|---|---|")
    for name, pool in pools.items():
        data = HiddenLabels(split_dataset(job.base, pool, cache=True))
        found = answers_of(job.base, job.adapter, Subset(data, evenly(len(data), LOOKED_AT), renumber=False))
        sure = float(sure_points(found).float().mean())
        known = sure if known is None else known
        least = Seen(found.disagreement, 0.0, float(found.peak.mean()), None, known=known).least_sure
        answer = f"{'yes' if sure >= least else 'no'} (at least {least:.1%})"
        print(
            f"| {name} | {sure:.1%} | {found.peak.mean():.2f} | {found.disagreement:.2%} | {answer} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
