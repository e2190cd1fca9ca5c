"""``lvtune convert``: checkpoints of other projects in our form, and label files of other tools as COCO's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvtune.cli.convert_data import convert_data
from lvtune.cli.outcome import Outcome
from lvtune.cli.output import outline
from lvtune.cli.parser import CommandLineError, Parser
from lvtune.core.registry import suggest
from lvtune.core.text import shell_word

KINDS = ("vitpose", "vlpose", "data")


def parser(argv: Sequence[str], summary: str) -> Parser:
    """The kind, the file, and where to write."""
    result = Parser("convert", summary)
    result.add_argument("kind", metavar="KIND", help="vitpose (a base), vlpose (base and adapter), or data (labels)")
    result.add_argument("file", metavar="FILE", help=".pth or .safetensors file; of data, the project")
    result.add_argument("--out", metavar="DIR", help="folder to write into (default: ./lvtune-out/KIND-FILE)")
    result.add_argument("--name", metavar="BASE", help="name of a vitpose base, such as vitpose-b (default: by size)")
    result.add_argument("--domain", help="whose sentences a vlpose adapter is to read (default: none yet)")
    result.add_argument("--encoder", default="blip", help="text encoder of these (default: blip, as released)")
    result.add_argument("--arch", metavar="JSON", help="what the shapes of a vlpose file do not say, such as "
                        '{"num_heads": 4}; for S, B, L and H nothing is needed')  # fmt: skip
    result.add_argument("--to", metavar="coco", default="coco", help="form that data are written in (default: coco)")
    result.add_argument("--boxes", metavar="points|whole", default="points", help="box of an instance of data that "
                        "nobody drew a box around: points, around them with a margin; whole, the whole picture "
                        "(default: points)")  # fmt: skip
    result.add_argument("--link", action="store_true", help="put links to the pictures of data into DIR, not copies")
    result.add_argument("--pictures", metavar="DIR", help="folder of the pictures, where the labels lie elsewhere")
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

    out = Path(args.out or Path("lvtune-out") / f"{args.kind}-{Path(args.file).stem}")
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
        base, adapter = convert.convert_vlpose(state, args.arch or arch_in(args.file), bank=bank)
        adapter.domain = args.domain
        values |= _base(base, out / "base")
        values["sentences"] = "none yet: give --domain NAME" if bank is None else len(bank.sentences)
        values["adapter"] = str(save_adapter(adapter, out / "adapter", base))
        places = f"--weights {shell_word(out / 'base')} --adapter {shell_word(out / 'adapter')}"
        usage = f"use it: lvtune predict PICTURE --base {base.name} {places}"
    return Outcome(values, f"{outline(values)}\n\n{usage}")


def _base(base: Any, folder: Path) -> dict[str, Any]:
    """Writes the base as transformers does, which ``--weights`` reads."""
    base.model.save_pretrained(folder)
    return {
        "base": base.name,
        "weights": str(folder),
        "input_size": list(base.input_size),
        "keypoints": len(base.skeleton.keypoints),
    }
