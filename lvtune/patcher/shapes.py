"""Whether an adapter was made for a base of these shapes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from lvtune.bases.attachable import Attachable
from lvtune.bases.base import Base
from lvtune.core.errors import LvtuneError

_SHAPES: WeakKeyDictionary[nn.Module, dict[str, tuple[int, ...]]] = WeakKeyDictionary()


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's parameters, compiled or not; one dict for all who ask, so do not write to it."""
    found = {name.replace("_orig_mod.", ""): tuple(value.shape) for name, value in model.named_parameters()}
    known = _SHAPES.get(model)
    if known == found:
        return known
    _SHAPES[model] = found
    return found


def check_fit(adapter: Attachable, base: Base) -> None:
    """Raises a LvtuneError if the adapter was made for a base of other shapes; where it does not say, it may try."""
    wanted, found = getattr(adapter, "base_shapes", None), shapes_of(base.model)
    if wanted is not None and wanted != found:
        name = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise LvtuneError(
            f"an adapter for a base whose {name} is {wanted.get(name, 'not there')}",
            f"one for {base.name}, whose {name} is {found.get(name, 'not there')}",
            "load the base that the adapter was made for",
        )
