"""``hand3d`` learns one batch by heart: loss and EPE on it, before and after.

    python benchmarks/hand3d_overfit.py [STEPS] [HANDS] [LR]

Adam, with three times the published learning rate of 1e-4 unless another is given, and without dropout.

Prints the error after every tenth part of the steps and the ratio of the last to the first; also how long a step takes,
and the multiply-adds of a picture.
"""

from __future__ import annotations

import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from lvtune.adapters import create_adapter
from lvtune.bases import load_base
from lvtune.data.dataset import collate
from lvtune.domains import get_domain
from lvtune.evaluation.inference import split_dataset
from lvtune.patcher import attach
from lvtune.recipe import DataOptions
from lvtune.training.objectives import OBJECTIVES


def epe(base, batch):
    """Mean error in mm on the batch."""
    with torch.no_grad():
        found = base.joints(base.hands(batch["pixel_values"], batch["side"]), batch["scale"])
    return (found - (batch["xyz"] - batch["xyz"][:, :1])).norm(dim=-1).mean().item()


def main():
    steps, count = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 160), (2, 2)))
    lr = float(sys.argv[3]) if len(sys.argv) > 3 else 3e-4
    base = load_base("hand3d", "random")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base(torch.zeros(1, 3, 256, 256))
    print(f"{counter.get_total_flops() / 2e9:.1f} GMAC a picture")
    data = split_dataset(base, get_domain("hand-figures").open("train", DataOptions(limit=count)))
    batch = collate([data[i] for i in range(count)])
    adapter, objective = create_adapter("full", base), OBJECTIVES.get("hand")()
    optimizer = torch.optim.Adam(adapter.parameters(), lr=lr)
    with attach(base, adapter):
        first, started = epe(base, batch), time.perf_counter()
        print(f"step 0: EPE {first:.1f} mm")
        for step in range(1, steps + 1):
            loss = objective(base, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % max(1, steps // 10) == 0:
                print(f"step {step}: loss {loss.item():.4f} EPE {epe(base, batch):.1f} mm", flush=True)
        last, seconds = epe(base, batch), time.perf_counter() - started
    print(f"EPE after over before: {last / first:.2f} ({seconds / steps:.1f} s a step of {count} hands)")


if __name__ == "__main__":
    main()
