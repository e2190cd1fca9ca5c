"""Throughput of a batch in which every sample has its own adapter, compared with a batch under one adapter.

    python benchmarks/mixed_batch.py --base vitpose-b --batch 8 --threads 2

Both run in turns in one process, so only the ratio counts. ``apart`` is the same mixed batch, but each adapter's
samples go through the model in a separate call.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

import lvtune
from lvtune.bases.base import Base
from lvtune.data.skeletons import LSP_14

KINDS = {
    "lora": [("lora", {"r": 8})],
    "mixed": [
        ("lora", {"r": 8}),
        ("vpt", {}),
        ("norm", {}),
        ("vlpose", {"domain": "humanart"}),
        ("lora", {"r": 4, "skeleton": LSP_14}),
    ],
    "vlpose": [("vlpose", {"domain": "humanart"})],
    "vpt": [("vpt", {"zero_init": False})],
}


def stirred(method: str, base: Base, seed: int, options: dict) -> torch.nn.Module:
    """An adapter that changes answers."""
    adapter = lvtune.create_adapter(method, base, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(0.01 * torch.randn(value.shape, generator=generator))
    return adapter.eval()


def seconds(calls: dict, repeats: int, clock: Callable[[], float]) -> dict:
    """Median seconds of each, run in turns."""
    found = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if turn:
                found[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="vitpose-b")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "process"], default="wall", help="process: on a busy machine")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    base = lvtune.load_base(args.base, weights="random")
    pixels = torch.randn(args.batch, 3, *base.input_size)
    clock = {"wall": time.perf_counter, "process": time.process_time}[args.clock]
    print(f"{args.base}, batch {args.batch}, {args.threads} threads, {args.clock} clock, torch {torch.__version__}")
    for kind in args.kinds:
        methods = (KINDS[kind] * args.batch)[: args.batch]
        names = [f"{i}-{method}" for i, (method, _) in enumerate(methods)]
        for seed, (name, (method, options)) in enumerate(zip(names, methods, strict=True)):
            lvtune.attach(base, stirred(method, base, seed, options), name=name)
        first = {method: names[i] for i, (method, _) in reversed(list(enumerate(methods)))}
        calls = {method: partial(base, pixels, name) for method, name in first.items()}
        calls |= {"mixed": partial(base, pixels, names), "apart": partial(apart, base, pixels, names)}
        with torch.inference_mode():
            took = seconds(calls, args.repeats, clock)
        # whole batches under each of the adapters take, together, the mean
        single = statistics.mean(took[method] for method, _ in methods)
        print(
            f"{kind}: {len(set(names))} adapters mixed {took['mixed']:.3f} s, one adapter {single:.3f} s, throughput "
            f"{single / took['mixed']:.2f} x; each apart {took['apart']:.3f} s, {single / took['apart']:.2f} x",
            flush=True,
        )
        lvtune.detach(base)


def apart(base: Base, pixels: torch.Tensor, names: list) -> None:
    """One call of the model for each adapter's samples."""
    for name in dict.fromkeys(names):
        base(pixels[[i for i, other in enumerate(names) if other == name]], name)


if __name__ == "__main__":
    main()
