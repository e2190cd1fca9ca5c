"""``text-style``: gives features the style that the target's sentences describe; not part of the paper.

``text-contrast`` never changes what the head sees; this objective does. A ridge regression predicts the style of a
picture's features (mean and standard deviation of each channel) from its vector in a joint encoder. It is fitted on the
source's pictures during the run. The direction target sentence - source sentence goes through the regression and gives
a change of style. The pose loss is computed on the restyled features, so the adapter learns to read them. No picture
of the target is used. Styles from sentences are the idea of PODA (arXiv 2212.03241), which needs CLIP as the backbone;
here the regression does that part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lvtune.language.grammars import draw
from lvtune.language.joint_choice import AUTO
from lvtune.training.joint_features import PictureVectors, SentenceVectors
from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper, Steps, stray
from lvtune.training.style import Place, Style, change_at

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext


@dataclass(frozen=True)
class TextStyleConfig:
    """Options of ``text-style``."""

    pose: str | None = None
    """Objective computed on the restyled features: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    p: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Share of the pictures that are restyled."""
    strength: float = field(default=1.0, metadata={"at_least": 0})
    """Factor on the direction from the source's sentence to the target's."""
    after: int = field(default=50, metadata={"at_least": 1})
    """Number of steps for the regression before anything is restyled."""
    memory: float = field(default=0.99, metadata={"at_least": 0, "at_most": 1})
    """Decay per step of the regression's statistics."""
    ridge: float = field(default=0.1, metadata={"above": 0})
    """Penalty of the regression, as a share of the vectors' mean variance."""
    place: Place = "features"
    """Where: features, the map that enters the head (any base and method); blocks, after some blocks."""
    blocks: int = field(default=2, metadata={"at_least": 0})
    """After how many blocks of the encoder, with `place` blocks."""
    words: Literal["text", "random"] = "text"
    """text: vectors of the sentences; random: random vectors of the same lengths, as a control."""
    l2: bool = True
    """Scale the joint encoder's vectors to length 1: those of pictures and sentences differ in length."""
    encoder: str = AUTO
    """Joint encoder of pictures and sentences; auto: small, which ships, or for a published base CLIP where it is at
    hand."""
    grammar: str | None = None
    """Grammar of the target's sentences; None: that of the domain."""
    source_sentence: str | None = None
    """What the training pictures look like; None: the source's own sentence."""
    images: Literal["step", "once"] = "step"
    """When pictures are encoded: each step, as augmented; or once, without augmentation."""


@register_objective("text-style")
class TextStyle(ObjectiveWrapper):
    """Computes the pose loss on features whose style follows the target's sentences."""

    Config = TextStyleConfig
    compares = "statistics of styles"

    def __init__(self, config: TextStyleConfig | None = None) -> None:
        self.config = config or TextStyleConfig()

    def prepare(self, context: ObjectiveContext) -> None:
        """Loads the joint encoder and embeds the sentences.

        Raises:
            LvtuneError: no such encoder or grammar; weights that are not available.
        """
        super().prepare(context)
        options, base = self.config, context.base
        self.sentences = SentenceVectors.of(context, options, steered=True)
        self.decisions = (*self.decisions, *self.sentences.decisions)
        self.pictures = PictureVectors(self.sentences.encoder, context, once=options.images == "once", l2=options.l2)
        width = base.width if options.place == "features" or not base.blocks else base.blocks[options.blocks].width
        self.trained = StyleMap(self.sentences.dim, 2 * width, options.memory).to(base.device)

    def __call__(self, base: Base, batch: dict) -> Tensor:
        """Loss of one batch, a scalar."""
        options, step, seed = self.config, self.trained.next(), self.context.seed
        items = batch["index"].tolist()
        drawn = draw(len(self.sentences), items, step, seed)
        if self.context.text_only:
            batch = stray(batch, self.sentences.categories(drawn))
        vectors = self.pictures(batch)
        chance = torch.tensor([np.random.default_rng([seed, step, item, 1]).random() for item in items])
        wanted = (chance < options.p).to(vectors)[:, None]
        direction = (self.sentences.rows(drawn) - self.sentences.source).to(vectors)

        def change(x: Tensor, channels: int) -> Tensor:
            style = Style.of(x.detach(), channels)
            self.trained.learn(vectors, torch.cat([style.mean, style.std.log()], 1))
            if step < options.after:
                return x
            moved = options.strength * wanted * direction @ self.trained.coefficients(options.ridge)
            return shifted(style, moved).put_on(x, channels)

        with change_at(base, options.place, options.blocks, change):
            return self.pose(base, batch)


class StyleMap(Steps):
    """Ridge regression of styles on vectors, with slow forgetting; it has no trained parameters.

    Args:
        inputs: length of a vector.
        outputs: length of a style.
        memory: decay per batch.
    """

    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    weight: Tensor

    def __init__(self, inputs: int, outputs: int, memory: float) -> None:
        super().__init__()
        self.memory = memory
        for name, shape in (("x", (inputs,)), ("y", (outputs,)), ("xx", (inputs, inputs)), ("xy", (inputs, outputs))):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def learn(self, x: Tensor, y: Tensor) -> None:
        """Adds vectors (B, inputs) and styles (B, outputs) to the statistics."""
        x, y = x.float(), y.float()
        new = {"x": x.mean(0), "y": y.mean(0), "xx": x.T @ x / len(x), "xy": x.T @ y / len(x), "weight": x.new_ones(())}
        for name, value in new.items():
            getattr(self, name).mul_(self.memory).add_(value)

    @torch.no_grad()
    def coefficients(self, ridge: float) -> Tensor:
        """Returns (inputs, outputs): how a style changes with a vector."""
        x, y, xx, xy = (value / self.weight for value in (self.x, self.y, self.xx, self.xy))
        covariance = xx - torch.outer(x, x)
        penalty = ridge * covariance.diagonal().mean().clamp(min=1e-12)
        return torch.linalg.solve(covariance + penalty * torch.eye(len(x), device=x.device), xy - torch.outer(x, y))


def shifted(style: Style, shift: Tensor) -> Style:
    """Shifts a style by (B, 2C): the first half is added to the means, the rest to the log standard deviations."""
    mean, log_std = shift.to(style.mean).chunk(2, dim=1)
    # limits directions far outside the range of the source's pictures
    return Style(style.mean + mean, style.std * log_std.clamp(-1.5, 1.5).exp())
