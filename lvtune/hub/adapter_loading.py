"""Loads an adapter from a folder, a file or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lvtune.hub.remote import locate
from lvtune.storage.store import read_adapter

if TYPE_CHECKING:
    from torch import nn


def open_adapter(adapter: nn.Module | str | Path | None, base: nn.Module) -> nn.Module | None:
    """Returns an adapter as it is, or loads it where a folder, a file or a Hub id is given."""
    return load_adapter(adapter, base) if isinstance(adapter, str | Path) else adapter


def load_adapter(source: str | Path, base: nn.Module, *, prints: dict[str, str] | None = None) -> nn.Module:
    """An adapter from a folder, a ``.safetensors`` file or a Hub repository (``user/repo`` or ``user/repo@rev``).

    From the Hub only safetensors and JSON are downloaded, into the Hub client's cache; nothing in them is run.
    A folder that plain peft wrote becomes an adapter of the method ``peft``. It does not say which base it is for,
    so its tensors' names and shapes alone are compared.

    Args:
        source: where it lies.
        base: a base or plain model; must be the one that the adapter was made for.
        prints: the base's fingerprints by precision; what is missing is computed and put there, which spares
            whoever loads many adapters for one base from hashing it each time.

    Raises:
        LvtuneError: no such adapter; a damaged file; another base, skeleton or format; whatever keeps it from
            being downloaded (:func:`lvtune.hub.remote.fetch`).
    """
    return read_adapter(locate(source), base, prints=prints)
