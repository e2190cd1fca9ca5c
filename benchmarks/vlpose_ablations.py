"""Ablations of VLPose on demo-art with vitpose-ti: decoders, sentences, released treatment of frozen parts.

    python benchmarks/vlpose_ablations.py [--seeds 0,1,2] [--rows decoders,text,ways] [--out FOLDER]

Each row is ``lvtune adapt --method vlpose`` with one change, once for each seed. Finished runs are read from FOLDER, so
a stopped benchmark continues, and equal rows run once. Prints a Markdown table for each group. Its columns are PCK@0.2
on the filtered test photographs with their own category's sentence, the same with the sentences shuffled over the
pictures, and PCK@0.2 on the unfiltered photographs with the adapter on. Values are mean and standard deviation over the
seeds. Filtered photographs are not art.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import lvtune
from lvtune.api.recipe import Recipe
from lvtune.api.score_cache import ScoreCache

GROUPS: dict[str, dict[str, dict[str, Any]]] = {
    "decoders": {
        "(a) baseline": {"method_options": {"decoder": "baseline"}},
        "(b) injector": {"method_options": {"decoder": "injector"}},
        "(c) extractor-injector": {"method_options": {"decoder": "extractor-injector"}},
        "(c) extractor-injector as released": {"method_options": {"decoder": "extractor-injector-released"}},
        "(d) dual as drawn, the default": {},
        "(d) dual as released": {"method_options": {"decoder": "dual-released"}},
    },
    "text": {
        "a sentence per category": {},
        "one sentence for all": {"language": {"mode": "human"}},
        'the word "None"': {"language": {"mode": "none"}},
        "fixed random tokens": {"language": {"mode": "random"}},
        "random tokens, drawn anew": {"language": {"mode": "random-each-call"}},
    },
    "ways": {
        "frozen parts stay as they are": {},
        "BatchNorm of the frozen head follows the batch": {"method_options": {"frozen_batchnorm": False}},
        "drop-path 0.1 in the frozen encoder": {"method_options": {"drop_path": 0.1}},
        "drop-path 0.3 in the frozen encoder": {"method_options": {"drop_path": 0.3}},
        "last block trained, layer decay 0.8": {"method_options": {"placement": "ll"}, "train": {"layer_decay": 0.8}},
        "… counting half the blocks, as 12 of L's 24": {
            "method_options": {"placement": "ll", "layer_count": 6}, "train": {"layer_decay": 0.8},
        },
    },
}  # fmt: skip
METRIC = "pck@0.2"


def scores(change: dict[str, Any], seed: int, out: Path, common: dict[str, Any], known: ScoreCache) -> dict[str, float]:
    """What one run gives; the baseline reads no sentence, so that shuffling has no meaning there."""
    settings = json.dumps({**common, **change, "seed": seed}, sort_keys=True)
    folder = out / hashlib.sha256(settings.encode()).hexdigest()[:12]
    file = folder / "scores.json"
    if file.is_file():
        return json.loads(file.read_text())
    train = {**common["train"], **change.get("train", {})}
    values = {**common, **change, "train": train, "seed": seed, "out": str(folder)}
    report = lvtune.adapt(Recipe.from_dict(values), known=known).to_dict()
    found = {
        "weights": report["adapter"]["parameters"],
        "before": report["target"]["before"][METRIC],
        "target": report["target"]["after_on"][METRIC],
        "source": report["source"]["after_on"][METRIC],
        "source_off": report["source_off_identical"],
    }
    if change.get("method_options", {}).get("decoder") != "baseline":
        data = Recipe.from_dict(values).data
        shuffled = lvtune.evaluate("vitpose-ti", folder, domain="demo-art", data=data, category="shuffled")
        found["shuffled"] = shuffled["target"][METRIC]
    file.write_text(json.dumps(found))
    return found


def spread(runs: list[dict[str, float]], key: str) -> str:
    """Mean ± standard deviation."""
    values = [run[key] for run in runs if key in run]
    if not values:
        return "—"
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    """Runs what has not been run and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", default=",".join(GROUPS), help="groups, with commas")
    parser.add_argument("--out", default="lvtune-out/vlpose-ablations")
    parser.add_argument("--limit", type=int, help="persons of each part, for a quick try")
    parser.add_argument("--steps", type=int, help="steps in place of the method's three epochs")
    given = parser.parse_args()
    common = {
        "method": "vlpose",
        "data": {"limit": given.limit},
        "train": {"steps": given.steps},
        "evaluate": {"category": "own"},
    }
    known = ScoreCache()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    for group in given.rows.split(","):
        print(f"\n## {group}: {METRIC}, {len(seeds)} seeds\n")
        print("| | weights | before | own sentence | shuffled | source, adapter on |\n|---|---:|---:|---:|---:|---:|")
        for name, change in GROUPS[group].items():
            runs = [scores(change, seed, Path(given.out), common, known) for seed in seeds]
            cells = [spread(runs, key) for key in ("before", "target", "shuffled", "source")]
            print(f"| {name} | {runs[0]['weights']:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
