"""``lvtune inspect``: shows what an adapter file holds, without loading its base."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline, table, tensor_rows
from lvtune.cli.parser import Parser
from lvtune.core.text import counted
from lvtune.storage.made_of import made_of


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the adapter."""
    result = Parser("inspect", summary)
    result.add_argument(
        "adapter", metavar="ADAPTER", help="folder of an adapter, its adapter_model.safetensors, or user/repo@revision"
    )
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Reads and checks the file."""
    from lvtune.api.inspecting import inspect_adapter

    values = inspect_adapter(args.adapter)
    return Outcome(values, _text(values))


def _text(values: dict[str, Any]) -> str:
    config = dict(values["config"])
    training, metrics = config.pop("training", None) or {}, config.pop("metrics", None) or {}
    first = {name: config[name] for name in ("method", "base", "domain", "method_config") if name in config}
    run = {name: training.get(name) for name in ("seed", "steps")}
    kind, *parts = made_of(values["config"]) or [""]
    members = {kind: {str(place): part for place, part in enumerate(parts, 1)}} if kind else {}
    facts = {**first, **config, "training": members or run, "metrics": metrics}
    if facts.get("gate"):
        facts["gate"] = _gate(facts["gate"])
    return "\n\n".join(
        [
            outline(_short(facts)),
            table(["tensor", "shape", "type", "count"], tensor_rows(values["tensors"], "dtype")),
            f"{counted(values['numbers'], 'number', spec=',')}, {values['bytes'] / 1e6:.1f} MB",
        ]
    )


def _gate(gate: dict[str, Any]) -> str:
    """What the gate was fitted on, in place of its numbers, which ``--json`` shows."""
    return (
        f"{counted(gate['pictures'], 'picture')} beside {gate['ordinary']} of {gate['against']}, "
        f"{gate['right']:.0%} told apart; "
        f"features of {gate['layer']}"
    )


def _short(value: Any) -> Any:
    """Cuts hashes to their first characters, and leaves out the details of each key point, which ``--json`` shows."""
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items() if name not in ("per_joint", "sigmas", "links")}
    is_hash = isinstance(value, str) and len(value) == 64
    return f"{value[:12]}…" if is_hash else value
