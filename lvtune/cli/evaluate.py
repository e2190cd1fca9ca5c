"""``lvtune evaluate``: scores, and nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lvtune.cli.outcome import Outcome, choose_domain, made_for, say
from lvtune.cli.output import table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.recipe import DataOptions, EvaluateOptions, Recipe


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
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Options of :class:`EvaluateCommand`."""
    result = Parser("evaluate", summary)
    add_options(result, EvaluateCommand, title="what to score")
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Scores the base, with the adapter if there is one."""
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
        prompt=command.evaluate.prompt,
        flip_test=command.evaluate.flip_test,
        batch_size=command.evaluate.batch_size,
        device=command.device,
    )
    return Outcome(values, _text(values))


_METRICS = ("pck@0.2", "pck@0.5", "ap", "persons")


def _text(values: dict[str, Any]) -> str:
    sides = [(name, values[name]) for name in ("target", "source") if values.get(name)]
    rows = [[name, *(side.get(metric) for metric in _METRICS)] for name, side in sides]
    boxes = [
        [f"{name}, {boxes}", part["ap"]] for name, side in sides for boxes, part in side.get("protocols", {}).items()
    ]
    joints = sides[0][1].get("per_joint") or {}
    with_adapter = f" with a {values['adapter']} adapter" if values["adapter"] else ""
    names = [f"{name}: {values[f'{name}_name']}" for name, _ in sides]
    parts = [
        "\n".join([f"{values['base']}{with_adapter}", *names]),
        table(["percent", *(metric.upper() for metric in _METRICS[:3]), "persons"], rows),
        table(["percent", "AP"], boxes) if boxes else "",
        table(["key point", "PCK@0.2"], [[name, _joint(value)] for name, value in joints.items()]),
        *values.get("notes", []),
    ]
    return "\n\n".join(part for part in parts if part)


def _joint(value: Any) -> Any:
    return value.get("pck@0.2") if isinstance(value, dict) else value
