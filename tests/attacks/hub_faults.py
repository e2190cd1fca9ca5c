"""A Hub that fails in every way: pulls and pushes end in an error of lvtune's or in the right bytes, never between."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapter_samples import adapter
from hub_client import TOKEN, client_at
from hub_server import serve
from hub_store import put
from mutants import changed_values

from attacks.tally import Tally, in_child

NAME = "ann/art"
_PATHS = (
    "/api/models/", "/resolve/", "/resolve/.*json", "/resolve/.*safetensors", "/lfs/", "/api/repos/create",
    "/preupload/", "/commit/", "/validate-yaml", "/objects/batch", "/verify",
)  # fmt: skip
_HEADERS = ({}, {"Retry-After": "99999999"}, {"X-Error-Code": "GatedRepo"}, {"X-Error-Code": "x"})
_BODIES = (b"", b"<html>login</html>", b"[" * 10_000, b"null", b'{"a":' + b"9" * 5000)
_STATUS = (400, 401, 403, 404, 409, 416, 418, 429, 500, 502, 503, 504)


@contextmanager
def _hub(folder: Path) -> Iterator[Any]:
    """A Hub with an adapter, whose limits are short and whose client never sleeps between attempts."""
    import huggingface_hub
    import pytest

    from lvtune.core import hub_limits
    from lvtune.storage.adapter_file import save

    with pytest.MonkeyPatch.context() as patch, serve() as hub:
        hub.users[TOKEN] = "ann"
        client_at(hub, folder, patch)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setattr(hub_limits, "SECONDS", 2.0)
        patch.setattr(hub_limits, "BYTES_PER_SECOND", 10**6)
        patch.setattr(hub_limits, "MOST_OF_AN_ANSWER", 10**6)
        for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
            patch.setattr(f"huggingface_hub.constants.{name}", 0.5)
        patch.setattr(time, "sleep", lambda seconds: None)
        put(hub, NAME, save(*adapter(), folder / "art"))
        yield hub
        huggingface_hub.close_session()


def _fault(hub: Any, rng: random.Random) -> str:
    """Makes something go wrong; returns what."""
    method, path = rng.choice(("GET", "GET", "HEAD", "POST", "PUT")), rng.choice(_PATHS)
    kind = rng.choice(("status", "status", "drop", "corrupt", "silent", "drip", "endless", "squeezed", "twist", "json"))
    how: dict[str, Any] = {"times": rng.choice((1, 1, 3, 10**9))}
    if kind == "status":
        how["status"] = rng.choice(_STATUS)
        how["headers"] = rng.choice(
            ({}, {"Retry-After": "99999999"}, {"X-Error-Code": "GatedRepo"}, {"X-Error-Code": "x"})
        )
    elif kind == "drop":
        how["drop_after"] = rng.choice((0, 1, 10, 100))
    elif kind == "drip":
        how["drip"] = rng.choice(("headers", "body"))
    elif kind == "twist":
        seed = rng.randrange(10**6)
        how["twist"] = lambda value: value if isinstance(value, bytes) else next(iter(changed_values(value, 1, seed)))
    elif kind == "json":
        how["twist"] = lambda value: rng.choice(
            (b"", b"<html>login</html>", b"[" * 10_000, b"null", b'{"a":' + b"9" * 5000)
        )
    else:
        how[kind] = True
    hub.fail(method, path, **how)
    return f"{kind} at {method} {path} ({how['times']} times)"


def pulls(count: int, seed: int, folder: Path) -> Tally:
    """Pulls under faults: an error of lvtune's, or the very bytes; and afterwards a sound Hub gives them again."""
    return _timed("Hub: pull", lambda tally: _pulls(tally, count, seed, folder))


def pushes(count: int, seed: int, folder: Path) -> Tally:
    """Pushes under faults: the repository holds the old files or the new ones, all of them."""
    return _timed("Hub: push", lambda tally: _pushes(tally, count, seed, folder))


def killed_pushes(most: int | None, seed: int, folder: Path) -> Tally:
    """Kills the client at every request of a push, or at ``most`` of them."""
    return _timed("kills: push", lambda tally: _killed_pushes(tally, most, seed, folder))


def _timed(area: str, work: Callable[[Tally], None]) -> Tally:
    started = time.perf_counter()
    tally = in_child(area, work)
    tally.seconds = time.perf_counter() - started
    return tally


def _pulls(tally: Tally, count: int, seed: int, folder: Path) -> None:
    from lvtune.hub.address import Address
    from lvtune.hub.remote import fetch
    from lvtune.storage.adapter_file import TENSORS_FILE

    rng = random.Random(seed)
    with _hub(folder) as hub:
        wanted = (folder / "art" / TENSORS_FILE).read_bytes()
        right = lambda place: (place / TENSORS_FILE).read_bytes() == wanted  # noqa: E731
        for number in range(count):
            if rng.random() < 0.7:
                shutil.rmtree(folder / "hub-cache", ignore_errors=True)
            what = f"pull {number}, seed {seed}: {_fault(hub, rng)}"
            tally.only_ours(what, lambda: fetch(Address(NAME)), right)
            hub.faults.clear()
            if number % 5 == 0:
                tally.only_ours(f"{what}; then a sound Hub", lambda: fetch(Address(NAME)), right)


def _pushes(tally: Tally, count: int, seed: int, folder: Path) -> None:
    from lvtune.hub.publish import push_adapter
    from lvtune.storage.adapter_file import save

    rng = random.Random(seed)
    with _hub(folder) as hub:
        new, old = save(*adapter(2.0), folder / "new"), _files(hub)
        for number in range(count):
            what = f"push {number}, seed {seed}: {_fault(hub, rng)}"
            tally.only_ours(what, lambda: push_adapter(new, NAME, license="mit"))
            hub.faults.clear()
            tally.expect(_is_whole(_files(hub), old, new), f"{what}: neither the old adapter nor the new one")
            _reset(hub, folder)


def _killed_pushes(tally: Tally, most: int | None, seed: int, folder: Path) -> None:
    from lvtune.storage.adapter_file import save

    with _hub(folder) as hub:
        new, old = save(*adapter(2.0), folder / "new"), _files(hub)
        count, status = _push_killed_at(hub, new, None)
        tally.expect(status == 0 and count > 3, f"a push that is not killed ended with {status}")
        places = list(range(count))
        if most is not None:
            places = sorted(random.Random(seed).sample(places, min(most, count)))
        for place in places:
            _reset(hub, folder)
            _, status = _push_killed_at(hub, new, place)
            tally.expect(os.WIFSIGNALED(status), f"push killed at request {place}: it ended by itself")
            tally.expect(_is_whole(_files(hub), old, new), f"push killed at request {place}: neither old nor new")


def _push_killed_at(hub: Any, new: Path, place: int | None) -> tuple[int, int]:
    """Returns how many requests there were, and how the client ended."""
    import huggingface_hub

    from lvtune.hub.publish import push_adapter

    hub.log = _Killing(place)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            huggingface_hub.close_session()  # the parent's connections are not ours
            push_adapter(new, NAME, license="mit")
            code = 0
        finally:
            os._exit(code)
    hub.log.child = child
    _, status = os.waitpid(child, 0)
    return len(hub.log), status


class _Killing(list):
    """The log of a Hub that kills its client at a request."""

    def __init__(self, stop: int | None) -> None:
        super().__init__()
        self.stop, self.child = stop, 0

    def append(self, entry: Any) -> None:
        """Notes a request."""
        while not self.child:
            pass  # the client may ask before its parent knows its number
        if len(self) == self.stop:
            os.kill(self.child, signal.SIGKILL)
        super().append(entry)


def _reset(hub: Any, folder: Path) -> None:
    """Puts the repository back to its first commit."""
    hub.repos.pop(NAME)
    hub.large.clear()
    put(hub, NAME, folder / "art")


def _files(hub: Any) -> dict[str, bytes]:
    repo = hub.repos[NAME]
    return {name: blob.data for name, blob in repo.commits[repo.branches["main"]].items()}


def _is_whole(files: dict[str, bytes], old: dict[str, bytes], new: Path) -> bool:
    """True for the old files, or for all of the new ones with their card."""
    wanted = {file.name: file.read_bytes() for file in new.iterdir()}
    return files == old or (all(files.get(name) == data for name, data in wanted.items()) and "README.md" in files)
