"""The weight near key points, which is chosen where key points are new."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_base

from lvtune.data.skeletons import Skeleton
from lvtune.training.heatmap import FOREGROUND, HeatmapConfig, HeatmapObjective
from lvtune.training.mean_teacher import MeanTeacher
from lvtune.training.objective import ObjectiveContext


class _Own(torch.nn.Module):
    def __init__(self, skeleton):
        super().__init__()
        self.skeleton = skeleton


def _prepared(keypoints=None, **config):
    base = tiny_base()
    skeleton = base.skeleton if keypoints is None else Skeleton("mouse", keypoints, (0.05,) * len(keypoints))
    objective = HeatmapObjective(HeatmapConfig(**config))
    objective.prepare(ObjectiveContext(base, adapter=_Own(skeleton)))
    return objective


def test_it_is_chosen_where_key_points_are_new_and_said():
    objective = _prepared(("snout", "tail"))
    assert objective.foreground == FOREGROUND
    (line,) = objective.decisions
    assert line.value == "x 11 in the loss" and "2 of 2 key points are new" in line.why


def test_known_key_points_keep_the_plain_error():
    objective = _prepared()
    assert (objective.foreground, objective.decisions) == (0.0, ())
    assert HeatmapObjective().foreground == 0.0  # a judge that was not prepared


@pytest.mark.parametrize("given", [0.0, 3.0])
def test_what_is_set_stays(given):
    objective = _prepared(("snout", "tail"), foreground=given)
    assert (objective.foreground, objective.decisions) == (given, ())


def test_an_empty_answer_is_measured_by_the_same_error():
    base, objective = tiny_base(), _prepared(("snout", "tail"))
    batch = {"keypoints": torch.full((1, 2, 2), 20.0), "visible": torch.ones(1, 2)}
    plain = HeatmapObjective().empty_loss(base, batch)
    assert objective.empty_loss(base, batch) > 5 * plain > 0


def test_objectives_around_it_have_it_too():
    base = tiny_base()
    context = ObjectiveContext(
        base, adapter=_Own(Skeleton("mouse", ("snout", "tail"), (0.05, 0.05))), unlabelled=lambda: []
    )
    objective = MeanTeacher()
    objective.prepare(context)
    assert objective.pose.foreground == FOREGROUND and objective.decisions
