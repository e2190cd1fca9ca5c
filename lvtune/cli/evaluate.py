"""``lvtune evaluate``: scores a base, with or without an adapter."""

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
from lvtune.cli.score_lines import calibration_line, evaluated_text
from lvtune.config.options import DataOptions, EvaluateOptions
from lvtune.evaluation.metrics import scoring_of_side


@dataclass(frozen=True)
class EvaluateCommand:
    """Options of ``lvtune evaluate``."""

    base: str | None = None
    """The frozen pose estimator. None: the one that the adapter was made for, or vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: str | None = None
    """Folder or Hub id of an adapter. None: the base alone."""
    domain: str | None = None
    """The domain to score on. None: the one that the adapter was made for, or demo-art."""
    split: Literal["test", "val", "train"] = "test"
    """Part of the domain's data."""
    data: DataOptions = field(default_factory=DataOptions)
    """Where the pictures and their key points are."""
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    """How predictions are made and scored."""
    seed: int = field(default=0, metadata={"at_least": 0, "at_most": 2**32 - 1})
    """Seed of the shuffled categories."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""
    out: str | None = None
    """Folder for scores.json, results.coco.json and poses.csv; where the confidence is calibrated,
    reliability.png; for hands also pck.png, joints.csv and FreiHAND's pred.json. None: nothing is written."""
    format: Literal["plain", "dlc"] = "plain"
    """Files that are written. dlc: also DeepLabCut's CSV and H5."""
    calibration: str = "auto"
    """What turns the heatmaps' maxima into probabilities. auto: the adapter's own calibration; for a base alone, the
    one that ships with it. none: nothing. FILE: written by --save-calibration, for the base alone."""
    save_calibration: str | None = None
    """File for a calibration of the base alone, fitted on these pictures, such as vitpose-b.json. Take pictures that
    the base was not trained on."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the options of :class:`EvaluateCommand`."""
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
        p_cutoff=command.evaluate.p_cutoff,
        layout=command.format,
        calibration=command.calibration,
        save_calibration=command.save_calibration,
    )
    return Outcome(values, _text(values))


def _text(values: dict[str, Any]) -> str:
    with_adapter = f" with a {values['adapter']} adapter" if values["adapter"] else ""
    names = [f"{name}: {values[f'{name}_name']}" for name in ("target", "source") if values.get(name)]
    parts = [
        "\n".join([f"{values['base']}{with_adapter}", *names]),
        evaluated_text(values),
        _chosen(values.get("auto")),
        calibration_line(values.get("calibration")),
        *(note for note in values["notes"] if note not in scoring_of_side(values).get("notes", [])),
    ]
    return "\n\n".join(part for part in parts if part)


def _chosen(auto: dict[str, Any] | None) -> str:
    """Returns how often the category auto chose each category."""
    if not auto:
        return ""
    rows = [[name, count] for name, count in auto["chosen"].items()]
    share = f"{number(auto['as_annotated'])} % as annotated ({auto['ranker']})"
    return f"{table(['read as', 'instances'], rows)}\n\n{share}"
