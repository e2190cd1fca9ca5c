"""Reads weights and puts them into a model, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lvtune.core.errors import LvtuneError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file.

    Raises:
        LvtuneError: the file is broken or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise LvtuneError(
            f"{path}: {error}", "an undamaged .safetensors file", "download or copy the file again"
        ) from error


def load_strict(model: Any, state: dict[str, Tensor], source: Path | str) -> None:
    """Loads a state dict strictly; only BatchNorm's step counters may be missing.

    Args:
        model: is filled.
        state: the tensors.
        source: where they come from, for errors.

    Raises:
        LvtuneError: tensors are missing, unknown or of another shape.
    """
    check_state(model.state_dict(), state, source)
    model.load_state_dict(state, strict=False)


def check_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: Path | str) -> None:
    """Compares names and shapes; tensors without data will do.

    Args:
        own: of the model.
        state: the tensors.
        source: where they come from, for errors.

    Raises:
        LvtuneError: tensors are missing, unknown or of another shape.
    """
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} for {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and v.shape != state[k].shape
    ]
    if missing or extra or shapes:
        found = [f"{len(group)} {word} (first: {group[0]})"
                 for group, word in ((missing, "missing"), (extra, "unknown"), (shapes, "of another shape"))
                 if group]  # fmt: skip
        raise LvtuneError(
            f"{source} with tensors {', '.join(found)}", "the tensors of this base", "check --base and --weights"
        )
