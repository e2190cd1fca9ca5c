"""``lvtune predict``: finds the key points in pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lvtune.api.box_choice import BOX_THRESHOLD, BoxChoice
from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for
from lvtune.cli.output import table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.data.hand_space import HandSpace


@dataclass(frozen=True)
class PredictCommand:
    """Options of ``lvtune predict``."""

    base: str | None = None
    """The frozen pose estimator. None: the one that the adapter was made for, or vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """Folder or Hub id of an adapter; repeat --adapter for several. Without it: the base alone."""
    route: str | None = None
    """Which adapter a picture gets: auto (the one whose sentences fit it best by CLIP, or none if "a photo of a human"
    fits better) or the value of an --adapter. None: auto if there are several."""
    threshold: float = 0.0
    """With the route auto: by how much better than "a photo of a human" an adapter's sentence must fit (difference of
    cosines)."""
    boxes: str = "whole"
    """JSON file of boxes: {"picture.jpg": [[x, y, width, height]]} in pixels, a detector's results in COCO's format, or
    COCO annotations. whole: each whole picture is one instance."""
    box_threshold: float = field(default=BOX_THRESHOLD, metadata={"at_least": 0, "at_most": 1})
    """Boxes with a lower score of the detector are left out."""
    box_class: str | None = None
    """Class of the boxes to use: a name, a COCO id, or all. None: persons if the key points are people's, or all."""
    box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """Format of the boxes. auto: the format with which they stay inside the pictures."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Category whose sentence the adapter reads; or auto (CLIP ranks them for each picture), or mean. None: mean."""
    ranker: str = "openai/clip-vit-base-patch32"
    """CLIP or SigLIP model for the route auto and the category auto: a Hub id or a folder."""
    out: str | None = None
    """Folder for the drawn pictures, poses.json, poses.csv and results.coco.json. None: ./lvtune-out/predict; with
    --json nothing is written."""
    format: Literal["plain", "dlc"] = "plain"
    """Files that are written. dlc: also DeepLabCut's CSV and H5."""
    flip_test: bool = True
    """Average the predictions for the picture and for its mirror image."""
    batch_size: int = field(default=32, metadata={"at_least": 1})
    """Instances per forward pass."""
    max_pixels: int = field(default=200_000_000, metadata={"at_least": 1})
    """Pictures with more pixels are refused."""
    min_score: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Key points with a lower score are left out. With a calibrated adapter the score is the probability that the point
    is right; else the maximum of its heatmap. None: none is left out."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""
    hand: HandSpace = field(default_factory=HandSpace)
    """What you know of the hands and the camera, for key points in 3D."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the pictures and the options of :class:`PredictCommand`."""
    result = Parser("predict", summary)
    result.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture, or folder of pictures")
    add_options(result, PredictCommand)
    result.add_argument(
        "--class", dest="box_class", metavar="TEXT", default=argparse.SUPPRESS, help="the same as --box-class"
    )
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Predicts and draws."""
    command: PredictCommand = from_args(args, PredictCommand)
    base = command.base or made_for(next(iter(command.adapter), None)).get("base", Recipe.base)
    out = command.out or (None if args.json else str(Path("lvtune-out") / "predict"))
    import lvtune

    poses = lvtune.predict(
        args.pictures,
        base=base,
        adapter=command.adapter if command.route or len(command.adapter) > 1 else next(iter(command.adapter), None),
        route=command.route,
        threshold=command.threshold,
        boxes=command.boxes,
        box_choice=BoxChoice(command.box_threshold, command.box_class, command.box_format),
        category=command.category,
        ranker=command.ranker,
        out=out,
        layout=command.format,
        weights=command.weights,
        flip_test=command.flip_test,
        batch_size=command.batch_size,
        device=command.device,
        max_pixels=command.max_pixels,
        space=command.hand,
        min_score=command.min_score,
    )
    found = [pose.to_dict() for pose in poses]
    extra = [name for name in ("adapter", "category") if any(name in pose for pose in found)]
    rows = [
        [pose["image"], ",".join(f"{v:g}" for v in pose["bbox"]), *(pose.get(name) for name in extra), _mean(pose)]
        for pose in found
    ]
    parts = [table(["picture", "box", *extra, "mean score"], rows) if rows else "no pose"]
    parts += [f"note: {note}" for note in poses.notes] + ([f"written to {out}"] if out else [])
    values = {"poses": found, "out": out, "pictures": len(poses.pictures), "notes": poses.notes}
    return Outcome(values, "\n\n".join(parts))


def _mean(pose: dict) -> float:
    scores = [point["score"] for point in pose["keypoints"]]
    return sum(scores) / max(1, len(scores))
