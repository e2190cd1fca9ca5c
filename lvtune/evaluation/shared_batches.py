"""Predicts a data set batch by batch; several processes share the batches, and each sample is predicted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from lvtune.core.processes import gathered, share_of_this_process
from lvtune.core.work_progress import progress
from lvtune.data.dataset import collate


def predict_batches(
    data: Any,
    batch_size: int,
    predict: Callable[[dict[str, Any]], tuple[np.ndarray, ...]],
    label: str = "scoring",
) -> tuple[np.ndarray, ...]:
    """Returns the predictions for all samples, in their order, in every process.

    The batches are those of a single process, so the results are the same bits for any number of processes. Inside
    :func:`lvtune.core.processes.together` all processes must call it.

    Args:
        data: samples.
        batch_size: samples at a time.
        predict: maps a batch of B samples to arrays (B, ...).
        label: what progress lines begin with.
    """
    batches = [list(range(start, min(start + batch_size, len(data)))) for start in range(0, len(data), batch_size)]
    places = share_of_this_process(len(batches))
    loader = DataLoader(data, batch_sampler=[batches[place] for place in places], collate_fn=collate)
    own: dict[int, tuple[np.ndarray, ...]] = {}
    with progress(label, sum(len(batches[place]) for place in places)) as shown:
        for place, batch in zip(places, loader, strict=True):
            own[place] = predict(batch)
            shown.update(len(batches[place]))
    found = gathered(own, len(batches))
    return tuple(np.concatenate(columns) for columns in zip(*found, strict=True))
