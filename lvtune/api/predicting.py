"""Predicts the key points of pictures that nobody annotated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvtune.api.box_choice import WHOLE, BoxChoice
from lvtune.api.crops import Prediction, predict_pictures
from lvtune.api.output_folder import check_output, drawing_paths, relative_paths, without_outputs
from lvtune.api.picture_boxes import PictureBoxes, read_boxes
from lvtune.api.pose import Pose, Poses
from lvtune.api.pose_confidence import check_least, leave_out_unsure
from lvtune.api.pose_files import POSES_FILE, targets_of, write_poses
from lvtune.api.pose_rows import PLAIN, check_layout
from lvtune.api.routed import is_several, route_pictures
from lvtune.bases.base import Base, as_base
from lvtune.core.errors import UsageError
from lvtune.data.find_images import find_images, left_out_note
from lvtune.data.hand_space import HandSpace
from lvtune.data.images import MAX_PIXELS, allow_pixels
from lvtune.evaluation.calibration import calibration_of
from lvtune.evaluation.choosing import choose
from lvtune.evaluation.metrics import SMALL_BOXES
from lvtune.hub.adapter_loading import load_base_for, open_adapter, takes_flip_test
from lvtune.language.ranking import RANKER
from lvtune.patcher.attaching import acting, attach
from lvtune.training.engine import resolve_device

if TYPE_CHECKING:
    from torch import nn

    from lvtune.patcher.automatic import Auto as Route


@dataclass(frozen=True)
class _Inputs:
    """The pictures to predict."""

    files: list[Path]
    relative: dict[Path, Path]
    """Each picture's path relative to the folder that was given."""
    notes: list[str]
    """What was left out."""


@dataclass(frozen=True)
class _Options:
    """How the pictures are predicted, as the caller said it."""

    route: Any
    threshold: float
    boxes: Any
    box_choice: BoxChoice | None
    category: str | None
    ranker: str
    flip_test: bool
    batch_size: int
    space: HandSpace


@dataclass(frozen=True)
class _Request:
    """The base loaded, the boxes read, and the options."""

    base: Base
    boxes: PictureBoxes
    options: _Options

    def poses(self, on: Any, files: Sequence[Path], category: str | None) -> list[Pose]:
        """Predicts some pictures under the adapter that is active, ``on``; None: the bare base."""
        options = self.options
        rule = choose(category, on, ranker=options.ranker, device=self.base.device)
        skeleton = self.base.skeleton if on is None else on.skeleton
        flips = options.flip_test and takes_flip_test(on)
        how = Prediction(skeleton, rule, flips, options.space, options.batch_size, calibration_of(on))
        return predict_pictures(self.base, files, self.boxes, how)


def predict(
    images: str | Path | Sequence[str | Path],
    *,
    base: nn.Module | str = "vitpose-ti",
    adapter: nn.Module | str | Path | Sequence[Any] | Mapping[str, Any] | None = None,
    route: str | Route | None = None,
    threshold: float = 0.0,
    boxes: Any = None,
    box_choice: BoxChoice | None = None,
    category: str | None = None,
    ranker: str = RANKER,
    out: str | Path | None = None,
    layout: str = PLAIN,
    weights: str = "pretrained",
    flip_test: bool = True,
    batch_size: int = 32,
    device: str = "auto",
    space: HandSpace | None = None,
    max_pixels: int = MAX_PIXELS,
    min_score: float | None = None,
) -> Poses:
    """Predicts the key points of every instance in pictures.

    Args:
        images: a picture, a folder of pictures, or several of these.
        base: a name, a base or a plain VitPose.
        adapter: attached meanwhile; a folder, a Hub id, or an adapter; several in a list, or by name in a dict.
            None: whatever is attached already.
        route, threshold, ranker: the adapter of each picture, see :func:`lvtune.api.routed.route_pictures`; None:
            ``auto`` where there are several.
        boxes, box_choice: see :func:`lvtune.api.picture_boxes.read_boxes`; None takes whole pictures.
        category: category whose sentence the adapter reads; ``auto``, the one that CLIP finds to fit each picture
            best; None or ``mean``: the mean of its sentences.
        out, layout: folder for the files of :func:`lvtune.api.pose_files.write_poses`; it may hold no input.
        weights, device: see :class:`lvtune.Recipe`.
        flip_test: average with the mirrored picture.
        batch_size: instances at a time.
        space: which hands they are, how large, and seen by what camera; None: right ones, in lengths of a bone.
        max_pixels: pictures with more pixels are refused.
        min_score: key points with a lower score are left out: their x and y are not numbers. None: none is.

    Returns:
        A list of :class:`Pose` in the order of the pictures, with ``notes``: what was decided and left out.

    Raises:
        LvtuneError: no such picture, a broken one, boxes that do not fit, an output that would overwrite an input.
    """
    _check_words(category, layout, min_score)
    inputs = _inputs(images, None if out is None else Path(out))
    view = load_base_for(adapter, base, weights) if isinstance(base, str) else as_base(base)
    view.model.to(resolve_device(device))
    options = _Options(
        route, threshold, boxes, box_choice, category, ranker, flip_test, batch_size, space or HandSpace()
    )
    with allow_pixels(max_pixels):
        poses = _predict(view, inputs, adapter, options)
        leave_out_unsure(poses, min_score)
        if out is not None:
            poses.notes += write_poses(poses, Path(out), inputs.relative, layout=layout)
    return poses


def _check_words(category: str | None, layout: str, min_score: float | None) -> None:
    check_least(min_score)
    if category in ("own", "shuffled"):
        raise UsageError(f"category '{category}' for pictures that nobody annotated", "a category, auto or mean",
                         "give --category auto")  # fmt: skip
    check_layout(layout)


def _predict(view: Base, inputs: _Inputs, adapter: Any, options: _Options) -> Poses:
    """Predicts all pictures under one adapter, or each under its own."""
    single = options.route is None and not is_several(adapter)
    opened: Any = open_adapter(adapter, view) if single else None
    shown: Any = acting(view) if single and opened is None else opened
    skeleton = view.skeleton if shown is None else shown.skeleton
    found = read_boxes(options.boxes, inputs.files, skeleton, roots=inputs.relative, choice=options.box_choice)
    request = _Request(view, found, options)
    if single:
        with contextlib.nullcontext() if opened is None else attach(view, opened, name="predicting"):
            poses = request.poses(shown, inputs.files, options.category)
        tuned = [] if shown is None else [shown]
    else:
        routed = route_pictures(
            options.route, adapter, view, inputs.files, ranker=options.ranker, threshold=options.threshold
        )
        poses = routed.run(inputs.files, _look_under(request, routed.under))
        tuned = list(routed.adapters.values())
    notes = [*inputs.notes, *found.notes, *_whole_frames(tuned, options.boxes)]
    return Poses(poses, pictures=inputs.files, notes=notes, image_ids=dict(found.image_ids))


def _inputs(images: str | Path | Sequence[str | Path], out: Path | None) -> _Inputs:
    """Finds the pictures; checks that the output overwrites none of them."""
    found = list(dict.fromkeys(find_images(images)))
    files = without_outputs(found, out, POSES_FILE)
    if not files:
        raise UsageError(f"output folder {out}, which holds all pictures given", "pictures that are not the output of "
                         "an earlier run", "name the folder of the pictures, or another --out")  # fmt: skip
    notes = [f"{len(found) - len(files)} pictures of an earlier run in {out} left out"] * (len(files) < len(found))
    notes += [note for note in [left_out_note(images)] if note]
    relative = relative_paths(images, files)
    if out is not None:
        drawings = [out / path for path in drawing_paths(relative).values()]
        check_output(out, [*drawings, *targets_of(out)], pictures=files)
    return _Inputs(files, relative, notes)


def _look_under(request: _Request, under: Any) -> Callable[[str | None, list[Path]], list[list[Pose]]]:
    """A function that predicts pictures under one of several adapters, picture by picture."""

    def look(name: str | None, files: list[Path]) -> list[list[Pose]]:
        with under(request.base, name) as on:
            reads = on is not None and on.bank is not None
            poses = iter(request.poses(on, files, request.options.category if reads else None))
        named = (replace(pose, adapter=name) for pose in poses)
        return [[next(named) for _ in range(request.boxes.count(file))] for file in files]

    return look


def _whole_frames(adapters: Sequence[nn.Module], boxes: Any) -> list[str]:
    """A warning where whole pictures are given to an adapter that was tuned on small boxes."""
    if boxes not in (None, WHOLE):
        return []
    saved = [(getattr(adapter, "saved_with", None) or {}).get("training") or {} for adapter in adapters]
    shares = [(training.get("boxes") or {}).get("median_share") for training in saved]
    small = [share for share in shares if share is not None and share < SMALL_BOXES]
    return (
        [
            f"whole pictures given to an adapter that was tuned on boxes of {100 * min(small):.0f} % of the picture "
            "(median): key points may be far off; give --boxes FILE"
        ]
        if small
        else []
    )
