"""Knows every tuning method by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lvtune.config.schema import make
from lvtune.core.registry import Registry

if TYPE_CHECKING:
    pass

METHODS: Registry[type] = Registry("method")
"""Name to adapter class, see :class:`lvtune.adapters.adapter.Adapter`."""


def register_method(name: str) -> Callable[[type], type]:
    """Decorator that makes an adapter class known to :func:`create_adapter` under ``name``."""

    def add(cls: type) -> type:
        cls.method = name
        return METHODS.register(name)(cls)

    return add


def list_methods() -> list[str]:
    """Names for :func:`create_adapter`."""
    return METHODS.names()


def method_config(method: str, options: Mapping[str, Any]) -> Any:
    """The config of a method, an instance of its own dataclass.

    Raises:
        LvtuneError: unknown method or options, wrong types or ranges.
    """
    return make(METHODS.get(method).Config, options, "method.")
