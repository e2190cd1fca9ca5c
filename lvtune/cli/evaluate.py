"""``lvtune evaluate``: scores, and nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lvtune.api.recipe import Recipe
from lvtune.cli.data_argument import add_data_argument, place_data
from lvtune.cli.outcome import Outcome, choose_domain, made_for, say
from lvtune.cli.output import number, table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.config.options import DataOptions, EvaluateOptions
from lvtune.evaluation.metrics import METRICS, PER_JOINT, short_name


@dataclass(frozen=True)
class EvaluateCommand:
    """Options of ``lvtune evaluate``."""

    base: str | None = None
    """The frozen pose estimator; None: the one the adapter was made for, else vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: str | None = None
    """Folder or Hub id of an adapter; None: the base alone."""
    domain: str | None = None
    """What to score on; None: the domain the adapter was made for, else demo-art."""
    split: Literal["test", "val", "train"] = "test"
    """Which part of the domain."""
    data: DataOptions = field(default_factory=DataOptions)
    """Where the pictures and their key points lie."""
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    """How predictions are made and scored."""
    seed: int = field(default=0, metadata={"at_least": 0})
    """Seed of shuffled categories."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    out: str | None = None
    """Folder to write scores.json into and, of hands, pck.png, joints.csv and FreiHAND's pred.json; None: none."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Options of :class:`EvaluateCommand`."""
    result = Parser("evaluate", summary)
    add_data_argument(result)
    add_options(result, EvaluateCommand, title="what to score")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Scores the base, with the adapter if there is one."""
    place_data(args)
    command: EvaluateCommand = from_args(args, EvaluateCommand)
    found = made_for(command.adapter)
    import lvtune

    say("scoring")
    values = lvtune.evaluate(
        command.base or found.get("base", Recipe.base),
        command.adapter,
        choose_domain(command.domain, command.data, found),
        split=command.split,
        data=command.data,
        weights=command.weights,
        category=command.evaluate.category,
        ranker=command.evaluate.ranker,
        seed=command.seed,
        flip_test=command.evaluate.flip_test,
        batch_size=command.evaluate.batch_size,
        device=command.device,
        out=command.out,
    )
    return Outcome(values, _text(values))


_COUNTS = ("persons", "hands")


def _text(values: dict[str, Any]) -> str:
    sides = [(name, values[name]) for name in ("target", "source") if values.get(name)]
    metrics = [metric for metric in METRICS if metric in sides[0][1]]
    counts = [count for count in _COUNTS if count in sides[0][1]]
    rows = [[name, *(side.get(metric) for metric in (*metrics, *counts))] for name, side in sides]
    boxes = [
        [f"{name}, {boxes}", part["ap"]] for name, side in sides for boxes, part in side.get("protocols", {}).items()
    ]
    joints = values["per_joint"]
    with_adapter = f" with a {values['adapter']} adapter" if values["adapter"] else ""
    names = [f"{name}: {values[f'{name}_name']}" for name, _ in sides]
    parts = [
        "\n".join([f"{values['base']}{with_adapter}", *names]),
        table(["percent", *map(short_name, metrics), *counts], rows),
        table(["percent", "AP"], boxes) if boxes else "",
        table(["key point", PER_JOINT[values["main"]][0]], [[name, value] for name, value in joints.items()]),
        _chosen(values.get("auto")),
        *values.get("notes", []),
    ]
    return "\n\n".join(part for part in parts if part)


def _chosen(auto: dict[str, Any] | None) -> str:
    """How often the category auto chose each category."""
    if not auto:
        return ""
    rows = [[name, count] for name, count in auto["chosen"].items()]
    return f"{table(['read as', 'persons'], rows)}\n\n{number(auto['as_annotated'])} % as annotated ({auto['ranker']})"
