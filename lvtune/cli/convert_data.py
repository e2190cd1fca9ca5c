"""``lvtune convert data``: converts the labels of another tool to COCO's key point files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline
from lvtune.cli.parser import CommandLineError
from lvtune.core.text import shell_word

FORMS = ("coco",)
BOXES = ("points", "whole")


def convert_data(args: argparse.Namespace) -> Outcome:
    """Reads a project and writes it in COCO's format.

    Raises:
        CommandLineError: an unknown format or an unknown choice of boxes.
        LvtuneError: a fault in the labels, or a folder that is not empty.
    """
    for name, given, known in (("--to", args.to, FORMS), ("--boxes", args.boxes, BOXES)):
        if given not in known:
            raise CommandLineError(f"{name} {given}", f"one of {', '.join(known)}", f"type {name} {known[0]}")
    from lvtune.data.formats import read_project
    from lvtune.data.formats.coco_writer import write_coco

    project = read_project(args.file, args.pictures)
    out = Path(args.out or Path("lvtune-out") / f"coco-{Path(args.file).resolve().stem}")
    written = write_coco(project, out, args.boxes, link=args.link)
    values: dict[str, Any] = {
        "format": project.format,
        "pictures": len(project.pictures),
        "instances": len(project.instances),
        "keypoints": list(project.keypoints),
        "annotations": {part: str(file) for part, file in written.annotations.items()},
        "images": str(written.images),
        "notes": [*project.notes, *written.notes],
    }
    links = " --symlinks" if args.link else ""
    return Outcome(values, f"{outline(values)}\n\nuse it: lvtune adapt {shell_word(out)}{links}")
