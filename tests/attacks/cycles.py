"""Attaches, steps, switches and detaches adapters again and again: memory, file handles and the base stay flat."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

from attacks.tally import Tally, in_child

WARM = 100
"""Cycles after which memory is measured first: allocators keep what they once had."""
MOST_GROWTH = 24 * 2**20
"""Bytes that a process may grow over all further cycles; a leak of one tiny adapter per cycle would be far more."""


def cycles(count: int, seed: int, folder: Path) -> Tally:
    """Runs ``count`` cycles on a tiny base, with adapters of six methods in turn."""
    area = "cycles attach/step/switch/detach"
    started = time.perf_counter()
    tally = in_child(area, lambda tally: _cycles(tally, count, seed))
    tally.seconds = time.perf_counter() - started
    return tally


def _cycles(tally: Tally, count: int, seed: int) -> None:
    import torch
    from tiny import make_adapter, snapshot, tiny_base, tiny_pixels

    import lvtune
    from lvtune.bases.fingerprint import fingerprint

    base, pixels = tiny_base(), tiny_pixels(2, seed)
    base(pixels)
    methods = ("lora", "vlpose", "bottleneck", "vpt", "ssf", "norm")
    pairs = [[make_adapter(name, base, stirred=0.1, seed=seed) for name in methods] for seed in (0, 1)]
    before, print_before, answer = snapshot(base), fingerprint(base), base(pixels).clone()
    memory = handles = 0
    for number in range(count):
        one, other = (pairs[k][(number + k) % len(methods)] for k in (0, 1))
        with lvtune.attach(base, one, name="one"), lvtune.attach(base, other, name="other"):
            optimizer = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], lr=1e-6)
            with lvtune.use_adapter(base, "one"):
                loss = base(pixels).square().mean()
            loss.backward()
            optimizer.step()
            with torch.no_grad(), lvtune.use_adapter(base, ["one", "other"]):
                base(pixels)
            with torch.no_grad(), lvtune.use_adapter(base, None):
                tally.expect(torch.equal(base(pixels), answer), f"cycle {number}: the base answers otherwise")
        if number == min(WARM, count // 2):
            gc.collect()
            memory, handles = _memory(), _handles()
        if number % 100 == 99:
            tally.expect(fingerprint(base) == print_before, f"cycle {number}: the base's fingerprint changed")
    del one, other, optimizer, loss
    gc.collect()
    tally.expect(snapshot(base) == before, "the base is not as it was")
    grown = _memory() - memory
    tally.expect(grown < MOST_GROWTH, f"{grown / 2**20:.1f} MiB more memory after {count} cycles")
    tally.expect(_handles() == handles, f"{_handles() - handles} more open files after {count} cycles")


def _memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _handles() -> int:
    return len(os.listdir("/proc/self/fd"))
