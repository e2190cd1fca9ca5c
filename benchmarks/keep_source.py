"""Source and target with `lvtune adapt --keep 99` beside the run without it, over methods and seeds.

    python benchmarks/keep_source.py --methods full,lora,vlpose-light --seeds 0,1,2 -- --train.steps 60

Each run is `lvtune adapt` on demo-art with `--start none`; options behind `--` go to every run. The last run of
`--keep` is the very run without it (tests/api/test_keep_source.py compares the weights), and the report has the scores
of its whole change: they are the rows "without". With replay, `--train.minutes`, `--calibrate` or `--unlabelled` it may
not be, and such options are refused. The base is scored once. A run whose report lies in OUT already is not made again;
one with other options there is an error. Prints for each run the share of the change that is taken, the source score
with the adapter on as a percentage of the base's, and the target score, both on the test pictures; and for each method
how many seeds hold the source, and mean and 95 % interval (Student's t) over the seeds of what `--keep` costs the
target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import lvtune
from lvtune.api.score_cache import ScoreCache
from lvtune.cli.adapt import parser, recipe_of

METRIC = "pck@0.2"
OTHER_RUNS = ("--replay-", "--train.minutes", "--minutes", "--calibrate", "--unlabelled")
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""95 % quantile of Student's t, both sides, by the number of seeds."""


def adapt(folder: Path, options: list[str], known: ScoreCache) -> dict[str, Any]:
    """Runs the command and returns its report with ``processor_minutes``; reads it if it lies there."""
    file, clock = folder / "report.json", folder / "clock.json"
    if not (file.exists() and clock.exists()):
        used = time.process_time()
        made = parser(options, "").parse(["--out", str(folder), *options])
        lvtune.adapt(recipe_of(made), say=lambda text: print(f"    {text}", file=sys.stderr), known=known)
        spent = (time.process_time() - used) / 60
        clock.write_text(json.dumps({"processor_minutes": spent, "options": options}))
    measured = json.loads(clock.read_text(encoding="utf-8"))
    if measured["options"] != options:
        raise SystemExit(f"{folder} holds a run with {measured['options']}: give another --out")
    return json.loads(file.read_text(encoding="utf-8")) | measured


def rows_of(method: str, seed: str, name: str, report: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The cells of the run without ``--keep``, and with it."""
    found, target = report["keep"], report["target"]
    share = f"{found['share']:.0%}"
    share += "" if found["late"] == 1 else f", {found['late']:g} of it late"
    share += "" if found["holds"] else " (NOT held)"
    base, minutes = target["before"][METRIC], report["processor_minutes"]
    return (
        [method, seed, "without", "", 100 * found["test_kept_whole"], base, found["test_target_whole"], ""],
        [method, seed, name, share, 100 * found["test_kept"], base, found["test_target"], minutes],
    )


def line(cells: list[Any]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def summary(method: str, kept: list[list[Any]], free: list[list[Any]], keep: float) -> str:
    """What ``--keep`` holds and costs, over the seeds."""
    held = sum(one[4] >= keep for one in kept)
    costs = [whole[6] - one[6] for one, whole in zip(kept, free, strict=True)]
    text = f"{method}: source held at >= {keep:g} % in {held} of {len(kept)} seeds ("
    text += ", ".join(f"{one[4]:.2f}" for one in kept) + " %); without --keep " + ", ".join(f"{o[4]:.2f}" for o in free)
    text += f" %; target lower by {statistics.mean(costs):.2f}"
    if len(costs) in T_95:
        text += f" ± {T_95[len(costs)] * statistics.stdev(costs) / len(costs) ** 0.5:.2f}"
    return text + " points (" + ", ".join(f"{cost:.2f}" for cost in costs) + ")"


def main() -> None:
    """Reads the options, runs, prints."""
    own_parser = argparse.ArgumentParser(description="Runs `lvtune adapt` with --keep.")
    own_parser.add_argument("--methods", default="full,lora,vlpose-light")
    own_parser.add_argument("--seeds", default="0,1,2")
    own_parser.add_argument("--keep", type=float, default=99.0)
    own_parser.add_argument("--out", type=Path, default=Path("keep-runs"))
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    arguments, options = own_parser.parse_args(own[:cut]), own[cut + 1 :]
    if other := [word for word in options if word.startswith(OTHER_RUNS)]:
        raise SystemExit(f"{', '.join(other)}: the last run of --keep would not be the run without --keep")
    arguments.out.mkdir(parents=True, exist_ok=True)
    heads = ["method", "seed", "run", "taken", "source, % of the base's", "target, base", "target", "processor minutes"]
    print(line(heads) + "\n" + "|---" * len(heads) + "|", flush=True)
    known, wanted = ScoreCache(), ["--keep", f"{arguments.keep:g}"]
    rows: dict[str, dict[str, list[list[Any]]]] = {}
    for seed in arguments.seeds.split(","):
        for method in arguments.methods.split(","):
            said = ["--method", method, "--start", "none", "--seed", seed, "--no-gate", *wanted, *options]
            report = adapt(arguments.out / f"{method}-{seed}", said, known)
            for kind, cells in zip(("without", "keep"), rows_of(method, seed, " ".join(wanted), report), strict=True):
                rows.setdefault(method, {}).setdefault(kind, []).append(cells)
                print(line(cells), flush=True)
    print()
    for method, found in rows.items():
        print(summary(method, found["keep"], found["without"], arguments.keep), flush=True)


if __name__ == "__main__":
    main()
