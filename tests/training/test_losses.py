"""The heatmap loss against MMPose's number (tests/golden/README.md)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvtune.training.losses import keypoint_mse


def test_equals_the_reference():
    golden = load_file(Path(__file__).parents[1] / "golden/keypoint_mse.safetensors")
    loss = keypoint_mse(golden["pred"], golden["target"], golden["weight"])
    assert loss.item() == pytest.approx(golden["loss"].item(), rel=1e-7)


def test_unseen_points_count_in_the_mean_and_send_no_gradient():
    pred = torch.ones(1, 2, 2, 2, requires_grad=True)
    loss = keypoint_mse(pred, torch.zeros(1, 2, 2, 2), torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0.5
    assert pred.grad[0, 0].tolist() == [[0.25, 0.25], [0.25, 0.25]] and not pred.grad[0, 1].any()


def test_empty_batch_and_half_precision():
    assert keypoint_mse(torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4), torch.zeros(0, 3)).item() == 0
    pred = torch.full((1, 1, 64, 48), 300.0, dtype=torch.float16)
    assert keypoint_mse(pred, torch.zeros(1, 1, 64, 48), torch.ones(1, 1)).item() == 90000


def test_a_foreground_weighs_what_lies_near_the_key_point():
    """Weight 1 + 10 where the target is 1, 1 + 5 where it is a half, 1 in the background."""
    target = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    pred = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
    plain = keypoint_mse(pred, target, torch.ones(1, 1))
    weighted = keypoint_mse(pred, target, torch.ones(1, 1), foreground=10.0)
    assert plain.item() == pytest.approx((1 + 0.25 + 1) / 4)
    assert weighted.item() == pytest.approx((11 + 6 * 0.25 + 1) / 4)
    assert keypoint_mse(pred, target, torch.zeros(1, 1), foreground=10.0).item() == 0
