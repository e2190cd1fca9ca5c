"""The fingerprint of a base: sha256 over the names, dtypes, shapes and bytes of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lvtune.bases.base import Base
from lvtune.core.tensor_file import hash_tensors

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""The dtypes that a base is loaded in and that its hash is recorded in."""


def _model_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers (persistent or not) under the names of the uncompiled model."""
    model = getattr(model, "_orig_mod", model)
    model = model.model if isinstance(model, Base) else model
    for named in (model.named_parameters, model.named_buffers):
        # a tied tensor counts under each of its names, since loading may tie it or not
        for name, value in named(remove_duplicate=False):
            yield name.replace("_orig_mod.", ""), value


def fingerprint(model: Any, dtype: torch.dtype | None = None) -> str:
    """Returns the sha256 (hex) over names, dtypes, shapes and bytes of all parameters and buffers of a base.

    Attached adapters do not count: they live outside the base.

    Args:
        model: a base, or a plain model, compiled or not.
        dtype: the hash that the model would have in this floating dtype; None: as it is.
    """
    return hash_tensors(_model_tensors(model), dtype)


def precision_of(model: Any) -> str | None:
    """Returns the key of `PRECISIONS` that a model can be compared in: its own, or the lowest where it mixes them.

    Returns None where no single one stands for all its tensors (float16 beside bfloat16, float8).
    """
    kinds = {value.dtype for _, value in _model_tensors(model) if value.is_floating_point()}
    # a float64 model made from float32 weights goes back to them without loss
    kinds -= {torch.float32, torch.float64}
    if not kinds:
        return "float32"
    names = [name for name, dtype in PRECISIONS.items() if dtype in kinds]
    return names[0] if len(kinds) == len(names) == 1 else None


def fingerprints(model: Any) -> dict[str, str]:
    """Returns the base's hash in each precision in which it can be computed, for the adapter file.

    A float32 base has all three (its float16 and bfloat16 casts are what a user loads in those dtypes); a
    half-precision base has its own alone, since what was rounded away cannot be hashed.
    """
    own = precision_of(model)
    names = list(PRECISIONS) if own == "float32" else [own] if own else []
    return {name: fingerprint(model, PRECISIONS[name]) for name in names}
