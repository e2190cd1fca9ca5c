"""Predicts a visitor's picture: with the adapter that he has attached and, in the same boxes, with the base alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvtune.api.predicting import predict
from lvtune.core.errors import DataError, LvtuneError, UsageError
from lvtune.data.images import read_image
from lvtune.demo.answer_files import AnswerFiles, write_answer
from lvtune.demo.hand_boxes import parse_hand_boxes
from lvtune.demo.questions import BOXES, POSE, WHOLE, Limits, Question, category_for
from lvtune.demo.shown_poses import confidence_table, drawn, meaning_of, sure_line
from lvtune.prediction.finder import Finder, Found, Look
from lvtune.prediction.frames import Frame
from lvtune.prediction.pose import FramePoses, Pose, Poses

if TYPE_CHECKING:
    from lvtune.demo.shared_bases import SharedBase
    from lvtune.demo.visitor import Visitor


@dataclass(frozen=True)
class PictureAnswer:
    """What the page shows of one picture."""

    before: np.ndarray
    """(H, W, 3) RGB uint8: the base alone; where it is the base that answers, the picture itself."""
    after: np.ndarray
    """(H, W, 3) RGB uint8 of the same size: with the adapter."""
    caption: str
    """What is on the left, and what on the right."""
    table: dict[str, list[Any]]
    """See :func:`lvtune.demo.shown_poses.confidence_table`."""
    notes: list[str]
    """What was decided, one sentence each."""
    files: AnswerFiles
    poses: list[Pose]


@dataclass
class GivenBoxes(Finder):
    """The same boxes in every frame."""

    found: Found
    name: str = field(default="boxes", kw_only=True)

    def find(self, frames: Sequence[Frame], look: Look) -> list[Found]:
        """Returns the boxes that were given."""
        return [self.found for _ in frames]


def answer_picture(
    shared: SharedBase, visitor: Visitor, path: str | None, question: Question, folder: Path, limits: Limits
) -> PictureAnswer:
    """Predicts an uploaded picture.

    Args:
        shared: the visitor's base.
        visitor: which adapter acts.
        path: of the uploaded file; None: nothing was uploaded.
        question: how to predict.
        folder: existing folder for the files to download.
        limits: of the page.

    Raises:
        LvtuneError: no picture, or one that cannot be read; faulty boxes; nobody found. Messages name the file as the
            visitor does, not where it lies.
    """
    if not path:
        raise UsageError("no picture", "a picture", "upload one, or take one with the camera")
    image, name = read_upload(path, limits), Path(path).name
    category = category_for(shared, visitor.acting, question.category)
    with shared.under(visitor.acting):
        found = predict(image, base=shared.view, find=_finder(image, question), most=_most(question),
                        category=category, device=str(shared.view.device))  # fmt: skip
    poses = [replace(pose, image=name, adapter=visitor.acting) for pose in found]
    if not poses:
        raise DataError(
            f"{name}, in which no person or animal was found", "a person or an animal", "draw a box by hand"
        )
    alone = None if visitor.acting is None else _alone(shared, image, poses, question)
    left = f"{shared.title} alone" if alone is not None else "the picture"
    right = f"with {visitor.acting}" if alone is not None else f"{shared.title} alone"
    boxed = question.find != WHOLE  # a line around the whole picture says nothing
    files = write_answer([FramePoses(Frame(0, Path(name), image), poses)], folder)
    before, after = (drawn(image, some, with_boxes=boxed) for some in (alone or [], poses))
    return PictureAnswer(
        before, after, f"Left: {left}. Right: {right}.", confidence_table(poses, alone),
        [sure_line(poses), meaning_of(poses, alone), *found.notes], files, poses,
    )  # fmt: skip


def read_upload(path: str, limits: Limits) -> np.ndarray:
    """Reads an uploaded picture as (H, W, 3) RGB uint8.

    Raises:
        LvtuneError: it cannot be read, or is too large.
    """
    try:
        return read_image(path, limits.pixels)
    except LvtuneError as error:
        raise without_folder(error, path) from None


def without_folder(error: LvtuneError, path: str) -> LvtuneError:
    """Returns the same error without the folder in which the server keeps the upload."""
    parts = (error.given, error.expected, error.fix)
    return type(error)(*(part.replace(str(Path(path)), Path(path).name) for part in parts))


def _finder(image: np.ndarray, question: Question) -> Any:
    """Who finds the boxes, as ``predict`` takes it."""
    if question.find != BOXES:
        if question.find not in (WHOLE, POSE):
            raise UsageError(f"'{question.find}'", f"one of {WHOLE}, {POSE}, {BOXES}", "choose one from the list")
        return question.find
    boxes = parse_hand_boxes(question.boxes, (image.shape[1], image.shape[0]))
    return GivenBoxes(Found(boxes, np.ones(len(boxes))))


def _most(question: Question) -> int | None:
    return int(question.most) if question.find == POSE else None


def _alone(shared: SharedBase, image: np.ndarray, poses: Sequence[Pose], question: Question) -> Poses:
    """The base alone in the boxes of ``poses``, so that the two differ by the adapter and by nothing else."""
    boxes = Found(np.array([pose.bbox for pose in poses], float), np.array([pose.box_score for pose in poses]))
    if question.find == WHOLE:
        boxes = replace(boxes, padding=1.0)  # as for every whole picture: nothing lies around it
    with shared.under(None):
        return predict(image, base=shared.view, find=GivenBoxes(boxes), device=str(shared.view.device))
