"""Reads tensors from the checkpoints of other projects. No other file of the package opens a pickle.

It is read with ``weights_only=True``, so nothing in it is run.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lvtune.bases.weights_file import read_safetensors
from lvtune.core.errors import LvtuneError

_BESIDE = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "builtins.getattr",
)
"""Classes that mmengine stores beside the weights (the log of its run); ``_Nothing`` is made in their place."""


def arch_in(path: str | Path) -> str | None:
    """Returns the entry ``arch`` (JSON) of a safetensors file's metadata, or None."""
    from safetensors import safe_open

    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        return None
    with safe_open(str(path), "pt") as file:
        return (file.metadata() or {}).get("arch")


class _Nothing:
    """Takes any arguments and any state, and ignores them."""

    def __new__(cls, *args: object, **kwargs: object) -> _Nothing:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Reads the tensors of a ``.pth`` or ``.safetensors`` file; of its ``state_dict`` if it has one.

    A ``.pth`` is read with ``weights_only``; the log of the training in it is skipped.

    Raises:
        LvtuneError: there is no such file, or it is no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise LvtuneError(f"checkpoint {path}", "an existing .pth or .safetensors file", "check the path")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with torch.serialization.safe_globals([(_Nothing, name) for name in _BESIDE]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise LvtuneError(
            f"{path}: not readable as tensors alone ({reason})", "a .pth file that holds a state dict and no code",
            "re-save it with torch.save(torch.load(...)['state_dict'], ...) in a place where you trust it",
        ) from error  # fmt: skip
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise LvtuneError(f"{path} without tensors", "a state dict of named tensors", "check the file")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}
