"""One number for a base: sha256 over the names, dtypes, shapes and bytes of its parameters and buffers."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from lvtune.bases.base import Base
from lvtune.core.errors import LvtuneError

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""The dtypes that a base is loaded in, and that its hash is recorded in."""


def hash_tensors(tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype | None = None) -> str:
    """sha256 (hex) of named tensors, whatever their order, device and memory layout.

    Args:
        tensors: names and values.
        dtype: floating tensors are cast to it first; None leaves them.

    Raises:
        LvtuneError: a tensor without data (on the meta device).
    """
    digest = hashlib.sha256()
    for name, value in sorted(tensors, key=lambda item: item[0]):
        if value.is_meta:
            raise LvtuneError(
                f"a model whose tensor {name!r} holds no data (device meta)",
                "loaded weights",
                "load the model first",
            )
        plain = value.detach()
        if dtype is not None and plain.is_floating_point():
            plain = plain.to(dtype)
        key = f"{name}\0{str(plain.dtype).removeprefix('torch.')}\0{list(plain.shape)}".encode()
        # the length in front keeps two lists of tensors from ever giving the same stream of bytes
        digest.update(struct.pack("<Q", len(key)) + key)
        digest.update(plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _model_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers (persistent or not) under the names of the uncompiled model."""
    model = getattr(model, "_orig_mod", model)
    model = model.model if isinstance(model, Base) else model
    for named in (model.named_parameters, model.named_buffers):
        # a tied tensor counts under each of its names: whether it is tied may change with loading
        for name, value in named(remove_duplicate=False):
            yield name.replace("_orig_mod.", ""), value


def fingerprint(model: nn.Module, dtype: torch.dtype | None = None) -> str:
    """sha256 (hex) over names, dtypes, shapes and bytes of all parameters and buffers of a base.

    Attached adapters do not count: they live outside the base.

    Args:
        model: a base, or a plain model, compiled or not.
        dtype: the hash that the model would have in this floating dtype; None: as it is.
    """
    return hash_tensors(_model_tensors(model), dtype)


def precision_of(model: nn.Module) -> str | None:
    """The key of `PRECISIONS` that a model can be compared in: its own, or the lowest where it mixes them.

    None where no one of them stands for all its tensors (float16 beside bfloat16, float8).
    """
    kinds = {value.dtype for _, value in _model_tensors(model) if value.is_floating_point()}
    # a float64 model made from float32 weights goes back to them without loss
    kinds -= {torch.float32, torch.float64}
    if not kinds:
        return "float32"
    names = [name for name, dtype in PRECISIONS.items() if dtype in kinds]
    return names[0] if len(kinds) == len(names) == 1 else None


def fingerprints(model: nn.Module) -> dict[str, str]:
    """The base's hash in each precision that it can honestly be told for, for the adapter file.

    A float32 base has all three (its float16 and bfloat16 casts are what a user loads in those dtypes); a
    half-precision base has its own alone, since what was rounded away cannot be hashed.
    """
    own = precision_of(model)
    names = list(PRECISIONS) if own == "float32" else [own] if own else []
    return {name: fingerprint(model, PRECISIONS[name]) for name in names}
