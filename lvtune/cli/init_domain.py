"""``lvtune init-domain``: a domain of your own pictures in a YAML file, to be looked through and changed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline
from lvtune.cli.parser import CommandLineError, Parser


def parser(argv: Sequence[str], summary: str) -> Parser:
    """The project and the file to write."""
    result = Parser("init-domain", summary)
    result.add_argument("data", metavar="DATA", help="folder or file of the labels, of any tool that lvtune reads")
    result.add_argument("--out", metavar="YAML", help="file to write (default: ./NAME.yaml, by the name of the folder)")
    result.add_argument("--pictures", metavar="DIR", help="folder of the pictures, where the labels lie elsewhere")
    result.add_argument("--force", action="store_true", help="replace a file that is there")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Reads the labels and writes the file.

    Raises:
        CommandLineError: the file is there already, or does not end in .yaml.
    """
    from lvtune.core.files import write_text
    from lvtune.data.formats import read_project
    from lvtune.domains.domain_file import is_domain_file
    from lvtune.domains.domain_text import domain_text

    given = Path(args.data)
    stem = (given.resolve().name if given.is_dir() else given.stem).replace(" ", "-") or "mydomain"
    out = Path(args.out or f"{stem}.yaml")
    if not is_domain_file(out.name):
        raise CommandLineError(f"--out {out}", "a file that ends in .yaml", f"type --out {out}.yaml")
    if out.exists() and not args.force:
        raise CommandLineError(f"--out {out}, which is there already", "a new file", "choose another, or add --force")
    project = read_project(given, args.pictures)
    where = os.path.relpath(given.resolve(), out.resolve().parent)
    text = domain_text(project, where.replace(os.sep, "/"), out.stem)
    write_text(out, text)
    values = {"file": str(out), "format": project.format, "keypoints": list(project.keypoints),
              "notes": list(project.notes)}  # fmt: skip
    return Outcome(values, f"{outline(values)}\n\nlook it through, then: lvtune adapt --domain {out}")
