"""Chooses where the tuning of an adapter begins: at the base's own answer, or at an adapter that was tuned before.

A base may ship with *starts*: adapters tuned on the photographs that the base itself was trained on, under looks drawn
at random (:mod:`lvtune.training.random_styles`). Nothing of any target is in them; a domain of which there are few
pictures then has less left to teach. They are ordinary adapter files; recipes/start-*.yaml makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lvtune import bases
from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import Base
from lvtune.core.errors import LvtuneError, UsageError
from lvtune.core.snapshot import snapshot
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.remote import locate
from lvtune.storage.adapter_config import base_misfit
from lvtune.storage.adapter_file import read_config

FOLDER = Path(bases.__file__).parent / "weights" / "starts"
"""Starts that ship, each an adapter's folder ``<base>-<method>``."""
AUTO, SHIPPED, NONE = "auto", "shipped", "none"


@dataclass(frozen=True)
class WarmStart:
    """An adapter's way from the base's own answer to where its tuning begins."""

    name: str
    """Of the start, for people."""
    fresh: dict[str, Tensor]
    """The adapter's state before: as created."""
    is_chosen: bool
    """True if the user asked for this start; False if it is the default."""
    misfit: str = ""
    """Why the start was not taken after all; the adapter is then as created."""


def shipped_start(base: str, method: str) -> Path | None:
    """Returns the folder of the start that ships for a method on a base; None: there is none."""
    folder = FOLDER / f"{base}-{method}"
    return folder if folder.is_dir() else None


def warm_start(adapter: Adapter, base: Base, wanted: str = AUTO) -> WarmStart | None:
    """Puts a fresh adapter where its tuning is to begin.

    Args:
        adapter: as created.
        base: that it was created for.
        wanted: a folder, file or Hub repository of an adapter for this base; one of :func:`list_starts`; ``shipped``:
            what ships for base and method; ``auto``: that, where it fits the weights and the method's options;
            ``none``: nothing.

    Returns:
        What was done; None: no start was asked for, or there is none.

    Raises:
        AdapterFileError: the file of the start is damaged, under ``auto`` too.
        LvtuneError: a start was asked for that is not there or does not fit.
    """
    place = start_place(base.name, adapter.method, wanted)
    if place is None:
        return None
    name = f"the start that ships with {base.name}" if wanted in (AUTO, SHIPPED) else wanted
    fresh = snapshot(adapter)
    misfit = _take_over(adapter, base, place)
    if misfit is None:
        return WarmStart(name, fresh, wanted != AUTO)
    if wanted != AUTO:
        raise misfit
    return WarmStart(name, fresh, False, misfit.given)


def start_place(base: str, method: str, wanted: str = AUTO) -> Path | None:
    """Returns the folder or file of the start that ``wanted`` names; None: no start was asked for, or there is none.

    Args:
        base: name of the base.
        method: of the adapter.
        wanted: see :func:`warm_start`.

    Raises:
        LvtuneError: the shipped start was asked for and there is none; it cannot be had from the Hub.
    """
    shipped = shipped_start(base, method)
    if wanted == NONE or (wanted == AUTO and shipped is None):
        return None
    if wanted == SHIPPED and shipped is None:
        raise UsageError(
            f"the shipped start of {method} for {base}, which is not there",
            f"one of {', '.join(list_starts()) or 'none here'}, or an adapter that you tuned",
            "leave --start out, or give --start FOLDER (recipes/start-vitpose-ti.yaml shows how one is made)",
        )  # fmt: skip
    known = FOLDER / wanted if wanted in list_starts() else wanted
    return locate(shipped if shipped is not None and wanted in (AUTO, SHIPPED) else known)


def list_starts() -> list[str]:
    """Returns ``<base>-<method>`` of the starts that ship."""
    return sorted(folder.name for folder in FOLDER.glob("*/"))


def _take_over(adapter: Adapter, base: Base, place: Path) -> LvtuneError | None:
    """Puts an adapter where the one in a file ended; returns why not where it was made for other weights or options.

    Raises:
        AdapterFileError: the file is not there or damaged.
    """
    prints: dict[str, str] = {}
    config = read_config(place)
    # an adapter of a ViT suits every input size, if not equally well; whether it helps is measured
    misfit = None if config is None else base_misfit(config, base, prints, any_input_size=True)
    if misfit is None:
        start = load_adapter(place, base, prints=prints, any_input_size=True).to(base.device)
        misfit = adapter.start_misfit(start)
        if misfit is None:
            adapter.take_over(start, base)
    return misfit
