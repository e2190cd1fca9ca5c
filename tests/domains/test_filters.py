"""The filters: same in, same out; the size kept; the photograph untouched; a picture that differs from it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lvtune.core.errors import LvtuneError
from lvtune.domains.filters import FILTERS, apply_filter, list_filters, register_filter

HUMAN_ART = {
    "acrobatics", "cosplay", "dance", "drama", "movie", "cartoon", "digital_art", "ink_painting",
    "kids_drawing", "mural", "oil_painting", "shadow_play", "sketch", "stained_glass", "ukiyoe",
    "watercolor", "garage_kits", "relief", "sculpture",
}  # fmt: skip


@pytest.fixture(scope="module")
def photograph():
    """A figure of ellipses before a bright ramp with some texture, 140 x 110."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:140, :110]
    image = np.dstack([90 + x, 120 + y // 2, 200 - y]).astype(np.float64) + rng.normal(0, 6, (140, 110, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    cv2.ellipse(image, (55, 30), (11, 14), 0, 0, 360, (205, 150, 120), -1)
    cv2.ellipse(image, (55, 75), (18, 32), 0, 0, 360, (150, 30, 40), -1)
    for end in ((20, 60), (92, 66), (40, 134), (72, 134)):
        cv2.line(image, (55, 65 if end[1] < 100 else 100), end, (40, 40, 80), 9)
    return image


def test_names_are_categories_of_human_art():
    assert len(list_filters()) >= 6
    assert set(list_filters()) <= HUMAN_ART


@pytest.mark.parametrize("name", list_filters())
def test_same_photograph_name_and_index_give_the_same_bytes(photograph, name):
    before = photograph.tobytes()
    first, again = apply_filter(photograph, name, 3), apply_filter(photograph.copy(), name, 3)
    assert first.tobytes() == again.tobytes()
    assert photograph.tobytes() == before
    assert (first.shape, first.dtype) == (photograph.shape, np.uint8)
    assert first is not photograph


@pytest.mark.parametrize("name", list_filters())
def test_random_state_elsewhere_has_no_influence(photograph, name):
    first = apply_filter(photograph, name, 0)
    np.random.seed(7)
    cv2.setRNGSeed(7)
    assert apply_filter(photograph, name, 0).tobytes() == first.tobytes()


@pytest.mark.parametrize("name", list_filters())
def test_each_index_has_paper_and_strokes_of_its_own(photograph, name):
    one, other = (apply_filter(photograph, name, index).astype(int) for index in (0, 1))
    assert np.abs(one - other).mean() > 2


@pytest.mark.parametrize("name", list_filters())
def test_the_shift_is_clear_and_the_figure_stays(photograph, name):
    drawn = apply_filter(photograph, name, 0)
    assert np.abs(drawn.astype(int) - photograph).mean() > 20
    # The red trunk and the blue ground beside it are still told apart: by more than the drawing's texture.
    trunk, ground = drawn[60:90, 48:62].reshape(-1, 3), drawn[20:45, 4:18].reshape(-1, 3)
    apart = np.abs(trunk.mean(0) - ground.mean(0)).max()
    assert apart > 25


def test_filters_differ_from_one_another(photograph):
    drawn = {name: apply_filter(photograph, name, 0).astype(int) for name in list_filters()}
    names = list(drawn)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert np.abs(drawn[one] - drawn[other]).mean() > 12, (one, other)


@pytest.mark.parametrize("name", list_filters())
@pytest.mark.parametrize("shape", [(176, 131), (48, 64), (17, 9), (1, 1)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_and_tiny_pictures_do_not_break(name, shape, value):
    flat = np.full((*shape, 3), value, np.uint8)
    assert apply_filter(flat, name, 0).shape == flat.shape


def test_unknown_filter_names_the_closest():
    with pytest.raises(LvtuneError, match="did you mean 'watercolor'"):
        apply_filter(np.zeros((8, 8, 3), np.uint8), "watercolour")


def test_a_filter_of_ones_own():
    @register_filter("negative")
    def negative(image, rng):
        return 255 - image

    try:
        assert apply_filter(np.zeros((2, 2, 3), np.uint8), "negative").min() == 255
        assert "negative" in list_filters()
    finally:
        del FILTERS._entries["negative"]
