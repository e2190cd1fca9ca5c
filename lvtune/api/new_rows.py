"""Where the predictor's rows of new key points begin: at rows of like points, where that fits the pictures better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.core.text import counted
from lvtune.core.work_progress import tracked
from lvtune.data.dataset import collate
from lvtune.data.like_names import Likeness, LikeRow, like_rows
from lvtune.data.subset import Subset
from lvtune.domains.own_domain import is_own_data
from lvtune.evaluation.inference import split_dataset
from lvtune.patcher.attaching import attach, use_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvtune.api.job import Job

MOST = 64
"""Training pictures that are looked at, evenly spread."""
_AT_ONCE = 16
WHAT = "predictor of new key points"
_SHOWN = 6


@dataclass(frozen=True)
class RowLoss:
    """Loss of one key point on some training pictures, with either beginning of its row."""

    mean: float
    like: float


class NewRows:
    """Usage: ``choose()`` before the tuning, behind the check of the warm start.

    Only for key points in pictures that the base does not know by name, of an adapter that trains the predictor.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.wanted = job, job.recipe.train.new_rows
        is_own = is_own_data(job.recipe.domain) or self.wanted == "like"
        is_pose = job.base.task == job.train.task == "pose2d" and job.recipe.has_target_labels
        self.is_open = bool(is_own and is_pose and job.new_keypoints and self._predictors())
        self.like: dict[int, LikeRow] = {}
        self.losses: dict[int, RowLoss] = {}
        self.kept: tuple[int, ...] = ()
        self.pictures = 0

    def _predictors(self) -> list[Any]:
        count = len(self.job.adapter.skeleton.keypoints)
        return [p for p in self.job.adapter.trained_predictors() if getattr(p, "out_channels", None) == count]

    def choose(self) -> None:
        """Sets the rows of the adapter's predictor."""
        if not self.is_open or self.wanted == "mean":
            return
        job = self.job
        found = like_rows(job.adapter.skeleton, job.base.skeleton, self._likeness())
        self.like = {row: one for row, one in found.items() if self._is_fresh(row)}
        if not self.like:
            return
        before = [{name: value.clone() for name, value in p.state_dict().items()} for p in self._predictors()]
        if self.wanted == "like":
            self.kept = tuple(self.like)
        else:
            mean = self._losses()
            self._take(tuple(self.like))
            like = self._losses()
            self.losses = {row: RowLoss(mean[row], like[row]) for row in self.like}
            self.kept = tuple(row for row, loss in self.losses.items() if loss.like < loss.mean)
            for predictor, state in zip(self._predictors(), before, strict=True):
                predictor.load_state_dict(state)
        self._take(self.kept)

    def _is_fresh(self, row: int) -> bool:
        """Returns True if a row is the mean of the base's: a warm start may have brought a better one."""
        theirs = dict(self.job.base.predictor.named_parameters())
        return all(
            torch.equal(own[row], theirs[name].mean(0).to(own.dtype))
            for predictor in self._predictors()
            for name, own in predictor.named_parameters()
        )

    def _likeness(self) -> Likeness | None:
        """Cosines of names by the run's own text encoder; None where the run reads no language, or it is not here."""
        job = self.job
        if getattr(job.adapter, "bank", None) is None:
            return None
        from lvtune.language.encoders import load_text_encoder

        try:
            encoder = load_text_encoder(job.recipe.language.encoder)
        except LvtuneError:
            return None

        def likeness(names: Sequence[str], others: Sequence[str]) -> np.ndarray:
            states, mask = encoder.encode([f"the {name} of an animal" for name in (*names, *others)])
            pooled = (states * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)
            pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-9)
            return pooled[: len(names)] @ pooled[len(names) :].T

        return likeness

    @torch.no_grad()
    def _take(self, rows: Sequence[int]) -> None:
        """Copies the base's rows of like points, averaged, into the adapter's predictor."""
        theirs = dict(self.job.base.predictor.named_parameters())
        for predictor in self._predictors():
            for name, own in predictor.named_parameters():
                for row in rows:
                    own[row].copy_(theirs[name][list(self.like[row].sources)].mean(0))

    @torch.no_grad()
    def _losses(self) -> list[float]:
        """Mean squared error of each key point's heatmap, over the labelled ones, without augmentation."""
        job, base = self.job, self.job.base
        data = split_dataset(base, job.train)
        some = Subset(data, sorted({i * len(data) // MOST for i in range(MOST)}))
        self.pictures = len(some)
        total = counted = torch.zeros(len(job.adapter.skeleton.keypoints))
        job.adapter.eval()
        with attach(base, job.adapter, name="rows"), use_adapter(base, "rows"):
            loader = DataLoader(some, batch_size=_AT_ONCE, collate_fn=collate)
            for batch in tracked(loader, "comparing rows of the predictor", len(loader), "batches"):
                here = {k: v.to(base.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
                with use_adapter(base, category=here["category"]):
                    maps = base(here["pixel_values"]).float()
                target, weight = base.codec.encode(here["keypoints"], here["visible"])
                weight = weight.reshape(len(maps), -1)
                total = total + ((maps - target).square().mean((-2, -1)) * weight).sum(0).cpu()
                counted = counted + weight.sum(0).cpu()
        return (total / counted.clamp(min=1)).tolist()

    @property
    def decision(self) -> Decision | None:
        """Says where the rows begin, and why; None where there are no new ones."""
        if not self.is_open:
            return None
        if self.wanted == "mean":
            return Decision(WHAT, "the mean of the base's", "as the recipe says")
        if not self.like:
            return Decision(WHAT, "the mean of the base's", "the base has no key points of like names")
        count = len(self.like) - len(self.kept)
        if not self.kept:
            return Decision(
                WHAT, "the mean of the base's", f"not better on {self._measured()}: {self._words(self.like)}"
            )
        has_others = len(self.kept) < self.job.new_keypoints
        value = self._words(self.kept) + ("; the mean of the base's for the others" if has_others else "")
        if self.wanted == "like":
            return Decision(WHAT, value, "as the recipe says")
        worse = f"; not better for {count} others with like names" if count else ""
        return Decision(WHAT, value, f"lower loss on {self._measured()}{worse}")

    def _measured(self) -> str:
        return counted(self.pictures, "training picture")

    def _words(self, rows: Sequence[int] | dict[int, LikeRow]) -> str:
        mine, theirs = self.job.adapter.skeleton.keypoints, self.job.base.skeleton.keypoints
        named = [f"{mine[row]} as {' and '.join(theirs[i] for i in self.like[row].sources)}" for row in rows]
        return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")

    def to_dict(self) -> list[dict[str, Any]] | None:
        """Each new key point with a like: ``keypoint``, ``like``, ``how``, ``kept``, and the losses where measured."""
        if not self.is_open or not self.like:
            return None
        mine, theirs = self.job.adapter.skeleton.keypoints, self.job.base.skeleton.keypoints
        return [
            {
                "keypoint": mine[row],
                "like": [theirs[i] for i in one.sources],
                "how": one.how,
                "kept": row in self.kept,
                "loss_mean": self.losses[row].mean if row in self.losses else None,
                "loss_like": self.losses[row].like if row in self.losses else None,
            }
            for row, one in self.like.items()
        ]
