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


def test_few_pictures_that_come_again_and_again_are_passed_over_more_gently_where_the_base_knows_most():
    """As for data whose key points the base all knows: the rate falls by the square root of the repeats."""
    plan = rates(5, 17, 1e-3, repeats=16.0)
    assert plan.options["lr"] == pytest.approx(1e-4) and plan.options["predictor_lr"] == 5e-3
    assert "come 16 times as often as usual" in plan.decisions[0].why
    assert rates(17, 17, 1e-3, repeats=16.0).options["lr"] == 2e-3  # nothing to protect
    assert rates(5, 17, 1e-3, repeats=0.1).options["lr"] == pytest.approx(4e-4)


def test_a_method_with_a_higher_rate_keeps_it_for_the_predictor():
    assert rates(4, 4, 1e-2).options["predictor_lr"] == 1e-2


@pytest.mark.parametrize(
    ("pictures", "new", "count"),
    [(93, 4, 300), (10, 4, 300), (93, 1, 300), (93, 16, 600), (93, 133, 600), (400, 4, 600), (400, 16, 1200)],
)
def test_steps_grow_with_pictures_and_new_points(pictures, new, count):
    plan = steps(pictures, new)
    assert plan.options == {"steps": count, "batch_size": 16} and plan.decisions[0].what == "steps"
