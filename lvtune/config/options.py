"""The options of a recipe, as frozen dataclasses, and their fallback values.

None in :class:`TrainOptions` and :class:`AugmentOptions` means: the method's default, or the fallback here if the
method has none. See :meth:`lvtune.api.recipe.Recipe.resolved`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lvtune.config.schema import check_given_once
from lvtune.core.errors import UsageError


@dataclass(frozen=True)
class BaseOptions:
    """How the base is loaded."""

    input_size: str = "auto"
    """Height x width of the pictures that the base takes, such as 256x192. own: the base's own size. auto: for your own
    data with new key points, a size chosen from the size of the boxes; else the base's own."""


@dataclass(frozen=True)
class DataOptions:
    """Where the pictures and their key points are. None: the data that ship with the domain."""

    data: str | None = None
    """Your own data: a folder of pictures, or a project of another labelling tool. With a named domain: the folder of
    the data set in its published layout."""
    annotations: str | None = None
    """COCO-style JSON of your own pictures (split 80/20), a folder with train.json and test.json, or a file of another
    labelling tool."""
    test_annotations: str | None = None
    """COCO-style JSON to test on. None: the test part of `annotations` or of the domain."""
    split_by: Literal["auto", "picture", "video", "folder", "project"] = "auto"
    """How your own pictures are split 80/20: by picture, video or folder. project: as the labels say. auto: as the
    labels say, or by picture if they say nothing."""
    test_pictures: tuple[str, ...] = ()
    """Your own pictures to test on: names of pictures, folders or videos with commas, or a .txt file with one name in
    each line. Without it: 20 % of the pictures."""
    missing_boxes: Literal["points", "whole"] = "points"
    """Box of an instance without an annotated box. points: around its labelled points, with a margin. whole: the whole
    picture."""
    source_data: str | None = field(default=None, metadata={"none_is_a_value": True})
    """Folder of pictures of the source domain; the report then says how much of the source score is kept. None: the
    data set that the base was trained on, if it lies beside the target's folder (such as coco/ beside HumanArt/).
    `none`: no source."""
    source_annotations: str | None = None
    """COCO-style JSON of the source pictures, or a folder with train.json and test.json, which `keep` needs. None: the
    domain's own source, if it has one."""
    source_domain: str | None = None
    """Domain whose layout `source_data` has. None: the domain that the base was trained on."""
    mix: str | None = None
    """Shares of the parts of a mixture such as coco+humanart; 1:1 takes equally many persons of each part. None: all
    persons."""
    boxes: str | None = field(default=None, metadata={"none_is_a_value": True})
    """Detector boxes to test with, besides the annotated boxes: a JSON file; `published` for the file in the data set's
    own layout (of the source too), `auto` for that file if it is there, `none` for no such boxes. None: auto in
    `lvtune adapt`, none in other commands."""
    box_format: Literal["auto", "xywh", "xyxy", "both"] = "auto"
    """Format of the detector boxes. auto: the format with which the boxes stay inside the pictures. both: like auto,
    and once more as the published evaluation of the data set reads them, even where that reading is wrong."""
    annotated_box_format: Literal["auto", "xywh", "xyxy"] = "auto"
    """How the annotated boxes of own data are written; auto decides from the boxes and says how."""
    box_margin: float = field(default=0.15, metadata={"at_least": 0})
    """Margin around boxes that are made of key points, on each side, as a share of their longer extent."""
    flip_pairs: str | None = None
    """Key points that change places in a mirror image: left_ear:right_ear,left_eye:right_eye; or midline, where each
    key point is its own mirror image. None: as the labels or the names say. Without pairs, pictures are not
    mirrored."""
    max_pixels: int = field(default=200_000_000, metadata={"at_least": 1})
    """Pictures with more pixels are refused."""
    damaged: Literal["note", "stop"] = "note"
    """What happens with pictures that the JPEG decoder calls damaged. note: each is named once, and the run goes on.
    stop: the run ends."""
    symlinks: bool = False
    """For your own data: also read pictures that are symbolic links to files outside of their folder."""
    skeleton: str | None = None
    """Name of a known skeleton for own data. None: the key points named in the annotation file."""
    limit: int | None = field(default=None, metadata={"at_least": 1})
    """Use at most this many persons of each part, for a quick try. None: all. A domain of filters shows each person
    under several filters, so it gives more pictures than that."""
    shots: int | Literal["all"] = field(default="all", metadata={"at_least": 0})
    """Number of annotated pictures to tune on, or all. Drawn at random by the seed, equally many per category; a
    smaller draw is part of a larger one. 0: none, with `unlabelled` alone."""
    hand_root: Literal["palm", "wrist"] = "palm"
    """Joint 0 of hands: the palm (half-way from the wrist to the base of the middle finger) or the wrist."""
    mirror_left: bool = True
    """Mirror left hands, so that the base sees right hands only; without it, the base gets the side as an input."""
    hand_crop: Literal["joints", "picture"] = "joints"
    """Crop hands to their labelled joints, or take whole pictures. Rendered figures are always whole."""


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes of the training pictures. None: the method's default, or the general one."""

    flip: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a left-right flip."""
    half_body: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a crop to the upper or the lower body."""
    shift: float | None = field(default=None, metadata={"at_least": 0})
    """Largest shift of the box, as a share of its size."""
    shift_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a shift."""
    scale: tuple[float, float] | None = field(default=None, metadata={"above": 0})
    """Smallest and largest factor on the size of the box."""
    rotate: float | None = field(default=None, metadata={"at_least": 0})
    """Largest rotation, in degrees."""
    rotate_p: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Probability of a rotation."""
    color: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Strength of brightness, contrast and saturation jitter; 0 is off."""
    around: Literal["box", "points"] | None = None
    """What a rotation turns the picture around: the centre of the box, or of the labelled points."""

    def __post_init__(self) -> None:
        if self.scale is not None and self.scale[0] > self.scale[1]:
            given = f"train.augment.scale = {self.scale[0]:g},{self.scale[1]:g}"
            fix = f"such as train.augment.scale = {self.scale[1]:g},{self.scale[0]:g}"
            raise UsageError(given, "the smaller factor first", fix)


@dataclass(frozen=True)
class TrainOptions:
    """How the adapter is tuned. None: the method's default, or the general one."""

    epochs: float | None = field(default=None, metadata={"above": 0, "at_most": 1_000_000})
    """Passes over the training data."""
    stop_after: int | None = field(default=None, metadata={"at_least": 1})
    """Stop after this many epochs; the learning rate falls as if training went on. None: train to the end."""
    steps: int | None = field(default=None, metadata={"at_least": 0, "instead_of": "epochs"})
    """Optimiser steps, in place of `epochs`; 0 saves the adapter untrained."""
    min_steps: int | None = field(default=None, metadata={"at_least": 0})
    """Smallest number of steps, if the default number of epochs gives fewer. 0 if you give `epochs` or `steps`."""
    max_epochs: float | None = field(default=None, metadata={"above": 0})
    """Largest number of passes over the data that `min_steps` may cause."""
    guard: int | None = field(default=None, metadata={"at_least": 0})
    """With at most this many pictures, first tune on three quarters of them, score the others, and keep the share of
    the change that helps there. 0: never; also if you give `epochs` or `steps`. With `text_only` and any number but
    0: keep the share of the change that does not harm source pictures kept out."""
    batch_size: int | None = field(default=None, metadata={"at_least": 1})
    """Pictures per step, of all processes together."""
    accumulate: int | Literal["auto"] = field(default=1, metadata={"at_least": 1})
    """Parts in which each process computes the pictures of a step, one after the other, to take less memory; the result
    is that of one batch. auto: as few as fit into the free memory, which is measured before the first step."""
    checkpointing: bool = False
    """Compute the activations of the encoder's blocks again in the backward pass; less memory, more time."""
    recompute: bool = True
    """Compute what GELU and LayerNorm give again in the backward pass and do not keep it; the gradients are
    the same, the memory of a step less by about a sixth, its time longer by a few hundredths."""
    products: Literal["auto", "torch"] = "auto"
    """Library for linear layers in a step, in float32 on a processor. auto: oneDNN on AMD's processors with AVX-512,
    where it takes half the time of torch's own; results differ by rounding. torch: always torch's own."""
    return_memory: Literal["auto", "yes", "no"] = "auto"
    """Give freed memory back to the system at once, for a lower peak on a processor (Linux with GNU's C library).
    auto: for bases of 50 million weights and more, where a step takes about 3 % more time and a seventh less memory."""
    optimizer: Literal["adamw", "adam"] | None = None
    """Optimiser, with betas 0.9 and 0.999. adam adds the weight decay to the gradient; adamw decouples it."""
    lr: float | None = field(default=None, metadata={"above": 0, "at_most": 1000})
    """Peak learning rate."""
    predictor_lr: float | None = field(default=None, metadata={"above": 0})
    """Peak learning rate of the predictor. None: the same as `lr`."""
    new_rows: Literal["auto", "like", "mean"] = "auto"
    """Where the predictor's rows begin for key points that the base does not know. like: at the base's rows of key
    points with similar names or meanings. mean: at the mean of the base's rows. auto: for your own data, each row at
    the one of the two that has the lower loss on the pictures to tune on; else mean."""
    minutes: float | None = field(default=None, metadata={"above": 0, "instead_of": "epochs,steps"})
    """Tune for about this many minutes on this machine, in place of `epochs` and `steps`. The first steps are timed,
    and the schedule is fitted to the time."""
    gentle: bool | None = None
    """Lower the learning rate for few pictures. If `min_steps` makes n times as many passes as `epochs`, divide it by
    the square root of n; from a warm start, take 0.4 of it. Not if you give `lr`."""
    weight_decay: float | None = field(default=None, metadata={"at_least": 0})
    """Weight decay; only weight matrices get it."""
    warmup: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Share of the steps in which the learning rate rises from 0.001 of its peak to the peak."""
    warmup_steps: int | None = field(default=None, metadata={"at_least": 0, "instead_of": "warmup"})
    """Number of steps in which the learning rate rises, in place of `warmup`."""
    schedule: Literal["cosine", "step", "constant"] | None = None
    """How the learning rate falls. step: to a tenth at 81 % and again at 95 % of the steps."""
    clip: float | None = field(default=None, metadata={"above": 0})
    """Largest norm of the gradient; a larger gradient is scaled down to it."""
    layer_decay: float | None = field(default=None, metadata={"above": 0, "at_most": 1})
    """Factor on the learning rate for each block further from the head, if weights of the base are trained."""
    ema: float | None = field(default=None, metadata={"at_least": 0, "at_most": 1})
    """Decay of a running mean of the weights; the mean is saved. 0 is off."""
    augment: AugmentOptions = AugmentOptions()
    """Random changes of the training pictures."""
    workers: int = field(default=0, metadata={"at_least": 0, "at_most": 1024})
    """Number of processes that read pictures; 0: the main process reads them."""
    cached_views: int = field(default=0, metadata={"at_least": 0, "at_most": 1000})
    """Keep features of so many random views of each picture in a file, and read them in later epochs: those of the
    encoder, or of its blocks in front of the first that the method changes. 0: each epoch has views of its own, and
    nothing is kept."""
    cache_size: float = field(default=8.0, metadata={"at_least": 0})
    """Most gigabytes that kept features may take, those of other runs too; the ones used longest ago are removed, and
    what does not fit is computed in each epoch."""
    keep_features: bool = True
    """Leave kept features in the cache folder, where later runs with the same base, data and transform read them. no:
    remove them at the end of the run."""
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Mixed precision. auto: bf16 if the GPU is fast at it; for own data with new key points also if the
    processor is; else none."""
    checkpoint_every: int | None = field(default=None, metadata={"at_least": 0})
    """Write a checkpoint, from which a run can be resumed, after every N epochs. 0: never. None: at the end of an
    epoch, if 3 minutes have passed since the last one."""
    progress_frames: int = field(default=4, metadata={"at_least": 0, "at_most": 12})
    """Number of held-out frames of own data that progress.png shows while tuning goes on, with labels and predictions.
    0: no such file. The error on held-out frames is printed in any case."""

    def __post_init__(self) -> None:
        check_given_once(self)


@dataclass(frozen=True)
class EvaluateOptions:
    """How predictions are made and scored."""

    split: Literal["test", "val"] = "test"
    """Part of the data that is scored before and after."""
    also: tuple[str, ...] = ()
    """Further domains, or parts such as lsp-art/unseen, that are scored before and after but not tuned on."""
    flip_test: bool = True
    """Average the predictions for the picture and for its mirror image."""
    batch_size: int = field(default=64, metadata={"at_least": 1})
    """Pictures per forward pass."""
    p_cutoff: float = field(default=0.6, metadata={"at_least": 0, "at_most": 1})
    """Lowest confidence with which a key point counts in the second set of pixel errors (DeepLabCut's pcutoff)."""
    category: str | None = field(default=None, metadata={"was": "prompt"})
    """Category whose sentence the adapter reads; or own (the annotated one), auto (CLIP ranks the categories for each
    picture), shuffled (the annotated ones, permuted over the persons, for ablations) or mean. None: the mean of all."""
    ranker: str = "openai/clip-vit-base-patch32"
    """CLIP or SigLIP model for the category auto: a Hub id or a folder."""


@dataclass(frozen=True)
class LanguageOptions:
    """Which sentences about the domain the adapter reads."""

    encoder: str = "auto"
    """Text encoder of the sentences. The built-in sentences ship embedded by minilm, so they need none. auto: with
    published settings that of the publication, if its embedded sentences or its weights are available; else minilm."""
    mode: Literal["category", "human", "none", "keypoints", "caption", "random", "random-each-call"] = "category"
    """What the adapter reads. category: one sentence for each category. human: "a photo of a human" for every picture.
    none: the word "None" for every picture. keypoints: one sentence for each key point. caption: each picture's
    caption. random, random-each-call: random tokens, fixed or drawn at each call, for ablations."""
    sentences: dict[str, str] | str | None = None
    """Sentences in place of the domain's own: category=sentence,...; a YAML or JSON file of these; or one for all."""


AS_SAID = TrainOptions(min_steps=0, guard=0)
"""What a recipe that gives `epochs` or `steps` implies."""

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
"""Training options for which neither the recipe nor the method has a value."""

AUGMENT_FALLBACK = AugmentOptions(
    flip=0.5,
    half_body=0.3,
    shift=0.16,
    shift_p=0.3,
    scale=(0.5, 1.5),
    rotate=80.0,
    rotate_p=0.6,
    color=0.0,
    around="box",
)
"""The published augmentation (spec of ViTPose and VLPose)."""
