"""Knows every tuning method by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lvtune.config.schema import make
from lvtune.core.errors import UsageError
from lvtune.core.registry import Registry


def _set_name(name: str, cls: type) -> None:
    if not isinstance(cls, type):
        raise UsageError(f"{cls!r} as method '{name}'", "a class derived from lvtune.Adapter", "register the class")
    cls.method = name


METHODS: Registry[type] = Registry("method", group="lvtune.methods", prepare=_set_name)
"""Name to adapter class, see :class:`lvtune.adapters.adapter.Adapter`."""


def register_method(name: str) -> Callable[[type], type]:
    """Decorator that makes an adapter class known to :func:`create_adapter` under ``name``."""
    return METHODS.register(name)


def list_methods() -> list[str]:
    """Names for :func:`create_adapter`."""
    return METHODS.names()


def method_config(method: str, options: Mapping[str, Any]) -> Any:
    """The config of a method, an instance of its own dataclass.

    Raises:
        LvtuneError: unknown method or options, wrong types or ranges.
    """
    return make(METHODS.get(method).Config, options, "method.")
