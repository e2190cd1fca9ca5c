"""Fetches adapters from the Hub into the Hub client's own cache.

Only safetensors and JSON are fetched, by name, within limits of time and size, and each file is compared with the
hash that the Hub names before anything reads it. Tokens, cache, endpoint and offline mode are the client's
(``hf auth login``, ``HF_TOKEN``, ``HF_HOME``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``); lvtune keeps nothing of them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvtune.core.errors import AdapterFileError, NetworkError, UsageError
from lvtune.core.files import user_errors
from lvtune.core.hub_limits import hub_limits
from lvtune.core.strict_json import MAX_BYTES
from lvtune.hub.address import CLIENT, Address, address_of, client, repository, revisions
from lvtune.hub.remote_errors import CLIENT_ERRORS, explain, is_unreachable
from lvtune.storage import adapter_file, peft_folder

REPORT_FILE = "report.json"
FILES = (adapter_file.TENSORS_FILE, adapter_file.CONFIG_FILE, adapter_file.PEFT_FILE)
"""What loading an adapter needs; nothing else of a repository is downloaded for it."""
_log = logging.getLogger(__name__)


def locate(source: str | Path) -> Path:
    """Returns where an adapter lies on disk; downloads one on the Hub first.

    Raises:
        LvtuneError: it cannot be fetched from the Hub, with the reason; see :func:`fetch`.
    """
    address = address_of(source)
    return Path(source).expanduser() if address is None else fetch(address)


def fetch(address: Address, more: Iterable[str] = ()) -> Path:
    """Returns the folder in the Hub client's cache that holds an adapter; downloads what is missing.

    Where the Hub cannot be reached, or ``HF_HUB_OFFLINE`` is set, the copy in the cache is taken.

    Args:
        address: of the repository.
        more: JSON files to bring along where the repository has them.

    Raises:
        LvtuneError: no such repository or revision, no right to read it, no network and no copy, a download
            that broke off, took too long, was longer than declared or is damaged, a repository without an adapter.
    """
    with hub_limits(str(address)):
        try:
            info = _ask(address)
            files = _files_of(info, address)
        except CLIENT_ERRORS as error:
            if is_unreachable(error):
                return _cached(address, error)
            raise explain(error, address, revisions=revisions) from error
        names = _wanted(address, files, [*FILES, *more])
        try:
            folder = _download(address, names)
            if folder.name != info.sha:  # somebody pushed in between
                files = _files_of(_ask(Address(address.repo, folder.name)), address)
            damaged = _damaged(folder, names, files)
            if damaged:
                _download(address, damaged, force_download=True)
                damaged = _damaged(folder, damaged, files)
        except CLIENT_ERRORS as error:
            raise explain(error, address, started=True, revisions=revisions) from error
    if damaged:
        _remove(folder, damaged)
        raise NetworkError(
            f"a damaged download of {address}: {', '.join(damaged)} twice arrived with another hash than the Hub names",
            "the bytes that were pushed", "try again, over another network if there is one",
        )  # fmt: skip
    return folder


def _ask(address: Address) -> Any:
    """Returns what the Hub says of a repository, from one request that is not repeated."""
    from huggingface_hub import constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    return client().model_info(address.repo, revision=address.revision, files_metadata=True, timeout=timeout)


@dataclass(frozen=True)
class _File:
    """What the Hub says of a file."""

    size: int
    sha256: str | None
    """Of a large file."""
    sha1: str | None
    """Git's, of another one."""


def _files_of(info: Any, address: Address) -> dict[str, _File]:
    """Returns name to size and hash of a repository's files.

    Raises:
        NetworkError: the answer does not say them.
    """
    found: dict[str, _File] = {}
    for sibling in info.siblings or ():
        lfs = sibling.lfs
        file = _File(sibling.size or 0, getattr(lfs, "sha256", None), sibling.blob_id)
        texts = (sibling.rfilename, file.sha1 or "", file.sha256 or "")
        if type(file.size) is not int or not all(isinstance(text, str) for text in texts):
            raise NetworkError(
                f"{address}: an answer that does not describe its files as the Hub does", "the Hub",
                "check HF_ENDPOINT, and whether the network wants a login",
            )  # fmt: skip
        found[sibling.rfilename] = file
    return found


def _download(address: Address, names: Sequence[str], **options: Any) -> Path:
    """Returns the folder of one commit in the cache, with these files of it.

    Each is asked for in this thread, to which the limits belong.
    """
    from huggingface_hub import constants, hf_hub_download

    folder, revision = Path(), address.revision
    for name in names:
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        file = hf_hub_download(address.repo, name, revision=revision, etag_timeout=timeout, **CLIENT, **options)
        folder = Path(file).parent
        revision = folder.name  # the first file's commit is that of all
    return folder


def _cached(address: Address, reason: Exception) -> Path:
    """Returns the copy in the cache where the Hub cannot be reached.

    Raises:
        LvtuneError: there is none; the error says why the Hub cannot be reached.
    """
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(address.repo, adapter_file.TENSORS_FILE, revision=address.revision)
    if not isinstance(file, str) or not Path(file).is_file():
        raise explain(reason, address, revisions=revisions) from reason
    folder = Path(file).parent
    if not is_offline():
        _log.warning("the Hub cannot be reached; taking the copy of %s in the cache (%s)", address, folder.name[:8])
    return folder


def is_offline() -> bool:
    """Returns True if ``HF_HUB_OFFLINE`` forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _wanted(address: Address, files: Mapping[str, _File], names: Iterable[str]) -> list[str]:
    """Returns those of ``names`` that the repository has.

    Raises:
        AdapterFileError: it holds no adapter, or a JSON file of more bytes than are read.
    """
    if adapter_file.TENSORS_FILE not in files:
        pickled = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
        holds = ", ".join(sorted(name for name in files if not name.startswith("."))[:5]) or "nothing"
        raise AdapterFileError(
            f"{address}, which holds {holds}" + (" (pickles can run code and are not read)" if pickled else ""),
            f"an adapter: {adapter_file.TENSORS_FILE} in the repository's root", "choose another repository",
        )  # fmt: skip
    found = [name for name in names if name in files]
    large = [name for name in found if name.endswith(".json") and files[name].size > MAX_BYTES]
    if large:
        raise AdapterFileError(
            f"{address} with a {large[0]} of {files[large[0]].size:,} bytes", f"at most {MAX_BYTES:,}",
            "choose another repository",
        )  # fmt: skip
    return found


def _damaged(folder: Path, names: Iterable[str], files: Mapping[str, _File]) -> list[str]:
    """Returns the names of files that are not what the Hub names."""
    return [name for name in names if name not in files or not _is_whole(folder / name, files[name])]


def _is_whole(file: Path, described: _File) -> bool:
    """Returns True if a file has the hash that the Hub names: sha256 of a large one, git's sha1 of another."""
    if described.sha256 is not None:
        digest, expected = hashlib.sha256(), described.sha256
    else:
        head = b"blob %d\0" % file.stat().st_size
        digest, expected = hashlib.sha1(head, usedforsecurity=False), described.sha1
    with file.open("rb") as data:
        while part := data.read(2**20):
            digest.update(part)
    return digest.hexdigest() == expected


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Deletes damaged files from the cache: without network they would be taken for whole ones."""
    for name in names:
        file = folder / name
        file.resolve().unlink(missing_ok=True)
        file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Pulled:
    """Where a pulled adapter lies, and which one it is."""

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
            raise UsageError(
                f"folder {folder}, which holds another adapter", "a new folder, or leave to replace it",
                f"type --out DIR, or --overwrite to lose what is in {folder}",
            )  # fmt: skip
    names = [name for name in (*FILES[1:], REPORT_FILE) if (snapshot / name).is_file()]
    adapter_file.install(folder, data, {name: (snapshot / name).read_bytes() for name in names})
    if REPORT_FILE not in names:  # what is there describes another adapter
        (folder / REPORT_FILE).unlink(missing_ok=True)
    return Pulled(folder, address, snapshot.name)


def check(folder: Path) -> None:
    """Raises an AdapterFileError unless the folder holds a whole adapter, lvtune's or plain peft's."""
    if peft_folder.read(folder) is None:
        adapter_file.read(folder)
