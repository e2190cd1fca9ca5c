"""Ten labelled frames and the others without labels: what the second part of `lvtune adapt --unlabelled` adds.

    python benchmarks/own_data.py OPENFIELD --seeds 0,1,2 --shots 10,all --out ALONE
    python benchmarks/unlabelled_own.py OPENFIELD ALONE --seeds 0,1,2 --unlabelled train,VIDEO --out OUT

The first part of `lvtune adapt OPENFIELD --shots 10 --unlabelled POOL` is the run without POOL (tests/api/
test_second_part.py compares them to the bit), so the second part goes on here from the adapters that the first command
saved. Printed: the mean error in pixels of the test frames before and after it, of the whole change and of what the
guard kept. A run whose result lies in OUT is not made again.

Settings are chosen with ``--on rest``: errors on the training frames that are not among the labelled ones, and never on
the test frames. ``--objective '{"weight": 0, "saved": "student"}'`` is as many steps on the labelled frames alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lvtune.api.job import Job, prepare
from lvtune.api.recipe import Recipe
from lvtune.api.second_part import tune_second
from lvtune.api.unlabelled_guard import UnlabelledGuard
from lvtune.domains import Split
from lvtune.domains.domain import NO_BOXES
from lvtune.evaluation.inference import predict_split
from lvtune.evaluation.scores import score_predictions
from lvtune.patcher.attaching import attach
from lvtune.training.history import History

ERRORS = ("px_mean", "px_median", "px_rms")


def rest_of(job: Job) -> Split:
    """The training frames that are not among the labelled ones."""
    whole = job.domain.open("train", replace(job.recipe.data, boxes=NO_BOXES))
    table: Any = whole.table
    labelled: Any = job.train.table
    known = set(labelled.column("image"))
    return whole.with_table(table.select([i for i, name in enumerate(table.column("image")) if name not in known]))


def errors(job: Job, split: Split) -> dict[str, float]:
    """Errors in pixels, with the flip test where the command has it."""
    job.adapter.eval()
    with attach(job.base, job.adapter, name="scored"):
        flip_test = job.recipe.evaluate.flip_test
        found = predict_split(job.base, split, category=None, skeleton=job.adapter.skeleton, flip_test=flip_test)
    table: Any = split.table
    score = score_predictions(table, *found)
    return {name: round(score[name], 3) for name in ERRORS}


def second(args: argparse.Namespace, alone: Path, pool: str, seed: int) -> dict[str, Any]:
    """The second part of one run, and what the guard says of it."""
    begun = time.process_time()
    job = prepare(Recipe.from_dict({
        "data": {"data": args.data, "shots": args.shots}, "start": str(alone), "unlabelled": pool, "seed": seed,
        "device": args.device, "unlabelled_frames": args.frames, "objective_options": json.loads(args.objective),
    }))  # fmt: skip
    split = rest_of(job) if args.on == "rest" else job.test
    before, guard = errors(job, split), UnlabelledGuard(job)
    guard.begin()
    first = json.loads((alone / "report.json").read_text())
    history = History(steps=list(range(args.steps or len(first["curves"]["steps"]))))
    tune_second(job, history, job.recipe.train, args.out / "none", "benchmark")
    whole = errors(job, split)
    guard.keep()
    kept = whole if guard.share == 1 else before if guard.share == 0 else errors(job, split)
    seen = {share: asdict(one) for share, one in guard.seen.items()}
    return {"before": before, "whole": whole, "kept": kept, "share": guard.share, "seen": seen,
            "pool": 0 if job.unlabelled is None else len(job.unlabelled.table),
            "steps": len(history.loss), "seconds": round(time.process_time() - begun, 1)}  # fmt: skip


def main() -> None:
    """Reads the options, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("alone", type=Path, help="folder of the runs of own_data.py")
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--unlabelled", default="train", help="train, folders or videos, with commas")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--on", choices=("test", "rest"), default="test")
    parser.add_argument("--objective", default="{}", help="options of mean-teacher, as JSON")
    parser.add_argument("--steps", type=int, default=None, help="steps that the first part is taken to have had")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("unlabelled-runs"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    print("| unlabelled | seed | 10 labelled alone: mean px | whole change | guard kept | mean px, kept | s |")
    print("|---|---|---|---|---|---|---|")
    for pool in args.unlabelled.split(","):
        rows = []
        for seed in map(int, args.seeds.split(",")):
            file = args.out / f"own-{Path(pool).stem}-{args.shots}-{seed}.json"
            if not file.exists():
                alone = args.alone / f"{Path(args.data).name}-{args.shots}-{seed}"
                file.write_text(json.dumps(second(args, alone, pool, seed)))
            one = json.loads(file.read_text())
            rows.append([one[part]["px_mean"] for part in ("before", "whole", "kept")])
            print(f"| {Path(pool).name} ({one['pool']}) | {seed} | {rows[-1][0]:.2f} | {rows[-1][1]:.2f} | "
                  f"{one['share']:.0%} | {rows[-1][2]:.2f} | {one['seconds']} |", flush=True)  # fmt: skip
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        change = [100 * (row[2] / row[0] - 1) for row in rows]
        print(f"| {Path(pool).name} | mean | {means[0]:.2f} | {means[1]:.2f} | | {means[2]:.2f} | |")
        print(f"error changed by {', '.join(f'{value:+.1f}' for value in change)} %")


if __name__ == "__main__":
    main()
