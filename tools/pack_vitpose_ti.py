"""Packs a ``full`` adapter of ``vitpose-ti`` into the file that ships with the package, and writes its card.

    python tools/pack_vitpose_ti.py ADAPTER_FOLDER LSPET_FOLDER [WEIGHTS_OUT]

ADAPTER_FOLDER holds ``adapter_model.safetensors`` from ``lvtune adapt --config vitpose-ti``; LSPET_FOLDER holds
``annotations/test.json``, ``annotations/val.json`` and ``images/``. The weights are rounded to float16, and the rounded
weights are scored; if they go into the package, their confidence is calibrated too (``calibrate_vitpose_ti.py``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from calibrate_vitpose_ti import calibrate
from safetensors.torch import load_file, save_file

from lvtune.bases.base_registry import load_base
from lvtune.bases.vitpose_weights import SHIPPED
from lvtune.data.table import read_coco
from lvtune.domains import Split
from lvtune.evaluation.inference import predict_split, split_dataset
from lvtune.evaluation.pck import pck
from lvtune.evaluation.scores import score_predictions
from lvtune.storage.base_calibration import SUFFIX


def pack(adapter: Path, out: Path) -> None:
    """Copies of encoder and head under the model's own names, in float16."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    rename = lambda name: name.replace("encoder.", "backbone.", 1) if name.startswith("encoder.") else name  # noqa: E731
    state = {
        rename(name): (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in tensors.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, out, {"base": "vitpose-ti", "trained_on": "Leeds Sports Pose Extended, train split"})


def argmax_decoding(base: object, split: Split) -> torch.Tensor:
    """Key points by plain argmax with flip test, to compare with plain attempts elsewhere."""

    class Plain:
        def __getattr__(self, name: str) -> object:
            return getattr(codec, name)

        def decode(self, heatmaps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores, index = heatmaps.flatten(2).max(-1)
            (h, w), (height, width) = codec.heatmap_size, codec.input_size
            points = torch.stack([index % w / (w - 1) * width, index // w / (h - 1) * height], -1)
            return points, scores

    codec = base.codec
    base.codec = Plain()
    points, _ = predict_split(base, split)
    base.codec = codec
    return points


def score(lspet: Path) -> dict:
    """Scores of the packed base on the test photographs."""
    base = load_base("vitpose-ti")
    table = read_coco(lspet / "annotations/test.json", lspet / "images")
    split = Split(table=table, render=None, views=None, name="LSPET test")
    points, scores = predict_split(base, split)
    values = score_predictions(table, points, scores)
    truth = table.column("keypoints")
    names = list(table.skeleton.keypoints)
    torso = (names.index("right_shoulder"), names.index("left_hip"))
    plain = pck(argmax_decoding(base, split), truth[..., :2], truth[..., 2], table.skeleton, ends=torso)
    unflipped, _ = predict_split(base, split, flip_test=False)
    single = pck(unflipped, truth[..., :2], truth[..., 2], table.skeleton)
    wanted = ("pck@0.2", "pck@0.5", "ap", "instances", "skipped", "per_joint@0.2", "per_joint@0.5")
    return {
        "default protocol": {name: values[name] for name in wanted},
        "plain argmax, torso right shoulder to left hip": {n: plain[n] for n in ("pck@0.2", "pck@0.5", "counted")},
        "without flip test": {n: single[n] for n in ("pck@0.2", "pck@0.5")},
        "pictures": len(split_dataset(base, split)),
    }


def card(values: dict) -> str:
    """The card beside the weights."""
    best, plain = values["default protocol"], values["plain argmax, torso right shoulder to left hip"]
    single = values["without flip test"]
    rows = [
        f"| {name.replace('_', ' ')} | {best['per_joint@0.2'][name]:.1f} | {best['per_joint@0.5'][name]:.1f} |"
        for name in best["per_joint@0.2"]
    ]
    return "\n".join([
        "# vitpose-ti", "",
        "ViTPose with a ViT-Tiny/16 encoder (ImageNet weights, timm `vit_tiny_patch16_224`) and the classic head",
        "(two deconvolutions of 96 channels, 1x1 predictor), 128x96 input, 14 key points, float16.", "",
        "- **Data**: 7,943 training photographs of Leeds Sports Pose Extended (S. Johnson, M. Everingham, *Learning",
        "  Effective Human Pose Estimation from Inaccurate Annotation*, CVPR 2011), person crops of at most 176 px.",
        "  Labels are crowd-sourced and noisy. No photograph of the validation and test splits is among them, nor one",
        "  that the domains `demo-art` and `lsp-art` are tested on.",
        "- **Recipe**: `recipes/vitpose-ti.yaml` (method `full`, every weight, running mean of the weights, 40 epochs,",
        "  bfloat16 on two CPU cores).",
        "- **Why 128x96**: the photographs have at most 176 px, and the default `lvtune adapt` has to fit three",
        "  minutes on two cores. **Why 96 channels**: with ViTPose's 256 the float16 file would be 14.7 MB.", "",
        f"Scores on the LSPET test split ({values['pictures']} photographs, ground-truth boxes):", "",
        "| protocol | PCK@0.2 | PCK@0.5 | OKS-AP |", "|---|---|---|---|",
        "| UDP decoding, flip test; torso left shoulder to right hip "
        f"({best['instances'] - best['skipped']} persons with both seen) "
        f"| {best['pck@0.2']:.1f} | {best['pck@0.5']:.1f} | {best['ap']:.1f} |",
        f"| the same without flip test | {single['pck@0.2']:.1f} | {single['pck@0.5']:.1f} | |",
        f"| plain argmax, flip test; torso right shoulder to left hip ({plain['counted']} persons) "
        f"| {plain['pck@0.2']:.1f} | {plain['pck@0.5']:.1f} | |", "",
        "Per joint, first protocol:", "", "| joint | PCK@0.2 | PCK@0.5 |", "|---|---|---|", *rows, "",
        "Known limits: people photographed doing sports, one person in the crop; not COCO, not Human-Art.", "",
    ])  # fmt: skip


def main() -> None:
    """Packs, scores, writes the card."""
    adapter, lspet = Path(sys.argv[1]), Path(sys.argv[2])
    out = Path(sys.argv[3]) if len(sys.argv) > 3 else SHIPPED / "vitpose-ti.safetensors"
    pack(adapter, out)
    values = score(lspet)
    out.with_suffix(".json").write_text(json.dumps(values, indent=1))
    out.with_suffix(".md").write_text(card(values))
    print(card(values))
    if out.parent == SHIPPED:
        print(calibrate(lspet, SHIPPED / f"vitpose-ti{SUFFIX}"))


if __name__ == "__main__":
    main()
