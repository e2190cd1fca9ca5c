"""Names of repositories on the Hub, and the client that asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvtune.core.errors import LvtuneError
from lvtune.core.version import __version__
from lvtune.hub.remote_errors import CLIENT_ERRORS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CLIENT = {"library_name": "lvtune", "library_version": __version__}
_ADDRESS = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>\S+))?")
_SCHEME = "hf://"


@dataclass(frozen=True)
class Address:
    """A repository on the Hub, and a branch, tag or commit of it; None: its main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def address_of(source: str | Path) -> Address | None:
    """The repository that ``user/repo``, ``user/repo@revision`` or ``hf://user/repo`` means; None for a local path.

    What exists on disk is local; a ``Path`` always is.

    Raises:
        LvtuneError: ``hf://`` with something that is no repository's name, or a web address.
    """
    if isinstance(source, Path):
        return None
    if source.startswith(("http://", "https://")):
        raise LvtuneError(f"'{source}', a web address", "a folder, user/repo or user/repo@revision",
                          "leave out what stands in front of the user's name")  # fmt: skip
    if not source.startswith(_SCHEME) and (
        Path(source).expanduser().exists() or source.endswith((".safetensors", ".json"))
    ):
        return None
    return repository(source) if source.startswith(_SCHEME) or _ADDRESS.fullmatch(source) else None


def repository(text: str) -> Address:
    """The repository that ``user/repo`` or ``user/repo@revision`` means, whatever lies on disk.

    Raises:
        LvtuneError: it is none.
    """
    match = _ADDRESS.fullmatch(text.removeprefix(_SCHEME))
    if match is None:
        raise LvtuneError(f"'{text}'", "user/repo or user/repo@revision, as on the Hub", "check the name")
    return Address(match["repo"], match["revision"])


def client() -> HfApi:
    """The Hub client, with the user's own settings."""
    from huggingface_hub import HfApi

    return HfApi(**CLIENT)


def revisions(address: Address) -> list[str]:
    """Asks the Hub for the branches and tags of a repository, ten at most; empty where it does not answer."""
    try:
        refs = client().list_repo_refs(address.repo)
    except CLIENT_ERRORS:
        return []  # whoever asks is about to tell another error, which is worth more than this one
    return [ref.name for ref in [*refs.branches, *refs.tags]][:10]
