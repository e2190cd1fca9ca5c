"""How true the confidence is: before and after calibration, on pictures of the same domain and of a new one.

    python benchmarks/calibration.py base --lspet LSPET
    python benchmarks/calibration.py demo-art lsp-art openfield --lspet LSPET --openfield OPENFIELD --seeds 0,1,2

Each tuning is the command of a user, in a process of its own; options behind `--` go to it, in place of `--steps` for
the two art domains. A run whose report lies in OUT is not made again, nor are predictions that lie there.
Prints for each kind of pictures, as mean and 95 % interval over the seeds: ECE of the maxima and of the calibrated
scores (15 bins; for a perfect calibration it would not be 0 but the noise that is printed beside it), the share of
points within their radius, and AP with the mean of the maxima and with the expected OKS as the pose's score. Where
pictures are few, the ECE of all seeds' points together says more, since its noise is smaller.

The pictures:
- "left out": those that the calibration was fitted on, each fifth of them scored by a calibration of the others; there
  is no AP of them, since a ranking by five maps at once is none;
- "test": the domain's test pictures, on which nothing was fitted, tuned or chosen;
- a new domain: filters of lsp-art that were not tuned on; for the base alone, photographs under filters.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import lvtune
from lvtune.api.calibrating import observe
from lvtune.api.job import prepare
from lvtune.api.recipe import Recipe
from lvtune.config.options import DataOptions
from lvtune.data.skeletons import Skeleton
from lvtune.data.table import read_coco
from lvtune.domains import Split, get_domain
from lvtune.evaluation.calibration import Confidence, calibration_of
from lvtune.evaluation.calibration_fit import expected_calibration_error, fit_map, left_out, quality
from lvtune.evaluation.inference import Evidence, predict_evidence
from lvtune.evaluation.intervals import spread_of
from lvtune.evaluation.oks import oks_ap
from lvtune.evaluation.scores import predictions_of
from lvtune.storage.base_calibration import base_calibration

SHORTER = ("--no-gate", "--source-data", "none")
"""What these runs leave out: it takes time and changes nothing of the adapter and its confidence."""
COLUMNS = ("ece_raw", "ece", "noise", "in_radius", "ap_raw", "ap", "gain")


@dataclass(frozen=True)
class Pictures:
    """One kind of pictures, predicted."""

    split: Split
    found: Evidence
    skeleton: Skeleton


def evidence(file: Path, base: Any, split: Split, **options: Any) -> Evidence:
    """Predictions for a split; read where they lie in ``file``."""
    if not file.exists():
        found = predict_evidence(base, split, **options)
        np.savez(file, **vars(found))
    return Evidence(**np.load(file))


def ap_of(one: Pictures, scores: np.ndarray | None) -> float:
    """AP with these scores (N,) of the poses, or by the published protocol."""
    table: Any = one.split.table
    count = len(one.skeleton.keypoints)
    rows = one.found.scores if scores is None else np.repeat(scores[:, None], count, 1)
    options = {} if scores is None else {"keypoint_threshold": 0.0}
    predictions = predictions_of(table, one.found.keypoints, rows)
    return 100 * oks_ap(table.coco_ground_truth(), predictions, one.skeleton, **options)["AP"]


def noise(said: np.ndarray, rounds: int = 20) -> float:
    """ECE that these probabilities (M,) would have if they were true, in percent: the mean of random draws."""
    rng = np.random.default_rng(0)
    drawn = [expected_calibration_error(said, rng.uniform(size=said.shape) < said) for _ in range(rounds)]
    return float(np.mean([value for value in drawn if value is not None]))


def row(one: Pictures, sure: Confidence, pixels: float | None, *, with_ap: bool = True) -> dict[str, Any]:
    """The figures of one run, and ``said`` (M,) and ``hits`` (M,) of its points."""
    seen = observe(one.split, one.found, one.skeleton, pixels)
    values = quality(seen, sure)
    found: dict[str, Any] = {name: values[name] for name in ("ece_raw", "ece", "in_radius", "points")}
    found |= {"said": sure.scores[seen.counted], "hits": seen.hits[seen.counted]}
    found["noise"] = noise(found["said"])
    if with_ap:
        found["ap_raw"], found["ap"] = ap_of(one, None), ap_of(one, sure.oks)
        found["gain"] = found["ap"] - found["ap_raw"]
    return found


def adapted(folder: Path, options: list[str]) -> Path:
    """Runs the command, or finds what it wrote."""
    if not (folder / "report.json").exists():
        command = [sys.executable, "-m", "lvtune", "adapt", *options, *SHORTER, "--out", str(folder)]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".log").open("w", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return folder


def of_adapter(folder: Path, data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of one tuned adapter, by kind of pictures.

    Args:
        folder: of the run.
        data: where the pictures lie on this machine: the adapter's file keeps no paths of it.
    """
    saved = json.loads((folder / "lvtune_config.json").read_text(encoding="utf-8"))
    recipe = saved["training"]["recipe"]
    job = prepare(Recipe.from_dict({**recipe, "data": {**recipe["data"], **data}, "device": "cpu"}))
    adapter = lvtune.load_adapter(folder, job.base)
    calibration, flip = calibration_of(adapter), job.recipe.evaluate.flip_test and adapter.skeleton.mirrors
    assert calibration is not None and job.kept_out.target is not None
    pixels = calibration.pixels
    # the threshold follows from the boxes of the pictures that the seed keeps out
    within = calibration.within if pixels is None else "5 % of the boxes' diagonal"
    kinds = {"left out": job.kept_out.target, "test": job.test, **job.also}
    read: dict[str, Pictures] = {}
    with lvtune.attach(job.base, adapter, name="measured"):
        for name, split in kinds.items():
            category = None if name in job.also else job.category
            file = folder / f"evidence-{name.replace(' ', '-').replace('/', '-')}.npz"
            known = evidence(file, job.base, split, flip_test=flip, category=category, skeleton=adapter.skeleton)
            read[name] = Pictures(split, known, adapter.skeleton)
    return _rows(read, within, pixels) | ({} if pixels is None else _rows(read, "PCK@0.2", None, with_ap=False))


def _rows(
    read: dict[str, Pictures], within: str, pixels: float | None, *, with_ap: bool = True
) -> dict[str, dict[str, Any]]:
    """Fits on the pictures left out, as the tuning did: if the fit is changed, nothing need be tuned again."""
    first = read["left out"]
    fitted = fit_map(observe(first.split, first.found, first.skeleton, pixels))
    found = {}
    for name, one in read.items():
        sure = fitted(one.found.scores, one.found.spreads) if one is not first else _left_out(one, pixels)
        found[f"{name}, {within}"] = row(one, sure, pixels, with_ap=with_ap and one is not first)
    return found


def _left_out(one: Pictures, pixels: float | None) -> Confidence:
    views = len(one.split.views or " ")
    names = one.split.table.column("image").astype(str)
    names = names.repeat(views) if one.split.items is None else names[np.array(one.split.items) // views]
    sure = left_out(observe(one.split, one.found, one.skeleton, pixels), names)
    assert sure is not None
    return sure


def of_base(lspet: Path, out: Path) -> dict[str, dict[str, Any]]:
    """The rows of the base alone: the calibration that ships, and pictures that it was not fitted on."""
    base = lvtune.load_base("vitpose-ti")
    calibration = base_calibration(base)
    assert calibration is not None, "no calibration ships for these weights"
    data = DataOptions(data=str(lspet))
    parts = {
        part: Split(read_coco(lspet / f"annotations/{part}.json", lspet / "images"), part) for part in ("val", "test")
    }
    kinds = {
        "left out (LSPET val)": parts["val"],
        "test (LSPET test)": parts["test"],
        "new: demo-art test": get_domain("demo-art").open("test"),
        "new: lsp-art test": get_domain("lsp-art").open("test", data),
    }
    found = {}
    for name, split in kinds.items():
        file = out / f"evidence-base-{name.split(': ')[-1].split(' (')[0].replace(' ', '-')}.npz"
        known = evidence(file, base, split, flip_test=True, category=None, skeleton=base.skeleton)
        one = Pictures(split, known, base.skeleton)
        sure = calibration.of(True)(known.scores, known.spreads)
        sure = _left_out(one, None) if name.startswith("left out") else sure
        found[f"{name}, {calibration.within}"] = row(one, sure, None, with_ap=not name.startswith("left out"))
    return found


def shown(title: str, runs: list[dict[str, dict[str, Any]]]) -> None:
    """Prints means and intervals over the runs as a table in Markdown."""
    print(f"\n{title} ({len(runs)} seeds)\n" if len(runs) > 1 else f"\n{title}\n")
    print("| pictures, right if | points | ECE, maxima | ECE, calibrated | noise of ECE | in radius, % "
          "| AP, maxima | AP, expected OKS | gain | ECE, all seeds together | noise of it |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in runs[0]:
        cells = [f"{np.mean([run[name]['points'] for run in runs]):.0f}"]
        for column in COLUMNS:
            spread = spread_of([run[name].get(column) for run in runs])
            half = "" if spread is None or spread.half is None else f" ± {spread.half:.2f}"
            cells.append("" if spread is None else f"{spread.mean:.2f}{half}")
        said, hits = (np.concatenate([run[name][part] for run in runs]) for part in ("said", "hits"))
        cells += [f"{expected_calibration_error(said, hits):.2f}", f"{noise(said):.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Reads the options, runs, prints."""
    parser = argparse.ArgumentParser(description="Measures the calibrated confidence.")
    parser.add_argument("what", nargs="+", choices=("base", "demo-art", "lsp-art", "openfield"))
    parser.add_argument("--lspet", type=Path)
    parser.add_argument("--openfield", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", default="100", help="of demo-art and lsp-art")
    parser.add_argument("--out", type=Path, default=Path("calibration-runs"))
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    arguments, more = parser.parse_args(own[:cut]), own[cut + 1 :]
    arguments.out.mkdir(parents=True, exist_ok=True)
    lspet, seeds = arguments.lspet, arguments.seeds.split(",")
    steps = more or ["--train.steps", arguments.steps]
    if "base" in arguments.what:
        shown("vitpose-ti alone", [of_base(lspet, arguments.out)])
    commands: dict[str, Callable[[], tuple[list[str], dict[str, Any]]]] = {
        "demo-art": lambda: (["--calibrate", "keep-out", *steps], {}),
        "lsp-art": lambda: (
            ["--domain", "lsp-art/seen", "--data.data", str(lspet), "--evaluate.also", "lsp-art/unseen", *steps],
            {"data": str(lspet)},
        ),
        "openfield": lambda: (
            [str(arguments.openfield), "--calibrate", "keep-out", *more], {"data": str(arguments.openfield)}
        ),
    }  # fmt: skip
    for name in arguments.what:
        if name == "base":
            continue
        options, data = commands[name]()
        runs = [
            of_adapter(adapted(arguments.out / f"{name}-{seed}", [*options, "--seed", seed]), data) for seed in seeds
        ]
        shown(name, runs)


if __name__ == "__main__":
    main()
