"""Adapters on the Hub: addresses, and downloads into the Hub client's own cache.

Only safetensors and JSON are fetched, by name, and each file is compared with the hash that the Hub tells before
anything reads it. Tokens, cache, endpoint and offline mode are the client's (``hf auth login``, ``HF_TOKEN``,
``HF_HOME``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``); nothing of them is kept here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import LvtuneError
from lvtune.core.files import user_errors
from lvtune.core.tensor_file import MAX_HEADER
from lvtune.hub.address import CLIENT, Address, address_of, client, repository, revisions
from lvtune.hub.remote_errors import CLIENT_ERRORS, explain, is_unreachable
from lvtune.storage import adapter_file

if TYPE_CHECKING:
    pass

REPORT_FILE = "report.json"
FILES = (adapter_file.TENSORS_FILE, adapter_file.CONFIG_FILE, adapter_file.PEFT_FILE)
"""What loading an adapter needs; nothing else of a repository is downloaded for it."""
_log = logging.getLogger(__name__)


def locate(source: str | Path) -> Path:
    """Where an adapter lies on disk; one on the Hub is downloaded first.

    Raises:
        LvtuneError: it cannot be had from the Hub, with the reason; see :func:`fetch`.
    """
    address = address_of(source)
    return Path(source).expanduser() if address is None else fetch(address)


def fetch(address: Address, more: Iterable[str] = ()) -> Path:
    """The folder in the Hub client's cache that holds an adapter; only what is missing is downloaded.

    Where the Hub cannot be reached, or ``HF_HUB_OFFLINE`` is set, the copy in the cache is taken.

    Args:
        address: of the repository.
        more: JSON files to bring along where the repository has them.

    Raises:
        LvtuneError: no such repository or revision, no right to read it, no network and no copy, a download
            that broke off or is damaged, a repository without an adapter.
    """
    try:
        info = _ask(address)
    except CLIENT_ERRORS as error:
        if is_unreachable(error):
            return _cached(address, error)
        raise explain(error, address, revisions=revisions) from error
    files = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    names = _wanted(address, files, [*FILES, *more])
    try:
        folder = _download(address, names)
        if folder.name != info.sha:  # somebody pushed in between
            files = {sibling.rfilename: sibling for sibling in _ask(Address(address.repo, folder.name)).siblings}
        damaged = [name for name in names if not _is_whole(folder / name, files[name])]
        if damaged:
            _download(address, damaged, force_download=True)
            damaged = [name for name in damaged if not _is_whole(folder / name, files[name])]
    except CLIENT_ERRORS as error:
        raise explain(error, address, started=True, revisions=revisions) from error
    if damaged:
        _remove(folder, damaged)
        raise LvtuneError(
            f"a damaged download of {address}: {', '.join(damaged)} twice arrived with another hash than the Hub tells",
            "the bytes that were pushed", "try again, over another network if there is one",
        )  # fmt: skip
    return folder


def _ask(address: Address) -> Any:
    """What the Hub says of a repository, in one request that is not repeated."""
    from huggingface_hub import constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    return client().model_info(address.repo, revision=address.revision, files_metadata=True, timeout=timeout)


def _download(address: Address, names: Iterable[str], **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    names = list(names)
    folder = snapshot_download(address.repo, revision=address.revision, allow_patterns=names, **CLIENT, **options)
    return Path(folder)


def _cached(address: Address, reason: Exception) -> Path:
    """The copy in the cache, for want of the Hub."""
    try:
        folder = _download(address, FILES, local_files_only=True)
    except CLIENT_ERRORS:
        raise explain(reason, address, revisions=revisions) from reason
    if not (folder / adapter_file.TENSORS_FILE).is_file():
        raise explain(reason, address, revisions=revisions) from reason
    if not is_offline():
        _log.warning("the Hub cannot be reached; taking the copy of %s in the cache (%s)", address, folder.name[:8])
    return folder


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _wanted(address: Address, files: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    if adapter_file.TENSORS_FILE not in files:
        pickled = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
        holds = ", ".join(sorted(name for name in files if not name.startswith("."))[:5]) or "nothing"
        raise LvtuneError(
            f"{address}, which holds {holds}" + (" (pickles can run code and are not read)" if pickled else ""),
            f"an adapter: {adapter_file.TENSORS_FILE} in the repository's root", "choose another repository",
        )  # fmt: skip
    found = [name for name in names if name in files]
    large = [name for name in found if name.endswith(".json") and (files[name].size or 0) > MAX_HEADER]
    if large:
        raise LvtuneError(f"{address} with a {large[0]} of {files[large[0]].size:,} bytes", f"at most {MAX_HEADER:,}",
                          "choose another repository")  # fmt: skip
    return found


def _is_whole(file: Path, told: Any) -> bool:
    """Whether a file has the hash that the Hub tells: sha256 of a large one, git's sha1 of another."""
    if told.lfs is not None:
        digest, expected = hashlib.sha256(), told.lfs.sha256
    else:
        digest, expected = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False), told.blob_id
    with file.open("rb") as data:
        while part := data.read(2**20):
            digest.update(part)
    return digest.hexdigest() == expected


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Takes damaged files out of the cache: without network they would be believed."""
    for name in names:
        file = folder / name
        file.resolve().unlink(missing_ok=True)
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Pulled:
    """Where an adapter was put, and which one it is."""

    folder: Path
    address: Address
    commit: str


def pull_adapter(source: str, folder: str | Path | None = None, *, overwrite: bool = False) -> Pulled:
    """Copies an adapter from the Hub into a folder: safetensors and JSON, and nothing else.

    Args:
        source: ``user/repo`` or ``user/repo@revision``.
        folder: made if it does not exist; None: ``lvtune-out/REPO``.
        overwrite: replace another adapter that is there.

    Raises:
        LvtuneError: what :func:`fetch` raises; a damaged adapter; another adapter is in the folder.
    """
    address = repository(str(source))
    snapshot = fetch(address, [REPORT_FILE])
    check(snapshot)
    folder = Path("lvtune-out") / address.repo.partition("/")[2] if folder is None else Path(folder).expanduser()
    data = (snapshot / adapter_file.TENSORS_FILE).read_bytes()
    there = folder / adapter_file.TENSORS_FILE
    with user_errors(folder):
        if not overwrite and there.exists() and there.read_bytes() != data:
            raise LvtuneError(f"folder {folder}, which holds another adapter", "a new folder, or leave to replace it",
                              f"type --out DIR, or --overwrite to lose what is in {folder}")  # fmt: skip
    names = [name for name in (*FILES[1:], REPORT_FILE) if (snapshot / name).is_file()]
    adapter_file.install(folder, data, {name: (snapshot / name).read_bytes() for name in names})
    if REPORT_FILE not in names:  # what is there tells of another adapter
        (folder / REPORT_FILE).unlink(missing_ok=True)
    return Pulled(folder, address, snapshot.name)


def check(folder: Path) -> None:
    """Raises a LvtuneError unless the folder holds a whole adapter, lvtune's or plain peft's."""
    from lvtune.storage import peft_folder

    if peft_folder.read(folder) is None:
        adapter_file.read(folder)
