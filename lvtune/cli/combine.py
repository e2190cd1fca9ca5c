"""``lvtune combine``: makes one adapter of several and saves it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.core.errors import UsageError
from lvtune.core.text import shell_word

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CombineCommand:
    """Options of ``lvtune combine``."""

    how: Literal["average", "sum", "stack"] = "average"
    """``average`` or ``sum``: of the differences from the base, times their factors; the adapters have one method.
    ``stack``: all act at once, of any methods; the first is next to the base."""
    factors: tuple[float, ...] | None = None
    """One number for each adapter, such as 3,1. A leading minus needs an equals sign: --factors=-1,1. None: 1 each."""
    rank: int | None = field(default=None, metadata={"at_least": 1})
    """Rank of an average or sum of low-rank adapters: the best approximation. None: the sum of the ranks, exact."""
    out: str | None = None
    """Folder for the new adapter. None: ./lvtune-out/HOW."""
    overwrite: bool = False
    """Replace an adapter that is in the folder."""
    base: str | None = None
    """The base that the adapters were made for. None: the one that the first adapter names."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the adapters and the options of :class:`CombineCommand`."""
    result = Parser("combine", summary)
    result.add_argument("adapters", nargs="+", metavar="ADAPTER", help="folder of an adapter, or user/repo@revision")
    add_options(result, CombineCommand)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Loads, combines and saves."""
    command: CombineCommand = from_args(args, CombineCommand)
    from lvtune.storage.adapter_file import CONFIG_FILE, PEFT_FILE, TENSORS_FILE
    from lvtune.storage.output_folder import check_output, files_at

    out = _free(Path(command.out or Path("lvtune-out") / command.how), command.overwrite)
    targets = [out / name for name in (TENSORS_FILE, CONFIG_FILE, PEFT_FILE)]
    check_output(out, targets, files=files_at(*args.adapters, command.weights))
    name = command.base or made_for(args.adapters[0]).get("base", Recipe.base)
    import lvtune
    from lvtune.hub.adapter_loading import load_base_for

    base = load_base_for(args.adapters, name, command.weights)
    made: Any = _combined([lvtune.load_adapter(source, base) for source in args.adapters], command)
    lvtune.save_adapter(made, out, base)
    numbers = sum(value.numel() for value in made.tensors().values())
    values = {"folder": str(out), "how": command.how, "method": made.method, "of": args.adapters, "numbers": numbers}
    factors = [f"{factor:g} x " for factor in command.factors or ()] or [""] * len(args.adapters)
    parts = ", ".join(f"{factor}{source}" for factor, source in zip(factors, args.adapters, strict=True))
    text = f"{command.how} of {parts}\n{made.method}, {numbers:,} numbers, written to {out}"
    return Outcome(values, f"{text}\n\nuse it: lvtune predict PICTURE --adapter {shell_word(out)}")


def _combined(adapters: list[nn.Module], command: CombineCommand) -> nn.Module:
    import lvtune

    if command.how == "stack":
        given = "factors" if command.factors is not None else "rank" if command.rank is not None else None
        if given is not None:
            raise UsageError(f"--{given} for a stack", "members as they are", f"remove --{given}, or sum them first")
        return lvtune.stack(adapters)
    factors = command.factors or (1.0,) * len(adapters)
    make = lvtune.average if command.how == "average" else lvtune.combine
    return make(adapters, factors, rank=command.rank)


def _free(out: Path, overwrite: bool) -> Path:
    from lvtune.storage.adapter_file import TENSORS_FILE

    if (out / TENSORS_FILE).exists() and not overwrite:
        raise UsageError(
            f"--out {out}, which holds an adapter", "a folder without one", "choose another, or add --overwrite"
        )
    return out
