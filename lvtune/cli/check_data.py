"""``lvtune check-data``: what is wrong with a data set, before an hour is spent on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lvtune.cli.data_argument import add_data_argument, place_data
from lvtune.cli.outcome import Outcome, choose_domain
from lvtune.cli.output import outline
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.config.options import DataOptions
from lvtune.core.errors import LvtuneError


@dataclass(frozen=True)
class CheckDataCommand:
    """Options of ``lvtune check-data``."""

    domain: str | None = None
    """A domain; None: your own pictures where `data` or `annotations` is given, else demo-art."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Which part; all: train and test."""
    data: DataOptions = field(default_factory=DataOptions)
    """Where the pictures and their key points lie."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Options of :class:`CheckDataCommand`."""
    result = Parser("check-data", summary)
    add_data_argument(result)
    add_options(result, CheckDataCommand, title="what to check")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Opens the parts and reads every picture once."""
    place_data(args)
    command: CheckDataCommand = from_args(args, CheckDataCommand)
    from lvtune.api.job import limited, open_domain
    from lvtune.data.check import check_data

    domain = open_domain(choose_domain(command.domain, command.data, {}), command.data)
    values: dict[str, Any] = {"domain": domain.name}
    for part in ("train", "test") if command.split == "all" else (command.split,):
        # a detector's boxes are for scoring
        data = replace(command.data, boxes=None) if part == "train" else command.data
        split = limited(domain.open(part, data), command.data)
        values[part] = {"name": split.name, **check_data(split.table)}
    parts = [value for value in values.values() if isinstance(value, dict)]
    values["ok"] = all(part["ok"] for part in parts)
    failure = None
    if not values["ok"]:
        first = next(warning for part in parts if not part["ok"] for warning in part["warnings"])
        failure = LvtuneError(first, "every picture whole and as annotated", "mend the pictures or the annotations")
    return Outcome(values, outline(values), failure)
