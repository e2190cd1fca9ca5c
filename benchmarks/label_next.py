"""Which pictures to label next: `lvtune next` against random choice, at 20, 40 and 60 labels.

    python benchmarks/label_next.py custom OPENFIELD --seeds 0,1,2 --out OUT
    python benchmarks/label_next.py lsp-art/seen LSPET --seeds 0,1,2 --out OUT

The first pictures are drawn by the seed and are the same for all. Each later choice is made by the adapter of the
round before, among the training pictures whose labels are not known yet. Every adapter is tuned from the same start on
all labels so far, with the same number of steps, and scored on the test pictures without the flip test. ``next`` is the
default ranking; ``unsure`` and ``diverse`` are its two parts alone. Prints each run, and mean and 95 % interval over
the seeds. A run whose result lies in OUT is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from lvtune.api.job import Job, prepare, training_data
from lvtune.api.next_pictures import ranked
from lvtune.api.recipe import Recipe
from lvtune.core.snapshot import snapshot
from lvtune.domains import Split
from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.scores import main_score, score_predictions
from lvtune.patcher.attaching import attach
from lvtune.training.loop import tune

WEIGHTS = {"next": 0.5, "unsure": 1.0, "diverse": 0.0}
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Quantile of Student's t for a two-sided interval of 95 %, by degrees of freedom."""


class Rounds:
    """One base, one start and the splits of a domain; labels are uncovered round by round."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        self.args, self.seed = args, seed
        self.job: Job = prepare(Recipe.from_dict({
            "domain": args.domain, "data": {"data": args.data}, "seed": seed, "device": args.device,
            "calibrate": "none", "train": {"steps": args.steps, "batch_size": args.batch},
        }))  # fmt: skip
        self.start, self.whole = snapshot(self.job.adapter), self.job.train
        names = self.whole.table.column("image").astype(str)
        self.names = sorted(set(names))
        self.rows = {name: np.flatnonzero(names == name).tolist() for name in self.names}
        order = np.random.default_rng([seed, len(self.names)]).permutation(len(self.names))
        self.order = [self.names[i] for i in order]
        self.fitted: list[str] = []

    def part(self, names: list[str]) -> Split:
        """The instances of some pictures."""
        table: Any = self.whole.table
        return self.whole.with_table(table.select([row for name in names for row in self.rows[name]]))

    def tuned(self, names: list[str]) -> dict[str, Any]:
        """Tunes on some pictures from the start, and scores."""
        job, begun = self.job, time.process_time()
        job.adapter.load_state_dict(self.start)
        self.fitted = names
        job.train = self.part(names)
        tune(
            job.base,
            job.adapter,
            training_data(job),
            job.objective,
            job.options,
            seed=self.seed,
            device=self.args.device,
        )
        with attach(job.base, job.adapter, name="scored"):
            skeleton = job.adapter.skeleton
            found = predict_split(job.base, job.test, flip_test=False, category=None, skeleton=skeleton)
        table: Any = job.test.table
        score = score_predictions(table, *found)[main_score(skeleton)]
        return {"labels": len(names), "score": score, "seconds": round(time.process_time() - begun, 1)}

    def more(self, names: list[str], how: str, count: int) -> list[str]:
        """Chooses further pictures; the adapter is that of the round before."""
        free = [name for name in self.order if name not in set(names)]
        if how == "random":
            return free[:count]
        pool = self.part(sorted(free))
        chosen, _, first = ranked(
            self.job.base, self.job.adapter, pool, self.part(names), count, WEIGHTS[how], self.seed
        )
        table: Any = pool.table
        images = table.column("image").astype(str)
        return [str(images[first[one.place]]) for one in chosen]


def play(args: argparse.Namespace, how: str, seed: int, rounds: dict[int, Rounds]) -> list[dict[str, Any]]:
    """All rounds of one way to choose, with one seed; the first one is the same for every way."""
    found: list[dict[str, Any]] = []
    names: list[str] = []
    counts = [int(count) for count in args.labels.split(",")]
    for number, count in enumerate(counts):
        kind = how if number else "first"
        file = args.out / f"{args.domain.replace('/', '-')}-{kind}-{seed}-{count}.json"
        if not file.exists():
            if seed not in rounds:
                rounds[seed] = Rounds(args, seed)
            rig = rounds[seed]
            if number and rig.fitted != names:
                rig.tuned(names)  # the adapter that chooses
            names = names + rig.more(names, how, count - len(names)) if number else rig.order[:count]
            file.write_text(json.dumps({"how": kind, "seed": seed, "names": names, **rig.tuned(names)}))
        found.append(json.loads(file.read_text()))
        names = found[-1]["names"]
        print(f"{kind}, seed {seed}, {count} labels: {found[-1]['score']:.2f} ({found[-1]['seconds']} s)", flush=True)
    return found


def main() -> None:
    """Reads the options, plays, prints the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", help="custom for data of your own")
    parser.add_argument("data")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--labels", default="20,40,60")
    parser.add_argument("--ways", default="random,next")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("next-runs"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds, curves = [int(seed) for seed in args.seeds.split(",")], {}
    for seed in seeds:
        rounds: dict[int, Rounds] = {}
        for how in args.ways.split(","):
            curves[how, seed] = play(args, how, seed, rounds)
    print("\n| labels | " + " | ".join(args.ways.split(",")) + " |")
    print("|---|" + "---|" * len(args.ways.split(",")))
    for number, count in enumerate(args.labels.split(",")):
        cells = [interval([curves[how, seed][number]["score"] for seed in seeds]) for how in args.ways.split(",")]
        print(f"| {count} | " + " | ".join(cells) + " |")
    first = args.ways.split(",")[0]
    for how in args.ways.split(",")[1:]:
        # the rounds of a seed go on from one another: one number for each seed
        gaps = [statistics.mean(one["score"] - other["score"]
                                for one, other in zip(curves[how, s][1:], curves[first, s][1:], strict=True))
                for s in seeds]  # fmt: skip
        print(f"{how} minus {first}, mean of the later rounds: {interval(gaps)}")


def interval(values: list[float]) -> str:
    """Mean and 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    t = T95.get(len(values) - 1, 2.571)
    return f"{statistics.mean(values):.2f} ± {t * statistics.stdev(values) / len(values) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
