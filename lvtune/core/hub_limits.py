"""Limits of time and size on what the Hugging Face client downloads.

The client's own time limits are those of a single read, so a server that sends one byte now and then holds a program
for hours, and its retries multiply the wait. A body without a length is written to the disk as long as it comes. Here
a whole transfer has a limit of time that grows with the declared sizes, and no body may be longer than declared. The
client keeps its own retries: a connection that drops is taken up again, within the limit.

The package ``hf_xet`` transfers large files by native code with connections of its own, in which none of this holds.
The Hub serves the same files over HTTP, so it is not used inside, unless ``HF_HUB_DISABLE_XET=0`` asks for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from lvtune.core.errors import NetworkError, UsageError

SECONDS = 60.0
"""How long a transfer may take beside the time that its declared sizes need."""
VARIABLE = "LVTUNE_HUB_TIMEOUT"
"""Environment variable with other seconds, for slow networks."""
BYTES_PER_SECOND = 20_000
"""The slowest speed that is waited for."""
MOST_OF_AN_ANSWER = 64 * 2**20
"""Bytes of an answer that declares no length and is no file."""
_LONGEST_WAIT = 10
"""Seconds that a server may tell the client to wait before it tries again."""
XET = "HF_HUB_DISABLE_XET"
"""The Hub client's variable; if it is set, to whatever, the user decides."""
_xet_lock = threading.Lock()
_xet_before: list[bool] = []
"""What the client was set to, once for each thread that is inside; the first one's is the user's."""
_READ = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 10.0}
_active: ContextVar[_Limits | None] = ContextVar("lvtune_hub_limits", default=None)


@contextlib.contextmanager
def hub_limits(what: str, *, size: int = 0) -> Iterator[None]:
    """Bounds the time and the bytes of all that the Hub's client does inside, in this thread.

    Args:
        what: is transferred, for errors.
        size: bytes that are to be sent; what is received is declared by the Hub.

    Raises:
        NetworkError: from inside, when the time is over or a body is longer than was declared.
    """
    if _active.get() is not None:
        yield
        return
    limits = _Limits(what, size)
    token = _active.set(limits)
    _install()
    try:
        with limits.watched(), _without_xet():
            yield
    except Exception as error:
        # whoever called the client may have put the error into words of its own
        if limits.error is not None and error is not limits.error:
            raise limits.error from error
        raise
    finally:
        _active.reset(token)


@contextlib.contextmanager
def _without_xet() -> Iterator[None]:
    """Transfers over HTTP inside, where the user has not said otherwise; several threads may be inside at once."""
    from huggingface_hub import constants

    if os.environ.get(XET) is not None:
        yield
        return
    with _xet_lock:
        _xet_before.append(constants.HF_HUB_DISABLE_XET)
        constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        with _xet_lock:
            before = _xet_before[0]
            _xet_before.pop()
            if not _xet_before:
                constants.HF_HUB_DISABLE_XET = before


class _Limits:
    """What is left of the time, and the sizes that were declared."""

    def __init__(self, what: str, size: int) -> None:
        self.what, self.seconds = what, _seconds()
        self.deadline = time.monotonic() + self.seconds + size / BYTES_PER_SECOND
        self.is_busy = False
        """True from a request to the end of its answer."""
        self.error: NetworkError | None = None
        """Why a transfer was ended."""
        self.declared: dict[str, int] = {}
        """Path of a file on the Hub to its size."""
        self.expected: int | None = None
        """Size of the file that is being downloaded."""

    def ended(self, given: str, expected: str, fix: str) -> NetworkError:
        """Notes and returns the error by which a transfer ends."""
        self.error = NetworkError(given, expected, fix)
        return self.error

    def is_over(self) -> bool:
        """Returns True if the time is over."""
        return time.monotonic() > self.deadline

    def too_late(self) -> NetworkError:
        """Returns the error of a server that takes too long."""
        return self.ended(
            f"{self.what}: no whole answer from {_endpoint()} within {self.seconds:g} s beside the time for the bytes",
            "a server that answers",
            f"try again later; on a slow network set {VARIABLE} to more seconds",
        )

    def too_long(self, size: int) -> NetworkError:
        """Returns the error of an answer that is longer than declared."""
        return self.ended(
            f"{self.what}: an answer of {_endpoint()} that is longer than the {size:,} bytes that were declared",
            "the declared size", "try again, over another network if there is one",
        )  # fmt: skip

    def declare(self, path: str, size: int) -> None:
        """Notes the size of a file, and gives time for it."""
        if self.declared.get(path) != size:
            self.declared[path] = size
            self.deadline += size / BYTES_PER_SECOND

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Closes the client's connections when the time is over, which ends a read that would go on."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(max(0.05, self.deadline - time.monotonic())):
                if self.is_over() and self.is_busy:
                    from huggingface_hub import close_session

                    self.too_late()
                    close_session()
                    _install()

        thread = threading.Thread(target=watch, daemon=True, name="lvtune-hub-limits")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _seconds() -> float:
    text = os.environ.get(VARIABLE)
    if not text:
        return SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UsageError(f"{VARIABLE} = '{text[:40]}'", "a number of seconds", f"set {VARIABLE}=300, or unset it")
    return seconds


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _install() -> None:
    """Hooks the limits to the client's session, once; outside :func:`hub_limits` they do nothing."""
    from huggingface_hub import get_session

    session = get_session()
    hooks = session.event_hooks
    if _before not in hooks["request"]:
        session.event_hooks = {"request": [*hooks["request"], _before], "response": [*hooks["response"], _after]}


def _before(request: Any) -> None:
    limits = _active.get()
    if limits is None:
        return
    if limits.is_over():
        raise limits.too_late()
    limits.is_busy = True
    given = request.extensions.get("timeout") or {}
    left = max(0.1, limits.deadline - time.monotonic())
    request.extensions["timeout"] = {name: min(left, given.get(name) or most) for name, most in _READ.items()}
    # a compressed body may become a thousand times longer than it was declared
    request.headers["Accept-Encoding"] = "identity"
    path = request.url.path
    if "/resolve/" in path:
        limits.expected = limits.declared.get(path)
    elif path.startswith("/api/"):
        limits.expected = None


def _after(response: Any) -> None:
    limits = _active.get()
    if limits is None:
        return
    headers = response.headers
    if response.status_code == 429 and _number(headers.get("Retry-After"), default=0) > _LONGEST_WAIT:
        del headers["Retry-After"]
    headers.pop("ratelimit", None)
    length = _number(headers.get("X-Linked-Size") or headers.get("Content-Length"), default=None)
    if response.request.method == "HEAD":
        limits.is_busy = False
        if "/resolve/" in response.request.url.path and length is not None and response.status_code < 400:
            limits.declare(response.request.url.path, length)
        return
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise limits.ended(
            f"{limits.what}: a compressed answer of {_endpoint()}, which was not asked for", "the plain bytes",
            "try again, over another network if there is one",
        )  # fmt: skip
    most = MOST_OF_AN_ANSWER
    if limits.expected is not None and response.status_code in (200, 206):
        most = limits.expected
    elif length is not None and not response.request.url.path.startswith("/api/"):
        most = length
    response.stream = _guarded(response.stream, limits, most)


def _number(text: str | None, *, default: Any) -> Any:
    return int(text) if text is not None and text.isdecimal() and len(text) < 19 else default


def _guarded(stream: Any, limits: _Limits, most: int) -> Any:
    """Returns the stream of a body that ends with an error where it is too long or too late."""
    base = next(kind for kind in type(stream).__mro__ if kind.__name__ == "SyncByteStream")

    class Guarded(base):
        def __iter__(self) -> Iterator[bytes]:
            seen = 0
            for part in stream:
                seen += len(part)
                if seen > most:
                    raise limits.too_long(most)
                if limits.is_over():
                    raise limits.too_late()
                yield part

        def close(self) -> None:
            limits.is_busy = False
            stream.close()

    return Guarded()
