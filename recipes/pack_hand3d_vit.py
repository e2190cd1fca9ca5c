"""Packs a ``full`` adapter of a hand estimator into one file of weights for ``--weights``, in float16.

    python recipes/pack_hand3d_vit.py ADAPTER_FOLDER [WEIGHTS_OUT]

ADAPTER_FOLDER is what ``lvtune adapt --config hand3d-vit`` wrote. Without WEIGHTS_OUT the file goes where
``load_base("hand3d-vit")`` looks for it. Scores stand in a card beside it, as ADAPTER_FOLDER/report.json tells them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from lvtune.bases import load_base
from lvtune.bases.loading import SHIPPED
from lvtune.evaluation.names import METRICS


def pack(adapter: Path, out: Path) -> None:
    """Encoder, head and lifting under the model's own names."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    state = {
        name.replace("tail.0.", "lifting.", 1): (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, out)


def card(report: dict, size: int) -> str:
    """What the weights are and how they score."""
    rows = [
        f"| {where}: {report[f'{where}_name']} | {METRICS[key]} | {value:.1f} |"
        for where in ("source", "target")
        for key, value in report[where]["after_on"].items()
        if value is not None
    ]
    train = report["recipe"]["train"]
    return "\n".join([
        "# hand3d-vit", "",
        "ViT-Tiny/16 with the classic head (96 channels) and the lifting of Zimmermann & Brox, 128x128 input,",
        f"float16, {size / 1e6:.1f} MB.", "",
        "- **Data**: rendered hand figures (`hand-figures`, green screen). No photograph of a hand was seen.",
        "- **Start**: ImageNet weights of timm's `vit_tiny_patch16_224`.",
        f"- **Recipe**: `recipes/hand3d-vit.yaml`, {train['steps']} steps of {train['batch_size']}.", "",
        "Scores in percent or mm, as measured in float32 before rounding:", "",
        "| data | metric | score |", "|---|---|---|", *rows, "",
    ])  # fmt: skip


def main() -> None:
    """Packs, checks that the file loads, writes the card."""
    adapter = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED / "hand3d-vit.safetensors"
    pack(adapter, out)
    load_base("hand3d-vit", str(out))
    report = json.loads((adapter / "report.json").read_text())
    out.with_suffix(".md").write_text(card(report, out.stat().st_size))
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
