"""``mean-teacher``: learns from pictures without labels what the running mean of the adapter says of them.

The teacher is the running mean of the adapter's weights (Tarvainen and Valpola, NeurIPS 2017, arXiv 1703.01780), on the
same base, as it was at the start or is every few steps. It looks at the plain picture in several ways
(:mod:`lvtune.training.many_views`) and keeps its answer; the adapter looks at a strong view
(:mod:`lvtune.training.strong_view`) and is to find the same points. A point counts as much as the teacher is sure of
it (the peak of its heatmap) and as its looks agree. Hands are to have the same joints in space too, turned as the
picture is: taught by heatmaps alone, they no longer fit the lifting (measured; benchmarks/README.md). The term is added
to the pose loss on labelled pictures, of the target or of the source; without any it stands alone.

Sources for poses: RegDA (Jiang et al., CVPR 2021, arXiv 2103.06175) for transfer of key points without labels; UDAPE
(Kim et al., ECCV 2022, arXiv 2204.10208) for the mean teacher with strong views whose geometry is undone, and for
redrawing the teacher's heatmaps as Gaussians; SFDAHPE (Peng et al., ICCV 2023, arXiv 2308.03202) for doing it without
the source. Ours: the weights of points, one teacher for adapters on one base, and the defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from lvtune.core.errors import TrainingError
from lvtune.patcher.attaching import acting
from lvtune.training.losses import keypoint_mse
from lvtune.training.many_views import FEWEST_VIEWS, MOST_VIEWS, seen_in_many_views
from lvtune.training.objective import register_objective
from lvtune.training.objective_wrapper import ObjectiveWrapper
from lvtune.training.second_pictures import SecondPictures, answer_of, rows_of
from lvtune.training.strong_view import StrongViewOptions, moved, strong_view, turned
from lvtune.training.teacher import Teacher

if TYPE_CHECKING:
    from lvtune.bases.base import Base
    from lvtune.training.objective import ObjectiveContext

Batch = dict[str, Any]


@dataclass(frozen=True)
class MeanTeacherConfig(StrongViewOptions):
    """Options of ``mean-teacher``."""

    pose: str | None = None
    """Objective on the labelled pictures: heatmap, hand; None: what suits the base."""
    pose_options: dict[str, Any] = field(default_factory=dict)
    """Options of that objective."""
    part: float = field(default=0.25, metadata={"at_least": 0, "at_most": 10})
    """With labelled pictures of the target: first come as many steps on these alone as without the others, then this
    share of that number with both. 0: both from the first step on."""
    rate: float = field(default=0.2, metadata={"above": 0, "at_most": 10})
    """Factor on the learning rate in that second part."""
    weight: float = field(default=1.0, metadata={"at_least": 0})
    """Weight of the pictures without labels; both terms are errors of heatmaps in the same unit."""
    every: int = field(default=6, metadata={"at_least": 1})
    """One picture without labels comes with so many labelled ones of a step. 1 takes the most time (measured;
    benchmarks/README.md)."""
    decay: float = field(default=0.98, metadata={"at_least": 0, "at_most": 1})
    """Of the running mean that is the teacher (UDAPE: 0.999, over many more steps)."""
    ramp: int = field(default=20, metadata={"at_least": 0})
    """Steps in which the weight rises, as exp(-5 (1 - t)^2) (Tarvainen and Valpola)."""
    confidence: float = field(default=0.7, metadata={"above": 0})
    """Peak of a heatmap from which the teacher is sure; below it a point counts (peak / confidence) ^ 4."""
    agreement: float = field(default=0.02, metadata={"above": 0})
    """Distance of the teacher's answers, as a share of the picture's height, at which a point counts 0.6; twice as far
    apart 0.14."""
    agreement_in_space: float = field(default=0.5, metadata={"above": 0})
    """Distance of the teacher's answers for a hand in space, in lengths of the reference bone, at which it counts
    0.6."""
    views: int = field(default=4, metadata={"at_least": FEWEST_VIEWS, "at_most": MOST_VIEWS})
    """The teacher looks at a picture in so many ways: as it is, mirrored, turned, resized."""
    renew: int = field(default=0, metadata={"at_least": 0})
    """The teacher's answers are kept for so many steps, then asked for anew. 0: for the whole run, so the teacher is
    what the run began with. 1: in each step (UDAPE)."""
    saved: Literal["teacher", "student"] = "teacher"
    """Whose weights are the result: the running mean's, or those of the last step."""


@register_objective("mean-teacher")
class MeanTeacher(ObjectiveWrapper):
    """Pose loss on labelled pictures plus the teacher's points on pictures without labels."""

    Config = MeanTeacherConfig
    takes_unlabelled = True

    def __init__(self, config: MeanTeacherConfig | None = None) -> None:
        self.config = config or MeanTeacherConfig()
        self._known: dict[int, list[Tensor]] = {}
        """The teacher's answers, by the number of the picture."""

    def prepare(self, context: ObjectiveContext) -> None:
        """Makes the teacher and opens the pictures without labels.

        Raises:
            TrainingError: there are none.
        """
        if context.unlabelled is None or context.adapter is None:
            raise TrainingError(
                "objective mean-teacher without pictures that have no labels", "pictures to learn from",
                "give --unlabelled FOLDER, or choose another --objective",
            )  # fmt: skip
        super().prepare(context)
        self.trained = Teacher(context.adapter, self.config.decay).to(context.base.device)
        self.pool: SecondPictures | None = None
        if not context.unlabelled_only:
            self.pool = SecondPictures(context.unlabelled(), self.config.every, context.seed)

    def __call__(self, base: Base, batch: Batch) -> Tensor:
        """Loss of one batch, a scalar."""
        step, adapter = self.trained.steps.next(), _adapter_of(base)
        self.trained.follow(adapter, step)
        if self.trained.renew(step, self.config.renew):
            self._known.clear()
        if self.pool is None:
            term = self.taught(base, adapter, batch, step)
            self.terms = {"points of the teacher": term.detach()}
            return term
        loss = self.pose(base, batch)
        more, factor = self.pool.batch(base, step, len(batch["index"]))
        self.terms = {"labelled pictures": loss.detach()}
        if more is None:
            return loss
        term = self.taught(base, adapter, more, step) * factor
        self.terms = {**self.terms, "points of the teacher": term.detach()}
        return loss + term

    def finish(self, adapter: nn.Module) -> None:
        """Leaves the teacher's weights in the adapter, unless the last step's are wanted."""
        step = int(self.trained.steps.step)
        if self.config.saved == "teacher" and step:
            self.trained.follow(adapter, step)
            adapter.load_state_dict(self.trained.state())

    def taught(self, base: Base, adapter: nn.Module, batch: Batch, step: int) -> Tensor:
        """Error of the adapter on the strong view, against the teacher's points; a scalar, ramped and weighted."""
        points, weight, *in_space = self.answers(base, adapter, batch)
        pixels, matrix = strong_view(base, batch, self.config, self.context.seed, step)
        target, inside = base.codec.encode(moved(points, matrix), torch.ones_like(weight))
        near = getattr(self.pose, "foreground", 0.0)  # as on labelled pictures: else heatmaps of new points stay empty
        answer = answer_of(base, {**batch, "pixel_values": pixels})
        error = torch.stack([
            keypoint_mse(maps, target, weight * inside, foreground=near) for maps in answer.stages
        ]).sum()  # fmt: skip
        if answer.joints is not None:
            joints, sure = in_space
            away = (answer.joints.float() - turned(joints, matrix)).square().mean((1, 2))
            error = error + (sure * away).mean()  # both count alike, as with labels
        return self.config.weight * ramped(step, self.config.ramp) * error

    def answers(self, base: Base, adapter: nn.Module, batch: Batch) -> list[Tensor]:
        """Returns the teacher's points (B, K, 2) in input pixels, and how much each counts (B, K), 0 to 1.

        For hands also their joints (B, K, 3) and how much each hand's count (B,).
        """
        items = batch["index"].tolist()
        missing = [place for place, item in enumerate(items) if item not in self._known]
        # on a processor one by one: to the last bit, an answer must not depend on the pictures beside it
        for places in [[place] for place in missing] if base.device.type == "cpu" else [missing] * bool(missing):
            found = self._asked(base, adapter, rows_of(batch, places))
            for place, *answer in zip(places, *found, strict=True):
                self._known[items[place]] = answer
        return [torch.stack(values) for values in zip(*(self._known[item] for item in items), strict=True)]

    def _asked(self, base: Base, adapter: nn.Module, batch: Batch) -> list[Tensor]:
        """What :meth:`answers` returns, asked for now."""
        kind: Any = getattr(adapter, "skeleton", None) or base.skeleton
        with self.trained.lent_to(adapter):
            found = seen_in_many_views(base, batch, kind, self.config.views)
        answer = [found.points, found.certainty(self.config.confidence, self.config.agreement)]
        sure = found.certainty_in_space(self.config.agreement_in_space)
        return answer if found.joints is None or sure is None else [*answer, found.joints, sure]


def ramped(step: int, ramp: int) -> float:
    """Returns the factor at a step: exp(-5 (1 - t)^2), t from 0 to 1 in ``ramp`` steps."""
    return math.exp(-5 * (1 - min(1.0, step / ramp)) ** 2) if ramp else 1.0


def _adapter_of(base: Base) -> Any:
    adapter = acting(base)
    if adapter is None:
        raise TrainingError("objective mean-teacher on a bare base", "an adapter that is attached", "use lvtune adapt")
    return adapter
