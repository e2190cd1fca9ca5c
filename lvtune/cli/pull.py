"""``lvtune pull``: downloads an adapter from the Hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for, say
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.core.text import shell_word


@dataclass(frozen=True)
class PullCommand:
    """Options of ``lvtune pull``."""

    out: str | None = None
    """Folder for the adapter. None: ./lvtune-out/REPO."""
    overwrite: bool = False
    """Replace an adapter that is in the folder."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the repository and the options of :class:`PullCommand`."""
    result = Parser("pull", summary)
    result.add_argument("repo", metavar="REPO", help="user/repo, or user/repo@REVISION: a branch, tag or commit")
    add_options(result, PullCommand)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Downloads the adapter, checks it, and copies it into the folder."""
    command: PullCommand = from_args(args, PullCommand)
    from lvtune.hub.remote import pull_adapter

    say(f"pulling {args.repo}")
    pulled = pull_adapter(args.repo, command.out, overwrite=command.overwrite)
    found = made_for(str(pulled.folder))
    values = {"folder": str(pulled.folder), "repo": pulled.address.repo, "commit": pulled.commit, **found}
    base = found.get("base")
    text = f"{pulled.address} (commit {pulled.commit[:8]}) written to {pulled.folder}"
    text += f"\nmade for {base}" if base else "\nsaved by peft; it does not say which base it is for"
    hint = "" if base else f" --base {Recipe.base}"
    return Outcome(values, f"{text}\n\nuse it: lvtune predict PICTURE --adapter {shell_word(pulled.folder)}{hint}")
