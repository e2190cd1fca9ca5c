"""Loads an adapter from a folder, a file or the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.bases.base_registry import load_base
from lvtune.hub.remote import locate
from lvtune.storage.adapter_file import read_config
from lvtune.storage.store import read_adapter

if TYPE_CHECKING:
    from torch import nn

    from lvtune.adapters.adapter import Adapter
    from lvtune.bases.base import Base


def open_adapter(adapter: nn.Module | str | Path | None, base: nn.Module) -> Any:
    """Returns an adapter as it is, or loads it where a folder, a file or a Hub id is given."""
    return load_adapter(adapter, base) if isinstance(adapter, str | Path) else adapter


def load_base_for(adapter: Any, name: str, weights: str = "pretrained", **options: Any) -> Base:
    """Loads a base at the input size that an adapter for it was tuned at.

    Args:
        adapter: a folder, file or Hub id, an adapter, several of these (the first counts), or None.
        name: of the base.
        weights: see :func:`lvtune.load_base`, as for ``options``.

    Raises:
        LvtuneError: see :func:`lvtune.load_base`; the adapter cannot be had from the Hub, or its config is damaged.
    """
    if isinstance(adapter, Mapping):
        adapter = list(adapter.values())
    if isinstance(adapter, list | tuple):
        adapter = adapter[0] if adapter else None
    known, size = made_for(adapter)
    return load_base(name, weights, input_size=size if known == name else None, **options)


def made_for(adapter: Any) -> tuple[str | None, tuple[int, int] | None]:
    """Name and input size (H, W) of the base that an adapter was made for; (None, None) where nothing is known."""
    if isinstance(adapter, str | Path):
        base = (read_config(locate(adapter)) or {}).get("base")
        size = base.get("input_size") if isinstance(base, dict) else None
        if not isinstance(base, dict) or not isinstance(size, list) or len(size) != 2:
            return None, None
        return base.get("name"), (size[0], size[1])
    if getattr(adapter, "made_for", None) is None:
        return None, None
    spec = adapter.made_for[2]
    return spec.name, spec.input_size


def load_adapter(
    source: str | Path,
    base: nn.Module,
    *,
    prints: dict[str, str] | None = None,
    any_input_size: bool = False,
) -> Adapter:
    """Loads an adapter from a folder, a ``.safetensors`` file or the Hub (``user/repo`` or ``user/repo@revision``).

    From the Hub only safetensors and JSON are downloaded, into the Hub client's cache; nothing in them is run.
    A folder that plain peft wrote becomes an adapter of the method ``peft``. It does not say which base it is for,
    so its tensors' names and shapes alone are compared.

    Args:
        source: where it lies.
        base: a base or plain model; must be the one that the adapter was made for.
        prints: the base's fingerprints by precision. Missing ones are computed and put there, so that the base is
            hashed once for many adapters.
        any_input_size: also take an adapter that was tuned at another input size of the base (a warm start).

    Raises:
        LvtuneError: no such adapter; a damaged file; another base, skeleton or format; whatever keeps it from
            being downloaded (:func:`lvtune.hub.remote.fetch`).
    """
    return read_adapter(locate(source), base, prints=prints, any_input_size=any_input_size)
