"""A second loss on the scale of the first: measured in the first steps, then fixed."""

import pytest
import torch

from lvtune.training.loss_balance import STEPS, LossBalance


def factor(balance, first, second):
    return balance(torch.tensor(first), torch.tensor(second)).item()


def test_a_loss_fifty_thousand_times_as_large_comes_to_the_size_of_the_first():
    balance = LossBalance()
    assert factor(balance, 1e-3, 50.0) * 50.0 == pytest.approx(1e-3)
    # means of what was measured so far: 2e-3 beside 40
    assert factor(balance, 3e-3, 30.0) == pytest.approx(2e-3 / 40)


def test_it_is_fixed_after_the_first_steps_and_kept_in_a_checkpoint():
    balance = LossBalance()
    values = [factor(balance, 1.0 + i, 4.0) for i in range(STEPS)]
    assert len(set(values)) == STEPS
    kept = factor(balance, 1000.0, 1.0)
    assert kept == pytest.approx(values[-1])
    resumed = LossBalance()
    resumed.load_state_dict(balance.state_dict())
    assert factor(resumed, 7.0, 7.0) == kept


def test_the_factor_carries_no_gradient_and_bears_losses_of_nothing():
    balance, loss = LossBalance(), torch.tensor(2.0, requires_grad=True)
    found = balance(loss, 3 * loss)
    assert not found.requires_grad
    negative = LossBalance()
    assert factor(negative, 1.0, -4.0) == pytest.approx(0.25)
    nothing = LossBalance()
    assert torch.isfinite(nothing(torch.tensor(0.0), torch.tensor(0.0)))
