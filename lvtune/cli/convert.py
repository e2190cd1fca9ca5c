"""``lvtune convert``: converts checkpoints of other projects and labels of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lvtune.cli.convert_data import convert_data
from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline
from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.registry import suggest
from lvtune.core.text import shell_word

if TYPE_CHECKING:
    from lvtune.adapters.adapter import Adapter

KINDS = ("vitpose", "vlpose", "data")
_OPTIONS: dict[str, dict[str, Any]] = {
    "--name": {"metavar": "BASE", "help": "name of a vitpose base, such as vitpose-b (default: by its size)"},
    "--domain": {"help": "domain whose sentences a vlpose adapter reads (default: none yet)"},
    "--encoder": {"default": "blip", "help": "text encoder of these sentences (default: blip, as released)"},
    "--arch": {
        "metavar": "JSON",
        "help": 'what the shapes of a vlpose file do not say, such as {"num_heads": 4}; not needed for S, B, L and H',
    },
    "--to": {"metavar": "coco", "default": "coco", "help": "format that data are written in (default: coco)"},
    "--boxes": {
        "metavar": "points|whole",
        "default": "points",
        "help": "for data: box of an instance without an annotated box. points: around its labelled points, with a "
        "margin. whole: the whole picture. (default: points)",
    },
    "--link": {"action": "store_true", "help": "for data: put links to the pictures into DIR, not copies"},
    "--pictures": {"metavar": "DIR", "help": "for data: folder of the pictures, if it is not that of the labels"},
}


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the kind, the file and the options."""
    result = Parser("convert", summary)
    result.add_argument(
        "kind", metavar="KIND", help="vitpose (a base), vlpose (a base and an adapter) or data (labels)"
    )
    result.add_argument("file", metavar="FILE", help=".pth or .safetensors file; for data, the project")
    result.add_argument("--out", metavar="DIR", help="folder to write into (default: ./lvtune-out/KIND-FILE)")
    for name, options in _OPTIONS.items():
        result.add_argument(name, **options)
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Converts and writes.

    Raises:
        CommandLineError: unknown kind.
    """
    if args.kind not in KINDS:
        raise CommandLineError(
            f"unknown kind '{args.kind}'",
            ", ".join(KINDS),
            suggest(args.kind, list(KINDS), "choose one"),
        )
    if args.kind == "data":
        return convert_data(args)
    from lvtune.export import foreign_models as convert
    from lvtune.storage.output_folder import check_output, files_at

    out = Path(args.out or Path("lvtune-out") / f"{args.kind}-{Path(args.file).stem}")
    names = ("config.json", "model.safetensors", "generation_config.json", Path(args.file).name)
    check_output(out, [place / name for place in (out, out / "base", out / "adapter") for name in names],
                 files=files_at(args.file))  # fmt: skip
    state = convert.read_checkpoint(args.file)
    values: dict[str, Any] = {"kind": args.kind, "file": args.file}
    if args.kind == "vitpose":
        base = convert.convert_vitpose(state, args.name)
        values |= _base(base, out)
        usage = f"use it: lvtune evaluate --base {base.name} --weights {shell_word(out)}"
    else:
        from lvtune.bases.foreign_checkpoint import arch_in
        from lvtune.language.bank import get_bank
        from lvtune.storage.store import save_adapter

        bank = get_bank(args.domain, args.encoder) if args.domain else None
        made = convert.convert_vlpose(state, args.arch or arch_in(args.file), bank=bank)
        base, adapter = made[0], cast("Adapter", made[1])
        adapter.domain = args.domain
        values |= _base(base, out / "base")
        values["sentences"] = "none yet: give --domain NAME" if bank is None else len(bank.sentences)
        values["adapter"] = str(save_adapter(adapter, out / "adapter", base))
        places = f"--weights {shell_word(out / 'base')} --adapter {shell_word(out / 'adapter')}"
        usage = f"use it: lvtune predict PICTURE --base {base.name} {places}"
    return Outcome(values, f"{outline(values)}\n\n{usage}")


def _base(base: Any, folder: Path) -> dict[str, Any]:
    """Writes the base as transformers does; ``--weights`` reads it."""
    from lvtune.export.transformers_folder import save_whole

    save_whole(folder, base.model)
    return {
        "base": base.name,
        "weights": str(folder),
        "input_size": list(base.input_size),
        "keypoints": len(base.skeleton.keypoints),
    }
