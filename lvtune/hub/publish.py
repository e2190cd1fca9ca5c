"""Giving adapters away: a folder becomes a repository on the Hub, with a model card made from what is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.adapters.adapter import Adapter
from lvtune.core.errors import LvtuneError
from lvtune.core.strict_json import canonical_json, strict_json
from lvtune.hub.address import Address, client, repository, revisions
from lvtune.hub.card import Publication, card_data, is_untouched, model_card
from lvtune.hub.remote import REPORT_FILE
from lvtune.hub.remote_errors import CLIENT_ERRORS, explain, no_token
from lvtune.storage import adapter_file
from lvtune.storage.adapter_config import shareable

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi, ModelCard
    from torch import nn

CARD_FILE = "README.md"
PICTURE_STEM = "before-after"
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
_LOCAL_ONLY = ("notes",)
"""Parts of the report that speak of files on this machine."""


@dataclass(frozen=True)
class Pushed:
    """Where an adapter can be had from now on."""

    repo: str
    commit: str
    url: str
    revision: str | None = None
    base_model: str | None = None
    """What the card says it belongs to; None: the base has no repository of its own."""
    files: tuple[str, ...] = field(default=())

    @property
    def source(self) -> str:
        """What ``load_adapter`` takes for these very bytes: ``user/repo@commit``."""
        return f"{self.repo}@{self.commit}"


def push_adapter(
    adapter: nn.Module | str | Path,
    repo: str,
    *,
    license: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    base_model: str | None = None,
    picture: str | Path | bool = True,
    base: nn.Module | None = None,
) -> Pushed:
    """Puts an adapter and its model card on the Hub, in one commit.

    The token is the Hub client's own (``hf auth login`` or ``HF_TOKEN``). A card that was edited by hand keeps its
    words; its metadata are completed.

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

    Raises:
        LvtuneError: no licence, no whole adapter, nobody logged in, no right to write, a card that the Hub
            refuses, a public repository where a private one was asked for, no network.
    """
    if not isinstance(adapter, str | Path):
        from lvtune.storage.store import save_adapter

        with tempfile.TemporaryDirectory() as folder:
            save_adapter(adapter, folder, base)
            options = {"license": license, "private": private, "revision": revision, "message": message}
            return push_adapter(folder, repo, base_model=base_model, picture=picture, **options)
    address = _target(repo, revision)
    folder = Path(adapter).expanduser()
    _, config = adapter_file.read(folder)
    api = client()
    with _explained(address):
        address = _check_rights(api, address, private)
    shown = _picture_of(folder, picture)
    at = Publication(
        repo=str(address),
        license=license,
        base_model=base_model,
        picture=None if shown is None else f"{PICTURE_STEM}{shown.suffix.lower()}",
        own_picture=picture is not True,
        tags=("peft",) if (folder / adapter_file.PEFT_FILE).is_file() else (),
    )
    report = _report(folder)
    card = _card(folder, config, report or _scores_of(config), at)
    files = _files(folder, card, report, at.picture, shown)
    _check_card(api, card, address)
    with _explained(address, started=True):
        commit = _commit(api, address, files, private, message or f"Upload a {config['method']} adapter with lvtune")
    return Pushed(
        address.repo, commit.oid, f"{api.endpoint}/{address.repo}", revision, card.data.base_model, tuple(files)
    )


def _target(repo: str, revision: str | None) -> Address:
    address = repository(repo if "/" in repo else f"me/{repo}")
    if address.revision is not None:
        raise LvtuneError(f"'{repo}' to push to", "user/repo, and the branch by itself",
                          f"type --revision {address.revision}")  # fmt: skip
    return Address(address.repo if "/" in repo else repo, revision)


@contextmanager
def _explained(address: Address, started: bool = False) -> Iterator[None]:
    try:
        yield
    except CLIENT_ERRORS as error:
        raise explain(error, address, writing=True, started=started, revisions=revisions) from error


def _check_rights(api: HfApi, address: Address, private: bool) -> Address:
    """The full address; raises where nobody is logged in, or all may see what is meant for a few."""
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
        raise LvtuneError(f"--private for {address.repo}, which everybody can read", "a repository that is private",
                          f"make it private at {api.endpoint}/{address.repo}/settings, or push to another")  # fmt: skip
    return address


def _picture_of(folder: Path, picture: str | Path | bool) -> Path | None:
    if picture is False:
        return None
    if picture is True:
        return next((file for end in _PICTURES if (file := folder / f"{PICTURE_STEM}{end}").is_file()), None)
    file = Path(picture).expanduser()
    if not file.is_file() or file.suffix.lower() not in _PICTURES:
        raise LvtuneError(f"picture {file}", f"an existing file ending in {', '.join(_PICTURES)}", "mend --picture")
    return file


def _report(folder: Path) -> dict[str, Any]:
    """``report.json`` without what belongs to this machine; {} where there is none."""
    file = folder / REPORT_FILE
    if not file.is_file():
        return {}
    report = strict_json(file.read_bytes(), f"'{file}'")
    kept = {name: value for name, value in report.items() if name not in _LOCAL_ONLY}
    if isinstance(kept.get("recipe"), Mapping):
        kept["recipe"] = shareable(kept["recipe"])
    return kept


def _scores_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The report as far as the adapter itself tells it; {} where it does not say what it was scored on."""
    metrics = config.get("metrics") or {}
    return dict(metrics) if metrics.get("target_name") else {}


def _card(folder: Path, config: Mapping[str, Any], report: Mapping[str, Any], at: Publication) -> ModelCard:
    """The folder's card where somebody wrote in it, else a fresh one; with a licence.

    Raises:
        LvtuneError: no licence; a card that cannot be parsed.
    """
    from huggingface_hub import ModelCard

    file = folder / CARD_FILE
    text = file.read_text(encoding="utf-8") if file.is_file() else None
    if text is None or is_untouched(text):
        card = ModelCard(model_card(config, report, at))
    else:
        try:
            card = ModelCard(text)
        except Exception as error:  # whatever a YAML parser and the Hub's classes find wrong with it
            raise LvtuneError(f"card {file} ({str(error).splitlines()[0]})", "YAML between two lines of ---",
                              f"mend it, or delete it for a fresh one: rm {file}") from error  # fmt: skip
        for name, value in card_data(config, report, at).to_dict().items():
            if card.data.get(name) is None or name == "license":
                card.data[name] = value
    if not card.data.get("license"):
        raise LvtuneError(
            f"an adapter without a licence, to be pushed to {at.repo}",
            "the terms on which others may use it, by the Hub's name for them",
            "type --license apache-2.0, or another of https://huggingface.co/docs/hub/repositories-licenses",
        )
    return card


def _files(
    folder: Path, card: ModelCard, report: Mapping[str, Any], name: str | None, picture: Path | None
) -> dict[str, Path | bytes]:
    """Name in the repository to a file or its bytes."""
    names = (adapter_file.TENSORS_FILE, adapter_file.CONFIG_FILE, adapter_file.PEFT_FILE)
    files: dict[str, Path | bytes] = {n: folder / n for n in names if (folder / n).is_file()}
    files[CARD_FILE] = str(card).encode()
    if report:
        files[REPORT_FILE] = canonical_json(report, REPORT_FILE, indent=1).encode()
    if picture is not None:
        files[name] = picture
    return files


def _check_card(api: HfApi, card: ModelCard, address: Address) -> None:
    """The Hub's own check, before anything is made there.

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
            told = "; ".join(str(entry.get("message")) for entry in response.json().get("errors") or [])
            raise LvtuneError(
                f"a model card that the Hub refuses ({' '.join(told.split())[:300]})", "metadata that it knows",
                "mend --license or --base-model, or the head of README.md",
            ) from error  # fmt: skip


def _commit(api: HfApi, address: Address, files: Mapping[str, Path | bytes], private: bool, message: str) -> CommitInfo:
    """One commit with all files; those of an adapter that was there before and are no longer needed go."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(address.repo, private=private or None, exist_ok=True)
    if address.revision is not None:
        api.create_branch(address.repo, branch=address.revision, exist_ok=True)
    pictures = {f"{PICTURE_STEM}{end}" for end in _PICTURES}
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
