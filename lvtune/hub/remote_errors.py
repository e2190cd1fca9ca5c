"""What can go wrong between here and the Hub, each in a sentence of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lvtune.core.errors import LvtuneError
from lvtune.core.text import short

if TYPE_CHECKING:
    from lvtune.hub.address import Address

ODD_ANSWERS = (KeyError, TypeError, AttributeError, IndexError)
"""What the Hub client raises for JSON of another shape than the Hub's."""
CLIENT_ERRORS = (HTTPError, OSError, ValueError, RuntimeError, *ODD_ANSWERS)
"""What the Hub client raises; ``HTTPError`` is that of the HTTP library it was built on, httpx or its successor."""
_WRAPPERS = (LocalEntryNotFoundError, RuntimeError)
"""What the client wraps the error in that tells more."""
_LOGIN = "type `hf auth login`, or set HF_TOKEN"


def status_of(error: Exception) -> int | None:
    """The HTTP status that an error came with, or None."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def is_unreachable(error: Exception) -> bool:
    """Whether the Hub did not answer, or answered that it is out of order."""
    if isinstance(error, OfflineModeIsEnabled):
        return True
    status = status_of(error)
    return isinstance(error, HTTPError) if status is None else status >= 500


def explain(
    error: Exception,
    address: Address,
    *,
    writing: bool = False,
    started: bool = False,
    revisions: Callable[[Address], list[str]] = lambda address: [],
) -> LvtuneError:
    """Puts an error of the Hub client into three parts; no token is ever in it.

    Args:
        error: what was raised.
        address: what was asked for.
        writing: it was to be pushed.
        started: the Hub had answered before.
        revisions: names the branches and tags of a repository, for the error of an unknown one.
    """
    while isinstance(error, _WRAPPERS) and isinstance(error.__cause__, CLIENT_ERRORS):
        error = error.__cause__
    if isinstance(error, RevisionNotFoundError) and not isinstance(error, GatedRepoError):
        return _no_revision(address, revisions(address))
    for kind, tell in _CAUSES.items():
        if isinstance(error, kind):
            return tell(address, writing)
    if isinstance(error, ODD_ANSWERS):
        return _no_hub(address, writing)
    status = status_of(error)
    if status is not None:
        return _refused(status, address, writing)
    return _transport(error, address, writing, started)


def _offline(address: Address, writing: bool) -> LvtuneError:
    if writing:
        return LvtuneError(f"pushing to {address} with HF_HUB_OFFLINE set", "the network", "unset HF_HUB_OFFLINE")
    return LvtuneError(
        f"{address}, neither a folder here nor in the Hub cache, with HF_HUB_OFFLINE set",
        "an adapter's folder, or a copy that was downloaded before",
        f"unset HF_HUB_OFFLINE and type `lvtune pull {address}` once",
    )  # fmt: skip


def _gated(address: Address, writing: bool) -> LvtuneError:
    return LvtuneError(
        f"{address}, whose author lets in only those who asked", "leave to read it",
        f"ask for it at {constants.ENDPOINT}/{address.repo}, and {_LOGIN}",
    )  # fmt: skip


def _bad_name(address: Address, writing: bool) -> LvtuneError:
    return LvtuneError(
        f"'{address}', which is no repository's name", "user/repo or user/repo@revision", "check the name"
    )


def _gone(address: Address, writing: bool) -> LvtuneError:
    return LvtuneError(f"a file of {address} that is gone", "the files that the Hub told of", "try again")


def _no_hub(address: Address, writing: bool) -> LvtuneError:
    return LvtuneError(
        f"{address}: an answer from {constants.ENDPOINT} that is not the Hub's", "the Hub",
        "check HF_ENDPOINT, and whether the network wants a login",
    )  # fmt: skip


def no_token(address: Address, writing: bool = True) -> LvtuneError:
    """Nobody is logged in, and somebody must be."""
    return LvtuneError(f"pushing to {address} without being logged in to the Hub", "a token that may write", _LOGIN)


def _no_revision(address: Address, known: list[str]) -> LvtuneError:
    return LvtuneError(
        f"revision '{address.revision or 'main'}', which {address.repo} does not have",
        f"one of {', '.join(known) or 'its branches, tags and commits'}",
        f"leave out what stands behind @, or see {constants.ENDPOINT}/{address.repo}/commits/main",
    )


def _no_repository(address: Address, writing: bool) -> LvtuneError:
    if not get_token():
        return LvtuneError(
            f"{address.repo}, neither a folder here nor a repository that the Hub shows to everyone (401)",
            "an adapter's folder, or a public repository user/repo",
            f"check the name; if it is private, {_LOGIN}",
        )  # fmt: skip
    return LvtuneError(
        f"{address.repo}, neither a folder here nor a repository that the Hub shows to you (404)",
        "a repository that exists and that your token may " + ("write to" if writing else "read"),
        "check the name; `hf auth whoami` tells who you are",
    )  # fmt: skip


def _refused(status: int, address: Address, writing: bool) -> LvtuneError:
    if status == 401:
        return LvtuneError(f"a token that the Hub does not know (401), for {address}", "one that is still valid",
                           "type `hf auth login` for a new one; HF_TOKEN goes before it")  # fmt: skip
    if status == 403:
        right = "write to" if writing else "read"
        return LvtuneError(f"a token that may not {right} {address.repo} (403)", f"one that may {right} it",
                           "make one at https://huggingface.co/settings/tokens, and type `hf auth login`")  # fmt: skip
    if status == 429:
        return LvtuneError(f"too many requests to the Hub (429), for {address}", "fewer", "wait some minutes")
    if status >= 500:
        return LvtuneError(f"the Hub at {constants.ENDPOINT}, which is out of order ({status}), for {address}",
                           "an answer", "try again later")  # fmt: skip
    return LvtuneError(f"{address}, which the Hub refuses ({status})", "a request that it takes",
                       "upgrade: pip install --upgrade huggingface_hub lvtune")  # fmt: skip


def _transport(error: Exception, address: Address, writing: bool, started: bool) -> LvtuneError:
    first, *_ = [*str(error).splitlines(), ""]
    kind = f"{type(error).__name__}: {short(first, quote=False)}".rstrip(": ")
    if isinstance(error, HTTPError) and not started:
        place = "" if writing else ", which is no folder here"
        return LvtuneError(
            f"{address}{place}: the Hub at {constants.ENDPOINT} cannot be reached ({kind})", "a network connection",
            "check it, and HF_ENDPOINT and proxies if you set them",
        )  # fmt: skip
    if isinstance(error, OSError) and error.filename is not None:
        return LvtuneError(f"{error.filename}: {error.strerror}", "a Hub cache that can be written, with room",
                           "set HF_HOME to another place")  # fmt: skip
    if not started:
        return _no_hub(address, writing)
    if writing:
        return LvtuneError(f"pushing to {address}, which broke off ({kind})", "a connection that lasts",
                           "push again; the files go in one commit, whole or not at all")  # fmt: skip
    return LvtuneError(f"a download of {address} that broke off ({kind})", "a connection that lasts",
                       "try again; what has arrived whole is kept")  # fmt: skip


_CAUSES = {
    OfflineModeIsEnabled: _offline,
    GatedRepoError: _gated,
    RepositoryNotFoundError: _no_repository,
    RemoteEntryNotFoundError: _gone,
    LocalTokenNotFoundError: no_token,
    FileMetadataError: _no_hub,
    HFValidationError: _bad_name,
}
"""What the Hub client raises to who tells it; a gated repository is, to the client, one that is not found."""
