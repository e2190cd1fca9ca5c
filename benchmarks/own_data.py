"""Errors of `lvtune adapt DATA` on your own labelled data, over seeds and numbers of pictures.

    python benchmarks/own_data.py openfield/ --seeds 0,1,2 --shots 10,20,all --out own-runs
    python benchmarks/own_data.py mirror-mouse/ --seeds 0,1,2 -- --minutes 5

Each run is a user's command in its own process; options after `--` go to it. If OUT has the report of a run, the run is
not repeated; a report of a run with other options is an error. Prints the errors in pixels of the test frames for each
run, and mean and standard deviation over the seeds. Prints minutes on the clock, and minutes of processor time, which
do not depend on other work.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ERRORS = ("px_mean", "px_median", "px_rms")


def adapt(data: Path, folder: Path, options: list[str]) -> dict[str, Any]:
    """Runs the command and returns its report with ``minutes`` and ``processor_minutes``; reads it if it lies there."""
    file, clock = folder / "report.json", folder / "clock.json"
    if not (file.exists() and clock.exists()):
        begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "lvtune", "adapt", str(data), "--out", str(folder), *options]
        with (folder.parent / f"{folder.name}.log").open("w", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        minutes = {"minutes": (time.monotonic() - begun) / 60, "processor_minutes": spent / 60}
        clock.write_text(json.dumps({**minutes, "data": str(data.resolve()), "options": options}))
    measured = json.loads(clock.read_text(encoding="utf-8"))
    if (measured["data"], measured["options"]) != (str(data.resolve()), options):
        raise SystemExit(f"{folder} holds a run of {measured['data']} with {measured['options']}: give another --out")
    return json.loads(file.read_text(encoding="utf-8")) | measured


def scores(report: dict[str, Any]) -> list[float]:
    """Mean, median and RMS error in pixels with the adapter on, minutes, processor minutes."""
    target = report["target"]
    return [*(target["after_on"][name] for name in ERRORS), report["minutes"], report["processor_minutes"]]


def line(cells: list[Any]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def main() -> None:
    """Reads the options, runs, prints."""
    parser = argparse.ArgumentParser(description="Runs `lvtune adapt DATA` over seeds and counts of pictures.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--shots", default="all", help="counts of pictures to tune on, such as 10,20,all")
    parser.add_argument("--out", type=Path, default=Path("own-runs"))
    own = sys.argv[1:]
    cut = own.index("--") if "--" in own else len(own)
    arguments, options = parser.parse_args(own[:cut]), own[cut + 1 :]
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(line(["pictures", "seed", "mean px", "median px", "RMS px", "minutes", "processor minutes"]), flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    for shots in arguments.shots.split(","):
        found = []
        for seed in arguments.seeds.split(","):
            folder = arguments.out / f"{arguments.data.name}-{shots}-{seed}"
            said = [] if shots == "all" else ["--data.shots", shots]
            found.append(scores(adapt(arguments.data, folder, [*said, "--seed", seed, *options])))
            print(line([shots, seed, *found[-1]]), flush=True)
        if len(found) > 1:
            columns = zip(*found, strict=True)
            spread = [f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" for values in columns]
            print(line([shots, "mean ± sd", *spread]), flush=True)


if __name__ == "__main__":
    main()
