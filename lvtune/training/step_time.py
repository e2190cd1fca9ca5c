"""Times one training step on this machine, before a run is planned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lvtune.data.dataset import collate
from lvtune.patcher.attaching import attach, use_adapter

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.utils.data import Dataset

    from lvtune.bases.base import Base

WARM = 1
"""Steps that are passed over: they read pictures and fill caches."""


def seconds_per_step(
    base: Base,
    adapter: nn.Module,
    data: Dataset,
    loss_of: Callable[[Base, dict], Tensor],
    batch_size: int,
    accelerator: Accelerator,
) -> float:
    """Times a step: crops, forward and backward pass. No weight, no gradient and no random state changes.

    Args:
        base: on the device of the run.
        adapter: made for it.
        data: samples to tune on, augmented; at least one.
        loss_of: (base, batch) to a scalar loss.
        batch_size: pictures a step.
        accelerator: of the run's device and precision.
    """
    samples: Any = data
    mode, spent = base.training, 0.0
    devices = [base.device] if base.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), attach(base, adapter, name="timed"), use_adapter(base, "timed"):
        base.train(True)
        try:
            for _ in range(WARM + 1):
                begun = time.perf_counter()
                batch = collate([samples[i % len(samples)] for i in range(batch_size)])
                here = {k: v.to(base.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
                wanted = [p for p in adapter.parameters() if p.requires_grad]
                with accelerator.autocast():
                    loss = loss_of(base, here)
                torch.autograd.grad(loss, wanted, allow_unused=True)
                if devices:
                    torch.cuda.synchronize(base.device)
                spent = time.perf_counter() - begun
        finally:
            base.train(mode)
            adapter.eval()
    return spent
