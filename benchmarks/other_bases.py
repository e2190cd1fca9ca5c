"""Adapts pyramid and windowed bases for a few steps: the loss falls, and detaching restores the base bit for bit.

    python benchmarks/other_bases.py --data LSPET/ [--bases swinpose-t,pvtv2pose-b,pvtpose-s] [--steps 40]

Uses bases at full size with random weights (the pretrained ones are on the Hub), and ``vlpose`` with its published
options on photographs of LSPET under filters (`lsp-art/seen`). Prints one Markdown row for each base: mean loss of the
first and of the last ten steps, weights tuned, and whether the fingerprints before and after agree. The last column
says whether the heatmaps after detaching are the same as before, bit for bit (and differ with the adapter on).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

import torch

import lvtune

AVERAGED = 10


def given_back(name: str, file: str) -> bool:
    """Whether a base answers after the adapter as before it, and otherwise with it."""
    base = lvtune.load_base(name, "random").eval()
    adapter = lvtune.load_adapter(file, base)
    height, width = base.spec.input_size
    pixels = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = base(pixels)
        with lvtune.attach(base, adapter):
            on = base(pixels)
        after = base(pixels)
    return torch.equal(before, after) and (on.shape != before.shape or not torch.equal(on, before))


def main() -> None:
    """Adapts each base and prints its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a copy of LSPET")
    parser.add_argument("--bases", default="swinpose-t,pvtv2pose-b,pvtpose-s")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--limit", type=int, default=64, help="persons of each part")
    given = parser.parse_args()
    print("| base | weights tuned | loss, first ten steps | last ten | base unchanged | off bit-identical |")
    print("|---|---:|---:|---:|---|---|", flush=True)
    for name in given.bases.split(","):
        with tempfile.TemporaryDirectory() as folder:
            recipe = {
                "base": name, "weights": "random", "domain": "lsp-art/seen", "method": "vlpose", "out": folder,
                "data": {"data": given.data, "limit": given.limit}, "evaluate": {"flip_test": False},
                "train": {"steps": given.steps, "batch_size": 8},
            }  # fmt: skip
            report = lvtune.adapt(recipe).to_dict()
            same_answers = given_back(name, folder)
        loss, base = report["curves"]["loss"], report["base"]
        first, last = statistics.mean(loss[:AVERAGED]), statistics.mean(loss[-AVERAGED:])
        same = base["fingerprint_before"] == base["fingerprint_after"]
        print(
            f"| {name} | {report['adapter']['parameters']:,} | {first:.3e} | {last:.3e} | {same} | {same_answers} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
