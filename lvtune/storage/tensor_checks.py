"""Checks of the tensors of an adapter: names, shapes, finite values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lvtune.core.errors import AdapterFileError
from lvtune.core.text import short


def check_finite(tensors: Mapping[str, Tensor], fix: str) -> None:
    """Raises a AdapterFileError naming the first tensor with infinities or NaN; ``fix`` says what to do about it."""
    for name, value in tensors.items():
        if not (value.is_floating_point() or value.is_complex()):
            continue
        # float8 and its like know no isfinite
        wide = value if value.is_complex() or value.element_size() > 1 else value.float()
        bad = int((~torch.isfinite(wide)).sum())
        if bad:
            raise AdapterFileError(
                f"tensor {short(name)} with {bad} of {value.numel()} values not finite", "finite numbers", fix
            )


def compare(expected: Mapping[str, Sequence[int]], tensors: Mapping[str, Tensor]) -> None:
    """Strict: the file's tensors are those that the adapter has, by name and shape.

    Args:
        expected: name to shape, of a fresh adapter of the file's config.
        tensors: as read.

    Raises:
        AdapterFileError: missing, extra or wrongly shaped tensors, each its own.
    """
    fix = "load it with the base, method options and lvtune version it was made with"
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing:
        raise AdapterFileError(f"adapter without {_some(missing)}", f"all {len(expected)} tensors of the method", fix)
    if extra:
        raise AdapterFileError(f"adapter with tensors unknown to its method: {_some(extra)}", "no others", fix)
    wrong = [name for name, shape in expected.items() if tuple(tensors[name].shape) != tuple(shape)]
    if wrong:
        name = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise AdapterFileError(
            f"tensor {short(name)} of shape {tuple(tensors[name].shape)}{more}",
            f"{tuple(expected[name])}",
            fix,
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(short(name) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
