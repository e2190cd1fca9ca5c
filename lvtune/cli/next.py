"""``lvtune next``: which pictures to label next, with predictions to correct."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for, say
from lvtune.cli.output import table
from lvtune.cli.parser import CommandLineError, Parser, add_options, from_args
from lvtune.core.text import one_line, shell_word


@dataclass(frozen=True)
class NextCommand:
    """Options of ``lvtune next``."""

    adapter: str | None = None
    """Folder or Hub id of the adapter that the new labels will improve."""
    count: int = field(default=20, metadata={"at_least": 1})
    """Number of pictures; -n is the same."""
    out: str = "lvtune-out/next"
    """Folder for the list (next.json, next.csv), the contact sheet (next.jpg) and the pre-labels."""
    labelled: str | None = None
    """Pictures that have labels already, as a folder or COCO file: they are not chosen, and pictures that differ from
    them are preferred."""
    frames: int = field(default=200, metadata={"at_least": 1})
    """Largest number of frames, evenly spread, that are looked at where the pool is a video."""
    weight: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Weight of uncertainty against diversity: 1 is uncertainty alone, 0 diversity alone."""
    prelabels: tuple[str, ...] = ("coco", "deeplabcut", "label-studio")
    """Forms of the predictions to correct, with commas: coco, deeplabcut, label-studio, sleap; none for no such
    files."""
    base: str | None = None
    """The frozen pose estimator. None: the one that the adapter was made for."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    seed: int = field(default=0, metadata={"at_least": 0, "at_most": 2**32 - 1})
    """Seed of one of the views whose answers are compared."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the pool and the options of :class:`NextCommand`."""
    result = Parser("next", summary)
    result.add_argument("pool", metavar="POOL", help="folder of pictures, a video, or a COCO file whose boxes are used")
    add_options(result, NextCommand)
    result.add_argument("-n", dest="count", metavar="N", default=argparse.SUPPRESS, help="the same as --count")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Ranks the pool and writes what a person needs to label it."""
    command: NextCommand = from_args(args, NextCommand)
    if command.adapter is None:
        raise CommandLineError("no adapter", "the adapter that the new labels will improve", "give --adapter FOLDER")
    from lvtune.api.next_pictures import SHEET_FILE, choose_next

    found = made_for(command.adapter)
    report = choose_next(
        args.pool, command.adapter, base=command.base or found.get("base", Recipe.base), count=command.count,
        out=command.out, labelled=command.labelled, weight=command.weight, weights=command.weights,
        forms=() if command.prelabels == ("none",) else command.prelabels, device=command.device, seed=command.seed,
        frames=command.frames, say=say,
    )  # fmt: skip
    rows = [[one["picture"], one["uncertainty"], one["distance"]] for one in report.pictures]
    parts = [table(["picture", "uncertainty", "distance"], rows)]
    parts += [f"note: {one_line(note)}" for note in report.notes]
    places = [f"look at {shell_word(report.folder / SHEET_FILE)}"]
    places += [f"correct {form}: {shell_word(place)}" for form, place in report.prelabels.items()]
    return Outcome(report.to_dict(), "\n".join([*parts, "", *places]))
