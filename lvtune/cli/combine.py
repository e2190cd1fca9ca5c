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


BASE = "base"
"""In place of an adapter of --how join: the bare base."""


@dataclass(frozen=True)
class CombineCommand:
    """Options of ``lvtune combine``."""

    how: Literal["average", "sum", "stack", "join"] = "average"
    """``average`` or ``sum``: of the differences from the base, times their factors; all adapters must be of one
    method. ``stack``: all adapters act at once, whatever their methods; the first one is next to the base. ``join``:
    one prediction with the key points of all adapters, each as its own adapter predicts it; the base runs once for each
    adapter, and ADAPTER may also be the word base."""
    factors: tuple[float, ...] | None = None
    """One number for each adapter, such as 3,1. A leading minus needs an equals sign: --factors=-1,1. None: 1 each."""
    points: tuple[str, ...] = ()
    """With --how join: key points that several adapters predict, each with the number of the one that gives it, such
    as 2:nose,2:tail. Every other shared key point is taken from the first adapter that predicts it."""
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
    command = _checked(command, args.adapters)
    loaded = [source for source in args.adapters if source != BASE or command.how != "join"]
    name = command.base or made_for(next(iter(loaded), None)).get("base", Recipe.base)
    import lvtune
    from lvtune.hub.adapter_loading import load_base_for

    base = load_base_for(loaded, name, command.weights)
    sources = [lvtune.load_adapter(one, base) if one in loaded else None for one in args.adapters]
    made: Any = _combined(sources, command, base)
    lvtune.save_adapter(made, out, base)
    numbers = sum(value.numel() for value in made.tensors().values())
    values = {"folder": str(out), "how": command.how, "method": made.method, "of": args.adapters, "numbers": numbers}
    factors = [f"{factor:g} x " for factor in command.factors or ()] or [""] * len(args.adapters)
    parts = ", ".join(f"{factor}{source}" for factor, source in zip(factors, args.adapters, strict=True))
    text = f"{command.how} of {parts}\n{made.method}, {numbers:,} numbers, written to {out}"
    if command.how == "join":
        values["keypoints"] = [[name, place] for name, place in
                               zip(made.skeleton.keypoints, made.config.points, strict=True)]  # fmt: skip
        text += f"\n{_joined(made, args.adapters)}"
    left = [f"{what} of {', '.join(names)}" for what, names in _left_behind(sources, args.adapters, made).items()]
    if left:
        text += f"\nnot carried over, since fitted to one adapter alone: {'; '.join(left)}"
    return Outcome(values, f"{text}\n\nuse it: lvtune predict PICTURE --adapter {shell_word(out)}")


def _left_behind(sources: Sequence[Any], names: Sequence[str], made: Any) -> dict[str, list[str]]:
    """What the files of the adapters hold and the new one does not, with the names of those adapters."""
    found: dict[str, list[str]] = {}
    for entry, what in (("calibration", "calibrated confidence"), ("gate", "gate")):
        if not (made.saved_with or {}).get(entry):
            have = [name for one, name in zip(sources, names, strict=True) if one and one.saved_with.get(entry)]
            found |= {what: have} if have else {}
    return found


def _checked(command: CombineCommand, adapters: Sequence[str]) -> CombineCommand:
    if command.points and command.how != "join":
        raise UsageError(f"--points for --how {command.how}", "--how join", "remove --points")
    if command.how == "join" and (command.factors is not None or command.rank is not None):
        given = "factors" if command.factors is not None else "rank"
        raise UsageError(f"--{given} for --how join", "adapters as they are", f"remove --{given}")
    return command


def _points(given: Sequence[str]) -> dict[str, int]:
    """Key point to the number of an adapter."""
    found: dict[str, int] = {}
    for text in given:
        number, colon, name = text.partition(":")
        if not colon or not number.strip().isdecimal() or not name.strip():
            raise UsageError(f"--points {text}", "the number of an adapter, a colon and a key point, such as 2:nose",
                             "give --points 2:nose,2:tail")  # fmt: skip
        found[name.strip()] = int(number)
    return found


def _joined(made: Any, adapters: Sequence[str]) -> str:
    """Which adapter gives which key points, what it costs, and whether mirrored pictures are looked at."""
    from lvtune.adapters.flip_test import takes_flip_test

    names = list(zip(made.skeleton.keypoints, made.config.points, strict=True))
    lines = []
    for place, source in enumerate(adapters, 1):
        own = [name for name, giver in names if giver == place]
        lines.append(f"from {source}: {', '.join(own) or 'no key point (leave it out: it costs a run of the base)'}")
    lines.append(f"a prediction takes {len(adapters)} runs of the base, one for each adapter")
    if not takes_flip_test(made):
        lines.append("the flip test is off: one of them has no mirror pairs, or is predicted without mirrored pictures")
    return "\n".join(lines)


def _combined(adapters: Sequence[Any], command: CombineCommand, base: nn.Module) -> nn.Module:
    import lvtune

    if command.how == "join":
        return lvtune.join(adapters, base=base, points=_points(command.points))

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
