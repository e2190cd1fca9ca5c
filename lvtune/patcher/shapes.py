"""Checks that an adapter was made for a base of these shapes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import Base
from lvtune.core.errors import UsageError

_SHAPES: WeakKeyDictionary[nn.Module, dict[str, tuple[int, ...]]] = WeakKeyDictionary()


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of a model's parameters, compiled or not; a dict that callers must not write to."""
    found = {name.replace("_orig_mod.", ""): tuple(value.shape) for name, value in model.named_parameters()}
    known = _SHAPES.get(model)
    if known is not None and known == found:
        return known
    _SHAPES[model] = found
    return found


def check_fit(adapter: Attachable, base: Base) -> None:
    """Checks that the adapter was made for a base of these shapes; one that does not say is let through.

    Raises:
        UsageError: it was made for another base; the error names the first parameter that differs.
    """
    wanted, found = getattr(adapter, "base_shapes", None), shapes_of(base.model)
    if wanted is not None and wanted != found:
        name = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise UsageError(
            f"an adapter for a base whose {name} is {wanted.get(name, 'not there')}",
            f"one for {base.name}, whose {name} is {found.get(name, 'not there')}",
            "load the base that the adapter was made for",
        )
