"""Trainable parameters of VLPose: every matcher with every decoder, every size with every kind of visual prompt.

    python benchmarks/vlpose_counts.py > benchmarks/vlpose_counts.md

Counts new adapters without storage (torch's meta device), in the published settings: 768-d token states (BLIP base), 17
key points, no gates. The released code itself has 6,747,921 for B with 20 deep prompts (commit f312a9f); all others
follow from the same shapes.
"""

from __future__ import annotations

import torch

from lvtune.adapters.factory import create_adapter
from lvtune.adapters.vlpose_decoders import DECODERS
from lvtune.adapters.vlpose_matchers import MATCHERS
from lvtune.bases.base_registry import load_base
from lvtune.language.bank import SentenceBank

BASES = (
    "vitpose-s", "vitpose-b", "vitpose-l", "vitpose-h", "swinpose-t", "swinpose-b", "swinpose-l", "pvtpose-s",
    "pvtv2pose-b",
)  # fmt: skip
PLACEMENTS = ("deep", "shallow", "ff", "ll")
WIDTHS = {"blip, siglip": 768, "clip, clip-tokens": 512, "minilm": 384}


def count(base, width: int = 768, **options) -> int | None:
    """Trainable numbers; None where the base has no place for such prompts."""
    bank = SentenceBank(("a",), ("a",), torch.zeros(1, 1, width), torch.ones(1, 1, dtype=torch.bool), "none")
    if options.get("placement") == "shallow" and not base.carries_tokens:
        return None
    with torch.device("meta"):
        adapter = create_adapter("vlpose", base, bank=bank, zero_init=False, **options)
    return sum(value.numel() for value in adapter.parameters() if value.requires_grad)


def table(head: list[str], rows: list[list]) -> str:
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell or "refused" for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---", *["---:"] * (len(head) - 1)], *cells])


def main() -> None:
    with torch.device("meta"):
        bases = {name: load_base(name, "random") for name in BASES}
    b = bases["vitpose-b"]
    decoders, matchers = DECODERS.names(), MATCHERS.names()
    print("# VLPose: trainable parameters\n\nWritten by `python benchmarks/vlpose_counts.py`.\n")
    print("## Matcher and decoder: ViTPose-B, 20 deep visual prompts, 768-d text\n")
    rows = [[name, *(count(b, matcher=name, decoder=decoder) for decoder in decoders)] for name in matchers]
    print(table(["matcher", *decoders], rows))
    print("\nThe baseline reads no relation, so its matcher is not made: visual prompts and predictor are left.")
    print("\n## Base and kind of visual prompt: concat, dual-released, 768-d text, published counts of prompts\n")
    rows = [[name, *(count(base, placement=kind) for kind in PLACEMENTS)] for name, base in bases.items()]
    print(table(["base", *PLACEMENTS], rows))
    print("\nWindows and pyramids have no place for shallow visual prompts;", end=" ")
    print("the count of deep ones goes by the size's letter, else 20.")
    print("\n## Text encoder: concat, dual-released, deep visual prompts\n")
    sizes = {name: bases[f"vitpose-{name}"] for name in "sblh"}
    rows = [[name, *(count(base, width) for base in sizes.values())] for name, width in WIDTHS.items()]
    print(table(["encoder", *(f"vitpose-{name}" for name in sizes)], rows))


if __name__ == "__main__":
    main()
