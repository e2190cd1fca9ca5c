"""``text-contrast``: makes features independent of what a sentence says about the look of the picture.

Source: Lee et al., Image-free Domain Generalization via CLIP for 3D Hand Pose Estimation, WACV 2023. A second branch
encodes the feature map alone (e1), and together with a frozen joint encoder's vector of the picture and a random
sentence (e2). A contrastive loss (:mod:`lvtune.training.contrast`) pulls e1 and e2 together; it is added to the pose
loss. The branch is trained with the adapter and dropped afterwards. Nothing here is specific to hands.

Published settings: L = L_heat + L_pose + 0.1 L_con, Adam 1e-4, w = 0.6 (STB) and 0.9 (RHD). These are
``normalize=False, margin_scale="constant", weight_scale="constant"``, and with the loss as printed ``form="paper"``.
The defaults are ours: as published the contrast is most of the loss, and no negative is within its margin
(docs/words-alone.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lvtune.core.errors import TrainingError
from lvtune.language.grammars import draw
from lvtune.language.joint_choice import AUTO
from lvtune.training.branch import Branch2
from lvtune.training.contrast import Form, MarginScale, Reduce, contrastive, farthest
from lvtune.training.joint_features import PictureVectors, SentenceVectors
from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, stray, watch

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext


@dataclass(frozen=True)
class TextContrastConfig:
    """Options of ``text-contrast``."""

    pose: str | None = None
    """Objective that the contrast is added to: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective, such as heat=1,pose=1."""
    weight: float = field(default=0.1, metadata={"at_least": 0})
    """Weight of the contrast, lambda 3 of the paper."""
    weight_scale: Literal["pose", "constant"] = "pose"
    """pose: the weight is in units of the pose loss: both terms are measured in the first steps and put on one scale;
    constant: the weight multiplies the contrast as it is, as published."""
    form: Form = "clamped"
    """d+ and d- are L1 distances of e1' to e2' and to the negative's e1'. clamped: d+ + max(0, margin - d-); paper:
    d+ - max(margin, d-), as printed, which has no lower bound; triplet: max(0, d+ - d- + margin); ntxent."""
    margin: float | None = field(default=None, metadata={"at_least": 0})
    """Margin of the first three forms; None: 1 with margin_scale batch, and 0.5, as published, with constant."""
    margin_scale: MarginScale = "batch"
    """batch: distances are in units of the batch's own mean distance, so that there are always negatives within the
    margin; constant: distances as they are, as published."""
    temperature: float = field(default=0.5, metadata={"above": 0})
    """Of ntxent."""
    reduce: Reduce = "sum"
    """How the 128 dimensions are combined into a distance."""
    normalize: bool = True
    """Bring encodings to length 1 first; false as published."""
    features: Literal["both", "image", "text", "steer"] = "both"
    """Vector beside the feature map: both: w image + (1 - w) text; image or text alone; steer: the image's vector
    moved by target sentence - source sentence."""
    w: float = field(default=0.6, metadata={"at_least": 0, "at_most": 1})
    """Weight of the image's vector in `features` both."""
    strength: float = field(default=1.0, metadata={"at_least": 0})
    """Factor on the direction in `features` steer."""
    words: Literal["text", "random"] = "text"
    """text: vectors of the sentences; random: random vectors of the same lengths, as a control."""
    combine: Literal["concat", "sum"] = "concat"
    """How the vector is combined with that of the feature map."""
    l2: bool = False
    """Scale the joint encoder's vectors to length 1; otherwise they are used as they are."""
    encoder: str = AUTO
    """Joint encoder of pictures and sentences. auto: small, which ships, or for a published base CLIP where it is at
    hand; clip, siglip, with :FOLDER or :owner/model for other weights; small:FILE."""
    grammar: str | None = None
    """Grammar of the sentences, by name or as a YAML file; None: that of the domain."""
    source_sentence: str | None = None
    """What the training pictures look like, for steer; None: the source's own sentence."""
    images: Literal["step", "once"] = "step"
    """When pictures are encoded: each step, as augmented; or once, without augmentation."""


@register_objective("text-contrast")
class TextContrast(ObjectiveWrapper):
    """Pose loss plus the contrast with text; one sentence per picture and step, drawn uniformly."""

    Config = TextContrastConfig
    compares = "negatives"

    def __init__(self, config: TextContrastConfig | None = None) -> None:
        self.config = config or TextContrastConfig()

    def prepare(self, context: ObjectiveContext) -> None:
        """Loads the joint encoder, embeds all sentences once and makes the branch.

        Raises:
            LvtuneError: no such encoder or grammar; weights that are not available.
        """
        super().prepare(context)
        options = self.config
        kind = options.features
        self.sentences = SentenceVectors.of(context, options, steered=kind == "steer", pictures=kind != "text")
        self.decisions = (*self.decisions, *self.sentences.decisions)
        self.pictures = PictureVectors(self.sentences.encoder, context, once=options.images == "once", l2=options.l2)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(context.seed)
            self.trained = Branch2(context.base.width, self.sentences.dim, options.combine).to(context.base.device)
        if options.form == "paper":
            said = "text-contrast with form paper: the loss as printed has no lower bound; clamped is the one to use"
            self.notes = (*self.notes, said)

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar; it holds at least two samples."""
        drawn = draw(len(self.sentences), batch["index"].tolist(), self.trained.next(), self.context.seed)
        if self.context.text_only:
            batch = stray(batch, self.sentences.categories(drawn))
        with watch(base) as seen:
            loss = self.pose(base, batch)
        features, heatmaps = seen.one()
        if torch.is_grad_enabled() and not features.requires_grad:
            raise TrainingError(
                "objective text-contrast with a method that changes nothing before the head",
                "a method that tunes the encoder", "choose --method full, lora or vlpose",
            )  # fmt: skip
        true, _ = base.codec.encode(batch["keypoints"], batch["visible"])
        negative, options = farthest(heatmaps, true.to(heatmaps.device)), self.config
        anchor, positive = self.trained(features, self.vectors(batch, drawn).to(features.device))
        contrast = contrastive(
            anchor, positive, negative, form=options.form, margin=options.margin, margin_scale=options.margin_scale,
            temperature=options.temperature, reduce=options.reduce, normalize=options.normalize,
        )  # fmt: skip
        self.active_negatives = contrast.active
        if options.weight_scale == "constant":
            return loss + options.weight * contrast.loss
        return loss + options.weight * self.trained.balance(loss, contrast.loss) * contrast.loss

    def vectors(self, batch: dict, drawn: np.ndarray) -> Tensor:
        """f^CLIP (B, dim) of the batch and its sentences."""
        device, options = batch["pixel_values"].device, self.config
        if options.features == "text":
            return self.sentences.rows(drawn).to(device)
        seen = self.pictures(batch)
        if options.features == "image":
            return seen
        said = self.sentences.rows(drawn).to(device)
        if options.features == "both":
            return options.w * seen + (1 - options.w) * said
        moved = seen + options.strength * (said - self.sentences.source.to(device))
        return F.normalize(moved, dim=-1) if options.l2 else moved
