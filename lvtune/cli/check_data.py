"""``lvtune check-data``: reads a data set and says what is wrong with it, before anyone trains on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lvtune.cli.data_argument import add_data_argument, place_data
from lvtune.cli.outcome import Outcome, choose_domain
from lvtune.cli.output import outline
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.config.options import DataOptions
from lvtune.core.errors import DataError


@dataclass(frozen=True)
class CheckDataCommand:
    """Options of ``lvtune check-data``."""

    domain: str | None = None
    """A domain. None: your own pictures if you give `data` or `annotations`, or demo-art."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Part of the data. all: train and test."""
    out: str | None = None
    """Folder for a contact sheet of each part: boxes, key points, and mirror pairs in two colours. None: no sheets."""
    data: DataOptions = field(default_factory=DataOptions)
    """Where the pictures and their key points are."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the options of :class:`CheckDataCommand`."""
    result = Parser("check-data", summary)
    add_data_argument(result)
    add_options(result, CheckDataCommand, title="what to check")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Opens the parts and reads every picture once."""
    place_data(args)
    command: CheckDataCommand = from_args(args, CheckDataCommand)
    from lvtune.api.checking import check_parts
    from lvtune.api.open_data import open_domain

    domain = open_domain(choose_domain(command.domain, command.data, {}), command.data)
    parts = ("train", "test") if command.split == "all" else (command.split,)
    values = check_parts(domain, command.data, parts, command.out)
    failure = None
    if not values["ok"]:
        first = next(values[part]["fault"] for part in parts if not values[part]["ok"])
        failure = DataError(first, "every picture whole and as annotated", "correct the pictures or the annotations")
    return Outcome(values, outline(_found(values)), failure)


def _found(values: dict[str, Any]) -> dict[str, Any]:
    """What is worth a line: without the counts that are 0, and the torso, on which there is a warning."""
    kept = {name: _found(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {
        name: value
        for name, value in kept.items()
        if value not in ({}, None, []) and name not in ("instances_without_torso", "fault")
        and not (isinstance(value, dict) and value.get("count") == 0)
    }  # fmt: skip
