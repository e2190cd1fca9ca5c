"""Makes what goes into an adapter's repository: the model card, the report and the list of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from lvtune.core.errors import AdapterFileError, UsageError
from lvtune.core.strict_json import canonical_json, read_json
from lvtune.core.text import shell_word, short
from lvtune.hub.address import Address
from lvtune.hub.card import Publication, card_data, is_untouched, model_card
from lvtune.hub.remote import REPORT_FILE
from lvtune.storage import adapter_file
from lvtune.storage.adapter_config import shareable

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

Made = TypeVar("Made")
CARD_FILE = "README.md"
PICTURE_STEM = "before-after"
PICTURE_ENDS = (".jpg", ".jpeg", ".png", ".webp")
_LOCAL_ONLY = ("notes", "tuned_on")
"""Parts of the report that speak of files on this machine."""
_MOST_OF_A_CARD = 2**20


@dataclass(frozen=True)
class Parcel:
    """What goes into the repository."""

    method: str
    card: ModelCard
    files: dict[str, Path | bytes]

    def size(self) -> int:
        """Returns the bytes of all files."""
        sizes = (file.stat().st_size if isinstance(file, Path) else len(file) for file in self.files.values())
        return sum(sizes)


def packed(folder: Path, address: Address, given: Publication, picture: str | Path | bool) -> Parcel:
    """Makes card and files of a folder.

    Raises:
        LvtuneError: no whole adapter, no licence, a card or report that cannot be read, no such picture.
    """
    _, config = adapter_file.read(folder)
    shown = _picture_of(folder, picture)
    at = replace(
        given,
        repo=str(address),
        picture=None if shown is None else f"{PICTURE_STEM}{shown.suffix.lower()}",
        tags=("peft",) if (folder / adapter_file.PEFT_FILE).is_file() else (),
    )
    report = _report(folder)
    card = _card(folder, config, report or _scores_of(config), at)
    return Parcel(config["method"], card, _files(folder, card, report, at.picture, shown))


def _picture_of(folder: Path, picture: str | Path | bool) -> Path | None:
    if picture is False:
        return None
    if picture is True:
        return next((file for end in PICTURE_ENDS if (file := folder / f"{PICTURE_STEM}{end}").is_file()), None)
    file = Path(picture).expanduser()
    if not file.is_file() or file.suffix.lower() not in PICTURE_ENDS:
        raise UsageError(
            f"picture {file}", f"an existing file ending in {', '.join(PICTURE_ENDS)}", "correct --picture"
        )
    return file


def _report(folder: Path) -> dict[str, Any]:
    """Returns ``report.json`` without what belongs to this machine; {} where there is none."""
    file = folder / REPORT_FILE
    if not file.is_file():
        return {}
    report = read_json(file)
    if not isinstance(report, dict):
        fix = f"delete it: rm {shell_word(file)}"
        raise AdapterFileError(f"'{file}', which is not an object", "a report of lvtune", fix)
    kept = {name: value for name, value in report.items() if name not in _LOCAL_ONLY}
    if isinstance(kept.get("recipe"), Mapping):
        kept["recipe"] = shareable(kept["recipe"])
    return kept


def _scores_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the scores that the adapter itself records; {} where it does not say on what data."""
    metrics = config.get("metrics") or {}
    return dict(metrics) if metrics.get("target_name") else {}


def _card(folder: Path, config: Mapping[str, Any], report: Mapping[str, Any], at: Publication) -> ModelCard:
    """Returns the folder's card where somebody wrote in it, else a fresh one; with a licence.

    Raises:
        LvtuneError: no licence; a card that cannot be parsed.
    """
    from huggingface_hub import ModelCard

    file = folder / CARD_FILE
    text = _text_of(file) if file.is_file() else None
    if text is None or is_untouched(text):
        card = ModelCard(_made(folder, lambda: model_card(config, report, at)))
    else:
        try:
            card = ModelCard(text)
        except Exception as error:  # whatever a YAML parser and the Hub's classes find wrong with it
            first = short((str(error).splitlines() or [""])[0], quote=False)
            raise UsageError(
                f"card {file} ({first})", "YAML between two lines of ---",
                f"correct it, or delete it for a fresh one: rm {shell_word(file)}",
            ) from error  # fmt: skip
        for name, value in _made(folder, lambda: card_data(config, report, at)).to_dict().items():
            if card.data.get(name) is None or name == "license":
                card.data[name] = value
    if not card.data.get("license"):
        raise UsageError(
            f"an adapter without a licence, to be pushed to {at.repo}",
            "the terms on which others may use it, by the Hub's name for them",
            "type --license apache-2.0, or another of https://huggingface.co/docs/hub/repositories-licenses",
        )
    return card


def _made(folder: Path, make: Callable[[], Made]) -> Made:
    """Makes a card of what the adapter and its report say.

    Raises:
        AdapterFileError: they do not say it as a run writes it.
    """
    try:
        return make()
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, yaml.YAMLError) as error:
        file = folder / REPORT_FILE
        raise AdapterFileError(
            f"'{file}', or the scores in the adapter, which no run wrote so ({short(error, quote=False)})",
            "a report of lvtune", f"delete it: rm {shell_word(file)}",
        ) from error  # fmt: skip


def _text_of(file: Path) -> str:
    """Returns the text of a card.

    Raises:
        UsageError: it is too long, or no UTF-8.
    """
    with file.open("rb") as opened:
        data = opened.read(_MOST_OF_A_CARD + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if len(data) > _MOST_OF_A_CARD or (data and not text):
        fix = f"delete it: rm {shell_word(file)}"
        raise UsageError(f"card {file}", f"UTF-8 of at most {_MOST_OF_A_CARD:,} bytes", fix)
    return text


def _files(
    folder: Path, card: ModelCard, report: Mapping[str, Any], name: str | None, picture: Path | None
) -> dict[str, Path | bytes]:
    """Returns name in the repository to a file or its bytes."""
    names = (adapter_file.TENSORS_FILE, adapter_file.CONFIG_FILE, adapter_file.PEFT_FILE)
    files: dict[str, Path | bytes] = {n: folder / n for n in names if (folder / n).is_file()}
    files[CARD_FILE] = str(card).encode()
    if report:
        files[REPORT_FILE] = canonical_json(report, REPORT_FILE, indent=1).encode()
    if picture is not None and name is not None:
        files[name] = picture
    return files
