"""``hand3d`` learns one batch by heart: loss and EPE on it, before and after.

    python benchmarks/hand3d_overfit.py [STEPS] [HANDS] [LR]

Uses Adam without dropout, with the published learning rate of 1e-4 if you give none. Not as published: the heatmaps
have weight 50, the rate rises over ten steps and gradients are clipped to length 1. With weight 1 and without the other
two, the maps of so deep a net without normalisation stay empty for long, and all hands of the batch are lifted to their
mean.

Prints the error after every tenth part of the steps, the ratio of the last to the first, the time of a step, and the
multiply-adds of a picture.
"""

from __future__ import annotations

import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from lvtune.adapters.factory import create_adapter
from lvtune.bases.base_registry import load_base
from lvtune.config.options import DataOptions
from lvtune.data.dataset import collate
from lvtune.domains import get_domain
from lvtune.evaluation.inference import split_dataset
from lvtune.patcher.attaching import attach
from lvtune.training.hand_objective import HandConfig
from lvtune.training.objectives import OBJECTIVES

HEAT, WARMUP = 50, 10


def epe(base, batch):
    """Mean error in mm on the batch."""
    with torch.no_grad():
        found = base.joints(base.hands(batch["pixel_values"], batch["side"]), batch["scale"])
    return (found - (batch["xyz"] - batch["xyz"][:, :1])).norm(dim=-1).mean().item()


def main():
    steps, count = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 80), (2, 2)))
    lr = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-4
    base = load_base("hand3d", "random")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base(torch.zeros(1, 3, 256, 256))
    print(f"{counter.get_total_flops() / 2e9:.1f} GMAC a picture")
    data = split_dataset(base, get_domain("hand-figures").open("train", DataOptions(limit=count)))
    batch = collate([data[i] for i in range(count)])
    adapter, objective = create_adapter("full", base), OBJECTIVES.get("hand")(HandConfig(heat=HEAT))
    optimizer = torch.optim.Adam(adapter.parameters(), lr=lr)
    with attach(base, adapter):
        first, started = epe(base, batch), time.perf_counter()
        print(f"step 0: EPE {first:.1f} mm")
        for step in range(1, steps + 1):
            optimizer.param_groups[0]["lr"] = lr * min(1, step / WARMUP)
            loss = objective(base, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
            optimizer.step()
            if step % max(1, steps // 10) == 0:
                print(f"step {step}: loss {loss.item():.4f} EPE {epe(base, batch):.1f} mm", flush=True)
        last, seconds = epe(base, batch), time.perf_counter() - started
    print(f"EPE after over before: {last / first:.2f} ({seconds / steps:.1f} s a step of {count} hands)")


if __name__ == "__main__":
    main()
