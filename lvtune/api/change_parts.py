"""Divides what tuning changed into parts of the estimator, so that the part that intrudes most can be left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = re.compile(r"(?:layers?|blocks?|stages?)[./_]?(\d+)")
"""Number of a block in a tensor's name."""
_THIRDS = ("early blocks", "middle blocks", "late blocks")
PREDICTOR, REST = "predictor", "rest"


def parts_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the tensors of each part by its name: thirds of the blocks, the predictor (or head), and the rest.

    Args:
        names: of an adapter's tensors.
    """
    found: dict[str, list[str]] = {}
    names = list(names)
    blocks = {name: int(match[1]) for name in names if (match := _BLOCK.search(name)) is not None}
    numbers = sorted(set(blocks.values()))
    third = {number: _THIRDS[3 * place // len(numbers)] for place, number in enumerate(numbers)}
    for name in names:
        last = PREDICTOR if name.startswith(("predictor", "head")) else REST
        found.setdefault(third[blocks[name]] if name in blocks and last == REST else last, []).append(name)
    return found


def without(start: Mapping[str, Tensor], end: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Returns the tuned tensors, but those named as they were before."""
    left_out = set(names)
    return {name: start[name] if name in left_out else value for name, value in end.items()}
