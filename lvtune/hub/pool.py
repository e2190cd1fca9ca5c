"""Keeps hundreds of adapters for one base: loads each when it is first used, within a budget of bytes.

A server that answers each request with its own domain's adapter cannot keep all of them in memory. The pool knows
where each lies, loads and attaches it on demand, and detaches the least recently used ones to make room. An adapter
in use is never detached.
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

from lvtune.adapters.adapter import Adapter
from lvtune.bases.base import as_base
from lvtune.core.context import AUTO
from lvtune.core.errors import UsageError
from lvtune.core.registry import suggest
from lvtune.hub.adapter_loading import load_adapter
from lvtune.hub.remote import locate
from lvtune.patcher.attaching import Attachment, attach, use_adapter
from lvtune.patcher.automatic import Auto, by_sentences, pictures_of
from lvtune.patcher.domain_looks import DomainLooks, read_looks
from lvtune.patcher.gate import FIELD as GATE
from lvtune.patcher.gate import Gate, with_looks
from lvtune.storage.adapter_file import read_config


def storages(adapter: Adapter) -> dict[int, int]:
    """Returns address to bytes of all memory that an adapter holds: parameters, buffers, embedded sentences."""
    tensors: list[Tensor] = [*adapter.parameters(), *adapter.buffers()]
    if adapter.bank is not None:
        tensors += [adapter.bank.tokens, adapter.bank.mask]
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in found if storage.nbytes()}


def memory_of(adapters: Sequence[Adapter]) -> int:
    """Returns the bytes that adapters hold together; what several share counts once."""
    return sum({address: size for adapter in adapters for address, size in storages(adapter).items()}.values())


@dataclass
class _Loaded:
    adapter: Adapter
    attachment: Attachment
    storages: dict[int, int]
    users: int = 0


class AdapterPool:
    """Adapters by name, attached to one base when they are needed.

    >>> pool = lvtune.AdapterPool(base, {"sketch": "adapters/sketch", "oil": "ann/oil@v2"}, budget="64 MB")
    >>> heatmaps = pool(pixel_values, adapters=["sketch", None, "oil"])

    Threads may share it: an adapter is loaded once for all of them, and each chooses for itself. Calls of the base
    outside the pool are answered without its adapters.

    Args:
        base: a base or a plain model.
        sources: name to a folder, a file or ``user/repo@revision``.
        budget: bytes that adapters may hold together, as a number or as ``"64 MB"``; None: no limit. Embedded
            categories that several share count once. While one is being loaded, it does not count.

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
        self._counts: Counter[int] = Counter()
        self._bytes = 0
        self._place = (self.base.device, self.base.dtype)
        self._prints: dict[str, str] = {}
        self._described: dict[str, tuple[dict[str, str], str | None]] = {}
        self._looks: dict[str, DomainLooks | None] = {}
        self._lock = threading.RLock()
        self._loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def bytes(self) -> int:
        """Bytes that the loaded adapters hold now."""
        return self._bytes

    @property
    def loaded(self) -> list[str]:
        """Names of the adapters in memory, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def add(self, name: str, source: str | Path) -> None:
        """Adds an adapter by name, without loading it.

        Raises:
            UsageError: the name stands for another adapter.
        """
        with self._lock:
            if self.sources.setdefault(name, source) != source:
                raise UsageError(f"a second adapter named '{name}'", f"a name other than {', '.join(self.sources)}",
                                  "choose another name")  # fmt: skip

    @contextmanager
    def use(
        self, adapters: str | Sequence[str | None] | None, *, category: str | Sequence[str | None] | Any | None = ...
    ) -> Iterator[None]:
        """Selects adapters for the calls inside the block, as :func:`lvtune.use_adapter` does; loads missing ones.

        Raises:
            LvtuneError: an unknown name; an adapter that cannot be loaded; no room beside those in use.
        """
        if adapters == AUTO or callable(adapters):
            raise UsageError(
                "adapters to be chosen by pictures, without pictures", "the pictures",
                "pool(pixel_values, adapters='auto')",
            )  # fmt: skip
        names = [adapters] if adapters is None or isinstance(adapters, str) else list(adapters)
        wanted = dict.fromkeys([name for name in names if name is not None])
        with self._using(wanted), use_adapter(self.base, adapters, category=category):
            yield

    def __call__(
        self,
        pixel_values: Tensor,
        adapters: str | Auto | Gate | Sequence[str | None] | None,
        category: str | Sequence[str | None] | Any | None = ...,
    ) -> Tensor | list[Tensor]:
        """Returns the heatmaps of a batch (B, 3, H, W) -> (B, K, h, w), as the base gives them under these adapters.

        ``"auto"`` chooses among all that the pool knows by the gates in their files, or by their sentences (CLIP) if a
        file holds no gate; :class:`lvtune.Gate` and :class:`lvtune.Auto` do one of the two. Only those are loaded that
        are chosen.

        Raises:
            LvtuneError: what :meth:`use` and :class:`lvtune.Auto` raise.
        """
        if adapters == AUTO or isinstance(adapters, Auto | Gate):
            adapters = self._choose(adapters if isinstance(adapters, Auto | Gate) else AUTO, pixel_values)
        with self.use(adapters, category=category):
            return self.base(pixel_values)

    def _choose(self, chooser: str | Auto | Gate, pixel_values: Tensor) -> list[str | None]:
        with self._lock:
            names = list(self.sources)
        if not isinstance(chooser, Auto):
            looks = {name: self._looks_of(name) for name in names}
            if isinstance(chooser, Gate) or (looks and all(looks.values())):
                gate = chooser if isinstance(chooser, Gate) else Gate()
                known = {name: with_looks(name, found) for name, found in looks.items()}
                return [choice.name for choice in gate.choose(self.base, known, pixel_values)]
        without = [] if isinstance(chooser, Auto) else [name for name in names if self._looks_of(name) is None]
        auto = chooser if isinstance(chooser, Auto) else by_sentences(without)
        described = {name: auto.sentences_of(name, *self._describe(name)) for name in names}
        return auto.choose(self.base, pictures_of(self.base, pixel_values), described)

    def _looks_of(self, name: str) -> DomainLooks | None:
        """Returns what an adapter's pictures look like, from its file's header; None: it holds no gate."""
        if name not in self._looks:
            found = (read_config(self._locate(name)) or {}).get(GATE)
            self._looks[name] = None if found is None else read_looks(found)
        return self._looks[name]

    def _describe(self, name: str) -> tuple[dict[str, str], str | None]:
        """Returns category to sentence of what an adapter reads, and its domain, from its file's header."""
        if name not in self._described:
            config = read_config(self._locate(name)) or {}
            self._described[name] = config.get("prompts") or {}, config.get("domain")
        return self._described[name]

    def close(self) -> None:
        """Detaches all adapters.

        Raises:
            LvtuneError: some are in use.
        """
        with self._lock:
            busy = [name for name, one in self._loaded.items() if one.users]
            if busy:
                raise UsageError(f"closing a pool whose {', '.join(busy)} are in use", "nobody using it", "wait")
            for name in list(self._loaded):
                self._drop(name)

    @contextmanager
    def _using(self, names: Mapping[str, None]) -> Iterator[None]:
        used: list[_Loaded] = []
        try:
            for name in names:
                used.append(self._use(name))
            yield
        finally:
            with self._lock:
                for one in used:
                    one.users -= 1

    def _use(self, name: str) -> _Loaded:
        """Returns the adapter, loaded if need be, and marked as in use."""
        found = self._take(name)
        if found is not None:
            return found
        if name not in self.sources:
            known = list(self.sources)
            raise UsageError(f"unknown adapter '{name}'", f"one of {', '.join(known) or 'none'}",
                              suggest(name, known, "add it first: pool.add(name, source)"))  # fmt: skip
        # a thread that loads holds up those who want the same adapter, and nobody else
        with self._lock:
            loading = self._loading[name]
        with loading:
            found = self._take(name)
            return found if found is not None else self._put(name, self._load(name))

    def _take(self, name: str) -> _Loaded | None:
        with self._lock:
            found = self._loaded.get(name)
            if found is not None and not found.attachment.attached:  # detached by somebody else
                self._drop(name)
                found = None
            if found is not None:
                found.users += 1
                self._loaded.move_to_end(name)
            return found

    def _load(self, name: str) -> Adapter:
        """Loads from disk; the Hub is asked the first time, and its commit is kept from then on."""
        return load_adapter(self._locate(name), self.base, prints=self._prints)

    def _locate(self, name: str) -> Path:
        if name not in self._places:
            self._places[name] = locate(self.sources[name])
        return self._places[name]

    def _put(self, name: str, adapter: Adapter) -> _Loaded:
        """Attaches an adapter once there is room."""
        # as it will be once attached: on the base's device, in its precision
        adapter.to(device=self.base.device, dtype=self.base.dtype)
        own = storages(adapter)
        with self._lock:
            self._recount_moved()
            self._make_room(name, own)
            attachment = attach(self.base, adapter, name=name, active=False, full_precision=False)
            one = _Loaded(adapter, attachment, own, users=1)
            self._loaded[name] = one
            self._bytes += self._new_bytes(own)
            self._counts.update(own.keys())
            return one

    def _recount_moved(self) -> None:
        """Measures all again after the base went to another device or precision, and its adapters with it."""
        place = (self.base.device, self.base.dtype)
        if place == self._place:
            return
        self._place, self._bytes = place, 0
        self._counts.clear()
        for one in self._loaded.values():
            one.storages = storages(one.adapter)
            self._bytes += self._new_bytes(one.storages)
            self._counts.update(one.storages.keys())

    def _new_bytes(self, own: Mapping[int, int]) -> int:
        """Returns how many more bytes would be held with these."""
        return sum(size for address, size in own.items() if not self._counts[address])

    def _make_room(self, name: str, own: Mapping[int, int]) -> None:
        if self.budget is None:
            return
        idle = (other for other, one in list(self._loaded.items()) if not one.users)
        while self._bytes + self._new_bytes(own) > self.budget:
            other = next(idle, None)
            if other is None:
                busy = [f"'{other}'" for other in self._loaded]
                raise UsageError(
                    f"adapter '{name}' of {self._new_bytes(own):,} bytes"
                    + (f" beside {', '.join(busy)}, which are in use with {self._bytes:,}" if busy else ""),
                    f"at most {self.budget:,} bytes together", "raise the budget, or use fewer at a time",
                )  # fmt: skip
            self._drop(other)

    def _drop(self, name: str) -> None:
        one = self._loaded.pop(name)
        one.attachment.detach()
        self._counts.subtract(one.storages.keys())
        self._counts += Counter()  # forgets what nobody holds
        self._bytes -= self._new_bytes(one.storages)


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def read_bytes(text: int | str) -> int:
    """Returns a number of bytes from ``67108864``, ``"64 MB"`` or ``"1.5 GiB"``.

    Raises:
        LvtuneError: neither.
    """
    words = str(text).strip().lower()
    digits = words.rstrip("bkmgi ")
    unit = words[len(digits) :].strip()
    try:
        return int(float(digits) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise UsageError(f"a budget of '{text}'", "bytes, such as 64 MB or 2 GiB", "correct budget") from None
