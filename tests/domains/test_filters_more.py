"""The six filters added for lsp-art: they are there, named after Human-Art, and give the bytes that were fixed."""

import hashlib

import cv2
import numpy as np
import pytest

from lvtune.domains.filters import apply_filter, list_filters
from lvtune.language.sentences import HUMAN_ART

SIX = ("kids_drawing", "shadow_play", "relief", "sculpture", "digital_art", "garage_kits")


@pytest.fixture(scope="module")
def ramp():
    """A disc and a bar before a ramp, 60 x 44."""
    y, x = np.mgrid[:60, :44]
    image = np.dstack([60 + 3 * x, 90 + y, 220 - 2 * y]).astype(np.uint8)
    cv2.circle(image, (20, 22), 10, (200, 60, 50), -1)
    cv2.line(image, (20, 30), (34, 56), (30, 30, 60), 5)
    return image


def test_they_are_categories_of_human_art_beside_the_first_eight():
    assert set(SIX) < set(list_filters()) <= set(HUMAN_ART)
    assert len(list_filters()) >= 14


@pytest.mark.parametrize("name", SIX)
def test_drawn_twice_and_in_any_order_the_picture_is_the_same(ramp, name):
    first = apply_filter(ramp, name, 5)
    for other in SIX:
        apply_filter(ramp, other, 5)
    again = apply_filter(ramp, name, 5)
    assert hashlib.sha256(first).digest() == hashlib.sha256(again).digest()
    assert not np.array_equal(first, apply_filter(ramp, name, 6))


# Mean brightness at the corner, the disc and the bar: loose enough for another OpenCV, tight enough to see
# that a filter was changed after methods were compared on it.
FIXED = {
    "kids_drawing": [224.4, 212.2, 152.2],
    "shadow_play": [151.2, 41.7, 205.8],
    "relief": [159.0, 131.3, 84.2],
    "sculpture": [131.8, 97.8, 89.3],
    "digital_art": [194.4, 166.5, 113.3],
    "garage_kits": [132.6, 43.6, 105.9],
}


@pytest.mark.parametrize("name", SIX)
def test_the_filters_are_those_that_were_fixed(ramp, name):
    drawn = apply_filter(ramp, name, 0).astype(float)
    places = ((slice(0, 10), slice(32, 44)), (slice(16, 28), slice(14, 26)), (slice(40, 50), slice(22, 34)))
    found = [drawn[place].mean().round(1) for place in places]
    assert found == pytest.approx(FIXED[name], abs=4), found
