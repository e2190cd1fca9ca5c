"""Adapters on demand, compared with peft: time of a switch, a first load and a load that replaces another.

    python benchmarks/adapter_pool.py --adapters 40

The base is ViT-B-shaped with random weights. Every adapter is LoRA r8 on query and value. lvtune saves it once, and
both sides read the same folder. With peft there is one model: ``load_adapter`` and ``delete_adapter`` on demand,
``set_adapter`` to switch. If the pool has to load an adapter, this includes checking hashes and the base's fingerprint.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import PeftModel

import lvtune


def milliseconds(act: Callable[[str], None], names: Sequence[str]) -> float:
    """Median time of ``act(name)``."""
    times = []
    for name in names:
        started = time.perf_counter()
        act(name)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def ours(folder: Path, names: list[str]) -> dict[str, float]:
    """Median ms of each through the pool."""
    base = lvtune.load_base("vitpose-b", "random")
    pool = lvtune.AdapterPool(base, dict.fromkeys([*names, "first"], folder))

    def use(name: str) -> None:
        with pool.use(name):
            pass

    use("first")
    values = {"first load": milliseconds(use, names), "switch": milliseconds(use, names * 5)}
    pool.budget = pool.bytes // 2
    use(names[0])  # the others are still there; from here on each that comes sends another away
    later = [f"later-{name}" for name in names]
    for name in later:
        pool.add(name, folder)
    use(later[0])
    values["load in place of another"] = milliseconds(use, later[1:])
    pool.close()
    return values


def theirs(folder: Path, names: list[str]) -> dict[str, float]:
    """The same of peft."""
    model = lvtune.load_base("vitpose-b", "random").model
    model = PeftModel.from_pretrained(model, folder, adapter_name="first")
    values = {"first load": milliseconds(lambda name: model.load_adapter(folder, name), names)}
    values["switch"] = milliseconds(model.set_adapter, names)

    def replace(pair: str) -> None:
        old, new = pair.split()
        model.load_adapter(folder, new)
        model.delete_adapter(old)

    later = [f"later-{name}" for name in names]
    model.set_adapter("first")
    values["load in place of another"] = milliseconds(replace, list(map(" ".join, zip(names, later, strict=True))))
    return values


def main() -> None:
    """Prints one row a claim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = [f"a{i}" for i in range(args.adapters)]
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        base = lvtune.load_base("vitpose-b", "random")
        folder = lvtune.save_adapter(lvtune.create_adapter("lora", base, predictor=False), Path(place) / "lora")
        del base
        mine, peft = ours(folder, names), theirs(folder, names)
    print(f"{args.adapters} LoRA r8 adapters on a ViT-B-shaped base; median ms of one")
    print(f"{'':26}{'lvtune':>10}{'peft':>10}{'peft / lvtune':>16}")
    for what, value in peft.items():
        print(f"{what:26}{mine[what]:10.3f}{value:10.3f}{value / mine[what]:16.1f}")


if __name__ == "__main__":
    main()
