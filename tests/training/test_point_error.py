"""The error of predicted key points, by which runs on new key points are judged."""

import torch
from tiny import tiny_base

from lvtune.training.heatmap import HeatmapObjective
from lvtune.training.point_error import point_error


def batch_of(points, visible=None):
    return {
        "pixel_values": torch.zeros(1, 3, 64, 48), "keypoints": torch.tensor([points]), "category": ["a"],
        "visible": torch.ones(1, len(points)) if visible is None else torch.tensor([visible]),
    }  # fmt: skip


def answer(points, height=1.0):
    """A base that answers so to every picture."""
    base = tiny_base()
    heatmaps, _ = base.codec.encode(torch.tensor([points]), torch.ones(1, len(points)))
    base.forward = lambda pixels: height * heatmaps
    return base


def test_it_is_the_mean_distance_in_percent_of_the_longer_side():
    truth = [[20.0, 30.0], [12.0, 40.0]]
    assert float(point_error(answer(truth), batch_of(truth))) < 1.5
    moved = [[26.4, 30.0], [12.0, 40.0]]  # 6.4 of 64 pixels off in one of two; the heatmaps are 16 pixels high
    assert abs(float(point_error(answer(moved), batch_of(truth))) - 5.0) < 1.5


def test_unlabelled_points_do_not_count():
    truth = [[20.0, 30.0], [12.0, 40.0]]
    far = [[20.0, 30.0], [40.0, 10.0]]
    assert float(point_error(answer(far), batch_of(truth, [1.0, 0.0]))) < 1.5
    assert float(point_error(answer(far), batch_of(truth, [0.0, 0.0]))) == 0.0


def test_a_sharp_answer_near_the_label_beats_a_faint_one_far_off_though_its_loss_is_higher():
    truth = batch_of([[20.0, 30.0]] * 17)
    near, faint = answer([[20.0, 50.0]] * 17), answer([[44.0, 4.0]] * 17, height=0.05)
    loss = HeatmapObjective()
    assert float(loss(near, truth)) > float(loss(faint, truth))
    assert float(point_error(near, truth)) < float(point_error(faint, truth))
