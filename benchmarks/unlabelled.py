"""Pictures without labels: what they gain, what the guard refuses, how far its evidence can be trusted, what it costs.

    python benchmarks/unlabelled.py guard LSPET --wrong OPENFIELD --out OUT    # runs from the start that ships
    python benchmarks/unlabelled.py cost                                       # a step with a teacher and without

``guard`` tunes on the training pictures of lsp-art/seen without a label, 20 runs of differing quality, and on pools and
teachers that are poisoned. Printed for each run: PCK@0.2 of 120 test pictures (seen, and unseen filters) and of 120
source pictures, without the flip test, before and after; what the guard measured, and what it kept. Then how often the
disagreement of views orders two runs as the labels of the test pictures do. A run whose result lies in OUT is not made
again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvtune.api.job import Job, prepare, training_data
from lvtune.api.recipe import Recipe
from lvtune.api.unlabelled_guard import UnlabelledGuard
from lvtune.core.snapshot import snapshot
from lvtune.data.crop import to_image
from lvtune.data.dataset import collate
from lvtune.data.skeletons import LSP_14
from lvtune.data.subset import Subset
from lvtune.data.unlabelled import HiddenLabels, read_unlabelled
from lvtune.domains import Split, get_domain
from lvtune.domains.source import source_split
from lvtune.evaluation.inference import predict_heatmaps, split_dataset
from lvtune.evaluation.pck import pck
from lvtune.patcher.attaching import attach
from lvtune.training.agreement import evenly
from lvtune.training.loop import tune
from lvtune.training.objectives import OBJECTIVES, objective_config

LOOKED_AT = 120
"""Pictures of each part that are scored."""
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Quantile of Student's t for a two-sided interval of 95 %, by degrees of freedom."""


class Scored:
    """Pictures that are scored again and again: cropped once."""

    def __init__(self, job: Job, split: Split) -> None:
        data = split_dataset(job.base, split, cache=True)
        rows = list(evenly(len(data), LOOKED_AT))
        samples = [data[i] for i in rows]
        self.batches = [collate(samples[i : i + 50]) for i in range(0, len(samples), 50)]
        of = [i // len(split.views) for i in rows] if split.views else rows
        self.truth, self.skeleton = np.asarray(split.table.column("keypoints"))[of], split.table.skeleton

    def pck(self, job: Job, adapter: Any) -> float:
        """PCK@0.2 in percent; adapter None: the base alone."""
        found = []
        for batch in self.batches:
            if adapter is None:
                maps = predict_heatmaps(job.base, batch["pixel_values"], flip_test=False)
            else:
                with attach(job.base, adapter, name="scored"):
                    maps = predict_heatmaps(job.base, batch["pixel_values"], flip_test=False)
            points, _ = job.base.codec.decode(maps.float())
            found.append(to_image(points.numpy(), batch["center"].numpy(), batch["scale"].numpy(), job.base.input_size))
        result = pck(np.concatenate(found), self.truth[..., :2], self.truth[..., 2], self.skeleton, (0.2,))
        return float(result["pck@0.2"])


# guard -----------------------------------------------------------------------------------------------------------


def runs_of_guard() -> Iterator[dict[str, Any]]:
    """The 20 runs of differing quality: name, and what is changed; seven of them are poisoned."""
    clean = [(10, 1), (12, 2), (12, 5), (24, 0.5), (10, 10), (24, 2), (12, 20)]
    still = {"rotate": 0, "resize": 0, "shift": 0, "looks": "none", "cover": 0}
    for seed in (0, 1, 2):  # what matters most comes first
        yield {"name": f"default-{seed}", "seed": seed}
        for steps, rate in clean[2 * seed : 2 * seed + 2]:
            yield {"name": f"steps{steps}-rate{rate}", "seed": seed, "steps": steps, "rate": rate}
        if seed < 2:
            yield {"name": f"other-pictures-{seed}", "seed": seed, "rate": 2, "poison": "pool"}
            yield {"name": f"broken-teacher-{seed}", "seed": seed, "rate": 2, "poison": "teacher"}
        yield {"name": f"swapped-points-{seed}", "seed": seed, "rate": 2, "poison": "points"}
    steps, rate = clean[-1]
    yield {"name": f"steps{steps}-rate{rate}", "seed": 0, "steps": steps, "rate": rate}
    yield {"name": "still", "seed": 1, "rate": 5, "objective": still}
    yield {"name": "looks-none", "seed": 1, "rate": 2, "objective": {"looks": "none"}}
    yield {"name": "all-count", "seed": 0, "rate": 2, "objective": {"confidence": 0.05, "agreement": 1.0}}


class GuardRuns:
    """One base, one start, one set of pictures; run after run begins there anew."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        recipe = Recipe.from_dict({
            "domain": "lsp-art/seen", "data": {"data": args.data, "shots": 0}, "unlabelled": "train",
            "start": "shipped", "train": {"steps": args.steps, "batch_size": 16, "guard": 1}, "device": args.device,
        })  # fmt: skip
        self.job = prepare(recipe)
        self.start = snapshot(self.job.adapter)
        unseen = get_domain("lsp-art/unseen").open("test", recipe.data)
        source = source_split(get_domain("demo-art"), "test", recipe.data)
        parts = {"target": self.job.test, "unseen": unseen, "source": source or self.job.source}
        self.parts = {name: Scored(self.job, part) for name, part in parts.items()}
        wrong = Split(read_unlabelled(args.wrong, LSP_14), "pictures of something else")
        self.pools = {"own": self.job.opened.unlabelled, "wrong": wrong}
        base = self.job.base
        self.data = {name: HiddenLabels(split_dataset(base, pool, cache=True)) for name, pool in self.pools.items()}

    def scores(self) -> dict[str, float]:
        return {name: round(part.pck(self.job, self.job.adapter), 2) for name, part in self.parts.items()}

    def begin(self) -> dict[str, Any]:
        """Scores of the base and of the start."""
        self.job.adapter.load_state_dict(self.start)
        base = {name: round(part.pck(self.job, None), 2) for name, part in self.parts.items()}
        return {"name": "start", "base": base, "before": self.scores()}

    def run(self, given: dict[str, Any]) -> dict[str, Any]:
        """One run: scores of the whole change and of what the guard kept."""
        job, seed, begun = self.job, given["seed"], time.process_time()
        job.adapter.load_state_dict(self.start)
        which = "wrong" if given.get("poison") == "pool" else "own"
        job.boxed, data = self.pools[which], self.data[which]
        objective = OBJECTIVES.get("mean-teacher")(objective_config("mean-teacher", given.get("objective", {})))
        objective.prepare(replace(job.objective.context, seed=seed))
        poisoned(objective, given.get("poison"))
        guard = UnlabelledGuard(job)
        guard.begin()
        options = replace(job.options, steps=given.get("steps", self.args.steps))
        options = replace(options, lr=(options.lr or 0) * given.get("rate", 1))
        tune(job.base, job.adapter, data, objective, options, seed=seed, device=self.args.device, label=given["name"])
        whole = self.scores()
        guard.keep()
        kept = self.scores() if guard.share != 1 else whole
        seen = {share: asdict(one) for share, one in guard.seen.items()}
        return {**given, "whole": whole, "kept": kept, "share": guard.share, "seen": seen,
                "seconds": round(time.process_time() - begun, 1)}  # fmt: skip


def poisoned(objective: Any, how: str | None) -> None:
    """Breaks the teacher: weights stirred until nothing is right, or left and right, up and down changed for good."""
    if how == "teacher":
        generator = torch.Generator().manual_seed(0)
        state = objective.trained.state()
        for value in state.values():
            if value.is_floating_point():
                value.add_(0.3 * value.abs().mean() * torch.randn(value.shape, generator=generator))
        objective.trained.follow = lambda adapter, step: None  # never mended by the adapter
    elif how == "points":
        answers = objective.answers
        objective.answers = lambda *given: tuple(part.roll(3, dims=1) for part in answers(*given))


def guard(args: argparse.Namespace) -> None:
    """Runs, prints the table and the reliability."""
    args.out.mkdir(parents=True, exist_ok=True)
    rig: GuardRuns | None = None
    found = []
    for given in ({"name": "start"}, *runs_of_guard()):
        file = args.out / f"guard-{given['name']}.json"
        if not file.exists() and not args.print_only:
            rig = rig or GuardRuns(args)
            result = rig.begin() if given["name"] == "start" else rig.run(given)
            file.write_text(json.dumps(result))
        if file.exists():
            found.append(json.loads(file.read_text()))
            print(json.dumps({k: v for k, v in found[-1].items() if k != "seen"}), flush=True)
    print_guard(found[0]["before"], found[0]["base"], found[1:])


def print_guard(start: dict[str, float], base: dict[str, float], runs: list[dict[str, Any]]) -> None:
    """The tables of benchmarks/README.md."""
    print(f"\nthe base alone: {base}; the start: {start}\n")
    print("| run | target, whole change | unseen | source | views disagree | guard kept | target, kept |")
    print("|---|---|---|---|---|---|---|")
    for run in runs:
        gain = {part: run["whole"][part] - start[part] for part in start}
        now, before = run["seen"].get("1"), run["seen"]["0"]
        print(f"| {run['name']} | {gain['target']:+.2f} | {gain['unseen']:+.2f} | {gain['source']:+.2f} | "
              f"{100 * before['disagreement']:.2f} -> {100 * now['disagreement']:.2f} % | {run['share']:.0%} | "
              f"{run['kept']['target'] - start['target']:+.2f} |")  # fmt: skip
    defaults = [run for run in runs if run["name"].startswith("default")]
    for part in ("target", "unseen", "source"):
        print(f"default, kept, {part}: {interval([run['kept'][part] - start[part] for run in defaults])}")
    print_reliability(start, runs)


def print_reliability(start: dict[str, float], runs: list[dict[str, Any]]) -> None:
    """How often a measure that needs no label orders two runs as the labels do."""
    measures: dict[str, Callable[[dict[str, Any]], float]] = {
        "views disagree less": lambda seen: -seen["disagreement"],
        "fewer sure points moved": lambda seen: -seen["moved"],
        "higher peaks": lambda seen: seen["peak"],
        "lower loss on the source": lambda seen: -(seen["source"] or 0),
    }
    for name, measure in measures.items():
        values = [(measure(run["seen"]["1"]), run["whole"]["target"]) for run in runs]
        print(f"{name}: {reliability(values)}")
    right = [(run["kept"]["target"] - start["target"], run["whole"]["target"] - start["target"]) for run in runs]
    fine = sum(kept >= max(0.0, whole) - 0.5 for kept, whole in right)
    worst = [min(side) for side in zip(*right, strict=True)]
    print(f"kept within 0.5 points of the better of start and whole change: {fine} of {len(right)} runs")
    print(f"the worst that was kept: {worst[0]:+.2f}; the worst whole change: {worst[1]:+.2f}")


def reliability(values: list[tuple[float, float]], drawn: int = 1000) -> str:
    """Share of the pairs of runs that a measure orders as the score does; ties of the score are left out."""
    rng = np.random.default_rng(0)

    def share(some: list[tuple[float, float]]) -> float | None:
        pairs = [(a, b) for a, b in itertools.combinations(some, 2) if a[1] != b[1]]
        right = [((a[0] > b[0]) == (a[1] > b[1])) if a[0] != b[0] else 0.5 for a, b in pairs]
        return float(np.mean(right)) if right else None

    again = [share([values[i] for i in rng.integers(0, len(values), len(values))]) for _ in range(drawn)]
    low, high = np.quantile([one for one in again if one is not None], [0.025, 0.975])
    return (
        f"{100 * (share(values) or 0):.0f} % of the pairs of {len(values)} runs ({100 * low:.0f} to {100 * high:.0f})"
    )


def interval(values: list[float]) -> str:
    """Mean and interval of 95 % (Student's t over the seeds)."""
    if len(values) < 2:
        return f"{values[0]:+.2f} (one seed)" if values else "no run"
    half = T95[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):+.2f} ± {half:.2f} ({', '.join(f'{v:+.2f}' for v in values)})"


# cost ------------------------------------------------------------------------------------------------------------


def cost(args: argparse.Namespace) -> None:
    """Times steps with a teacher and without in turns, and what the process holds."""
    batch = 16
    jobs: dict[str, Job] = {}
    for name, more in (("without", {}), ("with a teacher", {"unlabelled": "train"})):
        jobs[name] = prepare(Recipe.from_dict({
            "domain": "demo-art", "data": {"shots": 60}, "train": {"batch_size": batch, "steps": 1},
            "device": args.device, **more,
        }))  # fmt: skip
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(args.repeats + 1):
        for name, job in jobs.items():
            data = Subset(training_data(job), range(batch), renumber=False)
            samples = collate([data[i] for i in range(batch)])
            parameters = [value for value in job.adapter.parameters() if value.requires_grad]
            optimizer = torch.optim.AdamW(parameters, lr=1e-5)
            with attach(job.base, job.adapter, name="timed"):
                job.base.train(True)
                for _ in range(2):
                    used = time.process_time()
                    (job.second or job.objective)(job.base, samples).backward()
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    if turn:
                        spent[name].append(time.process_time() - used)
                job.base.train(False)
    least = {name: statistics.median(values) for name, values in spent.items()}
    ratio = least["with a teacher"] / least["without"]
    print(
        ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in least.items()), f"of processor time: {ratio:.2f} x"
    )
    bases = [job.base for job in jobs.values()]
    teacher = sum(value.numel() for value in jobs["with a teacher"].second.trained.state().values())
    whole = sum(value.numel() for value in bases[0].model.parameters())
    print(f"the teacher holds {teacher} numbers, the base {whole} ({100 * teacher / whole:.1f} %)")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"largest memory {begun // 1024} MB before, {after // 1024} MB after")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("guard")
    one.add_argument("data")
    one.add_argument("--wrong", required=True, help="folder with pictures of something else")
    one.add_argument("--steps", type=int, default=12)
    one.add_argument("--out", type=Path, default=Path("unlabelled-runs"))
    one.add_argument("--device", default="cpu")
    one.add_argument("--print-only", action="store_true", help="tables of the runs that are there")
    one.set_defaults(run=guard)
    one = commands.add_parser("cost")
    one.add_argument("--repeats", type=int, default=5)
    one.add_argument("--device", default="cpu")
    one.set_defaults(run=cost)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
