"""Lets the base's own answers stand in for labels: on pictures that are checked, and on pictures that are replayed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader

from lvtune.core.processes import gathered, share_of_this_process
from lvtune.data.crop import to_image
from lvtune.data.dataset import collate
from lvtune.data.subset import Subset
from lvtune.evaluation.inference import predict_evidence, split_dataset
from lvtune.patcher.attaching import use_adapter
from lvtune.training.many_views import seen_in_many_views
from lvtune.training.second_pictures import on_device_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lvtune.bases.base import Base
    from lvtune.config.options import EvaluateOptions
    from lvtune.domains import Split

SEEN = 0.3
"""Peak of a heatmap from which a point that the base finds stands in for a label."""
CONFIDENCE, AGREEMENT = 0.7, 0.03
"""How far a point of many views is believed; see :meth:`lvtune.training.many_views.ManyViews.certainty`."""
_BATCH = 8


class AnsweredTable:
    """A table whose key points are the base's answers; all else is the table's.

    Args:
        table: of N persons.
        keypoints: (N, K, 3).
    """

    def __init__(self, table: Any, keypoints: np.ndarray) -> None:
        self._table, self._keypoints = table, keypoints

    def __getattr__(self, name: str) -> Any:
        if name == "_table":  # not made yet
            raise AttributeError(name)
        return getattr(self._table, name)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Any:
        return replace(self._table[index], keypoints=self._keypoints[index])

    def column(self, name: str) -> np.ndarray:
        """Returns all N values of a field."""
        return self._keypoints if name == "keypoints" else self._table.column(name)


def answered(base: Base, split: Split, options: EvaluateOptions) -> Split:
    """Returns the split with the bare base's answers in place of labels; points that it does not see stay unlabelled.

    Args:
        base: without an adapter.
        split: of N samples.
        options: how predictions are made.
    """
    found = predict_evidence(
        base, split, adapters=None, skeleton=base.skeleton, category=None, flip_test=options.flip_test,
        batch_size=options.batch_size,
    )  # fmt: skip
    visible = np.where(found.scores >= SEEN, 2.0, 0.0)
    table: Any = AnsweredTable(split.table, np.concatenate([found.keypoints, visible[..., None]], -1))
    return replace(split, table=table)


def answered_in_many_views(base: Base, split: Split, views: int) -> Split:
    """Returns the split with the bare base's answers in place of labels, each the mean of several looks.

    The third number of a point is how far it is believed, 0 to 1. The processes of a launch share the work.

    Args:
        base: whatever is attached does not act.
        split: of pictures; each person is looked at once, in the first of its views.
        views: see :func:`lvtune.training.many_views.seen_in_many_views`.
    """
    table: Any = split.table
    data: Any = split_dataset(base, replace(split, items=None))
    of_each = len(split.views or " ")
    places = [row * of_each for row in share_of_this_process(len(table))]
    loader = DataLoader(Subset(data, places, renumber=False), batch_size=_BATCH, collate_fn=collate)
    own: dict[int, np.ndarray] = {}
    with _in_evaluation(base), use_adapter(base, None):
        for batch in loader:
            found = seen_in_many_views(base, on_device_of(base, batch), base.skeleton, views)
            # what is decoded has another unit than pixels; see UDPHeatmap.decode
            size = np.array([base.input_size[1], base.input_size[0]], dtype=np.float64)
            points = found.points.double().cpu().numpy() * (size / (size - 1))
            points = to_image(points, batch["center"].numpy(), batch["scale"].numpy(), base.input_size)
            sure = found.certainty(CONFIDENCE, AGREEMENT).double().cpu().numpy()
            whole = np.concatenate([np.nan_to_num(points), sure[..., None]], -1)
            own |= {item // of_each: row for item, row in zip(batch["index"].tolist(), whole, strict=True)}
    keypoints = np.stack(gathered(own, len(table)))
    answers: Any = AnsweredTable(table, keypoints)
    return replace(split, table=answers)


@contextlib.contextmanager
def _in_evaluation(base: Base) -> Iterator[None]:
    """Inside, adapters of the base are in evaluation mode; the mode comes back, after an error too."""
    was_training = base.training
    base.train(False)
    try:
        yield
    finally:
        base.train(was_training)
