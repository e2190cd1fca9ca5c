"""Packs a ``full`` adapter of a hand estimator into one file of weights for ``--weights``, in float16.

    python tools/pack_hand3d_vit.py ADAPTER_FOLDER [WEIGHTS_OUT]

ADAPTER_FOLDER is what ``lvtune adapt --config hand3d-vit`` wrote. Without WEIGHTS_OUT the file goes where
``load_base("hand3d-vit")`` looks for it. The rounded weights are scored; beside them go all scores (.json) and a card.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

import lvtune
from lvtune.bases.vitpose_weights import SHIPPED
from lvtune.evaluation.metrics import METRICS


def pack(adapter: Path, out: Path) -> None:
    """Encoder, head and lifting under the model's own names."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    state = {
        name.replace("tail.0.", "lifting.", 1): (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, out, {"base": "hand3d-vit", "trained_on": "rendered hand figures, green_screen"})
    # others read it too, which safetensors does not see to
    out.chmod(0o644)


def score(weights: Path) -> dict:
    """All scores of the packed weights on unseen poses of source and target; curves are left out."""
    found = lvtune.evaluate("hand3d-vit", domain="hand-figures", weights=str(weights))
    return {
        where: {"name": found[f"{where}_name"]} | {k: v for k, v in found[where].items() if k != "pck_curve"}
        for where in ("source", "target")
    }


def card(report: dict, scores: dict, size: int) -> str:
    """What the weights are and how they score."""
    rows = [
        f"| {METRICS[key]} | {scores['source'][key]:.1f} | {scores['target'][key]:.1f} |"
        for key in METRICS
        if key in scores["source"]
    ]
    train = report["recipe"]["train"]
    return "\n".join([
        "# hand3d-vit", "",
        "ViT-Tiny/16 with the classic head (96 channels) and the lifting of Zimmermann & Brox, 128x128 input,",
        f"float16, {size / 1e6:.1f} MB.", "",
        "- **Data**: rendered hand figures (`hand-figures`, green screen). No photograph of a hand was seen.",
        "- **Start**: ImageNet weights of timm's `vit_tiny_patch16_224`.",
        f"- **Recipe**: `recipes/hand3d-vit.yaml`, {train['steps']} steps of {train['batch_size']}; "
        f"tuning took {report['seconds']['tune']:.0f} s.", "",
        f"Scores in percent or mm on {scores['source']['hands']} hands in poses that training had none of:", "",
        f"| | {scores['source']['name']} | {scores['target']['name']} |", "|---|---|---|", *rows, "",
        "Known limits: it has seen rendered hands before a green screen alone. On photographs, and on rendered hands",
        "of other make, it is mostly wrong before it is adapted.", "",
    ])  # fmt: skip


def main() -> None:
    """Packs, scores, writes scores and card."""
    adapter = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED / "hand3d-vit.safetensors"
    pack(adapter, out)
    report, scores = json.loads((adapter / "report.json").read_text()), score(out)
    out.with_suffix(".json").write_text(json.dumps(scores, indent=1))
    out.with_suffix(".md").write_text(card(report, scores, out.stat().st_size))
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
