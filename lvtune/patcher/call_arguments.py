"""Finds a model's inputs in a call, by name or by place, also where a user has replaced its ``forward``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lvtune.core.errors import UsageError

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Signature:
    """Names of a model's inputs. A user may have replaced ``forward`` by a function that hides them."""

    places: tuple[str, ...]
    """Names of the arguments that may be given by place, first to last."""
    pictures: str
    """Name of the argument that holds the pictures."""
    alias: str = ""
    """Another name under which the user's own ``forward`` takes the pictures."""
    text: str = ""
    """The signature of ``forward`` in words, for errors."""


def signature_of(model: nn.Module, pictures: str) -> Signature:
    """Reads the names of a model's inputs off its ``forward``, or off its class's where its own does not tell.

    Args:
        model: whose ``forward`` may be any callable that somebody set on the instance.
        pictures: name of the argument that holds the pictures.
    """
    own = _parameters(model.forward)
    if own is not None and pictures in own.parameters:
        return Signature(_places(own), pictures, text=str(own))
    whole = _parameters(functools.partial(type(model).forward, model))
    first = _places(own)[:1] if own is not None else ()
    return Signature(_places(whole), pictures, "".join(first), "(?)" if own is None else str(own))


def _parameters(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # a callable that does not tell, such as a built-in one
        return None


def _places(signature: inspect.Signature | None) -> tuple[str, ...]:
    parameters = signature.parameters.values() if signature is not None else ()
    return tuple(parameter.name for parameter in parameters if parameter.kind in _BY_PLACE)


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call of a model."""

    signature: Signature
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def _key(self, name: str) -> str | int | None:
        """Returns where an argument is given: its keyword, its place, or None."""
        if name in self.kwargs:
            return name
        if name in self.signature.places and self.signature.places.index(name) < len(self.args):
            return self.signature.places.index(name)
        if name == self.signature.pictures and self.signature.alias in self.kwargs:
            return self.signature.alias
        return None

    def _get(self, key: str | int | None) -> Any:
        return None if key is None else self.kwargs[key] if isinstance(key, str) else self.args[key]

    @property
    def pictures(self) -> Tensor | None:
        """The pictures (B, 3, H, W); None where a replaced ``forward`` takes them in a way that is not understood."""
        found = self._get(self._key(self.signature.pictures))
        return found if isinstance(found, Tensor) and found.dim() else None

    def needed_pictures(self) -> Tensor:
        """Returns the pictures, for what cannot be decided without them.

        Raises:
            UsageError: they are not found in the call.
        """
        if self.pictures is None:
            raise UsageError(
                f"a choice per sample for a model whose forward takes {self.signature.text}: no pictures are found",
                f"a forward that takes them as '{self.signature.pictures}', or first of all",
                f"give the forward that you set on the model an argument {self.signature.pictures}",
            )  # fmt: skip
        return self.pictures

    def others(self, names: Sequence[str]) -> list[Any]:
        """Returns the arguments that are none of ``names`` and not None."""
        known = {self._key(name) for name in names}
        given = [*enumerate(self.args), *self.kwargs.items()]
        return [value for key, value in given if key not in known and value is not None]

    def rows(self, index: Tensor, names: Sequence[str]) -> Arguments:
        """Returns the arguments with the samples ``index`` (B',) alone.

        Args:
            index: places in the batch.
            names: arguments that have one row per sample.
        """
        batch = len(self.needed_pictures())
        args, kwargs = list(self.args), dict(self.kwargs)
        for name in names:
            key = self._key(name)
            value = self._get(key)
            if not isinstance(value, Tensor) or len(value) != batch:
                continue
            some = value[index.to(value.device)]
            if isinstance(key, str):
                kwargs[key] = some
            elif key is not None:
                args[key] = some
        return replace(self, args=tuple(args), kwargs=kwargs)
