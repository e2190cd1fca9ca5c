"""``lvtune init-domain``: writes a YAML file that describes your own pictures as a domain."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline
from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.text import shell_word


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the project and the file to write."""
    result = Parser("init-domain", summary)
    result.add_argument("data", metavar="DATA", help="folder or file of the labels, in any format that lvtune reads")
    result.add_argument("--out", metavar="YAML", help="file to write (default: ./NAME.yaml, named after the folder)")
    result.add_argument("--pictures", metavar="DIR", help="folder of the pictures, if it is not that of the labels")
    result.add_argument("--force", action="store_true", help="replace the file if it exists")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Reads the labels and writes the file.

    Raises:
        CommandLineError: the file exists, or does not end in .yaml.
    """
    from lvtune.core.files import write_text
    from lvtune.data.formats import read_project
    from lvtune.domains.domain_file import is_domain_file
    from lvtune.domains.domain_text import domain_text
    from lvtune.storage.output_folder import check_output

    given = Path(args.data)
    stem = (given.resolve().name if given.is_dir() else given.stem).replace(" ", "-") or "mydomain"
    out = Path(args.out or f"{stem}.yaml")
    if not is_domain_file(out.name):
        raise CommandLineError(f"--out {out}", "a file that ends in .yaml", f"type --out {shell_word(out)}.yaml")
    if out.exists() and not args.force:
        raise CommandLineError(f"--out {out}, which exists", "a new file", "choose another name, or add --force")
    labels = [file for kind in ("*.yaml", "*.yml") for file in given.rglob(kind)] if given.is_dir() else [given]
    check_output(out.parent, [out], files=labels)
    project = read_project(given, args.pictures)
    where = os.path.relpath(given.resolve(), out.resolve().parent)
    text = domain_text(project, where.replace(os.sep, "/"), out.stem)
    write_text(out, text)
    values = {"file": str(out), "format": project.format, "keypoints": list(project.keypoints),
              "notes": list(project.notes)}  # fmt: skip
    return Outcome(values, f"{outline(values)}\n\ncheck the file, then type: lvtune adapt --domain {shell_word(out)}")
