"""The running mean of weights: early steps count more, whole numbers are copied, and weights come back."""

import pytest
import torch
from torch import nn

from lvtune.core.snapshot import snapshot
from lvtune.training.running_mean import follow, holding


def test_early_steps_have_a_shorter_memory():
    mean = {"w": torch.zeros(1)}
    follow(mean, {"w": torch.ones(1)}, decay=0.999, step=0)
    assert mean["w"].item() == pytest.approx(0.9)  # 1 - 1/10
    follow(mean, {"w": torch.zeros(1)}, decay=0.5, step=1000)
    assert mean["w"].item() == pytest.approx(0.45)


def test_whole_numbers_are_copied():
    mean = {"count": torch.tensor(3)}
    follow(mean, {"count": torch.tensor(8)}, decay=0.999, step=500)
    assert mean["count"].item() == 8


def test_own_weights_come_back_bit_for_bit_whatever_happens():
    module = nn.BatchNorm1d(3)
    own = snapshot(module)
    other = {name: value + 1 for name, value in own.items()}
    with pytest.raises(RuntimeError, match="inside"), holding(module, other):
        assert all(torch.equal(value, other[name]) for name, value in module.state_dict().items())
        raise RuntimeError("inside")
    assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())
    with holding(module, None):
        assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())
