"""``lvtune predict``: pictures that nobody annotated."""

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
    """The frozen pose estimator; None: the one the adapter was made for, else vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """Folder or Hub id of an adapter, or of several, one --adapter each; none: the base alone."""
    route: str | None = None
    """Which adapter a picture goes under: auto, the one whose sentences CLIP finds to fit it best, or none; or a name
    as given to --adapter. None: auto where there are several."""
    threshold: float = 0.0
    """By how much more an adapter's sentence must fit than "a photo of a human" (difference of cosines), with auto."""
    boxes: str = "whole"
    """JSON file of boxes: {"picture.jpg": [[x, y, width, height]]} in pixels, a detector's COCO results, or COCO
    annotations; or whole: each picture is one instance."""
    box_threshold: float = field(default=BOX_THRESHOLD, metadata={"at_least": 0, "at_most": 1})
    """Score of the detector below which a box is left out."""
    box_class: str | None = None
    """Class of the boxes that are used, by name or COCO id, or all; None: persons for people's key points, else all."""
    box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """How the boxes are written; auto decides by which reading stays inside the pictures."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Category whose sentence the adapter reads, auto (CLIP ranks them for each picture) or mean; None: the mean."""
    ranker: str = "openai/clip-vit-base-patch32"
    """CLIP or SigLIP for the route and the category auto: a Hub id or a folder."""
    out: str | None = None
    """Folder for the drawn pictures, poses.json, poses.csv and results.coco.json; None: ./lvtune-out/predict, or with
    --json nothing is written."""
    format: Literal["plain", "dlc"] = "plain"
    """Files in the folder; dlc: DeepLabCut's CSV and H5 too."""
    flip_test: bool = True
    """Average over the picture and its mirror image."""
    batch_size: int = field(default=32, metadata={"at_least": 1})
    """Instances per forward pass."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    hand: HandSpace = field(default_factory=HandSpace)
    """What is known of hands in 3D."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Pictures, and options of :class:`PredictCommand`."""
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
        space=command.hand,
    )
    found = [pose.to_dict() for pose in poses]
    asked = [name for name in ("adapter", "category") if any(name in pose for pose in found)]
    rows = [
        [pose["image"], ",".join(f"{v:g}" for v in pose["bbox"]), *(pose.get(a) for a in asked), _mean(pose)]
        for pose in found
    ]
    parts = [table(["picture", "box", *asked, "mean score"], rows) if rows else "no pose"]
    parts += [f"note: {note}" for note in poses.notes] + ([f"written to {out}"] if out else [])
    values = {"poses": found, "out": out, "pictures": len(poses.pictures), "notes": poses.notes}
    return Outcome(values, "\n\n".join(parts))


def _mean(pose: dict) -> float:
    scores = [point["score"] for point in pose["keypoints"]]
    return sum(scores) / max(1, len(scores))
