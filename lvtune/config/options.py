"""The options of a recipe, as frozen dataclasses, and what they fall back to.

``None`` in :class:`TrainOptions` means "what the method says, else the fallback here"; see
:meth:`lvtune.api.recipe.Recipe.resolved`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lvtune.config.schema import check_given_once
from lvtune.core.errors import UsageError


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures and their key points lie. Paths; None: what ships with the domain."""

    data: str | None = None
    """Folder of the pictures, or a project of another labelling tool (own data); or of the data set in its published
    layout (a named domain)."""
    annotations: str | None = None
    """COCO-style JSON of your own pictures (split 80/20), a folder with train.json and test.json, or a file of another
    labelling tool."""
    test_annotations: str | None = None
    """COCO-style JSON to test on; None: the test part of `annotations` or of the domain."""
    split_by: Literal["auto", "picture", "video", "folder", "project"] = "auto"
    """How own pictures are split 80/20: by picture, video or folder; project: as the labels themselves say; auto: that
    where they do, else by picture."""
    test_pictures: tuple[str, ...] = ()
    """Own pictures to test on: names of pictures, folders or videos, or a .txt file with a name a line; none: 20 %."""
    missing_boxes: Literal["points", "whole"] = "points"
    """Box of an instance that nobody drew a box around: points, around its labelled points with a margin; whole, the
    whole picture."""
    source_data: str | None = None
    """Folder of pictures of the source domain, to measure what is kept there."""
    source_annotations: str | None = None
    """COCO-style JSON of the source pictures; None: the domain's own source, if it has one."""
    source_domain: str | None = None
    """Domain whose layout `source_data` has; None: the one that the base was trained on."""
    mix: str | None = None
    """Share of each part of a mixture such as coco+humanart, 1:1 for as many of each; None: all persons of each."""
    boxes: str | None = None
    """Detector boxes to test with besides the annotated ones: a JSON file, or published: that of the data set's
    own layout, of the source too; None: the annotated boxes alone."""
    box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """How the detector boxes are written; auto decides by which reading stays inside the pictures."""
    annotated_box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """How the annotated boxes of own data are written; auto decides from the boxes and says how."""
    box_margin: float = field(default=0.15, metadata={"at_least": 0})
    """Margin around boxes that are made of key points, on each side, as a share of their longer extent."""
    flip_pairs: str | None = None
    """Key points that change places in a mirror image: left_ear:right_ear,left_eye:right_eye; or midline where each
    mirrors itself; None: as the labels or their names say. Without pairs pictures are not mirrored."""
    max_pixels: int = field(default=200_000_000, metadata={"at_least": 1})
    """Pictures with more pixels are refused."""
    symlinks: bool = False
    """Read pictures of own data that are links out of their folder."""
    skeleton: str | None = None
    """Name of a known skeleton for own data; None: read from the annotation file's category."""
    limit: int | None = field(default=None, metadata={"at_least": 1})
    """Use at most this many persons of each part, for a quick try; None: all."""
    shots: int | Literal["all"] = field(default="all", metadata={"at_least": 1})
    """Tune on so many annotated pictures, drawn by the seed, each kind alike; fewer are among more; or all."""
    hand_root: Literal["palm", "wrist"] = "palm"
    """Joint 0 of hands: the palm, half-way from the wrist to the middle finger's base, or the wrist itself."""
    mirror_left: bool = True
    """Show left hands mirrored, as right ones; else a base of hands is told the side."""
    hand_crop: Literal["joints", "picture"] = "joints"
    """Crop hands to their labelled joints, or take whole pictures; rendered figures come whole."""


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes of the training pictures. None: what the method says, else the fallback."""

    flip: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a left-right flip."""
    half_body: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a crop on the upper or lower body only."""
    shift: float | None = field(default=None, metadata={"at_least": 0})
    """Largest shift of the box, as a share of its size."""
    shift_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a shift."""
    scale: tuple[float, float] | None = field(default=None, metadata={"above": 0})
    """Smallest and largest factor on the box."""
    rotate: float | None = field(default=None, metadata={"at_least": 0})
    """Largest rotation, in degrees."""
    rotate_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a rotation."""
    color: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Strength of brightness, contrast and saturation jitter; 0 is off."""

    def __post_init__(self) -> None:
        if self.scale is not None and self.scale[0] > self.scale[1]:
            given = f"train.augment.scale = {self.scale[0]:g},{self.scale[1]:g}"
            fix = f"such as train.augment.scale = {self.scale[1]:g},{self.scale[0]:g}"
            raise UsageError(given, "the smaller factor first", fix)


@dataclass(frozen=True)
class TrainOptions:
    """How the adapter is tuned. None: what the method says, else the fallback."""

    epochs: float | None = field(default=None, metadata={"above": 0, "at_most": 1_000_000})
    """Passes over the training data."""
    stop_after: int | None = field(default=None, metadata={"at_least": 1})
    """Stop after so many epochs, the learning rate falling as if to run on; None: run to the end."""
    steps: int | None = field(default=None, metadata={"at_least": 0, "instead_of": "epochs"})
    """Optimiser steps, in place of `epochs`; 0 saves the adapter as created."""
    min_steps: int | None = field(default=None, metadata={"at_least": 0})
    """Steps at least where the default number of epochs would give fewer; 0 where you say `epochs` or `steps`."""
    max_epochs: float | None = field(default=None, metadata={"above": 0})
    """Passes over few pictures at most, for the sake of `min_steps`."""
    guard: int | None = field(default=None, metadata={"at_least": 0})
    """With at most so many pictures, first see by tuning on half of them whether that helps the other half, and keep
    so much of the change as does; 0: never, as where you say `epochs` or `steps`."""
    batch_size: int | None = field(default=None, metadata={"at_least": 1})
    """Pictures per step, over all processes together."""
    optimizer: Literal["adamw", "adam"] | None = None
    """Optimiser, with betas 0.9 and 0.999; adam adds the weight decay to the gradient, adamw does not."""
    lr: float | None = field(default=None, metadata={"above": 0, "at_most": 1000})
    """Peak learning rate."""
    gentle: bool | None = None
    """Where `min_steps` makes more passes over few pictures than `epochs` says, lower the learning rate by the square
    root of how many more; and to 0.4 of it from a `start`; not where you say `lr`."""
    weight_decay: float | None = field(default=None, metadata={"at_least": 0})
    """Weight decay, on weight matrices only."""
    warmup: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Share of the steps in which the learning rate rises from 0.001 of its peak."""
    warmup_steps: int | None = field(default=None, metadata={"at_least": 0, "instead_of": "warmup"})
    """The same as a number of steps, in place of `warmup`."""
    schedule: Literal["cosine", "step", "constant"] | None = None
    """How the learning rate falls; step: tenfold at 81 and 95 % of the steps."""
    clip: float | None = field(default=None, metadata={"above": 0})
    """Largest norm of the gradient."""
    layer_decay: float | None = field(default=None, metadata={"above": 0, "at_most": 1})
    """Factor on the learning rate per block down from the head, where base weights train."""
    ema: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Decay of a running mean of the weights, which is then saved; 0 is off."""
    augment: AugmentOptions = AugmentOptions()
    """Random changes of the training pictures."""
    workers: int = field(default=0, metadata={"at_least": 0, "at_most": 1024})
    """Processes that read pictures; 0 reads in the main one."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Mixed precision; auto: bf16 where the device is fast at it, else none."""
    checkpoint_every: int | None = field(default=None, metadata={"at_least": 1})
    """Write a checkpoint to resume from every so many epochs; None: never."""

    def __post_init__(self) -> None:
        check_given_once(self)


@dataclass(frozen=True)
class EvaluateOptions:
    """How predictions are made and scored."""

    split: Literal["test", "val"] = "test"
    """Part of the data that is scored, before and after."""
    also: tuple[str, ...] = ()
    """Further domains, or parts such as lsp-art/unseen, scored before and after but not tuned on."""
    flip_test: bool = True
    """Average over the picture and its mirror image."""
    batch_size: int = field(default=64, metadata={"at_least": 1})
    """Pictures per forward pass."""
    p_cutoff: float = field(default=0.6, metadata={"at_least": 0, "at_most": 1})
    """Confidence from which a key point counts in the second set of pixel errors (DeepLabCut's pcutoff)."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Whose sentence the adapter reads: a category, own (as annotated), auto (CLIP ranks them for each picture),
    shuffled (as annotated, permuted over the persons: an ablation), or mean; None: the mean of all."""
    ranker: str = "openai/clip-vit-base-patch32"
    """CLIP or SigLIP for the category auto: a Hub id or a folder."""


@dataclass(frozen=True)
class LanguageOptions:
    """What the adapter is told about the domain."""

    encoder: str = "minilm"
    """Text encoder of the sentences; the built-in sentences ship embedded and need none."""
    mode: Literal["category", "human", "none", "keypoints", "caption", "random", "random-each-call"] = "category"
    """What is read: a sentence per category; "a photo of a human" or the word "None" for all; a sentence per key point;
    each picture's caption; or random tokens, fixed or drawn anew each time (for ablations)."""
    sentences: dict[str, str] | str | None = None
    """In place of the domain's own: category=sentence,...; a YAML or JSON file of these; one sentence for all."""


AS_SAID = TrainOptions(min_steps=0, guard=0)
"""What follows for a recipe that says how long to tune."""

TRAIN_FALLBACK = TrainOptions(
    epochs=10.0,
    min_steps=200,
    max_epochs=100.0,
    guard=100,
    batch_size=32,
    optimizer="adamw",
    lr=5e-4,
    gentle=True,
    weight_decay=0.1,
    warmup=0.05,
    schedule="cosine",
    clip=1.0,
    layer_decay=1.0,
    ema=0.0,
)
"""Training options where neither the recipe nor the method says anything."""

AUGMENT_FALLBACK = AugmentOptions(
    flip=0.5, half_body=0.3, shift=0.16, shift_p=0.3, scale=(0.5, 1.5), rotate=80.0, rotate_p=0.6, color=0.0
)
"""The published augmentation (spec of ViTPose and VLPose)."""
