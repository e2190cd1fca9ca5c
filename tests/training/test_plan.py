"""Rates and steps by what is new."""

import pytest

from lvtune.training.plan import rates, steps


def test_a_new_predictor_has_its_own_rate_and_is_not_tuned_gently():
    plan = rates(4, 4, 1e-3)
    assert plan.options == {"gentle": False, "lr": 2e-3, "predictor_lr": 5e-3}
    assert plan.decisions[0].line() == ("learning rate: 0.002, predictor 0.005 (4 of 4 key points are new to the base)")


def test_a_few_new_rows_leave_the_encoder_gentle():
    plan = rates(5, 17, 1e-3)
    assert plan.options["lr"] == pytest.approx(4e-4) and plan.options["predictor_lr"] == 5e-3
    assert "gently" in plan.decisions[0].why


def test_a_method_with_a_higher_rate_keeps_it_for_the_predictor():
    assert rates(4, 4, 1e-2).options["predictor_lr"] == 1e-2


@pytest.mark.parametrize(
    ("pictures", "keypoints", "count"),
    [(93, 4, 300), (10, 4, 300), (93, 1, 300), (93, 16, 600), (93, 133, 600), (400, 4, 600), (400, 16, 1200)],
)
def test_steps_grow_with_pictures_and_points(pictures, keypoints, count):
    plan = steps(pictures, keypoints)
    assert plan.options == {"steps": count, "batch_size": 16} and plan.decisions[0].what == "steps"
