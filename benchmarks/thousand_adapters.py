"""A thousand adapters on one ViT-B-shaped base: memory compared with the sum of their tensors, and the time to switch.

    python benchmarks/thousand_adapters.py --count 1000 --peft 1000

Memory is the growth of the process's resident set, measured after a garbage collection. peft holds LoRA adapters of the
same shape in the same process, and switches with ``set_adapter``.
"""

import argparse
import ctypes
import gc
import random
import statistics
import time

import torch

import lvtune
from lvtune.hub.pool import memory_of

TARGETS = ("query", "value")


def resident() -> int:
    """Bytes of this process in memory, once what was freed has been given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def switches(names: list[str], switch, count: int = 500) -> tuple[float, float]:
    """Median and largest milliseconds of switching to adapters drawn at random."""
    draw, times = random.Random(0), []
    for _ in range(count):
        name = draw.choice(names)
        start = time.perf_counter()
        switch(name)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), max(times)


def ours(method: str, count: int, options: dict) -> None:
    base = lvtune.load_base("vitpose-b", weights="random")
    lvtune.attach(base, lvtune.create_adapter(method, base, **options), name="first")  # imports and hooks
    pixels = torch.randn(1, 3, *base.input_size)
    with torch.inference_mode():
        base(pixels)
    before, start = resident(), time.perf_counter()
    for i in range(count):
        lvtune.attach(base, lvtune.create_adapter(method, base, seed=i, **options), name=f"a{i}")
    took = time.perf_counter() - start
    grown = resident() - before
    held = memory_of([lvtune.attached(base)[f"a{i}"] for i in range(count)])
    print(f"{method}: {count} adapters attached in {took:.1f} s; tensors {held / 1e6:.1f} MB, process grew by "
          f"{grown / 1e6:.1f} MB: {100 * (grown / held - 1):+.1f} %", flush=True)  # fmt: skip

    def switch(name: str) -> None:
        lvtune.use_adapter(base, name).__enter__()

    median, most = switches([f"a{i}" for i in range(count)], switch)
    print(f"{method}: switch {median:.4f} ms median, {most:.4f} ms at most", flush=True)
    with torch.inference_mode():
        times = {}
        for name in (None, "a0", f"a{count - 1}"):
            start = time.perf_counter()
            base(pixels, adapters=name)
            times[name] = time.perf_counter() - start
    print(f"{method}: one picture under none, first, last: {', '.join(f'{t:.3f} s' for t in times.values())}")
    lvtune.detach(base)


def theirs(count: int) -> None:
    from peft import LoraConfig, get_peft_model

    base = lvtune.load_base("vitpose-b", weights="random")
    config = LoraConfig(r=8, lora_alpha=16, target_modules=list(TARGETS), modules_to_save=["head.conv"])
    model = get_peft_model(base.model, config, adapter_name="first")
    before, start = resident(), time.perf_counter()
    for i in range(count):
        model.add_adapter(f"a{i}", config)
    took = time.perf_counter() - start
    grown = resident() - before
    held = sum(p.numel() * p.element_size() for name, p in model.named_parameters() if ".a0." in name) * count
    print(f"peft lora: {count} adapters added in {took:.1f} s; tensors {held / 1e6:.1f} MB, process grew by "
          f"{grown / 1e6:.1f} MB: {100 * (grown / held - 1):+.1f} %", flush=True)  # fmt: skip
    median, most = switches([f"a{i}" for i in range(count)], model.set_adapter, 30)
    print(f"peft lora: set_adapter {median:.3f} ms median, {most:.3f} ms at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--peft", type=int, default=None, help="adapters of peft (default: as many; 0: none)")
    parser.add_argument("--method", default="lora", choices=lvtune.list_methods())
    args = parser.parse_args()
    options = {"r": 8, "targets": TARGETS} if args.method == "lora" else {}
    reads = "vlpose" in args.method
    print(f"vitpose-b, torch {torch.__version__}")
    ours(args.method, args.count, options | ({"domain": "humanart"} if reads else {}))
    count = args.count if args.peft is None else args.peft
    if count:
        theirs(count)


if __name__ == "__main__":
    main()
