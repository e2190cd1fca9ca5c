"""Input size and steps that fit a time budget, chosen together."""

import pytest

from lvtune.training.budget import RESERVE
from lvtune.training.size_budget import ENOUGH, fit_size, relative_cost, smaller_sizes


def test_sizes_go_down_in_the_aspect_of_the_wanted_one():
    assert smaller_sizes((160, 160), (128, 96), 16) == [(160, 160), (144, 144), (128, 128), (112, 112)]
    sizes = smaller_sizes((256, 128), (128, 96), 16)
    assert sizes[0] == (256, 128) and sizes[-1] == (160, 80)
    assert all(h % 16 == w % 16 == 0 and h * w >= 128 * 96 and 1.7 < h / w < 2.3 for h, w in sizes)
    assert [size[::-1] for size in smaller_sizes((128, 256), (96, 128), 16)] == sizes
    assert smaller_sizes((128, 96), (128, 96), 16) == [(128, 96)]  # never below the base's own
    assert smaller_sizes((256, 192), (64, 48), 0) == [(256, 192)]  # a base of one size


def test_the_cost_grows_with_the_tokens_and_a_little_more():
    small, large = relative_cost((128, 128), 16, 192), relative_cost((256, 256), 16, 192)
    assert 4 < large / small < 5  # four times the tokens, and their attention
    assert relative_cost((256, 256), 16, 10**6) == pytest.approx(256, rel=1e-3)


SIZES = [(256, 256), (192, 192), (128, 128)]
SECONDS = {(256, 256): 4.0, (192, 192): 2.0, (128, 128): 1.0}


@pytest.mark.parametrize(
    ("budget", "size", "steps"),
    [
        (4000, (256, 256), 950),  # more than the usual steps: the wanted size, and all of the time
        (640, (256, 256), 152),  # just above half of the usual steps
        (600, (192, 192), 285),  # 142 steps would be too few at the wanted size
        (200, (128, 128), 190),
        (20, (128, 128), 19),  # nothing is enough: the smallest
    ],
)
def test_the_largest_size_with_enough_steps_is_taken(budget, size, steps):
    plan = fit_size(SIZES, SECONDS.get, budget, 300)
    assert (plan.size, plan.steps) == (size, steps)
    assert plan.skipped == (None if size == SIZES[0] else SIZES[0])
    if plan.skipped:
        assert plan.skipped_steps == int(RESERVE * budget / 4.0) < ENOUGH * 300
    if size not in (SIZES[0], SIZES[-1]):
        assert plan.steps >= ENOUGH * 300


def test_a_step_of_no_time_at_all_is_no_division_by_zero():
    assert fit_size(SIZES, lambda size: 0.0, 60, 300).size == (256, 256)
