"""``lvtune push``: uploads an adapter to the Hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lvtune.cli.outcome import Outcome, say
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.core.text import shell_word


@dataclass(frozen=True)
class PushCommand:
    """Options of ``lvtune push``."""

    license: str | None = None
    """Licence of the adapter, by its name on the Hub, such as apache-2.0; needed unless the card names one."""
    private: bool = False
    """Make the repository private."""
    revision: str | None = None
    """Branch to push to; it is made if it does not exist. None: main."""
    message: str | None = None
    """Message of the commit. None: one that names the adapter."""
    base_model: str | None = None
    """Hub id of the base for the card, if the adapter file does not name it."""
    picture: str | None = None
    """Picture for the card, such as one of before and after. None: the one in the folder, if there is one."""
    dry_run: bool = False
    """Show the card and name the files; send nothing, and do not contact the Hub."""
    with_picture: bool = True
    """Show a picture on the card. You may not have the right to publish pictures of a data set."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the folder, the repository and the options of :class:`PushCommand`."""
    result = Parser("push", summary)
    result.add_argument("folder", metavar="FOLDER", help="folder of an adapter, as `lvtune adapt` wrote it")
    result.add_argument("repo", metavar="REPO", help="user/repo on the Hub; it is made if it does not exist")
    add_options(result, PushCommand)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Uploads the files and the card in one commit."""
    command: PushCommand = from_args(args, PushCommand)
    from lvtune.hub.publish import push_adapter

    if not command.dry_run:
        say(f"pushing {args.folder} to {args.repo}")
    pushed = push_adapter(
        Path(args.folder),
        args.repo,
        license=command.license,
        private=command.private,
        revision=command.revision,
        message=command.message,
        base_model=command.base_model,
        picture=(command.picture or True) if command.with_picture else False,
        dry_run=command.dry_run,
    )
    if command.dry_run:
        files = f"would be pushed to {_short(pushed.repo, pushed.revision)}: {', '.join(pushed.files)}"
        return Outcome(asdict(pushed), f"{pushed.card.rstrip()}\n\n{files}")
    lines = [f"{pushed.url}, commit {pushed.commit[:8]}", f"files: {', '.join(pushed.files)}"]
    if pushed.base_model is None:
        lines.append(
            "the card names no base_model, because the base's repository is not known; --base-model ID names it"
        )
    lines += ["", f"use it: lvtune predict PICTURE --adapter {shell_word(_short(pushed.repo, pushed.revision))}"]
    return Outcome({**asdict(pushed), "source": pushed.source}, "\n".join(lines))


def _short(repo: str, revision: str | None) -> str:
    return repo if revision is None else f"{repo}@{revision}"
