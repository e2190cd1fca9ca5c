"""What a file says of a domain's looks: fitted, bounded, read back, and refused where it is none."""

import copy
import json

import numpy as np
import pytest

from lvtune.patcher.domain_looks import LEAST, NUMBERS, VIEWS, fit_looks, project, read_looks

SIZE = 96


def drawn(count, shift=0.0, seed=0):
    """Features by view, with a few strong directions as real ones have."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(12, SIZE))
    rows = rng.normal(size=(count, 12)) @ mix + 0.3 * rng.normal(size=(count, SIZE))
    away = np.zeros(SIZE)
    away[:6] = shift
    return {view: rows + away + 0.1 * i for i, view in enumerate(VIEWS)}


FOUND = fit_looks(drawn(80, 1.5), drawn(120, seed=1), "block 5 of 12", "photographs")


def test_pictures_of_both_kinds_are_told_apart_and_the_figure_is_of_pictures_left_out():
    own, other = drawn(200, 1.5, seed=5), drawn(200, seed=6)
    for view in VIEWS:
        right = [
            (FOUND.probabilities(own[view], view) > 0.5).mean(),
            (FOUND.probabilities(other[view], view) <= 0.5).mean(),
        ]
        assert min(right) > 0.85 and abs(np.mean(right) - FOUND.right) < 0.1
    same = fit_looks(drawn(80, seed=2), drawn(120, seed=3), "block 5 of 12", "photographs")
    assert same.right < 0.65  # nothing to be told: not learnt by heart
    assert (same.pictures, same.ordinary) == (80, 120)


def test_the_probability_is_about_the_share_that_is_right():
    own, other = drawn(400, 0.7, seed=5)["crop"], drawn(400, seed=6)["crop"]
    found = fit_looks(drawn(200, 0.7), drawn(200, seed=1), "block", "photographs")
    sure = found.probabilities(np.concatenate([own, other]), "crop")
    for low, high in ((0.2, 0.5), (0.5, 0.8)):
        some = (sure >= low) & (sure < high)
        share = np.concatenate([np.ones(400), np.zeros(400)])[some].mean()
        assert low - 0.15 < share < high + 0.15


def test_what_is_like_neither_kind_lies_outside():
    far = np.full((4, SIZE), 40.0)
    own = drawn(200, 1.5, seed=7)["whole"]
    assert (FOUND.far(far, "whole") > 1).all() and (FOUND.far(own, "whole") < 1).mean() > 0.97
    assert (FOUND.probabilities(far, "whole") < 0.01).all()


def test_few_pictures_give_none():
    with pytest.raises(ValueError, match=f"{LEAST - 1} pictures"):
        fit_looks(drawn(LEAST - 1), drawn(50), "block", "photographs")
    assert fit_looks(drawn(LEAST, 1.5), drawn(LEAST, seed=1), "block", "photographs").right > 0.6


def test_pictures_that_are_all_alike_do_not_break_it():
    flat = {view: np.ones((40, SIZE)) for view in VIEWS}
    found = read_looks(json.loads(json.dumps(fit_looks(flat, drawn(40), "block", "photographs").to_dict())))
    assert np.isfinite(found.probabilities(np.ones((2, SIZE)), "crop")).all()


def test_it_is_read_back_as_it_was_written():
    again = read_looks(json.loads(json.dumps(FOUND.to_dict())))
    own = drawn(20, 1.5, seed=5)["crop"]
    assert np.allclose(again.probabilities(own, "crop"), FOUND.probabilities(own, "crop"), atol=1e-3)
    assert again.to_dict() == FOUND.to_dict()


def test_the_projection_is_the_same_everywhere():
    signs = project(np.eye(384))
    assert signs.shape == (384, NUMBERS)
    assert np.allclose(np.abs(signs), 384**-0.5) and abs(np.sign(signs).mean()) < 0.02
    # files that are out in the world rest on these
    assert np.sign(signs[0, :8]).astype(int).tolist() == [1, 1, 1, 1, -1, -1, 1, 1]


def _set(*keys):
    *parents, last, value = keys

    def change(table):
        for key in parents:
            table = table[key]
        table[last] = value

    return change


UPPER = NUMBERS * (NUMBERS + 1) // 2


@pytest.mark.parametrize(
    "change",
    [
        _set("views", None),
        _set("views", {}),
        _set("views", "other", {}),
        _set("views", "crop", []),
        _set("views", "crop", "mean", [0.0] * (NUMBERS - 1)),
        _set("views", "crop", "mean", [0.0] * (NUMBERS - 1) + ["0"]),
        _set("views", "whole", "mean", [float("nan")] * NUMBERS),
        _set("views", "whole", "covariance", [0.0] * UPPER),
        _set("views", "whole", "covariance", [1.0] * UPPER),
        _set("views", "whole", "covariance", [1e7] * UPPER),
        _set("views", "whole", "covariance", [1.0] * (UPPER + 1)),
        _set("views", "whole", "reach", 0.0),
        _set("views", "whole", "reach", -1.0),
        _set("views", "whole", "reach", float("inf")),
        _set("views", "whole", "reach", True),
        _set("weights", []),
        _set("weights", [0.0] * 20_000),
        _set("weights", [1e30] * 10),
        _set("weights", {}),
        _set("offset", None),
        _set("offset", float("-inf")),
        _set("layer", 5),
        _set("pictures", -1),
        _set("ordinary", 1.5),
        _set("against", None),
        _set("right", "all"),
    ],
)
def test_what_is_no_gate_is_refused(change):
    table = copy.deepcopy(FOUND.to_dict())
    change(table)
    with pytest.raises(ValueError):
        read_looks(table)


@pytest.mark.parametrize("found", [None, [], "gate", 3, {}])
def test_what_is_no_table_is_refused(found):
    with pytest.raises(ValueError):
        read_looks(found)
