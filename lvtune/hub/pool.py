"""Hundreds of adapters for one base: loaded when they are first asked for, under a budget of bytes.

A server that answers each request with its own domain's adapter cannot keep all of them in memory. The pool knows
where each lies, loads and attaches it on demand, and detaches the least recently used ones to make room. An adapter
in use never leaves.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lvtune.bases.base import as_base
from lvtune.core.context import AUTO, is_single
from lvtune.core.errors import LvtuneError
from lvtune.core.registry import suggest
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.remote import locate
from lvtune.patcher.attaching import Attachment, attach, use_adapter
from lvtune.patcher.automatic import Auto, pictures_of, usual
from lvtune.storage.adapter_file import read_config


def storages(adapter: nn.Module) -> dict[int, int]:
    """Address to bytes of all memory that an adapter holds: parameters, buffers, embedded sentences."""
    tensors: list[Tensor] = [*adapter.parameters(), *adapter.buffers()]
    if adapter.bank is not None:
        tensors += [adapter.bank.tokens, adapter.bank.mask]
    held = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in held if storage.nbytes()}


def memory_of(adapters: Sequence[nn.Module]) -> int:
    """Bytes that adapters hold together; what several share counts once."""
    return sum({address: size for adapter in adapters for address, size in storages(adapter).items()}.values())


@dataclass
class _Loaded:
    attachment: Attachment
    storages: dict[int, int]
    users: int = 0


class AdapterPool:
    """Adapters by name, attached to one base when they are needed.

    >>> pool = lvtune.AdapterPool(base, {"sketch": "adapters/sketch", "oil": "ann/oil@v2"}, budget="64 MB")
    >>> heatmaps = pool(pixel_values, adapters=["sketch", None, "oil"])

    Safe among threads; what is loaded for one is there for all, and the choice of one is not seen by the others.
    Calls of the base outside the pool are answered as if it were not there: its adapters act where it chooses them.

    Args:
        base: a base or a plain model.
        sources: name to a folder, a file or ``user/repo@revision``.
        budget: bytes that adapters may hold together, as a number or as ``"64 MB"``; None: no limit. Embedded
            categories that several share count once. While one is loaded, it is held beside the budget.

    Raises:
        LvtuneError: a budget that is no number of bytes.
    """

    def __init__(
        self, base: nn.Module, sources: Mapping[str, str | Path] | None = None, *, budget: int | str | None = None
    ) -> None:
        self.base = as_base(base)
        self.budget = None if budget is None else read_bytes(budget)
        self.sources: dict[str, str | Path] = dict(sources or {})
        self._places: dict[str, Path] = {}
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._held: Counter[int] = Counter()
        self._bytes = 0
        self._place = (self.base.device, self.base.dtype)
        self._prints: dict[str, str] = {}
        self._told: dict[str, tuple[dict[str, str], str | None]] = {}
        self._lock = threading.RLock()
        self._loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def bytes(self) -> int:
        """What the loaded adapters hold now."""
        return self._bytes

    @property
    def loaded(self) -> list[str]:
        """Names of the adapters in memory, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def add(self, name: str, source: str | Path) -> None:
        """Makes an adapter known; nothing is loaded yet.

        Raises:
            LvtuneError: the name stands for another one.
        """
        with self._lock:
            if self.sources.setdefault(name, source) != source:
                raise LvtuneError(f"a second adapter named '{name}'", f"a name other than {', '.join(self.sources)}",
                                  "choose another name")  # fmt: skip

    @contextmanager
    def use(
        self, adapters: str | Sequence[str | None] | None, *, category: str | Sequence[str | None] | Any | None = ...
    ) -> Iterator[None]:
        """Selects adapters for the calls inside the block, as :func:`lvtune.use_adapter` does; loads those not there.

        Raises:
            LvtuneError: an unknown name; an adapter that cannot be loaded; no room beside those in use.
        """
        if adapters == AUTO or callable(adapters):
            raise LvtuneError("adapters chosen by the looks of pictures that are not there", "the pictures",
                              "pool(pixel_values, adapters='auto')")  # fmt: skip
        names = [adapters] if is_single(adapters) else list(adapters)
        wanted = dict.fromkeys(name for name in names if name is not None)
        with self._holding(wanted), use_adapter(self.base, adapters, category=category):
            yield

    def __call__(
        self,
        pixel_values: Tensor,
        adapters: str | Auto | Sequence[str | None] | None,
        category: str | Sequence[str | None] | Any | None = ...,
    ) -> Tensor | list[Tensor]:
        """Heatmaps of a batch (B, 3, H, W) -> (B, K, h, w), as the base gives them under these adapters.

        ``"auto"``, or a :class:`lvtune.Auto`, chooses among all that the pool knows by what their files tell; of those
        not loaded yet, the ones chosen alone are loaded.

        Raises:
            LvtuneError: what :meth:`use` and :class:`lvtune.Auto` raise.
        """
        if adapters == AUTO or isinstance(adapters, Auto):
            adapters = self._choose(usual() if adapters == AUTO else adapters, pixel_values)
        with self.use(adapters, category=category):
            return self.base(pixel_values)

    def _choose(self, auto: Auto, pixel_values: Tensor) -> list[str | None]:
        with self._lock:
            names = list(self.sources)
        said = {name: auto.sentences_of(name, *self._tell(name)) for name in names}
        return auto.choose(self.base, pictures_of(self.base, pixel_values), said)

    def _tell(self, name: str) -> tuple[dict[str, str], str | None]:
        """Category to sentence of what an adapter reads, and its domain."""
        if name not in self._told:
            config = read_config(self._locate(name)) or {}
            self._told[name] = config.get("prompts") or {}, config.get("domain")
        return self._told[name]

    def close(self) -> None:
        """Detaches all.

        Raises:
            LvtuneError: some are in use.
        """
        with self._lock:
            busy = [name for name, one in self._loaded.items() if one.users]
            if busy:
                raise LvtuneError(f"closing a pool whose {', '.join(busy)} are in use", "nobody using it", "wait")
            for name in list(self._loaded):
                self._drop(name)

    @contextmanager
    def _holding(self, names: Mapping[str, None]) -> Iterator[None]:
        held: list[_Loaded] = []
        try:
            for name in names:
                held.append(self._hold(name))
            yield
        finally:
            with self._lock:
                for one in held:
                    one.users -= 1

    def _hold(self, name: str) -> _Loaded:
        """The adapter, loaded if need be, and marked as in use."""
        found = self._take(name)
        if found is not None:
            return found
        if name not in self.sources:
            known = list(self.sources)
            raise LvtuneError(f"unknown adapter '{name}'", f"one of {', '.join(known) or 'none'}",
                              suggest(name, known, "add it first: pool.add(name, source)"))  # fmt: skip
        # who loads holds up those who wait for the same one, and nobody else
        with self._lock:
            loading = self._loading[name]
        with loading:
            found = self._take(name)
            return found if found is not None else self._put(name, self._load(name))

    def _take(self, name: str) -> _Loaded | None:
        with self._lock:
            found = self._loaded.get(name)
            if found is not None and not found.attachment.attached:  # detached behind our back
                self._drop(name)
                found = None
            if found is not None:
                found.users += 1
                self._loaded.move_to_end(name)
            return found

    def _load(self, name: str) -> nn.Module:
        """From disk; the Hub is asked the first time, and its commit kept to from then on."""
        return load_adapter(self._locate(name), self.base, prints=self._prints)

    def _locate(self, name: str) -> Path:
        if name not in self._places:
            self._places[name] = locate(self.sources[name])
        return self._places[name]

    def _put(self, name: str, adapter: nn.Module) -> _Loaded:
        """Attaches, once there is room."""
        # what it will hold once attached: in the base's place and precision
        adapter.to(device=self.base.device, dtype=self.base.dtype)
        own = storages(adapter)
        with self._lock:
            self._recount_moved()
            self._make_room(name, own)
            one = _Loaded(attach(self.base, adapter, name=name, active=False, full_precision=False), own, users=1)
            self._loaded[name] = one
            self._bytes += self._new_bytes(own)
            self._held.update(own.keys())
            return one

    def _recount_moved(self) -> None:
        """Measures all again after the base went to another device or precision, and its adapters with it."""
        place = (self.base.device, self.base.dtype)
        if place == self._place:
            return
        self._place, self._bytes = place, 0
        self._held.clear()
        for one in self._loaded.values():
            one.storages = storages(one.attachment.adapter)
            self._bytes += self._new_bytes(one.storages)
            self._held.update(one.storages.keys())

    def _new_bytes(self, own: Mapping[int, int]) -> int:
        """How much more would be held with these."""
        return sum(size for address, size in own.items() if not self._held[address])

    def _make_room(self, name: str, own: Mapping[int, int]) -> None:
        if self.budget is None:
            return
        idle = (other for other, one in list(self._loaded.items()) if not one.users)
        while self._bytes + self._new_bytes(own) > self.budget:
            other = next(idle, None)
            if other is None:
                busy = [f"'{other}'" for other in self._loaded]
                raise LvtuneError(
                    f"adapter '{name}' of {self._new_bytes(own):,} bytes"
                    + (f" beside {', '.join(busy)}, which are in use with {self._bytes:,}" if busy else ""),
                    f"at most {self.budget:,} bytes together", "raise the budget, or use fewer at a time",
                )  # fmt: skip
            self._drop(other)

    def _drop(self, name: str) -> None:
        one = self._loaded.pop(name)
        one.attachment.detach()
        self._held.subtract(one.storages.keys())
        self._held += Counter()  # forgets what nobody holds
        self._bytes -= self._new_bytes(one.storages)


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def read_bytes(text: int | str) -> int:
    """A number of bytes from ``67108864``, ``"64 MB"`` or ``"1.5 GiB"``.

    Raises:
        LvtuneError: neither.
    """
    words = str(text).strip().lower()
    digits = words.rstrip("bkmgi ")
    unit = words[len(digits) :].strip()
    try:
        return int(float(digits) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise LvtuneError(f"a budget of '{text}'", "bytes, such as 64 MB or 2 GiB", "mend budget") from None
