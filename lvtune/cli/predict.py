"""``lvtune predict``: finds the key points in pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lvtune.api.recipe import Recipe
from lvtune.cli.outcome import Outcome, made_for
from lvtune.cli.output import table
from lvtune.cli.parser import Parser, add_options, from_args
from lvtune.config.options import DataOptions
from lvtune.core.errors import UsageError
from lvtune.core.text import counted, one_line
from lvtune.data.hand_space import HandSpace
from lvtune.prediction.box_choice import BOX_THRESHOLD, BoxChoice
from lvtune.prediction.predict_options import DrawOptions
from lvtune.prediction.video_options import VideoOptions

if TYPE_CHECKING:
    from lvtune.prediction.pose import FramePoses

_ROWS = 40
"""Poses in the table that is printed; the files have all."""


@dataclass(frozen=True)
class PredictCommand:
    """Options of ``lvtune predict``."""

    split: str | None = None
    """PICTURE is a data set, such as a project of a labelling tool: its pictures of this split, such as test. None:
    PICTURE names files."""
    domain: str = "custom"
    """With --split: the domain whose data PICTURE is."""
    base: str | None = None
    """The frozen pose estimator. None: the one that the adapter was made for, or vitpose-ti."""
    weights: str = "pretrained"
    """Weights of the base: pretrained, random, a path or a Hub id."""
    adapter: tuple[str, ...] = field(default=(), metadata={"repeats": True})
    """Folder or Hub id of an adapter; repeat --adapter for several. Without it: the base alone."""
    route: str | None = None
    """Which adapter a picture gets: auto, or the value of an --adapter. auto: the adapter whose training pictures look
    most like it to the base, or no adapter (docs/choosing.md). With --ranker, or if an adapter has no gate: the adapter
    whose sentences fit best by CLIP, or none if "a photo of a human" fits better. None: auto if there are several."""
    threshold: float = 0.0
    """With the route auto: by how much an adapter's probability must exceed that of the bare base; by CLIP, by how much
    better than "a photo of a human" an adapter's sentence must fit (difference of cosines)."""
    find: str | None = None
    """How the persons or animals are found: whole (each whole picture is one instance); FILE, boxes as JSON (x, y,
    width, height by picture, a detector's COCO results, or COCO annotations); detector, a model that knows classes, see
    --class; words, such as "a mouse", for a model that reads text (`words`: the adapter's own sentences); pose, the
    estimator itself, which looks at each picture twice. None: whole."""
    most: int | None = field(default=None, metadata={"at_least": 1})
    """With --find pose: largest number of persons or animals that are searched for in a picture. None: --individuals,
    or 1."""
    detector: str | None = None
    """Detection model of transformers: a Hub id or a folder. None: RT-DETR for detector, OWLv2 for words."""
    boxes: str | None = None
    """The same as --find FILE."""
    box_threshold: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Boxes with a lower score of the detector are left out. None: 0.3, with words 0.2."""
    box_class: str | None = None
    """Class of the boxes to use: a name, several with commas, a COCO id, or all. None: persons if the key points are
    people's, or all of a file; with a detector you must name one."""
    box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """Format of the boxes. auto: the format with which they stay inside the pictures."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Category whose sentence the adapter reads; or auto (CLIP ranks them for each picture), or mean. None: mean."""
    ranker: str | None = None
    """CLIP or SigLIP model for the category auto and for the route auto, where it then chooses in place of the gates: a
    Hub id or a folder. None: openai/clip-vit-base-patch32, where one is needed."""
    out: str | None = None
    """Folder for the drawn pictures, poses.json, poses.csv and results.coco.json. None: ./lvtune-out/predict; with
    --json nothing is written."""
    format: str = "plain"
    """Files that are written: plain, or several with commas. dlc: also DeepLabCut's CSV and H5. sleap: also SLEAP's
    .slp."""
    resume: bool = False
    """Continue the interrupted run in --out. The files are the same as those of an uninterrupted run."""
    drawings: bool = True
    """Draw the poses over the pictures."""
    draw: DrawOptions = field(default_factory=DrawOptions)
    """What is drawn."""
    flip_test: bool = True
    """Average the predictions for the picture and for its mirror image."""
    batch_size: int = field(default=32, metadata={"at_least": 1})
    """Instances per forward pass, and pictures at a time."""
    workers: int = field(default=2, metadata={"at_least": 1})
    """Threads that read and decode pictures."""
    max_pixels: int = field(default=200_000_000, metadata={"at_least": 1})
    """Pictures with more pixels are refused."""
    min_score: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Key points with a lower score are left out. Where the confidence is calibrated, the score is the probability that
    the point is right; else the maximum of its heatmap. None: none is left out."""
    calibration: str = "auto"
    """What turns the heatmaps' maxima into probabilities. auto: an adapter's own calibration; where the base answers
    alone, the one that ships with it. none: nothing. FILE: written by `lvtune evaluate --save-calibration`, for where
    the base answers alone."""
    device: str = "auto"
    """Device to compute on: auto, cpu, cuda, cuda:1, mps."""
    video: VideoOptions = field(default_factory=VideoOptions)
    """Videos: which frames, who is who, and what is written."""
    hand: HandSpace = field(default_factory=HandSpace)
    """What you know of the hands and the camera, for key points in 3D."""


def parser(argv: Sequence[str], summary: str) -> Parser:
    """Adds the pictures and the options of :class:`PredictCommand`."""
    result = Parser("predict", summary)
    words = "picture, folder, pattern such as 'in/**/*.jpg', @LIST.txt with one path a line, or a video"
    result.add_argument("pictures", nargs="+", metavar="PICTURE", help=words)
    add_options(result, PredictCommand)
    result.add_argument(
        "--class", dest="box_class", metavar="TEXT", default=argparse.SUPPRESS, help="the same as --box-class"
    )
    for name, path in (("--from", "video.start"), ("--to", "video.stop")):
        result.add_argument(
            name, dest=path, metavar="TIME", default=argparse.SUPPRESS, help=f"the same as --{path}, such as 0:10"
        )
    return result


def run(args: argparse.Namespace) -> Outcome:
    """Predicts and draws."""
    command: PredictCommand = from_args(args, PredictCommand)
    base = command.base or made_for(next(iter(command.adapter), None)).get("base", Recipe.base)
    out = command.out or (None if args.json else str(Path("lvtune-out") / "predict"))
    import lvtune

    stream = lvtune.predict_stream(_pictures(args.pictures, command), **_settings(command, base, out))
    shown = _Shown(None if args.json else _ROWS)
    for poses in stream:
        shown.add(poses)
    parts = (
        [shown.text()] + [f"note: {one_line(note)}" for note in stream.notes] + ([f"written to {out}"] if out else [])
    )
    values = {"poses": shown.rows, "out": out, "pictures": shown.pictures, "notes": stream.notes}
    return Outcome(values, "\n\n".join(parts))


def _pictures(given: Sequence[str], command: PredictCommand) -> Any:
    """The paths, or the split of a data set."""
    if command.split is None:
        return given
    if len(given) > 1:
        raise UsageError(f"{len(given)} data sets with --split", "one", "predict them one after the other")
    from lvtune.api.open_data import open_domain

    data = DataOptions(data=given[0])
    return open_domain(command.domain, data).open(command.split, data)


def _settings(command: PredictCommand, base: str, out: str | None) -> dict[str, Any]:
    several = command.route or len(command.adapter) > 1
    threshold = BOX_THRESHOLD if command.box_threshold is None else command.box_threshold
    names = (
        "route", "threshold", "find", "most", "detector", "boxes", "category", "ranker", "weights", "flip_test",
        "batch_size", "device", "max_pixels", "resume", "drawings", "draw", "workers", "video", "min_score",
        "calibration",
    )  # fmt: skip
    return {
        **{name: getattr(command, name) for name in names},
        "base": base, "adapter": command.adapter if several else next(iter(command.adapter), None), "out": out,
        "box_choice": BoxChoice(threshold, command.box_class, command.box_format),
        "detector_threshold": command.box_threshold, "layout": command.format, "space": command.hand,
        "progress": True,
    }  # fmt: skip


class _Shown:
    """The poses that are printed: all of them, or the first rows of the table.

    Args:
        most: rows that are kept; None: all.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self.rows: list[dict[str, Any]] = []
        self.pictures = self.poses = 0

    def add(self, poses: FramePoses) -> None:
        """Counts the poses of one picture, and keeps them while there is room."""
        self.pictures += 1
        self.poses += len(poses)
        room = len(poses) if self._most is None else max(0, self._most - len(self.rows))
        self.rows += [pose.to_dict() for pose in poses[:room]]

    def text(self) -> str:
        """Returns the table."""
        if not self.rows:
            return "no pose"
        extra = [
            name
            for name in ("frame", "track", "adapter", "sure", "category", "label")
            if any(name in pose for pose in self.rows)
        ]
        rows = [
            [pose["image"], ",".join(f"{v:g}" for v in pose["bbox"]), *(pose.get(name) for name in extra), _mean(pose)]
            for pose in self.rows
        ]
        text = table(["picture", "box", *extra, "mean score"], rows)
        left = self.poses - len(self.rows)
        return (
            f"{text}\n... {counted(left, 'more pose')}, {self.poses} in {counted(self.pictures, 'picture')}"
            if left
            else text
        )


def _mean(pose: dict) -> float:
    scores = [point["score"] for point in pose["keypoints"]]
    return sum(scores) / max(1, len(scores))
