"""Registers tuning methods by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lvtune.config.schema import make
from lvtune.core.errors import UsageError
from lvtune.core.registry import Registry

T = TypeVar("T")


def _set_name(name: str, cls: Any) -> None:
    if not isinstance(cls, type) or not hasattr(cls, "changes"):
        raise UsageError(f"{cls!r} as method '{name}'", "a class derived from lvtune.Adapter", "register the class")
    setattr(cls, "method", name)  # noqa: B010 - any class


METHODS: Registry[Any] = Registry("method", group="lvtune.methods", prepare=_set_name)
"""Name to class, derived from :class:`lvtune.adapters.adapter.Adapter`."""


def register_method(name: str, *, listed: bool = True) -> Callable[[T], T]:
    """Returns a decorator that registers an adapter class for :func:`lvtune.create_adapter` under ``name``.

    Args:
        name: of the method.
        listed: False for one whose adapters are made of other adapters, which nobody chooses by its name.
    """
    return METHODS.register(name, listed=listed)


def list_methods() -> list[str]:
    """Returns the names that :func:`lvtune.create_adapter` takes."""
    return METHODS.names()


def method_config(method: str, options: Mapping[str, Any]) -> Any:
    """Returns the config of a method, an instance of its own dataclass.

    Raises:
        UsageError: unknown method or options, wrong types or ranges.
    """
    return make(METHODS.get(method).Config, options, "method.")
