"""Tuning over a base in half precision, compared with the same tuning over the base in float32.

    python benchmarks/half_precision.py --method lora --steps 60

Tunes the default job (`vitpose-ti`, `demo-art`) for a few steps on a small set, over the base in float32, bfloat16 and
float16. The adapter's weights are in float32, as always in lvtune. A second float32 run with another seed shows the
noise. ``bfloat16, adapter too`` rounds the adapter's weights to bfloat16 after every step, as if they had the base's
type. Prints one line for each run: the loss of the last ten steps, PCK@0.2 on the test pictures, and the norm of the
tuned weights' change from their start, as a ratio to float32's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from lvtune.api.job import Job, prepare, training_data
from lvtune.api.recipe import Recipe
from lvtune.config.options import DataOptions, TrainOptions
from lvtune.evaluation.split_scoring import score_split
from lvtune.patcher.attaching import attach
from lvtune.training import loop

RUNS: dict[str, tuple[torch.dtype, bool, int]] = {
    "float32": (torch.float32, False, 0),
    "float32, seed 1": (torch.float32, False, 1),
    "bfloat16": (torch.bfloat16, False, 0),
    "float16": (torch.float16, False, 0),
    "bfloat16, adapter too": (torch.bfloat16, True, 0),
}
"""Name to (type of the base, whether the adapter's weights are rounded to it, seed)."""


def rounding(adapter: torch.nn.Module, dtype: torch.dtype) -> Callable[..., None]:
    """A hook that an optimiser calls after each step: it rounds the weights to ``dtype``."""

    def round_all(*args: Any) -> None:
        with torch.no_grad():
            for value in adapter.parameters():
                value.copy_(value.to(dtype))

    return round_all


def tuned(job: Job, dtype: torch.dtype, rounded: bool) -> tuple[list[float], float]:
    """Tunes a job over its base in ``dtype``; the losses, and the norm of the weights' change."""
    job.base.to(dtype)
    start = {name: value.detach().clone() for name, value in job.adapter.named_parameters()}
    make = loop.make_optimizer

    def with_rounding(*args: Any) -> torch.optim.Optimizer:
        optimizer = make(*args)
        optimizer.register_step_post_hook(rounding(job.adapter, dtype))
        return optimizer

    loop.make_optimizer = with_rounding if rounded else make
    try:
        history = loop.tune(
            job.base, job.adapter, training_data(job), job.objective, job.options, seed=job.recipe.seed, device="cpu"
        )
    finally:
        loop.make_optimizer = make
    moved = [(value.detach() - start[name]).square().sum() for name, value in job.adapter.named_parameters()]
    return history.loss, float(sum(moved)) ** 0.5


def main() -> None:
    """Runs all and prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="lora")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--people", type=int, default=160, help="people that are tuned on")
    parser.add_argument("--scored", type=int, default=240, help="people of the test set that are scored")
    parser.add_argument("--without", default="", help="runs to leave out, with semicolons between them")
    parser.add_argument("--lr", type=float, help="learning rate; left out: the method's own")
    options = parser.parse_args()
    train = TrainOptions(steps=options.steps, batch_size=16, precision="no", ema=0.0, lr=options.lr)
    whole = None
    left_out = [name.strip() for name in options.without.split(";")]
    for name, (dtype, rounded, seed) in RUNS.items():
        if name in left_out:
            continue
        recipe = Recipe(method=options.method, train=train, data=DataOptions(limit=options.people), seed=seed)
        job = prepare(replace(recipe, start="none"))
        losses, moved = tuned(job, dtype, rounded)
        whole = whole or moved
        test = job.test.first(min(options.scored, len(job.test.table)))
        with attach(job.base, job.adapter):
            score = score_split(job.base, test, flip_test=False).values["pck@0.2"]
        last = statistics.mean(losses[-10:])
        print(f"{name:22}  loss {last:.6f}  PCK@0.2 {score:6.2f}  change {moved / whole:.3f} x float32", flush=True)


if __name__ == "__main__":
    main()
