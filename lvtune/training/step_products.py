"""Says by which library a run multiplies in its steps; see :mod:`lvtune.core.linear_products`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lvtune.core.decision import Decision
from lvtune.core.linear_products import is_faster
from lvtune.core.private_api import is_compiled

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lvtune.bases.base import Base
    from lvtune.config.options import TrainOptions


def faster_products(base: Base, options: TrainOptions, accelerator: Accelerator) -> list[Decision]:
    """Returns that the steps of this run go by oneDNN, as one decision; nothing if they go by torch's own library."""
    if options.products == "torch" or not is_faster() or is_compiled(base.model):
        return []
    if (base.device.type, base.dtype, accelerator.mixed_precision) != ("cpu", torch.float32, "no"):
        return []
    why = "faster than torch's own products on this processor; those: --train.products torch"
    return [Decision("linear layers in each step", "by oneDNN", why)]
