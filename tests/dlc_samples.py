"""DeepLabCut's and Lightning Pose's files, written by pandas as DeepLabCut writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml
from label_samples import LINKS, NAMES, PICTURES, animals, write_pictures

SCORER = "me"


def frame(names, levels, single=True, *, three=True, windows=False, unique=()):
    """The data frame of some pictures: rows indexed by path, columns scorer, [individuals,] bodyparts, coords."""
    people = ["a"] if single else ["a", "b"]
    columns, cells = [], []
    for who in people:
        for place, part in enumerate(NAMES):
            for axis, coord in enumerate("xy"):
                columns.append((SCORER, part, coord) if single else (SCORER, who, part, coord))
                mine = {one.picture: one.points[place] for one in animals() if one.individual == who}
                cells.append([mine[n][axis] if n in mine and mine[n][2] else np.nan for n in names])
    for part in unique:
        for coord in "xy":
            columns.append((SCORER, "single", part, coord))
            cells.append([3.0] * len(names))
    rows = [("labeled-data", *name.split("/")) for name in names]
    if not three:
        rows = [("\\" if windows else "/").join(row) for row in rows]
    index = pd.MultiIndex.from_tuples(rows) if three else pd.Index(rows)
    return pd.DataFrame(np.array(cells).T, index=index, columns=pd.MultiIndex.from_tuples(columns, names=levels))


def write_project(root, kind="csv", *, single=True, three=True, windows=False, unique=(), fixed=True):
    """A DeepLabCut project; ``kind``: csv, h5 or both."""
    levels = ["scorer", "bodyparts", "coords"] if single else ["scorer", "individuals", "bodyparts", "coords"]
    config = {"Task": "mice", "scorer": SCORER, "multianimalproject": not single, "skeleton": []}
    config["skeleton"] = [[NAMES[a], NAMES[b]] for a, b in LINKS]
    if single:
        config["bodyparts"] = list(NAMES)
    else:
        config |= {"bodyparts": "MULTI!", "individuals": ["a", "b"], "multianimalbodyparts": list(NAMES)}
        config["uniquebodyparts"] = list(unique)
    root.mkdir(parents=True)
    (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    write_pictures(root / "labeled-data")
    for video in ("v1", "v2"):
        names = [name for name in PICTURES if name.startswith(video)]
        table = frame(names, levels, single, three=three, windows=windows, unique=unique)
        file = root / "labeled-data" / video / f"CollectedData_{SCORER}"
        if kind in ("csv", "both"):
            table.to_csv(f"{file}.csv")
        if kind in ("h5", "both"):
            table.to_hdf(f"{file}.h5", key="df_with_missing", mode="w", format="fixed" if fixed else "table")
    return root


def write_lightning(root):
    """A Lightning Pose project: one CSV at the root."""
    root.mkdir(parents=True)
    write_pictures(root / "labeled-data")
    frame(PICTURES, ["scorer", "bodyparts", "coords"], three=False).to_csv(root / "CollectedData.csv")
    return root
