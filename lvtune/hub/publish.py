"""Publishes adapters: a folder becomes a repository on the Hub, with a model card made from what is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.adapters.adapter import Adapter
from lvtune.core.errors import NetworkError, UsageError
from lvtune.core.hub_limits import hub_limits
from lvtune.core.text import shell_word
from lvtune.hub.address import Address, client, repository, revisions
from lvtune.hub.card import Publication
from lvtune.hub.parcel import PICTURE_ENDS, PICTURE_STEM, Parcel, packed
from lvtune.hub.remote import REPORT_FILE
from lvtune.hub.remote_errors import CLIENT_ERRORS, explain, no_token
from lvtune.storage import adapter_file

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi, ModelCard


@dataclass(frozen=True)
class Pushed:
    """Where an adapter can be had from now on, or could be after a dry run."""

    repo: str
    commit: str
    """Empty after a dry run."""
    url: str
    revision: str | None = None
    base_model: str | None = None
    """What the card says it belongs to; None: the base has no repository of its own."""
    files: tuple[str, ...] = field(default=())
    card: str = ""
    """The model card, as it was pushed or would be."""

    @property
    def source(self) -> str:
        """What ``load_adapter`` takes for these very bytes: ``user/repo@commit``; after a dry run the repository."""
        return f"{self.repo}@{self.commit}" if self.commit else self.repo


def push_adapter(
    adapter: Adapter | str | Path,
    repo: str,
    *,
    license: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    base_model: str | None = None,
    picture: str | Path | bool = True,
    base: Any = None,
    dry_run: bool = False,
) -> Pushed:
    """Puts an adapter and its model card on the Hub, in one commit.

    The token is the Hub client's own (``hf auth login`` or ``HF_TOKEN``). A card that was edited by hand keeps its
    words; its metadata are completed. Licence, card and files are checked before anything is sent.

    Args:
        adapter: a folder, or an adapter at hand, which is saved on the way.
        repo: ``user/repo``; ``repo`` alone is one of yours. Made if it does not exist.
        license: the Hub's name of a licence, such as ``apache-2.0``; needed unless the folder's card has one.
        private: for your own eyes and those you let in.
        revision: branch, made if it does not exist; None: main.
        message: of the commit.
        base_model: Hub id of the base, where the adapter does not know it.
        picture: of the base alone and with the adapter; True: the one in the folder, if any; False: none.
        base: what an adapter at hand was made for, where it no longer knows it.
        dry_run: only make the card and name the files; nothing is sent and nobody is asked.

    Raises:
        LvtuneError: no licence, no whole adapter, nobody logged in, no right to write, a card that the Hub
            refuses, a public repository where a private one was asked for, no network.
    """
    address = _target(repo, revision)
    given = Publication(license=license, base_model=base_model, own_picture=picture is not True)
    with tempfile.TemporaryDirectory() as place:
        if isinstance(adapter, str | Path):
            folder = Path(adapter).expanduser()
        else:
            from lvtune.storage.store import save_adapter

            folder = save_adapter(adapter, place, base)
        parcel = packed(folder, address, given, picture)
        if dry_run:
            return _pushed(parcel, address, "", "")
        with hub_limits(str(address), size=parcel.size()):
            api = client()
            with _explained(address):
                address = _check_rights(api, address, private)
            parcel = packed(folder, address, given, picture)  # with your name, which the Hub has told
            _check_card(api, parcel.card, address)
            text = message or f"Upload a {parcel.method} adapter with lvtune"
            with _explained(address, started=True):
                commit = _commit(api, address, parcel.files, private, text)
    return _pushed(parcel, address, commit.oid, f"{api.endpoint}/{address.repo}")


def _pushed(parcel: Parcel, address: Address, commit: str, url: str) -> Pushed:
    """Returns the facts for whoever pushed a parcel."""
    base_model = parcel.card.data.to_dict().get("base_model")
    return Pushed(address.repo, commit, url, address.revision, base_model, tuple(parcel.files), str(parcel.card))


def _target(repo: str, revision: str | None) -> Address:
    address = repository(repo if "/" in repo else f"me/{repo}")
    if address.revision is not None:
        fix = f"type --revision {shell_word(address.revision)}"
        raise UsageError(f"'{repo}' to push to", "user/repo, and the branch by itself", fix)
    return Address(address.repo if "/" in repo else repo, revision)


@contextmanager
def _explained(address: Address, started: bool = False) -> Iterator[None]:
    try:
        yield
    except CLIENT_ERRORS as error:
        raise explain(error, address, writing=True, started=started, revisions=revisions) from error


def _check_rights(api: HfApi, address: Address, private: bool) -> Address:
    """Returns the full address.

    Raises:
        LvtuneError: nobody is logged in, or everybody can read what is meant for a few.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
    if not get_token():
        raise no_token(address)
    if "/" not in address.repo:
        address = Address(f"{api.whoami()['name']}/{address.repo}", address.revision)
    try:
        info = api.model_info(address.repo, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return address
    if private and not info.private:
        raise UsageError(
            f"--private for {address.repo}, which everybody can read", "a repository that is private",
            f"make it private at {api.endpoint}/{address.repo}/settings, or push to another",
        )  # fmt: skip
    return address


def _check_card(api: HfApi, card: ModelCard, address: Address) -> None:
    """Asks the Hub to check the card, before anything is made there.

    ``ModelCard.validate`` asks the same, but in older clients of huggingface.co whatever HF_ENDPOINT says.
    """
    from huggingface_hub.errors import BadRequestError
    from huggingface_hub.utils import get_session, hf_raise_for_status

    asked = {"repoType": "model", "content": str(card)}
    with _explained(address):
        response = get_session().post(f"{api.endpoint}/api/validate-yaml", json=asked)
        try:
            hf_raise_for_status(response)
        except BadRequestError as error:
            raise NetworkError(
                f"a model card that the Hub refuses ({_faults_in(response)})", "metadata that it knows",
                "correct --license or --base-model, or the head of README.md",
            ) from error  # fmt: skip


def _faults_in(response: Any) -> str:
    """Returns what the Hub says is wrong with a card, in one line."""
    answer = response.json()
    errors = answer.get("errors") if isinstance(answer, Mapping) else None
    entries = errors if isinstance(errors, list) else []
    texts = [str(entry.get("message")) for entry in entries if isinstance(entry, Mapping)]
    return " ".join("; ".join(texts).split())[:300]


def _commit(api: HfApi, address: Address, files: Mapping[str, Path | bytes], private: bool, message: str) -> CommitInfo:
    """Makes one commit with all files, without those of an earlier adapter that are no longer needed."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(address.repo, private=private or None, exist_ok=True)
    if address.revision is not None:
        api.create_branch(address.repo, branch=address.revision, exist_ok=True)
    pictures = {f"{PICTURE_STEM}{end}" for end in PICTURE_ENDS}
    ours = {adapter_file.CONFIG_FILE, adapter_file.PEFT_FILE, REPORT_FILE, *pictures}
    stale = ours.intersection(api.list_repo_files(address.repo, revision=address.revision)) - files.keys()
    return api.create_commit(
        address.repo,
        [
            *(CommitOperationAdd(name, file) for name, file in files.items()),
            *(CommitOperationDelete(name) for name in sorted(stale)),
        ],
        commit_message=message,
        revision=address.revision,
    )


Adapter.publisher = staticmethod(push_adapter)
