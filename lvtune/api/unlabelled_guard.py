"""Tuning on pictures without labels must not harm: what is tuned is compared with what it began with.

It began with the start, or, where some pictures of the target have labels, with what was tuned on these alone. Nothing
is kept unless all of this holds: before, enough points were sure in the pictures without labels, compared with pictures
that have labels; views of one picture agree better than before; points that were sure stay where they were; and
labelled pictures are found no worse: those of the source, those that were tuned on, and those that were kept out,
whichever there are. The largest share of the change for which it holds is kept (points on the way as in WiSE-FT, arXiv
2109.01903); in doubt none. How often this picks the better of two is measured (benchmarks/README.md).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from lvtune.api.open_data import find_source_of
from lvtune.api.unlabelled_data import unlabelled_samples
from lvtune.core.decision import Decision
from lvtune.core.errors import LvtuneError
from lvtune.core.snapshot import snapshot
from lvtune.data.subset import Subset
from lvtune.evaluation.inference import split_dataset
from lvtune.training.agreement import Answers, answers_of, evenly
from lvtune.training.guard import SHARES, between, losses_of
from lvtune.training.objectives import OBJECTIVES
from lvtune.training.point_error import point_error

if TYPE_CHECKING:
    from torch import Tensor

    from lvtune.api.job import Job
    from lvtune.domains import Split

LOOKED_AT, SOURCE = 64, 64
"""Pictures without labels, and of the source, that are looked at."""
LEAST_GAIN = 0.02
"""Least share by which the disagreement of views must fall."""
SURE_PEAK, SURE_APART = 0.5, 0.02
"""A point was sure before: its heatmap's peak is this high, and its views were no farther apart (share of height)."""
FAR, MOST_MOVED = 0.06, 0.1
"""A sure point has moved if it is this far away; at most this share of the sure points may."""
SOURCE_ROOM, LABELLED_ROOM = 1.01, 1.1
"""Largest factor on the loss on the source, and on the loss (of new key points: the error) on labelled pictures that
were tuned on; on pictures kept out it is 1."""
LEAST_SURE, OF_KNOWN, LEAST = 0.1, 0.25, 0.05
"""The least share of points that must be sure before. With fewer, the pictures may not show what is to be found. Where
there are pictures with labels that were not tuned on, it is OF_KNOWN of the share in those, and at least LEAST.
It was measured with pictures of the source (benchmarks/README.md). Elsewhere it is LEAST_SURE."""


@dataclass(frozen=True)
class Seen:
    """What was measured of one share of the change."""

    disagreement: float
    """Of views of one picture, as a share of its height."""
    moved: float
    """Share of the points that were sure before which are elsewhere."""
    peak: float
    """Mean peak of the heatmaps."""
    source: float | None
    """Loss on pictures of the source; None: there are none."""
    sure: float = 1.0
    """Share of the points that are sure and on which the views agree."""
    labelled: float | None = None
    """Loss on labelled pictures of the target that were tuned on; of new key points the error in % of the crop; None:
    there are none, or some were kept out."""
    kept_out: float | None = None
    """The same on pictures that were kept out; None: none were."""
    known: float | None = None
    """``sure`` of pictures with labels that were not tuned on (of the target, else of the source), before; None: there
    are none."""

    @property
    def least_sure(self) -> float:
        """The least ``sure`` with which pictures show what is to be found."""
        return LEAST_SURE if self.known is None else max(LEAST, OF_KNOWN * self.known)


class UnlabelledGuard:
    """Usage: ``begin()`` before the tuning with pictures without labels, ``keep()`` after it.

    It works without labels of the target, and for a second part after tuning on some, unless ``train.guard`` is 0.
    Where both kinds of pictures come from the first step on, the few-shot guard decides.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.share: float | None = None
        self.seen: dict[str, Seen] = {}
        self._start: dict[str, Tensor] = {}
        self._checks: _Checks | None = None

    @property
    def is_active(self) -> bool:
        """Whether the change is checked."""
        job = self.job
        if job.unlabelled is None or job.recipe.has_target_labels:
            return job.second is not None and job.refuses
        return bool(job.recipe.train.guard)

    def begin(self) -> None:
        """Notes where the tuning begins, and looks at the pictures with that."""
        if not self.is_active or self.job.unlabelled is None:
            return
        self._start = snapshot(self.job.adapter)
        labelled = self.job.train if self.job.recipe.has_target_labels else None
        kept_out = self.job.kept_out.target if labelled is not None else None
        self._checks = _Checks(self.job, self._source(), labelled if kept_out is None else None, kept_out)
        self.seen["0"] = self._checks.seen(first=True)

    @property
    def doubt(self) -> str | None:
        """Why nothing of the tuning will be kept, as far as it can be known before; None: it may."""
        before = self.seen.get("0")
        words = None if before is None else too_unsure(before)
        keeps = "then nothing of the tuning with them is kept (--train.guard 0 keeps it unchecked)"
        return words and f"{words}; {keeps}"

    def keep(self) -> None:
        """Takes the tuned weights back as far as the check needs it."""
        if not self._start or self._checks is None:
            return
        job, end = self.job, snapshot(self.job.adapter)
        kept = 0.0
        for share in sorted(SHARES[1:], reverse=True):
            job.adapter.load_state_dict(between(self._start, end, share))
            self.seen[f"{share:g}"] = self._checks.seen()
            if is_better(self.seen["0"], self.seen[f"{share:g}"]):
                kept = share
                break
        job.adapter.load_state_dict(between(self._start, end, kept))
        self.share = kept

    def _source(self) -> Split | None:
        """The source's training pictures, which are not scored; None: there are none that fit."""
        job = self.job
        try:
            found = find_source_of(job.domain, job.base.spec, job.recipe.data, "train").split
        except LvtuneError:
            return None
        fits = found is not None and found.table.skeleton.keypoints == job.adapter.skeleton.keypoints
        return found if fits else None

    @property
    def decision(self) -> Decision | None:
        """Says how much of the change is kept; None where there are labels of the target, or no such pictures."""
        job = self.job
        if job.unlabelled is None or (job.recipe.has_target_labels and job.second is None):
            return None
        if self.share is None:
            return Decision("guard without labels", "no check", "it is off in the recipe")
        began = "the tuning began with" if job.second is None else "the labelled pictures alone gave"
        value = (
            f"{self.share:.0%} of the change is kept" if self.share else f"nothing is kept: the result is what {began}"
        )
        before = self.seen["0"]
        now = self.seen[f"{self.share or 1:g}"]
        why = (
            f"views of a picture disagree by {before.disagreement:.2%} of its height before, {now.disagreement:.2%} now"
        )
        why += f"; {now.moved:.0%} of the sure points moved"
        if now.source is not None:
            why += f"; loss on the source {before.source:.3g} before, {now.source:.3g} now"
        if now.labelled is not None:
            why += f"; on labelled pictures {before.labelled:.3g} before, {now.labelled:.3g} now"
        if now.kept_out is not None:
            why += f"; on labelled pictures kept out {before.kept_out:.3g} before, {now.kept_out:.3g} now"
        if not self.share:
            why += f"; refused: {' and '.join(shortfalls(before, now))}"
        return Decision("guard without labels", value, why)

    def to_dict(self) -> dict[str, Any] | None:
        """``name`` and ``instances`` of the pictures without labels, ``share`` that is kept (None: no check) and
        ``seen`` by share of the change; None without such pictures."""
        split = self.job.unlabelled
        if split is None:
            return None
        about = {"name": split.name, "instances": len(split.table)}
        return about | {"share": self.share, "seen": {share: asdict(seen) for share, seen in self.seen.items()}}


class _Checks:
    """What is measured of the adapter as it is at the moment; splits that are None are not looked at.

    Args:
        job: with pictures without labels.
        source, labelled, kept_out: pictures with labels: the source's, and the target's, tuned on or not.
    """

    def __init__(self, job: Job, source: Split | None, labelled: Split | None, kept_out: Split | None) -> None:
        assert job.unlabelled is not None
        self.job, self.source, self.labelled, self.kept_out = job, source, labelled, kept_out
        whole = unlabelled_samples(job.base, job.unlabelled, job.recipe.seed)
        self.pictures = Subset(whole, evenly(len(whole), LOOKED_AT), renumber=False)
        self.before: Answers | None = None

    def seen(self, first: bool = False) -> Seen:
        """Looks at all of them; ``first``: with this, others are compared."""
        found = answers_of(self.job.base, self.job.adapter, self.pictures, seed=self.job.recipe.seed)
        self.before = found if first or self.before is None else self.before
        known = self.kept_out or self.source  # of pictures that were tuned on nearly all points are sure
        return Seen(
            found.disagreement, moved_share(self.before, found), float(found.peak.mean()), self._loss(self.source),
            float(sure_points(found).float().mean()), self._loss(self.labelled), self._loss(self.kept_out),
            self._sure(known) if first else None,
        )  # fmt: skip

    def _sure(self, split: Split | None) -> float | None:
        """The share of sure points in pictures that have labels."""
        if split is None:
            return None
        job = self.job
        found = answers_of(job.base, job.adapter, self._some(split), seed=job.recipe.seed)
        return float(sure_points(found).float().mean())

    def _loss(self, split: Split | None) -> float | None:
        if split is None:
            return None
        job = self.job
        judge: Any = OBJECTIVES.get(job.base.objective)()
        judge = point_error if job.new_keypoints and job.train.task == "pose2d" else judge
        return float(losses_of(job.base, job.adapter, self._some(split), judge).mean())

    def _some(self, split: Split) -> Any:
        """Some of the pictures with labels; those of the source are read with the mean sentence, as in its score."""
        data = split_dataset(self.job.base, split, cache=True)
        data = _WithoutCategories(data) if split is self.source else data
        return Subset(data, evenly(len(data), SOURCE), renumber=False)


class _WithoutCategories(Dataset):
    """Samples whose categories the adapter may have no sentences for."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int) -> dict[str, Any]:
        return {**self.data[item], "category": None}


def sure_points(answers: Answers) -> Tensor:
    """Returns (N, K), true where a heatmap has a high peak and the views agree."""
    return (answers.peak >= SURE_PEAK) & (answers.apart <= SURE_APART)


def moved_share(before: Answers, now: Answers) -> float:
    """Returns the share of the points that were sure before which have moved."""
    sure = sure_points(before)
    far = (now.points - before.points).norm(dim=-1) > FAR
    return float((far & sure).sum()) / max(1, int(sure.sum()))


def too_unsure(before: Seen) -> str | None:
    """Returns that too few points were sure before, in words; None: enough were."""
    if before.sure >= before.least_sure:
        return None
    words = f"of all points, {before.sure:.1%} were sure before, fewer than {before.least_sure:.1%}"
    words += "" if before.known is None else f" (in pictures with labels {before.known:.0%} were)"
    return f"{words}: the pictures may not show what is to be found"


def is_better(before: Seen, now: Seen) -> bool:
    """Whether a state is to be taken for better without any label."""
    return not shortfalls(before, now)


def shortfalls(before: Seen, now: Seen) -> list[str]:
    """Returns what speaks against a state, in words; empty: it is to be taken for better."""
    found = []
    words = too_unsure(before)
    found += [] if words is None else [words]
    if now.disagreement > (1 - LEAST_GAIN) * before.disagreement:
        found.append(f"the views' disagreement did not fall by {LEAST_GAIN:.0%}")
    if now.moved > MOST_MOVED:
        found.append(f"more than {MOST_MOVED:.0%} of the sure points moved")
    for what, old, new, room in (
        ("the loss on the source", before.source, now.source, SOURCE_ROOM),
        ("the loss on labelled pictures", before.labelled, now.labelled, LABELLED_ROOM),
        ("the loss on labelled pictures kept out", before.kept_out, now.kept_out, 1.0),
    ):
        if old is not None and new is not None and new > room * old:
            found.append(f"{what} is over {room:g} times what it was")
    return found
