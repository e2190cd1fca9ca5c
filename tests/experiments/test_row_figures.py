"""The figures of domains in a row, by hand; the ways that a comparison takes."""

import pytest

from lvtune.core.errors import UsageError
from lvtune.experiments.row_figures import mean_matrix, row_figures
from lvtune.experiments.row_ways import known_ways, ways_of

MATRIX = [[60.0, 20.0, 30.0], [58.0, 50.0, 31.0], [55.0, 52.0, 40.0]]


def test_the_figures_by_hand():
    found = row_figures(MATRIX)
    assert found["final"] == pytest.approx((55 + 52 + 40) / 3)
    assert found["learnt"] == pytest.approx((60 + 50 + 40) / 3)
    assert found["backward"] == pytest.approx((-5 + 2) / 2)
    assert found["forgetting"] == pytest.approx((5 - 2) / 2) and found["worst"] == 5.0


def test_forgetting_counts_from_the_best_score_since_learning():
    found = row_figures([[50.0, 0.0, 0.0], [57.0, 30.0, 0.0], [52.0, 30.0, 9.0]])
    assert found["backward"] == pytest.approx((2 + 0) / 2) and found["forgetting"] == pytest.approx((5 + 0) / 2)


def test_a_better_score_before_a_domain_was_learnt_is_no_forgetting():
    assert row_figures([[50.0, 45.0], [50.0, 40.0]])["worst"] == 0.0


def test_of_errors_a_larger_one_is_a_loss():
    found = row_figures([[4.0, 9.0], [6.0, 3.0]], less_is_better=True)
    assert found["backward"] == -2.0 and found["forgetting"] == 2.0 and found["final"] == 4.5


def test_what_is_missing_gives_no_figure():
    assert set(row_figures([[1.0, None], [None, 2.0]]).values()) == {None}
    assert row_figures([[1.0, None], [0.5, 2.0]])["forgetting"] == 0.5
    assert row_figures([[1.0]])["forgetting"] is None


def test_means_over_seeds():
    assert mean_matrix([[[1.0, None]], [[3.0, 4.0]]]) == [[2.0, None]]


def test_ways_have_options_of_their_objectives():
    plain, ewc, own = ways_of("plain, ewc:weight=2,pictures=8,separate")
    assert (plain.objective, plain.column) == ("plain", "fine-tuned")
    assert ewc.objective == "ewc" and ewc.options == {"weight": "2", "pictures": "8"}
    assert own.objective is None
    assert {"plain", "replay", "ewc", "lwf", "lfl", "separate"} <= set(known_ways())
    assert "heatmap" not in known_ways()


@pytest.mark.parametrize(
    ("text", "given"),
    [("", "no way"), ("plain,plain", "twice"), ("heatmap", "unknown way"), ("ewc:wait=1", "wait"),
     ("ewc:weight", "'ewc:weight'"), ("separate:a=1", "separate"), ("ewc:weight=-1", "weight")],
)  # fmt: skip
def test_wrong_ways_are_errors(text, given):
    with pytest.raises(UsageError) as caught:
        ways_of(text)
    assert given in caught.value.given
