"""Names of repositories on the Hub, and the client that asks for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.core.errors import UsageError
from lvtune.core.strict_json import short
from lvtune.core.version import __version__
from lvtune.hub.remote_errors import CLIENT_ERRORS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CLIENT: dict[str, Any] = {"library_name": "lvtune", "library_version": __version__}
_ADDRESS = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>\S+))?")
_SCHEME = "hf://"


@dataclass(frozen=True)
class Address:
    """A repository on the Hub, and a branch, tag or commit of it. ``revision`` None means its main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def address_of(source: str | Path) -> Address | None:
    """Returns the repository that ``user/repo``, ``user/repo@revision`` or ``hf://user/repo`` names.

    Args:
        source: what exists on disk is local; a ``Path`` always is.

    Returns:
        None for a local path.

    Raises:
        UsageError: ``hf://`` with something that is no repository's name, or a web address.
    """
    if isinstance(source, Path):
        return None
    if source.startswith(("http://", "https://")):
        raise UsageError(
            f"'{short(source, quote=False)}', a web address", "a folder, user/repo or user/repo@revision",
            "leave out what stands in front of the user's name",
        )  # fmt: skip
    if not source.startswith(_SCHEME) and (_exists(source) or source.endswith((".safetensors", ".json"))):
        return None
    return repository(source) if source.startswith(_SCHEME) or _ADDRESS.fullmatch(source) else None


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # a name too long, an unknown user behind ~
        return False


def repository(text: str) -> Address:
    """Returns the repository that ``user/repo`` or ``user/repo@revision`` names, whatever lies on disk.

    Raises:
        UsageError: the text names none.
    """
    match = _ADDRESS.fullmatch(text.removeprefix(_SCHEME))
    if match is None:
        raise UsageError(
            f"'{short(text, quote=False)}'", "user/repo or user/repo@revision, as on the Hub", "check the name"
        )
    return Address(match["repo"], match["revision"])


def client() -> HfApi:
    """Returns the Hub client, with the user's own settings."""
    from huggingface_hub import HfApi

    return HfApi(**CLIENT)


def revisions(address: Address) -> list[str]:
    """Asks the Hub for the branches and tags of a repository, ten at most; empty where it does not answer."""
    try:
        refs = client().list_repo_refs(address.repo)
    except CLIENT_ERRORS:
        return []  # the caller is about to raise a more important error
    return [ref.name for ref in [*refs.branches, *refs.tags]][:10]
