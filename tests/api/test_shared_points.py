"""Scores on the key points that base and adapter share."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lvtune.api import shared_points
from lvtune.api.shared_points import SharedPoints, shared_scores
from lvtune.data.skeletons import COCO_17, LSP_14, Skeleton

FACE = Skeleton("face", ("nose", "left_eye", "chin"), (0.1, 0.1, 0.1))


@dataclass
class Table:
    """Two instances whose labels lie at (10 k, 20) for point k."""

    skeleton: Skeleton

    def column(self, name):
        count = len(self.skeleton.keypoints)
        points = np.stack([10.0 * np.arange(count), np.full(count, 20.0), np.full(count, 2.0)], -1)
        return {"keypoints": np.stack([points, points]), "bbox": np.array([[0, 0, 30, 40]] * 2)}[name]


def split_of(skeleton, task="pose2d"):
    found: Any = SimpleNamespace(table=Table(skeleton), task=task)
    return found


def test_points_are_found_by_name_whatever_their_place():
    split = split_of(FACE)
    points = np.full((2, 17, 2), -500.0)
    points[:, COCO_17.keypoints.index("nose")] = [3.0, 24.0]  # 3 to the right, 4 below: 5 px
    points[:, COCO_17.keypoints.index("left_eye")] = [10.0, 20.0]
    found = shared_scores(split, COCO_17, points, np.ones((2, 17)), ["nose", "left_eye"])
    assert found["px_mean"] == pytest.approx(2.5) and found["px_rms"] == pytest.approx(12.5**0.5)
    assert found["pck@0.2"] == 100.0  # 0.2 of the box's diagonal is 10 px


def test_predictions_that_are_known_are_not_made_again(monkeypatch):
    made = []

    def predict(base, split, **options):
        made.append(options["skeleton"].name)
        return np.zeros((2, len(options["skeleton"].keypoints), 2)), np.ones((2, len(options["skeleton"].keypoints)))

    monkeypatch.setattr(shared_points, "predict_split", predict)
    job: Any = SimpleNamespace(
        base=SimpleNamespace(skeleton=COCO_17), adapter=SimpleNamespace(skeleton=FACE), test=split_of(FACE),
        source=split_of(COCO_17), category=None,
        recipe=SimpleNamespace(evaluate=SimpleNamespace(flip_test=False, batch_size=4)),
    )  # fmt: skip
    on_target = SimpleNamespace(keypoints=np.full((2, 3, 2), 10.0), scores=np.ones((2, 3)))
    of_source = SimpleNamespace(keypoints=np.full((2, 17, 2), 10.0), scores=np.ones((2, 17)))
    shared = SharedPoints(job)
    shared.before({"target": None, "source": of_source})
    shared.on({"target": on_target, "source": None})
    assert made == [COCO_17.name, FACE.name]  # the base on the target, the adapter on the source
    found = shared.to_dict()
    # nose at (0, 20) and left_eye at (10, 20), predicted at (10, 10) where it is known
    assert found["target"]["after_on"]["px_mean"] == pytest.approx((200**0.5 + 10) / 2)
    assert found["source"]["before"]["px_mean"] == pytest.approx((200**0.5 + 10) / 2)


@pytest.mark.parametrize(
    ("base", "adapter", "labels", "names"),
    [
        (COCO_17, FACE, FACE, ["nose", "left_eye"]),
        (LSP_14, COCO_17, COCO_17, [name for name in COCO_17.keypoints if name in LSP_14.keypoints]),
        (COCO_17, COCO_17, COCO_17, None),  # all are scored anyway
        (LSP_14, FACE, FACE, None),  # nothing is shared
    ],
)
def test_which_are_shared(base, adapter, labels, names):
    job: Any = SimpleNamespace(
        base=SimpleNamespace(skeleton=base),
        adapter=SimpleNamespace(skeleton=adapter),
        test=split_of(labels),
        source=None,
    )
    assert SharedPoints(job).names == ({} if names is None else {"target": names})
    job.test = split_of(labels, "hand3d")
    assert SharedPoints(job).names == {}
